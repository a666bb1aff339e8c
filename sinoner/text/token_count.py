"""Counting the tokens of a text up to a limit, in a vocabulary that ships with bpe-openai."""

from __future__ import annotations

from collections.abc import Callable

# The number of tokens of a text, or None when there are more than the limit.
CountUpTo = Callable[[str, int], int | None]


def counter_of(vocabulary: str) -> CountUpTo:
    """The counting function of a vocabulary (``o200k_base``, ``cl100k_base``).

    The public function of bpe-openai makes all tokens and takes three times as long as the private one that stops at the
    limit; it is used where the private one is missing.
    """
    return _private_counter(vocabulary) or _public_counter(vocabulary)


def _private_counter(vocabulary: str) -> CountUpTo | None:
    """The one place that knows of ``bpe_openai._bindings``."""
    try:
        from bpe_openai._bindings import tokenizer_for_encoding

        found: CountUpTo = tokenizer_for_encoding(vocabulary).count_till_limit
    except (ImportError, AttributeError):
        return None
    return found


def _public_counter(vocabulary: str) -> CountUpTo:
    from bpe_openai import get_encoding

    encoding = get_encoding(vocabulary)

    def count(text: str, limit: int) -> int | None:
        tokens = len(encoding.encode_ordinary(text))
        return tokens if tokens <= limit else None

    return count
