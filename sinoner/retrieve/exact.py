"""Exact nearest neighbours by inner product, through a flat index of FAISS.

Rounding in a matrix product depends on how it is cut into blocks. Where that could decide the order of two rows, their inner
products are computed one by one, so that equal rows get equal scores and ties go to the smaller row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sinoner.errors import MissingExtraError

if TYPE_CHECKING:
    Vectors = npt.NDArray[np.float32]
    Rows = npt.NDArray[np.int64]

# Neighbours searched beyond k, so that ties at the border are noticed.
_BEYOND = 16
# Maximum difference between two computations of the same float32 inner product of unit vectors.
_NOISE = 2e-6
# Candidates beyond twice k plus this number are compared by rounded scores instead of one by one.
_CROWD = 256
_BLOCK = 1024


def exact(queries: Vectors, pool: Vectors, k: int) -> tuple[Rows, Vectors]:
    """The ``k`` pool rows with the largest inner product for every query, best first, ties by the smaller row.

    Args:
        queries: shape ``(n, dim)``, finite.
        pool: shape ``(m, dim)``, finite, ``m >= k``.
        k: neighbours per query.

    Returns:
        Rows and scores, both of shape ``(n, k)``.

    Raises:
        MissingExtraError: FAISS is not installed.
    """
    library = faiss()
    index = library.IndexFlatIP(pool.shape[1])
    if library.get_num_gpus():  # only in the GPU build of FAISS
        index = library.index_cpu_to_all_gpus(index)
    index.add(pool)
    rows = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    searched = min(k + _BEYOND, len(pool))
    for low in range(0, len(queries), _BLOCK):
        block = slice(low, low + _BLOCK)
        found_scores, found = index.search(queries[block], searched)
        _decide_ties(queries[block], pool, found, found_scores)
        rows[block], scores[block] = found[:, :k], found_scores[:, :k]
        if searched < len(pool):
            unsure = low + np.flatnonzero(found_scores[:, k - 1] - found_scores[:, -1] < 2 * _NOISE)
            _search_again(queries, pool, unsure, rows, scores)
    return rows, scores


def faiss() -> Any:
    """The FAISS library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import faiss as library
    except ImportError:
        raise MissingExtraError("faiss (retrieve.strategy: nn)", "retrieve") from None
    return library


def _decide_ties(queries: Vectors, pool: Vectors, found: Rows, scores: Vectors) -> None:
    """Recompute, one by one, the scores that are nearly equal to a neighbouring score, and sort again."""
    with np.errstate(invalid="ignore"):  # -inf where there are no more rows
        close = scores[:, :-1] - scores[:, 1:] < 2 * _NOISE
    tied = np.zeros(scores.shape, dtype=bool)
    tied[:, :-1] |= close
    tied[:, 1:] |= close
    row, place = np.nonzero(tied)
    for low in range(0, len(row), 256):  # as much as stays in the cache of a CPU
        r, p = row[low : low + 256], place[low : low + 256]
        scores[r, p] = np.vecdot(queries[r], pool[found[r, p]])
    worse, equal = scores[:, :-1] < scores[:, 1:], scores[:, :-1] == scores[:, 1:]
    some = np.flatnonzero((worse | equal & (found[:, :-1] > found[:, 1:])).any(axis=1))
    order = np.lexsort((found[some], -scores[some]), axis=1)
    found[some] = np.take_along_axis(found[some], order, 1)
    scores[some] = np.take_along_axis(scores[some], order, 1)


def _search_again(queries: Vectors, pool: Vectors, unsure: Rows, rows: Rows, scores: Vectors) -> None:
    """Search the whole pool for these queries and replace their results."""
    k = rows.shape[1]
    for low in range(0, len(unsure), 256):
        some = unsure[low : low + 256]
        for number, found in zip(some, _whole(queries[some], pool, k), strict=True):
            again = np.vecdot(np.take(pool, found, axis=0), queries[number])
            order = np.lexsort((found, -again))[:k]
            rows[number], scores[number] = found[order], again[order]


def _whole(queries: Vectors, pool: Vectors, k: int) -> Iterator[Rows]:
    """For each query, pool rows that include the ``k`` best; of many equal ones (to 6 decimals) the smallest rows."""
    for products in queries @ pool.T:
        border = np.partition(products, len(products) - k)[len(products) - k]
        near = np.flatnonzero(products >= border - 2 * _NOISE)
        if len(near) > 2 * k + _CROWD:
            products = np.round(products, 6)
            border = np.round(border, 6)
            near, equal = np.flatnonzero(products > border), np.flatnonzero(products == border)
            near = np.concatenate([near, equal[: k - len(near)]])
        yield near
