"""Folding texts so that visually equivalent spellings become the same string.

The text itself is never changed: a folded text knows for each of its characters where it came from.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

from sinoner.text.lang import HAN

Level = Literal["lower", "width", "case", "spacing", "script"]
# Each ignores what the one before it ignores, and more.
LEVELS: tuple[Level, ...] = ("width", "case", "spacing", "script")

# One character for all that are written for each other. Opening and closing are not told apart, as ASCII does not.
_QUOTES = "\"'`´‘’‚‛“”„‟′″‵‶«»‹›「」『』｢｣〝〞〟﹁﹂﹃﹄＂＇｀"
_DASHES = (
    "-\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2500\u2501\u2e3a\u2e3b\ufe31\ufe32\ufe58\ufe63\uff0d"
)
_DOTS = "\u00b7\u2022\u2027\u2219\u22c5\u30fb\uff65"  # between the parts of foreign names
_WAVES = "~\u223c\u301c\uff5e"
_UNSEEN = "\u00ad\u200b\u2060\ufeff"  # soft hyphen, zero-width space, word joiner, byte order mark
_SAME = {
    **dict.fromkeys(_QUOTES, '"'),
    **dict.fromkeys(_DASHES, "-"),
    **dict.fromkeys(_DOTS, "\u00b7"),
    **dict.fromkeys(_WAVES, "~"),
    **dict.fromkeys(_UNSEEN, ""),
}
HAN_CHAR = re.compile(f"[{HAN}]")
_DASH_RUN = re.compile("--+")


class Origin(NamedTuple):
    """Where each character of a folded text came from: half-open ranges of the source, in code points."""

    begins: list[int]
    ends: list[int]


class Table(dict[int, str]):
    """Code point → what it is folded to, for ``str.translate``; filled as characters are met."""

    def __init__(self, rule: Callable[[str], str]) -> None:
        self._rule = rule

    def __missing__(self, point: int) -> str:
        self[point] = folded = self._rule(chr(point))
        return folded


def _width(char: str) -> str:
    """NFKD, so that composed and decomposed letters are equal, too; marks that stand alone (´) stay as they are."""
    folded = unicodedata.normalize("NFKD", char)
    return unicodedata.normalize("NFD", char) if len(folded) > 1 and folded[0] == " " else folded


def _case(char: str) -> str:
    return "".join(map(_width, _width(char).casefold()))


def _spacing(char: str) -> str:
    if char in _SAME:
        return _SAME[char]
    return "".join(_SAME.get(c, c) for c in _case(char) if not c.isspace())


def _script(char: str) -> str:
    folded = _spacing(char)
    return simplified(folded) if HAN_CHAR.search(folded) else folded


@lru_cache(maxsize=1)
def _opencc() -> Callable[[str], str]:
    from opencc import OpenCC

    convert: Callable[[str], str] = OpenCC("t2s").convert
    return convert


def simplified(text: str) -> str:
    """The text in simplified characters, each by itself: as many characters as before."""
    return "".join(map(_opencc(), text))


_TABLES: dict[Level, Table] = {
    "lower": Table(str.lower),
    "width": Table(_width),
    "case": Table(_case),
    "spacing": Table(_spacing),
    "script": Table(_script),
}


def fold(text: str, level: Level) -> str:
    """The text, folded.

    Args:
        text: any text.
        level: ``lower`` lower-cases and nothing else. ``width`` makes compatible characters equal (Unicode NFKC: full
            and half width, ligatures, composed letters), ``case`` the cases too, ``spacing`` drops white space and
            unseen characters and makes all quotes equal, all runs of dashes and all middle dots; ``script`` makes
            traditional and simplified characters equal (OpenCC t2s, one by one). Only that one loads OpenCC, and
            only for Han characters.
    """
    folded = text.translate(_TABLES[level])
    if level == "lower":
        return folded
    if "--" in folded and level in ("spacing", "script"):
        folded = _DASH_RUN.sub("-", folded)
    # All characters are decomposed already; what can be left to do is to put marks into their order.
    return folded if folded.isascii() else unicodedata.normalize("NFD", folded)


def origin(text: str, level: Level) -> Origin:
    """Where each character of ``fold(text, level)`` came from."""
    table = _TABLES[level]
    chars: list[str] = []
    begins: list[int] = []
    ends: list[int] = []
    joined = level in ("spacing", "script")
    for at, char in enumerate(text):
        for piece in table[ord(char)]:
            if joined and piece == "-" and chars and chars[-1] == "-":
                ends[-1] = at + 1
                continue
            chars.append(piece)
            begins.append(at)
            ends.append(at + 1)
    plain = "".join(chars)
    if level != "lower" and not unicodedata.is_normalized("NFD", plain):
        order = _canonical_order(plain)
        return Origin([begins[i] for i in order], [ends[i] for i in order])
    return Origin(begins, ends)


def _canonical_order(text: str) -> list[int]:
    """The places of a decomposed text's characters in canonical order (Unicode 3.11, D109)."""
    order: list[int] = []
    marks: list[int] = []
    for at, char in enumerate(text):
        if unicodedata.combining(char):
            marks.append(at)
            continue
        order += sorted(marks, key=lambda i: unicodedata.combining(text[i]))
        marks = []
        order.append(at)
    return order + sorted(marks, key=lambda i: unicodedata.combining(text[i]))
