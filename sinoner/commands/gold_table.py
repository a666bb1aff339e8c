"""Scores against gold on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sinoner.measurements import GoldScores
from sinoner.stages.gold_scores import LAYERS

_TYPES = 20  # rows of the table by type


def print_scores(console: Console, layers: Sequence[GoldScores]) -> None:
    """Print what was scored, every scheme of every layer, and the types of the last layer.

    Args:
        console: where.
        layers: in the order of the flow, all against the same gold.
    """
    first, last = layers[0], layers[-1]
    names = "types through the table of synonyms" if first.aligned else "types as written"
    console.print(f"gold: {escape(first.gold)}, {first.passages} passages; {names}", soft_wrap=True)
    for layer in layers:
        partly = f" ({layer.partly} of them in part)" if layer.partly else ""
        console.print(
            f"{LAYERS[layer.layer]}: {layer.scored} scored{partly}, {layer.missing} not in the run,"
            f" {layer.dropped} without annotations; {layer.scores[0].gold} mentions in gold,"
            f" {layer.scores[0].predicted} annotated",
            soft_wrap=True,
        )
    console.print(_schemes(layers))
    console.print(_types(last))
    if strangers := [t for t in last.types if not t.gold]:
        named = escape(", ".join(t.type for t in strangers[:5])) + (", …" if len(strangers) > 5 else "")
        console.print(
            f"{sum(t.predicted for t in strangers)} mentions of {len(strangers)}"
            f" type{'s' if len(strangers) > 1 else ''} that gold does not have count"
            f" as wrong: {named}",
            soft_wrap=True,
        )


def _schemes(layers: Sequence[GoldScores]) -> Table:
    table = Table(title="against gold (micro, %)", title_justify="left", header_style="bold")
    for column in ("layer", "scheme", "P", "R", "F1", "95 %", "correct"):
        table.add_column(column, justify="left" if column in ("layer", "scheme") else "right")
    for layer in layers:
        for i, s in enumerate(layer.scores):
            ends = f"{s.low:.1f}–{s.high:.1f}" if s.low is not None and s.high is not None else ""
            table.add_row(
                "" if i else layer.layer, s.scheme, f"{s.precision:.2f}", f"{s.recall:.2f}", f"{s.f1:.2f}", ends,
                f"{s.correct:.1f}" if s.scheme == "relaxed" else f"{s.correct:.0f}",
                end_section=i == len(layer.scores) - 1,
            )  # fmt: skip
    return table


def _types(layer: GoldScores) -> Table:
    known = [t for t in layer.types if t.gold]
    rest = f"; {len(known) - _TYPES} rarer types are not shown" if len(known) > _TYPES else ""
    title = f"{layer.layer} by type (strict, %){rest}"
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in ("type", "P", "R", "F1", "gold", "predicted", "correct"):
        table.add_column(column, justify="left" if column == "type" else "right")
    for t in known[:_TYPES]:
        table.add_row(
            escape(t.type), f"{t.precision:.2f}", f"{t.recall:.2f}", f"{t.f1:.2f}",
            str(t.gold), str(t.predicted), str(t.correct),
        )  # fmt: skip
    return table
