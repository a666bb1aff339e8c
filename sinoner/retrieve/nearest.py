"""Exact nearest neighbours by cosine, through FAISS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sinoner.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from sinoner.retrieve.embed import Vectors


def nearest(
    queries: Vectors, query_ids: Sequence[str], pool: Vectors, pool_ids: Sequence[str], k: int
) -> list[list[tuple[str, float]]]:
    """The ``k`` pool entries most similar to each query, best first; ties go to the smaller id.

    An entry with the query's own id is never among them. When the pool has fewer entries, all are returned.

    Args:
        queries: shape ``(n, dim)``, rows of length 1.
        query_ids: ids of the queries.
        pool: shape ``(m, dim)``, rows of length 1.
        pool_ids: ids of the pool entries.
        k: neighbours wanted.

    Returns:
        For each query, (id, cosine) pairs.

    Raises:
        InputError: the vectors are not finite or differ in dimension.
        MissingExtraError: FAISS is not installed.
    """
    if k == 0 or not pool_ids or not query_ids:
        return [[] for _ in query_ids]
    if queries.shape[1] != pool.shape[1]:
        raise InputError(
            f"vectors of {queries.shape[1]} and {pool.shape[1]} dimensions; embed both with one model"
        )
    import numpy as np

    if not (np.isfinite(queries).all() and np.isfinite(pool).all()):
        raise InputError("the embedder gave vectors that are not finite numbers; check the embedding model")
    try:
        import faiss
    except ImportError:
        raise MissingExtraError("faiss (retrieve.strategy: nn)", "retrieve") from None
    index = faiss.IndexFlatIP(pool.shape[1])
    index.add(np.ascontiguousarray(pool))
    scores, rows = index.search(np.ascontiguousarray(queries), min(k + 2, len(pool_ids)))
    found: list[list[tuple[str, float]]] = []
    for query, own, row, score in zip(queries, query_ids, rows.tolist(), scores.tolist(), strict=True):
        if len(row) == k + 2 and score[-1] == score[-2]:  # which of equals FAISS cuts off is not said
            score = (pool @ query).tolist()
            row = range(len(pool_ids))
        hits = [(pool_ids[i], s) for i, s in zip(row, score, strict=True) if pool_ids[i] != own]
        found.append(sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:k])
    return found
