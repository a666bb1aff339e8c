"""Locating gold texts in a run: as one passage, or as a document whose joined chunks equal the text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace

from sinoner.records import Annotation, Entity, Passage
from sinoner.score.spans import Span, spans


class Place(NamedTuple):
    """A passage as a part of a gold text.

    Attributes:
        gold: number of the gold text.
        begin: offset of the passage's first character in the gold text, in code points; negative when the passage
            has white space before it that the gold text lacks.
        end: offset after its last character.
    """

    gold: int
    begin: int
    end: int


@dataclass(frozen=True)
class Places:
    """The gold texts found in a run; of the run, only the ids of these passages are held in memory.

    Attributes:
        of: the places of a passage, by its id.
        chunks: how many passages make up a gold text, by its number; a text that was not found is not here.
        repeated: numbers of the gold texts that occur in the run several times; the first occurrence counts.
    """

    of: dict[str, list[Place]] = field(default_factory=dict)
    chunks: dict[int, int] = field(default_factory=dict)
    repeated: dict[int, None] = field(default_factory=dict)


def texts(gold: Sequence[Annotation]) -> dict[str, int]:
    """Number of each gold passage by its text without outer white space; of equal texts the first one counts."""
    found: dict[str, int] = {}
    for number, annotation in enumerate(gold):
        found.setdefault(annotation.passage.text.strip(), number)
    return found


def locate(gold: Sequence[Annotation], passages: Iterable[Passage]) -> Places:
    """Find gold texts among passages and among the documents that consecutive passages come from.

    Outer white space is not compared; everything else must be equal to the character.

    Args:
        gold: the gold passages.
        passages: of the run, the chunks of a document one after the other; read once, one document held at a time.
    """
    number_of = texts(gold)
    longest = max(map(len, number_of), default=0)
    places = Places()
    for _, document in groupby(passages, key=lambda p: p.whole):
        chunks: list[Passage] = []
        size = 0  # without outer white space of any chunk: never more than the document has
        for passage in document:
            _place([passage], gold, number_of, places)
            if size <= longest:
                chunks.append(passage)
                size += len(passage.text.strip())
        if len(chunks) > 1 and size <= longest:
            _place(chunks, gold, number_of, places)
    return places


def _place(
    chunks: Sequence[Passage], gold: Sequence[Annotation], number_of: Mapping[str, int], places: Places
) -> None:
    """Record the places of the chunks if joined they equal a gold text."""
    text = "".join(p.text for p in chunks)
    number = number_of.get(text.strip())
    if number is None:
        return
    if number in places.chunks:
        here = (place.gold for chunk in chunks for place in places.of.get(chunk.id, ()))
        if number not in here:  # else the other chunks are white space
            places.repeated[number] = None
        return
    places.chunks[number] = len(chunks)
    begin = _margin(gold[number].passage.text) - _margin(text)
    for passage in chunks:
        end = begin + len(passage.text)
        places.of.setdefault(passage.id, []).append(Place(number, begin, end))
        begin = end


class Claims(NamedTuple):
    """The annotations of one gold text, in its offsets.

    Attributes:
        mentions: all of them, chunk by chunk.
        parts: the ranges that were annotated, one for each chunk.
        annotations: the chunks themselves.
    """

    mentions: list[Span]
    parts: list[tuple[int, int]]
    annotations: list[Annotation]


def claims(places: Places, annotations: Iterable[Annotation]) -> dict[int, Claims]:
    """The annotations within gold texts, by number of the text; if a passage has two, the first counts."""
    found: dict[int, Claims] = {}
    seen: set[str] = set()
    for annotation in annotations:
        here = places.of.get(annotation.passage.id)
        if here is None or annotation.passage.id in seen:
            continue
        seen.add(annotation.passage.id)
        for number, begin, end in here:
            claim = found.setdefault(number, Claims([], [], []))
            claim.mentions.extend(spans(annotation.entities, begin))
            claim.parts.append((begin, end))
            claim.annotations.append(annotation)
    return found


def joined(
    gold: Sequence[Annotation], places: Places, annotations: Iterable[Annotation]
) -> dict[int, Annotation]:
    """The chunks of each gold text as one annotation of the whole, by number of the text.

    A text of which a chunk is not annotated is left out, and so is a mention in white space that the gold text lacks.
    """
    whole: dict[int, Annotation] = {}
    for number, claim in claims(places, annotations).items():
        if len(claim.parts) < places.chunks[number]:
            continue
        first, text = claim.annotations[0], gold[number].passage.text
        starts: dict[tuple[str, str], set[int]] = {}
        for start, end, kind in claim.mentions:
            if start >= 0 and end <= len(text):
                starts.setdefault((text[start:end], kind), set()).add(start)
        entities = (
            Entity(surface=surface, type=kind, starts=tuple(sorted(found)))
            for (surface, kind), found in starts.items()
        )
        passage = replace(gold[number].passage, source=first.passage.source, lang=first.passage.lang)
        whole[number] = Annotation(passage=passage, entities=tuple(entities), by=first.by)
    return whole


def _margin(text: str) -> int:
    """Code points of white space before a text."""
    return len(text) - len(text.lstrip())
