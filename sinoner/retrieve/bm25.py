"""BM25 scores of given candidates, and the best passages of the whole pool.

Either variant is a table of weights, one per passage and word; a score is the sum of the weights of the query's words, counting
repetitions. Words that are not in the pool contribute nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from sinoner.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# k1 and b as in the paper's code; the defaults of bm25s as well. EPSILON: share of the mean idf that replaces a negative one.
K1, B, EPSILON = 1.5, 0.75, 0.25
_QUERIES = 1024  # queries scored at a time, to keep temporary arrays small
_CELLS = (
    1 << 22
)  # scores of a block in a search of the whole pool: 50 MB when every passage shares a word with every query


class Hits(NamedTuple):
    """Pool rows found for one query, best first, and their scores; shapes ``(found,)``."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]


class Bm25:
    """The passages of one pool as a table of weights, shape ``(passages, words)``.

    ``gensim`` (that of the paper's code, gensim 3.7 to 3.8): idf = ln(N - n + 0.5) - ln(n + 0.5); an idf below 0 becomes 0.25
    times the mean of all, including the negative ones. In a pool of a few passages that mean can be negative, and so can scores.
    ``lucene``: idf = ln(1 + (N - n + 0.5) / (n + 0.5)) and no factor k1 + 1, as bm25s computes it: never negative, another scale.

    Args:
        pool: the words of each passage.
        variant: the formula.

    Raises:
        MissingExtraError: ``lucene`` without bm25s.
    """

    def __init__(
        self, pool: Sequence[Sequence[str]], variant: Literal["gensim", "lucene"] = "gensim"
    ) -> None:
        import numpy as np

        self._ids = {word: i for i, word in enumerate(dict.fromkeys(chain.from_iterable(pool)))}
        counts = self._counts(pool)
        if not self._ids:  # without words there is no mean idf and no mean length
            self._weights = counts
        elif variant == "gensim":
            self._weights = _gensim(counts, len(self._ids))
        else:
            self._weights = self._lucene(pool)
        self._postings: Any = None
        # Where each passage begins in the table, followed by an empty passage that stands for "no candidate".
        self._starts = np.append(self._weights.indptr, self._weights.indptr[-1:])

    def scores(self, query: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores of some pool rows for one query, shape of ``rows``; see ``scores_many``."""
        found: NDArray[np.float64] = self.scores_many([query], rows[None, :])[0]
        return found

    def scores_many(self, queries: Sequence[Sequence[str]], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores of the candidates of many queries; only the candidates are scored.

        Args:
            queries: the words of each query.
            rows: pool rows, shape ``(n, m)``, in any order; below 0 = no candidate.

        Returns:
            Shape ``(n, m)``; ``-inf`` where there is no candidate, so that it ranks last and passes no threshold.

        Raises:
            ValueError: there are not as many lines of rows as queries.
            IndexError: the pool has no such row.
        """
        import numpy as np

        if len(rows) != len(queries):
            raise ValueError(f"{len(queries)} queries, but rows for {len(rows)}")
        if rows.size and rows.max() >= self._weights.shape[0]:
            raise IndexError(f"row {rows.max()} of a pool of {self._weights.shape[0]} passages")
        found = np.empty(rows.shape)
        if rows.size:
            for start in range(0, len(queries), _QUERIES):
                block = slice(start, start + _QUERIES)
                self._score(queries[block], rows[block], found[block])
        return found

    def _score(
        self, queries: Sequence[Sequence[str]], rows: NDArray[np.int64], found: NDArray[np.float64]
    ) -> None:
        """Write the scores of a block of queries to ``found``.

        The table is multiplied by one query at a time, limited to the rows of its candidates. Copying these rows would double the
        time, so a second table shares the data but has its own row pointers: start and end of one candidate after the other,
        last row first. Between two candidates this makes a row that ends before it starts, which costs and adds nothing.
        """
        import numpy as np
        from scipy.sparse import csr_array

        weights, (n, m) = self._weights, rows.shape
        last_first = np.where(rows < 0, weights.shape[0], rows)
        order = np.argsort(-last_first, axis=1)
        last_first = np.take_along_axis(last_first, order, axis=1)
        pointers = np.empty((n, 2 * m), dtype=weights.indices.dtype)
        pointers[:, ::2] = self._starts[last_first]
        pointers[:, 1::2] = self._starts[last_first + 1]
        view = csr_array((2 * m - 1, weights.shape[1]))
        view.indices, view.data = weights.indices, weights.data
        words, ends = self._numbered(queries)
        weight_of = np.zeros(weights.shape[1])
        summed = np.empty((n, m))
        start = 0
        for i, end in enumerate(ends[1:].tolist()):
            own = words[start:end]
            np.add.at(weight_of, own, 1.0)
            view.indptr = pointers[i]
            summed[i] = (view @ weight_of)[::2]
            weight_of[own] = 0.0
            start = end
        summed[last_first == weights.shape[0]] = -np.inf
        np.put_along_axis(found, order, summed, axis=1)

    def top(self, queries: Sequence[Sequence[str]], n: int) -> Iterator[Hits]:
        """The best ``n`` rows of the whole pool for each query, only those with a score above 0; ties go to the smaller row.

        Args:
            queries: the words of each query.
            n: number of rows.

        Yields:
            One per query, in order; fewer rows than ``n``, or none, where fewer passages share a word with the query.
        """
        if n > 0 and self._postings is None:
            self._postings = self._weights.T.tocsr()
        size = max(1, _CELLS // max(1, self._weights.shape[0]))
        for start in range(0, len(queries), size):
            block = queries[start : start + size]
            if n <= 0:
                yield from (_best(self._weights[:0], 0, 0) for _ in block)
                continue
            product = self._counts(block) @ self._postings
            for i in range(len(block)):
                yield _best(product, i, n)

    def _numbered(self, texts: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The concatenated word numbers of all texts, the offset of each text and the end of the last one.

        Unknown words get the number of the last column, which has no weights.
        """
        import numpy as np

        ends = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=ends[1:])
        numbers = map(self._ids.get, chain.from_iterable(texts), repeat(len(self._ids)))
        return np.fromiter(numbers, np.int64, int(ends[-1])), ends

    def _counts(self, texts: Sequence[Sequence[str]]) -> Any:
        """The number of times each word occurs in each text: a sparse table with an extra last column for unknown words."""
        import numpy as np
        from scipy.sparse import csr_array

        words, ends = self._numbered(texts)
        index = np.int32 if len(words) < np.iinfo(np.int32).max else np.int64
        shape = (len(texts), len(self._ids) + 1)
        counts = csr_array((np.ones(len(words)), words.astype(index), ends.astype(index)), shape=shape)
        counts.sum_duplicates()
        return counts

    def _lucene(self, pool: Sequence[Sequence[str]]) -> Any:
        try:
            import bm25s
        except ImportError:
            raise MissingExtraError("bm25s (retrieve.bm25: lucene)", "retrieve") from None
        from scipy.sparse import csc_array

        index = bm25s.BM25(k1=K1, b=B, method="lucene", dtype="float64")
        numbers = [list(map(self._ids.__getitem__, words)) for words in pool]
        index.index((numbers, self._ids), create_empty_token=False, show_progress=False)
        scores = index.scores
        table = csc_array(
            (scores["data"], scores["indices"], scores["indptr"]), shape=(len(pool), len(self._ids))
        )
        table.resize((len(pool), len(self._ids) + 1))
        return table.tocsr()


def _gensim(counts: Any, words: int) -> Any:
    """The weights of the gensim variant for counts of shape ``(passages, words + 1)``; the last column is empty."""
    import numpy as np

    passages = counts.shape[0]
    lengths = counts.sum(axis=1)
    having = np.bincount(counts.indices, minlength=words)
    idf = np.log(passages - having + 0.5) - np.log(having + 0.5)
    idf = np.where(idf < 0, EPSILON * idf.mean(), idf)
    norm = np.repeat(K1 * (1 - B + B * lengths / lengths.mean()), np.diff(counts.indptr))
    counts.data = idf[counts.indices] * counts.data * (K1 + 1) / (counts.data + norm)
    return counts


def _best(product: Any, i: int, n: int) -> Hits:
    """The ``n`` greatest positive numbers of a row of a sparse table; ties go to the smaller column."""
    import numpy as np

    row = slice(product.indptr[i], product.indptr[i + 1]) if n else slice(0, 0)
    rows, scores = product.indices[row].astype(np.int64), cast("NDArray[np.float64]", product.data[row])
    chosen = scores > 0
    if np.count_nonzero(chosen) > n:
        chosen = scores >= np.partition(scores, len(scores) - n)[len(scores) - n]
    rows, scores = rows[chosen], scores[chosen]
    order = np.lexsort((rows, -scores))[:n]
    return Hits(rows[order], scores[order])
