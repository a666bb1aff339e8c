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
from sinoner.records import (
    Annotation,
    Conversation,
    Document,
    Entity,
    Message,
    Neighbours,
    Passage,
    Prediction,
    Record,
    Reject,
    Score,
)

SCORE = {
    "benchmark": "b", "lang": "zh", "model": "base", "examples": False, "passages": 1, "queries": 1, "gold": 1,
    "predicted": 1, "correct": 1, "unparsed": 0, "precision": 1.0, "recall": 1.0, "f1": 1.0,
    "strict_precision": 1.0, "strict_recall": 1.0, "strict_f1": 1.0,
}  # fmt: skip
PASSAGE = {"id": "d#0", "text": "北京在北京", "source": "s", "lang": "zh"}
ENTITY = {"surface": "北京", "type": "地点", "starts": [0, 3]}
ACCEPTED: list[tuple[type[Record], dict[str, Any]]] = [
    (Entity, ENTITY),
    (Document, {**PASSAGE, "entities": None}),
    (Document, {**PASSAGE, "entities": [ENTITY]}),
    (Passage, PASSAGE),
    (Annotation, {"passage": PASSAGE, "entities": [ENTITY], "by": "human"}),
    (Annotation, {"passage": PASSAGE, "entities": [], "by": "human"}),
    (Neighbours, {"id": "d#0", "neighbours": ["a", "b"], "cosine": [1.0, 0.5], "bm25": []}),
    (Message, {"role": "assistant", "content": "", "learn": True}),
    (
        Conversation,
        {"id": "c", "messages": [{"role": "user", "content": "x"}], "passage": "d#0", "types": ["t"]},
    ),
    (Prediction, {"id": "d#0|t", "type": "t", "raw": "?", "surfaces": [], "reason": "unparsed"}),
    (Reject, {"id": "d#0", "stage": "filter", "reason": "too_long", "detail": "x", "unit": "entity"}),
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
    (Annotation, {"passage": PASSAGE, "entities": [{**ENTITY, "starts": [1]}], "by": "x"}, "not at offset 1"),
    (
        Annotation,
        {"passage": PASSAGE, "entities": [{**ENTITY, "starts": [0, 9]}], "by": "x"},
        "not at offset 9",
    ),
    (Annotation, {"passage": PASSAGE, "entities": [], "by": ""}, "by"),
    (Message, {"role": "gpt", "content": "x"}, "role"),
    (Message, {"role": "user", "content": None}, "content"),
    (Conversation, {"id": "c", "messages": [], "passage": "d#0", "types": []}, "messages"),
    (Reject, {"id": "x", "stage": "s", "reason": "Too long"}, "reason"),
    (Reject, {"id": "x", "stage": "s", "reason": ""}, "reason"),
    (Reject, {"id": "x", "stage": "s", "reason": "ok", "unit": "page"}, "unit"),
    (Neighbours, {"neighbours": []}, "id"),
    (Prediction, {"id": "x", "type": "t"}, "raw"),
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
    with pytest.raises(ValueError, match="by must not be empty"):
        Annotation(passage=passage, entities=(), by="")
    with pytest.raises(ValueError, match="messages must not be empty"):
        Conversation(id="c", messages=(), passage="d#0", types=())
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
    made = Annotation(passage=passage, entities=(Entity(surface="北京", type="t", starts=(2,)),), by="x")
    assert made.entities[0].starts == (2,)
    with pytest.raises(ValueError, match="offset 4"):  # where UTF-16 would have it
        Annotation(passage=passage, entities=(Entity(surface="北京", type="t", starts=(4,)),), by="x")


def test_nested_and_many_typed_entities_are_legal() -> None:
    passage = Passage(id="d#0", text="北京大学", source="s", lang="zh")
    entities = tuple(
        Entity(surface=s, type=t, starts=(0,))
        for s, t in (("北京", "地点"), ("北京大学", "组织"), ("北京大学", "学校"))
    )
    assert Annotation(passage=passage, entities=entities, by="x").entities == entities


@given(st.text(alphabet="ab", min_size=1, max_size=12), st.data())
def test_an_annotation_is_grounded_exactly_when_the_text_says_so(text: str, data: st.DataObject) -> None:
    surface = data.draw(st.text(alphabet="ab", min_size=1, max_size=3))
    start = data.draw(st.integers(0, 12))
    passage = Passage(id="d#0", text=text, source="s", lang="en")
    entities = (Entity(surface=surface, type="t", starts=(start,)),)
    if text[start : start + len(surface)] == surface:
        assert Annotation(passage=passage, entities=entities, by="x").entities == entities
    else:
        with pytest.raises(ValueError, match="is not at offset"):
            Annotation(passage=passage, entities=entities, by="x")


@pytest.mark.parametrize(
    ("id", "document"), [("news-3#0", "news-3"), ("a#b#12", "a#b"), ("alone", "alone"), ("#7", "7")]
)
def test_the_document_of_a_passage(id: str, document: str) -> None:
    assert Passage(id=id, text="x", source="s", lang="zh").document == document
