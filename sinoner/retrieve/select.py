"""Choosing the examples of one passage among its candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sinoner.settings import RetrieveSettings

if TYPE_CHECKING:
    Vectors = npt.NDArray[np.float32]
    Scores = npt.NDArray[np.float64]
    Rows = npt.NDArray[np.int64]

# Reciprocal rank fusion: the constant added to a rank (Cormack, Clarke and Büttcher 2009).
_FUSION = 60


class Entry(NamedTuple):
    """A passage that looks for examples, or may be one.

    Attributes:
        id: its id.
        text: its text.
        types: the types it is asked about, or those of its entities.
        document: the id of the document it was cut from; empty when it is a document itself.
    """

    id: str
    text: str
    types: tuple[str, ...] = ()
    document: str = ""

    @property
    def whole(self) -> str:
        """The id of the document it was cut from, or its own."""
        return self.document or self.id


class Candidates(NamedTuple):
    """The candidates for the examples of a passage, nearest first.

    Attributes:
        rows: rows of the pool, shape ``(m,)``.
        cosine: similarity to the passage, shape ``(m,)``.
        vectors: of the whole pool, for strategies that compare candidates with each other.
        bm25: scores for the passage, shape ``(m,)``, for strategies that use them.
        by_bm25: rows with the best BM25 scores in the whole pool, best first (``hybrid``).
    """

    rows: Rows
    cosine: Vectors
    vectors: Vectors | None = None
    bm25: Scores | None = None
    by_bm25: Rows | None = None


class Chosen(NamedTuple):
    """The examples of a passage, best first, and how many were excluded because of their BM25 score."""

    rows: Sequence[int]
    cosine: Sequence[float]
    bm25: Sequence[float]
    below: int


def choose(
    query: Entry, candidates: Candidates, pool: Sequence[Entry], settings: RetrieveSettings, seed: int
) -> Chosen:
    """The examples that the strategy selects.

    Args:
        query: the passage.
        candidates: its candidates, without itself.
        pool: all passages that may be examples.
        settings: strategy, k, threshold and relevance.
        seed: seed of random choices.
    """
    places = _STRATEGIES[settings.strategy](query, candidates, pool, settings, seed)
    kept = places
    if settings.strategy.endswith(("_bm25", "_bm25_rank")):
        assert candidates.bm25 is not None
        kept = [p for p in places if candidates.bm25[p] >= settings.threshold]
    return Chosen(
        [int(candidates.rows[p]) for p in kept],
        [float(candidates.cosine[p]) for p in kept],
        [] if candidates.bm25 is None else [float(candidates.bm25[p]) for p in kept],
        len(places) - len(kept),
    )


def _nearest(query: Entry, c: Candidates, pool: Sequence[Entry], s: RetrieveSettings, seed: int) -> list[int]:
    return list(range(min(s.k, len(c.rows))))


def _diverse(query: Entry, c: Candidates, pool: Sequence[Entry], s: RetrieveSettings, seed: int) -> list[int]:
    """``k`` random candidates, nearest first."""
    return sorted(Random(f"{seed}:{query.id}").sample(range(len(c.rows)), min(s.k, len(c.rows))))


def _by_bm25(query: Entry, c: Candidates, pool: Sequence[Entry], s: RetrieveSettings, seed: int) -> list[int]:
    """The candidates with the highest BM25 scores; ties go to the nearer one."""
    assert c.bm25 is not None
    return [int(p) for p in np.argsort(-c.bm25, kind="stable")[: s.k]]


def _mmr(query: Entry, c: Candidates, pool: Sequence[Entry], s: RetrieveSettings, seed: int) -> list[int]:
    """Maximal marginal relevance (Carbonell and Goldstein 1998): near the passage, dissimilar to those already selected."""
    assert c.vectors is not None
    vectors = c.vectors[c.rows]
    left = np.ones(len(c.rows), dtype=bool)
    likeness = np.full(len(c.rows), -np.inf)
    taken: list[int] = []
    while len(taken) < min(s.k, len(c.rows)):
        gain = s.relevance * c.cosine - (1 - s.relevance) * (likeness if taken else 0.0)
        place = int(np.argmax(np.where(left, gain, -np.inf)))
        taken.append(place)
        left[place] = False
        likeness = np.maximum(likeness, np.vecdot(vectors, vectors[place]))
    return taken


def _covering(
    query: Entry, c: Candidates, pool: Sequence[Entry], s: RetrieveSettings, seed: int
) -> list[int]:
    """Repeatedly the candidate with most of the types not covered so far; ties go to the nearest one."""
    missing = set(query.types)
    places = list(range(len(c.rows)))
    taken: list[int] = []
    while places and len(taken) < s.k:
        gains = [len(missing.intersection(pool[c.rows[p]].types)) for p in places] if missing else [0]
        place = places.pop(gains.index(max(gains)))
        taken.append(place)
        missing.difference_update(pool[c.rows[place]].types)
    return taken


def _fused(query: Entry, c: Candidates, pool: Sequence[Entry], s: RetrieveSettings, seed: int) -> list[int]:
    """Reciprocal rank fusion of cosine similarity and BM25; ties go to the smaller row."""
    assert c.by_bm25 is not None
    gain = np.zeros(len(c.rows))
    by_cosine = np.lexsort((c.rows, -c.cosine))[: s.candidates]
    gain[by_cosine] += 1 / (_FUSION + 1 + np.arange(len(by_cosine)))
    place = {int(row): p for p, row in enumerate(c.rows)}
    for rank, row in enumerate(c.by_bm25):
        gain[place[int(row)]] += 1 / (_FUSION + 1 + rank)
    return [int(p) for p in np.lexsort((c.rows, -gain))[: s.k]]


_STRATEGIES: dict[str, Callable[[Entry, Candidates, Sequence[Entry], RetrieveSettings, int], list[int]]] = {
    "nn": _nearest,
    "nn_bm25": _nearest,
    "mixed": _nearest,
    "diverse_nn": _diverse,
    "diverse_nn_bm25": _diverse,
    "diverse_nn_bm25_rank": _by_bm25,
    "mmr": _mmr,
    "type_aware": _covering,
    "hybrid": _fused,
}
