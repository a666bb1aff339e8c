"""Nested and crossing mentions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.quality.overlap import without_overlap
from sinoner.records import Entity

TEXT = "abcdefghij"


def entity(start: int, end: int, kind: str = "t") -> Entity:
    return Entity(surface=TEXT[start:end], type=kind, starts=(start,))


@pytest.mark.parametrize(("policy", "expected"), [("outermost", ["abcd", "fg"]), ("innermost", ["bc", "fg"])])
def test_one_of_nested_mentions_stays(policy: str, expected: list[str]) -> None:
    kept, lost, fewer = without_overlap([entity(1, 3), entity(0, 4), entity(5, 7)], policy)
    assert sorted(e.surface for e in kept) == expected
    assert len(lost) == 1
    assert fewer == 0


def test_two_types_of_one_place_stay_together() -> None:
    both = [entity(0, 4, "a"), entity(0, 4, "b"), entity(1, 2)]
    assert without_overlap(both, "outermost")[0] == both[:2]


def test_an_entity_keeps_its_free_places() -> None:
    inner = Entity(surface="b", type="t", starts=(1, 8))
    kept, lost, fewer = without_overlap([inner, entity(0, 4)], "outermost")
    assert kept[0].starts == (8,)
    assert (lost, fewer) == ([], 1)


spans = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 10), st.sampled_from("ab")).filter(lambda s: s[0] < s[1]),
    max_size=8,
    unique=True,
)


@given(spans, st.sampled_from(["outermost", "innermost"]))
def test_nothing_overlaps_and_nothing_is_lost_for_nothing(
    found: list[tuple[int, int, str]], policy: str
) -> None:
    entities = [entity(*span) for span in found]
    kept, lost, _ = without_overlap(entities, policy)
    assert sorted(map(str, [*kept, *lost])) == sorted(map(str, entities))
    places = {(e.starts[0], e.starts[0] + len(e.surface)) for e in kept}
    assert all(a == b or a[1] <= b[0] or b[1] <= a[0] for a in places for b in places)
    for gone in lost:  # something longer, shorter or earlier stands in its way
        start, end = gone.starts[0], gone.starts[0] + len(gone.surface)
        in_the_way = [p for p in places if p[0] < end and start < p[1] and p != (start, end)]
        assert in_the_way
        size = end - start
        sizes = [b - a for a, b in in_the_way]
        assert max(sizes) >= size if policy == "outermost" else min(sizes) <= size


def test_what_does_not_overlap_is_untouched() -> None:
    apart = [entity(0, 2), entity(2, 4)]
    assert without_overlap(apart, "innermost") == (apart, [], 0)
