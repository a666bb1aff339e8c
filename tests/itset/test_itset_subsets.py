"""Which documents are set aside, and which passages are trained on."""

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.errors import InputError
from sinoner.itset.subsets import Mixed, mixed, subset, validation_documents
from sinoner.records import Lang

IDS = [f"文档-{i}" for i in range(40)]


@pytest.mark.parametrize(("share", "size"), [(0.1, 4), (0.25, 10), (0.01, 1), (0.5, 20), (0.9, 36)])
def test_exact_size(share: float, size: int) -> None:
    chosen = validation_documents(IDS, share, 42)
    assert len(chosen) == size
    assert chosen <= set(IDS)


def test_share_of_zero_and_too_few_documents() -> None:
    assert validation_documents(IDS, 0, 42) == frozenset()
    assert validation_documents(["only"], 0.5, 42) == frozenset()
    assert validation_documents(["only", "only"], 0.5, 42) == frozenset()
    assert validation_documents([], 0.5, 42) == frozenset()
    assert len(validation_documents(["a", "b"], 0.01, 42)) == 1


@given(
    st.lists(st.text(), max_size=30), st.floats(0, 0.99), st.integers(0, 5), st.randoms(use_true_random=False)
)
def test_neither_order_nor_repeats_matter(ids: list[str], share: float, seed: int, random: Random) -> None:
    chosen = validation_documents(ids, share, seed)
    assert chosen <= set(ids)
    again = [*ids, *ids[: len(ids) // 2]]
    random.shuffle(again)
    assert validation_documents(again, share, seed) == chosen
    assert subset(again, 3, seed) == subset(ids, 3, seed)


def test_the_seed_decides() -> None:
    picks = {validation_documents(IDS, 0.1, seed) for seed in range(8)}
    assert len(picks) > 6
    assert len({subset(IDS, 4, seed) for seed in range(8)}) > 6


def test_every_document_has_its_turn() -> None:
    times = dict.fromkeys(IDS, 0)
    for seed in range(500):
        for document in validation_documents(IDS, 0.25, seed):
            times[document] += 1
    # binomial(500, 1/4): mean 125, standard deviation 9.7; five of them around the mean
    assert all(76 < n < 174 for n in times.values()), times


def test_subset() -> None:
    assert subset(IDS, None, 42) == frozenset(IDS)
    assert subset(IDS, 100, 42) == frozenset(IDS)
    assert len(subset(IDS, 7, 42)) == 7
    assert subset(IDS, 7, 42) < subset(IDS, 8, 42)  # growing the subset keeps what was chosen
    assert subset([], 3, 42) == frozenset()


ZH = [f"文档-{i}#0" for i in range(40)]
EN = [f"doc-{i}#0" for i in range(25)]
BY_LANG: dict[Lang, list[str]] = {"zh": ZH, "en": EN}


def test_mixed_takes_the_largest_set_in_the_proportions() -> None:
    found = mixed(BY_LANG, {"zh": 2, "en": 1}, None, 42)
    assert found.got == found.required == {"en": 20, "zh": 40}
    assert found.available == {"en": 25, "zh": 40}
    assert found.short == ()
    assert found.chosen == frozenset(ZH) | subset(EN, 20, 42)


@pytest.mark.parametrize(
    ("weights", "got"),
    [
        ({"zh": 1, "en": 1}, {"zh": 25, "en": 25}),
        ({"zh": 0.3, "en": 0.1}, {"zh": 40, "en": 13}),  # 40 to 13⅓
        ({"zh": 0.1, "en": 0.3}, {"zh": 8, "en": 25}),  # 8⅓ to 25
        ({"zh": 1, "en": 0}, {"zh": 40, "en": 0}),
        ({"en": 5}, {"zh": 0, "en": 25}),  # a language without a weight is left out
        ({"zh": 1, "en": 1000}, {"zh": 0, "en": 25}),
    ],
)
def test_mixed_proportions(weights: dict[Lang, float], got: dict[Lang, int]) -> None:
    assert mixed(BY_LANG, weights, None, 42).got == got


def test_decimal_weights_are_what_they_are_written_as() -> None:
    """0.3 / 0.1 is less than 3 in binary; that must not cost a passage."""
    ids: dict[Lang, list[str]] = {"zh": ZH[:30], "en": EN[:10]}
    assert mixed(ids, {"zh": 0.3, "en": 0.1}, None, 1).got == {"zh": 30, "en": 10}


def test_mixed_with_a_size() -> None:
    enough = mixed(BY_LANG, {"zh": 2, "en": 1}, 30, 42)
    assert enough.got == enough.required == {"zh": 20, "en": 10}
    assert len(enough.chosen) == 30
    too_few = mixed(BY_LANG, {"zh": 1, "en": 1}, 60, 42)
    assert too_few.required == {"zh": 30, "en": 30}
    assert too_few.got == {"zh": 25, "en": 25}  # the proportions are kept, not the size
    assert too_few.short == ("en",)
    assert too_few.chosen == subset(ZH, 25, 42) | frozenset(EN)


def test_mixed_without_weights_is_the_subset_of_all() -> None:
    for size in (None, 1, 7, 64, 65, 1000):
        found = mixed(BY_LANG, {}, size, 42)
        assert found.chosen == subset([*EN, *ZH], size, 42)
        assert sum(found.got.values()) == len(found.chosen)
        assert found.required == found.got
        assert found.short == ()
    assert mixed({}, {}, None, 42) == Mixed(frozenset(), {}, {}, {})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"zh": 0, "en": 0}, "all weights are 0"),
        ({"zh": float("nan")}, "weight of zh is nan"),
        ({"zh": 1, "en": float("inf")}, "weight of en is inf"),
        ({"zh": -1, "en": 1}, "weight of zh is -1"),
    ],
)
def test_weights_that_cannot_be(weights: dict[Lang, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        mixed(BY_LANG, weights, None, 42)


@pytest.mark.parametrize("ids", [{"zh": ZH}, {"zh": ZH, "en": []}])
def test_a_language_without_any_passage(ids: dict[Lang, list[str]]) -> None:
    with pytest.raises(InputError, match=r"it_set\.mix: there is no en passage to train on"):
        mixed(ids, {"zh": 1, "en": 1}, 10, 42)
    assert mixed(ids, {"zh": 1, "en": 0}, None, 42).chosen == frozenset(ZH)


_WEIGHT = st.one_of(st.integers(1, 9), st.floats(0.001, 1000))


@given(
    st.integers(1, 30),
    st.integers(1, 30),
    _WEIGHT,
    _WEIGHT,
    st.integers(1, 50),
    st.integers(0, 4),
    st.randoms(),
)
def test_mixed_is_nested_in_proportion_and_blind_to_order(
    zh: int, en: int, weight_zh: float, weight_en: float, size: int, seed: int, random: Random
) -> None:
    ids: dict[Lang, list[str]] = {"zh": ZH[:zh], "en": EN[:en]}
    weights: dict[Lang, float] = {"zh": weight_zh, "en": weight_en}
    found = mixed(ids, weights, size, seed)
    everything = mixed(ids, weights, None, seed)
    assert found.chosen <= mixed(ids, weights, size + 1, seed).chosen <= everything.chosen
    assert everything.chosen == mixed(ids, weights, 10**9, seed).chosen
    assert sum(found.required.values()) == size
    part = Fraction(str(weight_zh)) / (Fraction(str(weight_zh)) + Fraction(str(weight_en)))
    for at in (found, everything):
        assert abs(at.got["zh"] - part * len(at.chosen)) <= Fraction(1, 2)
    assert len(found.chosen) == min(size, len(everything.chosen))
    # One passage more, in exact proportions, and one of the languages would not have enough.
    more = len(everything.chosen) + 1
    assert part * more > len(set(ids["zh"])) or (1 - part) * more > len(set(ids["en"]))
    shuffled: dict[Lang, list[str]] = {"en": ids["en"] * 2, "zh": list(ids["zh"])}
    for of_lang in shuffled.values():
        random.shuffle(of_lang)
    assert mixed(shuffled, dict(reversed(weights.items())), size, seed) == found
