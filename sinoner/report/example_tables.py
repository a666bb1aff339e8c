"""The use of examples, arranged as the tables and charts of the page."""

from __future__ import annotations

from sinoner.bins import Histogram
from sinoner.measurements import Examples, ExampleUse
from sinoner.report import labels
from sinoner.report.histograms import Chart, histogram, median
from sinoner.report.svg import Pair

LEAST_BINS = 10  # shown, so that a few values do not become a few fat bars


def none_wanted(examples: Examples) -> bool:
    """Whether the settings ask for no examples at all."""
    return not any(wants(use) for use in examples.languages)


def wants(use: ExampleUse) -> bool:
    """Whether the passages of a language were to get examples."""
    return use.strategy != "none" and use.k > 0


def fewer(use: ExampleUse) -> int:
    """Passages that got fewer examples than wanted."""
    return sum(use.by_number[: use.k])


def without(use: ExampleUse) -> int:
    """Passages that got no example."""
    return use.by_number[0] if use.by_number else 0


def average(use: ExampleUse) -> float:
    """Examples per passage."""
    return sum(n * passages for n, passages in enumerate(use.by_number)) / max(use.queries, 1)


def charts(examples: Examples) -> list[Chart]:
    """The histograms of the languages: how near the examples are, and how often the same passage is one."""
    made = []
    for name, (title, axis) in labels.EXAMPLES.items():
        for use in examples.languages:
            counted: Histogram = getattr(use, name)
            if name == "cosines":
                counted = _from_first(counted)
            heading = _in_language(title, use.lang) if len(examples.languages) > 1 else title
            if drawn := histogram(counted, heading, axis):
                made.append(Chart(heading, drawn, median(counted)))
    return made


def _in_language(title: Pair, lang: str) -> Pair:
    english, chinese = labels.LANGUAGES.get(lang, (lang, lang))
    return f"{title[0]}, {english}", f"{title[1]}（{chinese}）"


def _from_first(found: Histogram) -> Histogram:
    """A histogram without the empty bins far before its first value: cosines use a small part of their range."""
    filled = [i for i, count in enumerate(found.counts) if count] or [0]
    first = max(min(filled[0], filled[-1] + 1 - LEAST_BINS), 0)
    low = round(found.low + first * found.width, 10)
    return Histogram(low=low, width=found.width, counts=found.counts[first:])
