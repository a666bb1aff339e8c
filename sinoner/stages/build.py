"""The stage that turns annotations and their examples into the instruction-tuning set, in all formats at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from heapq import merge
from pathlib import Path

from sinoner import disk
from sinoner.counted import Counted
from sinoner.errors import InputError
from sinoner.itset import export
from sinoner.itset.hard_negatives import HardNegatives, Labels
from sinoner.itset.negatives import NegativeSampler, dropped_types, is_misc
from sinoner.itset.writers import ENDINGS, Frame, Piece, frame
from sinoner.records import Annotation, Lang, Neighbours
from sinoner.run.layout import DECONTAMINATED, IT_SET, NEIGHBOURS, PARTS, TRAIN, VALIDATION
from sinoner.run.screen import Progress
from sinoner.run.stage import Reads, Run, Stage
from sinoner.run.tally import Tally
from sinoner.settings import Recipe
from sinoner.settings.itset_section import FORMATS, Format
from sinoner.stages import pools as sources
from sinoner.stages.pools import Pools
from sinoner.stages.shards import Order, Shards
from sinoner.stages.split import LANGS, Parts, parts_of


def _build(run: Run, tally: Tally, progress: Progress) -> None:
    recipe, settings = run.recipe, run.recipe.it_set
    parts = parts_of(run)
    neighbours = {n.id: n.neighbours for n in disk.read_records(run.folder / NEIGHBOURS, Neighbours)}
    shards = Shards(
        run.folder / DECONTAMINATED,
        _negatives(run, parts, progress),
        settings,
        recipe.seed,
        recipe.corpus.tokenizer,
    )
    counts: Counter[Counted] = Counter()
    progress(len(parts.train) + len(parts.validation), "")
    with Pools(run, parts, recipe.retrieve) as pool, ExitStack() as stack:
        files = {
            name: _Part(run.folder, name, waist, settings.formats, stack)
            for name, waist in (("train", TRAIN), ("validation", VALIDATION))
        }
        _check(run, neighbours, pool)
        orders = tally.watch(_orders(run, parts, neighbours, pool), "passage")
        for made in run.engine.map(shards, orders):
            for reject in made.rejects:
                tally.reject(reject)
            for name, piece in made.pieces.items():
                files[name].add(piece)
            counts.update(made.counts)
            tally.give("passage", made.passages)
        for part in files.values():
            part.end()
    for word, n in counts.items():
        if n:
            tally.make(word, n)
    _indexes(run, files, parts.frequency)


def _check(run: Run, neighbours: Mapping[str, Sequence[str]], pool: Pools) -> None:
    """Every example must be in a pool.

    Raises:
        InputError: one is not: the file of neighbours is not that of these pools.
    """
    for identifier, found in neighbours.items():
        if stranger := next((i for i in found if i not in pool), None):
            raise InputError(
                f"{run.folder / NEIGHBOURS}: {identifier} has the example {stranger}, which is in no pool (retrieve.pools);"
                " delete the file and run the same command again"
            )


def _orders(run: Run, parts: Parts, neighbours: Mapping[str, Sequence[str]], pool: Pools) -> Iterator[Order]:
    """The passages of both parts with their examples, in file order."""
    named = ([(place, i, name) for i, place in ids.items()] for name, ids in parts.by_name())
    with parts.annotations(run) as lines:
        for _, identifier, name in merge(*named):
            examples = tuple([pool.line(i) for i in neighbours.get(identifier, ())])
            yield Order(name, lines.line(identifier), examples)


# negative types --------------------------------------------------------------------------------------------------


def _negatives(run: Run, parts: Parts, progress: Progress) -> dict[Lang, HardNegatives]:
    recipe, settings = run.recipe, run.recipe.it_set
    made = {}
    for lang in LANGS:
        misc = dropped_types(settings)
        sampler = NegativeSampler(parts.frequency[lang], settings.negatives, settings.max_negatives, misc)
        hard = settings.hard if settings.mode != "all" else 0.0
        labels, similar = Labels(), {}
        if hard and sampler.types:
            labels = Labels(_annotations(run, parts.train, lang))
            similar = _similar(run, lang, sorted(sampler.types), progress)
        made[lang] = HardNegatives(sampler, hard, similar, labels, recipe.seed)
    return made


def _annotations(run: Run, ids: Mapping[str, int], lang: Lang) -> Iterator[Annotation]:
    """The annotations of a part in a language, in file order."""
    places = frozenset(ids.values())
    read = disk.read_places(run.folder / DECONTAMINATED, Annotation, places)
    return (a for _, a in read if a.passage.lang == lang)


def _similar(run: Run, lang: Lang, types: list[str], progress: Progress) -> dict[str, tuple[str, ...]]:
    """For each type those with the most similar names, most similar first."""
    from sinoner.retrieve.nearest import nearest
    from sinoner.stages.run_embedder import vectors_of

    with vectors_of(run, lang, progress, f"types {lang}") as store:
        vectors = store.encode(types).vectors
    found = nearest(vectors, vectors, run.recipe.it_set.hard_neighbours + 1)
    return {
        own: tuple(types[row] for row in rows if row != number)[: run.recipe.it_set.hard_neighbours]
        for number, (own, rows) in enumerate(zip(types, found.rows.tolist(), strict=True))
    }


# files -----------------------------------------------------------------------------------------------------------


class _Part:
    """The files of one part, which grow together; those of the formats appear with the first conversation."""

    def __init__(
        self, folder: Path, part: str, waist: str, formats: Sequence[Format], stack: ExitStack
    ) -> None:
        self._folder, self._part, self._formats, self._stack = folder / IT_SET, part, formats, stack
        self._waist = stack.enter_context(disk.AtomicFile(folder / waist))
        self._files: dict[Format, tuple[Frame, disk.AtomicFile]] = {}

    def add(self, piece: Piece) -> None:
        """Write what became of some passages."""
        if not self._files:
            self._files = {
                form: (frame(form), self._stack.enter_context(disk.AtomicFile(self._path(form))))
                for form in self._formats
            }
        self._waist.write(piece.waist)
        for form, (around, file) in self._files.items():
            file.write(around.add(piece.formats[form]))

    def end(self) -> None:
        """Finish the files; those of other formats, of an earlier run, go."""
        for around, file in self._files.values():
            file.write(around.end())
        for other in FORMATS:
            if other not in self._files:
                self._path(other).unlink(missing_ok=True)

    @property
    def sharegpt(self) -> str | None:
        """The name of its ShareGPT file, if it has one."""
        return self._path("sharegpt").name if "sharegpt" in self._files else None

    def _path(self, format: Format) -> Path:
        return self._folder / f"{self._part}{ENDINGS[format]}"


def _indexes(run: Run, parts: Mapping[str, _Part], frequency: Mapping[Lang, Counter[str]]) -> None:
    """LLaMA-Factory's index, and how often each type stands in the training passages."""
    folder = run.folder / IT_SET
    files = [(name, file) for name, part in parts.items() if (file := part.sharegpt)]
    if files:
        disk.write_json(folder / "dataset_info.json", export.dataset_info(run.recipe.name, files))
    else:
        (folder / "dataset_info.json").unlink(missing_ok=True)
    misc = dropped_types(run.recipe.it_set)
    total = sum(frequency.values(), Counter())
    asked = sorted(((t, n) for t, n in total.items() if not is_misc(t, misc)), key=lambda x: (-x[1], x[0]))
    disk.write_json(folder / "type2freq.json", dict(asked))


def _reads(recipe: Recipe) -> Reads:
    """The settings that the set depends on; those of other sections only where they are used."""
    return (
        *("it_set", "seed", "retrieve.pools", "retrieve.pool_size", "retrieve.pool_seed"),
        *(("corpus.tokenizer",) if recipe.it_set.max_tokens is not None else ()),
        *(("retrieve",) if recipe.it_set.hard else ()),
    )


BUILD = Stage(
    name="build-it-set",
    version=1,
    reads=_reads,
    inputs=lambda run: [
        run.folder / DECONTAMINATED,
        run.folder / PARTS,
        run.folder / NEIGHBOURS,
        *sources.files(run.recipe.retrieve),
    ],
    outputs=(
        TRAIN,
        VALIDATION,
        f"{IT_SET}/dataset_info.json",
        f"{IT_SET}/type2freq.json",
        *(f"{IT_SET}/{part}{end}" for part in ("train", "validation") for end in ENDINGS.values()),
    ),
    work=_build,
    after="build-it-set",
)
