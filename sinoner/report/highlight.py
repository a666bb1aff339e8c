"""A passage cut into what the page highlights: plain text, mentions, and mentions inside mentions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sinoner.records import Annotation, Facts

COLOURS = 12
DEPTH = 6  # mentions inside mentions that are still told apart by eye


class Tag(Facts):
    """A type of a mention, and what the annotator called it when the filter merged it into that type."""

    type: str
    original: tuple[str, ...] = ()


class Segment(Facts):
    """A stretch of a passage: plain text (no tags), or a mention with its types and with what lies inside it.

    Attributes:
        text: the stretch.
        tags: the types; empty for plain text.
        parts: the mention cut again where others lie inside it; empty when none do.
    """

    text: str
    tags: tuple[Tag, ...] = ()
    parts: tuple[Segment, ...] = ()


Span = tuple[int, int]


def spans(annotation: Annotation) -> dict[Span, tuple[Tag, ...]]:
    """The half-open code-point ranges of all mentions, by start, the longer first, each with its types."""
    found: dict[Span, dict[str, dict[str, None]]] = {}
    for entity in annotation.entities:
        for start in entity.starts:
            types = found.setdefault((start, start + len(entity.surface)), {})
            originals = types.setdefault(entity.type, {})
            if entity.original_type is not None and entity.original_type != entity.type:
                originals[entity.original_type] = None
    return {
        span: tuple(Tag(type=t, original=tuple(names)) for t, names in found[span].items())
        for span in sorted(found, key=lambda s: (s[0], -s[1]))
    }


def segments(annotation: Annotation) -> tuple[Segment, ...]:
    """Cut a passage into plain stretches and mentions; joined again they are the passage.

    Mentions inside others are their parts, ``DEPTH`` deep; of crossing ones the first is shown. See ``crossing`` for
    the rest.
    """
    shown, _ = _nested(annotation)
    return _cut(annotation.passage.text, 0, len(annotation.passage.text), shown, spans(annotation))


def crossing(annotation: Annotation) -> list[Segment]:
    """The mentions that ``segments`` does not show: they begin inside another one and end after it, or lie too deep."""
    text, found = annotation.passage.text, spans(annotation)
    _, crossed = _nested(annotation)
    return list(
        dict.fromkeys(Segment(text=text[start:end], tags=found[start, end]) for start, end in crossed)
    )


def colours(annotations: Iterable[Annotation]) -> dict[str, dict[str, int]]:
    """A colour number per language and type, the most frequent first; the rest share the number ``COLOURS``."""
    counts: dict[str, Counter[str]] = {}
    for annotation in annotations:
        counter = counts.setdefault(annotation.passage.lang, Counter())
        for entity in annotation.entities:
            counter[entity.type] += len(entity.starts)
    return {
        lang: {t: min(i, COLOURS) for i, t in enumerate(sorted(counter, key=lambda t: (-counter[t], t)))}
        for lang, counter in counts.items()
    }


def _nested(annotation: Annotation) -> tuple[list[Span], list[Span]]:
    """The spans that nest properly, outer before inner, and the others."""
    shown: list[Span] = []
    crossed: list[Span] = []
    around: list[int] = []  # ends of the shown spans that are still open, the innermost last
    for start, end in spans(annotation):
        while around and around[-1] <= start:
            around.pop()
        if len(around) >= DEPTH or (around and end > around[-1]):
            crossed.append((start, end))
        else:
            shown.append((start, end))
            around.append(end)
    return shown, crossed


def _cut(
    text: str, at: int, to: int, inside: list[Span], tags: dict[Span, tuple[Tag, ...]]
) -> tuple[Segment, ...]:
    """The stretch ``at`` to ``to`` with the spans that lie inside it, outer before inner."""
    pieces: list[Segment] = []
    i = 0
    while i < len(inside):
        start, end = inside[i]
        after = i + 1
        while after < len(inside) and inside[after][0] < end:
            after += 1
        if start > at:
            pieces.append(Segment(text=text[at:start]))
        inner = inside[i + 1 : after]
        parts = _cut(text, start, end, inner, tags) if inner else ()
        pieces.append(Segment(text=text[start:end], tags=tags[start, end], parts=parts))
        at, i = end, after
    if at < to:
        pieces.append(Segment(text=text[at:to]))
    return tuple(pieces)
