"""The records: what each validator accepts and what it refuses."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import ValidationError

from sinoner import disk
from sinoner.measurements import Score
from sinoner.records import (
    GOLD,
    HUMAN,
    Annotation,
    Annotator,
    Conversation,
    Document,
    Entity,
    Message,
    Neighbours,
    Passage,
    Prediction,
    Record,
    Reject,
)

SCORE = {
    "benchmark": "b", "lang": "zh", "model": "base", "examples": False, "passages": 1, "queries": 1, "gold": 1,
    "predicted": 1, "correct": 1, "unparsed": 0, "precision": 1.0, "recall": 1.0, "f1": 1.0,
    "strict_precision": 1.0, "strict_recall": 1.0, "strict_f1": 1.0,
}  # fmt: skip
LLM = Annotator(source="llm", model="m", prompt="extract.zh.v1", family="extract.v1")
PASSAGE = {"id": "d#0", "text": "北京在北京", "source": "s", "lang": "zh"}
ENTITY = {"surface": "北京", "type": "地点", "starts": [0, 3]}
ACCEPTED: list[tuple[type[Record], dict[str, Any]]] = [
    (Entity, ENTITY),
    (Document, {**PASSAGE, "entities": None}),
    (Document, {**PASSAGE, "entities": [ENTITY]}),
    (Passage, PASSAGE),
    (Passage, {**PASSAGE, "document": "d"}),
    (Annotator, {"source": "human"}),
    (
        Annotator,
        {"source": "llm", "model": "m", "prompt": "extract.zh.v1", "family": "extract.v1", "sample": 1},
    ),
    (Annotation, {"passage": PASSAGE, "entities": [ENTITY], "by": {"source": "human"}}),
    (Annotation, {"passage": PASSAGE, "entities": [], "by": {"source": "human"}}),
    (Neighbours, {"id": "d#0", "neighbours": ["a", "b"], "cosine": [1.0, 0.5], "bm25": []}),
    (Message, {"role": "assistant", "content": "", "learn": True}),
    (
        Conversation,
        {
            "id": "c",
            "messages": [{"role": "user", "content": "x"}],
            "first_query": 0,
            "passage": "d#0",
            "types": ["t"],
        },
    ),
    (
        Prediction,
        {"id": "d#0|t", "passage": "d#0", "type": "t", "raw": "?", "surfaces": [], "reason": "unparsed"},
    ),
    (Reject, {"id": "d#0", "stage": "filter", "reason": "too_long", "detail": "x", "unit": "entity"}),
    (Reject, {"id": "d#0", "stage": "filter", "reason": "too_short", "entities": 3}),
]
REFUSED: list[tuple[type[Record], dict[str, Any], str]] = [
    (Entity, {**ENTITY, "surface": ""}, "surface"),
    (Entity, {**ENTITY, "type": ""}, "type"),
    (Entity, {**ENTITY, "starts": []}, "starts"),
    (Entity, {**ENTITY, "starts": [-1]}, "ascending and not negative"),
    (Entity, {**ENTITY, "starts": [3, 0]}, "ascending"),
    (Entity, {**ENTITY, "starts": [3, 3]}, "ascending"),
    (Document, {**PASSAGE, "id": ""}, "id"),
    (Document, {**PASSAGE, "text": ""}, "text"),
    (Document, {**PASSAGE, "lang": "fr"}, "lang"),
    (Passage, {**PASSAGE, "id": ""}, "id"),
    (Passage, {**PASSAGE, "text": ""}, "text"),
    (Passage, {**PASSAGE, "lang": "auto"}, "lang"),
    (
        Annotation,
        {"passage": PASSAGE, "entities": [{**ENTITY, "starts": [1]}], "by": {"source": "human"}},
        "not at offset 1",
    ),
    (
        Annotation,
        {"passage": PASSAGE, "entities": [{**ENTITY, "starts": [0, 9]}], "by": {"source": "human"}},
        "not at offset 9",
    ),
    (Annotation, {"passage": PASSAGE, "entities": [], "by": ""}, "by"),
    (Annotation, {"passage": PASSAGE, "entities": [], "by": "m@extract.zh.v1"}, "by"),
    (Annotator, {"source": "oracle"}, "source"),
    (Annotator, {"source": "llm", "prompt": "p"}, "model must not be empty"),
    (Annotator, {"source": "model"}, "model must not be empty"),
    (Annotator, {"source": "human", "model": "m"}, "human has none"),
    (Annotator, {"source": "model", "model": "m", "prompt": "p"}, "model has none"),
    (Annotator, {"source": "human", "voters": -1}, "not be negative"),
    (Annotator, {"source": "human", "sample": -1}, "not be negative"),
    (Message, {"role": "gpt", "content": "x"}, "role"),
    (Message, {"role": "user", "content": None}, "content"),
    (Conversation, {"id": "c", "messages": [], "first_query": 0, "passage": "d#0", "types": []}, "messages"),
    (
        Conversation,
        {
            "id": "c",
            "messages": [{"role": "user", "content": "x"}],
            "first_query": 1,
            "passage": "d",
            "types": [],
        },
        "first_query: 1 is not one of 1 messages",
    ),
    (
        Conversation,
        {"id": "c", "messages": [{"role": "user", "content": "x"}], "passage": "d", "types": []},
        "first_query",
    ),
    (Reject, {"id": "x", "stage": "s", "reason": "Too long"}, "reason"),
    (Reject, {"id": "x", "stage": "s", "reason": ""}, "reason"),
    (Reject, {"id": "x", "stage": "s", "reason": "ok", "unit": "page"}, "unit"),
    (Neighbours, {"neighbours": []}, "id"),
    (Prediction, {"id": "x", "passage": "p", "type": "t"}, "raw"),
    (Prediction, {"id": "x", "type": "t", "raw": ""}, "passage"),
]


@pytest.mark.parametrize(("kind", "value"), ACCEPTED, ids=lambda x: getattr(x, "__name__", ""))
def test_accepted_and_the_same_from_json(kind: type[Record], value: dict[str, Any]) -> None:
    record = msgspec.convert(value, kind)
    assert disk.parse(disk.line(record), kind) == record


@pytest.mark.parametrize(("kind", "value", "says"), REFUSED, ids=lambda x: getattr(x, "__name__", ""))
def test_refused(kind: type[Record], value: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        disk.parse(json.dumps(value).encode(), kind)


def test_refused_when_the_program_makes_them() -> None:
    passage = Passage(id="d#0", text="北京在北京", source="s", lang="zh")
    for surface, type, starts in (
        ("", "t", (0,)),
        ("北京", "", (0,)),
        ("北京", "t", ()),
        ("北京", "t", (3, 0)),
    ):
        with pytest.raises(ValueError, match="empty|ascending"):
            Entity(surface=surface, type=type, starts=starts)
    with pytest.raises(ValueError, match="text must not be empty"):
        replace(passage, text="")
    with pytest.raises(ValueError, match="id must not be empty"):
        Document(id="", text="x", source="s", lang="zh")
    with pytest.raises(ValueError, match="model must not be empty"):
        Annotator(source="model")
    with pytest.raises(ValueError, match="messages must not be empty"):
        Conversation(id="c", messages=(), first_query=0, passage="d#0", types=())
    with pytest.raises(ValueError, match="'Too long' is not snake_case"):
        Reject(id="x", stage="s", reason="Too long")


@pytest.mark.parametrize(("kind", "value"), ACCEPTED, ids=lambda x: getattr(x, "__name__", ""))
def test_unknown_fields_are_refused_and_records_are_frozen(kind: type[Record], value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="unknown field"):
        disk.parse(json.dumps({**value, "more": 1}).encode(), kind)
    record = msgspec.convert(value, kind)
    with pytest.raises(AttributeError, match="immutable"):
        setattr(record, next(iter(value)), "x")
    assert hash(record) == hash(msgspec.convert(value, kind))


def test_a_score_is_checked_and_frozen() -> None:
    score = Score.model_validate({**SCORE, "low": 0.5, "high": None})
    assert Score.model_validate_json(score.model_dump_json()) == score
    with pytest.raises(ValidationError, match="gold"):
        Score.model_validate({**SCORE, "gold": "many"})
    with pytest.raises(ValidationError, match="extra"):
        Score.model_validate({**SCORE, "more": 1})
    with pytest.raises(ValidationError, match="frozen"):
        score.gold = 2


def test_offsets_are_code_points() -> None:
    passage = Passage(id="d#0", text="😀𠮷北京", source="s", lang="zh")
    made = Annotation(
        passage=passage,
        entities=(Entity(surface="北京", type="t", starts=(2,)),),
        by=Annotator(source="model", model="x"),
    )
    assert made.entities[0].starts == (2,)
    with pytest.raises(ValueError, match="offset 4"):  # where UTF-16 would have it
        Annotation(
            passage=passage,
            entities=(Entity(surface="北京", type="t", starts=(4,)),),
            by=Annotator(source="model", model="x"),
        )


def test_nested_and_many_typed_entities_are_legal() -> None:
    passage = Passage(id="d#0", text="北京大学", source="s", lang="zh")
    entities = tuple(
        Entity(surface=s, type=t, starts=(0,))
        for s, t in (("北京", "地点"), ("北京大学", "组织"), ("北京大学", "学校"))
    )
    assert (
        Annotation(passage=passage, entities=entities, by=Annotator(source="model", model="x")).entities
        == entities
    )


@given(st.text(alphabet="ab", min_size=1, max_size=12), st.data())
def test_an_annotation_is_grounded_exactly_when_the_text_says_so(text: str, data: st.DataObject) -> None:
    surface = data.draw(st.text(alphabet="ab", min_size=1, max_size=3))
    start = data.draw(st.integers(0, 12))
    passage = Passage(id="d#0", text=text, source="s", lang="en")
    entities = (Entity(surface=surface, type="t", starts=(start,)),)
    if text[start : start + len(surface)] == surface:
        assert (
            Annotation(passage=passage, entities=entities, by=Annotator(source="model", model="x")).entities
            == entities
        )
    else:
        with pytest.raises(ValueError, match="is not at offset"):
            Annotation(passage=passage, entities=entities, by=Annotator(source="model", model="x"))


@pytest.mark.parametrize(("document", "whole"), [("news-3", "news-3"), ("", "news-3#1")])
def test_the_document_of_a_passage(document: str, whole: str) -> None:
    passage = Passage(id="news-3#1", text="x", source="s", lang="zh", document=document)
    assert passage.whole == whole
    assert (b"document" in disk.line(passage)) == bool(document)


# --- annotators ---------------------------------------------------------------------------------------------------

NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
AFTERWARDS = {
    "sample": st.integers(0, 20),
    "truncated": st.booleans(),
    "votes": st.integers(0, 3),
    "voters": st.integers(3, 9),
    "verified_by": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
}
ASKED = {
    "prompt": NAME,
    "family": NAME | st.just(""),
    "types": st.booleans(),
    "domain": st.booleans(),
    "shots": st.booleans(),
}
ANNOTATORS = st.one_of(
    st.builds(Annotator, source=st.sampled_from(["human", "gold", "jieba", "lac", "table"]), **AFTERWARDS),
    st.builds(Annotator, source=st.just("model"), model=NAME, **AFTERWARDS),
    st.builds(Annotator, source=st.just("llm"), model=NAME, **ASKED, **AFTERWARDS),
)


@given(ANNOTATORS)
def test_an_annotator_is_the_same_from_json(annotator: Annotator) -> None:
    line = disk.line(annotator)
    assert disk.parse(line, Annotator) == annotator
    assert hash(disk.parse(line, Annotator)) == hash(annotator)
    assert all(json.loads(line).values())  # what says nothing is not written
    passage = Passage(id="d#0", text="x", source="s", lang="zh")
    annotation = Annotation(passage=passage, entities=(), by=annotator)
    assert disk.parse(disk.line(annotation), Annotation) == annotation


@given(ANNOTATORS)
def test_what_became_of_an_annotation_does_not_make_another_annotator(annotator: Annotator) -> None:
    plain = annotator.sampled()
    assert replace(annotator, truncated=False, votes=0, voters=0, verified_by="") == plain
    assert plain.sampled() is plain
    assert annotator.label.startswith(plain.label)
    assert plain.in_any_language().in_any_language() == plain.in_any_language()


@pytest.mark.parametrize(
    ("annotator", "label"),
    [
        (HUMAN, "human"),
        (GOLD, "gold"),
        (replace(HUMAN, verified_by="judge"), "human+verify:judge"),
        (Annotator(source="jieba"), "jieba"),
        (Annotator(source="model", model="runs/mine"), "runs/mine"),
        (LLM, "m@extract.zh.v1"),
        (replace(LLM, types=True, domain=True, shots=True, sample=1), "m@extract.zh.v1+types+domain+shots#2"),
        (replace(LLM, truncated=True), "m@extract.zh.v1~truncated"),
        (replace(LLM, sample=9, votes=2, voters=3, verified_by="j"), "m@extract.zh.v1#10~vote2of3+verify:j"),
        (LLM.in_any_language(), "m@extract.v1"),
        (replace(LLM, prompt="mine", family="").in_any_language(), "m@mine"),
    ],
)
def test_what_people_read_of_an_annotator(annotator: Annotator, label: str) -> None:
    assert annotator.label == label
