"""Where the texts of gold stand in a run: as one passage, or as a document whose chunks rejoin to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from sinoner.records import Annotation, Passage


class Place(NamedTuple):
    """A passage as a part of a gold text.

    Attributes:
        gold: number of the gold text.
        begin: offset of the passage's first character in the gold text, in code points; negative when the passage
            has white space before it that the gold text lacks.
        end: offset behind its last character.
    """

    gold: int
    begin: int
    end: int


@dataclass(frozen=True)
class Places:
    """What was found of gold in a run; nothing of the run is held but the ids of these passages.

    Attributes:
        of: the places of a passage, by its id.
        chunks: how many passages make up a gold text, by its number; a text that was not found is not here.
        repeated: numbers of the gold texts that stand in the run several times; the first one counts.
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
    wanted = texts(gold)
    longest = max(map(len, wanted), default=0)
    places = Places()
    for _, document in groupby(passages, key=lambda p: p.whole):
        chunks: list[Passage] = []
        size = 0  # without outer white space of any chunk: never more than the document has
        for passage in document:
            _place([passage], gold, wanted, places)
            if size <= longest:
                chunks.append(passage)
                size += len(passage.text.strip())
        if len(chunks) > 1 and size <= longest:
            _place(chunks, gold, wanted, places)
    return places


def _place(
    chunks: Sequence[Passage], gold: Sequence[Annotation], wanted: Mapping[str, int], places: Places
) -> None:
    """Note where the chunks stand when they rejoin to a gold text."""
    text = "".join(p.text for p in chunks)
    number = wanted.get(text.strip())
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


def _margin(text: str) -> int:
    """Code points of white space before a text."""
    return len(text) - len(text.lstrip())
