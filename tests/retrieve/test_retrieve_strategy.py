"""Which examples a passage gets: every strategy against a plain reading of its definition."""

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinoner.records import Neighbours
from sinoner.retrieve.bm25 import Bm25
from sinoner.retrieve.example_statistics import usage
from sinoner.retrieve.strategy import Entry, Pool, Retrieved, Tools, retrieve
from sinoner.settings import RetrieveSettings

WORDS = [
    "天",
    "气",
    "很",
    "好",
    "明日",
    "上海",
    "有雨",
    "北京",
    "央行",
    "下调",
    "利率",
    "球队",
    "赢了",
    "比赛",
    "医院",
    "药物",
]
TYPES = ("地点", "组织", "时间", "人名")


def chunk(id: str, text: str, types: tuple[str, ...] = ()) -> Entry:
    """A passage of the document that its id names."""
    return Entry(id, text, types, document=id.rpartition("#")[0])


def entries(n: int, seed: int = 1, prefix: str = "p") -> list[Entry]:
    random = Random(seed)
    return [
        Entry(
            f"{prefix}{i:03d}#0",
            "".join(random.choices(WORDS, k=random.randint(3, 9))),
            tuple(random.sample(TYPES, random.randint(0, 3))),
        )
        for i in range(n)
    ]


def encode(texts: Sequence[str]) -> np.ndarray:
    """Bags of characters: a real embedding of texts, small and exact enough to check by hand."""
    vectors = np.zeros((len(texts), 32), dtype=np.float32)
    for row, text in enumerate(texts):
        for character in text:
            vectors[row, ord(character) % 32] += 1
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def split(texts: Sequence[str]) -> list[list[str]]:
    return [[text[i : i + 2] for i in range(0, len(text), 2)] for text in texts]


TOOLS = Tools(encode, split)
ALL = ("none", "nn", "random", "nn_bm25", "diverse_nn", "diverse_nn_bm25", "diverse_nn_bm25_rank", "mixed", "mmr",
       "type_aware", "hybrid")  # fmt: skip


def found(
    queries: list[Entry], pool: list[Entry], seed: int = 42, tools: Tools = TOOLS, **given: Any
) -> list[Neighbours]:
    return retrieve(queries, Pool(pool), RetrieveSettings(**given), seed, tools).neighbours


def ranked(query: Entry, pool: list[Entry]) -> list[Entry]:
    """All others by cosine; of equal texts the smallest id only, of equal cosines the smaller id."""
    first: dict[str, Entry] = {}
    for entry in sorted(pool):
        first.setdefault(entry.text, entry)
    others = [e for e in first.values() if e.text != query.text and e.id != query.id]
    own = encode([query.text])[0]
    near = {e.id: float(np.vecdot(encode([e.text])[0], own)) for e in others}
    return sorted(others, key=lambda e: (-round(near[e.id], 6), e.id))


def scores(query: Entry, rest: Sequence[Entry], pool: list[Entry]) -> list[float]:
    texts = list(dict.fromkeys(e.text for e in sorted(pool)))
    bm25 = Bm25(split(texts))
    return [
        float(x) for x in bm25.scores(split([query.text])[0], np.array([texts.index(e.text) for e in rest]))
    ]


QUERIES, POOL = entries(40), entries(40) + entries(30, 2, "q")


def test_nearest() -> None:
    for query, made in zip(QUERIES, found(QUERIES, POOL), strict=True):
        assert made.id == query.id
        assert list(made.neighbours) == [e.id for e in ranked(query, POOL)[:2]]
        assert list(made.cosine) == sorted(made.cosine, reverse=True)


@pytest.mark.parametrize("strategy", ALL)
def test_never_itself_nor_its_text(strategy: str) -> None:
    twins = [e._replace(id=f"a{e.id}") for e in QUERIES[:20]]
    texts = {e.id: e.text for e in POOL + twins}
    for query, made in zip(
        QUERIES, found(QUERIES, POOL + twins, strategy=strategy, k=4, threshold=0), strict=True
    ):
        assert query.id not in made.neighbours
        assert query.text not in [texts[i] for i in made.neighbours]
        assert len(set(made.neighbours)) == len(made.neighbours) <= 4
        assert len({texts[i] for i in made.neighbours}) == len(made.neighbours)
        assert len(made.neighbours) == (0 if strategy == "none" else 4) or strategy.endswith("bm25")


def test_an_example_with_the_id_of_the_query_but_another_text() -> None:
    other = [Entry(QUERIES[0].id, "完全不同的一句话"), *entries(5, 3, "x")]
    (made,) = found([QUERIES[0]], other, k=5)
    assert QUERIES[0].id not in made.neighbours
    assert len(made.neighbours) == 5


@pytest.mark.parametrize("strategy", [s for s in ALL if s != "none"])
def test_the_result_of_one_does_not_depend_on_the_others(strategy: str) -> None:
    settings = {"strategy": strategy, "k": 3, "candidates": 10, "threshold": 1.0}
    whole = {n.id: n for n in found(QUERIES, POOL, **settings)}
    shuffled = Random(3).sample(QUERIES, 15)
    assert found(shuffled, Random(4).sample(POOL, len(POOL)), **settings) == [whole[q.id] for q in shuffled]
    assert found(QUERIES[:1], POOL, **settings) == [whole[QUERIES[0].id]]


@pytest.mark.parametrize("strategy", ["random", "diverse_nn", "diverse_nn_bm25", "mixed"])
def test_the_seed_matters_where_something_is_drawn(strategy: str) -> None:
    given = {"strategy": strategy, "k": 2, "threshold": -100.0}
    assert (
        found(QUERIES, POOL, 1, **given)
        == found(QUERIES, POOL, 1, **given)
        != found(QUERIES, POOL, 2, **given)
    )


@pytest.mark.parametrize("strategy", ["nn", "nn_bm25", "diverse_nn_bm25_rank", "mmr", "type_aware", "hybrid"])
def test_and_nowhere_else(strategy: str) -> None:
    assert found(QUERIES, POOL, 1, strategy=strategy) == found(QUERIES, POOL, 2, strategy=strategy)


def test_random_is_uniform() -> None:
    times = {e.id: 0 for e in Pool(POOL).entries}
    for seed in range(300):
        for i in found(QUERIES[:1], POOL, seed, strategy="random", k=3)[0].neighbours:
            times[i] += 1
    own = times.pop(QUERIES[0].id)
    assert own == 0
    expected = 900 / len(times)
    chi2 = sum((n - expected) ** 2 / expected for n in times.values())
    assert chi2 < len(times) + 4 * (2 * len(times)) ** 0.5


def test_random_needs_neither_vectors_nor_words() -> None:
    def never(texts: Sequence[str]) -> Any:
        raise AssertionError("was asked")

    tools = Tools(never, never)
    assert all(len(n.neighbours) == 2 for n in found(QUERIES, POOL, tools=tools, strategy="random"))
    assert all(n.neighbours == () for n in found(QUERIES, POOL, tools=tools, strategy="none"))
    assert all(n.neighbours == () for n in found(QUERIES, POOL, tools=tools, k=0))
    assert all(n.neighbours == () for n in found(QUERIES, [], tools=tools))
    assert found([], POOL, tools=tools) == []


def test_bm25_threshold() -> None:
    pool = QUERIES + POOL
    limit = float(np.median([s for q in QUERIES for s in scores(q, ranked(q, pool)[:2], pool)]))
    result = retrieve(QUERIES, Pool(pool), RetrieveSettings(strategy="nn_bm25", threshold=limit), 42, TOOLS)
    below = 0
    for query, made in zip(QUERIES, result.neighbours, strict=True):
        near = ranked(query, pool)[:2]
        expected = [(e.id, s) for e, s in zip(near, scores(query, near, pool), strict=True) if s >= limit]
        assert list(made.neighbours) == [i for i, _ in expected]
        assert list(made.bm25) == pytest.approx([s for _, s in expected], abs=1e-6)
        below += 2 - len(expected)
    assert sum(result.below) == below > 0
    assert any(n.neighbours for n in result.neighbours)


def test_diverse_draws_from_the_candidates_only() -> None:
    seen = set()
    for seed in range(30):
        (made,) = found(QUERIES[:1], POOL, seed, strategy="diverse_nn", candidates=6)
        near = [e.id for e in ranked(QUERIES[0], POOL)[:6]]
        assert set(made.neighbours) <= set(near)
        assert [near.index(i) for i in made.neighbours] == sorted(near.index(i) for i in made.neighbours)
        seen.update(made.neighbours)
    assert len(seen) == 6


def test_diverse_bm25_draws_first_and_thresholds_then() -> None:
    given = {"candidates": 10, "k": 4}
    plain = found(QUERIES, POOL, strategy="diverse_nn", **given)
    some = found(QUERIES, POOL, strategy="diverse_nn_bm25", threshold=1.5, **given)
    for query, all_of, kept in zip(QUERIES, plain, some, strict=True):
        by_id = {e.id: e for e in POOL}
        drawn = [by_id[i] for i in all_of.neighbours]
        expected = [e.id for e, s in zip(drawn, scores(query, drawn, POOL), strict=True) if s >= 1.5]
        assert list(kept.neighbours) == expected


def test_rank_by_bm25_among_the_candidates() -> None:
    for query, made in zip(
        QUERIES,
        found(QUERIES, POOL, strategy="diverse_nn_bm25_rank", candidates=12, k=3, threshold=-9.0),
        strict=True,
    ):
        near = ranked(query, POOL)[:12]
        of = scores(query, near, POOL)
        best = sorted(range(12), key=lambda i: (-round(of[i], 9), i))[:3]
        assert list(made.neighbours) == [near[i].id for i in best]


def test_mixed_is_nn_or_random() -> None:
    nn, random = found(QUERIES, POOL), found(QUERIES, POOL, strategy="random")
    mixed = found(QUERIES, POOL, strategy="mixed", nn_share=0.7)
    kinds = [m == n for m, n in zip(mixed, nn, strict=True)]
    assert all(m in (n, r) for m, n, r in zip(mixed, nn, random, strict=True))
    assert 15 < sum(kinds) < 39
    assert found(QUERIES, POOL, strategy="mixed", nn_share=1.0) == nn
    assert found(QUERIES, POOL, strategy="mixed", nn_share=0.0) == random


def by_relevance(query: Entry, near: list[Entry], k: int, relevance: float) -> list[str]:
    vectors = {e.text: encode([e.text])[0] for e in [*near, query]}
    taken: list[Entry] = []

    def gain(e: Entry) -> float:
        like = max((float(np.vecdot(vectors[e.text], vectors[t.text])) for t in taken), default=0.0)
        return round(
            relevance * float(np.vecdot(vectors[e.text], vectors[query.text])) - (1 - relevance) * like, 6
        )

    while len(taken) < k:
        taken.append(max((e for e in near if e not in taken), key=gain))  # the first of equals
    return [e.id for e in taken]


def test_mmr_by_its_definition() -> None:
    made = found(QUERIES, POOL, strategy="mmr", relevance=0.4, candidates=15, k=4)
    same = 0
    for query, mine in zip(QUERIES, made, strict=True):
        expected = by_relevance(query, ranked(query, POOL)[:15], 4, 0.4)
        same += list(mine.neighbours) == expected
    assert same >= len(QUERIES) - 3  # a tie in the sixth decimal may go either way
    assert found(QUERIES, POOL, strategy="mmr", relevance=1.0) == found(QUERIES, POOL)


def test_type_aware_covers_the_types_asked() -> None:
    types = {e.id: set(e.types) for e in POOL}
    given = {"strategy": "type_aware", "candidates": 30}
    for query, made in zip(QUERIES, found(QUERIES, POOL, **given), strict=True):
        near = ranked(query, POOL)[:30]
        if not query.types:
            assert list(made.neighbours) == [e.id for e in near[:2]]
            continue
        most = max(len(set(query.types) & types[e.id]) for e in near)
        first = next(e.id for e in near if len(set(query.types) & types[e.id]) == most)
        assert made.neighbours[0] == first
        best = max(len(set(query.types) & (types[first] | types[e.id])) for e in near)
        shown = set().union(*(types[i] for i in made.neighbours))
        assert len(set(query.types) & shown) == best


def test_hybrid_fuses_two_rankings() -> None:
    for query, made in zip(QUERIES, found(QUERIES, POOL, strategy="hybrid", candidates=8, k=3), strict=True):
        near = ranked(query, POOL)
        of = scores(query, near, POOL)
        row = {e.id: i for i, e in enumerate(Pool(POOL).entries)}
        positive = [i for i in range(len(near)) if of[i] > 0]
        by_bm25 = sorted(positive, key=lambda i: (-round(of[i], 9), row[near[i].id]))[:8]
        gain: dict[str, float] = {}
        for rank, entry in enumerate(near[:8]):
            gain[entry.id] = gain.get(entry.id, 0) + 1 / (61 + rank)
        for rank, i in enumerate(by_bm25):
            gain[near[i].id] = gain.get(near[i].id, 0) + 1 / (61 + rank)
        best = sorted(gain, key=lambda i: (-round(gain[i], 12), row[i]))[:3]
        assert list(made.neighbours) == best


def test_a_query_instruction_goes_in_front_of_what_asks_only() -> None:
    asked: list[str] = []

    def heard(texts: Sequence[str]) -> np.ndarray:
        asked.extend(texts)
        return encode(texts)

    found(QUERIES[:3], POOL, tools=Tools(heard, split), query_instruction="找相似句子：")
    own = [f"找相似句子：{q.text}" for q in QUERIES[:3]]
    assert [t for t in asked if t.startswith("找相似")] == own
    assert set(asked) - set(own) == {e.text for e in POOL}


def test_all_passages_identical_leave_nothing_to_show() -> None:
    same = [chunk(f"{i}#0", "同一句话") for i in range(5)]
    for strategy in ALL:
        assert all(n.neighbours == () for n in found(same, same, strategy=strategy))
    assert Pool(same).duplicates == 4


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(ALL), st.integers(0, 6), st.integers(1, 9), st.integers(0, 12), st.integers(0, 12))
def test_any_size(strategy: str, k: int, candidates: int, asking: int, there: int) -> None:
    queries, pool = entries(asking, 5), entries(there, 5)
    made = found(queries, pool, strategy=strategy, k=k, candidates=candidates, threshold=-99.0)
    assert [n.id for n in made] == [q.id for q in queries]
    for n in made:
        assert len(n.neighbours) <= k
        assert not n.cosine or len(n.cosine) == len(n.neighbours)


# passages of the same document -----------------------------------------------------------------------------------


def documents(n: int, size: int, seed: int = 7) -> list[Entry]:
    """Documents of so many passages that are about as like each other as passages of one document are."""
    random = Random(seed)
    made: list[Entry] = []
    for d in range(n):
        own = random.choices(WORDS, k=4)
        for c in range(size):
            text = "".join([*own, *random.choices(WORDS, k=3)]) + f"{d}"
            made.append(chunk(f"doc{d}#{c}", text, tuple(random.sample(TYPES, 2))))
    return made


def document(identifier: str) -> str:
    return identifier.partition("#")[0]


@pytest.mark.parametrize("strategy", [s for s in ALL if s != "none"])
def test_passages_of_the_same_document_are_no_examples_when_told(strategy: str) -> None:
    pool = documents(6, 8)
    given: dict[str, Any] = {"strategy": strategy, "k": 3, "candidates": 12, "threshold": -99.0}
    with_them, without = found(pool, pool, **given), found(pool, pool, same_document=False, **given)
    assert any(document(i) == document(n.id) for n in with_them for i in n.neighbours)
    for made in without:
        assert len(made.neighbours) == len(set(made.neighbours)) == 3
        assert document(made.id) not in map(document, made.neighbours)


@pytest.mark.parametrize("strategy", ["nn", "diverse_nn", "mmr", "type_aware"])
def test_they_are_left_out_before_the_strategy_chooses(strategy: str) -> None:
    pool = documents(6, 8)
    given: dict[str, Any] = {"strategy": strategy, "k": 3, "candidates": 12}
    for query, made in zip(pool, found(pool, pool, same_document=False, **given), strict=True):
        rest = [e for e in pool if document(e.id) != document(query.id)]
        assert [made] == found([query], rest, **given)


@pytest.mark.parametrize("strategy", ["nn", "random", "hybrid", "diverse_nn_bm25_rank"])
def test_a_document_with_more_passages_than_are_looked_for_at_once(strategy: str) -> None:
    own = "天气很好明日有雨"
    long = [chunk(f"long#{i}", f"{own}{own[: i % 8]}{i}", ()) for i in range(200)]
    pool = [*long, *entries(40, 3, "x")]
    given: dict[str, Any] = {"strategy": strategy, "k": 4, "candidates": 10, "threshold": -99.0}
    for made in found(long[:30], pool, same_document=False, **given):
        assert len(made.neighbours) == 4
        assert "long" not in map(document, made.neighbours)
    if strategy == "nn":
        assert found(long[:30], pool, same_document=False, **given) == found(long[:30], pool[200:], **given)


def test_passages_with_too_few_of_other_documents_are_counted() -> None:
    pool = Pool([chunk("a#0", "甲天"), chunk("a#1", "甲气"), chunk("a#2", "甲很"), chunk("b#0", "乙好")])
    queries = pool.entries
    for strategy, expected in (("nn", [1, 1, 1, 2]), ("random", [1, 1, 1, 2]), ("none", [0] * 4)):
        given: dict[str, Any] = {"strategy": strategy, "k": 2}
        made = retrieve(queries, pool, RetrieveSettings(same_document=False, **given), 42, TOOLS)
        assert [len(n.neighbours) for n in made.neighbours] == expected
        assert list(made.short) == ([True, True, True, False] if strategy != "none" else [])
        assert not any(retrieve(queries, pool, RetrieveSettings(**given), 42, TOOLS).short)
    alone = retrieve(queries[3:], pool, RetrieveSettings(same_document=False, k=9), 42, TOOLS)
    assert not any(alone.short)  # the pool is too small for it, not its document


def test_a_text_that_stands_in_the_document_too_is_of_the_same_document() -> None:
    """Of equal texts one stays, here that of another document: it is barred for both."""
    pool = [
        chunk("a#0", "同一句话"),
        chunk("b#0", "天气很好"),
        chunk("b#1", "同一句话"),
        chunk("c#0", "球队赢了"),
    ]
    (made,) = found([pool[1]], pool, same_document=False, k=3)
    assert made.neighbours == ("c#0",)
    (made,) = found([pool[1]], pool, k=3)
    assert set(made.neighbours) == {"a#0", "c#0"}


@pytest.mark.parametrize("strategy", ["nn", "random", "mmr", "hybrid", "diverse_nn"])
def test_nor_does_the_result_of_one_depend_on_the_others_without_its_document(strategy: str) -> None:
    pool = [*documents(3, 9), *documents(1, 150, 9)[100:], *entries(30)]
    given: dict[str, Any] = {"strategy": strategy, "k": 3, "candidates": 8, "same_document": False}
    whole = {n.id: n for n in found(pool, pool, **given)}
    for query in pool[::7]:
        assert found([query], pool, **given) == [whole[query.id]]


def test_usage() -> None:
    pool = Pool([Entry("a", "甲", ("人", "地")), Entry("b", "乙"), Entry("c", "甲")])
    queries = [Entry("x", "x", ("人", "时")), Entry("y", "y", ("人",)), Entry("z", "z")]
    retrieved = Retrieved(
        [Neighbours(id="x", neighbours=("a", "b"), cosine=(0.5, 0.1), bm25=(30.0, 10.0)),
         Neighbours(id="y", neighbours=("b",), cosine=(0.3,), bm25=(20.0,)), Neighbours(id="z")],
        below=[0, 1, 2], short=[False, True, True], method="exact",
    )  # fmt: skip
    told = usage(queries, pool, retrieved, RetrieveSettings(strategy="nn_bm25"), "zh", embedder="e", cut=1)
    assert (told.queries, told.pool, told.duplicates, told.below, told.cut) == (3, 2, 1, 3, 1)
    assert told.short == 2
    assert told.by_number == (1, 1, 1)
    assert told.cosine == pytest.approx(0.3)
    assert told.bm25 == pytest.approx(20.0)
    assert told.used == 2
    assert told.most_used == (("b", 2), ("a", 1))
    assert told.shared_types == pytest.approx(25.0)  # half of x's, none of y's
    assert sum(told.cosines.counts) == sum(told.scores.counts) == 3
    assert told.cosines.counts[75] == 1  # 0.5
    assert told.first == pytest.approx(0.4)  # 0.5 and 0.3
    assert (told.half, told.uses.counts[:4]) == (1, (0, 1, 1, 0))
    assert told.most_used_texts == ("乙", "甲")


def test_usage_of_some_queries() -> None:
    pool = Pool([Entry("a", "甲", ("人",)), Entry("b", "乙" * 99), Entry("c", "丙")])
    queries = [Entry("x", "x", ("人", "时")), Entry("y", "y", ("人",)), Entry("z", "z")]
    retrieved = Retrieved(
        [Neighbours(id="x", neighbours=("a",), cosine=(0.5,)), Neighbours(id="y", neighbours=("b",), cosine=(0.3,)),
         Neighbours(id="z")], below=[0, 1, 2],
    )  # fmt: skip
    settings = RetrieveSettings(strategy="nn", k=1)
    told = usage([queries[i] for i in (1, 2)], pool, retrieved.some([1, 2]), settings, "zh", benchmark="msra")
    assert (told.benchmark, told.queries, told.below, told.by_number) == ("msra", 2, 3, (1, 1))
    assert (told.first, told.shared_types) == (pytest.approx(0.3), 0)
    assert told.most_used_texts == ("乙" * 79 + "…",)
    assert told.uses.counts[:2] == (2, 1)
    whole = usage(queries, pool, Retrieved([Neighbours(id=i) for i in "xyz"]), settings, "zh")
    assert (whole.used, whole.half, whole.uses.counts, whole.first) == (0, 0, (), None)
    assert Retrieved([Neighbours(id="x")]).some([0]).below == ()


@pytest.mark.parametrize(
    ("times", "half"), [((), 0), ((4,), 1), ((1, 1, 1, 1), 2), ((2, 1, 1, 1), 2), ((9, 1, 1), 1)]
)
def test_how_few_passages_make_up_half_of_the_examples(times: tuple[int, ...], half: int) -> None:
    pool = Pool([Entry(f"p{i}", f"t{i}") for i in range(5)])
    found = [Neighbours(id="q", neighbours=(f"p{i}",)) for i, n in enumerate(times) for _ in range(n)]
    queries = [Entry("q", "q")] * len(found)
    assert usage(queries, pool, Retrieved(found), RetrieveSettings(k=1), "zh").half == half
