"""Splitting a text into sentences; joined, they are the text."""

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
    found: list[str] = []
    parts: list[str] = []  # pieces of a sentence with full stops inside a number or an abbreviation
    for piece in _SENTENCE.findall(text):
        parts.append(piece)
        if not piece.endswith("."):
            found.append("".join(parts))
            parts.clear()
    found.append("".join(parts))
    return [sentence for sentence in found if sentence]


def clauses(text: str) -> list[str]:
    """Smaller pieces for a sentence that is too long: cut after commas and white space."""
    return _CLAUSE.findall(text)
