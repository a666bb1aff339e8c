"""Search against numpy brute force."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
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
    with pytest.raises(InputError, match="vectors of 4 and 5 dimensions"):
        nearest(unit(2, 4, 1), unit(3, 5, 1), 1)


# the first pass in bfloat16 -----------------------------------------------------------------------------------------

needs_bf16 = pytest.mark.skipif(
    not exactly.has_bf16(), reason="this processor does not multiply bfloat16 numbers"
)


@pytest.mark.parametrize("make", [unit, clustered])
@pytest.mark.parametrize("k", [1, 7, 130])
def test_two_passes_find_what_brute_force_finds(make, k: int) -> None:  # type: ignore[no-untyped-def]
    pool, queries = make(2500, 64, 1), make(300, 64, 2)
    check(Found(*exactly._two_passes(queries, pool, k)), queries, pool, k)


@pytest.mark.parametrize("make", [unit, clustered])
@pytest.mark.parametrize("n", [1000, 2048, 2049, 4500])
def test_the_symmetric_pass_equals_the_plain_one(make, n: int) -> None:  # type: ignore[no-untyped-def]
    pool = make(n, 64, 3)
    rows, scores = exactly._two_passes(pool, pool, 10)
    plain_rows, plain_scores = exactly._two_passes(pool.copy(), pool, 10)
    assert rows.tolist() == plain_rows.tolist()
    assert scores.tolist() == plain_scores.tolist()
    check(Found(rows, scores), pool, pool, 10)


def test_two_passes_and_flat_give_the_same_rows() -> None:
    pool, queries = clustered(3000, 64, 5), clustered(200, 64, 6)
    two, flat = exactly._two_passes(queries, pool, 20), exactly._flat(queries, pool, 20)
    np.testing.assert_allclose(two[1], flat[1], atol=1e-6)
    assert (two[0] == flat[0]).mean() > 0.999  # two that float32 cannot tell apart may change places


def test_two_passes_with_vectors_that_stand_many_times() -> None:
    """More equals than the first pass expects: every query is searched again, and ties go to the smaller row."""
    pool = np.repeat(unit(20, 32, 8), 100, axis=0)
    rows, _ = exactly._two_passes(pool[::100].copy(), pool, 30)
    assert rows.tolist() == [list(range(100 * i, 100 * i + 30)) for i in range(20)]


@needs_bf16
def test_a_large_search_goes_in_two_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exactly, "_MANY", 1000 * 1000)
    monkeypatch.setattr(exactly, "_flat", None)  # would fail if it were called
    pool = unit(1500, 128, 9)
    check(nearest(pool, pool, 5), pool, pool, 5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 40))
def test_borders_hold(seed: int, k: int) -> None:
    """Nothing outside the candidates is above the border that is claimed for it."""
    from sinoner.retrieve.firstpass import candidates

    pool, queries = clustered(800, 32, seed), clustered(40, 32, seed + 1)
    products = queries.astype(np.float64) @ pool.astype(np.float64).T
    for low, found in candidates(queries, pool, k):
        for i, (begin, end) in enumerate(pairwise(found.edges)):
            mine = found.rows[begin:end]
            assert (np.diff(mine) > 0).all()
            outside = np.delete(products[low + i], mine)
            assert outside.max(initial=-1) < found.border[i]


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
