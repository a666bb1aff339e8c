"""From pairs to grounded entities, and the reference pipeline: parse, ground with ``case``, filter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from asking import passage
from hypothesis import given
from hypothesis import strategies as st

from sinoner.annotate.outcome import build
from sinoner.answers import parse_mentions
from sinoner.quality.rules import clean
from sinoner.records import Annotator, Entity
from sinoner.settings import FilterSettings

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "rait"

BY = Annotator(source="llm", model="m", prompt="p")


def test_build_keeps_types_apart_and_claims_all_occurrences() -> None:
    text = "上海人在上海，ＡＢ和ab"
    pairs = [("上海", "地点"), ("上海", "城市"), ("上 海", "地点"), ("AB", "代号"), ("上海", " 地点 ")]
    annotation, rejects = build(passage(text), pairs, BY)
    assert annotation.entities == (
        Entity(surface="上海", type="地点", starts=(0, 4)),
        Entity(surface="上海", type="城市", starts=(0, 4)),
        Entity(surface="ＡＢ", type="代号", starts=(7,)),
    )
    assert [r.reason for r in rejects] == ["repeated", "repeated"]


@given(
    st.lists(
        st.tuples(st.text("王明上海aA １", max_size=4), st.sampled_from(["人名", "地点", "", " "])),
        max_size=8,
    ),
    st.sampled_from(["folded", "case"]),
)
def test_every_pair_is_an_entity_or_a_reject(pairs, fold) -> None:
    annotation, rejects = build(passage("王明 在上海，Aa1"), pairs, BY, fold)
    assert len(annotation.entities) + len(rejects) == len(pairs)
    assert {r.reason for r in rejects} <= {"no_type", "not_in_passage", "ambiguous_mention", "repeated"}
    assert len({(e.surface, e.type) for e in annotation.entities}) == len(annotation.entities)


# --- the reference pipeline: parse, ground with ``case``, filter -----------------------------------------------


def filtered_pairs(text: str, response: str) -> tuple[set[tuple[str, str]], list[str]]:
    """(surface, type) pairs that a response leaves after grounding and filter, and the reasons of the others."""
    annotation, lost = build(passage(text), parse_mentions(response).pairs, BY, "case")
    (cleaned,) = clean([annotation], FilterSettings(preset="reference"))
    left = cleaned.annotation.entities if cleaned.annotation else ()
    return {(e.surface, e.type) for e in left}, [r.reason for r in [*lost, *cleaned.rejects]]


@pytest.mark.parametrize(
    ("text", "response", "pairs", "reasons"),
    [
        (
            "小雨用iPhone在《读书》上读鲁迅的文章。",
            '[{"小雨": "人物"}, {"IPHONE": "产品"}, {"《读书》": "刊物"}, {"鲁迅": "人物"}]',
            {("小雨", "人物"), ("iPhone", "产品"), ("读书", "刊物"), ("鲁迅", "人物")},
            [],
        ),
        (
            "李雷和韩梅梅在北京大学。",
            '```json\n[{"李雷": "人物"}, {"李雷": "人物"}, {"吉姆": "人物"}, {"北京大学": "其他"}]\n```',
            {("李雷", "人物")},
            ["repeated", "not_in_passage", "stop_type"],
        ),
        (
            "他买了 一本书，名叫《一二三四五六七八九十一二三四五六七八九十甲》。",
            '[{"买了一本书": "事件"}, {"一二三四五六七八九十一二三四五六七八九十甲": "书"}, {"【一本书】": "物品"}]',
            set(),  # brackets are taken off after matching
            ["not_in_passage", "not_in_passage", "too_long"],
        ),
        ("没有名字。", "[]", set(), []),
    ],
)
def test_response_to_filtered_pairs(text, response, pairs, reasons) -> None:
    assert filtered_pairs(text, response) == (pairs, reasons)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference files are not here")
def test_the_reference_responses_are_filtered_as_the_reference_filters_them() -> None:
    raw = (REFERENCE / "llm_response.jsonl").read_text(encoding="utf-8").splitlines()
    wanted = (REFERENCE / "llm_response_parsed_filtered.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(raw) == len(wanted) > 0
    for answered, line in zip(map(json.loads, raw), map(json.loads, wanted), strict=True):
        assert answered["text"] == line["text"]
        pairs, _ = filtered_pairs(line["text"], answered["response"])
        assert pairs == {next(iter(item.items())) for item in line["prediction"]}


def test_a_mention_written_in_several_ways_is_a_reject() -> None:
    annotation, rejects = build(passage("Apple and apple"), [("APPLE", "fruit"), ("apple", "fruit")], BY)
    assert [(e.surface, e.starts) for e in annotation.entities] == [("apple", (10,))]
    assert [(r.reason, r.detail, r.unit) for r in rejects] == [
        ("ambiguous_mention", "APPLE (fruit)", "entity")
    ]


def test_a_closed_list_of_types_keeps_its_own_spelling_and_rejects_the_rest() -> None:
    types = {"person": "Person", "地点": "地点"}
    pairs = [("王明", "PERSON "), ("上海", "地点"), ("上海", "城市"), ("李红", "地点"), ("上海", "")]
    annotation, rejects = build(passage("王明在上海。"), pairs, BY, types=types)
    assert [(e.surface, e.type) for e in annotation.entities] == [("王明", "Person"), ("上海", "地点")]
    assert [r.reason for r in rejects] == ["type_not_listed", "not_in_passage", "no_type"]
