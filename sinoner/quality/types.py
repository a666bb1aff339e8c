"""The entity types of a run: how often each occurs, what was merged into it, and how consistently it is used."""

from __future__ import annotations

from collections import Counter
from heapq import nsmallest
from zlib import crc32

from sinoner.measurements import TypeCount, TypeInventory
from sinoner.quality.synonyms import TypeMap, synonyms
from sinoner.records import Annotation

__all__ = ["Inventory", "TypeMap", "synonyms"]

EXAMPLES = 8  # surfaces kept per type
SAMPLE = 50_000  # (surface, type) pairs held per language to see which surfaces carry several types
_OTHERS = 5  # names kept of the types that share a type's surfaces


class Inventory:
    """Counts types passage by passage.

    Memory grows with the number of different types, not with the corpus. Which surfaces carry several types is seen
    on a sample of the distinct surfaces: those whose CRC-32 ends in enough zero bits, one bit more whenever the sample
    is full. So a surface that is in the sample at the end has been in it from its first occurrence on, and the
    sample depends on which surfaces there are, not on their order.
    """

    def __init__(self, sample: int = SAMPLE) -> None:
        """Start with nothing counted.

        Args:
            sample: (surface, type) pairs that are held at most per language.
        """
        self._sample = sample
        self._langs: dict[str, _Types] = {}
        self._passages = 0

    def add(self, annotation: Annotation) -> None:
        """Count the entities of one passage; each surface counts once per type."""
        lang = annotation.passage.lang
        types = self._langs.get(lang)
        if types is None:
            types = self._langs[lang] = _Types(self._sample)
        self._passages = number = self._passages + 1
        rows, held = types.rows, types.held
        for entity in annotation.entities:
            kind, surface = entity.type, entity.surface
            row = rows.get(kind)
            if row is None:
                row = rows[kind] = _Row()
            if row.passage != number:
                row.passage = number
                row.passages += 1
                row.here = [surface]
            elif surface in row.here:
                continue
            else:
                row.here.append(surface)
            row.mentions += 1
            if row.missing and surface not in row.examples:
                row.examples.append(surface)
                row.missing -= 1
            said = entity.original_type
            if said is not None:
                row.variants[said] = row.variants.get(said, 0) + 1
            if held.get(surface) != kind and not crc32(surface.encode()) & types.mask:
                types.hold(surface, kind)

    def result(self) -> TypeInventory:
        """What was counted so far, languages in alphabetical order."""
        counts: list[TypeCount] = []
        before: dict[str, int] = {}
        after: dict[str, int] = {}
        singletons: dict[str, int] = {}
        for lang, types in sorted(self._langs.items()):
            if not types.rows:
                continue
            shared = types.shared()
            for name, row in sorted(types.rows.items(), key=lambda item: (-item[1].mentions, item[0])):
                counts.append(_count(lang, name, row, *shared.get(name, (0, Counter()))))
            named = {name for name, row in types.rows.items() if row.mentions > sum(row.variants.values())}
            before[lang] = len(named.union(*(row.variants for row in types.rows.values())))
            after[lang] = len(types.rows)
            singletons[lang] = sum(row.mentions == 1 for row in types.rows.values())
        surfaces = sum(len(types.held) for types in self._langs.values())
        return TypeInventory(
            types=tuple(counts), before=before, after=after, singletons=singletons, surfaces=surfaces
        )


class _Row:
    """The counts of one type; ``here`` are its surfaces in the passage that was counted last."""

    __slots__ = ("examples", "here", "mentions", "missing", "passage", "passages", "variants")

    def __init__(self) -> None:
        self.mentions = 0
        self.passages = 0
        self.passage = 0
        self.here: list[str] = []
        self.examples: list[str] = []
        self.missing = EXAMPLES
        self.variants: dict[str, int] = {}


class _Types:
    """The types of one language, and the sample of surfaces with the types that each of them carries.

    Most surfaces carry one type, so that one is held as a string, and several as a tuple.
    """

    def __init__(self, most: int) -> None:
        self.rows: dict[str, _Row] = {}
        self.held: dict[str, str | tuple[str, ...]] = {}
        self.mask = 0
        self._most = most
        self._pairs = 0

    def hold(self, surface: str, kind: str) -> None:
        """Note that a surface of the sample carries a type."""
        known = self.held.get(surface)
        if known is None:
            self.held[surface] = kind
        elif isinstance(known, str):
            self.held[surface] = (known, kind)
        elif kind in known:
            return
        else:
            self.held[surface] = (*known, kind)
        self._pairs += 1
        while self._pairs > self._most:
            self.mask = self.mask * 2 + 1
            self.held = {s: k for s, k in self.held.items() if not crc32(s.encode()) & self.mask}
            self._pairs = sum(1 if isinstance(k, str) else len(k) for k in self.held.values())

    def shared(self) -> dict[str, tuple[int, Counter[str]]]:
        """For each type, how many surfaces of the sample carry it, and how many of them each other type carries.

        The sum of the latter under the type's own name: surfaces that carry any other type as well.
        """
        result: dict[str, tuple[int, Counter[str]]] = {}
        sizes: Counter[str] = Counter()
        others: dict[str, Counter[str]] = {}
        for kinds in self.held.values():
            if isinstance(kinds, str):
                sizes[kinds] += 1
                continue
            for kind in kinds:
                sizes[kind] += 1
                others.setdefault(kind, Counter()).update(kinds)
        for kind, size in sizes.items():
            result[kind] = (size, others.get(kind, Counter()))
        return result


def _count(lang: str, name: str, row: _Row, size: int, others: Counter[str]) -> TypeCount:
    most = nsmallest(_OTHERS + 1, others.items(), key=lambda item: (-item[1], item[0]))
    ranked = [kind for kind, _ in most if kind != name]
    return TypeCount(
        lang=lang,
        type=name,
        mentions=row.mentions,
        passages=row.passages,
        examples=tuple(row.examples),
        variants=tuple(sorted(row.variants.items(), key=lambda item: (-item[1], item[0]))),
        unstable=others[name] / size if size else None,
        others=tuple(ranked[:_OTHERS]),
    )
