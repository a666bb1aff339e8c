"""Histograms keep their proportions, label what they hold, and survive odd counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_page import Page

from sinoner.bins import Histogram
from sinoner.measurements import Shape
from sinoner.report import histograms
from sinoner.report.histograms import charts, histogram, median, short

TITLE, AXIS = ("Length", "长度"), ("characters", "字符")


def drawn(found: Histogram) -> Page:
    return Page(histogram(found, TITLE, AXIS))


def bars(page: Page) -> list[tuple[float, float]]:
    return [
        (float(a["height"] or 0), float(a["width"] or 0))
        for t, a in page.elements
        if t == "rect" and a["class"] == "bin"
    ]


def test_bars_are_in_proportion_and_say_what_they_hold() -> None:
    page = drawn(Histogram(low=0, width=20, counts=(10, 40, 0, 20)))
    first, second, third = (height for height, _ in bars(page))
    assert second == pytest.approx(4 * first, rel=0.02)
    assert third == pytest.approx(2 * first, rel=0.02)
    assert page.text("rect") == ["0–20: 10", "20–40: 40", "60+: 20"]
    assert {"characters", "字符"} <= set(page.text("text"))


def test_empty_bins_at_the_end_are_cut_and_then_nothing_lies_above() -> None:
    page = drawn(Histogram(low=0, width=1, counts=(1, 2, 0, 0, 0)))
    assert page.text("rect") == ["0–1: 1", "1–2: 2"]
    assert not any(t.endswith("+") for t in page.text("text"))


def test_a_last_bin_that_holds_what_lies_above_is_marked() -> None:
    assert "5+" in drawn(Histogram(low=0, width=1, counts=(1, 1, 1, 1, 1, 4))).text("text")
    assert "740+" in drawn(Histogram(low=0, width=20, counts=(1,) * 38)).text("text")


def test_whole_numbers_have_whole_labels() -> None:
    labels = drawn(Histogram(low=1, width=1, counts=tuple(range(1, 14)))).text("text")
    assert not any("." in label for label in labels)
    labels = drawn(Histogram(low=0, width=1, counts=(4, 1, 0))).text("text")
    assert labels[-4:-2] == ["0", "1"]


@pytest.mark.parametrize("counts", [(), (0,), (0, 0)])
def test_nothing_counted_draws_nothing(counts: tuple[int, ...]) -> None:
    assert histogram(Histogram(width=1, counts=counts), TITLE, AXIS) == ""


@given(
    st.floats(0, 100),
    st.floats(0.1, 500),
    st.lists(st.integers(0, 10**7), min_size=1, max_size=60).filter(any),
)
def test_every_bar_and_label_lies_inside_the_box(low: float, width: float, counts: list[int]) -> None:
    page = drawn(Histogram(low=low, width=width, counts=tuple(counts)))
    assert len(bars(page)) == sum(map(bool, counts))
    for tag, a in page.elements:
        if tag in ("rect", "text"):
            assert 0 <= float(a["x"] or 0) <= histograms.WIDTH
            assert 0 <= float(a["y"] or 0) <= 220
    assert all(height > 0 for height, _ in bars(page))


def test_the_median_is_the_bin_that_holds_it() -> None:
    assert median(Histogram(width=20, counts=(1, 1, 5, 1)))[0] == "median 40–60"
    assert median(Histogram(width=1, counts=(9, 1)))[0] == "median 0"
    assert median(Histogram(width=20, counts=(1, 9)))[0] == "median 20 or more"


def test_numbers_of_an_axis_share_their_unit() -> None:
    assert [short(v, 15000) for v in (0, 5000, 15000)] == ["0", "5k", "15k"]
    assert short(5000, 8000) == "5,000"
    assert short(2_500_000, 3e6) == "2.5M"


def test_a_shape_draws_what_was_counted() -> None:
    some, none = Histogram(width=1, counts=(1,)), Histogram(width=1)
    found = charts(Shape(lengths=some, mention_lengths=none, densities=some, entities=some))
    assert [c.title[0] for c in found] == ["Passage length", "Entities per passage", "Density"]
    assert charts(None) == []
