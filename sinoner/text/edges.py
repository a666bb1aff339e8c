"""Where a mention may not begin or end: inside a grapheme, or inside a word of letters."""

from __future__ import annotations

import unicodedata

ZWJ = "\u200d"  # joins emoji
_SKIN = ("\U0001f3fb", "\U0001f3ff")  # emoji modifiers, Unicode TR 51
_REGIONAL = ("\U0001f1e6", "\U0001f1ff")  # two of them are one flag
_WORDS_HAVE_SPACES = "\u0590"  # Latin, Greek, Cyrillic and Armenian stand below
_WIDE = ("\uff10", "\uff5a")  # full-width digits and letters


def inside_grapheme(text: str, at: int) -> bool:
    """Whether the offset parts what is seen as one character.

    That is a base from its combining mark or variation selector, an emoji from what a zero-width joiner or a skin
    tone ties to it, or the two halves of a flag.
    """
    if not 0 < at < len(text):
        return False
    after = text[at]
    if after < "\u0300":  # no mark is below, and most texts end here
        return text[at - 1] == ZWJ
    if after == ZWJ or text[at - 1] == ZWJ or _SKIN[0] <= after <= _SKIN[1]:
        return True
    if _REGIONAL[0] <= after <= _REGIONAL[1]:
        before = 0
        while before < at and _REGIONAL[0] <= text[at - 1 - before] <= _REGIONAL[1]:
            before += 1
        return before % 2 == 1
    return unicodedata.category(after)[0] == "M"


def inside_word(text: str, at: int, mixed: bool = False) -> bool:
    """Whether letters, or digits, of a script that puts spaces between words stand on both sides of the offset.

    Args:
        text: any text; Chinese has no such spaces.
        at: the offset, in code points.
        mixed: whether the place between a letter and a digit (``iPhone|15``) is inside a word, too.
    """
    if not 0 < at < len(text):
        return False
    after = _kind(text[at])
    if not after:
        return False
    before = _kind(text[at - 1])
    return before == after or (mixed and before != "")


def is_letter(char: str) -> bool:
    """Whether a character is a letter or digit of a script that puts spaces between words."""
    return _kind(char) != ""


def _kind(char: str) -> str:
    if char < _WORDS_HAVE_SPACES or _WIDE[0] <= char <= _WIDE[1] or "\u1e00" <= char < "\u2000":
        if char.isalpha() or "\u0300" <= char < "\u0370":
            return "letter"
        return "digit" if char.isdecimal() else ""
    return ""
