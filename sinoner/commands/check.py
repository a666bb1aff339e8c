"""Checking a recipe before it is run: everything it names that is not there."""

from __future__ import annotations

from sinoner.run.stage import Options
from sinoner.settings import Recipe
from sinoner.stages.flow import STAGES


def problems(recipe: Recipe) -> list[str]:
    """The mistakes that all stages of a recipe can see before they run, one line each; empty when it could run."""
    lines = (
        line
        for stage in STAGES
        if stage.wanted(recipe)
        for line in stage.preflight(recipe, Options(thorough=True))
    )
    return list(dict.fromkeys(lines))
