"""Approximate nearest neighbours through FAISS (IVF, HNSW), with their recall measured against exact search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from sinoner.retrieve.exact import exact, faiss

if TYPE_CHECKING:
    Vectors = npt.NDArray[np.float32]
    Rows = npt.NDArray[np.int64]

# The target recall and the number of queries to measure it on; the effort doubles until it is reached or everything is searched.
RECALL = 0.99
_MEASURED = 256
# Training rows per IVF cell (more than FAISS requires helps little).
_PER_CELL = 64


def approximate(
    queries: Vectors, pool: Vectors, k: int, kind: Literal["ivf", "hnsw"]
) -> tuple[Rows, Vectors, str, float]:
    """Approximately the ``k`` pool rows with the largest inner product for every query, best first, ties by the smaller row.

    Args:
        queries: shape ``(n, dim)``, rows of length 1.
        pool: shape ``(m, dim)``, rows of length 1, ``m >= k``.
        k: neighbours per query.
        kind: inverted lists (cells of k-means), or a graph.

    Returns:
        Rows (-1 where fewer were found) and scores, both of shape ``(n, k)``; a description of the method; and the recall,
        the share of the true neighbours found for 256 queries.

    Raises:
        MissingExtraError: FAISS is not installed.
    """
    library = faiss()
    index, effort, most = _ivf(library, pool) if kind == "ivf" else _hnsw(library, pool, k)
    sample = np.random.default_rng(0).permutation(len(queries))[:_MEASURED]
    truth, _ = exact(queries[sample], pool, k)
    while True:
        _set(index, kind, effort)
        _, found = index.search(queries[sample], k)
        hits = sum(len(np.intersect1d(a, b)) for a, b in zip(truth, found, strict=True))
        recall = hits / truth.size
        if recall >= RECALL or effort >= most:
            break
        effort = min(2 * effort, most)
    scores, rows = index.search(queries, k)
    order = np.lexsort((rows, -scores), axis=1)
    word = "cells" if kind == "ivf" else "ef"
    method = f"{kind} ({effort} of {most} {word})" if kind == "ivf" else f"{kind} ({word} {effort})"
    return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1), method, recall


def _ivf(library: Any, pool: Vectors) -> tuple[Any, int, int]:
    cells = max(1, min(4 * round(len(pool) ** 0.5), len(pool) // 39))  # FAISS requires 39 rows per cell
    centres = library.IndexFlatIP(pool.shape[1])
    if (
        cells == 1
    ):  # one cell contains everything whatever its centre; without training, FAISS prints no warning
        centres.add(pool[:1])
    index = library.IndexIVFFlat(centres, pool.shape[1], cells, library.METRIC_INNER_PRODUCT)
    chosen = np.random.default_rng(0).permutation(len(pool))[: _PER_CELL * cells]
    index.train(pool[np.sort(chosen)])
    index.add(pool)
    return index, min(4, cells), cells


def _hnsw(library: Any, pool: Vectors, k: int) -> tuple[Any, int, int]:
    index = library.IndexHNSWFlat(pool.shape[1], 32, library.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 100
    index.add(pool)
    return index, max(k, 32), max(len(pool), k)


def _set(index: Any, kind: Literal["ivf", "hnsw"], effort: int) -> None:
    if kind == "ivf":
        index.nprobe = effort
    else:
        index.hnsw.efSearch = effort
