"""The stage that cleans annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sinoner import disk
from sinoner.errors import InputError
from sinoner.measurements import RuleHits
from sinoner.records import Annotation, Reject
from sinoner.run.layout import ANNOTATIONS, FILTERED, HITS, INVENTORY, SAMPLES, SHAPE
from sinoner.run.preflight import mistakes
from sinoner.run.screen import Progress
from sinoner.run.stage import Run, Stage, keys
from sinoner.run.tally import Tally
from sinoner.stages import annotator_agreement, type_merges


def _filter(run: Run, tally: Tally, progress: Progress) -> None:
    """Votes, types and rules per passage, in any number of processes; then what needs the passages before."""
    from sinoner.quality.duplicates import Duplicates
    from sinoner.quality.rules import STAGE, clean, switched_on
    from sinoner.quality.shape import ShapeCounter
    from sinoner.quality.types import Inventory

    settings = run.recipe.filter
    progress(run.manifest.passages("annotate"), "")
    names = type_merges.type_map(run.folder, run.recipe)
    on = switched_on(settings)
    near = settings.near_duplicate if "near_duplicate" in on else None
    earlier = Duplicates(near, "duplicate_passage" in on)
    inventory, shape, hits = Inventory(), ShapeCounter(), Counter[str]()
    rules = partial(clean, settings=settings, types_of=names.apply if names is not None else None)
    with disk.AtomicFile(run.folder / FILTERED) as file:
        for cleaned in run.engine.map(rules, _voted(run, tally)):
            tally.take("passage")
            tally.take("entity", cleaned.entities)
            for reject in cleaned.rejects:
                tally.reject(reject)
            annotation = cleaned.annotation
            if annotation is None:
                continue
            if cleaned.changed:
                hits.update(cleaned.changed)
            if (again := earlier.check(annotation.passage)) is not None:
                reason, detail = again
                lost = len(annotation.entities)
                tally.reject(
                    Reject(id=annotation.passage.id, stage=STAGE, reason=reason, detail=detail, entities=lost)
                )
                continue
            file.record(annotation)
            tally.give("passage")
            tally.give("entity", len(annotation.entities))
            inventory.add(annotation)
            shape.add(annotation)
    for name, measured in (
        (INVENTORY, inventory.result()),
        (SHAPE, shape.result()),
        (HITS, RuleHits(changed=dict(sorted(hits.items())))),
    ):
        disk.write_json(run.folder / name, measured.model_dump(mode="json"), indent=None)
    annotator_agreement.agreement_of_samples(run.folder)


def _voted(run: Run, tally: Tally) -> Iterator[Annotation]:
    """The annotations, by vote if ``filter.min_votes`` is set; what got too few votes is counted here.

    Raises:
        InputError: a vote is required, and there is only one answer per passage.
    """
    from sinoner.quality.vote import voted

    annotations = disk.read_records(run.folder / ANNOTATIONS, Annotation)
    least = run.recipe.filter.min_votes
    if least is None:
        yield from annotations
        return
    if not (run.folder / SAMPLES).exists():
        raise InputError(
            f"filter.min_votes={least}: there is one answer per passage; annotate with --samples K"
            " llm.temperature=0.7, or with llm.more_models"
        )
    for item in voted(annotations, disk.read_records(run.folder / SAMPLES, Annotation), least):
        if isinstance(item, Reject):
            if item.unit == "entity":
                tally.take("entity")
            tally.reject(item)
        else:
            yield item


def _inputs(run: Run) -> list[Path]:
    paths = [run.folder / ANNOTATIONS]
    if (run.folder / SAMPLES).exists():
        paths.append(run.folder / SAMPLES)
    types = type_merges.types_file(run.folder, run.recipe)
    return [*paths, types] if types is not None else paths


# Settings of the stages that follow this one.
_OTHERS = ("verify", "verify_model", "gold", "align_types", "require", "decontaminate", "test_sets")

FILTER = Stage(
    name="filter",
    version=1,
    reads=keys("filter", but=_OTHERS),
    inputs=_inputs,
    outputs=(FILTERED, INVENTORY, SHAPE, HITS),
    work=_filter,
    after="annotate",
    preflight=lambda recipe, options: mistakes(partial(type_merges.named_file, recipe)),
)
