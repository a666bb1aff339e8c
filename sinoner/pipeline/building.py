"""The stage that turns annotations and their examples into the instruction-tuning set, in all formats at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sinoner import jsonl
from sinoner.errors import InputError
from sinoner.itset import export
from sinoner.itset.build import Built, build
from sinoner.itset.hard import HardNegatives, Labels
from sinoner.itset.negatives import NegativeSampler, dropped_types, is_misc
from sinoner.itset.writers import ENDINGS, Gliner, Writer, writer
from sinoner.pipeline import pools as sources
from sinoner.pipeline.paths import DECONTAMINATED, IT_SET, NEIGHBOURS, TRAIN, VALIDATION
from sinoner.pipeline.pools import Pools
from sinoner.pipeline.progress import At
from sinoner.pipeline.retrieving import settings_of
from sinoner.pipeline.splitting import LANGS, Parts, split
from sinoner.pipeline.stages import Run, Stage
from sinoner.pipeline.tally import Tally
from sinoner.records import Annotation, Lang, Neighbours, Reject
from sinoner.settings import Recipe
from sinoner.settings.itset import FORMATS, Format

if TYPE_CHECKING:
    from sinoner.itset.fit import Count


def _build(run: Run, tally: Tally, at: At) -> None:
    recipe, settings = run.recipe, run.recipe.it_set
    parts = split(run)
    neighbours = {n.id: n for n in jsonl.read_records(run.folder / NEIGHBOURS, Neighbours)}
    negatives = _negatives(run, parts, at)
    counts: Counter[str] = Counter()
    count = _counter(recipe)
    at(len(parts.train) + len(parts.validation), "")
    parted = (("train", TRAIN, parts.train), ("validation", VALIDATION, parts.validation))
    with Pools(run, parts, recipe.retrieve) as pool, ExitStack() as stack:
        files = {name: _Part(run.folder, name, waist, settings.formats, stack) for name, waist, _ in parted}
        _check(run, neighbours, pool)
        for name, _, ids in parted:
            source = tally.watch(_annotations(run, ids), "passage")
            for item in build(source, neighbours, pool, negatives, settings, recipe.seed, count):
                if isinstance(item, Reject):
                    tally.reject(item)
                    continue
                files[name].add(item)
                tally.give("passage")
                _count(counts, item)
        for part in files.values():
            part.end(tally)
    for word, n in counts.items():
        if n:
            tally.make(word, n)
    _indexes(run, files, parts.frequency)


def _check(run: Run, neighbours: Mapping[str, Neighbours], pool: Pools) -> None:
    """Every example must be in a pool.

    Raises:
        InputError: one is not: the file of neighbours is not that of these pools.
    """
    for found in neighbours.values():
        if stranger := next((i for i in found.neighbours if i not in pool), None):
            raise InputError(
                f"{run.folder / NEIGHBOURS}: {found.id} has the example {stranger}, which is in no pool (retrieve.pools);"
                " delete the file and run the same command again"
            )


def _annotations(run: Run, ids: Mapping[str, int]) -> Iterator[Annotation]:
    """The annotations of a part, in file order."""
    places = frozenset(ids.values())
    return (a for _, a in jsonl.read_places(run.folder / DECONTAMINATED, Annotation, places))


def _count(counts: Counter[str], built: Built) -> None:
    counts["conversation"] += len(built.conversations)
    counts["negative type"] += len(built.negatives.types)
    counts["hard negative type"] += built.negatives.hard_similar + built.negatives.hard_examples
    counts["shown example"] += len(built.fitted.examples)
    counts["shortened example"] += built.fitted.shortened
    counts["dropped example"] += built.fitted.dropped
    counts["too long conversation"] += len(built.conversations) if built.fitted.over else 0


def _counter(recipe: Recipe) -> Count | None:
    if recipe.it_set.max_tokens is None:
        return None
    from sinoner.corpus.chunk import counter
    from sinoner.itset.fit import remembering

    till = counter(recipe.corpus.tokenizer)
    # No text has more tokens than bytes, so the limit is never met.
    return remembering(lambda text: till(text, 4 * len(text) + 1) or 0)


# negative types --------------------------------------------------------------------------------------------------


def _negatives(run: Run, parts: Parts, at: At) -> dict[Lang, HardNegatives]:
    recipe, settings = run.recipe, run.recipe.it_set
    made = {}
    for lang in LANGS:
        misc = dropped_types(settings)
        sampler = NegativeSampler(parts.frequency[lang], settings.negatives, settings.max_negatives, misc)
        hard = settings.hard if settings.mode != "all" else 0.0
        labels, similar = Labels(), {}
        if hard and sampler.types:
            labels = Labels(a for a in _annotations(run, parts.train) if a.passage.lang == lang)
            similar = _similar(run, lang, sorted(sampler.types), at)
        made[lang] = HardNegatives(sampler, hard, similar, labels, recipe.seed)
    return made


def _similar(run: Run, lang: Lang, types: list[str], at: At) -> dict[str, tuple[str, ...]]:
    """For each type those with the most similar names, most similar first."""
    from sinoner.pipeline.vectors import vectors_of
    from sinoner.retrieve.nearest import nearest

    with vectors_of(run, lang, at, f"types {lang}") as store:
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
        self._waist = stack.enter_context(jsonl.AtomicFile(folder / waist))
        self._files: list[tuple[Writer, jsonl.AtomicFile]] = []
        self._write = export.ConversationWriter().write

    def add(self, built: Built) -> None:
        """Write what became of a passage."""
        if not self._files:
            self._files = [
                (writer(f), self._stack.enter_context(jsonl.AtomicFile(self._path(f)))) for f in self._formats
            ]
        written = [self._write(conversation) for conversation in built.conversations]
        for conversation in written:
            self._waist.write(conversation.record)
        for make, file in self._files:
            file.write(make.add(built, written))

    def end(self, tally: Tally) -> None:
        """Finish the files; those of other formats, of an earlier run, go."""
        for make, file in self._files:
            file.write(make.end())
            if isinstance(make, Gliner) and make.left_out:
                tally.make("occurrence not in GLiNER", make.left_out)
        written = self._formats if self._files else ()
        for other in FORMATS:
            if other not in written:
                self._path(other).unlink(missing_ok=True)

    @property
    def sharegpt(self) -> str | None:
        """The name of its ShareGPT file, if it has one."""
        return self._path("sharegpt").name if self._files and "sharegpt" in self._formats else None

    def _path(self, format: Format) -> Path:
        return self._folder / f"{self._part}{ENDINGS[format]}"


def _indexes(run: Run, parts: Mapping[str, _Part], frequency: Mapping[Lang, Counter[str]]) -> None:
    """LLaMA-Factory's index, and how often each type stands in the training passages."""
    folder = run.folder / IT_SET
    files = [(name, file) for name, part in parts.items() if (file := part.sharegpt)]
    if files:
        jsonl.write_json(folder / "dataset_info.json", export.dataset_info(run.recipe.name, files))
    else:
        (folder / "dataset_info.json").unlink(missing_ok=True)
    misc = dropped_types(run.recipe.it_set)
    total = sum(frequency.values(), Counter())
    asked = sorted(((t, n) for t, n in total.items() if not is_misc(t, misc)), key=lambda x: (-x[1], x[0]))
    jsonl.write_json(folder / "type2freq.json", dict(asked))


def _settings(recipe: Recipe) -> dict[str, Any]:
    """The settings that the set depends on; those of others only where they are used."""
    settings = recipe.it_set
    made = settings.model_dump(mode="json")
    if settings.max_tokens is not None:
        made["tokenizer"] = recipe.corpus.tokenizer
    if settings.hard:
        made["retrieve"] = settings_of(recipe.retrieve)
    return made


BUILD = Stage(
    name="build-it-set",
    inputs=lambda run: [
        run.folder / DECONTAMINATED,
        run.folder / NEIGHBOURS,
        *sources.files(run.recipe.retrieve),
    ],
    settings=_settings,
    outputs=(
        TRAIN,
        VALIDATION,
        f"{IT_SET}/dataset_info.json",
        f"{IT_SET}/type2freq.json",
        *(f"{IT_SET}/{part}{end}" for part in ("train", "validation") for end in ENDINGS.values()),
    ),
    work=_build,
    after="filter",
)
