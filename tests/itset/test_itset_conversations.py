"""Annotations and their examples → conversations."""

import json
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.itset.conversations import Built, build
from sinoner.itset.hard_negatives import HardNegatives, Labels
from sinoner.itset.negatives import EMPTY_NEGATIVES, NegativeSampler, dropped_types
from sinoner.records import HUMAN, Annotation, Conversation, Entity, Lang, Passage, Reject
from sinoner.settings import ItSetSettings

FREQUENCY: dict[Lang, dict[str, int]] = {
    "zh": {"人名": 9, "地点": 5, "产品": 2, "疾病": 1, "书名": 1, "其他": 6},
    "en": {"person": 3, "place": 2, "drug": 1},
}


def annotation(n: int, types: Iterable[str], lang: Lang = "zh") -> Annotation:
    entities = tuple(Entity(surface=f"<{t}>", type=t, starts=(i,)) for i, t in _placed(types))
    text = "".join(f"<{t}>" for t in types) or "空"
    return Annotation(
        passage=Passage(id=f"{lang}-{n}#0", text=text, source="s", lang=lang), entities=entities, by=HUMAN
    )


def _placed(types: Iterable[str]) -> Iterable[tuple[int, str]]:
    at = 0
    for kind in types:
        yield at, kind
        at += len(kind) + 2


MANY = [annotation(i, [("人名", "地点", "产品")[(i + j) % 3] for j in range(1 + i % 3)]) for i in range(30)]
MANY += [annotation(i, ["person", "place"][: 1 + i % 2], "en") for i in range(10)]
SIMILAR = {"人名": ("书名",), "地点": ("疾病",), "产品": ("疾病", "书名"), "person": ("drug",)}


def made(
    annotations: Iterable[Annotation],
    seed: int = 42,
    frequency: dict[Lang, dict[str, int]] | None = None,
    **given: Any,
) -> list[Built | Reject]:
    settings = ItSetSettings(**given)
    near = {a.passage.id for a in MANY[4:8]}
    negatives = {
        lang: HardNegatives(
            NegativeSampler(counts, settings.negatives, settings.max_negatives, dropped_types(settings)),
            settings.hard,
            SIMILAR,
            Labels(a for a in MANY if a.passage.lang == lang),
            seed,
        )
        for lang, counts in (frequency or FREQUENCY).items()
    }
    passages = ((a, [MANY[0], MANY[3]] if a.passage.id in near else []) for a in annotations)
    return list(build(passages, negatives, settings, seed, count=len))


def conversations(annotations: Iterable[Annotation], seed: int = 42, **settings: Any) -> list[Conversation]:
    """One conversation each, nothing rejected."""
    found = []
    for item in made(annotations, seed, **settings):
        assert isinstance(item, Built)
        (conversation,) = item.conversations
        found.append(conversation)
    return found


@given(st.randoms(use_true_random=False), st.integers(0, 40))
def test_the_order_of_the_passages_does_not_matter(random: Random, size: int) -> None:
    shuffled = random.sample(MANY, size)
    expected = {c.id: c for c in conversations(MANY)}
    assert conversations(shuffled) == [expected[a.passage.id] for a in shuffled]


def test_a_seed_is_a_set_and_another_seed_another() -> None:
    assert made(MANY, 1) == made(MANY, 1)
    one, two = made(MANY, 1), made(MANY, 2)
    assert sum(a != b for a, b in zip(one, two, strict=True)) > 10


def test_positives_all_asked_negatives_answered_with_nothing() -> None:
    negatives = 0
    for about, item in zip(MANY, conversations(MANY, negatives=1.0), strict=True):
        positives = {e.type for e in about.entities}
        assert positives <= set(item.types) <= set(FREQUENCY[about.passage.lang])
        assert len(set(item.types)) == len(item.types)
        for kind, message in zip(item.types, item.messages[-2 * len(item.types) + 1 :: 2], strict=True):
            assert (message.content == "[]") == (kind not in positives)
            negatives += kind not in positives
    assert negatives > 30
    assert all(
        set(c.types) == {e.type for e in a.entities}
        for a, c in zip(MANY, conversations(MANY, negatives=0.0), strict=True)
    )


def test_positives_and_negatives_are_shuffled_together() -> None:
    places = set()
    for about, item in zip(MANY, conversations(MANY, negatives=1.0), strict=True):
        positives = {e.type for e in about.entities}
        places.add(tuple(t in positives for t in item.types))
    assert {(True, False), (False, True)} <= places


def test_what_was_drawn_is_told() -> None:
    for about, item in zip(MANY, made(MANY, negatives=1.0, hard=1.0), strict=True):
        assert isinstance(item, Built)
        (conversation,) = item.conversations
        positives = {e.type for e in about.entities}
        assert set(item.negatives.types) == set(conversation.types) - positives
        if "人名" in positives and len(positives) == 1:  # the only hard type of a name is a book's
            assert "书名" in item.negatives.types
    limited = made(MANY, negatives=1.0, max_negatives=1)
    assert all(isinstance(i, Built) and len(i.negatives.types) == 1 for i in limited)


def test_examples_come_from_the_pool_in_their_order() -> None:
    with_examples, without = conversations(MANY)[4], conversations(MANY)[9]
    assert with_examples.examples == (MANY[0].passage.id, MANY[3].passage.id)
    shown = with_examples.messages[0].content
    assert 0 < shown.index(MANY[0].passage.text) < shown.rindex(MANY[3].passage.text)
    assert without.examples == ()
    assert without.messages[0].content == f"文本： {MANY[9].passage.text}"


def test_some_are_left_without_examples() -> None:
    assert all(not c.examples for c in conversations(MANY, plain=1.0))
    assert all(c.examples for c in conversations(MANY, plain=0.0)[4:8])


def test_passages_without_entities() -> None:
    empty = annotation(99, [])
    (reject,) = made([empty])
    assert isinstance(reject, Reject)
    assert (reject.id, reject.stage, reject.reason) == ("zh-99#0", "build-it-set", "no_entities")
    (kept,) = conversations([empty], keep_empty=True)
    assert len(kept.types) == EMPTY_NEGATIVES
    assert [m.content for m in kept.messages[3::2]] == ["[]"] * EMPTY_NEGATIVES


def test_a_data_set_without_types() -> None:
    (reject,) = made([annotation(1, [])], frequency={"zh": {}, "en": {}}, keep_empty=True)
    assert isinstance(reject, Reject)
    assert reject.reason == "no_types"


def test_nothing_is_dropped() -> None:
    mixed = [*MANY, *(annotation(100 + i, []) for i in range(5))]
    out = made(mixed)
    assert [o.id if isinstance(o, Reject) else o.annotation.passage.id for o in out] == [
        a.passage.id for a in mixed
    ]
    assert sum(isinstance(o, Reject) for o in out) == 5


@pytest.mark.parametrize("style", ["sinoner", "rait"])
def test_the_style_is_the_one_asked_for(style: str) -> None:
    item = conversations(MANY, style=style)[4]
    assert ("{'<人名>': '人名'}" in item.messages[0].content) == (style == "rait")
    assert ('{"<人名>": "人名"}' in item.messages[0].content) == (style == "sinoner")


def test_one_conversation_per_type() -> None:
    for one, several in zip(made(MANY), made(MANY, mode="type"), strict=True):
        assert isinstance(one, Built)
        assert isinstance(several, Built)
        assert several.negatives == one.negatives
        assert [c.types[0] for c in several.conversations] == list(one.conversations[0].types)
        assert len({c.id for c in several.conversations}) == len(several.conversations)


def test_all_at_once_needs_no_negatives() -> None:
    for about, item in zip(MANY, made(MANY, mode="all", negatives=1.0), strict=True):
        assert isinstance(item, Built)
        assert item.negatives.types == ()
        (conversation,) = item.conversations
        told = json.loads(conversation.messages[-1].content)
        assert set(told) == {e.type for e in about.entities}
    (empty,) = made([annotation(99, [])], mode="all", keep_empty=True)
    assert isinstance(empty, Built)
    assert empty.conversations[0].messages[-1].content == "{}"


def test_with_the_schema_negatives_are_keys_without_mentions() -> None:
    for about, item in zip(MANY, conversations(MANY, mode="schema", negatives=1.0), strict=True):
        told = json.loads(item.messages[-1].content)
        positives = {e.type for e in about.entities}
        assert list(told) == list(item.types)
        assert {t for t, mentions in told.items() if mentions} == positives
        assert len(told) > len(positives)


def test_misc_types_kept_or_dropped() -> None:
    some = [annotation(50, ["人名", "其他"]), annotation(51, ["其他"])]
    kept, alone = made(some, negatives=1.0)
    assert isinstance(kept, Built)
    assert isinstance(alone, Built)
    assert "其他" in kept.conversations[0].types
    kept, alone = made(some, misc="drop", negatives=1.0)
    assert isinstance(kept, Built)
    assert "其他" not in kept.conversations[0].types
    assert [e.type for e in kept.annotation.entities] == ["人名"]
    assert isinstance(alone, Reject)
    assert alone.reason == "no_entities"
    drawn = [made([annotation(60 + i, ["人名"])], misc="drop", negatives=1.0)[0] for i in range(40)]
    assert all(isinstance(d, Built) and "其他" not in d.negatives.types for d in drawn)


def test_a_budget_takes_examples_and_never_answers() -> None:
    whole = made(MANY)[4]
    assert isinstance(whole, Built)
    size = sum(len(m.content) + 4 for m in whole.conversations[0].messages)
    (tight,) = made([MANY[4]], max_tokens=max(size - 5, 32), fit="drop")
    assert isinstance(tight, Built)
    assert tight.fitted.dropped >= 1
    assert tight.conversations[0].examples == (MANY[0].passage.id,)
    rest = [m.content for m in whole.conversations[0].messages[2:]]
    assert [m.content for m in tight.conversations[0].messages[-len(rest) :]] == rest
    (over,) = made([MANY[4]], max_tokens=32)
    assert isinstance(over, Built)
    assert over.fitted.over
    assert [m.content for m in over.conversations[0].messages] == rest
