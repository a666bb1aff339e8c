"""The stage that reads a corpus and cuts it into passages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sinoner import disk
from sinoner.errors import InputError
from sinoner.records import Annotation, Document, Reject
from sinoner.run.layout import HUMAN, PASSAGES
from sinoner.run.preflight import mistakes
from sinoner.run.screen import Progress
from sinoner.run.stage import Options, Run, Stage
from sinoner.run.tally import Tally
from sinoner.settings import Recipe

NO_CORPUS = "no corpus: give a file or folder, or set corpus.sources in the recipe"


def _sources(run: Run) -> list[Path]:
    if not run.recipe.corpus.sources:
        raise InputError(NO_CORPUS)
    return [Path(s.path) for s in run.recipe.corpus.sources]


def _preflight(recipe: Recipe, options: Options) -> Iterator[str]:
    from sinoner.corpus.chunker import counter

    if not recipe.corpus.sources:
        yield NO_CORPUS
    for source in recipe.corpus.sources:
        if "://" not in source.path and not Path(source.path).exists():
            yield f"{source.path}: no such file or folder (corpus.sources)"
    yield from mistakes(partial(counter, recipe.corpus.tokenizer))


def _chunk(run: Run, tally: Tally, progress: Progress) -> None:
    from sinoner.corpus.chunker import chunk, counter
    from sinoner.corpus.read import read

    settings = run.recipe.corpus
    counter(settings.tokenizer)  # a wrong name is said before anything is read
    progress(settings.limit or 0, "")

    def documents() -> Iterator[Document | Reject]:
        for item in read(settings):
            tally.take("document")
            if isinstance(item, Document):
                tally.give("document")
            yield item

    with disk.AtomicFile(run.folder / PASSAGES) as passages, disk.AtomicFile(run.folder / HUMAN) as human:
        for item in run.engine.map(partial(chunk, settings=settings), documents()):
            if isinstance(item, Reject):
                _reject_of_chunk(item, tally)
                continue
            passages.record(item.passage if isinstance(item, Annotation) else item)
            tally.make("passage")
            if isinstance(item, Annotation):
                human.record(item)
                tally.make("annotated_passage")


def _reject_of_chunk(reject: Reject, tally: Tally) -> None:
    """Lines and documents count as the documents they would have been; a cut mention as one mention."""
    if reject.unit == "entity":
        tally.take("entity")
        tally.reject(reject)
    else:
        tally.reject(reject, "document")


CHUNK = Stage(
    name="chunk",
    version=1,
    reads=("corpus",),
    inputs=_sources,
    outputs=(PASSAGES, HUMAN),
    work=_chunk,
    preflight=_preflight,
)
