"""Exact nearest neighbours by inner product: FAISS flat, or a bfloat16 first pass whose candidates are scored again.

Where the order of two rows could be decided by how a matrix product happened to be cut into blocks, the inner product of
the two vectors alone decides, so that equal rows get equal scores and ties go to the smaller row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sinoner.errors import MissingExtraError

if TYPE_CHECKING:
    import torch

    Vectors = npt.NDArray[np.float32]
    Rows = npt.NDArray[np.int64]

# Searched beyond k, so that ties at the border are seen.
_BEYOND = 16
# By how much two ways to compute a float32 inner product of unit vectors may differ.
_NOISE = 2e-6
# More rows than twice those wanted and this, all as good as the last of them, are not told apart one by one.
_CROWD = 256
# From this many products on the first pass in bfloat16 pays.
_MANY = 8_192 * 8_192
_BLOCK = 1024


def exact(queries: Vectors, pool: Vectors, k: int) -> tuple[Rows, Vectors]:
    """The ``k`` pool rows with the largest inner product for every query, best first, ties by the smaller row.

    ``queries is pool`` makes use of the symmetry. The first pass in bfloat16 runs where torch is installed and the
    processor computes in that type; its rounding errors are bounded, and a query whose result they could touch is
    searched again in float32.

    Args:
        queries: shape ``(n, dim)``, finite.
        pool: shape ``(m, dim)``, finite, ``m >= k``.
        k: neighbours per query.

    Returns:
        Rows and scores, both of shape ``(n, k)``.

    Raises:
        MissingExtraError: FAISS is not installed.
    """
    # Few and short rows, or most of the pool wanted: FAISS is as fast.
    if len(queries) * len(pool) >= _MANY and 8 * k <= len(pool) and pool.shape[1] >= 128 and has_bf16():
        return _two_passes(queries, pool, k)
    return _flat(queries, pool, k)


def has_bf16() -> bool:
    """Whether torch is installed and this processor multiplies bfloat16 numbers itself."""
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    from sinoner import models

    return models.dtype("auto", "cpu") is torch.bfloat16


def faiss() -> Any:
    """The library FAISS.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import faiss as library
    except ImportError:
        raise MissingExtraError("faiss (retrieve.strategy: nn)", "retrieve") from None
    return library


def _flat(queries: Vectors, pool: Vectors, k: int) -> tuple[Rows, Vectors]:
    library = faiss()
    index = library.IndexFlatIP(pool.shape[1])
    if library.get_num_gpus():  # of the GPU build of FAISS
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


def _decide_ties(queries: Vectors, pool: Vectors, found: Rows, scores: Vectors) -> None:
    """Score again, one by one, what is nearly equal to its neighbour in a descending order, and sort it anew."""
    with np.errstate(invalid="ignore"):  # -inf, where a row has no more
        close = scores[:, :-1] - scores[:, 1:] < 2 * _NOISE
    tied = np.zeros(scores.shape, dtype=bool)
    tied[:, :-1] |= close
    tied[:, 1:] |= close
    row, place = np.nonzero(tied)
    for low in range(0, len(row), 256):  # as much as stays in the cache of a processor
        r, p = row[low : low + 256], place[low : low + 256]
        scores[r, p] = np.vecdot(queries[r], pool[found[r, p]])
    worse, equal = scores[:, :-1] < scores[:, 1:], scores[:, :-1] == scores[:, 1:]
    some = np.flatnonzero((worse | equal & (found[:, :-1] > found[:, 1:])).any(axis=1))
    order = np.lexsort((found[some], -scores[some]), axis=1)
    found[some] = np.take_along_axis(found[some], order, 1)
    scores[some] = np.take_along_axis(scores[some], order, 1)


def _two_passes(queries: Vectors, pool: Vectors, k: int) -> tuple[Rows, Vectors]:
    import torch

    from sinoner.retrieve.firstpass import candidates

    rows = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    across = torch.from_numpy(pool).T
    for low, found in candidates(queries, pool, k):
        block = slice(low, low + len(found.border))
        numbers = np.diff(found.edges)
        made = _scored(torch.from_numpy(queries[block]), across, found.edges, found.rows)
        padded = np.full((len(numbers), max(int(numbers.max(initial=0)), k)), -np.inf, dtype=np.float32)
        row = np.repeat(np.arange(len(numbers)), numbers)
        padded[row, np.arange(len(row)) - found.edges[row]] = made
        # Candidates are in ascending order, so a stable sort gives ties to the smaller row.
        best, order = torch.sort(torch.from_numpy(padded), dim=1, descending=True, stable=True)
        found_scores = best[:, : k + _BEYOND].numpy()
        places = found.edges[:-1, None] + order[:, : k + _BEYOND].numpy()
        found_rows = found.rows[np.minimum(places, len(found.rows) - 1)]
        _decide_ties(queries[block], pool, found_rows, found_scores)
        rows[block], scores[block] = found_rows[:, :k], found_scores[:, :k]
        last, beyond = scores[block][:, -1], found_scores[:, -1]
        few, cut = numbers < k, (numbers > k + _BEYOND) & (last - beyond < 2 * _NOISE)
        unsure = low + np.flatnonzero(few | cut | (last - 2 * _NOISE <= found.border))
        _search_again(queries, pool, unsure, rows, scores)
    return rows, scores


def _scored(queries: torch.Tensor, across: torch.Tensor, edges: Rows, rows: Rows) -> Vectors:
    """The inner product of every query with each of its candidates, none with any other row."""
    import warnings

    import torch

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # says that sparse tensors are a young part of torch
        wanted = torch.sparse_csr_tensor(
            torch.from_numpy(edges),
            torch.from_numpy(rows),
            torch.zeros(len(rows)),
            size=(len(queries), across.shape[1]),
        )
        made: Vectors = torch.sparse.sampled_addmm(wanted, queries, across, beta=0.0).values().numpy()
    return made


def _search_again(queries: Vectors, pool: Vectors, unsure: Rows, rows: Rows, scores: Vectors) -> None:
    """Search the whole pool for these queries, and put the result in its place."""
    k = rows.shape[1]
    for low in range(0, len(unsure), 256):
        some = unsure[low : low + 256]
        for number, found in zip(some, _whole(queries[some], pool, k), strict=True):
            again = np.vecdot(np.take(pool, found, axis=0), queries[number])
            order = np.lexsort((found, -again))[:k]
            rows[number], scores[number] = found[order], again[order]


def _whole(queries: Vectors, pool: Vectors, k: int) -> Iterator[Rows]:
    """Rows of the whole pool among which the ``k`` best are; of a crowd of equals (to 6 decimals) the smallest rows."""
    for products in queries @ pool.T:
        border = np.partition(products, len(products) - k)[len(products) - k]
        near = np.flatnonzero(products >= border - 2 * _NOISE)
        if len(near) > 2 * k + _CROWD:
            products = np.round(products, 6)
            border = np.round(border, 6)
            near, equal = np.flatnonzero(products > border), np.flatnonzero(products == border)
            near = np.concatenate([near, equal[: k - len(near)]])
        yield near
