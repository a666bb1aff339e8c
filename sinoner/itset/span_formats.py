"""Annotations for training encoders: the token format of GLiNER, and labelled character spans."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import NamedTuple

import msgspec

from sinoner.records import Annotation
from sinoner.text.mentions import span_row, spans_of

Span = tuple[int, int]

_encode = msgspec.json.Encoder().encode

# Scripts that are written without spaces: every character is a token.
_SINGLE = (
    r"\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_LETTER = rf"[^\W{_SINGLE}]"
_WORD = rf"{_LETTER}[\u0300-\u036f]*"
# Numbers with their separators, words with inner hyphens (as in GLiNER's own splitter). Every other token is one character.
_BEGIN = re.compile(_LETTER)  # first letter of a longer token; ten times faster to find
_LONGER = re.compile(rf"\d+(?:[.,]\d+)+(?!{_WORD})|(?:{_WORD})+(?:[-_](?:{_WORD})+)*")


class Gliner(NamedTuple):
    """A passage in the format of GLiNER.

    Attributes:
        tokens: the words, characters and marks of the passage, without the white space between them.
        ner: first token, last token (inclusive) and type of every occurrence, in text order.
        left_out: occurrences that tokens cannot represent, because they begin or end with white space.
    """

    tokens: tuple[str, ...]
    ner: tuple[tuple[int, int, str], ...]
    left_out: int


def gliner(annotation: Annotation) -> Gliner:
    """Cut a passage into tokens such that every occurrence begins and ends at a token boundary.

    Each Chinese character is a token, and so is each Latin word or number; a word is cut where a mention ends inside it.
    """
    text = annotation.passage.text
    spans = spans_of(annotation)
    kept = [(s, e, kind) for s, e, kind in spans if not (text[s].isspace() or text[e - 1].isspace())]
    ranges = token_ranges(text, {edge for start, end, _ in kept for edge in (start, end)})
    starts = [start for start, _ in ranges]
    return Gliner(
        tokens=tuple([text[start:end] for start, end in ranges]),
        ner=tuple(
            [(bisect_left(starts, start), bisect_left(starts, end) - 1, kind) for start, end, kind in kept]
        ),
        left_out=len(spans) - len(kept),
    )


def token_ranges(text: str, edges: set[int]) -> list[Span]:
    """The half-open ranges of the tokens of a text, ascending; none crosses an edge."""
    ranges: list[Span] = []
    inner = sorted(edges)
    next_edge = done = 0
    while (begin := _BEGIN.search(text, done)) and (found := _LONGER.match(text, begin.start())):
        start, end = found.span()
        ranges += _characters(text, done, start)
        done = end
        if end - start > 1:
            next_edge = bisect_right(inner, start, next_edge)
            while next_edge < len(inner) and inner[next_edge] < end:
                ranges.append((start, inner[next_edge]))
                start = inner[next_edge]
                next_edge += 1
        ranges.append((start, end))
    return ranges + _characters(text, done, len(text))


def _characters(text: str, start: int, end: int) -> list[Span]:
    """A range for each character that is not white space."""
    if len("".join(text[start:end].split())) == end - start:
        return list(zip(range(start, end), range(start + 1, end + 1), strict=True))
    return [(i, i + 1) for i in range(start, end) if not text[i].isspace()]


def gliner_json(passage: Gliner) -> bytes:
    """A passage as an element of GLiNER's JSON array; elements are joined by ``export.ELEMENTS``."""
    return _encode({"tokenized_text": passage.tokens, "ner": passage.ner})


def span_json(annotation: Annotation) -> bytes:
    """A passage as a line of span JSONL, including the line end."""
    return _encode(span_row(annotation)) + b"\n"
