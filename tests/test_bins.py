"""Values counted in bins of equal width."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sinoner.bins import Bins, Histogram


def test_a_value_on_an_edge_counts_in_the_bin_that_begins_there() -> None:
    bins = Bins(0.0, 10.0, 3)
    for value in (0, 9, 10, 29):
        bins.add(value)
    assert bins.histogram() == Histogram(low=0.0, width=10.0, counts=(2, 1, 1))


def test_values_outside_count_in_the_first_and_the_last_bin() -> None:
    bins = Bins(0.0, 1.0, 2)
    for value in (-5, 7, 2):
        bins.add(value)
    assert bins.histogram().counts == (1, 2)


@given(st.lists(st.integers(-50, 150)), st.integers(1, 20), st.integers(1, 9))
def test_the_counts_are_those_of_numpy(values: list[int], width: int, number: int) -> None:
    bins = Bins(0.0, width, number)
    for value in values:
        bins.add(value)
    edges = np.arange(number + 1) * width
    inside = np.clip(values, 0, number * width - 0.5)
    assert list(bins.histogram().counts) == np.histogram(inside, edges)[0].tolist()
