"""Annotations of several sources side by side: runs, files of annotations and gold, joined by id and text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

from sinoner import disk
from sinoner.errors import InputError
from sinoner.records import Annotation, Passage
from sinoner.run.layout import ANNOTATIONS, FILTERED, PASSAGES, SAMPLES, is_run
from sinoner.score.places import joined, locate

Rows = Iterator[Sequence[Annotation | None]]


class Source:
    """Annotations of one annotator: read in order, or looked up by passage.

    Looking up holds two hashes and an offset per passage, about 250 bytes; gold is held as it is, and so are the
    annotations that were joined to gold texts.
    """

    def __init__(self, given: str, layer: str) -> None:
        """Find the annotations.

        Args:
            given: a run folder, a file of annotations, or a gold file or folder.
            layer: which annotations of a run folder.

        Raises:
            InputError: there are none.
        """
        path = Path(given)
        file = path / (FILTERED if layer == "filtered" else ANNOTATIONS)
        self._gold: tuple[Annotation, ...] | None = None
        self._passages: Path | None = None
        if path.name == SAMPLES:
            raise InputError(f"{path}: holds several answers per passage; give its run folder alone")
        if is_run(path):
            if not file.is_file():
                raise InputError(
                    f"{file}: not there yet; run sinoner {'filter' if layer == 'filtered' else 'annotate'}"
                )
            self.path = file
            self._passages = path / PASSAGES
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
        self._joined: dict[int, Annotation] = {}
        self._parts: dict[str, list[int]] = {}
        self._alone: set[str] = set()

    def __iter__(self) -> Iterator[Annotation]:
        return (annotation for _, annotation in self._places())

    @property
    def gold(self) -> tuple[Annotation, ...]:
        """The annotations, when they are gold."""
        return self._gold or ()

    def join(self, gold: Sequence[Annotation]) -> None:
        """Take the chunks of a document that is a gold text together, as that text; gold itself stays as it is.

        A text of which a chunk is not annotated counts as not annotated.

        Args:
            gold: the gold passages of all sources.
        """
        if self._gold is not None:
            return
        places = locate(gold, self._texts())
        for identifier, here in places.of.items():
            # A passage that is a gold text to the character needs no joining.
            parts = [p.gold for p in here if (p.begin, p.end) != (0, len(gold[p.gold].passage.text))]
            if parts:
                self._parts[identifier] = parts
            if len(parts) < len(here):
                self._alone.add(identifier)
        if self._parts:
            self._joined = joined(gold, places, disk.read_records(self.path, Annotation))

    def _texts(self) -> Iterator[Passage]:
        """The passages, of a run also those without annotations."""
        if self._passages is not None and self._passages.is_file():
            return disk.read_records(self._passages, Passage)
        return (a.passage for a in disk.read_records(self.path, Annotation))

    def index(self) -> None:
        """Make looking up possible: by id and text, and by text alone; the first of equal texts counts."""
        for where, annotation in self._places():
            passage = annotation.passage
            self._at.setdefault(_digest(passage.id + "\0" + passage.text), where)
            self._at.setdefault(_digest(passage.text), where)

    def _places(self) -> Iterator[tuple[int, Annotation]]:
        """The annotations, each with the byte at which it begins, or -1 - the number of the gold text it was joined to."""
        if self._gold is not None:
            yield from enumerate(self._gold)
            return
        given: set[int] = set()
        for at, annotation in disk.read_places(self.path, Annotation):
            parts = self._parts.get(annotation.passage.id, ())
            for number in parts:
                if number in self._joined and number not in given:
                    given.add(number)
                    yield -1 - number, self._joined[number]
            if not parts or annotation.passage.id in self._alone:
                yield at, annotation

    def find(self, annotation: Annotation) -> Annotation | None:
        """The annotation of the same passage, or of the same text."""
        passage = annotation.passage
        where = self._at.get(_digest(passage.id + "\0" + passage.text), self._at.get(_digest(passage.text)))
        if where is None:
            return None
        self._found.add(where)
        if self._gold is not None:
            return self._gold[where]
        if where < 0:
            return self._joined[-1 - where]
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


def side_by_side(sources: Sequence[Source]) -> Rows:
    """The passages of the first source with what the others made of them, then what only others annotated."""
    for source in sources[1:]:
        source.index()
    for annotation in sources[0]:
        yield [annotation, *(source.find(annotation) for source in sources[1:])]
    for number, source in enumerate(sources[1:], 1):
        for annotation in source.others():
            yield [*[None] * number, annotation, *(s.find(annotation) for s in sources[number + 1 :])]
