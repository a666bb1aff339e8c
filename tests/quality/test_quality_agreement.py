"""Agreement: F1 against sets and nervaluate, alpha against its definition and published examples."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, pairwise, permutations
from typing import TypeVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nervaluate.evaluator import Evaluator

from sinoner.quality.agreement import CONTEXT, AgreementCounter
from sinoner.records import Annotation, Annotator, Entity, Lang, Passage

Mention = tuple[int, int, str]  # start, end, type
Work = Sequence[Sequence[Mention]]  # what each annotator names in a passage, in its order
TYPES = ("人名", "地点", "机构")
ROUNDING = 0.0051
T = TypeVar("T")


def annotation(text: str, mentions: Sequence[Mention], n: int = 0, lang: Lang = "zh") -> Annotation:
    return Annotation(
        passage=Passage(id=f"d{n}#0", text=text, source="s", lang=lang),
        entities=tuple(Entity(surface=text[s:e], type=t, starts=(s,)) for s, e, t in mentions),
        by=Annotator(source="model", model="m"),
    )


def added(passages: Sequence[tuple[str, Work]]) -> AgreementCounter:
    agreeing = AgreementCounter([f"a{i}" for i in range(len(passages[0][1]))])
    for n, (text, work) in enumerate(passages):
        agreeing.add([annotation(text, mentions, n) for mentions in work])
    return agreeing


# --- independent computations ---------------------------------------------------------------------------------


def label(mentions: Sequence[Mention], at: int) -> str | None:
    """The type of the longest mention that covers a character, the first named of equally long ones."""
    best: Mention | None = None
    for mention in mentions:
        covers = mention[0] <= at < mention[1]
        if covers and (best is None or mention[1] - mention[0] > best[1] - best[0]):
            best = mention
    return best and best[2]


def textbook_alpha(units: Sequence[Sequence[str | None]]) -> Fraction | None:
    """One minus observed by expected disagreement, each over all ordered pairs of values."""
    observed = Fraction(0)
    for unit in units:
        pairs = list(permutations(unit, 2))
        observed += Fraction(sum(a != b for a, b in pairs), len(pairs))
    values = [value for unit in units for value in unit]
    every = list(permutations(values, 2))
    expected = Fraction(sum(a != b for a, b in every), len(every))
    return 1 - observed / len(units) / expected if expected else None


def f1(a: set[tuple[object, ...]], b: set[tuple[object, ...]]) -> float:
    return 100 * 2 * len(a & b) / (len(a) + len(b)) if a or b else 100.0


def named(sets: Sequence[set[T]]) -> set[T]:
    return {x for one in sets for x in one}


def shared(sets: Sequence[set[T]]) -> set[T]:
    return {x for x in sets[0] if all(x in other for other in sets)}


def keyed(passages: Sequence[tuple[str, Work]], annotator: int) -> set[tuple[object, ...]]:
    return {(n, *mention) for n, (_, work) in enumerate(passages) for mention in work[annotator]}


@st.composite
def works(draw: st.DrawFn, most: int = 4) -> list[tuple[str, Work]]:
    """One to three passages with nested, crossing and multi-typed spans of two to four annotators."""
    count = draw(st.integers(2, most))
    passages: list[tuple[str, Work]] = []
    for _ in range(draw(st.integers(1, 3))):
        text = draw(st.text("王明在上海𠮷😀a ", min_size=1, max_size=9))
        ends = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)), st.sampled_from(TYPES))
        mention = ends.filter(lambda m: m[0] < m[1])
        shared = draw(st.lists(mention, max_size=3, unique=True))
        one = st.lists(
            st.one_of(mention, st.sampled_from(shared or [(0, 1, "人名")])), max_size=4, unique=True
        )
        passages.append((text, [draw(one) for _ in range(count)]))
    return passages


@given(works())
def test_alpha_is_its_definition(passages: list[tuple[str, Work]]) -> None:
    units = [[label(mentions, i) for mentions in work] for text, work in passages for i in range(len(text))]
    agreeing = added(passages)
    expected = textbook_alpha(units)
    if expected is None:
        assert agreeing.alpha() is None
    else:
        assert agreeing.alpha() == pytest.approx(float(expected), abs=0.000051)
    assert agreeing.result().alpha == agreeing.alpha()
    assert agreeing.result().characters == len(units)


@given(works())
def test_pairs_and_types_are_set_arithmetic(passages: list[tuple[str, Work]]) -> None:
    result = added(passages).result()
    given_by = [keyed(passages, i) for i in range(len(result.annotators))]
    pairs = list(combinations(range(len(given_by)), 2))
    assert [(p.a, p.b) for p in result.pairs] == [(f"a{a}", f"a{b}") for a, b in pairs]
    for got, (a, b) in zip(result.pairs, pairs, strict=True):
        assert got.passages == len(passages)
        assert got.f1 == pytest.approx(f1(given_by[a], given_by[b]), abs=ROUNDING)
        places = [{m[:3] for m in given_by[i]} for i in (a, b)]
        assert got.span_f1 == pytest.approx(f1(*places), abs=ROUNDING)
    everything = named(given_by)
    assert {t.type for t in result.types} == {str(m[3]) for m in everything}
    assert [(-t.mentions, t.type) for t in result.types] == sorted(
        (-t.mentions, t.type) for t in result.types
    )
    for kind in result.types:
        of_type = [{m for m in mentions if m[3] == kind.type} for mentions in given_by]
        assert kind.mentions == len(named(of_type))
        assert kind.unanimous == len(shared(of_type))
        scores = [f1(of_type[a], of_type[b]) for a, b in pairs if of_type[a] or of_type[b]]
        assert kind.f1 == pytest.approx(sum(scores) / len(scores), abs=2 * ROUNDING)
    unanimous = shared(given_by)
    assert result.disagreements == len(everything - unanimous)


@st.composite
def flat(draw: st.DrawFn) -> list[Mention]:
    cuts = sorted(draw(st.sets(st.integers(0, 20), max_size=8)))
    return [(s, e, draw(st.sampled_from(TYPES))) for s, e in pairwise(cuts) if draw(st.booleans())]


@given(st.lists(st.tuples(flat(), flat()), min_size=1, max_size=3))
def test_flat_pairs_are_strict_and_exact_of_nervaluate(
    work: list[tuple[list[Mention], list[Mention]]],
) -> None:
    assume(all(any(pair[side] for pair in work) for side in (0, 1)))
    ours = added([("王明在上海" * 4, pair) for pair in work]).result().pairs[0]

    def spans(side: int) -> list[list[dict[str, object]]]:
        return [[{"label": t, "start": s, "end": e - 1} for s, e, t in pair[side]] for pair in work]

    theirs = Evaluator(spans(0), spans(1), tags=list(TYPES), loader="dict").evaluate()["overall"]
    assert ours.f1 == pytest.approx(100 * theirs["strict"].f1, abs=ROUNDING)
    assert ours.span_f1 == pytest.approx(100 * theirs["exact"].f1, abs=ROUNDING)


# --- published examples: K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), sections A and B --------


def coded(*observers: str) -> AgreementCounter:
    """One character per unit; 0 is a character without a mention."""
    work = [[(i, i + 1, code) for i, code in enumerate(codes) if code != "0"] for codes in observers]
    return added([("字" * len(observers[0]), work)])


def test_two_observers_of_binary_data() -> None:
    assert coded("0100000010", "1110010000").alpha() == pytest.approx(0.095, abs=0.0005)


def test_two_observers_of_nominal_data() -> None:
    assert coded("aabbdcccedda", "babbbccceddd").alpha() == pytest.approx(0.692, abs=0.0005)


# --- cases by hand --------------------------------------------------------------------------------------------

TEXT = "王明在上海，王明很忙。"
MING, HAI = (0, 2, "人名"), (3, 5, "地点")


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_same_work_agrees(count: int) -> None:
    result = added([(TEXT, [[MING, HAI]] * count)]).result()
    assert [(p.f1, p.span_f1) for p in result.pairs] == [(100, 100)] * (count * (count - 1) // 2)
    assert (result.alpha, result.disagreements) == (1, 0)
    assert [(t.type, t.mentions, t.unanimous, t.f1) for t in result.types] == [
        ("人名", 1, 1, 100),
        ("地点", 1, 1, 100),
    ]


def test_nothing_in_common() -> None:
    result = added([(TEXT, [[MING], [HAI]])]).result()
    assert (result.pairs[0].f1, result.pairs[0].span_f1) == (0, 0)
    assert result.alpha is not None
    assert result.alpha < 0
    assert result.disagreements == 2


def test_the_same_span_with_another_type() -> None:
    result = added([(TEXT, [[HAI], [(3, 5, "城市")]])]).result()
    assert (result.pairs[0].f1, result.pairs[0].span_f1) == (0, 100)


def test_one_names_nothing() -> None:
    result = added([(TEXT, [[MING, HAI], []])]).result()
    assert (result.pairs[0].f1, result.pairs[0].span_f1) == (0, 0)
    assert [(t.type, t.unanimous, t.f1) for t in result.types] == [("人名", 0, 0), ("地点", 0, 0)]


def test_nobody_names_anything() -> None:
    result = added([(TEXT, [[], [], []])]).result()
    assert [p.f1 for p in result.pairs] == [100, 100, 100]
    assert result.alpha is None
    assert (result.types, result.disagreements, result.characters) == ((), 0, len(TEXT))


def test_all_carry_one_label() -> None:
    assert added([("上海", [[(0, 2, "地点")], [(0, 2, "地点")]])]).alpha() is None


def test_the_mean_of_a_type_leaves_out_pairs_that_do_not_use_it() -> None:
    (kind,) = added([(TEXT, [[MING], [MING], []])]).result().types
    assert (kind.mentions, kind.unanimous, kind.f1) == (1, 0, 33.33)  # 100, 0, 0
    (kind,) = added([(TEXT, [[MING], [], []])]).result().types
    assert kind.f1 == 0  # two pairs; the third uses no 人名 and is not counted as 100


def test_characters_outside_the_basic_plane_are_one() -> None:
    text = "𠮷野家在😀街"
    (row,) = (agreeing := AgreementCounter(["x", "y"])).add(
        [annotation(text, [(0, 3, "机构"), (4, 6, "地点")]), annotation(text, [(0, 3, "机构")])]
    )
    assert (row.start, row.end, row.left, row.surface, row.right) == (4, 6, "𠮷野家在", "😀街", "")
    assert agreeing.result().characters == 6
    units = [["机构"] * 2] * 3 + [[None] * 2] + [["地点", None]] * 2
    assert agreeing.alpha() == round(float(textbook_alpha(units) or 0), 4)


def test_the_longest_mention_labels_a_character() -> None:
    outer, inner = (0, 4, "机构"), (0, 2, "地点")
    assert added([("北京大学好", [[inner, outer], [outer]])]).alpha() == 1
    assert added([("北京大学好", [[inner, outer], [inner]])]).alpha() != 1


def test_of_equally_long_ones_the_first_named_counts() -> None:
    both = [(0, 2, "地点"), (0, 2, "城市")]
    assert added([("上海好", [both, [(0, 2, "地点")]])]).alpha() == 1
    assert added([("上海好", [both, [(0, 2, "城市")]])]).alpha() != 1
    crossing = [(0, 2, "甲"), (1, 3, "乙")]
    assert added([("一二三四", [crossing, [(0, 2, "甲"), (2, 3, "乙")]])]).alpha() == 1


def test_what_not_all_annotated_is_left_out_and_counted() -> None:
    agreeing = AgreementCounter(["x", "y", "z"])
    one = annotation(TEXT, [MING])
    assert agreeing.add([one, None, annotation(TEXT, [])]) == []
    assert agreeing.add([None, None, None]) == []
    before = agreeing.result()
    assert (before.passages, before.left_out, before.characters, before.types) == (0, 2, 0, ())
    assert len(agreeing.add([one, one, annotation(TEXT, [])])) == 1
    after = agreeing.result()
    assert (after.passages, after.left_out, after.characters) == (1, 2, len(TEXT))
    assert {p.passages for p in after.pairs} == {1}


def test_types_are_compared_by_their_canonical_names_in_one_language() -> None:
    asked: list[tuple[str, Lang]] = []

    def canonical(name: str, lang: Lang) -> str:
        asked.append((name, lang))
        return {"PERSON": "人名", "人物": "人名"}.get(name, name)

    agreeing = AgreementCounter(["x", "y"], canonical)
    mine, gold = annotation(TEXT, [(0, 2, "人物")]), annotation(TEXT, [(0, 2, "PERSON")], lang="en")
    assert agreeing.add([mine, gold]) == []
    assert agreeing.result().pairs[0].f1 == 100
    assert [t.type for t in agreeing.result().types] == ["人名"]
    assert asked == [("人物", "zh"), ("PERSON", "zh")]
    raw = AgreementCounter(["x", "y"])
    assert len(raw.add([mine, gold])) == 1


def test_two_names_of_one_type_on_a_span_are_one_decision() -> None:
    agreeing = AgreementCounter(["x", "y"], lambda name, lang: "人名")
    assert agreeing.add([annotation(TEXT, [(0, 2, "人物"), (0, 2, "姓名")]), annotation(TEXT, [MING])]) == []
    assert agreeing.result().pairs[0].f1 == 100


def test_every_occurrence_is_a_decision() -> None:
    everywhere = Annotation(
        passage=annotation(TEXT, []).passage,
        entities=(Entity(surface="王明", type="人名", starts=(0, 6)),),
        by=Annotator(source="model", model="m"),
    )
    agreeing = AgreementCounter(["x", "y"])
    (row,) = agreeing.add([everywhere, annotation(TEXT, [MING])])
    assert (row.start, row.surface, row.votes) == (6, "王明", {"x": "人名", "y": ""})
    assert agreeing.result().pairs[0].f1 == 66.67


# --- disagreements ---------------------------------------------------------------------------------------------


@given(works())
def test_disagreements_are_what_not_all_share(passages: list[tuple[str, Work]]) -> None:
    names = [f"a{i}" for i in range(len(passages[0][1]))]
    agreeing = AgreementCounter(names)
    decisions = 0
    for n, (text, work) in enumerate(passages):
        rows = agreeing.add([annotation(text, mentions, n) for mentions in work])
        sets = [set(mentions) for mentions in work]
        unanimous = shared(sets)
        open_ones = named(sets) - unanimous
        decisions += len(open_ones)
        places = [(row.start, row.end) for row in rows]
        assert places == sorted({m[:2] for m in open_ones})
        for row in rows:
            assert row.id == f"d{n}#0"
            assert row.left + row.surface + row.right == text
            assert list(row.votes) == names
            for name, mentions in zip(names, work, strict=True):
                said = {t for s, e, t in mentions if (s, e) == (row.start, row.end)}
                assert set(row.votes[name].split("|")) - {""} == said
    assert agreeing.result().disagreements == decisions


def test_the_context_is_cut_on_both_sides() -> None:
    text = "左" * 50 + "上海" + "右" * 40
    (row,) = AgreementCounter(["x", "y"]).add([annotation(text, [(50, 52, "地点")]), annotation(text, [])])
    assert (row.left, row.surface, row.right) == ("左" * CONTEXT, "上海", "右" * CONTEXT)
    (row,) = AgreementCounter(["x", "y"]).add([annotation(text, [(1, 2, "地点")]), annotation(text, [])])
    assert (row.left, len(row.right)) == ("左", CONTEXT)
    (row,) = AgreementCounter(["x", "y"]).add([annotation(text, []), annotation(text, [(90, 92, "地点")])])
    assert (len(row.left), row.right, row.votes) == (CONTEXT, "", {"x": "", "y": "地点"})


def test_all_types_of_a_span_are_told() -> None:
    both = [(3, 5, "地点"), (3, 5, "城市")]
    (row,) = (agreeing := AgreementCounter(["x", "y"])).add(
        [annotation(TEXT, both), annotation(TEXT, both[:1])]
    )
    assert row.votes == {"x": "地点|城市", "y": "地点"}
    assert agreeing.result().disagreements == 1
