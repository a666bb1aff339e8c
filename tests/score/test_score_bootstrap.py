"""The interval: seeded, around the point estimate, as wide as theory says."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.score.bootstrap import interval
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


def test_none_without_resamples_or_passages() -> None:
    assert interval(PASSAGES, 0, 42) is None
    assert interval([], 100, 42) is None


@pytest.mark.parametrize(("counts", "value"), [((3, 3, 3), 100.0), ((3, 3, 0), 0.0), ((0, 0, 0), 0.0)])
def test_nothing_to_vary(counts: tuple[int, int, int], value: float) -> None:
    assert interval([Counts(*counts)] * 5, 50, 1) == (value, value)


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3).map(sorted), min_size=1, max_size=6), st.integers(0, 9))
def test_always_within_the_scale(counts: list[list[int]], seed: int) -> None:
    bounds = interval([Counts(c[1], c[2], c[0]) for c in counts], 20, seed)
    assert bounds is not None
    assert 0 <= bounds[0] <= bounds[1] <= 100
