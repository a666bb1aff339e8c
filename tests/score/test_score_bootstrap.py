"""The interval: seeded, around the point estimate, as wide as theory says."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.score.bootstrap import interval, intervals
from sinoner.score.f1 import Counts, percent

RANDOM = Random(5)
PASSAGES = [Counts(4, 4, RANDOM.choice((0, 2, 3, 4))) for _ in range(120)]


def test_seeded() -> None:
    assert interval(PASSAGES, 200, 42) == interval(PASSAGES, 200, 42)
    assert len({interval(PASSAGES, 200, seed) for seed in range(6)}) > 3


def test_brackets_the_point_estimate() -> None:
    bounds = interval(PASSAGES, 1000, 42)
    assert bounds is not None
    f1 = percent(sum(PASSAGES, Counts(0, 0, 0)))[2]
    assert bounds[0] < f1 < bounds[1]


def test_as_wide_as_the_normal_approximation() -> None:
    """With equal denominators micro-F1 is the mean of the passages' F1, whose standard error is known."""
    bounds = interval(PASSAGES, 4000, 42)
    assert bounds is not None
    values = [25.0 * c.correct for c in PASSAGES]
    mean = sum(values) / len(values)
    error = math.sqrt(sum((v - mean) ** 2 for v in values)) / len(values)
    assert bounds[0] == pytest.approx(mean - 1.96 * error, abs=0.15 * error)
    assert bounds[1] == pytest.approx(mean + 1.96 * error, abs=0.15 * error)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8),
    st.integers(0, 99),
)
def test_equals_drawing_and_summing_one_by_one(rows: list[tuple[int, int, int]], seed: int) -> None:
    """Half counts as well; several scores share the draws of one alone."""
    random = np.random.default_rng(seed)
    whole, half = [], []
    for _ in range(20):
        drawn = [rows[i] for i in random.integers(len(rows), size=len(rows))]
        mentions = sum(g + p for g, p, _ in drawn)
        whole.append(200 * sum(c for _, _, c in drawn) / mentions if mentions else 0.0)
        half.append(whole[-1] / 2)
    expected = [tuple(round(float(x), 2) for x in np.percentile(v, [2.5, 97.5])) for v in (whole, half)]
    assert list(intervals([(g, p, c, c / 2) for g, p, c in rows], 20, seed)) == expected
    assert interval([Counts(*r) for r in rows], 20, seed) == expected[0]
    assert interval([(g, p, c / 2) for g, p, c in rows], 20, seed) == expected[1]


def test_none_without_resamples_or_passages() -> None:
    assert interval(PASSAGES, 0, 42) is None
    assert interval([], 100, 42) is None
    assert intervals(np.zeros((0, 6)), 100, 42) == (None,) * 4
    assert intervals([(1, 1, 1, 1)], 0, 42) == (None, None)


@pytest.mark.parametrize(("counts", "value"), [((3, 3, 3), 100.0), ((3, 3, 0), 0.0), ((0, 0, 0), 0.0)])
def test_nothing_to_vary(counts: tuple[int, int, int], value: float) -> None:
    assert interval([Counts(*counts)] * 5, 50, 1) == (value, value)


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3).map(sorted), min_size=1, max_size=6), st.integers(0, 9))
def test_always_within_the_scale(counts: list[list[int]], seed: int) -> None:
    bounds = interval([Counts(c[1], c[2], c[0]) for c in counts], 20, seed)
    assert bounds is not None
    assert 0 <= bounds[0] <= bounds[1] <= 100
