"""Histograms of lengths and densities."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sinoner.bins import Histogram
from sinoner.quality.shape import ShapeCounter
from sinoner.records import Annotation, Annotator, Entity, Passage


def bins(values: list[float], histogram: Histogram) -> tuple[int, ...]:
    last = len(histogram.counts) - 1
    counts = Counter(min(int((v - histogram.low) // histogram.width), last) for v in values)
    return tuple(counts[i] for i in range(last + 1))


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 60)), max_size=20))
def test_every_passage_and_mention_is_in_its_bin(sizes: list[tuple[int, int]]) -> None:
    counter = ShapeCounter()
    lengths, densities, entities, mentions = [], [], [], []
    for i, (length, n) in enumerate(sizes):
        text = "𠮷" * length
        found = tuple(Entity(surface=text[: k % length + 1], type=str(k), starts=(0,)) for k in range(n))
        passage = Passage(id=f"d#{i}", text=text, source="s", lang="zh")
        counter.add(Annotation(passage=passage, entities=found, by=Annotator(source="model", model="m")))
        lengths.append(length)
        densities.append(100 * n / length)
        entities.append(n)
        mentions += [len(e.surface) for e in found]
    shape = counter.result()
    assert shape.lengths.counts == bins(lengths, shape.lengths)
    assert shape.densities.counts == bins(densities, shape.densities)
    assert shape.entities.counts == bins(entities, shape.entities)
    assert shape.mention_lengths.counts == bins(mentions, shape.mention_lengths)
