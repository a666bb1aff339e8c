"""Nearest neighbours by cosine: exact, or above a given pool size approximate with a measured recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sinoner.errors import InputError

if TYPE_CHECKING:
    Vectors = npt.NDArray[np.float32]
    Rows = npt.NDArray[np.int64]

Index = Literal["auto", "exact", "ivf", "hnsw"]


class Found(NamedTuple):
    """The result of a search.

    Attributes:
        rows: rows of the pool, best first, shape ``(n, k)``; -1 where there are no more.
        scores: their inner products, shape ``(n, k)``; -inf where there are no more.
        method: description of the search method.
        recall: share of the true neighbours found, measured on a sample; 1 for exact search.
    """

    rows: Rows
    scores: Vectors
    method: str = "exact"
    recall: float = 1.0


def nearest(
    queries: Vectors, pool: Vectors, k: int, index: Index = "exact", exact_up_to: int = 200_000
) -> Found:
    """The ``k`` pool rows most similar to each query, best first; ties go to the smaller row.

    With a pool sorted by id, ties go to the smaller id. A query that is in the pool finds itself as well. When the
    pool has fewer than ``k`` rows, all are returned.

    Args:
        queries: shape ``(n, dim)``, rows of length 1; may be the pool itself.
        pool: shape ``(m, dim)``, rows of length 1.
        k: neighbours per query.
        index: how to search; ``auto`` is exact up to ``exact_up_to`` pool rows, else inverted lists (IVF).
        exact_up_to: maximum number of pool rows for exact search with ``auto``.

    Raises:
        InputError: the vectors are not finite or differ in dimension.
        MissingExtraError: FAISS is not installed.
    """
    from sinoner.retrieve.approximate import approximate
    from sinoner.retrieve.exact import exact

    k = min(k, len(pool))
    if k <= 0 or not len(queries):
        empty = np.empty((len(queries), 0))
        return Found(empty.astype(np.int64), empty.astype(np.float32))
    _check(queries, pool)
    pool = np.ascontiguousarray(pool, dtype=np.float32)
    if index == "auto":
        index = "exact" if len(pool) <= exact_up_to else "ivf"
    if index == "exact":
        return Found(*exact(queries, pool, k))
    return Found(*approximate(queries, pool, k, index))


def _check(queries: Vectors, pool: Vectors) -> None:
    if queries.shape[1] != pool.shape[1]:
        raise InputError(
            f"queries have vectors of {queries.shape[1]} dimensions and the pool of {pool.shape[1]}; embed both with one model"
        )
    for vectors in (pool,) if queries is pool else (pool, queries):
        for low in range(0, len(vectors), 8192):  # in blocks, because isfinite allocates an array
            if not np.isfinite(vectors[low : low + 8192]).all():
                raise InputError(
                    "the embedder returned vectors that are not finite numbers; check the embedding model"
                )
