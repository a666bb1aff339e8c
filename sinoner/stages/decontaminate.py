"""The stage that keeps test sets out of the training data, and the check that evaluation asks of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace
from pydantic import ValidationError

from sinoner import disk, resources
from sinoner.engine import Engine
from sinoner.errors import InputError
from sinoner.measurements import Decontamination
from sinoner.quality.contamination import NOTHING, Found
from sinoner.records import Annotation
from sinoner.run.layout import CONTAMINATION, DECONTAMINATED, TRAIN, VERIFIED, gold_place, kept
from sinoner.run.manifest import Manifest
from sinoner.run.preflight import mistakes
from sinoner.run.screen import Progress
from sinoner.run.stage import Run, Stage
from sinoner.run.tally import Tally
from sinoner.settings import Recipe

if TYPE_CHECKING:
    from sinoner.quality.contamination import Decontaminator, TestSet


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


class _Searched(NamedTuple):
    """A passage by its id, how many entities it has, and what it shares with test sets."""

    id: str
    entities: int
    found: Found


class _Search:
    """Looks the passages of annotations up in the test sets; works in any number of processes."""

    def __init__(self, source: Path, decontaminator: Decontaminator | None) -> None:
        self._source = source
        self._find = decontaminator.find if decontaminator else None

    def __call__(self, lines: Iterable[bytes]) -> Iterator[_Searched]:
        for line in lines:
            try:
                annotation = disk.parse(line, Annotation)
            except ValueError as error:
                raise InputError(
                    f"{self._source}: not an Annotation record: {error}: {line[:80]!r}"
                ) from None
            passage = annotation.passage
            found = self._find(passage) if self._find else NOTHING
            yield _Searched(passage.id, len(annotation.entities), found)


def _with_lines(lines: Iterable[bytes], engine: Engine, search: _Search) -> Iterator[tuple[bytes, _Searched]]:
    """Each line with what was found; lines that several processes still work on are held."""
    ahead, kept = tee(lines)
    return zip(kept, engine.map(search, ahead), strict=True)


def _decontaminate(run: Run, tally: Tally, progress: Progress) -> None:
    from sinoner.quality.contamination import Decontaminator

    recipe = run.recipe
    source = kept(recipe, run.folder)
    tests = test_sets(recipe)
    progress(run.manifest.passages("verify" if source.name == VERIFIED else "filter"), "")
    if not tests:
        off = not recipe.filter.decontaminate
        why = "filter.decontaminate is off" if off else "no benchmark and no filter.test_sets"
        run.screen.say(f"decontaminate: compared with no test set ({why})")
    decontaminator = Decontaminator(tests, recipe.filter.near_duplicate) if tests else None
    with disk.AtomicFile(run.folder / DECONTAMINATED) as file, source.open("rb") as lines:
        # Nothing is changed in what stays: its line is copied as it is.
        for line, searched in _with_lines(lines, run.engine, _Search(source, decontaminator)):
            tally.take("passage")
            tally.take("entity", searched.entities)
            reject = decontaminator.book(searched.id, searched.found) if decontaminator else None
            if reject is not None:
                tally.reject(replace(reject, entities=searched.entities))
                continue
            file.write(line)
            tally.give("passage")
            tally.give("entity", searched.entities)
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
    """The annotations, and the gold files, so that a changed test set is compared again."""
    golds = (gold_place(name) for name in test_sets_of(run.recipe))
    return [kept(run.recipe, run.folder), *(path for path in golds if path.exists())]


DECONTAMINATE = Stage(
    name="decontaminate",
    version=1,
    reads=(
        *("filter.verify", "filter.decontaminate", "filter.near_duplicate"),
        *("filter.test_sets", "evaluate.benchmarks"),
    ),
    inputs=_inputs,
    outputs=(DECONTAMINATED, CONTAMINATION),
    work=_decontaminate,
    after="filter",
    preflight=lambda recipe, options: mistakes(partial(test_sets, recipe)),
)
