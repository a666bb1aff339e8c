"""The sequence of a run: stages in their order, each skipped when nothing it depends on changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from sinoner import disk
from sinoner import recipe as recipes
from sinoner.counted import plural
from sinoner.engine import engine_of
from sinoner.errors import BelowRequirementError, InputError, StoppedError
from sinoner.run.folder import locked
from sinoner.run.layout import RECIPE, is_run
from sinoner.run.manifest import Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Options, Run, Stage, perform, why
from sinoner.settings import Recipe

T = TypeVar("T")


def execute(
    recipe: Recipe,
    stages: Sequence[Stage],
    screen: Screen,
    finish: Callable[[Run], T],
    *,
    force: bool = False,
    options: Options | None = None,
) -> T:
    """Run stages on the run folder of a recipe.

    Args:
        recipe: the settings; kept in the folder as ``recipe.yaml``.
        stages: in order.
        screen: where progress is shown.
        finish: called at the end, and when a gate is closed, while the folder is still held.
        force: run them even when nothing changed.
        options: what is asked of the stages that send requests.

    Returns:
        What ``finish`` returns.

    Raises:
        InputError: a mistake of the person; those that can be seen before anything is made are reported together.
        BelowRequirementError: a gate is closed.
        StoppedError: Ctrl-C; the same command continues.
    """
    options = options or Options()
    if len(stages) == 1 and stages[0].required and not stages[0].wanted(recipe):
        raise InputError(stages[0].required)
    _preflight([stage for stage in stages if stage.wanted(recipe)], recipe, options)
    with locked(recipe.folder), _resumable(recipe):
        run = Run(recipe.folder, recipe, Manifest(recipe.folder), screen, options, engine_of(recipe.workers))
        known = (run.folder / RECIPE).read_text(encoding="utf-8") if is_run(run.folder) else None
        try:
            for stage in stages:
                if not stage.wanted(recipe):
                    if stage.required:
                        screen.say(f"{stage.name}: left out; {stage.required}")
                    continue
                with _refusable(run, stage, known):
                    ran = perform(run, stage, force or stage.repeat(options))
                if ran or not is_run(run.folder):  # only settings that worked are kept
                    disk.write_text(run.folder / RECIPE, recipes.dump(recipe))
                _stop_when_nothing_is_left(run, stage)
                stage.gate(run)
        except BelowRequirementError:
            finish(run)
            raise
        return finish(run)


def _preflight(stages: Sequence[Stage], recipe: Recipe, options: Options) -> None:
    """Look for mistakes before anything is made or paid for. Settings that a stage has run with need no second look.

    Raises:
        InputError: the mistakes, one line each.
    """
    known = Manifest(recipe.folder).entries
    problems = [
        line
        for stage in stages
        if stage.name not in known or known[stage.name].settings != stage.settings(recipe)
        for line in stage.preflight(recipe, options)
    ]
    if problems:
        raise InputError("\n".join(dict.fromkeys(problems)))


@contextlib.contextmanager
def _resumable(recipe: Recipe) -> Iterator[None]:
    """Ctrl-C is an early stop, not an error."""
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(
            f"stopped; what is done is kept in {recipe.folder}. Run the same command again to continue"
        ) from None


@contextlib.contextmanager
def _refusable(run: Run, stage: Stage, known: str | None) -> Iterator[None]:
    """Settings that a stage refuses to send requests with must not be what the next command uses."""
    try:
        yield
    except InputError:
        if known is not None and stage.sends:
            disk.write_text(run.folder / RECIPE, known)
        raise


def _stop_when_nothing_is_left(run: Run, stage: Stage) -> None:
    """A stage that rejected everything makes the next ones pointless."""
    entry = run.manifest.entries[stage.name]
    unit, count = next(iter(entry.counts.items()), (None, None))
    if unit is not None and count is not None and count.in_ and not count.out:
        raise InputError(
            f"{stage.name}: all {count.in_} {plural(unit)} were rejected ({why(entry)});"
            f" see {run.folder / 'rejects' / (stage.name + '.jsonl')}"
        )
