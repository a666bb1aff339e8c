"""Percentile bootstrap over passages: how much a score depends on the choice of test passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy.typing as npt


def interval(
    counts: Sequence[tuple[float, float, float]], resamples: int, seed: int
) -> tuple[float, float] | None:
    """The 95 % interval of micro-F1 in percent, or None without resamples or passages.

    Args:
        counts: gold, predicted and correct mentions of every passage.
        resamples: how often passages are drawn with replacement.
        seed: seed of the draws.
    """
    if not counts:
        return None
    import numpy as np

    return intervals(np.asarray(counts, dtype=np.float64), resamples, seed)[0]


def intervals(table: npt.ArrayLike, resamples: int, seed: int) -> tuple[tuple[float, float] | None, ...]:
    """The 95 % intervals of several micro-F1 scores, from the same draws of passages.

    Args:
        table: (passages, 2 + scores): gold mentions, predicted mentions, and one column of correct ones per score.
            Whole and half counts are summed exactly.
        resamples: how often passages are drawn with replacement.
        seed: seed of the draws.

    Returns:
        One interval per score in percent, two decimals; None each without resamples or passages.
    """
    import numpy as np

    rows = np.asarray(table, dtype=np.float64)
    passages, columns = len(rows), int(rows.shape[1])
    if not resamples or not passages:
        return tuple(None for _ in range(columns - 2))
    random = np.random.default_rng(seed)
    f1 = np.zeros((resamples, columns - 2))
    for i in range(resamples):
        # How often each passage was drawn: the sum over the draws is then one product instead of a copy of the table.
        times = np.bincount(random.integers(passages, size=passages), minlength=passages)
        totals = times @ rows
        if mentions := totals[0] + totals[1]:
            f1[i] = 200 * totals[2:] / mentions
    low, high = np.percentile(f1, [2.5, 97.5], axis=0)
    return tuple((round(float(a), 2), round(float(b), 2)) for a, b in zip(low, high, strict=True))
