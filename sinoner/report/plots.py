"""The loss curve and the bars of scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

from sinoner.clip import clip
from sinoner.measurements import GoldScores, Score
from sinoner.report import labels, svg
from sinoner.report.svg import WIDTH, Pair, ticks

Point = tuple[int, float]


def loss_curve(train: Sequence[Point], validation: Sequence[Point]) -> str:
    """Draw training and validation loss over steps.

    Args:
        train: (step, loss) pairs; values that are not finite are left out.
        validation: the same, drawn with a dot per point.

    Returns:
        An ``<svg>`` element, or an empty string when there is nothing to draw.
    """
    lines = [("train", thin(_finite(train))), ("validation", _finite(validation))]
    points = [p for _, line in lines for p in line]
    if not points:
        return ""
    left, right, top, bottom, height = 64, 20, 40, 56, 330
    low, high = min(y for _, y in points), max(y for _, y in points)
    ys = ticks(low if low > 0.4 * high else min(0.0, low), high)
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    xs = ticks(float(first), float(last), inside=True)

    def x_of(step: float) -> float:
        share = (step - first) / (last - first) if last > first else 0.5
        return left + share * (WIDTH - left - right)

    def y_of(loss: float) -> float:
        return height - bottom - (loss - ys[0]) / (ys[-1] - ys[0]) * (height - top - bottom)

    drawn = svg.chart(height, ("Training and validation loss by step", "训练损失与验证损失随步数的变化"))
    for tick in ys:
        svg.line(drawn, left, y_of(tick), WIDTH - right, y_of(tick), "grid")
        svg.text(drawn, left - 8, y_of(tick) + 5, f"{tick:g}", "end")
    for tick in xs:
        if tick == int(tick):
            svg.text(drawn, x_of(tick), height - bottom + 22, f"{tick:,.0f}", "middle")
    svg.line(drawn, left, height - bottom, WIDTH - right, height - bottom, "axis")
    svg.both(drawn, left - 8, 20, ("loss", "损失"), "start")
    svg.both(drawn, (left + WIDTH - right) / 2, height - 8, ("step", "步数"), "middle")
    for name, line in lines:
        if len(line) > 1:
            path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line)
            ET.SubElement(drawn, "polyline", {"points": path, "class": name})
        for x, y in line if name == "validation" or len(line) == 1 else ():
            place = {"cx": f"{x_of(x):.1f}", "cy": f"{y_of(y):.1f}", "r": "4", "class": name}
            ET.SubElement(drawn, "circle", place)
    return svg.written(drawn)


class Bar(NamedTuple):
    """A bar: its label, its class in the style sheet, its value in percent and the ends of its whisker."""

    label: Pair
    kind: str
    value: float
    low: float | None = None
    high: float | None = None


def score_bars(scores: Sequence[Score]) -> str:
    """Draw the F1 of every score as horizontal bars, grouped by benchmark, with the 95 % interval as a whisker.

    Args:
        scores: the scores, already in the order wanted; one benchmark's scores follow each other.

    Returns:
        An ``<svg>`` element, or an empty string without scores.
    """
    groups: dict[str, list[Bar]] = {}
    for score in scores:
        kind = score.model if score.model in labels.MODELS else "other"
        english, chinese = labels.MODELS.get(score.model, (clip(score.model, 14),) * 2)
        more = (" + examples", " + 示例") if score.examples else ("", "")
        bar = Bar(
            (english + more[0], chinese + more[1]),
            kind if score.examples else f"{kind} plain",
            score.f1,
            score.low,
            score.high,
        )
        groups.setdefault(score.benchmark, []).append(bar)
    named = [((clip(name, 48),) * 2, bars) for name, bars in groups.items()]
    return bars(
        named, ("F1 of each model on each benchmark, in percent", "各模型在各评测集上的 F1（百分比）")
    )


def gold_bars(layers: Sequence[GoldScores]) -> str:
    """Draw the F1 of every layer against gold, grouped by scheme.

    Args:
        layers: in the order wanted.

    Returns:
        An ``<svg>`` element, or an empty string without scores.
    """
    shades = {"annotations": "base", "filtered": "tuned", "verified": "other"}
    groups = []
    for scheme, label in labels.SCHEMES.items():
        found = [(g.layer, s) for g in layers for s in g.scores if s.scheme == scheme]
        if found:
            groups.append((label, [Bar(labels.LAYERS[n], shades[n], s.f1, s.low, s.high) for n, s in found]))
    return bars(groups, ("F1 against gold, in percent", "与标准标注相比的 F1（百分比）"))


def bars(groups: Sequence[tuple[Pair, Sequence[Bar]]], title: Pair) -> str:
    """Draw horizontal bars in groups; an empty string when there are none."""
    flat = [bar for _, group in groups for bar in group]
    if not flat:
        return ""
    left, right, row, head = 200, 78, 30, 36
    height = head * len(groups) + row * len(flat) + 40
    xs = ticks(0.0, max([1.0] + [max(b.value, b.high or 0.0) for b in flat]))

    def x_of(value: float) -> float:
        return left + value / xs[-1] * (WIDTH - left - right)

    drawn = svg.chart(height, title)
    for tick in xs:
        svg.line(drawn, x_of(tick), 8, x_of(tick), height - 32, "grid")
        svg.text(drawn, x_of(tick), height - 10, f"{tick:g}", "middle")
    y = 0.0
    for name, group in groups:
        y += head
        if name[0] == name[1]:
            svg.text(drawn, 4, y - 10, name[0], "start", "name")
        else:
            for said, language in zip(name, ("en", "zh"), strict=True):
                svg.text(drawn, 4, y - 10, said, "start", f"name {language}")
        for bar in group:
            _bar(drawn, bar, left, y, row, x_of)
            y += row
    return svg.written(drawn)


def _bar(
    drawn: ET.Element, bar: Bar, left: float, y: float, row: float, x_of: Callable[[float], float]
) -> None:
    box = {"x": f"{left}", "y": f"{y + 4:g}", "height": f"{row - 10:g}", "rx": "2", "class": bar.kind}
    ET.SubElement(drawn, "rect", {**box, "width": f"{max(x_of(bar.value) - left, 1):.1f}"})
    end, middle = x_of(bar.value), y + row / 2 - 1
    if bar.low is not None and bar.high is not None:
        end = max(end, x_of(bar.high))
        svg.line(drawn, x_of(bar.low), middle, x_of(bar.high), middle, "whisker")
        for edge in (bar.low, bar.high):
            svg.line(drawn, x_of(edge), middle - 4, x_of(edge), middle + 4, "whisker")
    svg.both(drawn, left - 10, middle + 5, bar.label, "end")
    svg.text(drawn, end + 8, middle + 5, f"{bar.value:.1f}", "start")


def thin(points: Sequence[Point], most: int = 400) -> list[Point]:
    """Average neighbouring points until at most ``most`` are left; each keeps the last step of its group."""
    size = math.ceil(len(points) / most) or 1
    groups = (points[i : i + size] for i in range(0, len(points), size))
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _finite(points: Sequence[Point]) -> list[Point]:
    return sorted((x, y) for x, y in points if math.isfinite(y))
