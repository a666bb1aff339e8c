"""The stage that compares the annotations with gold, and the gate before retrieval and training."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from sinoner.errors import BelowRequirementError
from sinoner.measurements import GoldScores, Scheme, TypeScore
from sinoner.run.layout import ANNOTATIONS, FILTERED, PASSAGES, VERIFIED, gold_place
from sinoner.run.layout import GOLD as GOLD_FILE
from sinoner.run.preflight import mistakes
from sinoner.run.screen import Progress
from sinoner.run.stage import Run, Stage
from sinoner.run.tally import Tally
from sinoner.settings import Recipe
from sinoner.stages.gold_scores import LAYERS, STAGE, bounds, load, score_layers, summary_line, table, write

# What filter.require can name: which scheme, and which of its figures.
FIGURES: dict[str, tuple[Scheme, Literal["precision", "recall", "f1"]]] = {
    "gold_f1": ("strict", "f1"),
    "gold_precision": ("strict", "precision"),
    "gold_recall": ("strict", "recall"),
    "gold_span_f1": ("span", "f1"),
    "gold_type_f1": ("type", "f1"),
    "gold_relaxed_f1": ("relaxed", "f1"),
}
_COSTLIEST = 3  # types that the message of the gate names


def _compare(run: Run, tally: Tally, progress: Progress) -> None:
    recipe = run.recipe
    gold = load(recipe.filter.gold or "")
    progress(len(gold.annotations), gold.name)
    found = score_layers(
        run.folder,
        gold,
        table(recipe.filter),
        recipe.evaluate.bootstrap,
        recipe.seed,
        verify=recipe.filter.verify,
    )
    last = found.scores[-1]
    tally.take("passage", last.passages)
    tally.give("passage", last.scored)
    for reject in found.rejects:
        tally.reject(reject)
    write(run.folder, found.scores)
    for line in (*map(summary_line, found.scores), *found.notes):
        run.screen.say(f"{STAGE}: {line}")


def check_requirements(folder: Path, recipe: Recipe) -> None:
    """The gate: compare the figures that were kept with those that the recipe requires.

    Raises:
        BelowRequirementError: a figure is below.
    """
    if not recipe.filter.require:
        return
    kept = json.loads((folder / GOLD_FILE).read_bytes())
    last = GoldScores.model_validate(kept["scores"][-1])
    low: list[str] = []
    for name, wanted in recipe.filter.require.items():
        scheme, figure = FIGURES[name]
        score = next(s for s in last.scores if s.scheme == scheme)
        got: float = getattr(score, figure)
        if got < 100 * wanted:
            ends = bounds(score.low, score.high) if figure == "f1" else ""
            low.append(f"{name} is {got:.2f} %{ends}, {100 * wanted:g} % are required")
    if low:
        raise BelowRequirementError(
            f"filter.require: {'; '.join(low)} ({LAYERS[last.layer]} against {last.gold},"
            f" {last.scored} of {last.passages} gold passages scored{_costliest(last.types)})."
            f" Stopped before retrieval and training; all figures are in {folder / GOLD_FILE} and in the report."
            " Improve the prompt, the types or the model and annotate again, or require less"
        )


def _costliest(types: tuple[TypeScore, ...]) -> str:
    """The types that cost most, and what goes to types that gold does not have."""
    wrong: Callable[[TypeScore], int] = lambda t: t.gold + t.predicted - 2 * t.correct  # noqa: E731
    known = sorted((t for t in types if t.gold and wrong(t)), key=lambda t: (-wrong(t), t.type))[:_COSTLIEST]
    said = ", ".join(f"{t.type} F1 {t.f1:.1f} ({t.gold} in gold)" for t in known)
    strangers = sum(t.predicted for t in types if not t.gold)
    said = f"; types that cost most: {said}" if said else ""
    return said + (f"; {strangers} mentions are of types that gold does not have" if strangers else "")


def _inputs(run: Run) -> list[Path]:
    settings = run.recipe.filter
    files = [PASSAGES, ANNOTATIONS, FILTERED, *([VERIFIED] if settings.verify else [])]
    path = gold_place(settings.gold or "")
    labels = [path.parent / "labels.json"] if path.is_file() else []
    return [*(run.folder / file for file in files), path, *labels]


GOLD = Stage(
    name=STAGE,
    version=1,
    reads=(
        "filter.gold",
        "filter.align_types",
        "filter.require",
        "filter.verify",
        "evaluate.bootstrap",
        "seed",
    ),
    inputs=_inputs,
    outputs=(GOLD_FILE,),
    work=_compare,
    after="filter",
    wanted=lambda recipe: recipe.filter.gold is not None,
    preflight=lambda recipe, options: mistakes(partial(load, recipe.filter.gold or "")),
    gate=lambda run: check_requirements(run.folder, run.recipe),
)
