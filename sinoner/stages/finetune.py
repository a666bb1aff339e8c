"""The stage finetune: conversations to an adapter."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sinoner import disk
from sinoner.errors import InputError
from sinoner.records import Conversation
from sinoner.run.layout import ADAPTER, LOSSES, TRAIN, VALIDATION
from sinoner.run.preflight import missing, mistakes
from sinoner.run.screen import Progress
from sinoner.run.stage import Options, Run, Stage, settings_of
from sinoner.run.tally import Tally
from sinoner.settings import Recipe

if TYPE_CHECKING:
    pass


_READS = ("train", "seed")


def _finetune(run: Run, tally: Tally, progress: Progress) -> None:
    from sinoner.itset.subsets import subset
    from sinoner.train.loop import finetune

    recipe = run.recipe
    train = list(disk.read_records(run.folder / TRAIN, Conversation))
    validation = list(disk.read_records(run.folder / VALIDATION, Conversation))
    chosen = subset((c.id for c in train), recipe.train.max_conversations, recipe.seed)
    train = [c for c in train if c.id in chosen]
    if not train:
        raise InputError(f"{run.folder / TRAIN}: there is no conversation to train on")
    tally.take("conversation", len(train) + len(validation))
    key = json.dumps([disk.sha256(run.folder / TRAIN), settings_of(recipe, _READS)])
    checkpoints = _checkpoints(run.folder / "checkpoints", key)
    done = 0

    def on_step(step: int, total: int, loss: float) -> None:
        nonlocal done
        progress(total, f"loss {loss:.3f}")
        tally.tick(step - done)
        done = step

    result = finetune(
        train, validation, recipe.train, recipe.seed, run.folder / ADAPTER, checkpoints, on_step
    )
    for reject in result.rejects:
        if reject.unit == "query":
            tally.take("query")
        tally.reject(reject)
    whole = sum(r.unit == "conversation" for r in result.rejects)
    tally.give("conversation", len(train) + len(validation) - whole, shown=False)
    tally.make("trained_conversation", result.conversations)
    tally.make("token", result.tokens)
    tally.make("learned_token", result.learned_tokens)
    losses = {"train": result.losses, "validation": result.validation_losses}
    disk.write_json(run.folder / LOSSES, losses, indent=None)


def _checkpoints(folder: Path, key: str) -> Path:
    """The checkpoint folder of exactly this training; those of other trainings are removed."""
    import hashlib

    own = folder / hashlib.sha256(key.encode()).hexdigest()[:12]
    for other in folder.iterdir() if folder.is_dir() else ():
        if other != own:
            shutil.rmtree(other, ignore_errors=True)
    return own


def _preflight(recipe: Recipe, options: Options) -> Iterator[str]:
    if recipe.train.base is not None:
        yield from missing("train.base", ("torch", "transformers", "peft"))
        yield from mistakes(partial(_base_model, recipe.train.base))


def _base_model(base: str) -> None:
    """Look whether the base model can be a folder or a hub id; no hub is asked.

    Raises:
        InputError: it is neither.
    """
    from sinoner import model_files, models

    if base not in models.BUNDLED:
        model_files.folder(models.named_model(base, "train.base"))


FINETUNE = Stage(
    name="finetune",
    version=1,
    reads=_READS,
    inputs=lambda run: [run.folder / TRAIN, run.folder / VALIDATION],
    outputs=(ADAPTER, LOSSES),
    work=_finetune,
    after="build-it-set",
    preflight=_preflight,
)
