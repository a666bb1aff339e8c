"""Answers to the renderer's queries: a prediction per passage and type in every mode."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.itset.predictions import Predicted, answer_limit, predictions
from sinoner.itset.render import conversations, query_conversations
from sinoner.records import HUMAN, Annotation, Conversation, Entity, Passage, Prediction
from sinoner.settings.itset_section import Mode, Style
from sinoner.text.ground import occurrences

PASSAGE = Passage(id="星#0", text="林晓在上海。", source="s", lang="zh")


def query(*types: str, mode: Mode = "schema") -> Conversation:
    (made,) = query_conversations(PASSAGE, types, (), "sinoner", mode)
    return made


def surfaces(predicted: Predicted) -> dict[str, tuple[str, ...]]:
    return {made.type: made.surfaces for made in predicted.predictions}


@pytest.mark.parametrize("mode", ["passage", "type"])
@pytest.mark.parametrize(
    ("raw", "told", "reason"),
    [('["林晓"]', ("林晓",), None), ("[]", (), None), ('{"人名": ["林', (), "truncated"), ("无", (), "unparsed")],
)  # fmt: skip
def test_a_list_is_the_prediction_of_its_type(
    mode: Mode, raw: str, told: tuple[str, ...], reason: str | None
) -> None:
    assert predictions(query("人名", mode=mode), raw, mode) == Predicted(
        (Prediction(id="星#0|人名", passage="星#0", type="人名", raw=raw, surfaces=told, reason=reason),)
    )


@pytest.mark.parametrize("mode", ["all", "schema"])
def test_an_object_is_a_prediction_for_every_type_asked(mode: Mode) -> None:
    raw = '{"地点": ["上海"], "职务": ["员工", "经理"], "人名": ["林晓"], "其他": []}'
    read = predictions(query("人名", "产品", "地点", mode=mode), raw, mode)
    assert read.predictions == (
        Prediction(id="星#0|人名", passage="星#0", type="人名", raw=raw, surfaces=("林晓",), reason=None),
        Prediction(id="星#0|产品", passage="星#0", type="产品", raw=raw, surfaces=(), reason=None),
        Prediction(id="星#0|地点", passage="星#0", type="地点", raw=raw, surfaces=("上海",), reason=None),
    )
    assert read.not_asked == ("职务",)  # of 其他 nothing is lost
    assert list(read.mentions()) == [("人名", "林晓"), ("地点", "上海")]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "empty_answer"),
        ("我不知道", "unparsed"),
        ('["林晓"]', "unparsed"),
        ('{"人名": ["林晓"], "地', "truncated"),
    ],
)
def test_an_object_that_cannot_be_read_gives_every_type_the_reason(raw: str, reason: str) -> None:
    read = predictions(query("人名", "地点"), raw, "schema")
    assert [(p.id, p.raw, p.surfaces, p.reason) for p in read.predictions] == [
        ("星#0|人名", raw, (), reason),
        ("星#0|地点", raw, (), reason),
    ]
    assert read.not_asked == ()


@pytest.mark.parametrize(
    ("types", "said", "found"),
    [
        (("person",), "Person", "person"),
        (("organisation name",), "ORGANISATION  NAME", "organisation name"),
        (("组织（公司）",), "组织(公司)", "组织（公司）"),
        (('a "b"\nc',), "a “b” c", 'a "b"\nc'),
        (("person", "Person"), "Person", "Person"),  # as it is written, if it is there
        (("person", "Person"), "PERSON", "person"),  # else the first
        (("人名",), "人物", None),
        (("person",), "persons", None),
        (("組織",), "组织", None),  # scripts are told apart
    ],
)
def test_types_are_matched_as_the_eye_sees_them(types: tuple[str, ...], said: str, found: str | None) -> None:
    read = predictions(query(*types), json.dumps({said: ["林晓"]}), "schema")
    assert surfaces(read) == {kind: ("林晓",) if kind == found else () for kind in types}
    assert read.not_asked == (() if found else (said,))


def test_mentions_of_a_type_in_two_ways_are_joined() -> None:
    read = predictions(query("person"), '{"Person": ["a", "b"], "person": ["c", "a"]}', "all")
    assert surfaces(read) == {"person": ("a", "b", "c")}


@given(
    st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=5, unique=True),
    st.lists(st.tuples(st.text(min_size=1, max_size=4), st.integers(0, 4)), max_size=6),
    st.sampled_from(["rait", "sinoner", "uniner"]),
    st.sampled_from(["all", "schema"]),
)
def test_what_is_taught_is_read_back(
    types: list[str], mentions: list[tuple[str, int]], style: Style, mode: Mode
) -> None:
    """Whatever types and mentions hold: quotes, line breaks, brackets, names that look alike."""
    text = "\x00".join(surface for surface, _ in mentions) or "无"
    passage = Passage(id="p#0", text=text, source="s", lang="zh")
    entities = tuple(
        Entity(surface=surface, type=types[n % len(types)], starts=occurrences(text, surface))
        for surface, n in mentions
    )
    about = Annotation(passage=passage, entities=entities, by=HUMAN)
    (taught,) = conversations(about, types, (), style, mode)
    (asked,) = query_conversations(passage, types, (), style, mode)
    read = predictions(asked, taught.messages[-1].content, mode)
    assert {p.type: set(p.surfaces) for p in read.predictions} == {
        kind: {e.surface for e in entities if e.type == kind} for kind in types
    }
    assert read.not_asked == ()
    assert all(p.reason is None for p in read.predictions)


def test_an_object_may_be_longer_than_a_list() -> None:
    assert [answer_limit(mode, 40) for mode in ("passage", "type", "all", "schema")] == [40, 40, 160, 160]
