"""Exact nearest neighbours by inner product: FAISS flat, or a bfloat16 first pass whose candidates are scored again.

Both end the same way: every pair that may be among the best is scored in float32 by one inner product of its two rows,
so that the result does not depend on blocks, order or engine, and equal rows get equal scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sinoner.errors import MissingExtraError

if TYPE_CHECKING:
    Vectors = npt.NDArray[np.float32]
    Rows = npt.NDArray[np.int64]

# Searched beyond k, so that ties at the border are seen.
_BEYOND = 16
# By how much two ways to compute a float32 inner product of unit vectors may differ.
_NOISE = 2e-6
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


def _two_passes(queries: Vectors, pool: Vectors, k: int) -> tuple[Rows, Vectors]:
    from sinoner.retrieve.firstpass import candidates

    rows = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    for low, found, border in candidates(queries, pool, k):
        block = slice(low, low + len(found))
        _settle(queries[block], pool, found, border, rows[block], scores[block])
    return rows, scores


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
        approximate, found = index.search(queries[block], searched)
        border = approximate[:, -1] if searched < len(pool) else np.full(len(found), -np.inf)
        _settle(queries[block], pool, list(found), border + _NOISE, rows[block], scores[block])
    return rows, scores


def _settle(
    queries: Vectors,
    pool: Vectors,
    candidates: Sequence[npt.NDArray[Any]],
    border: npt.NDArray[Any],
    rows: Rows,
    scores: Vectors,
) -> None:
    """Score candidates and keep the best; ``border`` is what anything that is no candidate stays below.

    A query whose last kept one is not above it (or that has too few candidates) is searched again.
    """
    k = rows.shape[1]
    again: list[int] = []

    def one(number: int) -> None:
        found = np.sort(candidates[number])
        if len(found) < k:
            again.append(number)
            return
        exact_scores = np.vecdot(np.take(pool, found, axis=0), queries[number])
        order = np.lexsort((found, -exact_scores))[:k]
        rows[number], scores[number] = found[order], exact_scores[order]
        if scores[number, -1] <= border[number]:
            again.append(number)

    _in_threads(one, len(queries))
    for low in range(0, len(again), 256):
        some = sorted(again)[low : low + 256]
        for number, found in zip(some, _whole(queries[some], pool, k), strict=True):
            exact_scores = np.vecdot(np.take(pool, found, axis=0), queries[number])
            order = np.lexsort((found, -exact_scores))
            rows[number], scores[number] = found[order], exact_scores[order]


def _whole(queries: Vectors, pool: Vectors, k: int) -> Iterator[Rows]:
    """The best rows of the whole pool; of many equals (to 6 decimals) those with the smaller rows."""
    for products in np.round(queries @ pool.T, 6):
        border = np.partition(products, len(products) - k)[len(products) - k]
        above, equal = np.flatnonzero(products > border), np.flatnonzero(products == border)
        yield np.concatenate([above, equal[: k - len(above)]])


def _in_threads(one: Callable[[int], None], n: int) -> None:
    """Do it for every number below ``n``; numpy lets several threads compute."""
    import os

    threads = min(os.cpu_count() or 1, 8)
    step = -(-n // (4 * threads)) or 1

    def several(low: int) -> None:
        for number in range(low, min(low + step, n)):
            one(number)

    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(several, range(0, n, step)))
