"""Where examples come from: the run's own training passages, gold, other runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

from msgspec.structs import replace

from sinoner import disk, resources
from sinoner.errors import InputError
from sinoner.records import Annotation, Lang
from sinoner.run.layout import DECONTAMINATED, gold_place, is_run
from sinoner.run.stage import Run
from sinoner.settings import ItSetSettings, Recipe, RetrieveSettings
from sinoner.stages.decontaminate import test_sets, test_sets_of
from sinoner.stages.split import Parts

OWN = "train"


class Pools(Mapping[str, Annotation]):
    """The annotations that may be examples, by id. Ids of foreign pools begin with the pool's name and a slash.

    The run's own are read from its file when they are asked for. Use as a context manager.

    Raises:
        InputError: a pool is not there, is the run itself, or two have one name.
    """

    def __init__(self, run: Run, parts: Parts, settings: RetrieveSettings) -> None:
        self._run = run
        self._own = parts.train if OWN in settings.pools else {}
        self._foreign: dict[str, Annotation] = {}
        self._pool_of: dict[str, str] = {}
        self._shared: frozenset[str] | None = None
        names: dict[str, str] = {}
        for pool in settings.pools:
            if pool == OWN:
                continue
            if _same(place_of(pool), run.folder / DECONTAMINATED):
                raise InputError(
                    f"retrieve.pools: {pool} is this run itself, with what it sets aside; write {OWN} instead"
                )
            name, annotations = foreign(pool)
            if name in names:
                raise InputError(
                    f"retrieve.pools: {pool} and {names[name]} are both called {name!r}; rename a folder"
                )
            names[name] = pool
            if settings.pool_size is not None and settings.pool_size < len(annotations):
                annotations = Random(settings.pool_seed).sample(annotations, settings.pool_size)
            for annotation in annotations:
                # An identifier that no passage of the run has; which pool it is of is kept beside it.
                passage = replace(annotation.passage, id=f"{name}/{annotation.passage.id}", document="")
                self._foreign[passage.id] = replace(annotation, passage=passage)
                self._pool_of[passage.id] = name
        self._file = parts.annotations(run)

    def of(self, lang: Lang) -> Iterator[Annotation]:
        """The foreign annotations of a language that share no text with a test set; those of the run are in its file.

        Raises:
            InputError: all passages of a pool share text with a test set.
        """
        if self._shared is None:
            self._shared = self._with_tests()
        shared = self._shared
        return (a for i, a in self._foreign.items() if a.passage.lang == lang and i not in shared)

    def _with_tests(self) -> frozenset[str]:
        """The foreign ones that share text with a test set: examples would tell the answers that are scored."""
        tests = test_sets(self._run.recipe) if self._foreign else []
        if not tests:
            return frozenset()
        from sinoner.quality.contamination import Decontaminator

        decontaminator = Decontaminator(tests, self._run.recipe.filter.near_duplicate)
        shared = frozenset(i for i, a in self._foreign.items() if decontaminator.find(a.passage).hits)
        passages = Counter(self._pool_of.values())
        for name, n in sorted(Counter(self._pool_of[i] for i in shared).items()):
            told = f"retrieve.pools: {name}: {n} of {passages[name]} passages share text with a test set"
            if n == passages[name]:
                raise InputError(f"{told}; give what is not evaluated, or set filter.decontaminate=false")
            self._run.screen.say(f"{told} and are no examples (filter.decontaminate)")
        return shared

    def __getitem__(self, identifier: str) -> Annotation:
        if identifier in self._own:
            return self._file[identifier]
        return self._foreign[identifier]

    def line(self, identifier: str) -> bytes:
        """An annotation as a JSON line."""
        if identifier in self._own:
            return self._file.line(identifier)
        return disk.line(self._foreign[identifier])

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._own or identifier in self._foreign

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._foreign

    def __len__(self) -> int:
        return len(self._own) + len(self._foreign)

    def __enter__(self) -> Pools:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def foreign(pool: str) -> tuple[str, list[Annotation]]:
    """The name and the annotations of a pool that is not this run's.

    Raises:
        InputError: there is no such gold, benchmark or run.
    """
    from sinoner.formats.benchmarks import load_gold

    place = place_of(pool)
    if place.name == DECONTAMINATED:
        if not place.exists():
            raise InputError(f"retrieve.pools: {pool}: is not filtered yet; run sinoner filter {pool} first")
        annotations = list(disk.read_records(place, Annotation))
        return place.parent.name, annotations
    gold = load_gold(str(place) if place.exists() else pool, cache=resources.cache_root())
    return gold.name, list(gold.annotations)


def place_of(pool: str) -> Path:
    """The file of a pool: of a folder or a benchmark its training part, when it has one; of a run its annotations.

    Raises:
        InputError: a folder holds nothing of the kind.
    """
    path = gold_place(pool)
    if is_run(path):
        return path / DECONTAMINATED
    if not path.is_dir():
        return path
    parts = (path / f"{part}.jsonl" for part in ("train", "test", "dev"))
    found = next((part for part in parts if part.is_file()), None)
    if found is None:
        raise InputError(
            f"retrieve.pools: {path}: holds neither train.jsonl, test.jsonl nor dev.jsonl, and is no run folder"
        )
    return found


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def serves(annotation: Annotation, settings: ItSetSettings) -> bool:
    """Whether one of the run's own passages may be an example: when it is trained on itself.

    One without entities is not, unless such passages are kept.
    """
    from sinoner.itset.negatives import dropped_types, is_misc

    misc = dropped_types(settings)
    return settings.keep_empty or any(not is_misc(e.type, misc) for e in annotation.entities)


def files(settings: RetrieveSettings) -> list[Path]:
    """The files that examples depend on besides the run's own, so that a changed one is noticed."""
    places = [place_of(pool) for pool in settings.pools if pool != OWN]
    if settings.stop_words not in ("shipped", "none"):
        places.append(Path(settings.stop_words))
    return [place for place in places if place.is_file()]


def test_files(recipe: Recipe, settings: RetrieveSettings) -> list[Path]:
    """The test sets that examples of other pools must not share text with; without such pools none."""
    if all(pool == OWN for pool in settings.pools):
        return []
    return [place for name in test_sets_of(recipe) if (place := gold_place(name)).exists()]


def check(settings: RetrieveSettings) -> None:
    """Look at the pools and the stop words that the settings name, before anything is paid.

    Raises:
        InputError: one is not there, or cannot be read.
    """
    from sinoner.store.tokenized import stop_words

    for pool in settings.pools:
        if pool != OWN:
            foreign(pool)
    stop_words(settings.stop_words, "zh")


def names(settings: RetrieveSettings) -> list[str]:
    """The pools as the manifest names them: never a path of this machine."""
    return [Path(pool).name if Path(pool).exists() else pool for pool in settings.pools]
