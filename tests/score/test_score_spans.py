"""Spans against gold: nervaluate, seqeval and brute force on random spans, and nested cases by hand."""

from collections import Counter
from itertools import permutations
from random import Random
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervaluate.evaluator import Evaluator
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2

from sinoner.measurements import SpanScore
from sinoner.records import Entity
from sinoner.score.bootstrap import interval
from sinoner.score.spans import SCHEMES, Matches, Span, SpanCounts, match, spans

TYPES = ("PER", "LOC", "ORG")
THEIR_NAMES = {"strict": "strict", "exact": "span", "ent_type": "type", "partial": "relaxed"}
NAMES = {"地点名称": "地点", "地名": "地点", "place": "地点", "人名": "人物"}


@st.composite
def flat(draw: st.DrawFn, size: int = 24) -> set[Span]:
    """Spans that do not overlap each other."""
    cuts = sorted(draw(st.sets(st.integers(0, size), max_size=10)))
    return {
        Span(a, b, draw(st.sampled_from(TYPES)))
        for a, b in zip(cuts[::2], cuts[1::2], strict=False)
    }  # fmt: skip


ANY = st.sets(
    st.tuples(st.integers(0, 8), st.integers(1, 5), st.sampled_from(TYPES)).map(
        lambda x: Span(x[0], x[0] + x[1], x[2])
    ),
    max_size=5,
)
PASSAGES = st.lists(st.tuples(flat(), flat()), min_size=1, max_size=4)


def overlap(a: Span, b: Span) -> bool:
    return bool(set(range(*a[:2])) & set(range(*b[:2])))


def one_to_one(gold: set[Span], predicted: set[Span]) -> bool:
    """Whether no mention overlaps two of the other side."""
    return all(sum(overlap(a, b) for b in predicted) < 2 for a in gold) and all(
        sum(overlap(a, b) for a in gold) < 2 for b in predicted
    )


def ours(passages: list[tuple[set[Span], set[Span]]], resamples: int = 0) -> dict[str, SpanScore]:
    counts = SpanCounts()
    for gold, predicted in passages:
        counts.add(gold, predicted, "zh")
    return {s.scheme: s for s in counts.scores(resamples, 42)}


def theirs(passages: list[tuple[set[Span], set[Span]]]) -> dict[str, Any]:
    """The results of nervaluate, under our names; its ends are inclusive."""
    sides = [
        [[{"label": t, "start": a, "end": b - 1} for a, b, t in sorted(p[side])] for p in passages]
        for side in (0, 1)
    ]
    found = Evaluator(sides[0], sides[1], tags=list(TYPES), loader="dict").evaluate()["overall"]
    return {ours_: found[name] for name, ours_ in THEIR_NAMES.items()}


# against others ----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(flat(), flat()).filter(lambda p: one_to_one(*p)), min_size=1, max_size=4))
def test_equals_nervaluate_one_to_one(passages: list[tuple[set[Span], set[Span]]]) -> None:
    found, other = ours(passages), theirs(passages)
    for scheme in SCHEMES:
        assert found[scheme].gold == other[scheme].possible
        assert found[scheme].predicted == other[scheme].actual
        assert found[scheme].correct == other[scheme].correct + 0.5 * other[scheme].partial * (
            scheme == "relaxed"
        )
        assert found[scheme].precision == pytest.approx(100 * other[scheme].precision, abs=0.006)
        assert found[scheme].recall == pytest.approx(100 * other[scheme].recall, abs=0.006)
        assert found[scheme].f1 == pytest.approx(100 * other[scheme].f1, abs=0.006)


@given(PASSAGES)
def test_never_finds_less_than_nervaluate_by_strict_and_span(
    passages: list[tuple[set[Span], set[Span]]],
) -> None:
    found, other = ours(passages), theirs(passages)
    for scheme in ("strict", "span"):
        assert found[scheme].correct >= other[scheme].correct


def test_an_inexact_mention_does_not_use_up_a_gold_one_as_in_nervaluate() -> None:
    gold, predicted = {Span(0, 6, "PER")}, {Span(0, 2, "LOC"), Span(0, 6, "PER")}
    assert ours([(gold, predicted)])["strict"].correct == 1
    assert theirs([(gold, predicted)])["strict"].correct == 0


@given(PASSAGES)
def test_strict_equals_seqeval(passages: list[tuple[set[Span], set[Span]]]) -> None:
    def tags(found: set[Span]) -> list[str]:
        row = ["O"] * 25
        for a, b, kind in found:
            row[a:b] = [f"B-{kind}"] + [f"I-{kind}"] * (b - a - 1)
        return row

    precision, recall, f1, _ = precision_recall_fscore_support(
        [tags(g) for g, _ in passages], [tags(p) for _, p in passages],
        average="micro", scheme=IOB2, zero_division=0,
    )  # fmt: skip
    strict = ours(passages)["strict"]
    assert (strict.precision, strict.recall, strict.f1) == pytest.approx(
        (100 * precision, 100 * recall, 100 * f1), abs=0.006
    )


# by brute force ----------------------------------------------------------------------------------------------------


def most(gold: set[Span], predicted: set[Span], same: Any) -> int:
    """The most pairs any one-to-one matching reaches, by trying all."""
    a, b = sorted((sorted(gold), sorted(predicted)), key=len)
    return max((sum(map(same, a, order)) for order in permutations(b, len(a))), default=0)


@given(ANY, ANY)
def test_strict_and_span_are_the_best_matchings_also_where_spans_nest(
    gold: set[Span], predicted: set[Span]
) -> None:
    found = match(gold, predicted)
    assert found.strict == most(gold, predicted, lambda a, b: a == b)
    assert found.span == most(gold, predicted, lambda a, b: a[:2] == b[:2])


@given(ANY, ANY)
def test_bounds_and_symmetry(gold: set[Span], predicted: set[Span]) -> None:
    found = match(gold, predicted)
    assert (found.gold, found.predicted) == (len(gold), len(predicted))
    assert found.strict <= found.span <= found.relaxed <= min(len(gold), len(predicted))
    assert (
        found.strict <= found.type <= most(gold, predicted, lambda a, b: a.type == b.type and overlap(a, b))
    )
    half = found.span + 0.5 * (most(gold, predicted, overlap) - found.span)
    assert found.relaxed <= half
    pairs = [(a, b) for a in gold for b in predicted if overlap(a, b)]
    assert (found.relaxed > 0) == bool(pairs)
    assert (found.type > 0) == any(a.type == b.type for a, b in pairs)
    perfect = match(gold, gold)
    assert perfect == Matches(len(gold), len(gold), len(gold), len(gold), len(gold), len(gold))


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        # 北京大学 nested: the organisation and the place in it, both found
        ([(0, 4, "ORG"), (0, 2, "LOC")], [(0, 2, "LOC"), (0, 4, "ORG")], (2, 2, 2, 2)),
        # only the inner one, under the outer one's type: its span is right, and it overlaps the outer one
        ([(0, 4, "ORG"), (0, 2, "LOC")], [(0, 2, "ORG")], (0, 1, 1, 1)),
        # two types of one span, one of them found
        ([(0, 2, "LOC"), (0, 2, "GPE")], [(0, 2, "GPE")], (1, 1, 1, 1)),
        # one gold mention, two types claimed: counted once
        ([(0, 2, "LOC")], [(0, 2, "GPE"), (0, 2, "LOC")], (1, 1, 1, 1)),
        ([(0, 2, "LOC")], [(0, 2, "GPE"), (0, 2, "ORG")], (0, 1, 0, 1)),
        # a long one over two gold ones counts for one of them
        ([(0, 2, "LOC"), (2, 4, "LOC")], [(0, 4, "LOC")], (0, 0, 1, 0.5)),
        # two parts of a gold one: one of them counts
        ([(0, 4, "LOC")], [(0, 2, "LOC"), (2, 4, "LOC")], (0, 0, 1, 0.5)),
        # touching is not overlapping
        ([(0, 2, "LOC")], [(2, 4, "LOC")], (0, 0, 0, 0)),
        # the exact one first, although the other overlaps more of the text
        ([(0, 4, "LOC")], [(0, 9, "LOC"), (0, 4, "LOC")], (1, 1, 1, 1)),
        # the largest overlap first: (2, 8) goes to (3, 9), so (0, 3) is left for (0, 2)
        ([(0, 3, "LOC"), (3, 9, "LOC")], [(0, 2, "LOC"), (2, 8, "LOC")], (0, 0, 2, 1)),
        # crossing, of another type
        ([(0, 4, "ORG")], [(2, 6, "PER")], (0, 0, 0, 0.5)),
        ([], [(0, 2, "LOC")], (0, 0, 0, 0)),
        ([(0, 2, "LOC")], [], (0, 0, 0, 0)),
        ([], [], (0, 0, 0, 0)),
    ],
)
def test_by_hand(
    gold: list[tuple[int, int, str]], predicted: list[tuple[int, int, str]], expected: tuple[float, ...]
) -> None:
    found = match({Span(*s) for s in gold}, {Span(*s) for s in predicted})
    assert found[2:] == expected


# entities, types and intervals -------------------------------------------------------------------------------------


def test_an_entity_with_several_occurrences_is_several_mentions() -> None:
    entity = Entity(surface="北京", type="地点", starts=(0, 7))
    assert spans([entity]) == [(0, 2, "地点"), (7, 9, "地点")]
    assert spans([entity], shift=10) == [(10, 12, "地点"), (17, 19, "地点")]


def test_repeats_count_once() -> None:
    counts = SpanCounts()
    found = counts.add([Span(0, 2, "地点")] * 2, [Span(0, 2, "地点")] * 3, "zh")
    assert found == (1, 1, 1, 1, 1, 1)


def test_types_are_compared_as_written_without_a_table() -> None:
    counts = SpanCounts()
    counts.add([Span(0, 2, "地点名称")], [Span(0, 2, "地名")], "zh")
    assert [s.correct for s in counts.scores(0, 1)] == [0, 1, 0, 1]
    assert [(t.type, t.gold, t.predicted) for t in counts.types()] == [("地点名称", 1, 0), ("地名", 0, 1)]


def test_types_are_compared_through_a_table_and_called_as_gold_calls_them() -> None:
    counts = SpanCounts(lambda kind, lang: NAMES.get(kind) if lang == "zh" else None)
    found = counts.add(
        [Span(0, 2, "地点名称"), Span(3, 5, "人名"), Span(6, 8, "产品")],
        [Span(0, 2, "地名"), Span(0, 2, "place"), Span(3, 5, "人名"), Span(6, 8, "品牌")], "zh",
    )  # fmt: skip
    assert found == (3, 3, 2, 3, 2, 3)  # two names of one type on one span are one mention
    assert [(t.type, t.gold, t.predicted, t.correct) for t in counts.types()] == [
        ("人名", 1, 1, 1), ("地点名称", 1, 1, 1), ("产品", 1, 0, 0), ("品牌", 0, 1, 0),
    ]  # fmt: skip
    assert counts.merged() == ()
    assert counts.add([Span(0, 2, "地点名称")], [Span(0, 2, "place")], "en").strict == 0


def test_gold_types_that_the_table_takes_for_one_are_told() -> None:
    counts = SpanCounts(lambda kind, lang: NAMES.get(kind))
    counts.add([Span(0, 2, "地点名称"), Span(3, 5, "地名")], [Span(0, 2, "地名")], "zh")
    assert counts.merged() == (("地点名称", "地名"),)
    assert [(t.type, t.gold, t.correct) for t in counts.types()] == [("地点", 2, 1)]


@given(st.lists(st.tuples(ANY, ANY), min_size=1, max_size=4))
def test_the_types_sum_up_to_strict(passages: list[tuple[set[Span], set[Span]]]) -> None:
    counts = SpanCounts()
    for gold, predicted in passages:
        counts.add(gold, predicted, "zh")
    strict = counts.scores(0, 1)[0]
    types = counts.types()
    assert sum(t.gold for t in types) == strict.gold
    assert sum(t.predicted for t in types) == strict.predicted
    assert sum(t.correct for t in types) == strict.correct
    assert Counter(t.type for t in types) == Counter({s.type for p in passages for side in p for s in side})


def test_intervals_are_those_of_each_scheme_alone() -> None:
    random = Random(3)
    passages = [
        ({Span(i * 9, i * 9 + random.randint(1, 3), random.choice(TYPES)) for i in range(4)},
         {Span(i * 9, i * 9 + random.randint(1, 3), random.choice(TYPES)) for i in range(random.randint(1, 4))})
        for _ in range(60)
    ]  # fmt: skip
    found = ours(passages, resamples=300)
    for column, scheme in enumerate(SCHEMES, 2):
        rows = [match(*p) for p in passages]
        alone = interval([(r[0], r[1], r[column]) for r in rows], 300, 42)
        score = found[scheme]
        assert (score.low, score.high) == alone
        assert score.low is not None and score.high is not None
        assert score.low < score.f1 < score.high
    assert ours(passages)["strict"].low is None


def test_nothing_counted() -> None:
    scores = SpanCounts().scores(100, 42)
    assert [(s.scheme, s.gold, s.f1, s.low) for s in scores] == [(scheme, 0, 0.0, None) for scheme in SCHEMES]
    assert SpanCounts().types() == ()


def test_a_passage_with_very_many_mentions() -> None:
    gold = {Span(i, i + 3, "LOC") for i in range(0, 40_000, 4)}
    begin = perf_counter()
    found = match(gold, {Span(a + 1, b + 1, kind) for a, b, kind in gold})
    assert found == (10_000, 10_000, 0, 0, 10_000, 5_000)
    assert perf_counter() - begin < 5  # quadratic work would take minutes
