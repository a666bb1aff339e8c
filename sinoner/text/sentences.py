"""Cutting a text into sentences that rejoin to it."""

from __future__ import annotations

import re

# A sentence ends with one or more terminators and takes the closing quotes and brackets, and the white space,
# that follow. English full stops count only before white space, so that 3.14 and U.S.-based stay whole.
_SENTENCE = re.compile(
    r"[^。！？；!?\n.]*(?:(?:[。！？；!?\n]|\.(?=\s|$))+[”’」』）】》\"')\]]*\s*|\.|$)", re.DOTALL
)
_CLAUSE = re.compile(r"[^，、,;：:\s]*[，、,;：:\s]+|[^，、,;：:\s]+$")


def sentences(text: str) -> list[str]:
    """The sentences of ``text``; joined they are the text again."""
    merged: list[str] = []
    open_stop = False  # the piece before ended at a full stop inside a number or an abbreviation
    for piece in _SENTENCE.findall(text):
        if not piece:
            continue
        if open_stop:
            merged[-1] += piece
        else:
            merged.append(piece)
        open_stop = piece.endswith(".")
    return merged


def clauses(text: str) -> list[str]:
    """Smaller pieces for a sentence that is too long: cut after commas and white space."""
    return _CLAUSE.findall(text)
