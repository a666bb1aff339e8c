"""The metric of UniversalNER against an independent implementation, and the strict span metric."""

import json
import string
from collections.abc import Iterable
from fractions import Fraction
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_metric import reference_parse

from sinoner.records import HUMAN, Annotation, Entity, Passage, Prediction
from sinoner.score.f1 import Counts, count, normalise, percent, query_counts, strict_counts

WORDS = st.text(alphabet="aAnNtThHeE -'.,_！中é1İß\n\t", max_size=16)


def plain_normalise(text: str) -> str:
    """The metric's normalisation, character by character: no regular expression, no translation table."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    runs = ("".join(run) for _, run in groupby(kept, key=str.isalnum))
    words = "".join(" " if run in ("a", "an", "the") else run for run in runs)
    return " ".join(words.split())


def plain_f1(pairs: Iterable[tuple[list[str], list[str]]]) -> tuple[float, float, float]:
    """Micro scores over (gold, predicted) queries, in exact fractions."""
    true = false = missed = 0
    for gold, predicted in pairs:
        wanted, given_ = {plain_normalise(g) for g in gold}, {plain_normalise(p) for p in predicted}
        true += sum(p in wanted for p in given_)
        false += sum(p not in wanted for p in given_)
        missed += sum(g not in given_ for g in wanted)
    precision = Fraction(true, true + false) if true + false else Fraction(0)
    recall = Fraction(true, true + missed) if true + missed else Fraction(0)
    f1 = Fraction(2 * true, 2 * true + false + missed) if true else Fraction(0)
    return float(100 * precision), float(100 * recall), float(100 * f1)


@given(WORDS | st.text(max_size=12))
def test_normalise_equals_the_plain_one(text: str) -> None:
    assert normalise(text) == plain_normalise(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  New York Times", "new york times"),
        ("U.S.A.", "usa"),
        ("An apple a day", "apple day"),
        ("theatre", "theatre"),
        ("《红楼梦》，", "《红楼梦》，"),  # only ASCII punctuation goes
        ("GB[2008]12号", "gb200812号"),
        ("…the…", "… …"),
        ("the", ""),
    ],
)
def test_normalise_by_hand(text: str, normal: str) -> None:
    assert normalise(text) == normal


@given(st.lists(st.tuples(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4)), max_size=6))
def test_micro_scores_equal_the_plain_ones(pairs: list[tuple[list[str], list[str]]]) -> None:
    total = sum((query_counts(g, p) for g, p in pairs), Counts(0, 0, 0))
    for ours, plain in zip(percent(total), plain_f1(pairs), strict=True):
        assert ours == pytest.approx(plain, abs=0.005001)  # ours are rounded to two decimals


@pytest.mark.parametrize(
    ("gold", "predicted", "counts"),
    [
        (["北京"], ["北京"], (1, 1, 1)),
        (["北京", "上海"], ["北京"], (2, 1, 1)),
        (["北京"], ["上海"], (1, 1, 0)),
        ([], ["上海"], (0, 1, 0)),
        ([], [], (0, 0, 0)),
        (["The Times", "times"], ["TIMES!", "a times"], (1, 1, 1)),  # without repeats after normalising
        (["北京"], ["北京 "], (1, 1, 1)),
        (["北京"], ["北京，"], (1, 1, 0)),
    ],
)
def test_query_counts_by_hand(gold: list[str], predicted: list[str], counts: tuple[int, int, int]) -> None:
    assert query_counts(gold, predicted) == counts


@pytest.mark.parametrize(
    ("counts", "scores"),
    [
        ((4, 2, 1), (50.0, 25.0, 33.33)),
        ((3, 3, 3), (100.0, 100.0, 100.0)),
        ((3, 7, 2), (28.57, 66.67, 40.0)),
        ((0, 5, 0), (0.0, 0.0, 0.0)),
        ((5, 0, 0), (0.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
    ],
)
def test_percent_by_hand(counts: tuple[int, int, int], scores: tuple[float, float, float]) -> None:
    assert percent(Counts(*counts)) == scores


def test_counts_add_as_counts_only() -> None:
    assert Counts(1, 2, 3) + Counts(4, 5, 6) == Counts(5, 7, 9)
    with pytest.raises(TypeError):
        sum([Counts(1, 2, 3)])  # starts at 0


@pytest.mark.parametrize(
    ("answer", "surfaces"),
    [
        ('["北京", "上海"]', ["北京", "上海"]),
        ("[]", []),
        ("没有", []),
        ("", []),
        ('好的：["A Dog", "dog!"] []', ["dog"]),
        ('["GB[2008]12号"]', None),  # cut at the first ]
        ('[""好""]', None),
        ('["a\nb"]', None),
        ('["北京", 3, null]', ["北京"]),
    ],
)
def test_reference_parse_by_hand(answer: str, surfaces: list[str] | None) -> None:
    assert reference_parse(answer) == surfaces


@given(
    st.lists(st.text(alphabet=st.characters(exclude_characters="]", exclude_categories=["Cs"])), max_size=5)
)
def test_reference_parse_reads_what_json_writes(surfaces: list[str]) -> None:
    expected = list(dict.fromkeys(plain_normalise(s) for s in surfaces))
    assert reference_parse(json.dumps(surfaces, ensure_ascii=False)) == expected


# spans -----------------------------------------------------------------------------------------------------------


def annotation(text: str, *entities: tuple[str, str, tuple[int, ...]], id: str = "p#0") -> Annotation:
    made = tuple(Entity(surface=s, type=t, starts=at) for s, t, at in entities)
    return Annotation(passage=Passage(id=id, text=text, source="s", lang="zh"), entities=made, by=HUMAN)


@pytest.mark.parametrize(
    ("predicted", "counts"),
    [
        (["北京"], (2, 2, 2)),
        (["北京", "北京"], (2, 2, 2)),
        (["京"], (2, 2, 0)),
        (["Beijing"], (2, 1, 0)),  # not in the passage: one wrong span
        (["北京 "], (2, 1, 0)),  # nothing is normalised
        ([""], (2, 1, 0)),
        ([], (2, 0, 0)),
        (["北京", "上海"], (2, 3, 2)),
    ],
)
def test_strict_counts_by_hand(predicted: list[str], counts: tuple[int, int, int]) -> None:
    about = annotation("北京和上海，北京", ("北京", "地点", (0, 6)), ("上海", "城市", (3,)))
    assert strict_counts(about, "地点", predicted) == counts


def test_strict_counts_annotated_occurrences_only() -> None:
    about = annotation("北京和上海，北京", ("北京", "地点", (6,)))
    assert strict_counts(about, "地点", ["北京"]) == (1, 2, 1)
    assert strict_counts(about, "人名", ["北京"]) == (0, 2, 0)


def test_count_over_passages_and_types() -> None:
    gold = [
        annotation("The Times在北京", ("The Times", "组织", (0,)), ("北京", "地点", (10,)), id="a#0"),
        annotation("无", id="b#0"),
    ]
    told = {
        ("a#0", "组织"): ("times",), ("a#0", "地点"): ("北京", "Times"), ("b#0", "组织"): (), ("b#0", "地点"): ("无",),
    }  # fmt: skip
    predictions = {
        (p, t): Prediction(id=f"{p}|{t}", passage=p, type=t, raw="", surfaces=s) for (p, t), s in told.items()
    }
    scored = count(gold, ["组织", "地点"], predictions)
    assert scored.reference == [(2, 3, 2), (0, 1, 0)]
    assert scored.strict == [(2, 3, 1), (0, 1, 0)]
    del predictions["b#0", "地点"]
    with pytest.raises(KeyError):
        count(gold, ["组织", "地点"], predictions)
