"""Where examples come from: the run's own training passages, gold, other runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

from sinoner import jsonl, resources
from sinoner.errors import InputError
from sinoner.pipeline.paths import DECONTAMINATED, gold_place, is_run
from sinoner.pipeline.splitting import Parts
from sinoner.pipeline.stages import Run
from sinoner.records import Annotation, Lang
from sinoner.settings import RetrieveSettings

OWN = "train"


class Pools(Mapping[str, Annotation]):
    """The annotations that may be examples, by id. Ids of foreign pools begin with the pool's name and a slash.

    The run's own are read from its file when they are asked for. Use as a context manager.

    Raises:
        InputError: a pool is not there, or two have one name.
    """

    def __init__(self, run: Run, parts: Parts, settings: RetrieveSettings) -> None:
        self._own = parts.train if OWN in settings.pools else {}
        self._foreign: dict[str, Annotation] = {}
        names: dict[str, str] = {}
        for pool in settings.pools:
            if pool == OWN:
                continue
            name, annotations = foreign(pool)
            if name in names:
                raise InputError(
                    f"retrieve.pools: {pool} and {names[name]} are both called {name!r}; rename a folder"
                )
            names[name] = pool
            if settings.pool_size is not None and settings.pool_size < len(annotations):
                annotations = Random(settings.pool_seed).sample(annotations, settings.pool_size)
            for annotation in annotations:
                passage = annotation.passage.model_copy(update={"id": f"{name}/{annotation.passage.id}"})
                self._foreign[passage.id] = annotation.model_copy(update={"passage": passage})
        self._file = parts.annotations(run)

    def of(self, lang: Lang) -> Iterator[Annotation]:
        """The foreign annotations of a language; those of the run are in its file."""
        return (a for a in self._foreign.values() if a.passage.lang == lang)

    def __getitem__(self, identifier: str) -> Annotation:
        if identifier in self._own:
            return self._file[identifier]
        return self._foreign[identifier]

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
    from sinoner.corpus.benchmarks import load_gold

    place = place_of(pool)
    if place.name == DECONTAMINATED:
        annotations = list(jsonl.read_records(place, Annotation))
        return place.parent.name, annotations
    gold = load_gold(str(place) if place.exists() else pool, cache=resources.cache_root())
    return gold.name, list(gold.annotations)


def place_of(pool: str) -> Path:
    """The file of a pool: of a folder or a benchmark its training part, when it has one; of a run its annotations."""
    path = gold_place(pool)
    if is_run(path):
        return path / DECONTAMINATED
    train = path / "train.jsonl"
    return train if train.is_file() else path


def files(settings: RetrieveSettings) -> list[Path]:
    """The files that examples depend on besides the run's own, so that a changed one is noticed."""
    places = [place_of(pool) for pool in settings.pools if pool != OWN]
    if settings.stop_words not in ("shipped", "none"):
        places.append(Path(settings.stop_words))
    return [place for place in places if place.exists()]


def names(settings: RetrieveSettings) -> list[str]:
    """The pools as the manifest names them: never a path of this machine."""
    return [Path(pool).name if Path(pool).exists() else pool for pool in settings.pools]
