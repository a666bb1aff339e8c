"""Annotations and neighbours → conversations."""

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.itset.build import build
from sinoner.itset.negatives import EMPTY_NEGATIVES
from sinoner.records import Annotation, Conversation, Entity, Lang, Neighbours, Passage, Reject
from sinoner.settings import ItSetSettings

FREQUENCY: dict[Lang, dict[str, int]] = {
    "zh": {"人名": 9, "地点": 5, "产品": 2, "疾病": 1, "书名": 1},
    "en": {"person": 3, "place": 2, "drug": 1},
}


def annotation(n: int, types: Iterable[str], lang: Lang = "zh") -> Annotation:
    entities = tuple(Entity(surface=f"<{t}>", type=t, starts=(i,)) for i, t in _placed(types))
    text = "".join(f"<{t}>" for t in types) or "空"
    return Annotation(
        passage=Passage(id=f"{lang}-{n}#0", text=text, source="s", lang=lang), entities=entities, by="human"
    )


def _placed(types: Iterable[str]) -> Iterable[tuple[int, str]]:
    at = 0
    for kind in types:
        yield at, kind
        at += len(kind) + 2


MANY = [annotation(i, [("人名", "地点", "产品")[(i + j) % 3] for j in range(1 + i % 3)]) for i in range(30)]
MANY += [annotation(i, ["person", "place"][: 1 + i % 2], "en") for i in range(10)]


def made(annotations: Iterable[Annotation], seed: int = 42, **settings: Any) -> list[Conversation | Reject]:
    pool = {a.passage.id: a for a in MANY}
    near = {
        a.passage.id: Neighbours(id=a.passage.id, neighbours=(MANY[0].passage.id, MANY[3].passage.id))
        for a in MANY[4:8]
    }
    return list(build(annotations, near, pool, FREQUENCY, ItSetSettings(**settings), seed))


@given(st.randoms(use_true_random=False), st.integers(0, 40))
def test_the_order_of_the_passages_does_not_matter(random: Random, size: int) -> None:
    shuffled = random.sample(MANY, size)
    expected = {c.id: c for c in made(MANY)}
    assert made(shuffled) == [expected[a.passage.id] for a in shuffled]


def test_a_seed_is_a_set_and_another_seed_another() -> None:
    assert made(MANY, 1) == made(MANY, 1)
    one, two = made(MANY, 1), made(MANY, 2)
    assert sum(a != b for a, b in zip(one, two, strict=True)) > 10


def test_positives_all_asked_negatives_answered_with_nothing() -> None:
    negatives = 0
    for about, item in zip(MANY, made(MANY, negatives=1.0), strict=True):
        assert isinstance(item, Conversation)
        positives = {e.type for e in about.entities}
        assert positives <= set(item.types) <= set(FREQUENCY[about.passage.lang])
        assert len(set(item.types)) == len(item.types)
        for kind, message in zip(item.types, item.messages[-2 * len(item.types) + 1 :: 2], strict=True):
            assert (message.content == "[]") == (kind not in positives)
            negatives += kind not in positives
    assert negatives > 30
    assert all(
        set(c.types) == {e.type for e in a.entities}
        for a, c in zip(MANY, made(MANY, negatives=0.0), strict=True)
        if isinstance(c, Conversation)
    )


def test_positives_and_negatives_are_shuffled_together() -> None:
    places = set()
    for about, item in zip(MANY, made(MANY, negatives=1.0), strict=True):
        assert isinstance(item, Conversation)
        positives = {e.type for e in about.entities}
        places.add(tuple(t in positives for t in item.types))
    assert {(True, False), (False, True)} <= places


def test_examples_come_from_the_pool_in_their_order() -> None:
    with_examples = made(MANY)[4]
    without = made(MANY)[9]
    assert isinstance(with_examples, Conversation)
    assert isinstance(without, Conversation)
    assert with_examples.examples == (MANY[0].passage.id, MANY[3].passage.id)
    shown = with_examples.messages[0].content
    assert 0 < shown.index(MANY[0].passage.text) < shown.rindex(MANY[3].passage.text)
    assert without.examples == ()
    assert without.messages[0].content == f"文本： {MANY[9].passage.text}"


def test_passages_without_entities() -> None:
    empty = annotation(99, [])
    (reject,) = made([empty])
    assert isinstance(reject, Reject)
    assert (reject.id, reject.stage, reject.reason) == ("zh-99#0", "build-it-set", "no_entities")
    (kept,) = made([empty], keep_empty=True)
    assert isinstance(kept, Conversation)
    assert len(kept.types) == EMPTY_NEGATIVES
    assert [m.content for m in kept.messages[3::2]] == ["[]"] * EMPTY_NEGATIVES


def test_a_data_set_without_types() -> None:
    nothing: dict[Lang, dict[str, int]] = {"zh": {}, "en": {}}
    (reject,) = build([annotation(1, [])], {}, {}, nothing, ItSetSettings(keep_empty=True), 1)
    assert isinstance(reject, Reject)
    assert reject.reason == "no_types"


def test_nothing_is_dropped() -> None:
    mixed = [*MANY, *(annotation(100 + i, []) for i in range(5))]
    out = made(mixed)
    assert [o.id for o in out] == [a.passage.id for a in mixed]
    assert sum(isinstance(o, Reject) for o in out) == 5


@pytest.mark.parametrize("style", ["sinoner", "rait"])
def test_the_style_is_the_one_asked_for(style: str) -> None:
    item = made(MANY, style=style)[4]
    assert isinstance(item, Conversation)
    assert ("{'<人名>': '人名'}" in item.messages[0].content) == (style == "rait")
    assert ('{"<人名>": "人名"}' in item.messages[0].content) == (style == "sinoner")
