"""Annotations for those who train encoders: GLiNER's tokens with labelled token ranges, and labelled character spans."""

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
# Numbers with their separators, words with the hyphens inside them (as GLiNER's own splitter). All else is one character.
_BEGIN = re.compile(_LETTER)  # of such a one; found ten times as fast
_LONGER = re.compile(rf"\d+(?:[.,]\d+)+(?!{_WORD})|(?:{_WORD})+(?:[-_](?:{_WORD})+)*")


class Gliner(NamedTuple):
    """A passage as GLiNER reads it.

    Attributes:
        tokens: the words, characters and marks of the passage, without the white space between them.
        ner: first token, last token (inclusive) and type of every occurrence, in text order.
        left_out: occurrences that tokens cannot express, because white space is at their edge.
    """

    tokens: tuple[str, ...]
    ner: tuple[tuple[int, int, str], ...]
    left_out: int


def gliner(annotation: Annotation) -> Gliner:
    """Cut a passage into tokens such that every occurrence begins and ends with one.

    Chinese characters are tokens, Latin words and numbers are whole; a word that a mention ends inside of is cut there.
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
    """Where the tokens of a text are, half-open and ascending; none reaches across an edge."""
    ranges: list[Span] = []
    inner = sorted(edges)
    at = done = 0
    while (begin := _BEGIN.search(text, done)) and (found := _LONGER.match(text, begin.start())):
        start, end = found.span()
        ranges += _characters(text, done, start)
        done = end
        if end - start > 1:
            at = bisect_right(inner, start, at)
            while at < len(inner) and inner[at] < end:
                ranges.append((start, inner[at]))
                start = inner[at]
                at += 1
        ranges.append((start, end))
    return ranges + _characters(text, done, len(text))


def _characters(text: str, start: int, end: int) -> list[Span]:
    """A range for each character, but for white space."""
    if len("".join(text[start:end].split())) == end - start:
        return list(zip(range(start, end), range(start + 1, end + 1), strict=True))
    return [(i, i + 1) for i in range(start, end) if not text[i].isspace()]


def gliner_json(passage: Gliner) -> bytes:
    """A passage as an element of GLiNER's JSON array, to be joined by ``export.ELEMENTS``."""
    return _encode({"tokenized_text": passage.tokens, "ner": passage.ner})


def span_json(annotation: Annotation) -> bytes:
    """A passage as a line of span JSONL, line end included."""
    return _encode(span_row(annotation)) + b"\n"
