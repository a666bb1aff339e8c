"""The files of a run folder, relative to it, and which of them holds the annotations at each point."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sinoner import resources

if TYPE_CHECKING:
    from sinoner.settings import Recipe

RECIPE = "recipe.yaml"
PASSAGES = "passages.jsonl"
HUMAN = "human.jsonl"
LEDGER = "ledger.sqlite"
ANNOTATIONS = "annotations.jsonl"
SAMPLES = "samples.jsonl"
TYPES = "types.yaml"
FILTERED = "filtered.jsonl"
VERIFIED = "verified.jsonl"
DECONTAMINATED = "decontaminated.jsonl"
PARTS = "split/passages.jsonl"
TRAINED_TYPES = "split/types.json"
NEIGHBOURS = "neighbours.jsonl"
VECTORS = "retrieval/vectors"
WORDS = "retrieval/words.{lang}.jsonl"
IT_SET = "it_set"
TRAIN = f"{IT_SET}/train.conversations.jsonl"
VALIDATION = f"{IT_SET}/validation.conversations.jsonl"
ADAPTER = "adapter"
LOSSES = "losses.json"
SUMMARY = "eval/summary.json"
# What was measured about the data (``sinoner.measurements``).
QUALITY = "quality"
INVENTORY = f"{QUALITY}/types.json"
SHAPE = f"{QUALITY}/shape.json"
HITS = f"{QUALITY}/rules.json"
AGREEMENT = f"{QUALITY}/agreement.json"
DISAGREEMENTS = f"{QUALITY}/disagreements.jsonl"
GOLD = f"{QUALITY}/gold.json"
CONTAMINATION = f"{QUALITY}/decontamination.json"
EXAMPLES = f"{QUALITY}/examples.json"
SHOWN = "eval/examples.json"  # the same of the examples shown in evaluation


def is_run(folder: Path) -> bool:
    """Whether a path is a run folder."""
    return (folder / RECIPE).is_file()


def kept(recipe: Recipe, folder: Path) -> Path:
    """The annotations after the filter, and after the judge where there is one."""
    return folder / (VERIFIED if recipe.filter.verify else FILTERED)


def gold_place(name: str) -> Path:
    """Where gold lies: the path itself, or the folder of the fetched benchmark of that name."""
    path = Path(name).expanduser()
    return path if path.exists() else resources.cache_root() / "benchmarks" / name
