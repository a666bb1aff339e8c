"""Personal data in passages: mobile numbers, identity-card numbers and e-mail addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

# Mainland mobile numbers: 11 digits that begin with 13 to 19, after an optional +86, with hyphens or blanks as people
# write them. Digits on either side make it a longer number.
_MOBILE = re.compile(
    r"(?<![\d.])(?<!\d-)(?:(?:\+|00)86[- ]?)?1[3-9]\d(?:[- ]?)\d{4}(?:[- ]?)\d{4}(?!\d|[-.]\d)"
)
# Resident identity card (GB 11643-1999): region 6, birth date 8, order 3, check character 1.
_CARD = re.compile(r"(?<![\dA-Za-z])[1-9]\d{5}(?:18|19|20)\d{2}[01]\d[0-3]\d{4}[\dXx](?![\dA-Za-z])")
_MAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![A-Za-z])"
)
# Weights and check characters of ISO 7064, MOD 11-2, as GB 11643-1999 uses them.
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_FULL_WIDTH = str.maketrans("０１２３４５６７８９＠．－＋Ｘｘ", "0123456789@.-+Xx")
_CANDIDATE = re.compile(r"[0-9０-９]{4}|[@＠]")
MASK = "*"


class Found(NamedTuple):
    """A half-open range of code points that holds personal data: ``mobile``, ``card`` or ``mail``."""

    start: int
    end: int
    kind: str


def find(text: str) -> list[Found]:
    """The personal data of a text, left to right, not overlapping; full-width digits count as digits."""
    if _CANDIDATE.search(text) is None:
        return []
    plain = text.translate(_FULL_WIDTH)
    found = sorted(_all(plain))
    kept: list[Found] = []
    for one in found:
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def _all(plain: str) -> Iterator[Found]:
    for match in _CARD.finditer(plain):
        if is_card(match.group()):
            yield Found(match.start(), match.end(), "card")
    for match in _MOBILE.finditer(plain):
        yield Found(match.start(), match.end(), "mobile")
    for match in _MAIL.finditer(plain):
        yield Found(match.start(), match.end(), "mail")


def is_card(number: str) -> bool:
    """Whether 18 characters are a resident identity number: a real birth date and the right check character."""
    if not re.fullmatch(r"\d{17}[\dXx]", number, re.ASCII):
        return False
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, number[:17], strict=True))
    return number[17].upper() == _CHECKS[total % 11]


def masked(text: str, found: list[Found]) -> str:
    """The text with letters and digits of the found ranges as ``*``; its length and all other offsets stay."""
    parts: list[str] = []
    at = 0
    for start, end, _ in found:
        parts += [text[at:start], "".join(MASK if c.isalnum() else c for c in text[start:end])]
        at = end
    return "".join([*parts, text[at:]])
