"""Reading and writing mentions in files: ``{"start", "end", "type", "text"}``, validated.

Offsets count code points and ranges are half-open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sinoner.records import Annotation


class Span(NamedTuple):
    """A mention: half-open range in code points, and its native tag."""

    start: int
    end: int
    tag: str


class Claim(NamedTuple):
    """A mention as given in a file, not validated.

    Attributes:
        start: first code point; None = not given.
        end: code point after the last; None = not given.
        tag: its type.
        surface: its text; None = not given.
        searched: the format has no offsets, and the surface was searched for in the text.
    """

    start: Any
    end: Any
    tag: Any
    surface: Any = None
    searched: bool = False


class MentionError(ValueError):
    """A mention cannot be used; carries the reject reason and a readable explanation."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


def read_claim(value: Any) -> Claim:
    """What an object ``{"start", "end", "type", "text"}`` (or ``surface`` for ``text``) as a claim.

    Raises:
        MentionError: ``entity_malformed``, it is not an object.
    """
    if not isinstance(value, Mapping):
        raise MentionError("entity_malformed", "is not an object")
    surface = value.get("text")
    return Claim(
        value.get("start"),
        value.get("end"),
        value.get("type"),
        value.get("surface") if surface is None else surface,
    )


def locate(claim: Claim, text: str) -> Span:
    """The validated span of a mention in a text.

    Raises:
        MentionError: ``entity_malformed`` (no type, an empty text, invalid offsets),
            ``entity_without_offsets``, ``entity_mismatch`` (other characters, or none, are at the offsets) or
            ``not_in_text`` (a surface that was searched for).
    """
    start, end, tag, surface, searched = claim
    if not isinstance(tag, str) or not tag.strip():
        raise MentionError("entity_malformed", "has no type")
    if searched and start is None:
        raise MentionError("not_in_text", f"{surface!r} ({tag}) is not in the text")
    if surface is not None and (not isinstance(surface, str) or not surface):
        raise MentionError("entity_malformed", "has no text")
    if start is None or end is None:
        raise MentionError("entity_without_offsets", "has no start and end")
    if type(start) is not int or type(end) is not int or not 0 <= start < end:
        raise MentionError("entity_malformed", f"has invalid offsets: start {start!r}, end {end!r}")
    if end > len(text):
        raise MentionError("entity_mismatch", f"ends at {end}, the text has {len(text)} code points")
    if surface is not None and text[start:end] != surface:
        raise MentionError("entity_mismatch", f"its text is not at {start}:{end} (code points)")
    return Span(start, end, tag)


def spans_of(annotation: Annotation) -> list[Span]:
    """Every mention of a passage once, in text order."""
    return sorted({Span(s, s + len(e.surface), e.type) for e in annotation.entities for s in e.starts})


def mention_rows(annotation: Annotation, *, in_text_order: bool = True) -> list[dict[str, Any]]:
    """The mentions of a passage as ``{"start", "end", "type", "text"}``, in text order or in that of its entities."""
    if not in_text_order:
        return [
            {"start": start, "end": start + len(entity.surface), "type": entity.type, "text": entity.surface}
            for entity in annotation.entities
            for start in entity.starts
        ]
    text = annotation.passage.text
    return [
        {"start": start, "end": end, "type": kind, "text": text[start:end]}
        for start, end, kind in spans_of(annotation)
    ]


def span_row(annotation: Annotation, *, in_text_order: bool = True) -> dict[str, Any]:
    """A passage as an object of span JSONL, the format of gold files: id, text, mentions, language."""
    passage = annotation.passage
    mentions = mention_rows(annotation, in_text_order=in_text_order)
    return {"id": passage.id, "text": passage.text, "entities": mentions, "lang": passage.lang}
