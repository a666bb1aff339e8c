"""The stage that keeps test sets out of the training data, and the check that evaluation asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace
from pydantic import ValidationError

from sinoner import disk, resources
from sinoner.measurements import Decontamination
from sinoner.records import Annotation
from sinoner.run.layout import CONTAMINATION, DECONTAMINATED, TRAIN, VERIFIED, gold_place, kept
from sinoner.run.manifest import Manifest
from sinoner.run.screen import At
from sinoner.run.stage import Run, Stage
from sinoner.run.tally import Tally
from sinoner.settings import Recipe

if TYPE_CHECKING:
    from sinoner.quality.contamination import TestSet


def test_sets_of(recipe: Recipe) -> tuple[str, ...]:
    """The test sets that training data are compared with: those that are evaluated, and those named beside them."""
    if not recipe.filter.decontaminate:
        return ()
    return tuple(dict.fromkeys((*recipe.evaluate.benchmarks, *recipe.filter.test_sets)))


def test_sets(recipe: Recipe) -> list[TestSet]:
    """The passages of those test sets, with the digests of their files.

    Raises:
        InputError: one is not there, or is not gold (path:line).
    """
    from sinoner.formats.benchmarks import load_gold
    from sinoner.quality.contamination import TestSet

    golds = [load_gold(name, cache=resources.cache_root()) for name in test_sets_of(recipe)]
    return [TestSet(g.name, g.digest, [a.passage for a in g.annotations]) for g in golds]


def _decontaminate(run: Run, tally: Tally, at: At) -> None:
    from sinoner.quality.contamination import Decontaminator

    recipe = run.recipe
    source = kept(recipe, run.folder)
    tests = test_sets(recipe)
    before = run.manifest.entries.get("verify" if source.name == VERIFIED else "filter")
    at(before.counts["passage"].out if before else 0, "")
    if not tests:
        off = not recipe.filter.decontaminate
        why = "filter.decontaminate is off" if off else "no benchmark and no filter.test_sets"
        run.screen.say(f"decontaminate: compared with no test set ({why})")
    decontaminator = Decontaminator(tests, recipe.filter.near_duplicate) if tests else None
    with disk.AtomicFile(run.folder / DECONTAMINATED) as file, source.open("rb") as lines:
        # Nothing is changed in what stays: its line is copied as it is.
        for line, annotation in zip(lines, disk.read_records(source, Annotation), strict=True):
            entities = len(annotation.entities)
            tally.take("passage")
            tally.take("entity", entities)
            reject = decontaminator.check(annotation.passage) if decontaminator else None
            if reject is not None:
                tally.reject(replace(reject, entities=entities))
                continue
            file.write(line)
            tally.give("passage")
            tally.give("entity", entities)
    result = decontaminator.result() if decontaminator else Decontamination(checked=0, dropped=0)
    disk.write_json(run.folder / CONTAMINATION, result.model_dump(mode="json"))


def unchecked(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """The benchmarks that the training data of a run were not compared with, as far as the run folder shows.

    Conversations or an adapter made before the data were last compared count as not compared with anything.

    Args:
        folder: the run.
        digests: SHA-256 of the gold file by name of the benchmark.
    """
    path = folder / CONTAMINATION
    known: set[str] = set()
    if path.exists() and _trained_on_it(Manifest(folder)):
        try:
            found = Decontamination.model_validate_json(path.read_bytes())
        except ValidationError:
            return list(digests)
        known = {leak.digest for leak in found.leaks}
    return [name for name, digest in digests.items() if digest not in known]


def _trained_on_it(manifest: Manifest) -> bool:
    """Whether what was built and trained since goes back to the file that the stage last wrote."""
    chain = (("decontaminate", DECONTAMINATED, "build-it-set"), ("build-it-set", TRAIN, "finetune"))
    for maker, name, user in chain:
        made, used = manifest.entries.get(maker), manifest.entries.get(user)
        if used is not None and (made is None or made.outputs.get(name) != used.inputs.get(name)):
            return False
    return True


def _inputs(run: Run) -> list[Path]:
    """The annotations, and the gold files, so that a changed test set is compared anew."""
    golds = (gold_place(name) for name in test_sets_of(run.recipe))
    return [kept(run.recipe, run.folder), *(path for path in golds if path.exists())]


DECONTAMINATE = Stage(
    name="decontaminate",
    inputs=_inputs,
    settings=lambda r: {
        "near_duplicate": r.filter.near_duplicate,
        "test_sets": [n if not Path(n).exists() else Path(n).name for n in test_sets_of(r)],
    },
    outputs=(DECONTAMINATED, CONTAMINATION),
    work=_decontaminate,
    after="filter",
)
