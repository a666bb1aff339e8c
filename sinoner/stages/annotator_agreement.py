"""Agreement of runs, or of the samples of one run: measured, written, and told."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec.structs import replace
from pydantic import ValidationError

from sinoner import disk
from sinoner.errors import InputError
from sinoner.measurements import Agreement
from sinoner.records import Annotation, Annotator, Lang
from sinoner.run.folder import locked
from sinoner.run.layout import AGREEMENT, ANNOTATIONS, DISAGREEMENTS, SAMPLES, is_run
from sinoner.stages.annotation_sources import Rows, Source, side_by_side

Canonical = Callable[[str, Lang], str]
# What a spreadsheet takes for the beginning of a formula, full width included (OWASP, CSV Injection).
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


class NothingInCommonError(InputError):
    """No passage was annotated by all annotators."""


def agree(
    given: Sequence[str],
    out: Path | None,
    layer: Literal["annotations", "filtered"] = "annotations",
    canonical: Canonical | None = None,
) -> Agreement:
    """Measure the agreement of one run's samples, or of several runs, annotation files or gold files.

    Args:
        given: run folders, annotation files (JSONL), or gold files or folders.
        out: folder for ``agreement.json``, ``disagreements.jsonl`` and ``.csv``; None = ``folder_of(given)``.
        layer: which annotations of the runs.
        canonical: what a type is called before types are compared.

    Raises:
        InputError: nothing to compare, no passage in common, or another process works on the run folder that the
            result goes into; no file is written then.
    """
    places = [out, out.parent] if out else [Path(name) for name in given]
    run = next(filter(is_run, places), None)  # the folder that is written into
    with locked(run) if run else contextlib.nullcontext():
        if len(given) == 1:
            names, rows = _samples_of(Path(given[0]), layer)
        else:
            rows = _rows(given, layer)
            names = _names(given)
        return _measure(names, rows, out or folder_of(given), canonical)


def folder_of(given: Sequence[str]) -> Path:
    """Where the result goes unless told otherwise: ``quality`` in the first run folder among those given.

    Raises:
        InputError: none is a run folder.
    """
    for path in map(Path, given):
        if is_run(path):
            return (path / AGREEMENT).parent
    raise InputError(f"{', '.join(given)}: no run folder among them; give --out FOLDER for the result")


def agreement_of_samples(folder: Path) -> Agreement | None:
    """Measure the samples of a run, if it has several per passage that can be compared.

    If it has not, figures of other annotations than those of the run are removed.
    """
    if (folder / SAMPLES).is_file():
        names, rows = _samples(folder / SAMPLES)
        if len(names) > 1:
            with contextlib.suppress(NothingInCommonError):
                return _measure(names, rows, (folder / AGREEMENT).parent, None)
    figures = folder / AGREEMENT
    if figures.is_file() and _kept(figures).annotations != disk.sha256(folder / ANNOTATIONS):
        listed = folder / DISAGREEMENTS
        _keep_edited(listed.with_suffix(".csv"), figures)
        for path in (figures, listed, listed.with_suffix(".csv")):
            path.unlink(missing_ok=True)
    return None


def _measure(names: Sequence[str], rows: Rows, out: Path, canonical: Canonical | None) -> Agreement:
    from sinoner.quality.agreement import AgreementCounter

    agreeing = AgreementCounter(names, canonical)
    figures, listed = out / Path(AGREEMENT).name, out / Path(DISAGREEMENTS).name
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder for the result")
    with disk.AtomicFile(listed) as file, disk.AtomicFile(listed.with_suffix(".csv")) as sheet:
        sheet.write("\ufeff".encode())  # so that Excel reads UTF-8
        sheet.write(_line(["passage", "start", "end", "left", "surface", "right", *names, "decision"]))
        for row in rows:
            for one in agreeing.add(row):
                file.record(one)
                cells = [one.id, str(one.start), str(one.end), one.left, one.surface, one.right]
                sheet.write(_line([*cells, *one.votes.values(), ""]))
        result = agreeing.result()
        if not result.passages:
            raise NothingInCommonError(
                f"{', '.join(names)}: no passage was annotated by all of them ({result.left_out} by some); compare runs"
                " of the same texts"
            )
        _keep_edited(listed.with_suffix(".csv"), figures)
    annotations = out.parent / ANNOTATIONS
    result = result.model_copy(
        update={
            "annotations": disk.sha256(annotations) if annotations.is_file() else "",
            "sheet": disk.sha256(listed.with_suffix(".csv")),
        }
    )
    disk.write_json(figures, result.model_dump(mode="json"))
    return result


def _keep_edited(sheet: Path, figures: Path) -> None:
    """Set a sheet aside that somebody wrote decisions into: it is not what was written with the figures."""
    if sheet.is_file() and figures.is_file() and disk.sha256(sheet) != _kept(figures).sheet:
        number = 1
        while (aside := sheet.with_name(f"{sheet.stem}.edited-{number}.csv")).exists():
            number += 1
        os.replace(sheet, aside)


class _Kept(NamedTuple):
    """What figures that were written earlier say about the files they were written with."""

    annotations: str
    sheet: str


def _kept(figures: Path) -> _Kept:
    try:
        found = Agreement.model_validate_json(figures.read_bytes())
    except ValidationError:  # damaged, or of an earlier version: of unknown annotations
        return _Kept("", "")
    return _Kept(found.annotations, found.sheet)


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow([f"'{c}" if c.startswith(_FORMULA) else c for c in cells])
    return text.getvalue().encode()


# where annotations come from ---------------------------------------------------------------------------------------


def _samples_of(run: Path, layer: str) -> tuple[list[str], Rows]:
    """The samples of one run.

    Raises:
        InputError: no such run, or not several samples.
    """
    if not run.exists():
        raise InputError(f"{run}: no such run folder or file")
    names, rows = _samples(run / SAMPLES) if (run / SAMPLES).is_file() else ([], iter(()))
    if len(names) < 2:
        raise InputError(
            f"{run}: there is one answer per passage, nothing to compare; give a second run, or annotate with"
            " --samples K llm.temperature=0.7 or llm.more_models"
        )
    if layer == "filtered":
        raise InputError(f"{run}: samples are compared as annotated; leave out --layer or give a second run")
    return names, rows


def _samples(path: Path) -> tuple[list[str], Rows]:
    """The annotators of a samples file, and its passages."""
    said = dict.fromkeys(a.by.sampled() for a in disk.read_records(path, Annotation))
    # The same annotator asks Chinese passages with one prompt and English ones with another.
    plain = {one: one.in_any_language() for one in said}
    if len(set(plain.values())) == len(plain):  # one language: the names stay as they are
        plain = dict(zip(said, said, strict=True))
    annotators = _in_order(list(dict.fromkeys(plain.values())))
    return [one.label for one in annotators], _sampled(path, plain, annotators)


def _in_order(annotators: Sequence[Annotator]) -> list[Annotator]:
    """By model and prompt as they first occur, then by number of the sample."""
    heads = list(dict.fromkeys(replace(one, sample=0) for one in annotators))
    return sorted(annotators, key=lambda one: (heads.index(replace(one, sample=0)), one.sample))


def _sampled(path: Path, plain: Mapping[Annotator, Annotator], annotators: Sequence[Annotator]) -> Rows:
    for _, group in groupby(disk.read_records(path, Annotation), key=lambda a: a.passage.id):
        by = {plain[a.by.sampled()]: a for a in group}
        yield [by.get(one) for one in annotators]


def _rows(given: Sequence[str], layer: str) -> Rows:
    """What the sources made of each passage; chunks of a document that is a gold text are joined to it first."""
    sources = [Source(name, layer) for name in given]
    gold = [annotation for source in sources for annotation in source.gold]
    for source in sources if gold else ():
        source.join(gold)
    return side_by_side(sources)


def _names(given: Sequence[str]) -> list[str]:
    """A short name for each, the last parts of its path that tell them apart."""
    parts = [Path(name).resolve().parts for name in given]
    for number, name in enumerate(given):
        if parts[number] in parts[:number]:
            raise InputError(f"{name}: is given twice; name different runs")
    longest = max(map(len, parts))
    several = (["/".join(p[-size:]) for p in parts] for size in range(1, longest + 1))
    return next(names for names in several if len(set(names)) == len(names))
