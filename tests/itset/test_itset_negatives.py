"""Negative types: never a positive, never twice, weighted by frequency."""

import hashlib
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.itset.negatives import (
    EMPTY_NEGATIVES,
    NegativeSampler,
    dropped_types,
    is_misc,
    without_misc,
)
from sinoner.records import Annotation, Annotator, Entity, Passage
from sinoner.settings import ItSetSettings
from sinoner.settings.itset_section import MISC_TYPES

FREQUENCY = {"人名": 50, "地点": 30, "组织": 15, "产品": 4, "疾病": 1}


@given(
    st.dictionaries(st.text(min_size=1), st.integers(1, 10**6), max_size=12),
    st.data(),
    st.floats(0, 1),
    st.integers(),
)
def test_never_a_positive_and_no_repeats(
    frequency: dict[str, int], data: st.DataObject, chance: float, seed: int
) -> None:
    known = st.sampled_from(sorted(frequency)) if frequency else st.nothing()
    positives = data.draw(st.lists(known | st.text(min_size=1), max_size=8, unique=True))
    drawn = NegativeSampler(frequency, chance).draw(positives, Random(seed))
    assert len(set(drawn)) == len(drawn)
    assert not set(drawn) & set(positives)
    assert set(drawn) <= set(frequency)
    assert len(drawn) <= (len(positives) or EMPTY_NEGATIVES)


def test_chance_of_zero_and_one() -> None:
    assert NegativeSampler(FREQUENCY, 0.0).draw(["人名", "地点"], Random(1)) == []
    assert len(NegativeSampler(FREQUENCY, 1.0).draw(["人名", "地点"], Random(1))) == 2


def test_the_number_is_binomial() -> None:
    frequency = {str(i): 1 for i in range(20)}
    sampler = NegativeSampler(frequency, 0.5)
    sizes = Counter(len(sampler.draw(list("0123"), Random(i))) for i in range(3200))
    expected = {n: 3200 * p / 16 for n, p in enumerate((1, 4, 6, 4, 1))}
    assert sum((sizes[n] - e) ** 2 / e for n, e in expected.items()) < 18.47  # chi-square, 4 d.f., p = 0.001


@pytest.mark.parametrize("positive", ["产品", "人名"])
def test_weighted_by_frequency(positive: str) -> None:
    sampler = NegativeSampler(FREQUENCY, 1.0)
    counts = Counter(sampler.draw([positive], Random(i))[0] for i in range(4000))
    rest = {t: w for t, w in FREQUENCY.items() if t != positive}
    expected = {t: 4000 * w / sum(rest.values()) for t, w in rest.items()}
    assert set(counts) == set(rest)
    assert sum((counts[t] - e) ** 2 / e for t, e in expected.items()) < 16.27  # chi-square, 3 d.f., p = 0.001


def test_second_draw_is_weighted_too() -> None:
    """With two of three types drawn, the pair without type t has the chance of successive draws."""
    weights = {"a": 6, "b": 3, "c": 1}
    sampler = NegativeSampler(weights, 1.0)
    missing = Counter(
        next(iter(set(weights) - set(sampler.draw(["x", "y"], Random(i))))) for i in range(4000)
    )

    def both(s: str, t: str) -> float:
        return weights[s] / 10 * weights[t] / (10 - weights[s])

    for left_out, s, t in (("a", "b", "c"), ("b", "a", "c"), ("c", "a", "b")):
        share = both(s, t) + both(t, s)
        assert abs(missing[left_out] / 4000 - share) < 0.03


def test_when_the_positives_hold_nearly_all_the_weight() -> None:
    sampler = NegativeSampler({"人名": 10**12, "a": 3, "b": 1}, 1.0)
    counts = Counter(sampler.draw(["人名"], Random(i))[0] for i in range(2000))
    assert abs(counts["a"] - 1500) < 100  # binomial(2000, 3/4): standard deviation 19
    assert counts["a"] + counts["b"] == 2000


def test_fewer_types_than_wanted() -> None:
    sampler = NegativeSampler({"a": 1, "b": 2, "c": 3}, 1.0)
    assert sampler.draw(["a", "b", "x", "y"], Random(0)) == ["c"]
    assert sampler.draw(["a", "b", "c"], Random(0)) == []
    assert NegativeSampler({}, 1.0).draw(["a"], Random(0)) == []
    assert NegativeSampler({}, 1.0).draw([], Random(0)) == []


def test_a_passage_without_entities() -> None:
    assert len(NegativeSampler(FREQUENCY, 0.0).draw([], Random(0))) == EMPTY_NEGATIVES


def test_the_random_stream_decides() -> None:
    sampler = NegativeSampler(FREQUENCY, 0.5)
    same = [sampler.draw(["人名", "x", "y"], Random("7:p#0")) for _ in range(3)]
    assert same[0] == same[1] == same[2]
    reordered = NegativeSampler(dict(reversed(FREQUENCY.items())), 0.5)
    assert reordered.draw(["人名", "x", "y"], Random("7:p#0")) == same[0]
    assert len({tuple(sampler.draw(["人名", "x", "y"], Random(f"7:p#{i}"))) for i in range(20)}) > 3


def test_the_stream_of_draws_is_pinned() -> None:
    """The same seed gives the same negatives in every version, and leaves the passage's stream at the same place."""
    sampler = NegativeSampler(FREQUENCY, 0.5)
    of = (["人名", "地点", "组织"], ["产品"], [], ["疾病", "人名"], ["x", "y", "z", "w"])
    drawn = [sampler.draw(positives, Random(f"42:p{i}#0")) for i, positives in enumerate(of)]
    assert drawn == [["产品", "疾病"], [], ["组织", "人名", "地点"], ["地点"], ["组织", "人名"]]
    many = NegativeSampler({f"类{i}": 1 + 10000 // (i + 1) ** 2 for i in range(300)}, 0.5)
    digest = hashlib.sha256()
    for i in range(500):
        random = Random(f"1:{i}")
        positives = [f"类{j}" for j in Random(i).sample(range(40), i % 9)]
        digest.update(repr((many.draw(positives, random), random.random())).encode())
    assert digest.hexdigest() == "a181185879ac5752b2a55f8ecd379704e7c5609b552f6b84a14a0addb34124b1"


@given(st.integers(0, 6), st.integers(0, 8), st.integers())
def test_a_limit_cuts_the_same_draws(most: int, positives: int, seed: int) -> None:
    frequency = {f"t{i}": i + 1 for i in range(30)}
    own = [f"t{i}" for i in range(positives)]
    free = NegativeSampler(frequency, 1.0).draw(own, Random(seed))
    assert NegativeSampler(frequency, 1.0, most).draw(own, Random(seed)) == free[:most]


def test_misc_types_are_never_drawn() -> None:
    frequency = {"其他": 10**6, "MISC": 10**6, "Other": 10**6, "人名": 2, "地点": 1, "other things": 1}
    sampler = NegativeSampler(frequency, 1.0, misc_types=MISC_TYPES)
    assert sampler.types == {"人名", "地点", "other things"}
    drawn = {t for i in range(50) for t in sampler.draw(["x"], Random(i))}
    assert drawn == sampler.types
    assert NegativeSampler(frequency, 1.0).types == frequency.keys()
    assert NegativeSampler({"misc": 3}, 1.0, misc_types=MISC_TYPES).draw([], Random(0)) == []


def test_types_without_mentions_are_never_drawn() -> None:
    assert NegativeSampler({"a": 0, "b": 1}, 1.0).draw(["x", "y"], Random(0)) == ["b"]


@pytest.mark.parametrize(
    ("type", "misc"), [("其他", True), ("Misc", True), ("OTHER", True), ("其他组织", False), ("", False)]
)
def test_is_misc(type: str, misc: bool) -> None:
    assert is_misc(type, MISC_TYPES) is misc
    assert not is_misc(type, ())


def test_which_settings_drop_them() -> None:
    assert dropped_types(ItSetSettings()) == ()
    assert dropped_types(ItSetSettings(misc="drop")) == MISC_TYPES
    assert dropped_types(ItSetSettings(misc="drop", misc_types=("杂类",))) == ("杂类",)
    assert is_misc("straße", ("STRASSE",))


def _annotation(*types: str) -> Annotation:
    passage = Passage(id="p#0", text="华为在深圳。", source="s", lang="zh")
    entities = tuple(Entity(surface="华为", type=t, starts=(0,)) for t in types)
    return Annotation(passage=passage, entities=entities, by=Annotator(source="llm", model="m", prompt="p"))


def test_without_misc() -> None:
    mixed = _annotation("公司", "OTHER", "品牌", "其它")
    assert without_misc(mixed, MISC_TYPES) == _annotation("公司", "品牌")
    assert without_misc(mixed, ()) is mixed
    clean = _annotation("公司")
    assert without_misc(clean, MISC_TYPES) is clean
    assert without_misc(_annotation("misc"), MISC_TYPES) == _annotation()
