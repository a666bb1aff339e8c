"""Locating a mention written by a model in the passage, keeping the passage's own characters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from sinoner.text.edges import inside_grapheme, inside_word
from sinoner.text.fold import HAN_CHAR, LEVELS, Level, Origin, fold, origin

Fold = Literal["folded", "case"]
Ungrounded = Literal["not_in_passage", "ambiguous_mention"]

# One pair of these around a mention is not part of it (paper code, filter step).
BRACKETS = ("《》", "【】", "[]")
# The same, with the quotes that models put around mentions.
ENCLOSING = (*BRACKETS, "〈〉", "「」", "『』", "“”", "‘’", '""', "''")


class Grounded(NamedTuple):
    """A mention that was found.

    Attributes:
        surface: the mention as the passage writes it.
        starts: offsets of all its occurrences that do not overlap, in code points, left to right.

    Example:
        >>> from sinoner import Grounded, ground
        >>> found = ground("Anna lives in Oslo.", "oslo")
        >>> isinstance(found, Grounded), found.surface, found.starts
        (True, 'Oslo', (14,))
    """

    surface: str
    starts: tuple[int, ...]


def occurrences(text: str, surface: str) -> tuple[int, ...]:
    """Start offsets (code points) of every non-overlapping occurrence of ``surface``, left to right."""
    starts = []
    at = text.find(surface) if surface else -1
    while at >= 0:
        starts.append(at)
        at = text.find(surface, at + len(surface))
    return tuple(starts)


def ground(text: str, mention: str, mode: Fold = "folded") -> Grounded | Ungrounded:
    """Find a mention in a passage; the passage is never changed.

    ``folded`` tries in this order, and the first that holds counts: exactly; equal but for the width of characters;
    for case too; for white space, quotes, dashes and middle dots too; for traditional and simplified characters too
    (see ``sinoner.text.fold``); and all of that once more without one enclosing pair of ``ENCLOSING``. What is found
    by folding begins and ends on whole characters as people see them, and not inside a word of letters ("US" is not
    in "business"). ``case`` is what the paper's code does: exactly, else the first place that is equal in lower case,
    brackets and all.

    Args:
        text: the passage.
        mention: what the model wrote; white space around it does not count.
        mode: how far the passage may differ from it.

    Returns:
        The surface with its offsets, or the reason why there is none: ``not_in_passage``, or ``ambiguous_mention``
        when the passage has it in several ways of writing (even if only white space differs) and the mention is
        none of them.
    """
    written = mention.strip()
    if starts := occurrences(text, written):
        return Grounded(written, starts)
    if not written:
        return "not_in_passage"
    if mode == "case":
        surface = next(iter(_surfaces(text, written, "lower", first=True)), None)
        return Grounded(surface, occurrences(text, surface)) if surface else "not_in_passage"
    found = _ground_folded(text, written)
    if found != "not_in_passage":
        return found
    inner = strip_brackets(written, ENCLOSING).strip()
    if not inner or inner == written:
        return found
    if starts := occurrences(text, inner):
        return Grounded(inner, starts)
    return _ground_folded(text, inner)


def strip_brackets(mention: str, pairs: Sequence[str] = BRACKETS) -> str:
    """The mention without one enclosing pair; 《A》与《B》 begins and ends with brackets, but with no pair.

    Args:
        mention: any mention.
        pairs: the pairs that count, each its opening and its closing character: ``BRACKETS`` or ``ENCLOSING``.
    """
    if len(mention) < 3 or mention[0] + mention[-1] not in pairs:
        return mention
    opens, closes, inner = mention[0], mention[-1], mention[1:-1]
    if opens not in inner and closes not in inner:
        return inner
    if opens == closes:
        return mention
    depth = 0
    for char in inner:
        depth += (char == opens) - (char == closes)
        if depth < 0:  # what was opened first is closed before the end
            return mention
    return inner if depth == 0 else mention


# The mentions of a passage come one after the other: what is kept serves two passages.
@lru_cache(maxsize=2 * len(LEVELS))
def _folded(text: str, level: Level) -> str:
    return fold(text, level)


@lru_cache(maxsize=2 * len(LEVELS))
def _origin(text: str, level: Level) -> Origin:
    return origin(text, level)


def _ground_folded(text: str, mention: str) -> Grounded | Ungrounded:
    for level in LEVELS:
        if level == "script" and (text.isascii() or not HAN_CHAR.search(mention)):
            break  # there is nothing that has two scripts
        surfaces = _surfaces(text, mention, level)
        if len(surfaces) == 1:
            return Grounded(surfaces[0], occurrences(text, surfaces[0]))
        if surfaces:
            return "ambiguous_mention"
    return "not_in_passage"


def _surfaces(text: str, mention: str, level: Level, first: bool = False) -> list[str]:
    """The different surfaces in the text that are equal to the mention at a level, in order of appearance."""
    needle = fold(mention, level)
    folded = _folded(text, level)
    at = folded.find(needle) if needle else -1
    surfaces: dict[str, None] = {}
    while at >= 0:
        end = at + len(needle)
        begins, ends = _origin(text, level)
        begin, stop = min(begins[at:end]), max(ends[at:end])
        surface = text[begin:stop]
        if fold(surface, level) == needle and (level == "lower" or _whole(text, begin, stop)):
            surfaces[surface] = None
            if first:
                break
            at = folded.find(needle, end)
        else:
            at = folded.find(needle, at + 1)
    return list(surfaces)


def _whole(text: str, begin: int, end: int) -> bool:
    """Whether a range cuts through neither a character as people see it nor a word of letters."""
    return not any(inside_grapheme(text, at) or inside_word(text, at) for at in (begin, end))
