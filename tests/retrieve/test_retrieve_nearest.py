"""Search against numpy brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.errors import InputError
from sinoner.retrieve import exact as exactly
from sinoner.retrieve.nearest import Found, nearest


def brute_force(queries: np.ndarray, pool: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All inner products in float64, all sorted; of equals the smaller row."""
    products = queries.astype(np.float64) @ pool.astype(np.float64).T
    rows = np.lexsort((np.broadcast_to(np.arange(len(pool)), products.shape), -products), axis=1)[:, :k]
    return rows, np.take_along_axis(products, rows, 1)


def unit(n: int, dim: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def clustered(n: int, dim: int, seed: int) -> np.ndarray:
    """Vectors as embedders give them: all alike, in clumps of very different size."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(20, dim)) * 0.3 + 1.5
    own = centres[np.minimum(random.geometric(0.2, size=n) - 1, 19)]
    rows = (own + random.normal(size=(n, dim)) * random.uniform(0.01, 0.5, size=(n, 1))).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def check(found: Found, queries: np.ndarray, pool: np.ndarray, k: int) -> None:
    rows, scores = brute_force(queries, pool, k)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
    differing = found.rows != rows  # only where float32 cannot tell the two apart
    other = np.vecdot(queries[:, None], pool[found.rows])
    assert (np.abs(other - scores)[differing] < 3e-6).all()
    assert all(len(set(row)) == len(row) for row in found.rows.tolist())


@pytest.mark.parametrize("k", [1, 2, 5, 128])
def test_equals_brute_force(k: int) -> None:
    pool, queries = unit(60, 16, 1), unit(25, 16, 2)
    check(nearest(queries, pool, k), queries, pool, min(k, 60))


@pytest.mark.parametrize("make", [unit, clustered])
@pytest.mark.parametrize("k", [1, 7, 130])
def test_a_large_pool_equals_brute_force(make, k: int) -> None:  # type: ignore[no-untyped-def]
    pool, queries = make(2500, 64, 1), make(300, 64, 2)
    check(nearest(queries, pool, k), queries, pool, k)


@pytest.mark.parametrize("make", [unit, clustered])
@pytest.mark.parametrize("n", [1000, 1024, 1025, 2500])  # a block of queries is 1024
def test_the_pool_itself_may_ask(make, n: int) -> None:  # type: ignore[no-untyped-def]
    pool = make(n, 64, 3)
    found, other = nearest(pool, pool, 10), nearest(pool.copy(), pool, 10)
    assert found.rows.tolist() == other.rows.tolist()
    assert found.scores.tolist() == other.scores.tolist()
    check(found, pool, pool, 10)


VECTOR = st.lists(st.integers(-2, 2), min_size=3, max_size=3)


@given(
    st.lists(VECTOR, min_size=1, max_size=12), st.lists(VECTOR, min_size=1, max_size=4), st.integers(1, 14)
)
def test_ties_go_to_the_smaller_row(pool: list[list[int]], queries: list[list[int]], k: int) -> None:
    vectors, asked = np.array(pool, dtype=np.float32), np.array(queries, dtype=np.float32)
    found = nearest(asked, vectors, k)
    rows, scores = brute_force(asked, vectors, min(k, len(pool)))
    assert found.rows.tolist() == rows.tolist()
    assert found.scores.tolist() == scores.tolist()


@pytest.mark.parametrize("k", [1, 3, 20, 128])
def test_ties_in_a_larger_pool_go_to_the_smaller_row(k: int) -> None:
    random = np.random.default_rng(7)
    pool = random.integers(-2, 3, size=(200, 3)).astype(np.float32)  # each vector about twice, exact products
    found = nearest(pool, pool, k)
    assert found.rows.tolist() == brute_force(pool, pool, k)[0].tolist()


def test_all_vectors_the_same() -> None:
    pool = np.tile(unit(1, 32, 3), (500, 1))
    found = nearest(pool, pool, 4)
    assert (found.rows == [0, 1, 2, 3]).all()


def test_vectors_that_stand_many_times() -> None:
    """More equals than are searched beyond k: every query is searched again, and ties go to the smaller row."""
    pool = np.repeat(unit(20, 32, 8), 100, axis=0)
    rows = nearest(pool[::100].copy(), pool, 30).rows
    assert rows.tolist() == [list(range(100 * i, 100 * i + 30)) for i in range(20)]


def test_a_query_of_the_pool_finds_itself_first() -> None:
    pool = unit(50, 16, 3)
    assert nearest(pool, pool, 2).rows[:, 0].tolist() == list(range(50))


def test_more_wanted_than_there_are() -> None:
    pool = unit(3, 4, 4)
    found = nearest(pool[:1], pool, 10)
    assert found.rows.shape == found.scores.shape == (1, 3)
    assert sorted(found.rows[0].tolist()) == [0, 1, 2]


def test_nothing_to_find() -> None:
    pool, none = unit(3, 4, 4), np.empty((0, 4), dtype=np.float32)
    assert nearest(pool, none, 2).rows.shape == (3, 0)
    assert nearest(pool, pool, 0).rows.shape == (3, 0)
    assert nearest(none, pool, 2).rows.shape == (0, 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["query", "pool"])
def test_numbers_that_are_none(bad: float, where: str) -> None:
    pool, queries = unit(3, 4, 4), unit(2, 4, 5)
    (queries if where == "query" else pool)[1, 2] = bad
    with pytest.raises(InputError, match="not finite numbers"):
        nearest(queries, pool, 1)


def test_dimensions_differ() -> None:
    with pytest.raises(InputError, match="queries have vectors of 4 dimensions and the pool of 5"):
        nearest(unit(2, 4, 1), unit(3, 5, 1), 1)


# approximate --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_approximate_search_measures_its_recall(index) -> None:  # type: ignore[no-untyped-def]
    pool, queries = clustered(4000, 32, 1), clustered(300, 32, 2)
    found = nearest(queries, pool, 10, index)
    truth, _ = brute_force(queries, pool, 10)
    recall = np.mean(
        [len(set(a) & set(b)) / 10 for a, b in zip(found.rows.tolist(), truth.tolist(), strict=True)]
    )
    assert found.method.startswith(index)
    assert found.recall >= 0.99
    assert abs(found.recall - recall) < 0.02  # measured on 256 of the 300
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_auto_is_exact_up_to_a_size() -> None:
    pool = unit(500, 16, 1)
    assert nearest(pool, pool, 3, "auto", 500).method == "exact"
    assert nearest(pool, pool, 3, "auto", 499).method.startswith("ivf")


@pytest.mark.parametrize("n", [1, 2, 30, 38, 39, 77, 78, 117, 500])
def test_approximate_search_in_a_tiny_pool(n: int, capfd: pytest.CaptureFixture[str]) -> None:
    """FAISS prints warnings of its own, past Python, when it learns cells of too few rows."""
    pool = unit(n, 8, 1)
    for index in ("ivf", "hnsw"):
        found = nearest(pool, pool, 5, index)  # type: ignore[arg-type]
        assert found.rows[:, 0].tolist() == list(range(n))
        assert found.recall >= 0.99
    assert capfd.readouterr() == ("", "")


def test_what_is_printed_past_python_would_be_noticed(capfd: pytest.CaptureFixture[str]) -> None:
    """What the test before this one rejects: a single cell that is learned of 30 rows."""
    faiss = exactly.faiss()
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(8), 8, 1, faiss.METRIC_INNER_PRODUCT)
    index.train(unit(30, 8, 1))
    assert "please provide at least 39 training points" in "".join(capfd.readouterr())
