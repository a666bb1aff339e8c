"""Micro precision, recall and F1: the metric of UniversalNER and a strict span metric."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sinoner.records import Annotation, Prediction

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Counts(NamedTuple):
    """Numbers of gold, predicted and correct mentions."""

    gold: int
    predicted: int
    correct: int

    def __add__(self, other: object) -> Counts:
        if not isinstance(other, Counts):
            return NotImplemented
        return Counts(self.gold + other.gold, self.predicted + other.predicted, self.correct + other.correct)


def normalise(surface: str) -> str:
    """Lower case, no ASCII punctuation, no English article, single spaces (UniversalNER's evaluation)."""
    return " ".join(_ARTICLES.sub(" ", surface.lower().translate(_NO_PUNCTUATION)).split())


def query_counts(gold: Iterable[str], predicted: Iterable[str]) -> Counts:
    """Counts of one (passage, type) query, on normalised surfaces without repeats."""
    expected = {normalise(s) for s in gold}
    found = {normalise(s) for s in predicted}
    return Counts(len(expected), len(found), len(expected & found))


def strict_counts(annotation: Annotation, kind: str, predicted: Iterable[str]) -> Counts:
    """Counts of one (passage, type) query on spans, nothing normalised.

    A predicted surface counts at all its occurrences in the passage; one that does not occur is one wrong span.
    """
    expected = {(s, e.surface) for e in annotation.entities if e.type == kind for s in e.starts}
    found: set[tuple[int, str]] = set()
    for surface in predicted:
        starts = (
            [m.start() for m in re.finditer(re.escape(surface), annotation.passage.text)] if surface else []
        )
        found.update((s, surface) for s in starts or [-1])
    return Counts(len(expected), len(found), len(expected & found))


def percent(counts: tuple[float, float, float]) -> tuple[float, float, float]:
    """Precision, recall and F1 in percent, two decimals, of gold, predicted and correct mentions."""
    gold, predicted, correct = counts
    precision = correct / predicted if predicted else 0.0
    recall = correct / gold if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return round(100 * precision, 2), round(100 * recall, 2), round(100 * f1, 2)


class Scored(NamedTuple):
    """Counts of every passage, in the order of the gold, by both metrics."""

    reference: list[Counts]
    strict: list[Counts]


Query = tuple[str, str]  # id of the passage, and the type


def count(
    gold: Sequence[Annotation], types: Sequence[str], predictions: Mapping[Query, Prediction]
) -> Scored:
    """Counts of every passage over all its type queries.

    Args:
        gold: the annotated passages.
        types: the types queried for every passage.
        predictions: by id of the passage and type; every query must be present.

    Raises:
        KeyError: a query has no prediction.
    """
    reference: list[Counts] = []
    strict: list[Counts] = []
    for annotation in gold:
        by_reference = by_span = Counts(0, 0, 0)
        for kind in types:
            surfaces = predictions[annotation.passage.id, kind].surfaces
            by_reference += query_counts((e.surface for e in annotation.entities if e.type == kind), surfaces)
            by_span += strict_counts(annotation, kind, surfaces)
        reference.append(by_reference)
        strict.append(by_span)
    return Scored(reference, strict)
