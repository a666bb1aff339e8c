"""Agreement, gold scores and decontamination, arranged as the tables of the page."""

from __future__ import annotations

from collections.abc import Sequence

from sinoner.measurements import Agreement, GoldScores, Leak, TypeAgreement
from sinoner.records import Facts
from sinoner.report.data import BenchmarkCheck, RejectGroup, ReportData

TYPE_ROWS = 30  # of a table by type; the rarer types are summed up in a sentence


class Cell(Facts):
    """A cell of the matrix: F1 in percent on spans with types (``strict``) or on spans alone; None on the diagonal."""

    f1: float | None
    strict: bool


class MatrixRow(Facts):
    """A row of the matrix: an annotator against every annotator, itself included."""

    name: str
    cells: tuple[Cell, ...]


def matrix(agreement: Agreement) -> tuple[MatrixRow, ...]:
    """The pairwise F1: on spans with types above the diagonal, on spans alone below it."""
    found = {}
    for pair in agreement.pairs:
        found[pair.a, pair.b] = found[pair.b, pair.a] = pair
    rows = []
    for i, a in enumerate(agreement.annotators):
        cells = []
        for j, b in enumerate(agreement.annotators):
            both = found.get((a, b)) if i != j else None
            f1 = None if both is None else both.f1 if j > i else both.span_f1
            cells.append(Cell(f1=f1, strict=j > i))
        rows.append(MatrixRow(name=a, cells=tuple(cells)))
    return tuple(rows)


def agreed_types(agreement: Agreement) -> tuple[TypeAgreement, ...]:
    """The frequent types of the agreement."""
    return tuple(sorted(agreement.types, key=lambda t: (-t.mentions, t.type))[:TYPE_ROWS])


class GoldType(Facts):
    """A type of the gold in every layer: its gold mentions, and (precision, recall, F1) where the layer has it."""

    type: str
    gold: int
    layers: tuple[tuple[float, float, float] | None, ...]


def gold_types(layers: Sequence[GoldScores]) -> tuple[GoldType, ...]:
    """The strict scores by type, the most frequent in the gold first, one column per layer."""
    counts: dict[str, int] = {}
    for layer in layers:
        for t in layer.types:
            counts[t.type] = max(counts.get(t.type, 0), t.gold)
    by_layer = [{t.type: (t.precision, t.recall, t.f1) for t in layer.types} for layer in layers]
    return tuple(
        GoldType(type=name, gold=counts[name], layers=tuple(found.get(name) for found in by_layer))
        for name in sorted(counts, key=lambda name: (-counts[name], name))
    )


def leaks(data: ReportData) -> tuple[Leak | BenchmarkCheck, ...]:
    """One row per test set that training data were compared with, then the benchmarks that were scored unchecked."""
    compared = data.decontamination.leaks if data.decontamination else ()
    return compared + tuple(b for b in data.benchmarks if not b.checked)


class RejectRow(Facts):
    """A group of rejects, and its share of what went into the stage, in percent; None when nobody counted that."""

    group: RejectGroup
    share: float | None


def reject_rows(data: ReportData) -> dict[str, list[RejectRow]]:
    """The reject groups by stage, as they first occur, the largest first."""
    went_in = {(s.name, s.unit): s.in_ for s in data.stages}
    rows: dict[str, list[RejectRow]] = {}
    for group in sorted(data.rejects, key=lambda r: (-r.count, r.reason)):
        total = went_in.get((group.stage, group.unit))
        share = 100.0 * group.count / total if total else None
        rows.setdefault(group.stage, []).append(RejectRow(group=group, share=share))
    return {stage: rows[stage] for stage in dict.fromkeys(r.stage for r in data.rejects)}
