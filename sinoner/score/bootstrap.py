"""Percentile bootstrap over passages: how far a score may move by the choice of the test passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sinoner.score.f1 import Counts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def interval(counts: Sequence[Counts], resamples: int, seed: int) -> tuple[float, float] | None:
    """The 95 % interval of micro-F1 in percent, or None without resamples or passages.

    Args:
        counts: counts of every passage.
        resamples: how often passages are drawn with replacement.
        seed: seed of the draws.
    """
    if not resamples or not counts:
        return None
    import numpy as np

    table = np.asarray(counts, dtype=np.int64)  # (passages, 3)
    random = np.random.default_rng(seed)
    f1 = np.empty(resamples)
    for i in range(resamples):
        f1[i] = _f1(table[random.integers(len(table), size=len(table))].sum(axis=0))
    low, high = np.percentile(f1, [2.5, 97.5])
    return round(float(low), 2), round(float(high), 2)


def _f1(total: npt.NDArray[np.int64]) -> float:
    gold, predicted, correct = (float(x) for x in total)
    return 200 * correct / (gold + predicted) if gold + predicted else 0.0
