"""BM25 against formulas written out in plain Python, and against bm25s itself."""

import math
from typing import Literal

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.retrieve.bm25 import Bm25, Hits

Pool = list[list[str]]
Variant = Literal["gensim", "lucene"]
VARIANTS: list[Variant] = ["gensim", "lucene"]
PASSAGE = st.lists(st.sampled_from("abcdefg"), max_size=12)
POOL = st.one_of(
    st.lists(PASSAGE, max_size=9),
    st.tuples(PASSAGE, st.integers(1, 6)).map(lambda pair: [list(pair[0])] * pair[1]),  # all the same
)
QUERY = st.lists(st.sampled_from("abcdefgXYZ"), max_size=10)  # X, Y, Z are in no pool


def gensim(pool: Pool, query: list[str], row: int) -> float:
    """BM25.get_score of gensim 3.8, word by word."""
    idf: dict[str, float] = {}
    for word in {w for passage in pool for w in passage}:
        n = sum(word in passage for passage in pool)
        idf[word] = math.log(len(pool) - n + 0.5) - math.log(n + 0.5)
    if not idf:
        return 0.0
    mean = sum(idf.values()) / len(idf)
    average = sum(map(len, pool)) / len(pool)
    score = 0.0
    for word in query:
        if word in pool[row]:
            f = pool[row].count(word)
            weight = 0.25 * mean if idf[word] < 0 else idf[word]
            score += weight * f * 2.5 / (f + 1.5 * (1 - 0.75 + 0.75 * len(pool[row]) / average))
    return score


def lucene(pool: Pool, query: list[str], row: int) -> float:
    if not any(pool):
        return 0.0
    average = sum(map(len, pool)) / len(pool)
    score = 0.0
    for word in query:
        if word in pool[row]:
            n = sum(word in passage for passage in pool)
            f = pool[row].count(word)
            idf = math.log(1 + (len(pool) - n + 0.5) / (n + 0.5))
            score += idf * f / (f + 1.5 * (0.25 + 0.75 * len(pool[row]) / average))
    return score


FORMULA = {"gensim": gensim, "lucene": lucene}


def all_rows(pool: Pool) -> np.ndarray:
    return np.arange(len(pool), dtype=np.int64)


@pytest.mark.parametrize("variant", VARIANTS)
@given(pool=POOL, query=QUERY)
def test_scores_are_those_of_the_formula(variant: Variant, pool: Pool, query: list[str]) -> None:
    found = Bm25(pool, variant).scores(query, all_rows(pool))
    expected = [FORMULA[variant](pool, query, row) for row in range(len(pool))]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_gensim_by_hand() -> None:
    # 3 passages; "a" in 1: idf ln 2.5 - ln 1.5; "b" in 2: idf ln 1.5 - ln 2.5, below 0; their mean with "c" (as "a").
    pool = [["a", "b"], ["b"], ["c"]]
    one = math.log(2.5 / 1.5)
    floor = 0.25 * (one - one + one) / 3
    length = 1.5 * (0.25 + 0.75 * 2 / (4 / 3))
    found = Bm25(pool).scores(["a", "b", "b"], np.array([0]))
    assert found[0] == pytest.approx((one + 2 * floor) * 2.5 / (1 + length), abs=1e-12)


@given(
    pool=st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=12), min_size=1, max_size=9),
    query=QUERY,
)
def test_lucene_is_what_bm25s_gives(pool: Pool, query: list[str]) -> None:
    index = bm25s.BM25(k1=1.5, b=0.75, method="lucene", dtype="float64")
    index.index(pool, show_progress=False)
    known = [word for word in query if word in index.vocab_dict]
    expected = index.get_scores(known) if known else np.zeros(len(pool))
    np.testing.assert_allclose(Bm25(pool, "lucene").scores(query, all_rows(pool)), expected, atol=1e-9)


@given(
    pool=st.lists(PASSAGE, min_size=1, max_size=9),
    queries=st.lists(QUERY, min_size=1, max_size=5),
    width=st.integers(0, 12),
    data=st.data(),
)
def test_candidates_may_come_in_any_order_repeat_and_be_missing(
    pool: Pool, queries: Pool, width: int, data: st.DataObject
) -> None:
    row = st.integers(-1, len(pool) - 1)
    lines = st.lists(row, min_size=width, max_size=width)
    drawn = data.draw(st.lists(lines, min_size=len(queries), max_size=len(queries)))
    rows = np.array(drawn, dtype=np.int64).reshape(len(queries), width)
    found = Bm25(pool).scores_many(queries, rows)
    assert found.shape == rows.shape
    for query, line, own in zip(queries, rows.tolist(), found.tolist(), strict=True):
        expected = [-math.inf if r < 0 else gensim(pool, query, r) for r in line]
        np.testing.assert_allclose(own, expected, atol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
@given(pool=POOL, queries=st.lists(QUERY, max_size=4), n=st.integers(0, 10))
def test_top_is_the_whole_pool_ranked(variant: Variant, pool: Pool, queries: Pool, n: int) -> None:
    index = Bm25(pool, variant)
    found = list(index.top(queries, n))
    assert len(found) == len(queries)
    for query, hits in zip(queries, found, strict=True):
        scores = index.scores(query, all_rows(pool)).tolist()
        best = sorted((row for row, s in enumerate(scores) if s > 0), key=lambda row: (-scores[row], row))[:n]
        assert hits.rows.tolist() == best
        assert hits.scores.tolist() == [scores[row] for row in best]  # the same numbers, not only close ones


def test_more_queries_than_one_block() -> None:
    pool = [["a", "b"], ["b", "c", "c"], ["d"], ["e"], ["f"]]
    queries = [["a"], ["c", "b"], ["X"]] * 1000
    index = Bm25(pool)
    found = index.scores_many(queries, np.tile(all_rows(pool), (3000, 1)))
    for i in (0, 1, 2, 1023, 1024, 2999):
        np.testing.assert_array_equal(found[i], index.scores(queries[i], all_rows(pool)))
    assert len(found) == 3000


def test_top_goes_through_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = [["a", "b"], ["b", "c", "c"], ["a"], ["e"], ["f"], ["b"]]
    queries = [["a"], ["c", "b"], ["X"], ["b", "f"], []]
    whole = list(Bm25(pool).top(queries, 2))
    monkeypatch.setattr("sinoner.retrieve.bm25._CELLS", 13)  # two queries at a time
    for one, other in zip(whole, Bm25(pool).top(queries, 2), strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.scores, other.scores)


def test_ties_go_to_the_smaller_row() -> None:
    pool = [["x"], ["a"], ["y"], ["a"], ["a"], ["z"], ["w"], ["v"], ["u"]]
    (hits,) = Bm25(pool).top([["a"]], 2)
    assert isinstance(hits, Hits)
    assert hits.rows.tolist() == [1, 3]


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_empty_pool_and_empty_passages(variant: Variant) -> None:
    none = np.array([-1], dtype=np.int64)
    assert Bm25([], variant).scores(["a"], none).tolist() == [-math.inf]
    assert [h.rows.tolist() for h in Bm25([], variant).top([["a"]], 3)] == [[]]
    assert Bm25([[], []], variant).scores(["a"], np.array([0, 1])).tolist() == [0.0, 0.0]
    assert Bm25([["a"]], variant).scores_many([], np.empty((0, 4), dtype=np.int64)).shape == (0, 4)
    with pytest.raises(IndexError, match="row 0 of a pool of 0"):
        Bm25([], variant).scores(["a"], np.array([0]))


def test_a_pool_of_one_scores_below_zero_as_in_gensim() -> None:
    index = Bm25([["a", "b"]])
    assert index.scores(["a"], np.array([0]))[0] == pytest.approx(0.25 * math.log(0.5 / 1.5), abs=1e-12)
    (hits,) = index.top([["a"]], 5)
    assert hits.rows.tolist() == []  # nothing is above 0
    assert Bm25([["a", "b"]], "lucene").scores(["a"], np.array([0]))[0] > 0


def test_wrong_rows_are_not_scored_as_others() -> None:
    index = Bm25([["a"], ["b"]])
    with pytest.raises(IndexError, match="row 2 of a pool of 2"):
        index.scores(["a"], np.array([0, 2]))
    with pytest.raises(ValueError, match="1 queries, but rows for 2"):
        index.scores_many([["a"]], np.zeros((2, 1), dtype=np.int64))
