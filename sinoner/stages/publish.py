"""What a run publishes: the data set folder and the model folder, and their upload."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from sinoner import __version__, disk, models
from sinoner.errors import InputError
from sinoner.records import Annotation, Annotator, Conversation
from sinoner.run.layout import ADAPTER, DECONTAMINATED, TRAIN, VALIDATION
from sinoner.run.screen import Progress
from sinoner.run.stage import Run, Stage
from sinoner.run.tally import Tally
from sinoner.stages.evaluate import scores

DATASET = "publish/dataset"
MODEL = "publish/model"


def _publish(run: Run, tally: Tally, progress: Progress) -> None:
    from sinoner.publish import card, hub

    facts = _facts(run)
    kinds = {"train": TRAIN, "validation": VALIDATION}
    splits = {name: disk.read_records(run.folder / path, Conversation) for name, path in kinds.items()}
    annotations = disk.read_records(run.folder / DECONTAMINATED, Annotation)
    settings = run.recipe.publish
    text = card.dataset_card(facts, settings.dataset_repo)
    hub.write_dataset(run.folder / DATASET, splits, annotations, text)
    total = sum(facts.counts.values())
    tally.take("conversation", total)
    tally.give("conversation", total)
    if run.recipe.train.base is not None and (run.folder / ADAPTER).is_dir():
        base = models.hub_name(run.recipe.train.base)
        trained = run.manifest.made("finetune", "trained_conversation") or facts.counts["train"]
        tuned = facts.model_copy(update={"counts": {**facts.counts, "train": trained}})
        text = card.model_card(tuned, settings.dataset_repo, settings.model_repo)
        hub.write_model(run.folder / MODEL, run.folder / ADAPTER, text, base)
        tally.make("adapter")


def _facts(run: Run) -> Any:
    from sinoner.publish.card import CardFacts

    recipe = run.recipe
    by: Counter[Annotator] = Counter()
    types: Counter[str] = Counter()
    langs: set[str] = set()
    for annotation in disk.read_records(run.folder / DECONTAMINATED, Annotation):
        by[annotation.by] += 1
        langs.add(annotation.passage.lang)
        types.update(e.type for e in annotation.entities)
    counts = {
        name: sum(1 for _ in disk.read_records(run.folder / path, Conversation))
        for name, path in (("train", TRAIN), ("validation", VALIDATION))
    }
    lora = recipe.train.model_dump(mode="json", exclude={"base", "device", "max_conversations"})
    trained = (run.folder / ADAPTER).is_dir() and recipe.train.base is not None
    return CardFacts(
        name=recipe.name,
        languages=tuple(x for x in ("zh", "en") if x in langs),
        licence=recipe.publish.licence,
        annotators=tuple(one for one, _ in by.most_common()),
        counts=counts,
        passages=sum(by.values()),
        entities=sum(types.values()),
        types=len(types),
        top_types=tuple(sorted(types.items(), key=lambda x: (-x[1], x[0]))[:20]),
        style=recipe.it_set.style,
        prompt=recipe.annotate.prompt if recipe.annotate.by == "llm" else None,
        seed=recipe.seed,
        sources=tuple(dict.fromkeys(_source(s.path) for s in recipe.corpus.sources)),
        base_model=models.hub_name(recipe.train.base) if trained and recipe.train.base else None,
        lora=lora if trained else {},
        scores=scores(run.folder),
        version=__version__,
    )


def _source(path: str) -> str:
    """A source as the card names it: never a local path."""
    return path if "://" in path else Path(path).name


def _inputs(run: Run) -> list[Path]:
    paths = [run.folder / TRAIN, run.folder / VALIDATION, run.folder / DECONTAMINATED]
    return paths + [p for p in (run.folder / ADAPTER, run.folder / "eval/summary.json") if p.exists()]


PUBLISH = Stage(
    name="publish",
    version=1,
    reads=(
        *(
            "publish",
            "name",
            "corpus.sources",
            "train",
            "annotate.prompt",
            "annotate.by",
            "it_set.style",
            "seed",
        ),
    ),
    inputs=_inputs,
    outputs=(DATASET, MODEL),
    work=_publish,
    after="build-it-set",
)


def upload(run: Run) -> list[str]:
    """Upload what the publish stage wrote; returns the addresses.

    Raises:
        InputError: no repository is named.
        EndpointError: the Hub cannot be used.
    """
    from sinoner.publish import hub

    settings = run.recipe.publish
    if settings.dataset_repo is None and settings.model_repo is None:
        raise InputError(
            "no repository: give --dataset-repo OWNER/NAME and/or --model-repo OWNER/NAME, or use --dry-run"
        )
    if settings.model_repo is not None and not (run.folder / MODEL).is_dir():
        raise InputError(f"{run.folder}: has no adapter to publish; run sinoner finetune {run.folder} first")
    addresses = []
    if settings.dataset_repo is not None:
        addresses.append(hub.upload(run.folder / DATASET, settings.dataset_repo, "dataset", settings.private))
    if settings.model_repo is not None:
        addresses.append(hub.upload(run.folder / MODEL, settings.model_repo, "model", settings.private))
    return addresses
