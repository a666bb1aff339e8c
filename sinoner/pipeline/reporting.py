"""Collecting what the report and the terminal summary show."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sinoner import __version__, jsonl
from sinoner.pipeline.data_stages import FILTERED, TRAIN
from sinoner.pipeline.manifest import Entry, Manifest
from sinoner.pipeline.model_stages import LOSSES, SUMMARY
from sinoner.pipeline.stages import plural
from sinoner.recipe import dump
from sinoner.records import Annotation, Conversation, Reject, Score
from sinoner.settings import Recipe

if TYPE_CHECKING:
    from sinoner.report.html import RejectGroup, ReportData, StageRow, TypeRow

REPORT = "report.html"
_SAMPLES = 3
_PASSAGES = 24
_EXAMPLES = 8


def scores(folder: Path) -> tuple[Score, ...]:
    """The scores of a run, if it was evaluated."""
    path = folder / SUMMARY
    if not path.exists():
        return ()
    return tuple(Score.model_validate(s) for s in json.loads(path.read_text(encoding="utf-8"))["scores"])


def write_report(folder: Path, recipe: Recipe, manifest: Manifest) -> Path:
    """Write ``report.html`` from what the run folder holds."""
    from sinoner.report.html import render

    path = folder / REPORT
    jsonl.write_text(path, render(_collect(folder, recipe, manifest)))
    return path


def _collect(folder: Path, recipe: Recipe, manifest: Manifest) -> ReportData:
    from sinoner.report.html import ReportData

    annotations = (
        list(jsonl.read_records(folder / FILTERED, Annotation)) if (folder / FILTERED).exists() else []
    )
    losses: dict[str, list[tuple[int, float]]] = {"train": [], "validation": []}
    if "finetune" in manifest.entries and (folder / LOSSES).exists():
        losses = json.loads((folder / LOSSES).read_text(encoding="utf-8"))
    return ReportData(
        name=recipe.name,
        version=__version__,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        passages=_made(manifest, "chunk", "passage"),
        conversations=_made(manifest, "build-it-set", "conversation"),
        stages=tuple(row for name, entry in manifest.entries.items() for row in _rows(name, entry)),
        rejects=tuple(_rejects(folder, manifest)),
        types=tuple(_types(annotations)),
        annotations=tuple(_spread(annotations)),
        examples=tuple(_shown(folder, annotations)),
        losses=tuple((int(s), float(x)) for s, x in losses["train"]),
        validation_losses=tuple((int(s), float(x)) for s, x in losses["validation"]),
        scores=scores(folder),
        settings=dump(recipe),
        annotators=tuple(by for by, _ in Counter(a.by for a in annotations).most_common()),
    )


def _made(manifest: Manifest, stage: str, word: str) -> int | None:
    entry = manifest.entries.get(stage)
    return entry.made.get(word) if entry else None


def _rows(name: str, entry: Entry) -> list[StageRow]:
    """The rows of a stage, one per unit; only the first carries the time."""
    from sinoner.report.html import StageRow

    return [
        StageRow(
            name=name,
            unit=unit,
            in_=c.in_,
            out=c.out,
            rejected=c.rejected,
            seconds=entry.seconds if i == 0 else None,
        )
        for i, (unit, c) in enumerate(entry.counts.items())
    ]


def _rejects(folder: Path, manifest: Manifest) -> list[RejectGroup]:
    from sinoner.report.html import RejectGroup

    groups: dict[tuple[str, str, str], list[Reject]] = defaultdict(list)
    counts: Counter[tuple[str, str, str]] = Counter()
    for stage in manifest.entries:
        path = folder / "rejects" / f"{stage}.jsonl"
        for reject in jsonl.read_records(path, Reject) if path.exists() else ():
            key = (stage, reject.unit, reject.reason)
            counts[key] += 1
            if len(groups[key]) < _SAMPLES:
                groups[key].append(reject)
    return [
        RejectGroup(stage=key[0], unit=key[1], reason=key[2], count=counts[key], samples=tuple(samples))
        for key, samples in groups.items()
    ]


def _types(annotations: list[Annotation]) -> list[TypeRow]:
    from sinoner.report.html import TypeRow

    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for annotation in annotations:
        for entity in annotation.entities:
            key = (annotation.passage.lang, entity.type)
            counts[key] += 1
            if len(examples[key]) < _EXAMPLES:
                examples[key][entity.surface] = None
    ordered = sorted(counts, key=lambda k: (k[0] != "zh", -counts[k], k[1]))
    return [TypeRow(lang=k[0], type=k[1], mentions=counts[k], examples=tuple(examples[k])) for k in ordered]


def _shown(folder: Path, annotations: list[Annotation]) -> list[Conversation]:
    """The first training conversation of each language, with examples if it has some."""
    if not (folder / TRAIN).exists():
        return []
    lang = {a.passage.id: a.passage.lang for a in annotations}
    first: dict[str, Conversation] = {}
    for conversation in jsonl.read_records(folder / TRAIN, Conversation):
        key = lang.get(conversation.passage, "")
        if key not in first or (conversation.examples and not first[key].examples):
            first[key] = conversation
    return [first[key] for key in sorted(first, reverse=True)]


def _spread(annotations: list[Annotation]) -> list[Annotation]:
    """Passages with entities, spread over the run and over its languages."""
    chosen: list[Annotation] = []
    langs = sorted({a.passage.lang for a in annotations}, reverse=True)
    for lang in langs:
        own = [a for a in annotations if a.passage.lang == lang and a.entities]
        share = _PASSAGES // len(langs)
        step = max(1, len(own) // share)
        chosen.extend(own[::step][:share])
    return chosen


def print_summary(console: Console, folder: Path, manifest: Manifest, report: Path | None) -> None:
    """The closing lines of a run: stages, scores and where the report is."""
    table = Table(title="stages", title_justify="left", header_style="bold")
    for column in ("stage", "in", "out", "rejected", "seconds"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name, entry in manifest.entries.items():
        for row in _rows(name, entry):
            seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
            table.add_row(
                name if seconds else "",
                f"{row.in_} {plural(row.unit)}",
                f"{row.out}",
                str(row.rejected),
                seconds,
            )
        for word, n in entry.made.items():
            table.add_row(
                "" if entry.counts else name,
                "",
                f"{n} {plural(word)}",
                "",
                "" if entry.counts else f"{entry.seconds:.1f}",
            )
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
