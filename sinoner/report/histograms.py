"""Histograms of lengths and densities."""

from __future__ import annotations

from typing import NamedTuple
from xml.etree import ElementTree as ET

from sinoner.bins import Histogram
from sinoner.measurements import Shape
from sinoner.report import labels, svg
from sinoner.report.svg import Pair, ticks

WIDTH = 360  # units of the view box: two of them stand side by side
_LEFT, _RIGHT, _TOP, _BOTTOM, _HEIGHT = 54, 14, 14, 46, 220
_APART = 40  # units between the last two labels
_GAP = 0.12  # of a bin, left free between two bars


class Chart(NamedTuple):
    """A histogram with its heading and a word on its median."""

    title: Pair
    drawn: str
    median: Pair


def charts(shape: Shape | None) -> list[Chart]:
    """The histograms of a run that have something to show."""
    made = []
    for name, (title, axis) in labels.SHAPE.items() if shape is not None else ():
        counted: Histogram = getattr(shape, name)
        if drawn := histogram(counted, title, axis):
            made.append(Chart(title, drawn, median(counted)))
    return made


def histogram(found: Histogram, title: Pair, axis: Pair) -> str:
    """Draw a histogram; the last bin also holds everything above it, and its label says so.

    Args:
        found: the counts.
        title: what is counted, for screen readers.
        axis: the unit, under the axis.

    Returns:
        An ``<svg>`` element, or an empty string when nothing was counted.
    """
    counts = _trimmed(found)
    if not any(counts):
        return ""
    bins, width = len(counts), found.width
    ys = ticks(0.0, float(max(counts)), 4)
    whole = all(tick == int(tick) for tick in ys)
    ys = ys if whole else [tick for tick in ys if tick == int(tick)] or [0.0, 1.0]
    top = max(ys[-1], float(max(counts)))
    step = (WIDTH - _LEFT - _RIGHT) / bins
    base = _HEIGHT - _BOTTOM

    def y_of(count: float) -> float:
        return base - count / top * (base - _TOP)

    drawn = svg.chart(_HEIGHT, title, width=WIDTH, kind="chart small")
    for tick in ys:
        svg.line(drawn, _LEFT, y_of(tick), WIDTH - _RIGHT, y_of(tick), "grid")
        svg.text(drawn, _LEFT - 6, y_of(tick) + 4, short(tick, ys[-1]), "end")
    for i, count in enumerate(counts):
        if not count:
            continue
        left = _LEFT + (i + _GAP / 2) * step
        height = max(base - y_of(count), 0.8)  # a rare bin is still seen
        place = {"x": f"{left:.1f}", "y": f"{base - height:.1f}", "width": f"{step * (1 - _GAP):.2f}"}
        box = ET.SubElement(drawn, "rect", {**place, "height": f"{height:.1f}", "class": "bin"})
        low, high = found.low + i * width, found.low + (i + 1) * width
        above = i == bins - 1 and bins == len(found.counts)
        ET.SubElement(box, "title").text = f"{low:g}+: {count:,}" if above else f"{low:g}–{high:g}: {count:,}"
    svg.line(drawn, _LEFT, base, WIDTH - _RIGHT, base, "axis")
    _labels(drawn, found, bins)
    svg.both(drawn, (_LEFT + WIDTH - _RIGHT) / 2, _HEIGHT - 6, axis, "middle")
    return svg.written(drawn)


def _labels(drawn: ET.Element, found: Histogram, bins: int) -> None:
    """Label the axis. A bin of one whole number is labelled in its middle, others at their lower edge."""
    step, width = (WIDTH - _LEFT - _RIGHT) / bins, found.width
    middle = 0.5 if width == 1 else 0.0
    last = found.low + (bins - 1) * width
    high = last if middle else last + width
    open_ended = bins == len(found.counts) and bins > 1

    def x_of(value: float) -> float:
        return _LEFT + ((value - found.low) / width + middle) * step

    choices = [ticks(found.low, high, about, inside=True) for about in (5, 6, 4, 3, 2)]
    fit = [[tick for tick in c if width != int(width) or tick == int(tick)] for c in choices]
    shown = next((f for f, c in zip(fit, choices, strict=True) if len(f) == len(c)), fit[0])
    places = [(x_of(tick), short(tick, last)) for tick in shown]
    if open_ended:
        end = _LEFT + (bins - 0.5) * step
        places = [p for p in places if p[0] < end - _APART] + [(end, f"{short(last, last)}+")]
    for x, label in places:
        svg.text(drawn, min(x, WIDTH - _RIGHT), _HEIGHT - _BOTTOM + 18, label, "middle")


def median(found: Histogram) -> Pair:
    """Where the median lies, in words: the bin that holds it."""
    half, below, last = sum(found.counts) / 2, 0, len(found.counts) - 1
    i = next((i for i, count in enumerate(found.counts) if (below := below + count) >= half), last)
    low, high = found.low + i * found.width, found.low + (i + 1) * found.width
    digits = len(f"{found.width:g}".partition(".")[2])  # 0.88–0.90, not 0.88–0.9
    said = f"{low:,g}" if found.width == 1 else f"{low:,.{digits}f}–{high:,.{digits}f}"
    return (
        (f"median {low:,g} or more", f"中位数不低于 {low:,g}")
        if i == last
        else (f"median {said}", f"中位数 {said}")
    )


def short(value: float, largest: float) -> str:
    """A number as an axis up to ``largest`` shows it: 1,500, or 15k."""
    if largest >= 1e6:
        return f"{value / 1e6:g}M" if value else "0"
    return f"{value / 1e3:g}k" if value and largest >= 10_000 else f"{value:,g}"


def _trimmed(found: Histogram) -> tuple[int, ...]:
    """The counts without the empty bins at the end: they would squeeze the others."""
    end = len(found.counts)
    while end and not found.counts[end - 1]:
        end -= 1
    return found.counts[:end]
