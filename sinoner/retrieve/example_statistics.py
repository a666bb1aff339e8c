"""Statistics of the retrieved examples: their number, similarity and reuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate

from sinoner.bins import Bins, Histogram
from sinoner.clip import clip
from sinoner.measurements import ExampleUse
from sinoner.records import Lang
from sinoner.retrieve.select import Entry
from sinoner.retrieve.strategy import Pool, Retrieved
from sinoner.settings import RetrieveSettings

_COSINES = (-1.0, 0.02, 100)  # of the histogram: lowest value, width and number of bins
_SCORES = (0.0, 5.0, 40)
_USES = (0.0, 1.0, 21)
_MOST_USED = 10
_BEGINNING = 80  # code points of a text that are kept


def usage(
    queries: Sequence[Entry],
    pool: Pool,
    retrieved: Retrieved,
    settings: RetrieveSettings,
    lang: Lang,
    *,
    embedder: str = "",
    cut: int = 0,
    benchmark: str = "",
) -> ExampleUse:
    """The statistics of the examples of one language.

    Args:
        queries: the passages.
        pool: the pool of the examples.
        retrieved: the examples, in the order of the queries.
        settings: the settings of the retrieval.
        lang: the language.
        embedder: name of the embedder.
        cut: number of texts whose end was not embedded.
        benchmark: the benchmark of the queries; empty for passages of the run.
    """
    numbers, times = Counter[int](), Counter[str]()
    entries = {e.id: e for e in pool.entries}
    shares: list[float] = []
    for query, found in zip(queries, retrieved.neighbours, strict=True):
        numbers[len(found.neighbours)] += 1
        times.update(found.neighbours)
        if query.types and found.neighbours:
            shown = {t for i in found.neighbours for t in entries[i].types}
            shares.append(sum(t in shown for t in query.types) / len(query.types))
    cosines = [c for n in retrieved.neighbours for c in n.cosine]
    scores = [s for n in retrieved.neighbours for s in n.bm25]
    ranked = sorted(times.items(), key=lambda x: (-x[1], x[0]))
    unused = [0] * (len(pool) - len(times)) if times else []
    return ExampleUse(
        lang=lang,
        benchmark=benchmark,
        strategy=settings.strategy,
        k=settings.k,
        embedder=embedder,
        method=retrieved.method,
        recall=round(retrieved.recall, 4),
        queries=len(queries),
        pool=len(pool),
        duplicates=pool.duplicates,
        by_number=tuple(numbers[n] for n in range(max(numbers, default=0) + 1)),
        below=sum(retrieved.below),
        short=sum(retrieved.short),
        cut=cut,
        cosine=_mean(cosines, 4),
        first=_mean([n.cosine[0] for n in retrieved.neighbours if n.cosine], 4),
        cosines=_histogram(cosines, *_COSINES),
        bm25=_mean(scores, 2),
        scores=_histogram(scores, *_SCORES),
        used=len(times),
        uses=_histogram([*times.values(), *unused], *_USES),
        half=_half([n for _, n in ranked]),
        most_used=tuple(ranked[:_MOST_USED]),
        most_used_texts=tuple(clip(entries[i].text, _BEGINNING) for i, _ in ranked[:_MOST_USED]),
        shared_types=_mean([100 * s for s in shares], 2),
    )


def _mean(values: Sequence[float], digits: int) -> float | None:
    return round(sum(values) / len(values), digits) if values else None


def _half(times: Sequence[int]) -> int:
    """How many of the values, largest first, make up half of the sum."""
    total = sum(times)
    return next((n for n, so_far in enumerate(accumulate(times), 1) if 2 * so_far >= total), 0)


def _histogram(values: Iterable[float], low: float, width: float, bins: int) -> Histogram:
    """The histogram of values, without counts if there are no values."""
    counted = Bins(low, width, bins)
    for value in values:
        counted.add(value)
    found = counted.histogram()
    return found if any(found.counts) else Histogram(low=low, width=width)
