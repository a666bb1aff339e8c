"""Running stages in order, on a recipe or on a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sinoner import disk
from sinoner import recipe as recipes
from sinoner.commands import check
from sinoner.counted import plural
from sinoner.errors import BelowRequirementError, InputError, StoppedError
from sinoner.run.layout import RECIPE, is_run
from sinoner.run.manifest import Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Options, Run, Stage, locked, perform, why
from sinoner.settings import Recipe
from sinoner.stages import (
    annotate,
    build,
    chunk,
    decontaminate,
    evaluate,
    filter,
    finetune,
    gold,
    gold_scores,
    pools,
    publish,
    retrieve,
    verify,
)
from sinoner.stages import (
    report as reporting,
)

STAGES: tuple[Stage, ...] = (
    chunk.CHUNK,
    annotate.ANNOTATE,
    filter.FILTER,
    verify.VERIFY,
    gold.GOLD,
    decontaminate.DECONTAMINATE,
    retrieve.RETRIEVE,
    build.BUILD,
    finetune.FINETUNE,
    evaluate.EVALUATE,
    publish.PUBLISH,
)
# The stages that a verb stands for when it works on what is already in a run folder.
OWN: dict[str, tuple[str, ...]] = {
    "chunk": ("chunk",),
    "annotate": ("chunk", "annotate"),
    "filter": ("filter", "verify", "gold", "decontaminate"),
    "build-it-set": ("filter", "verify", "gold", "decontaminate", "retrieve", "build-it-set"),
    "finetune": ("gold", "finetune"),  # a closed gate is closed to the verb alone as well
    "evaluate": ("evaluate",),
    "publish": ("publish",),
    "report": (),
}


def stages_up_to(verb: str) -> tuple[str, ...]:
    """All stages of a recipe up to and with those of a verb; ``run`` means all."""
    names = [s.name for s in STAGES]
    return tuple(names if verb == "run" else names[: names.index(OWN[verb][-1]) + 1])


def execute(
    recipe: Recipe,
    stages: Sequence[str],
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
        stages: names, in order.
        screen: where progress is shown.
        force: run them even when nothing changed.
        upload: after the stage ``publish``, upload to the Hub.
        summary: print the closing tables.
        options: what the stage annotate shall do this one time.

    Returns:
        The report.

    Raises:
        BelowRequirementError: the annotations are worse than ``filter.require`` asks for; the report is written.
        StoppedError: Ctrl-C; the same command goes on.
    """
    folder = recipe.folder
    options = options or Options()
    if {"annotate", "gold"} <= set(stages) and recipe.filter.gold:
        gold_scores.load(recipe.filter.gold)  # a mistake in gold is told before anything is paid
    if {"annotate", "retrieve"} <= set(stages):
        pools.check(recipe.retrieve)
        check.embedding_models(recipe)
    if {"annotate", "finetune"} <= set(stages):
        check.base_model(recipe)
    if {"annotate", "decontaminate"} <= set(stages):
        decontaminate.test_sets(recipe)  # and so is one in a test set
    with locked(folder):
        kept = (folder / RECIPE).read_text(encoding="utf-8") if is_run(folder) else None
        manifest = Manifest(folder)
        run = Run(folder, recipe, manifest, screen, options)
        at_work = ""
        try:
            for stage in STAGES:
                if stage.name not in stages or not stage.wanted(recipe):
                    continue
                if stage.name == "evaluate" and len(stages) > 1 and not recipe.evaluate.benchmarks:
                    screen.say("evaluate: no benchmark in the recipe, left out")
                    continue
                at_work = stage.name
                again = stage.name == "annotate" and (options.reparse or bool(options.retry_failed))
                ran = perform(run, stage, force or again)
                if ran or not (folder / RECIPE).exists():  # only settings that worked are kept
                    disk.write_text(folder / RECIPE, recipes.dump(recipe))
                _stop_when_nothing_is_left(run, stage.name)
                if stage.name == "gold":
                    gold.check_requirements(folder, recipe)
            if upload:
                for address in publish.upload(run):
                    screen.say(f"published: {address}")
        except BelowRequirementError:
            reporting.write_report(folder, recipe, manifest)
            raise
        except InputError:
            if kept is not None and at_work in (
                "annotate",
                "verify",
            ):  # refused settings must not be what the next command uses
                disk.write_text(folder / RECIPE, kept)
            raise
        except KeyboardInterrupt:
            raise StoppedError(
                f"stopped; what is done is kept in {folder}. The same command goes on from there"
            ) from None
        report = reporting.write_report(folder, recipe, manifest)
    if summary:
        reporting.print_summary(screen.console, folder, manifest, report)
    return report


def _stop_when_nothing_is_left(run: Run, stage: str) -> None:
    """A stage that rejected everything makes the next ones pointless."""
    entry = run.manifest.entries[stage]
    unit, count = next(iter(entry.counts.items()), (None, None))
    if unit is not None and count is not None and count.in_ and not count.out:
        raise InputError(
            f"{stage}: all {count.in_} {plural(unit)} were rejected ({why(entry)});"
            f" see {run.folder / 'rejects' / (stage + '.jsonl')}"
        )


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
    import re

    stem = Path(path.rstrip("/")).name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-") or "run"
