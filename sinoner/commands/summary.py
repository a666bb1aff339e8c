"""The closing lines of a run on the terminal: stages, scores and where the report is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sinoner.counted import plural
from sinoner.measurements import Score
from sinoner.run.manifest import Manifest
from sinoner.stages.evaluate import scores


def print_summary(console: Console, folder: Path, manifest: Manifest, report: Path | None) -> None:
    """Print stages and scores of a run, and where the report is."""
    table = Table(title="stages", title_justify="left", header_style="bold")
    for column in ("stage", "in", "out", "rejected", "seconds"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name, entry in manifest.entries.items():
        seconds = f"{entry.seconds:.1f}"
        lines = [(f"{c.in_} {plural(u)}", f"{c.out}", str(c.rejected)) for u, c in entry.counts.items()]
        lines += [("", f"{n} {plural(word)}", "") for word, n in entry.made.items()]
        for i, line in enumerate(lines):
            table.add_row("" if i else name, *line, "" if i else seconds)
    console.print(table)
    if found := scores(folder):
        console.print(_score_table(found))
    if report is not None:
        console.print(f"report: {escape(str(report))}", soft_wrap=True)


def _score_table(found: tuple[Score, ...]) -> Table:
    table = Table(title="scores (micro, %)", title_justify="left", header_style="bold")
    for column in ("benchmark", "model", "examples", "P", "R", "F1", "95 %", "strict F1"):
        table.add_column(column, justify="left" if column in ("benchmark", "model", "examples") else "right")
    best = {b: max(s.f1 for s in found if s.benchmark == b) for b in {s.benchmark for s in found}}
    for s in found:
        bounds = f"{s.low:.1f}–{s.high:.1f}" if s.low is not None and s.high is not None else ""
        f1 = f"[bold]{s.f1:.2f}[/bold]" if s.f1 and s.f1 == best[s.benchmark] else f"{s.f1:.2f}"
        table.add_row(
            escape(s.benchmark), s.model, "with" if s.examples else "without",
            f"{s.precision:.2f}", f"{s.recall:.2f}", f1, bounds, f"{s.strict_f1:.2f}",
        )  # fmt: skip
    return table
