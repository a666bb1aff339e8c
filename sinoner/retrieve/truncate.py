"""Texts truncated to a number of tokens, for endpoints that refuse longer ones."""

from __future__ import annotations

from sinoner.text.token_count import counter_of

# Exact for the embedding models of OpenAI, approximate for others.
TOKENIZER = "cl100k_base"


class Cutting:
    """Truncates texts that are longer than a limit.

    Args:
        limit: maximum number of tokens of a text.
    """

    def __init__(self, limit: int) -> None:
        from bpe_openai import get_encoding

        self._limit = limit
        self._within = counter_of(TOKENIZER)
        self._encoding = get_encoding(TOKENIZER)

    def cut(self, text: str) -> str:
        """The text, or its longest beginning that ends at a token boundary and is within the limit.

        No code point is split: where a token ends inside one, the beginning ends before it.
        """
        text_bytes = text.encode("utf-8", "replace")
        if len(text_bytes) <= self._limit:  # no text has more tokens than bytes
            return text
        whole = text_bytes.decode()
        if self._within(whole, self._limit) is not None:
            return text
        tokens = self._encoding.encode_ordinary(whole)[: self._limit]
        while tokens:
            shorter: str = self._encoding.decode_bytes(tokens).decode("utf-8", "ignore")
            if self._within(shorter, self._limit) is not None:  # a beginning may be split into other tokens
                return shorter
            tokens.pop()
        return ""
