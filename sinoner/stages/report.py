"""Collecting what the report shows from a run folder, without holding the corpus."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from sinoner import __version__, disk
from sinoner.counted import Counted
from sinoner.errors import InputError
from sinoner.measurements import (
    Agreement,
    Decontamination,
    Examples,
    GoldScores,
    RuleHits,
    Shape,
    TypeInventory,
)
from sinoner.recipe import dump
from sinoner.records import Annotation, Facts
from sinoner.run.layout import (
    AGREEMENT,
    CONTAMINATION,
    EXAMPLES,
    FILTERED,
    GOLD,
    HITS,
    INVENTORY,
    LOSSES,
    SHAPE,
    SHOWN,
    SUMMARY,
    TRAIN,
    kept,
)
from sinoner.run.manifest import Entry, Manifest
from sinoner.settings import Recipe
from sinoner.stages import report_samples
from sinoner.stages.evaluate import scores

if TYPE_CHECKING:
    from sinoner.report.data import BenchmarkCheck, BuiltSet, ReportData, StageRow


REPORT = "report.html"
R = TypeVar("R", bound=Facts)
# What makes a file again that cannot be read.
_MAKERS = {
    AGREEMENT: "agreement",
    CONTAMINATION: "build-it-set",
    EXAMPLES: "build-it-set",
    SHOWN: "evaluate",
}


def write_report(folder: Path, recipe: Recipe, manifest: Manifest) -> Path:
    """Write ``report.html`` from what the run folder holds.

    Raises:
        InputError: a file of the folder cannot be read (which, and what makes it again).
    """
    from sinoner.report.html import render

    path = folder / REPORT
    disk.write_text(path, render(_collect(folder, recipe, manifest)))
    return path


def _collect(folder: Path, recipe: Recipe, manifest: Manifest) -> ReportData:
    from sinoner.report.data import PASSAGES, SAMPLES, RejectGroup, ReportData

    entries = _live(recipe, manifest)
    inventory = _measured(folder, INVENTORY, TypeInventory)
    candidates = report_samples.conversations(folder / TRAIN)
    look = report_samples.Look(PASSAGES, (c.passage for c in candidates), count_types=inventory is None)
    look.over(_annotations(folder, recipe))
    losses: dict[str, list[tuple[int, float]]] = {"train": [], "validation": []}
    if "finetune" in entries and (folder / LOSSES).exists():
        losses = json.loads((folder / LOSSES).read_text(encoding="utf-8"))
    decontamination = (
        _measured(folder, CONTAMINATION, Decontamination) if recipe.filter.decontaminate else None
    )
    return ReportData(
        name=recipe.name,
        version=__version__,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        passages=_made(entries, "chunk", "passage"),
        conversations=_made(entries, "build-it-set", "conversation"),
        stages=tuple(row for name, entry in entries.items() for row in _rows(name, entry)),
        rejects=tuple(
            RejectGroup(stage=stage, unit=unit, reason=reason, count=count, samples=tuple(samples))
            for (stage, unit, reason), (count, samples) in report_samples.rejects(
                folder, entries, SAMPLES
            ).items()
        ),
        hits=_measured(folder, HITS, RuleHits) or RuleHits(),
        inventory=inventory or look.inventory(),
        shape=_measured(folder, SHAPE, Shape),
        agreement=_measured(folder, AGREEMENT, Agreement),
        gold=_gold(folder) if recipe.filter.gold else (),
        decontamination=decontamination,
        benchmarks=_checks(folder, decontamination),
        use=_measured(folder, EXAMPLES, Examples),
        built=_built(entries),
        shown=_measured(folder, SHOWN, Examples),
        annotations=tuple(look.passages()),
        examples=tuple(report_samples.one_per_language(candidates, look.langs)),
        losses=tuple((int(s), float(x)) for s, x in losses["train"]),
        validation_losses=tuple((int(s), float(x)) for s, x in losses["validation"]),
        scores=scores(folder),
        settings=dump(recipe),
        annotators=tuple((by.label, n) for by, n in look.annotators.most_common()),
    )


def _live(recipe: Recipe, manifest: Manifest) -> dict[str, Entry]:
    """The finished stages in the order of the flow, without those that an earlier recipe wanted and this one does not."""
    from sinoner.stages.flow import STAGES

    names = [stage.name for stage in STAGES if stage.wanted(recipe) or stage.required]
    return {name: manifest.entries[name] for name in names if name in manifest.entries}


def _annotations(folder: Path, recipe: Recipe) -> Any:
    """The annotations that are left; before the judge has spoken those that the filter left."""
    for path in (kept(recipe, folder), folder / FILTERED):
        if path.exists():
            return disk.read_records(path, Annotation)
    return ()


def _measured(folder: Path, name: str, kind: type[R]) -> R | None:
    """A record of what was measured, or None when nobody measured it.

    Raises:
        InputError: the file is no such record.
    """
    path = folder / name
    if not path.exists():
        return None
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError:
        raise _unreadable(path, folder, _MAKERS.get(name, "filter")) from None


def _gold(folder: Path) -> tuple[GoldScores, ...]:
    path = folder / GOLD
    if not path.exists():
        return ()
    try:
        return tuple(GoldScores.model_validate(s) for s in json.loads(path.read_bytes())["scores"])
    except (ValueError, KeyError, TypeError):
        raise _unreadable(path, folder, "filter") from None


def _unreadable(path: Path, folder: Path, verb: str) -> InputError:
    return InputError(
        f"{path}: cannot be read (damaged, or of another version); sinoner {verb} {folder} --force makes it again"
    )


def _checks(folder: Path, found: Decontamination | None) -> tuple[BenchmarkCheck, ...]:
    """Whether training data were compared with each benchmark that was scored."""
    from sinoner.report.data import BenchmarkCheck

    if not (folder / SUMMARY).exists():
        return ()
    compared = {leak.benchmark for leak in found.leaks} if found else set()
    benchmarks = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["benchmarks"]
    return tuple(
        BenchmarkCheck(name=name, checked=bool(details.get("decontaminated", name in compared)))
        for name, details in benchmarks.items()
    )


def _made(entries: dict[str, Entry], stage: str, word: Counted) -> int | None:
    entry = entries.get(stage)
    return entry.made.get(word) if entry else None


def _built(entries: dict[str, Entry]) -> BuiltSet | None:
    """What the manifest says about the building of the instruction-tuning set."""
    from sinoner.report.data import BuiltSet

    entry = entries.get("build-it-set")
    if entry is None:
        return None
    passages = entry.counts.get("passage")
    return BuiltSet(
        passages=passages.in_ if passages else 0,
        rejects=tuple(sorted(entry.reasons.items(), key=lambda x: (-x[1], x[0]))),
        conversations=entry.made.get("conversation", 0),
        negatives=entry.made.get("negative_type", 0),
        hard=entry.made.get("hard_negative_type", 0),
        shown=entry.made.get("shown_example", 0),
        budget=entry.settings.get("it_set.max_tokens"),
        shortened=entry.made.get("shortened_example", 0),
        dropped=entry.made.get("dropped_example", 0),
        too_long=entry.made.get("too_long_conversation", 0),
    )


def _rows(name: str, entry: Entry) -> list[StageRow]:
    """The rows of a stage, one per unit; only the first carries the time."""
    from sinoner.report.data import StageRow

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
