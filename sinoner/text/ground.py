"""From a mention that a model wrote to its place in the passage, keeping the passage's own characters."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Literal

Fold = Literal["folded", "case"]

# One pair of these around a mention is not part of it (paper code, filter step).
BRACKETS = ("《》", "【】", "[]")


def occurrences(text: str, surface: str) -> tuple[int, ...]:
    """Start offsets (code points) of every non-overlapping occurrence of ``surface``, left to right."""
    starts = []
    at = text.find(surface) if surface else -1
    while at >= 0:
        starts.append(at)
        at = text.find(surface, at + len(surface))
    return tuple(starts)


@lru_cache(maxsize=4)
def _folded(text: str, fold: Fold) -> tuple[str, tuple[int, ...]]:
    """The folded text, with the source offset of every character of it."""
    parts: list[str] = []
    origin: list[int] = []
    for offset, char in enumerate(text):
        folded = char.lower() if fold == "case" else _without_width(char)
        parts.append(folded)
        origin.extend([offset] * len(folded))
    return "".join(parts), tuple(origin)


def _without_width(char: str) -> str:
    return "".join(unicodedata.normalize("NFKC", char).casefold().split())


def ground(text: str, mention: str, fold: Fold = "folded") -> tuple[str, tuple[int, ...]] | None:
    """Find a mention in a passage.

    Tried in this order: exactly; equal under ``fold``; and the same two without one enclosing pair of brackets.

    Args:
        text: the passage.
        mention: what the model wrote.
        fold: ``folded`` ignores case, full or half width, and white space; ``case`` ignores case only, as the
            paper's code does.

    Returns:
        The surface as the passage writes it and all its offsets in code points, or None.
    """
    stripped = mention.strip()
    for candidate in (stripped, strip_brackets(stripped)):
        if not candidate:
            continue
        if starts := occurrences(text, candidate):
            return candidate, starts
        if surface := _find_folded(text, candidate, fold):
            return surface, occurrences(text, surface)
    return None


def strip_brackets(mention: str) -> str:
    """The mention without one enclosing pair of 《》, 【】 or []."""
    if len(mention) > 2 and mention[0] + mention[-1] in BRACKETS:
        return mention[1:-1]
    return mention


def _find_folded(text: str, mention: str, fold: Fold) -> str | None:
    folded, origin = _folded(text, fold)
    needle, _ = _folded(mention, fold)
    at = folded.find(needle) if needle else -1
    while at >= 0:
        end = at + len(needle)
        begins_whole = at == 0 or origin[at - 1] != origin[at]
        ends_whole = end == len(origin) or origin[end - 1] != origin[end]
        if begins_whole and ends_whole:
            return text[origin[at] : origin[end - 1] + 1]
        at = folded.find(needle, at + 1)
    return None
