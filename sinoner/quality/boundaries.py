"""Mentions that end inside a word although the passage has a longer one: the annotator cut them off."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from sinoner.records import Entity, Lang
from sinoner.text.jieba_dictionary import read_dictionary

# jieba cuts a text at everything that is none of these and segments each piece on its own (jieba 0.42, re_han_default),
# so the words around a mention are the same whether the text or its piece is segmented.
_PIECE = re.compile(r"[\u4e00-\u9fd5a-zA-Z0-9+#&._%\-]+")


@lru_cache(maxsize=1)
def _segmenter() -> Callable[[str], frozenset[int]]:
    """The ends of the words of a piece, by jieba's accurate mode."""
    import jieba

    read_dictionary()

    @lru_cache(maxsize=1024)
    def ends(piece: str) -> frozenset[int]:
        at = 0
        found = set()
        for word in jieba.cut(piece):
            at += len(word)
            found.add(at)
        return frozenset(found)

    return ends


def ends_inside_word(text: str, end: int) -> bool:
    """Whether a Chinese text has a word, by jieba, that begins before and ends after the code point ``end``."""
    if end >= len(text) or _PIECE.match(text, end) is None or _PIECE.match(text, end - 1) is None:
        return False
    begin = end - 1
    while begin and _PIECE.match(text, begin - 1):
        begin -= 1
    match = _PIECE.match(text, begin)
    assert match is not None
    return end - begin not in _segmenter()(match.group())


def cut_words(entities: Sequence[Entity], text: str, lang: Lang) -> list[Entity]:
    """The entities of which every mention ends inside a word while the passage has a longer mention that holds it.

    Args:
        entities: of one passage.
        text: the passage.
        lang: ``zh`` asks jieba for the words; in ``en`` a word ends before what is no letter or digit.
    """
    inside = ends_inside_word if lang == "zh" else _inside_english
    # Every distinct surface once: one that is listed twice stands inside another.
    joined = "\0".join({e.surface: None for e in entities})
    return [
        e
        for e in entities
        if joined.count(e.surface) > 1 and all(inside(text, s + len(e.surface)) for s in e.starts)
    ]


def _inside_english(text: str, end: int) -> bool:
    return end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
