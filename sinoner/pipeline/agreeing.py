"""Agreement of runs, or of the samples of one run: measured, written, and told."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sinoner import jsonl
from sinoner.errors import InputError
from sinoner.measures import Agreement
from sinoner.pipeline.paths import AGREEMENT, ANNOTATIONS, DISAGREEMENTS, FILTERED, SAMPLES
from sinoner.records import Annotation, Lang

Canonical = Callable[[str, Lang], str]
Rows = Iterator[Sequence[Annotation | None]]
_TYPES_SHOWN = 20
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def agree(
    given: Sequence[str],
    out: Path | None,
    layer: Literal["annotations", "filtered"] = "annotations",
    canonical: Canonical | None = None,
) -> Agreement:
    """Measure the agreement of one run's samples, or of several runs, annotation files or gold files.

    Args:
        given: run folders, annotation files (JSONL), or gold files or folders.
        out: folder for ``agreement.json``, ``disagreements.jsonl`` and ``.csv``; None = ``quality`` in the first run.
        layer: which annotations of the runs.
        canonical: what a type is called before types are compared.

    Raises:
        InputError: nothing to compare, or no passage in common.
    """
    first = Path(given[0])
    if out is None:
        if not first.is_dir():
            raise InputError(f"{first}: is no run folder; give --out FOLDER for the result")
        out = (first / AGREEMENT).parent
    if len(given) == 1:
        if not (first / SAMPLES).is_file():
            raise InputError(
                f"{first}: there is one answer per passage, nothing to compare; give a second run, or annotate with"
                " --samples K llm.temperature=0.7 or llm.more_models"
            )
        names, rows = _samples(first / SAMPLES)
    else:
        sources = [_Source(name, layer) for name in given]
        names, rows = _names(given), _joined(sources)
    result = _measure(names, rows, out, canonical)
    if not result.passages:
        raise InputError(
            f"{', '.join(names)}: no passage was annotated by all of them ({result.left_out} by some); compare runs of the"
            " same texts"
        )
    return result


def agreement_of_samples(folder: Path) -> Agreement | None:
    """Measure the samples of a run, if it has several per passage; stale results of an earlier run are removed."""
    if not (folder / SAMPLES).is_file():
        return None
    names, rows = _samples(folder / SAMPLES)
    return _measure(names, rows, (folder / AGREEMENT).parent, None) if len(names) > 1 else None


def _measure(names: Sequence[str], rows: Rows, out: Path, canonical: Canonical | None) -> Agreement:
    from sinoner.quality.agreeing import Agreeing

    agreeing = Agreeing(names, canonical)
    listed = out / Path(DISAGREEMENTS).name
    with jsonl.AtomicFile(listed) as file, jsonl.AtomicFile(listed.with_suffix(".csv")) as sheet:
        sheet.write("\ufeff".encode())  # so that Excel reads UTF-8
        sheet.write(_line(["passage", "start", "end", "left", "surface", "right", *names, "decision"]))
        for row in rows:
            for one in agreeing.add(row):
                file.record(one)
                cells = [one.id, str(one.start), str(one.end), one.left, one.surface, one.right]
                sheet.write(_line([*cells, *one.votes.values(), ""]))
    result = agreeing.result()
    jsonl.write_json(out / Path(AGREEMENT).name, result.model_dump(mode="json"))
    return result


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow([f"'{c}" if c.startswith(_FORMULA) else c for c in cells])
    return text.getvalue().encode()


# where annotations come from ---------------------------------------------------------------------------------------


def _samples(path: Path) -> tuple[list[str], Rows]:
    """The annotators of a samples file, and its passages."""
    names = list(dict.fromkeys(a.by.removesuffix("~truncated") for a in jsonl.read_records(path, Annotation)))
    return _in_order(names), _sampled(path, _in_order(names))


def _in_order(names: Sequence[str]) -> list[str]:
    """By model and prompt as they first occur, then by number of the sample (``#2`` …)."""
    heads = list(dict.fromkeys(name.partition("#")[0] for name in names))

    def place(name: str) -> tuple[int, int]:
        head, _, number = name.partition("#")
        return heads.index(head), int(number) if number.isdigit() else 1

    return sorted(names, key=place)


def _sampled(path: Path, names: Sequence[str]) -> Rows:
    for _, group in groupby(jsonl.read_records(path, Annotation), key=lambda a: a.passage.id):
        by = {a.by.removesuffix("~truncated"): a for a in group}
        yield [by.get(name) for name in names]


class _Source:
    """Annotations of one annotator: read in order, or looked up by passage.

    Looking up holds two hashes and an offset per passage, about 250 bytes; gold is held as it is.
    """

    def __init__(self, given: str, layer: str) -> None:
        path = Path(given)
        file = path / (FILTERED if layer == "filtered" else ANNOTATIONS)
        self._gold: tuple[Annotation, ...] | None = None
        if path.is_dir() and (path / "recipe.yaml").is_file():
            if not file.is_file():
                raise InputError(
                    f"{file}: not there yet; run sinoner {'filter' if layer == 'filtered' else 'annotate'}"
                )
            self.path = file
        elif path.is_file() and _is_annotation(path):
            self.path = path
        elif path.exists():
            from sinoner.corpus.benchmarks import load_gold

            self.path = path
            self._gold = load_gold(given).annotations
        else:
            raise InputError(f"{given}: no such run folder or file")
        self._at: dict[int, int] = {}
        self._found: set[int] = set()

    def __iter__(self) -> Iterator[Annotation]:
        return iter(self._gold) if self._gold is not None else jsonl.read_records(self.path, Annotation)

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
            for annotation, line in zip(jsonl.read_records(self.path, Annotation), file, strict=True):
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
            return Annotation.model_validate_json(file.readline())

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
    longest = max(map(len, parts))
    for size in range(1, longest + 1):
        names = ["/".join(p[-size:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    raise InputError(f"{given[0]}: is given twice; give different runs")


# told on the terminal ----------------------------------------------------------------------------------------------


def print_agreement(console: Console, result: Agreement) -> None:
    """The matrix, the types and alpha."""
    table = Table(title="agreement: F1 on span and type (on spans alone), %", title_justify="left")
    table.add_column("")
    for name in result.annotators[1:]:
        table.add_column(escape(name), justify="right")
    cells = {(p.a, p.b): f"{p.f1:.2f} ({p.span_f1:.2f})" for p in result.pairs}
    for name in result.annotators[:-1]:
        table.add_row(escape(name), *(cells.get((name, other), "") for other in result.annotators[1:]))
    console.print(table)
    types = Table(title="by type", title_justify="left")
    for column in ("type", "spans", "unanimous", "F1"):
        types.add_column(column, justify="left" if column == "type" else "right")
    for row in result.types[:_TYPES_SHOWN]:
        types.add_row(escape(row.type), f"{row.mentions:,}", f"{row.unanimous:,}", f"{row.f1:.2f}")
    if len(result.types) > _TYPES_SHOWN:
        types.add_row(f"{len(result.types) - _TYPES_SHOWN} more", "", "", "")
    console.print(types)
    alpha = "not defined" if result.alpha is None else f"{result.alpha:.4f}"
    left = f", {result.left_out:,} left out that not all annotated" if result.left_out else ""
    console.print(
        f"{result.passages:,} passages{left}; Krippendorff's alpha on {result.characters:,} characters: {alpha};"
        f" {result.disagreements:,} disagreements"
    )
