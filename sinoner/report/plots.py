"""The report's charts as inline SVG, built as element trees so that every text is escaped by construction.

Colours and fonts come from the page's style sheet through class names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from sinoner.records import Score
from sinoner.report import words

Point = tuple[int, float]
WIDTH = 640  # units of the view box; the page scales it to the column


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

    svg = _svg(height, "Training and validation loss by step", "训练损失与验证损失随步数的变化")
    for tick in ys:
        _line(svg, left, y_of(tick), WIDTH - right, y_of(tick), "grid")
        _text(svg, left - 8, y_of(tick) + 5, f"{tick:g}", "end")
    for tick in xs:
        if tick == int(tick):
            _text(svg, x_of(tick), height - bottom + 22, f"{tick:,.0f}", "middle")
    _line(svg, left, height - bottom, WIDTH - right, height - bottom, "axis")
    _both(svg, left - 8, 20, ("loss", "损失"), "start")
    _both(svg, (left + WIDTH - right) / 2, height - 8, ("step", "步数"), "middle")
    for name, line in lines:
        if len(line) > 1:
            path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line)
            ET.SubElement(svg, "polyline", {"points": path, "class": name})
        for x, y in line if name == "validation" or len(line) == 1 else ():
            ET.SubElement(
                svg, "circle", {"cx": f"{x_of(x):.1f}", "cy": f"{y_of(y):.1f}", "r": "4", "class": name}
            )
    return ET.tostring(svg, encoding="unicode")


def score_bars(scores: Sequence[Score]) -> str:
    """Draw the F1 of every score as horizontal bars, grouped by benchmark, with the 95 % interval as a whisker.

    Args:
        scores: the scores, already in the order wanted; one benchmark's scores follow each other.

    Returns:
        An ``<svg>`` element, or an empty string without scores.
    """
    if not scores:
        return ""
    left, right, row, head = 200, 78, 30, 36
    benchmarks = list(dict.fromkeys(s.benchmark for s in scores))
    height = head * len(benchmarks) + row * len(scores) + 40
    xs = ticks(0.0, max([1.0] + [max(s.f1, s.high or 0.0) for s in scores]))

    def x_of(value: float) -> float:
        return left + value / xs[-1] * (WIDTH - left - right)

    svg = _svg(height, "F1 of each model on each benchmark, in percent", "各模型在各评测集上的 F1（百分比）")
    for tick in xs:
        _line(svg, x_of(tick), 8, x_of(tick), height - 32, "grid")
        _text(svg, x_of(tick), height - 10, f"{tick:g}", "middle")
    y = 0.0
    for benchmark in benchmarks:
        y += head
        _text(svg, 4, y - 10, clip(benchmark, 48), "start", "name")
        for score in (s for s in scores if s.benchmark == benchmark):
            kind = score.model if score.model in words.MODELS else "other"
            shade = kind if score.examples else f"{kind} plain"
            bar = {"x": f"{left}", "y": f"{y + 4:g}", "height": f"{row - 10}", "rx": "2", "class": shade}
            ET.SubElement(svg, "rect", {**bar, "width": f"{max(x_of(score.f1) - left, 1):.1f}"})
            end = x_of(score.f1)
            middle = y + row / 2 - 1
            if score.low is not None and score.high is not None:
                end = max(end, x_of(score.high))
                _line(svg, x_of(score.low), middle, x_of(score.high), middle, "whisker")
                for edge in (score.low, score.high):
                    _line(svg, x_of(edge), middle - 4, x_of(edge), middle + 4, "whisker")
            english, chinese = words.MODELS.get(score.model, (clip(score.model, 14),) * 2)
            more = (" + examples", " + 示例") if score.examples else ("", "")
            _both(svg, left - 10, middle + 5, (english + more[0], chinese + more[1]), "end")
            _text(svg, end + 8, middle + 5, f"{score.f1:.1f}", "start")
            y += row
    return ET.tostring(svg, encoding="unicode")


def ticks(low: float, high: float, about: int = 5, *, inside: bool = False) -> list[float]:
    """Round numbers that cover ``low`` to ``high``, or with ``inside`` lie between them."""
    if high - low <= 1e-6 * max(1.0, abs(low), abs(high)):  # too narrow for round numbers of its own
        if inside:
            return [low]
        low, high = low - 0.5 * max(1.0, abs(low)), high + 0.5 * max(1.0, abs(high))
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = low / step, high / step
    start, stop = (math.ceil(first), math.floor(last)) if inside else (math.floor(first), math.ceil(last))
    return [round(i * step, 10) for i in range(start, stop + 1)]


def thin(points: Sequence[Point], most: int = 400) -> list[Point]:
    """Average neighbouring points until at most ``most`` are left; each keeps the last step of its group."""
    size = math.ceil(len(points) / most) or 1
    groups = (points[i : i + size] for i in range(0, len(points), size))
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def clip(text: str, most: int) -> str:
    """Cut a text to ``most`` code points, the last an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _finite(points: Sequence[Point]) -> list[Point]:
    return sorted((x, y) for x, y in points if math.isfinite(y))


def _svg(height: float, english: str, chinese: str) -> ET.Element:
    """An accessible chart: the title is what a screen reader says."""
    svg = ET.Element("svg", {"viewBox": f"0 0 {WIDTH} {height:g}", "role": "img", "class": "chart"})
    ET.SubElement(svg, "title").text = f"{english} · {chinese}"
    return svg


def _line(svg: ET.Element, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    ET.SubElement(svg, "line", {**ends, "class": kind})


def _text(svg: ET.Element, x: float, y: float, text: str, anchor: str, kind: str = "") -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    ET.SubElement(svg, "text", {**place, "class": kind} if kind else place).text = text


def _both(svg: ET.Element, x: float, y: float, label: tuple[str, str], anchor: str) -> None:
    """The same label in both interface languages; the style sheet shows one."""
    for text, language in zip(label, ("en", "zh"), strict=True):
        _text(svg, x, y, text, anchor, language)
