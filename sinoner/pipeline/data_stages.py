"""The stages above the waist: corpus to conversations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sinoner import engine, jsonl
from sinoner.errors import InputError
from sinoner.pipeline.paths import (
    DECONTAMINATED,
    HUMAN,
    IT_SET,
    NEIGHBOURS,
    PASSAGES,
    TRAIN,
    VALIDATION,
)  # fmt: skip
from sinoner.pipeline.progress import At
from sinoner.pipeline.stages import Run, Stage
from sinoner.pipeline.tally import Tally
from sinoner.records import Annotation, Conversation, Document, Lang, Neighbours, Reject

# chunk -----------------------------------------------------------------------------------------------------------


def _sources(run: Run) -> list[Path]:
    if not run.recipe.corpus.sources:
        raise InputError("no corpus: give a file or folder, or set corpus.sources in the recipe")
    return [Path(s.path) for s in run.recipe.corpus.sources]


def _chunk(run: Run, tally: Tally, at: At) -> None:
    from sinoner.corpus.chunk import chunk, counter
    from sinoner.corpus.read import read

    settings = run.recipe.corpus
    counter(settings.tokenizer)  # a wrong name is said before anything is read
    at(settings.limit or 0, "")

    def documents() -> Iterator[Document | Reject]:
        for item in read(settings):
            tally.take("document")
            if isinstance(item, Document):
                tally.give("document")
            yield item

    with jsonl.AtomicFile(run.folder / PASSAGES) as passages, jsonl.AtomicFile(run.folder / HUMAN) as human:
        for item in engine.run(partial(chunk, settings=settings), documents(), settings.workers):
            if isinstance(item, Reject):
                _reject_of_chunk(item, tally)
                continue
            passages.record(item.passage if isinstance(item, Annotation) else item)
            tally.make("passage")
            if isinstance(item, Annotation):
                human.record(item)
                tally.make("annotated passage")


def _reject_of_chunk(reject: Reject, tally: Tally) -> None:
    """Lines and documents count as the documents they would have been; a cut mention as one mention."""
    if reject.unit == "entity":
        tally.take("entity")
        tally.reject(reject)
    else:
        tally.reject(reject, "document")


CHUNK = Stage(
    name="chunk",
    inputs=_sources,
    settings=lambda r: r.corpus.model_dump(
        mode="json", exclude={"sources": {"__all__": {"path"}}, "workers": True}
    ),
    outputs=(PASSAGES, HUMAN),
    work=_chunk,
)


# retrieve and build-it-set ---------------------------------------------------------------------------------------


def split(run: Run) -> tuple[list[Annotation], list[Annotation]]:
    """The annotations to train on (the pool of examples as well) and those set aside, in file order.

    Documents are set aside before anything is retrieved, so that no validation passage is ever an example.
    """
    from sinoner.itset.split import subset, validation_documents

    recipe = run.recipe
    annotations = list(jsonl.read_records(run.folder / DECONTAMINATED, Annotation))
    if not annotations:
        raise InputError(
            f"{run.folder / DECONTAMINATED}: no annotated passage is left; see {run.folder / 'rejects'}"
        )
    documents = (a.passage.document for a in annotations)
    held_out = validation_documents(documents, recipe.it_set.validation, recipe.seed)
    train = [a for a in annotations if a.passage.document not in held_out]
    chosen = subset((a.passage.id for a in train), recipe.it_set.size, recipe.seed)
    validation = [a for a in annotations if a.passage.document in held_out]
    return [a for a in train if a.passage.id in chosen], validation


def _retrieve(run: Run, tally: Tally, at: At) -> None:
    from sinoner.retrieve.strategy import retrieve

    train, validation = split(run)
    queries = [a.passage for a in train + validation]
    tally.take("passage", len(queries))
    at(len(queries), run.recipe.retrieve.embedder)
    with jsonl.AtomicFile(run.folder / NEIGHBOURS) as file:
        for neighbours in retrieve(queries, [a.passage for a in train], run.recipe.retrieve, run.recipe.seed):
            file.record(neighbours)
            tally.give("passage")


_SPLIT_KEYS = {"validation", "size"}

RETRIEVE = Stage(
    name="retrieve",
    inputs=lambda run: [run.folder / DECONTAMINATED],
    settings=lambda r: {
        **r.retrieve.model_dump(mode="json", exclude={"batch_size"}),
        **r.it_set.model_dump(mode="json", include=_SPLIT_KEYS),
    },
    outputs=(NEIGHBOURS,),
    work=_retrieve,
    after="filter",
)


def _build(run: Run, tally: Tally, at: At) -> None:
    from sinoner.itset.build import build
    from sinoner.quality.rules import type_frequency

    recipe = run.recipe
    train, validation = split(run)
    pool = {a.passage.id: a for a in train}
    neighbours = {n.id: n for n in jsonl.read_records(run.folder / NEIGHBOURS, Neighbours)}
    langs: list[Lang] = ["zh", "en"]
    frequency = {lang: type_frequency(a for a in train if a.passage.lang == lang) for lang in langs}
    at(len(train) + len(validation), "")
    for name, part in ((TRAIN, train), (VALIDATION, validation)):
        with jsonl.AtomicFile(run.folder / name) as file:
            source = tally.watch(part, "passage")
            for item in build(source, neighbours, pool, frequency, recipe.it_set, recipe.seed):
                if isinstance(item, Reject):
                    tally.reject(item)
                else:
                    file.record(item)
                    tally.give("passage")
                    tally.make("conversation")
    _export(run, {lang: dict(counts) for lang, counts in frequency.items() if counts})


def _export(run: Run, frequency: dict[Lang, dict[str, int]]) -> None:
    from sinoner.itset import export

    folder = run.folder / IT_SET
    files = []
    for split_name, source in (("train", TRAIN), ("validation", VALIDATION)):
        rows = partial(jsonl.read_records, run.folder / source, Conversation)
        if split_name == "validation" and next(iter(rows()), None) is None:
            for stale in ("validation.json", "validation.messages.jsonl"):
                (folder / stale).unlink(missing_ok=True)
            continue
        with jsonl.AtomicFile(folder / f"{split_name}.json") as file:
            for piece in export.json_array(map(export.sharegpt, rows())):
                file.write(piece)
        jsonl.write_rows(folder / f"{split_name}.messages.jsonl", map(export.messages, rows()))
        files.append((split_name, f"{split_name}.json"))
    jsonl.write_json(folder / "dataset_info.json", export.dataset_info(run.recipe.name, files))
    total: Counter[str] = Counter()
    for counts in frequency.values():
        total.update(counts)
    jsonl.write_json(folder / "type2freq.json", dict(sorted(total.items(), key=lambda x: (-x[1], x[0]))))


BUILD = Stage(
    name="build-it-set",
    inputs=lambda run: [run.folder / DECONTAMINATED, run.folder / NEIGHBOURS],
    settings=lambda r: r.it_set.model_dump(mode="json"),
    outputs=(TRAIN, VALIDATION, f"{IT_SET}/train.json", f"{IT_SET}/train.messages.jsonl"),
    work=_build,
    after="filter",
)
