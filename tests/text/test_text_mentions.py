"""Mentions of files: every check, and written as they were read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.records import Annotation, Entity, Passage
from sinoner.text.mentions import (
    Claim,
    MentionError,
    Span,
    locate,
    mention_rows,
    read_claim,
    span_row,
    spans_of,
)

TEXT = "去𠮷林，去𠮷林省"
PASSAGE = Passage(id="a", text=TEXT, source="s", lang="zh")


def test_a_mention_is_read_in_code_points() -> None:
    assert locate(read_claim({"start": 1, "end": 3, "type": "地点", "text": "𠮷林"}), TEXT) == (1, 3, "地点")
    assert locate(read_claim({"start": 1, "end": 3, "type": "地点", "surface": "𠮷林"}), TEXT) == (
        1,
        3,
        "地点",
    )
    assert locate(Claim(5, len(TEXT), "x"), TEXT) == Span(5, 8, "x")


@pytest.mark.parametrize(
    ("claim", "reason", "why"),
    [
        (Claim(1, 3, " "), "entity_malformed", "has no type"),
        (Claim(1, 3, None), "entity_malformed", "has no type"),
        (Claim(1, 3, "x", ""), "entity_malformed", "has no text"),
        (Claim(1, 3, "x", 3), "entity_malformed", "has no text"),
        (Claim(None, 3, "x"), "entity_without_offsets", "has no start and end"),
        (Claim(1, None, "x", "𠮷林"), "entity_without_offsets", "has no start and end"),
        (Claim(None, None, "x", "北京", searched=True), "not_in_text", "'北京' (x) is not in the text"),
        (Claim(-1, 3, "x"), "entity_malformed", "invalid offsets: start -1, end 3"),
        (Claim(1, 1, "x"), "entity_malformed", "invalid offsets: start 1, end 1"),
        (Claim(True, 3, "x"), "entity_malformed", "invalid offsets: start True, end 3"),
        (Claim("1", 3, "x"), "entity_malformed", "invalid offsets: start '1', end 3"),
        (Claim(1, 9, "x"), "entity_mismatch", "ends at 9, the text has 8 code points"),
        (Claim(1, 4, "x", "𠮷林"), "entity_mismatch", "its text is not at 1:4"),
    ],
)
def test_a_mention_that_cannot_be_used_has_a_reason(claim: Claim, reason: str, why: str) -> None:
    with pytest.raises(MentionError) as caught:
        locate(claim, TEXT)
    assert caught.value.reason == reason
    assert why in str(caught.value)


@pytest.mark.parametrize("value", [None, "北京", 3, [1, 2]])
def test_what_is_no_object_is_no_mention(value: object) -> None:
    with pytest.raises(MentionError, match="is not an object"):
        read_claim(value)


ENTITIES = (
    Entity(surface="𠮷林省", type="省", starts=(5,)),
    Entity(surface="𠮷林", type="地点", starts=(1, 5)),
)


def test_mentions_are_written_in_text_order_or_in_that_of_the_entities() -> None:
    annotation = Annotation(passage=PASSAGE, entities=(*ENTITIES, ENTITIES[0]), by="gold")
    assert spans_of(annotation) == [(1, 3, "地点"), (5, 7, "地点"), (5, 8, "省")]
    assert mention_rows(annotation)[0] == {"start": 1, "end": 3, "type": "地点", "text": "𠮷林"}
    as_given = mention_rows(Annotation(passage=PASSAGE, entities=ENTITIES, by="gold"), in_text_order=False)
    assert [(r["start"], r["type"]) for r in as_given] == [(5, "省"), (1, "地点"), (5, "地点")]
    assert list(span_row(annotation)) == ["id", "text", "entities", "lang"]


@given(st.data())
def test_what_is_written_is_read_again(data: st.DataObject) -> None:
    text = data.draw(st.text(alphabet="王明𠮷ab ", min_size=1, max_size=12).filter(str.strip))
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    kind = data.draw(st.sampled_from(["人名", "x"]))
    passage = Passage(id="a", text=text, source="s", lang="zh")
    entity = Entity(surface=text[start:end], type=kind, starts=(start,))
    rows = mention_rows(Annotation(passage=passage, entities=(entity,), by="gold"))
    assert [locate(read_claim(row), text) for row in rows] == [(start, end, kind)]
