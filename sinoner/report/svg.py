"""Charts as inline SVG, built as element trees so that every text is escaped by construction.

Colours and fonts come from the page's style sheet through class names.
"""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

WIDTH = 640  # units of a wide chart's view box; the page scales it to the column
# Controls have no glyph, and a browser replaces NUL: show their Unicode pictures instead.
PICTURES = {**{c: 0x2400 + c for c in range(32) if chr(c) not in "\t\n\r"}, 0x7F: 0x2421}
Pair = tuple[str, str]  # English, Chinese


def chart(height: float, title: Pair, *, width: float = WIDTH, kind: str = "chart") -> ET.Element:
    """An accessible, empty chart: the title is what a screen reader says."""
    svg = ET.Element("svg", {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "class": kind})
    ET.SubElement(svg, "title").text = " · ".join(title)
    return svg


def line(svg: ET.Element, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
    """Add a line of a class."""
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    ET.SubElement(svg, "line", {**ends, "class": kind})


def text(svg: ET.Element, x: float, y: float, said: str, anchor: str, kind: str = "") -> None:
    """Add a text that is not translated."""
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    ET.SubElement(svg, "text", {**place, "class": kind} if kind else place).text = said


def both(svg: ET.Element, x: float, y: float, label: Pair, anchor: str) -> None:
    """Add a label in both interface languages; the style sheet shows one."""
    for said, language in zip(label, ("en", "zh"), strict=True):
        text(svg, x, y, said, anchor, language)


def written(svg: ET.Element) -> str:
    """The chart as markup."""
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
