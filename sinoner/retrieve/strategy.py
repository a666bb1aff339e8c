"""Which examples a passage gets, within one language. The paper's strategies and three more (see ``select``)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sinoner.records import Neighbours
from sinoner.retrieve import select
from sinoner.retrieve.nearest import Found, nearest
from sinoner.retrieve.select import Candidates, Chosen, Entry
from sinoner.settings import RetrieveSettings

if TYPE_CHECKING:
    from sinoner.retrieve.bm25 import Bm25

    Vectors = npt.NDArray[np.float32]
    Rows = npt.NDArray[np.int64]

WITH_BM25 = ("nn_bm25", "diverse_nn_bm25", "diverse_nn_bm25_rank", "hybrid")
# Queries processed at once when examples are chosen.
_BLOCK = 1024
# Maximum number of additional neighbours in the first search when passages of the same document are barred.
_SIBLINGS = 64


class Tools(NamedTuple):
    """Functions that the caller provides for the strategies.

    Attributes:
        encode: texts → vectors of length 1, shape ``(n, dim)``.
        words: texts → words without stop words.
    """

    encode: Callable[[Sequence[str]], Vectors]
    words: Callable[[Sequence[str]], list[list[str]]]


class Pool:
    """Passages that may be examples, sorted by id, each text once: the smallest id represents equal texts.

    Attributes:
        entries: the passages.
        duplicates: how many were left out because their text was already present.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries: list[Entry] = []
        self._texts: dict[str, int] = {}
        for entry in sorted(entries, key=lambda e: e.id):
            if entry.text not in self._texts:
                self._texts[entry.text] = len(self.entries)
                self.entries.append(entry)
        self.duplicates = len(entries) - len(self.entries)
        self._ids = {entry.id: row for row, entry in enumerate(self.entries)}
        self._given = entries

    def __len__(self) -> int:
        return len(self.entries)

    def row(self, text: str) -> int:
        """The row of a text; -1 when it is not in the pool."""
        return self._texts.get(text, -1)

    def barred(self, query: Entry, same_document: bool) -> set[int]:
        """The rows that must not be examples for a query.

        Args:
            query: a passage.
            same_document: whether other passages of its document may be examples; if not, all its texts are barred.
        """
        rows = {self.row(query.text), self._ids.get(query.id, -1)} - {-1}
        return rows if same_document else rows.union(self._documents.get(query.whole, ()))

    @cached_property
    def _documents(self) -> dict[str, list[int]]:
        """The rows of the texts of each document, including texts that are represented by another document."""
        documents: dict[str, list[int]] = {}
        for entry in self._given:
            documents.setdefault(entry.whole, []).append(self._texts[entry.text])
        return documents


class Retrieved(NamedTuple):
    """The examples of all queries, and how they were found.

    Attributes:
        neighbours: one record per query, in the order of the queries.
        below: for each query, the number of examples excluded because of their BM25 score; empty when the strategy
            searches nothing.
        short: for each query, whether it has fewer than ``k`` examples because passages of its own document are barred;
            empty when no examples are requested.
        method: the search method; empty without a search.
        recall: share of the true nearest found, measured; 1 for exact search.
    """

    neighbours: list[Neighbours]
    below: Sequence[int] = ()
    short: Sequence[bool] = ()
    method: str = ""
    recall: float = 1.0

    def some(self, rows: Sequence[int]) -> Retrieved:
        """The examples of some queries, given by their positions."""
        below = [self.below[i] for i in rows] if self.below else ()
        short = [self.short[i] for i in rows] if self.short else ()
        return self._replace(neighbours=[self.neighbours[i] for i in rows], below=below, short=short)


def retrieve(
    queries: Sequence[Entry], pool: Pool, settings: RetrieveSettings, seed: int, tools: Tools
) -> Retrieved:
    """The examples of every query. A passage is never its own example, nor one with the same text.

    The result for a query depends on the query, the pool, the settings and the seed, not on the other queries.

    Args:
        queries: passages that need examples.
        pool: passages that may be examples.
        settings: strategy, k, candidates, threshold and the like.
        seed: seed of random choices; every passage has its own stream (seed and id).
        tools: embedder and words.

    Raises:
        InputError: the vectors are unusable.
        MissingExtraError: a library is not installed.
    """
    strategy, k = settings.strategy, min(settings.k, len(pool))
    if strategy == "none" or k == 0 or not queries:
        return Retrieved([Neighbours(id=q.id) for q in queries])
    barred = [pool.barred(query, settings.same_document) for query in queries]
    short = [_is_short(*both, pool, settings) for both in zip(queries, barred, strict=True)]
    share = {"random": 0.0, "mixed": settings.nn_share}.get(strategy, 1.0)
    near: list[int] = []
    found: list[Neighbours] = []
    for i, query in enumerate(queries):
        if share == 1 or (share and Random(f"nn:{seed}:{query.id}").random() < share):
            near.append(i)
            found.append(Neighbours(id=query.id))
        else:
            found.append(_random(query, barred[i], pool, settings, seed))
    if not near:
        return Retrieved(found, short=short)
    search = _Search([queries[i] for i in near], [barred[i] for i in near], pool, settings, tools)
    below = [0] * len(queries)
    for i, pick in zip(near, search.choices(seed), strict=True):
        below[i] = pick.below
        found[i] = Neighbours(
            id=queries[i].id,
            neighbours=tuple(pool.entries[row].id for row in pick.rows),
            cosine=tuple(round(min(max(float(s), -1.0), 1.0), 6) for s in pick.cosine),
            bm25=tuple(round(float(s), 6) for s in pick.bm25),
        )
    return Retrieved(found, below, short, search.found.method, search.found.recall)


def _is_short(query: Entry, barred: set[int], pool: Pool, settings: RetrieveSettings) -> bool:
    """Whether a query gets fewer than ``k`` examples because of those of its own document."""
    if settings.same_document or len(pool) - len(barred) >= settings.k:
        return False
    return len(barred) > len(pool.barred(query, True))


def _random(
    query: Entry, barred: Collection[int], pool: Pool, settings: RetrieveSettings, seed: int
) -> Neighbours:
    more = 2 if settings.same_document else len(barred)  # always 2, because the draw depends on it
    drawn = Random(f"{seed}:{query.id}").sample(range(len(pool)), min(settings.k + more, len(pool)))
    rows = [row for row in drawn if row not in barred][: settings.k]
    return Neighbours(id=query.id, neighbours=tuple(pool.entries[row].id for row in rows))


class _Search:
    """The nearest passages of some queries, and the choice among them."""

    def __init__(
        self,
        queries: Sequence[Entry],
        barred: Sequence[set[int]],
        pool: Pool,
        settings: RetrieveSettings,
        tools: Tools,
    ) -> None:
        self._queries, self._barred, self._pool, self._settings = queries, barred, pool, settings
        few = settings.strategy in ("nn", "nn_bm25", "mixed")
        self._requested = settings.k if few else max(settings.k, settings.candidates)
        texts = [e.text for e in pool.entries]
        self._vectors = np.ascontiguousarray(tools.encode(texts), dtype=np.float32)
        own = np.array([pool.row(q.text) for q in queries])
        inside = own >= 0
        if settings.query_instruction:  # the vectors of queries then differ from those of the pool
            inside[:] = False
        outside = [
            settings.query_instruction + q.text for q, known in zip(queries, inside, strict=True) if not known
        ]
        # Only queries outside the pool get vectors of their own: most are inside, and a second copy would be large.
        self._outside = np.asarray(tools.encode(outside), dtype=np.float32) if outside else self._vectors[:0]
        numbers: Rows = np.cumsum(~inside, dtype=np.int64)
        self._rows = np.where(inside, own, -numbers)  # -1 is the first query outside the pool, -2 the second
        self.found = self._near(own, inside)
        self._wider = dict(self._widened())
        self._words: list[list[str]] = []
        self._bm25: Bm25 | None = None
        if settings.strategy in WITH_BM25:
            from sinoner.retrieve.bm25 import Bm25

            self._bm25 = Bm25(tools.words(texts), settings.bm25)
            self._words = tools.words([q.text for q in queries])

    def _query_vectors(self, queries: Rows) -> Vectors:
        """The vectors of some queries, shape ``(len(queries), dim)``."""
        rows = self._rows[queries]
        vectors = np.empty((len(rows), self._vectors.shape[1]), dtype=np.float32)
        vectors[rows >= 0] = self._vectors[rows[rows >= 0]]
        vectors[rows < 0] = self._outside[-1 - rows[rows < 0]]
        return vectors

    def _near(self, own: Rows, inside: npt.NDArray[np.bool_]) -> Found:
        """The nearest, more than requested as some may be barred. With long documents they may be too few (``_widened``)."""
        settings, pool = self._settings, self._vectors
        most = min(max(map(len, self._barred)), _SIBLINGS)
        k = min(self._requested + max(2, most), len(pool))
        rows = np.empty((len(own), k), dtype=np.int64)
        scores = np.empty((len(own), k), dtype=np.float32)
        result = Found(rows, scores)
        queried = len(np.unique(own[inside]))
        if 2 * queried > len(
            pool
        ):  # most of the pool is queried: searching it with itself saves half the work
            result = nearest(pool, pool, k, settings.index, settings.exact_up_to)
            rows[inside], scores[inside] = result.rows[own[inside]], result.scores[own[inside]]
        else:
            inside = np.zeros_like(inside)
        if not inside.all():
            other = nearest(
                self._query_vectors(np.flatnonzero(~inside)), pool, k, settings.index, settings.exact_up_to
            )
            rows[~inside], scores[~inside] = other.rows, other.scores
            result = min(result, other, key=lambda f: f.recall) if inside.any() else other
        return Found(rows, scores, result.method, result.recall)

    def _kept(self, i: int, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which of the rows found for a query may be its examples."""
        barred, kept = self._barred[i], rows >= 0
        if len(barred) > 2:
            return kept & ~np.isin(rows, list(barred))
        for row in barred:
            kept &= rows != row
        return kept

    def _widened(self) -> Iterator[tuple[int, tuple[Rows, Vectors]]]:
        """The results of wider exact searches for queries left with too few candidates by their own document."""
        width = self.found.rows.shape[1]
        short = [
            i
            for i, barred in enumerate(self._barred)
            if width - len(barred) < self._requested
            and self._kept(i, self.found.rows[i]).sum() < self._requested
        ]
        while short and width < len(self._pool):
            width = min(4 * width, len(self._pool))
            still: list[int] = []
            for low in range(0, len(short), _BLOCK):
                some = short[low : low + _BLOCK]
                wider = nearest(self._query_vectors(np.array(some)), self._vectors, width)
                for i, rows, scores in zip(some, wider.rows, wider.scores, strict=True):
                    kept = self._kept(i, rows)
                    yield i, (rows[kept][: self._requested], scores[kept][: self._requested])
                    if kept.sum() < self._requested:
                        still.append(i)
            short = still

    def choices(self, seed: int) -> Iterator[Chosen]:
        """The chosen examples of each query."""
        for low in range(0, len(self._queries), _BLOCK):
            some = range(low, min(low + _BLOCK, len(self._queries)))
            candidates = [self._candidates(i) for i in some]
            if self._bm25 is not None:
                self._score(some, candidates)
            for i, mine in zip(some, candidates, strict=True):
                yield select.choose(self._queries[i], mine, self._pool.entries, self._settings, seed)

    def _candidates(self, i: int) -> Candidates:
        rows, cosine = self._wider.get(i) or (self.found.rows[i], self.found.scores[i])
        kept = self._kept(i, rows)
        rows, cosine = rows[kept][: self._requested], cosine[kept][: self._requested]
        return Candidates(rows, cosine, self._vectors if self._settings.strategy == "mmr" else None)

    def _score(self, some: range, candidates: list[Candidates]) -> None:
        """Add BM25 scores to the candidates; ``hybrid`` also adds the best of the whole pool by BM25."""
        assert self._bm25 is not None
        words = [self._words[i] for i in some]
        if self._settings.strategy == "hybrid":
            most = max(len(self._barred[i]) for i in some)
            for n, (rows, _) in enumerate(self._bm25.top(words, self._requested + most)):
                best = rows[self._kept(some[n], rows)][: self._requested]
                mine = candidates[n]
                more = best[~np.isin(best, mine.rows)]
                cosine = np.vecdot(self._vectors[more], self._query_vectors(np.array([some[n]])))
                candidates[n] = mine._replace(
                    rows=np.concatenate([mine.rows, more]),
                    cosine=np.concatenate([mine.cosine, cosine]),
                    by_bm25=best,
                )
        width = max((len(c.rows) for c in candidates), default=0)
        rows = np.full((len(candidates), max(width, 1)), -1, dtype=np.int64)
        for n, mine in enumerate(candidates):
            rows[n, : len(mine.rows)] = mine.rows
        scores = self._bm25.scores_many(words, rows)
        for n, mine in enumerate(candidates):
            candidates[n] = mine._replace(bm25=scores[n, : len(mine.rows)])
