"""What the report takes from the large files of a run, each read once from front to back in flat memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from sinoner import disk
from sinoner.measurements import TypeCount, TypeInventory
from sinoner.records import Annotation, Annotator, Conversation, Reject

T = TypeVar("T")
_CANDIDATES = 400  # training conversations looked at for the ones to show
_EXAMPLES = 8


class Spread(Generic[T]):
    """Some of a stream's items, evenly spread over it, without knowing how long it is.

    Keeps every n-th item and doubles n whenever it holds twice as many as wanted: the same stream gives the same
    items, and never more than ``2 * most`` are held.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._step = 1
        self._seen = 0
        self._kept: list[T] = []

    def add(self, item: T) -> None:
        """Look at the next item."""
        if self._seen % self._step == 0:
            self._kept.append(item)
            if len(self._kept) > 2 * self._most:
                self._kept = self._kept[::2]
                self._step *= 2
        self._seen += 1

    def chosen(self, most: int | None = None) -> list[T]:
        """At most ``most`` of the items kept (as many as were wanted when it is not given), in order."""
        wanted = self._most if most is None else min(most, self._most)
        if len(self._kept) <= wanted:
            return list(self._kept)
        return [self._kept[i * len(self._kept) // wanted] for i in range(wanted)]


class Look:
    """One pass over the annotations: passages to show, annotators, languages, and types when nobody counted them.

    Args:
        passages: how many passages to show.
        wanted: passages whose language is asked for.
        count_types: whether types are counted as well.
    """

    def __init__(self, passages: int, wanted: Iterable[str], *, count_types: bool) -> None:
        self._most = passages
        self._wanted = frozenset(wanted)
        self._spread: dict[str, Spread[Annotation]] = {}
        self._types: dict[tuple[str, str], _Type] | None = {} if count_types else None
        self.annotators: Counter[Annotator] = Counter()
        self.langs: dict[str, str] = {}

    def over(self, annotations: Iterable[Annotation]) -> Look:
        """Read them all."""
        for annotation in annotations:
            passage = annotation.passage
            self.annotators[annotation.by] += 1
            if passage.id in self._wanted:
                self.langs[passage.id] = passage.lang
            if annotation.entities:
                if passage.lang not in self._spread:
                    self._spread[passage.lang] = Spread(self._most)
                self._spread[passage.lang].add(annotation)
                if self._types is not None:
                    self._count(annotation, self._types)
        return self

    def passages(self) -> list[Annotation]:
        """Passages with entities, spread over the run and over its languages."""
        langs = sorted(self._spread, reverse=True)
        return [a for lang in langs for a in self._spread[lang].chosen(self._most // len(langs))]

    def inventory(self) -> TypeInventory:
        """The types that were counted, Chinese first, the most frequent first within a language."""
        found = self._types or {}
        ordered = sorted(found, key=lambda k: (k[0] != "zh", k[0], -found[k].mentions, k[1]))
        return TypeInventory(
            types=tuple(
                TypeCount(
                    lang=lang,
                    type=name,
                    mentions=found[lang, name].mentions,
                    passages=found[lang, name].passages,
                    examples=tuple(found[lang, name].examples),
                )
                for lang, name in ordered
            )
        )

    @staticmethod
    def _count(annotation: Annotation, types: dict[tuple[str, str], _Type]) -> None:
        for name, surfaces in _by_type(annotation).items():
            key = (annotation.passage.lang, name)
            if key not in types:
                types[key] = _Type()
            own = types[key]
            own.passages += 1
            own.mentions += len(surfaces)
            for surface in surfaces:
                if len(own.examples) == _EXAMPLES:
                    break
                own.examples[surface] = None


class _Type:
    """What is counted of one type."""

    __slots__ = ("examples", "mentions", "passages")

    def __init__(self) -> None:
        self.mentions = 0
        self.passages = 0
        self.examples: dict[str, None] = {}


def _by_type(annotation: Annotation) -> dict[str, dict[str, None]]:
    """The distinct surfaces of each type, in order of appearance."""
    found: dict[str, dict[str, None]] = {}
    for entity in annotation.entities:
        found.setdefault(entity.type, {})[entity.surface] = None
    return found


Group = tuple[str, str, str]  # stage, unit, reason


def rejects(folder: Path, stages: Iterable[str], most: int) -> dict[Group, tuple[int, list[Reject]]]:
    """How many rejects there are of each stage, unit and reason, and ``most`` of them, spread over the run."""
    counts: Counter[Group] = Counter()
    samples: dict[Group, Spread[Reject]] = {}
    for stage in stages:
        path = folder / "rejects" / f"{stage}.jsonl"
        for reject in disk.read_records(path, Reject) if path.exists() else ():
            key = (stage, reject.unit, reject.reason)
            if key not in samples:
                samples[key] = Spread(most)
            counts[key] += 1
            samples[key].add(reject)
    return {key: (counts[key], spread.chosen()) for key, spread in samples.items()}


def conversations(path: Path) -> list[Conversation]:
    """Some training conversations, spread over the file: candidates to show."""
    if not path.exists():
        return []
    lines: Spread[bytes] = Spread(_CANDIDATES)
    with path.open("rb") as file:
        for line in file:
            lines.add(line)
    return [disk.parse(line, Conversation) for line in lines.chosen()]


def one_per_language(found: Iterable[Conversation], langs: Mapping[str, str]) -> list[Conversation]:
    """The first conversation of each language, with examples if one of it has some."""
    first: dict[str, Conversation] = {}
    for conversation in found:
        key = langs.get(conversation.passage, "")
        if key not in first or (conversation.examples and not first[key].examples):
            first[key] = conversation
    return [first[key] for key in sorted(first, reverse=True)]
