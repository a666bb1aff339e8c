"""Which examples a passage gets: the nearest, random ones, or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from sinoner.records import Lang, Neighbours, Passage
from sinoner.retrieve.embed import embedder
from sinoner.retrieve.nearest import nearest
from sinoner.settings import RetrieveSettings


def retrieve(
    queries: Sequence[Passage], pool: Sequence[Passage], settings: RetrieveSettings, seed: int
) -> Iterator[Neighbours]:
    """The examples of every query, found in the pool of its language; a passage is never its own example.

    Args:
        queries: passages that want examples.
        pool: passages that may serve.
        settings: strategy, k and embedder.
        seed: seed of the random strategy; every passage has its own stream.

    Returns:
        One record per query, in input order.
    """
    found: dict[str, Neighbours] = {}
    langs: list[Lang] = ["zh", "en"]
    for lang in langs:
        wanted = [p for p in queries if p.lang == lang]
        own = [p for p in pool if p.lang == lang]
        for neighbours in _retrieve(wanted, own, settings, seed, lang) if wanted else ():
            found[neighbours.id] = neighbours
    for passage in queries:
        yield found[passage.id]


def _retrieve(
    queries: Sequence[Passage], pool: Sequence[Passage], settings: RetrieveSettings, seed: int, lang: Lang
) -> Iterator[Neighbours]:
    if settings.strategy == "none" or settings.k == 0 or not pool:
        for passage in queries:
            yield Neighbours(id=passage.id)
        return
    if settings.strategy == "random":
        ids = sorted(p.id for p in pool)
        for passage in queries:
            others = [i for i in ids if i != passage.id]
            chosen = Random(f"{seed}:{passage.id}").sample(others, min(settings.k, len(others)))
            yield Neighbours(id=passage.id, neighbours=tuple(chosen))
        return
    model = embedder(settings, lang)
    texts = {p.id: p.text for p in [*pool, *queries]}  # what is both in the pool and asked is embedded once
    row = {identifier: i for i, identifier in enumerate(texts)}
    vectors = model.encode(list(texts.values()))
    wanted, own = [p.id for p in queries], [p.id for p in pool]
    hits = nearest(vectors[[row[i] for i in wanted]], wanted, vectors[[row[i] for i in own]], own, settings.k)
    for passage, hit in zip(queries, hits, strict=True):
        yield Neighbours(
            id=passage.id,
            neighbours=tuple(i for i, _ in hit),
            cosine=tuple(round(min(s, 1.0), 6) for _, s in hit),
        )
