"""Agreement of runs, or of the samples of one run: measured, written, and told."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from sinoner import disk
from sinoner.errors import InputError
from sinoner.measurements import Agreement
from sinoner.records import Annotation, Annotator, Lang
from sinoner.run.layout import AGREEMENT, ANNOTATIONS, DISAGREEMENTS, FILTERED, SAMPLES, is_run

Canonical = Callable[[str, Lang], str]
Rows = Iterator[Sequence[Annotation | None]]
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
        InputError: nothing to compare, or no passage in common; no file is written then.
    """
    if len(given) == 1:
        names, rows = _samples_of(Path(given[0]), layer)
    else:
        sources = [_Source(name, layer) for name in given]
        names, rows = _names(given), _joined(sources)
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

    If it has not, figures that are older than the annotations are removed: they are of other annotations.
    """
    if (folder / SAMPLES).is_file():
        names, rows = _samples(folder / SAMPLES)
        if len(names) > 1:
            with contextlib.suppress(NothingInCommonError):
                return _measure(names, rows, (folder / AGREEMENT).parent, None)
    figures = folder / AGREEMENT
    if figures.is_file() and figures.stat().st_mtime_ns < (folder / ANNOTATIONS).stat().st_mtime_ns:
        listed = folder / DISAGREEMENTS
        _keep_edited(listed.with_suffix(".csv"), figures)
        for path in (figures, listed, listed.with_suffix(".csv")):
            path.unlink(missing_ok=True)
    return None


def _measure(names: Sequence[str], rows: Rows, out: Path, canonical: Canonical | None) -> Agreement:
    from sinoner.quality.agreement import Agreeing

    agreeing = Agreeing(names, canonical)
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
    disk.write_json(figures, result.model_dump(mode="json"))
    return result


def _keep_edited(sheet: Path, figures: Path) -> None:
    """Set a sheet aside that somebody wrote decisions into: it is younger than the figures, which are written last."""
    if sheet.is_file() and figures.is_file() and sheet.stat().st_mtime_ns > figures.stat().st_mtime_ns:
        number = 1
        while (aside := sheet.with_name(f"{sheet.stem}.edited-{number}.csv")).exists():
            number += 1
        os.replace(sheet, aside)


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


class _Source:
    """Annotations of one annotator: read in order, or looked up by passage.

    Looking up holds two hashes and an offset per passage, about 250 bytes; gold is held as it is.
    """

    def __init__(self, given: str, layer: str) -> None:
        path = Path(given)
        file = path / (FILTERED if layer == "filtered" else ANNOTATIONS)
        self._gold: tuple[Annotation, ...] | None = None
        if path.name == SAMPLES:
            raise InputError(f"{path}: holds several answers per passage; give its run folder alone")
        if is_run(path):
            if not file.is_file():
                raise InputError(
                    f"{file}: not there yet; run sinoner {'filter' if layer == 'filtered' else 'annotate'}"
                )
            self.path = file
        elif path.is_file() and _is_annotation(path):
            self.path = path
        elif path.exists():
            from sinoner.formats.benchmarks import load_gold

            self.path = path
            self._gold = load_gold(given).annotations
        else:
            raise InputError(f"{given}: no such run folder or file")
        self._at: dict[int, int] = {}
        self._found: set[int] = set()

    def __iter__(self) -> Iterator[Annotation]:
        return iter(self._gold) if self._gold is not None else disk.read_records(self.path, Annotation)

    def index(self) -> None:
        """Make looking up possible: by id and text, and by text alone; the first of equal texts counts."""
        for where, annotation in self._places():
            passage = annotation.passage
            self._at.setdefault(_digest(passage.id + "\0" + passage.text), where)
            self._at.setdefault(_digest(passage.text), where)

    def _places(self) -> Iterator[tuple[int, Annotation]]:
        if self._gold is not None:
            yield from enumerate(self._gold)
            return
        at = 0
        with self.path.open("rb") as file:
            for annotation, line in zip(disk.read_records(self.path, Annotation), file, strict=True):
                yield at, annotation
                at += len(line)

    def find(self, annotation: Annotation) -> Annotation | None:
        """The annotation of the same passage, or of the same text."""
        passage = annotation.passage
        where = self._at.get(_digest(passage.id + "\0" + passage.text), self._at.get(_digest(passage.text)))
        if where is None:
            return None
        self._found.add(where)
        if self._gold is not None:
            return self._gold[where]
        with self.path.open("rb") as file:
            file.seek(where)
            return disk.parse(file.readline(), Annotation)

    def others(self) -> Iterator[Annotation]:
        """What nobody has looked up, in order."""
        return (annotation for where, annotation in self._places() if where not in self._found)


def _is_annotation(path: Path) -> bool:
    with path.open("rb") as file:
        line = file.readline()
    return b'"passage"' in line and b'"by"' in line


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def _joined(sources: Sequence[_Source]) -> Rows:
    """The passages of the first source with what the others made of them, then what only others annotated."""
    for source in sources[1:]:
        source.index()
    for annotation in sources[0]:
        yield [annotation, *(source.find(annotation) for source in sources[1:])]
    for number, source in enumerate(sources[1:], 1):
        for annotation in source.others():
            yield [*[None] * number, annotation, *(s.find(annotation) for s in sources[number + 1 :])]


def _names(given: Sequence[str]) -> list[str]:
    """A short name for each, the last parts of its path that tell them apart."""
    parts = [Path(name).resolve().parts for name in given]
    for number, name in enumerate(given):
        if parts[number] in parts[:number]:
            raise InputError(f"{name}: is given twice; give different runs")
    longest = max(map(len, parts))
    several = (["/".join(p[-size:]) for p in parts] for size in range(1, longest + 1))
    return next(names for names in several if len(set(names)) == len(names))
