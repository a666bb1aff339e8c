"""Which examples a passage gets."""

from pathlib import Path
from typing import Any

import pytest

from sinoner.records import Lang, Neighbours, Passage
from sinoner.retrieve.strategy import retrieve
from sinoner.settings import RetrieveSettings


def passage(id: str, text: str, lang: Lang = "zh") -> Passage:
    return Passage(id=id, text=text, source="s", lang=lang)


ZH = [
    passage(f"zh{i}#0", t)
    for i, t in enumerate(("今天天气很好", "明日上海有雨", "北京很好", "今天天气很好。", "雨"))
]
EN = [passage(f"en{i}#0", t, "en") for i, t in enumerate(("abc def", "xyz", "hello, abc", "abc deg"))]
MIXED = [x for pair in zip(ZH, EN, strict=False) for x in pair] + [ZH[4]]


@pytest.fixture(scope="module")
def bge(tiny_bert: Path) -> RetrieveSettings:
    return RetrieveSettings(embedder="bge", model_zh=str(tiny_bert), model_en=str(tiny_bert))


def found(queries: list[Passage], pool: list[Passage], seed: int = 42, **settings: Any) -> list[Neighbours]:
    return list(retrieve(queries, pool, RetrieveSettings(**settings), seed))


def test_nearest_and_languages_never_mix(bge: RetrieveSettings) -> None:
    made = list(retrieve(MIXED, MIXED, bge, 42))
    assert [n.id for n in made] == [p.id for p in MIXED]
    for neighbours in made:
        assert len(neighbours.neighbours) == len(neighbours.cosine) == 2
        assert neighbours.id not in neighbours.neighbours
        assert {i[:2] for i in neighbours.neighbours} == {neighbours.id[:2]}
        assert list(neighbours.cosine) == sorted(neighbours.cosine, reverse=True)
        assert all(-1 <= c <= 1 for c in neighbours.cosine)


def test_nearest_finds_the_twin(bge: RetrieveSettings) -> None:
    twin = passage("twin#0", ZH[0].text)
    (made,) = retrieve([twin], ZH, bge, 42)
    assert made.neighbours[0] == ZH[0].id
    assert made.cosine[0] == pytest.approx(1.0, abs=1e-5)


def test_random_languages_never_mix_and_never_itself() -> None:
    for neighbours in found(MIXED, MIXED, strategy="random", k=3):
        assert len(set(neighbours.neighbours)) == 3
        assert neighbours.id not in neighbours.neighbours
        assert {i[:2] for i in neighbours.neighbours} == {neighbours.id[:2]}


def test_random_depends_on_the_id_and_the_seed_only() -> None:
    whole = {n.id: n for n in found(MIXED, MIXED, strategy="random")}
    for some in ([ZH[2]], [EN[1], ZH[4], ZH[0]], list(reversed(MIXED))):
        assert found(some, list(reversed(MIXED)), strategy="random") == [whole[p.id] for p in some]
    other = [found(MIXED, MIXED, seed, strategy="random") for seed in range(5)]
    assert len({tuple(n.neighbours for n in run) for run in other}) == 5


def test_random_takes_all_when_there_are_few() -> None:
    (made,) = found([ZH[0]], ZH[:3], strategy="random", k=9)
    assert sorted(made.neighbours) == [ZH[1].id, ZH[2].id]
    assert made.cosine == ()


@pytest.mark.parametrize(
    "settings", [{"strategy": "none"}, {"strategy": "nn", "k": 0}, {"strategy": "random", "k": 0}]
)
def test_none(settings: dict[str, Any]) -> None:
    assert found(MIXED, MIXED, **settings) == [Neighbours(id=p.id) for p in MIXED]


@pytest.mark.parametrize("strategy", ["nn", "random"])
def test_a_language_without_a_pool(strategy: str, bge: RetrieveSettings) -> None:
    settings = bge.model_copy(update={"strategy": strategy})
    made = list(retrieve([EN[0], ZH[0]], ZH, settings, 42))
    assert made[0] == Neighbours(id=EN[0].id)
    assert len(made[1].neighbours) == 2


def test_a_pool_of_itself_only(bge: RetrieveSettings) -> None:
    assert list(retrieve([ZH[0]], [ZH[0]], bge, 42)) == [Neighbours(id=ZH[0].id)]
    assert found([ZH[0]], [ZH[0]], strategy="random") == [Neighbours(id=ZH[0].id)]


def test_no_queries() -> None:
    assert found([], ZH, strategy="nn") == []
