"""The first pass of exact search: products in bfloat16, at several times the speed of float32, with a bound of their error.

The mean of the pool is taken out first: what all texts have in common makes cosines large and alike, and a bfloat16 has
8 bits to tell them apart. With c = x - mean and a = <x, mean> - <mean, mean>, the inner product of two rows x and y is
<c_x, c_y> + a_x + a_y + <mean, mean>, so that the rows (c, a, 1) and (c, 1, a) give it, less a constant, in one product
that is the same from both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    Vectors = npt.NDArray[np.float32]
    Rows = npt.NDArray[np.int64]

# Products that are held at once.
_HELD = 1 << 25
# One in this many pool rows is looked at to guess where the border of the best lies.
_SAMPLED = 12
# Processors multiply matrices faster when their width is a multiple of this.
_WIDTH = 32


class _Rounded(NamedTuple):
    """Rows in bfloat16, from both sides.

    Attributes:
        left: (c, a, 1), shape ``(n, width)``.
        right: (c, 1, a), shape ``(n, width)``.
        size: length of each c.
        error: length of what rounding took from each c.
        slack: the same for each a.
    """

    left: torch.Tensor
    right: torch.Tensor
    size: Vectors
    error: Vectors
    slack: Vectors


class Block(NamedTuple):
    """The candidates of some queries.

    Attributes:
        edges: where the candidates of each query begin in ``rows``, and the last end; shape ``(n + 1,)``.
        rows: rows of the pool, ascending for each query.
        border: what the inner product of each query with every row that is no candidate stays below; shape ``(n,)``.
    """

    edges: Rows
    rows: Rows
    border: Vectors


def candidates(queries: Vectors, pool: Vectors, k: int) -> Iterator[tuple[int, Block]]:
    """Candidates for the ``k`` best pool rows of every query, some more than ``k``, in blocks of queries.

    Args:
        queries: shape ``(n, dim)``; the pool itself makes use of the symmetry.
        pool: shape ``(m, dim)``.
        k: neighbours wanted.

    Returns:
        The first query of a block, and the block.
    """
    import torch

    with torch.inference_mode():
        mean = pool.mean(axis=0)
        right = _round(pool, mean)
        left = right if queries is pool else _round(queries, mean)
        border = _borders(left, right, k)
        error = (
            left.error * right.size.max()
            + (left.size + left.error) * right.error.max()
            + left.slack
            + right.slack.max()
            + 1e-5
            + np.abs(border) / 512
        )
        certain = (border + error + float(mean @ mean)).astype(np.float32)
        blocks = _symmetric(right, border) if queries is pool else _plain(left, right, border)
        for low, edges, rows in blocks:
            yield low, Block(edges, rows, certain[low : low + len(edges) - 1])


def _round(vectors: Vectors, mean: Vectors) -> _Rounded:
    import torch

    n, dim = vectors.shape
    left = torch.zeros(n, -(-(dim + 2) // _WIDTH) * _WIDTH, dtype=torch.bfloat16)
    size, error = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.float32)
    for low in range(0, n, 8192):  # in blocks: no second copy of the whole in float32
        block = slice(low, low + 8192)
        centred = vectors[block] - mean
        left[block, :dim] = torch.from_numpy(centred).bfloat16()
        size[block] = np.linalg.norm(centred, axis=1)
        error[block] = np.linalg.norm(centred - left[block, :dim].float().numpy(), axis=1)
    along = vectors @ mean - mean @ mean
    left[:, dim] = torch.from_numpy(along).bfloat16()
    slack = np.abs(along - left[:, dim].float().numpy())
    right = left.clone()
    right[:, dim + 1] = left[:, dim]
    left[:, dim + 1] = 1
    right[:, dim] = 1
    return _Rounded(left, right, size, error, slack)


def _borders(left: _Rounded, right: _Rounded, k: int) -> Vectors:
    """For every query a product that probably more than ``k`` pool rows reach: a rank among a sample of the pool."""
    import torch

    m = len(right.right)
    chosen = np.sort(np.random.default_rng(0).choice(m, m // _SAMPLED, replace=False))
    sample = right.right[torch.from_numpy(chosen)]
    rank = -(-(2 * k + 48) // _SAMPLED)
    border = np.empty(len(left.left), dtype=np.float32)
    step = max(1, _HELD // len(sample))
    for low in range(0, len(border), step):
        products = left.left[low : low + step] @ sample.T
        border[low : low + step] = torch.topk(products, rank, dim=1).values[:, -1].float().numpy()
    return border


def _plain(left: _Rounded, right: _Rounded, border: Vectors) -> Iterator[tuple[int, Rows, Rows]]:
    import torch

    m = len(right.right)
    step = max(64, _HELD // m)
    for low in range(0, len(border), step):
        some = border[low : low + step]
        reached = left.left[low : low + step] @ right.right.T >= torch.from_numpy(some).bfloat16()[:, None]
        row, column = np.divmod(np.flatnonzero(reached.numpy()), m)
        yield low, np.searchsorted(row, np.arange(len(some) + 1)), column


def _symmetric(rows: _Rounded, border: Vectors) -> Iterator[tuple[int, Rows, Rows]]:
    """Only the products above the diagonal are made; each tells something about two rows."""
    import torch

    n = len(border)
    borders = torch.from_numpy(border).bfloat16()
    step = max(64, min(2048, _HELD // n))
    starts = np.arange(0, n + step, step)
    told: list[list[tuple[Rows, Rows]]] = [[] for _ in starts]  # of later blocks: (row, candidate)
    for number, low in enumerate(range(0, n, step)):
        high = min(low + step, n)
        products = rows.left[low:high] @ rows.right[low:].T
        row, column = np.divmod(np.flatnonzero((products >= borders[low:high, None]).numpy()), n - low)
        found = [(row, column + low), *told[number]]
        told[number] = []
        row, column = np.divmod(
            np.flatnonzero((products[:, high - low :] >= borders[high:]).numpy()), max(n - high, 1)
        )
        order = np.argsort(column, kind="stable")
        row, column = row[order] + low, column[order] + high
        edges = np.searchsorted(column, starts)
        for later in range(number + 1, len(starts) - 1):
            piece = slice(edges[later], edges[later + 1])
            told[later].append((column[piece] - starts[later], row[piece]))
        rows_found = np.concatenate([r for r, _ in found])
        yield low, *_grouped(rows_found, np.concatenate([c for _, c in found]), high - low, n)


def _grouped(row: Rows, column: Rows, n: int, m: int) -> tuple[Rows, Rows]:
    """Where the columns of each of ``n`` rows begin, and the columns (below ``m``), ascending within a row."""
    place = row * m + column
    place.sort()
    row, column = np.divmod(place, m)
    return np.searchsorted(row, np.arange(n + 1)), column
