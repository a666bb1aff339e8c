"""Exact search against numpy brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.errors import InputError
from sinoner.retrieve.nearest import nearest


def brute_force(
    queries: np.ndarray, query_ids: list[str], pool: np.ndarray, pool_ids: list[str], k: int
) -> list[list[tuple[str, float]]]:
    """All inner products in float64, all sorted."""
    products = queries.astype(np.float64) @ pool.astype(np.float64).T
    return [
        sorted(((i, s) for i, s in zip(pool_ids, row, strict=True) if i != own), key=lambda x: (-x[1], x[0]))[
            :k
        ]
        for own, row in zip(query_ids, products.tolist(), strict=True)
    ]


def matrix(rows: list[list[int]], dim: int = 3) -> np.ndarray:
    return np.asarray(rows, dtype=np.float32).reshape(len(rows), dim)


def unit(n: int, dim: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("k", [1, 2, 5, 128])
def test_equals_brute_force(k: int) -> None:
    pool, queries = unit(60, 16, 1), unit(25, 16, 2)
    pool_ids = [f"p{i}" for i in range(60)]
    query_ids = [f"q{i}" for i in range(25)]
    found = nearest(queries, query_ids, pool, pool_ids, k)
    expected = brute_force(queries, query_ids, pool, pool_ids, k)
    assert [[i for i, _ in row] for row in found] == [[i for i, _ in row] for row in expected]
    ours = np.asarray([[s for _, s in row] for row in found])
    np.testing.assert_allclose(ours, [[s for _, s in row] for row in expected], atol=1e-6)


VECTOR = st.lists(st.integers(-3, 3), min_size=3, max_size=3)  # small whole numbers: products are exact


@given(
    st.lists(VECTOR, min_size=1, max_size=12),
    st.data(),
    st.integers(0, 14),
    st.randoms(use_true_random=False),
)
def test_similarities_equal_brute_force_with_ties(
    rows: list[list[int]], data: st.DataObject, k: int, random: object
) -> None:
    ids = data.draw(st.permutations([f"{i:02d}" for i in range(len(rows))]))
    asked = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=4))
    queries, query_ids = matrix([rows[i] for i in asked]), [ids[i] for i in asked]
    found = nearest(queries, query_ids, matrix(rows), ids, k)
    expected = brute_force(queries, query_ids, matrix(rows), ids, k)
    assert [[s for _, s in row] for row in found] == [[s for _, s in row] for row in expected]
    for own, row in zip(query_ids, found, strict=True):
        assert own not in [i for i, _ in row]
        assert len({i for i, _ in row}) == len(row)
        assert row == sorted(row, key=lambda hit: (-hit[1], hit[0]))


@given(st.lists(VECTOR, min_size=1, max_size=12), st.data(), st.integers(1, 14))
def test_ties_go_to_the_smaller_id(rows: list[list[int]], data: st.DataObject, k: int) -> None:
    ids = data.draw(st.permutations([f"{i:02d}" for i in range(len(rows))]))
    found = nearest(matrix(rows), ids, matrix(rows), ids, k)
    assert found == brute_force(matrix(rows), ids, matrix(rows), ids, k)


@pytest.mark.parametrize("k", [1, 3, 20, 128])
def test_ties_in_a_larger_pool_go_to_the_smaller_id(k: int) -> None:
    random = np.random.default_rng(7)
    pool = random.integers(-2, 3, size=(200, 3)).astype(np.float32)  # each vector about twice, exact products
    ids = [f"{i:03d}" for i in random.permutation(200)]
    assert nearest(pool, ids, pool, ids, k) == brute_force(pool, ids, pool, ids, k)


def test_an_entry_is_never_its_own_neighbour() -> None:
    pool = unit(6, 4, 3)
    ids = list("abcdef")
    for own, row in zip(ids, nearest(pool, ids, pool, ids, 3), strict=True):
        assert len(row) == 3
        assert own not in [i for i, _ in row]


def test_a_twin_with_another_id_is_the_nearest() -> None:
    pool = unit(6, 4, 3)
    pool[5] = pool[0]
    found = nearest(pool[:1], ["a"], pool, list("abcdef"), 1)
    assert found[0][0][0] == "f"
    assert found[0][0][1] == pytest.approx(1.0, abs=1e-6)


def test_more_wanted_than_there_are() -> None:
    pool = unit(3, 4, 4)
    found = nearest(pool, ["a", "b", "x"], pool, ["a", "b", "c"], 10)
    assert [sorted(i for i, _ in row) for row in found] == [["b", "c"], ["a", "c"], ["a", "b", "c"]]


def test_nothing_to_find() -> None:
    pool, none = unit(3, 4, 4), np.empty((0, 4), dtype=np.float32)
    assert nearest(pool, ["a", "b", "c"], none, [], 2) == [[], [], []]
    assert nearest(pool, ["a", "b", "c"], pool, ["x", "y", "z"], 0) == [[], [], []]
    assert nearest(none, [], pool, ["x", "y", "z"], 2) == []
    assert nearest(pool[:1], ["a"], pool[:1], ["a"], 2) == [[]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["query", "pool"])
def test_numbers_that_are_none(bad: float, where: str) -> None:
    pool, queries = unit(3, 4, 4), unit(2, 4, 5)
    (queries if where == "query" else pool)[1, 2] = bad
    with pytest.raises(InputError, match="not finite numbers"):
        nearest(queries, ["q", "r"], pool, ["a", "b", "c"], 1)


def test_dimensions_differ() -> None:
    with pytest.raises(InputError, match="vectors of 4 and 5 dimensions"):
        nearest(unit(2, 4, 1), ["q", "r"], unit(3, 5, 1), ["a", "b", "c"], 1)
