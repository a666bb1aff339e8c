"""``sinoner evaluate --annotations``: annotations against gold, without any model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import typer

from sinoner.cli.invocation import is_run
from sinoner.errors import InputError


def named(given: str | None) -> str:
    """The recipe or run folder whose models are scored.

    Raises:
        InputError: none was given.
    """
    if given is None:
        raise InputError(
            "evaluate: give RECIPE|RUN to score its models, or --annotations RUN|FILE --gold FILE to score annotations"
        )
    return given


def compare(
    annotations: str | None,
    gold: str | None,
    words: list[str],
    of_models: Mapping[str, object],
    raw_types: bool,
    as_json: bool,
) -> None:
    """Score the annotations of a run folder or file, print the tables and keep the scores in the run folder.

    Args:
        annotations: run folder, or JSON lines file of annotations.
        gold: gold file, folder or benchmark.
        words: ``section.key=value`` words; anything else among them is a mistake.
        of_models: flags that apply only to scoring models, with their values.
        raw_types: compare types as written.
        as_json: also print the scores on stdout.

    Raises:
        InputError: flags that cannot be combined, or nothing to compare.
    """
    from sinoner import recipe as recipes
    from sinoner.commands import run_recipe as runs
    from sinoner.commands.gold_table import print_scores
    from sinoner.run.screen import Screen
    from sinoner.stages import gold_scores

    if annotations is None:
        flag = "--raw-types" if gold is None else "--gold"
        raise InputError(f"{flag} requires --annotations RUN|FILE; to score models, use --benchmark")
    if not gold:
        raise InputError(
            "--annotations needs --gold FILE: hand-labelled texts, {id, text, entities} per line"
        )
    if strangers := [word for word in words if "=" not in word]:
        raise InputError(
            f"{strangers[0]}: --annotations already names what is scored; give only one of the two"
        )
    if others := [flag for flag, value in of_models.items() if value]:
        raise InputError(f"{others[0]} applies to scoring models; it cannot be combined with --annotations")
    given = Path(annotations)
    if not given.exists():
        raise InputError(f"{annotations}: no such run folder or file")
    if raw_types:
        words = [*words, "filter.align_types=false"]
    recipe = runs.of_folder(given, words) if is_run(annotations) else recipes.build({}, words)
    screen = Screen()
    found = gold_scores.score_layers(
        given,
        gold_scores.load(gold),
        gold_scores.table(recipe.filter),
        recipe.evaluate.bootstrap,
        recipe.seed,
        verify=recipe.filter.verify or not is_run(annotations),
    )
    print_scores(screen.console, found.scores)
    for note in found.notes:
        screen.say(f"note: {note}")
    if given.is_dir() and os.access(given, os.W_OK):
        gold_scores.write(given, found.scores)
    if as_json:
        typer.echo(json.dumps(gold_scores.rows(found.scores), ensure_ascii=False))
