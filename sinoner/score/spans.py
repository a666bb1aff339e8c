"""Annotations against gold on spans, under four definitions of a match.

Every scheme counts the same mentions, distinct (start, end, type) triples of gold and of the annotations, and pairs
each mention with at most one of the other side:

* ``strict``: same span and same type.
* ``span``: same span, whatever the type.
* ``type``: same type, and the spans share a character.
* ``relaxed``: the spans share a character, whatever the type; an equal span counts 1, another one 0.5.

Where several pairs are possible, equal spans are paired first, then those that share the most characters; ties go to
the nearest boundaries, then to the leftmost gold mention, then to the leftmost annotated one.

The schemes are those of the MUC and SemEval-2013 task 9 evaluations, which ``nervaluate`` computes as ``strict``,
``exact``, ``ent_type`` and ``partial``. Where every mention overlaps at most one of the other side the figures are
equal to its own. Elsewhere ``nervaluate`` pairs in the order of the annotations: one that overlaps a gold mention of
another span or type uses it up, and a later, exact one finds nothing. Here an exact match always counts.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple, get_args

from sinoner.measurements import Scheme, SpanScore, TypeScore
from sinoner.records import Entity
from sinoner.score.bootstrap import intervals
from sinoner.score.f1 import percent

# The name that types are compared by, for a type and the language of the passage; None = the type itself.
Canonical = Callable[[str, str], str | None]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
_Range = tuple[int, int]


class Span(NamedTuple):
    """One mention: half-open offsets in code points, and its type."""

    start: int
    end: int
    type: str


class Matches(NamedTuple):
    """Counts of one passage: gold mentions, annotated mentions, and matches per scheme."""

    gold: int
    predicted: int
    strict: int
    span: int
    type: int
    relaxed: float


def spans(entities: Iterable[Entity], shift: int = 0) -> list[Span]:
    """The mentions of entities, one per occurrence.

    Args:
        entities: of one passage.
        shift: added to every offset, for a passage that is a part of a longer text.
    """
    return [
        Span(start + shift, start + shift + len(entity.surface), entity.type)
        for entity in entities
        for start in entity.starts
    ]


def match(gold: set[Span], predicted: set[Span]) -> Matches:
    """Compare the mentions of one passage under all schemes."""
    both = gold & predicted
    strict = span = kind = len(both)
    relaxed = float(strict)
    missed, spurious = gold - both, predicted - both
    if missed and spurious:
        left, over = Counter(s[:2] for s in missed), Counter(s[:2] for s in spurious)
        equal = left & over
        span += equal.total()
        relaxed = span + 0.5 * _overlapping((left - equal).elements(), (over - equal).elements())
        for name in {s.type for s in missed} & {s.type for s in spurious}:
            kind += _overlapping(
                (s[:2] for s in missed if s.type == name), (s[:2] for s in spurious if s.type == name)
            )
    return Matches(len(gold), len(predicted), strict, span, kind, relaxed)


def _overlapping(gold: Iterable[_Range], predicted: Iterable[_Range]) -> int:
    """How many pairs of overlapping ranges there are when each range is in one at most, the best pairs first."""
    expected, given = sorted(gold), sorted(predicted)
    starts = [start for start, _ in given]
    longest = max((end - start for start, end in given), default=0)
    pairs: list[tuple[int, int, int, int]] = []
    for i, (start, end) in enumerate(expected):
        # Only ranges that begin within the longest one's reach can overlap.
        for j in range(bisect_right(starts, start - longest), bisect_left(starts, end)):
            other_start, other_end = given[j]
            shared = min(end, other_end) - max(start, other_start)
            if shared > 0:
                pairs.append((-shared, abs(start - other_start) + abs(end - other_end), i, j))
    used_gold: set[int] = set()
    used_given: set[int] = set()
    for _, _, i, j in sorted(pairs):
        if i not in used_gold and j not in used_given:
            used_gold.add(i)
            used_given.add(j)
    return len(used_gold)


class SpanCounts:
    """Counts passages one by one; uses 48 bytes of memory per passage."""

    def __init__(self, canonical: Canonical | None = None) -> None:
        """Start with nothing counted.

        Args:
            canonical: the name that types are compared by; None compares them as they are written.
        """
        self._canonical = canonical
        self._names: dict[tuple[str, str], str] = {}
        self._table = array("d")
        self._gold: Counter[str] = Counter()
        self._predicted: Counter[str] = Counter()
        self._correct: Counter[str] = Counter()
        self._of_gold: dict[str, dict[str, None]] = {}  # names as gold writes them, by the name compared

    def add(self, gold: Iterable[Span], predicted: Iterable[Span], lang: str) -> Matches:
        """Count one passage: its gold mentions and the annotated ones, repeats once."""
        gold = list(gold)
        expected, given = self._named(gold, lang), self._named(predicted, lang)
        for kind in dict.fromkeys(span.type for span in gold):
            self._of_gold.setdefault(self._name(kind, lang), {})[kind] = None
        found = match(expected, given)
        self._table.extend(found)
        self._gold.update(s.type for s in expected)
        self._predicted.update(s.type for s in given)
        self._correct.update(s.type for s in expected & given)
        return found

    def scores(self, resamples: int, seed: int) -> tuple[SpanScore, ...]:
        """The score of every scheme over all passages counted.

        Args:
            resamples: bootstrap resamples of the passages for the interval of F1; 0 = no interval.
            seed: seed of the draws; all schemes share them.
        """
        import numpy as np

        table = np.frombuffer(self._table, dtype=np.float64).reshape(-1, len(Matches._fields))
        gold, predicted, *correct = (float(x) for x in table.sum(axis=0))
        bounds = intervals(table, resamples, seed)
        return tuple(
            _score(scheme, gold, predicted, right, ends)
            for scheme, right, ends in zip(SCHEMES, correct, bounds, strict=True)
        )

    def types(self) -> tuple[TypeScore, ...]:
        """The strict scores of every type, by gold mentions, the most first; types that gold does not have last.

        A type has gold's name for it; several gold names that compare as equal are reported under the compared name.
        """
        counts: dict[str, list[int]] = {}
        for name in self._gold.keys() | self._predicted.keys():
            gold_names = list(self._of_gold.get(name, ()))
            row = counts.setdefault(gold_names[0] if len(gold_names) == 1 else name, [0, 0, 0])
            for i, counter in enumerate((self._gold, self._predicted, self._correct)):
                row[i] += counter[name]
        ranked = sorted(counts.items(), key=lambda item: (-item[1][0], -item[1][1], item[0]))
        return tuple(_type_score(name, *row) for name, row in ranked)

    def merged(self) -> tuple[tuple[str, ...], ...]:
        """Gold names that the comparison treats as one type, in order of first appearance."""
        return tuple(tuple(names) for names in self._of_gold.values() if len(names) > 1)

    def _named(self, found: Iterable[Span], lang: str) -> set[Span]:
        if self._canonical is None:
            return set(found)
        return {Span(start, end, self._name(kind, lang)) for start, end, kind in found}

    def _name(self, kind: str, lang: str) -> str:
        if self._canonical is None:
            return kind
        name = self._names.get((kind, lang))
        if name is None:
            name = self._names[kind, lang] = self._canonical(kind, lang) or kind
        return name


def _score(
    scheme: Scheme, gold: float, predicted: float, correct: float, bounds: tuple[float, float] | None
) -> SpanScore:
    precision, recall, f1 = percent((gold, predicted, correct))
    return SpanScore(
        scheme=scheme,
        gold=int(gold),
        predicted=int(predicted),
        correct=correct,
        precision=precision,
        recall=recall,
        f1=f1,
        low=bounds[0] if bounds else None,
        high=bounds[1] if bounds else None,
    )


def _type_score(name: str, gold: int, predicted: int, correct: int) -> TypeScore:
    precision, recall, f1 = percent((gold, predicted, correct))
    return TypeScore(
        type=name, gold=gold, predicted=predicted, correct=correct, precision=precision, recall=recall, f1=f1
    )
