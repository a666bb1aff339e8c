"""The stage verify: an LLM judges every entity that the filter kept, through the ledger and the limits of annotating."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sinoner import disk
from sinoner.counted import Counted
from sinoner.errors import InputError
from sinoner.prompts import prompt_path
from sinoner.records import Annotation, Lang
from sinoner.run.layout import FILTERED, LEDGER, VERIFIED
from sinoner.run.preflight import mistakes
from sinoner.run.screen import Progress
from sinoner.run.stage import Options, Run, Stage
from sinoner.run.tally import Tally
from sinoner.settings import Recipe
from sinoner.stages import type_merges
from sinoner.stages.llm_session import (
    Collecting,
    key_files_elsewhere,
    readable,
    same_questions,
    tell_usage,
)

if TYPE_CHECKING:
    from sinoner.annotate.asking import Asking
    from sinoner.annotate.judge import BetterTypes, Judged
    from sinoner.llm.service import Service


def _verify(run: Run, tally: Tally, progress: Progress) -> None:
    total = run.manifest.passages("filter")
    progress(total, "")
    with disk.AtomicFile(run.folder / VERIFIED) as file:
        for judged in _judged(run, total, tally, progress):
            _count(judged, tally)
            file.record(judged.annotation)


def _count(judged: Judged, tally: Tally) -> None:
    from sinoner.annotate.by_llm import NOT_ASKED
    from sinoner.llm.failures import RETRY

    kept = len(judged.annotation.entities)
    tally.take("passage")
    tally.take("entity", kept + len(judged.rejects))
    tally.give("passage")
    tally.give("entity", kept)
    for reject in judged.rejects:
        tally.reject(reject)
    made: dict[Counted, int] = {
        "retyped_entity": judged.retyped,
        "entity_not_judged": judged.unjudged,
        "passage_not_judged": int(judged.reason is not None),
    }
    for word, n in made.items():
        if n:
            tally.make(word, n)
    # A refusal or an unreadable answer is an answer; what the endpoint failed at is asked again without being told.
    tally.incomplete |= judged.reason == NOT_ASKED or judged.reason in RETRY


def _annotations(run: Run) -> Iterator[Annotation]:
    return disk.read_records(run.folder / FILTERED, Annotation)


def _judged(run: Run, total: int, tally: Tally, progress: Progress) -> Iterator[Judged]:
    """Ask what the ledger does not have, then apply what it says."""
    from sinoner.annotate.answer_format import known_outputs
    from sinoner.annotate.judge import Judged, judged_with, read_verdicts
    from sinoner.llm.client import clients
    from sinoner.llm.ledger import Ledger

    if not any(annotation.entities for annotation in _annotations(run)):
        yield from map(Judged, _annotations(run))
        return
    recipe = run.recipe
    asking = asking_of(recipe)
    key_files_elsewhere(run)
    asks = not run.options.reparse
    found = clients(asking.llm) if asks else []
    with readable(run.folder / LEDGER), Ledger(run.folder / LEDGER) as ledger:
        same_questions(run, ledger, "verify", judged_with(asking))
        if asks:
            if recipe.annotate.mode == "batch":
                run.screen.say(
                    "verify: sends requests online; annotate.mode=batch applies to annotation only"
                )
            again = "their entities stay; the next run asks again (about refused or unreadable answers: with --force)"
            asking = Collecting(run, "verify", total, progress, again).ask(
                asking.llm, found, ledger, lambda service: _collect(run, asking, service)
            )
        else:
            asking = known_outputs(asking, ledger)
        progress(total, "writing", 0)
        yield from read_verdicts(_annotations(run), asking, ledger, _better(run))
        tell_usage(ledger, tally)


def asking_of(recipe: Recipe) -> Asking:
    """What the entities of a recipe are judged with.

    Raises:
        InputError: no model is named.
    """
    from sinoner.annotate.judge import judge_of
    from sinoner.llm.client import identity

    model = recipe.filter.verify_model or recipe.llm.model
    if not model:
        raise InputError(
            "filter.verify: no model judges; set filter.verify_model or llm.model (and llm.base_url for a server of"
            " your own), or filter.verify=false"
        )
    return judge_of(recipe.annotate, recipe.llm, model, identity(recipe.llm))


def _collect(run: Run, asking: Asking, service: Service) -> Asking:
    from sinoner.annotate.by_llm import collect_tasks
    from sinoner.annotate.judge import tasks

    return collect_tasks(lambda known: tasks(_annotations(run), known, service.ledger), asking, service)


def _better(run: Run) -> BetterTypes:
    """Which better types are taken: of the closed list if there is one, no stop types, under the names of types.yaml."""
    from sinoner.annotate.judge import BetterTypes

    recipe = run.recipe
    listed = {name.strip().lower(): name for name in recipe.annotate.types}
    stop = frozenset(name.lower() for name in recipe.filter.stop_types)
    if (names := type_merges.type_map(run.folder, recipe)) is None:
        return BetterTypes(listed, stop)
    return BetterTypes(listed, stop, names.canonical)


def _inputs(run: Run) -> list[Path]:
    langs: list[Lang] = ["zh", "en"]
    paths = [
        run.folder / FILTERED,
        *(prompt_path(name, lang) for name in ("verify", "guidance") for lang in langs),
    ]
    types = type_merges.types_file(run.folder, run.recipe)
    return [*paths, types] if types is not None else paths


def _preflight(recipe: Recipe, options: Options) -> Iterator[str]:
    """What stands in the way of asking the model that judges."""
    from sinoner.llm.client import clients
    from sinoner.llm.costs import account

    if not options.thorough:
        return

    def asked() -> object:
        llm = asking_of(recipe).llm
        return account(recipe.annotate, llm, clients(llm), [])

    yield from mistakes(asked)


VERIFY = Stage(
    name="verify",
    version=1,
    reads=(
        *("filter.verify_model", "filter.stop_types"),
        *("annotate.types", "annotate.domain", "annotate.reasks"),
        *(f"llm.{key}" for key in ("model", "name", "base_url", "max_tokens", "output", "extra")),
    ),
    inputs=_inputs,
    outputs=(VERIFIED,),
    work=_verify,
    after="filter",
    wanted=lambda recipe: recipe.filter.verify,
    preflight=_preflight,
    sends=True,
)
