"""Which documents are set aside, and which subset is trained on."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.itset.split import subset, validation_documents

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
