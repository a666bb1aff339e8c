"""The words that BM25 compares: a text split by jieba (Chinese) or at white space (English), without stop words.

Numbers are words like any other: a year or an amount that two passages share carries meaning. Single digits are in the shipped
stop lists, because a list can name them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sinoner.records import Lang
from sinoner.text.jieba_dictionary import read_dictionary


def tokenizer(lang: Lang) -> str:
    """Name and version of the tokenizer of a language; tokens stored under another name are not used."""
    if lang == "en":
        return "split"
    from importlib.metadata import version

    return f"jieba {version('jieba')}"


def cut(texts: Iterable[str], lang: Lang) -> Iterator[list[str]]:
    """The tokens of texts, stop words included; those of white space only are omitted.

    Args:
        texts: the texts.
        lang: ``zh``: jieba's accurate mode with its own dictionary, punctuation one token each. ``en``: split at
            white space, so that ``Paris,`` and ``Paris`` differ, as in the paper's code.

    Yields:
        Tokens of each text, in the order of the text.
    """
    if lang == "en":
        for text in texts:
            yield text.split()
        return
    import jieba

    read_dictionary()
    for text in texts:
        yield [token for token in jieba.lcut(text) if not token.isspace()]


def kept(tokens: Sequence[str], stops: frozenset[str]) -> list[str]:
    """Tokens without stop words. Words are case-sensitive: ``The`` is not ``the``."""
    return [token for token in tokens if token not in stops]


def stop_words_in(content: str) -> frozenset[str]:
    """The stop words of a file: one per line, as written in texts; lines that begin with ``# `` are comments.

    Args:
        content: content of the file.
    """
    lines = (line.strip() for line in content.splitlines() if not line.startswith("# "))
    return frozenset(line for line in lines if line)
