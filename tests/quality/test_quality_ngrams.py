"""Hashes of n-grams stand for the n-grams; the sieve never loses one that is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.quality.ngrams import Sieve, of_characters, of_words


@given(
    st.text(alphabet="ab中文𠮷", max_size=30), st.text(alphabet="ab中文𠮷", max_size=30), st.integers(1, 14)
)
def test_character_hashes_are_equal_where_the_pieces_are(a: str, b: str, n: int) -> None:
    mine, other = of_characters(a, n).tolist(), of_characters(b, n).tolist()
    assert len(mine) == max(0, len(a) - n + 1)
    for i, x in enumerate(mine):
        for j, y in enumerate(other):
            assert (x == y) == (a[i : i + n] == b[j : j + n])


WORDS = st.lists(st.sampled_from(["a", "b", "ab", "ba", "中文"]), max_size=14)


@given(WORDS, WORDS, st.integers(1, 9))
def test_word_hashes_are_equal_where_the_words_are(a: list[str], b: list[str], n: int) -> None:
    mine, other = of_words(a, n).tolist(), of_words(b, n).tolist()
    assert len(mine) == max(0, len(a) - n + 1)
    for i, x in enumerate(mine):
        for j, y in enumerate(other):
            assert (x == y) == (a[i : i + n] == b[j : j + n])


@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_the_sieve_keeps_all_known_ones_and_stops_most_others(kind: type) -> None:
    draw = np.random.default_rng(3)
    known, others = (draw.integers(0, 1 << 32, 50_000, dtype=np.uint64).astype(kind) for _ in range(2))
    sieve = Sieve(known)
    assert sieve.may_hold(known).all()
    assert sieve.may_hold(others).mean() < 1 / 8


def test_an_empty_sieve_holds_nothing() -> None:
    sieve = Sieve(np.empty(0, np.uint64))
    assert not sieve.may_hold(of_characters("他在北京大学读书", 3)).any()
