"""Running the stages of a verb on a recipe, a run folder or a corpus, and reporting what came of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sinoner import recipe as recipes
from sinoner.commands.summary import print_summary
from sinoner.errors import InputError
from sinoner.run import sequence
from sinoner.run.layout import RECIPE, is_run
from sinoner.run.screen import Screen
from sinoner.run.stage import Options, Run, Stage
from sinoner.settings import Recipe
from sinoner.stages.publish import upload as upload_to_hub
from sinoner.stages.report import write_report


def execute(
    recipe: Recipe,
    stages: Sequence[Stage],
    screen: Screen,
    *,
    force: bool = False,
    upload: bool = False,
    summary: bool = True,
    options: Options | None = None,
) -> Path:
    """Run stages on a run folder; unchanged ones are skipped. The report is written at the end.

    Args:
        recipe: the settings; kept in the folder as ``recipe.yaml``.
        stages: in order.
        screen: where progress is shown.
        force: run them even when nothing changed.
        upload: upload to the Hub what was published.
        summary: print the closing tables.
        options: what is asked of the stages that send requests.

    Returns:
        The report.

    Raises:
        BelowRequirementError: the annotations are worse than ``filter.require`` asks for; the report is written.
        StoppedError: Ctrl-C; the same command continues.
    """

    def finish(run: Run) -> Path:
        for address in upload_to_hub(run) if upload else ():
            screen.say(f"published: {address}")
        report = write_report(run.folder, recipe, run.manifest)
        if summary:
            print_summary(screen.console, run.folder, run.manifest, report)
        return report

    return sequence.execute(recipe, stages, screen, finish, force=force, options=options)


def of_folder(folder: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The settings of a run folder, with overrides.

    Raises:
        InputError: the folder is not a run folder.
    """
    path = folder / RECIPE
    if not is_run(folder):
        raise InputError(f"{folder}: is not a run folder (no {RECIPE} in it)")
    recipe = recipes.load(path, overrides)
    return recipe.model_copy(update={"out": str(folder)})


def of_corpus(path: str, out: str | None, overrides: Sequence[str] = ()) -> Recipe:
    """The settings for a corpus path.

    Corpus, annotator and endpoint are what this command says, so that a ``--limit`` of an earlier try does not
    linger; the other sections keep what the run folder knows.

    Raises:
        InputError: a setting is wrong.
    """
    name = _name(path)
    folder = Path(out or f"runs/{name}")
    tree: dict[str, object] = {"name": _name(folder.name)}
    if is_run(folder):
        said_again = {"corpus", "annotate", "llm"}
        tree = of_folder(folder).model_dump(mode="json", exclude_defaults=True, exclude=said_again)
    tree["corpus"] = {"sources": [str(Path(path).resolve()) if Path(path).exists() else path]}
    tree["out"] = str(folder)
    return recipes.resolve(recipes.build(tree, overrides), Path.cwd())


def _name(path: str) -> str:
    stem = Path(path.rstrip("/")).name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-") or "run"
