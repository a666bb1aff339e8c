"""Agreement of annotators on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sinoner.measurements import Agreement
from sinoner.run.layout import DISAGREEMENTS

_TYPES_SHOWN = 20
_CELL = len("100.00 (100.00)")


def print_agreement(console: Console, result: Agreement, out: Path) -> None:
    """The matrix, the types, alpha, and where the disagreements are listed."""
    from sinoner.report.labels import alpha as meaning

    def say(line: str) -> None:
        console.print(escape(line), soft_wrap=True)

    say("agreement: F1 on span and type (on spans alone), %")
    console.print(_matrix(result, console.width))
    say("by type: spans that somebody gave it, that all gave it, mean F1 of the pairs that use it, %")
    types = Table()
    for column in ("type", "spans", "unanimous", "F1"):
        types.add_column(column, justify="left" if column == "type" else "right")
    for row in result.types[:_TYPES_SHOWN]:
        types.add_row(escape(row.type), f"{row.mentions:,}", f"{row.unanimous:,}", f"{row.f1:.2f}")
    if len(result.types) > _TYPES_SHOWN:
        types.add_row(f"{len(result.types) - _TYPES_SHOWN} more", "", "", "")
    console.print(types)
    alpha = "not defined (all carry one label)"
    if result.alpha is not None:
        alpha = f"{result.alpha:.4f} ({meaning(result.alpha)[0]})"
    left = f", {result.left_out:,} left out that not all annotated" if result.left_out else ""
    say(f"{result.passages:,} passages{left}")
    say(f"Krippendorff's alpha on {result.characters:,} characters: {alpha}")
    sheet = (out / Path(DISAGREEMENTS).name).with_suffix(".csv")
    say(f"decisions on a span and its type that not all share: {result.disagreements:,}; for review: {sheet}")


def _matrix(result: Agreement, width: int) -> Table:
    """F1 of every pair; annotators are numbered above the columns where their names would not fit."""
    names = result.annotators
    wide = max(map(cell_len, names)) + sum(max(_CELL, cell_len(name)) + 3 for name in names[1:])
    numbered = wide > width - 4
    table = Table()
    table.add_column("", overflow="fold")
    for number, name in enumerate(names[1:], 2):
        table.add_column(str(number) if numbered else escape(name), justify="right")
    cells = {(p.a, p.b): f"{p.f1:.2f} ({p.span_f1:.2f})" for p in result.pairs}
    for number, name in enumerate(names if numbered else names[:-1], 1):
        row = (cells.get((name, other), "") for other in names[1:])
        table.add_row(escape(f"{number} {name}" if numbered else name), *row)
    return table
