"""The rule table as an annotator: places of words and patterns, compared with looking everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.annotate.rule_table import annotate_by_table, finder
from sinoner.annotate.rule_table_file import Rule, Table, Term, parse_table
from sinoner.errors import InputError
from sinoner.records import Passage

SHIPPED = Path(__file__).resolve().parents[2] / "data_recipes" / "tables" / "zh.yaml"
Found = dict[tuple[str, str], tuple[int, ...]]


def table(terms: dict[str, list[str]], patterns: dict[str, list[str]] | None = None) -> Table:
    rules = [
        Rule(kind, re.compile(p), f"t.yaml:{i}")
        for kind, ps in (patterns or {}).items()
        for i, p in enumerate(ps)
    ]
    return Table(tuple(Term(kind, word) for kind, words in terms.items() for word in words), tuple(rules))


def found(given_table: Table, text: str) -> Found:
    return {(e.surface, e.type): e.starts for e in finder(given_table)(text)}


def test_words_at_all_their_places_in_order_of_appearance() -> None:
    given_table = table({"地点": ["北京", "上海"], "组织机构": ["北京大学"]})
    entities = finder(given_table)("上海的北京大学，北京和上海")
    assert [(e.surface, e.type, e.starts) for e in entities] == [
        ("上海", "地点", (0, 11)),
        ("北京", "地点", (3, 8)),
        ("北京大学", "组织机构", (3,)),
    ]


def test_of_one_type_the_leftmost_and_then_the_longest_counts() -> None:
    given_table = table({"组织": ["北京", "北京大学", "大学城", "城", "城南"]})
    assert found(given_table, "北京大学城南") == {("北京大学", "组织"): (0,), ("城南", "组织"): (4,)}
    assert found(given_table, "大学城南") == {("大学城", "组织"): (0,)}


def test_a_word_with_two_types_is_both() -> None:
    assert found(table({"人名": ["华盛顿"], "地点": ["华盛顿"]}), "在华盛顿") == {
        ("华盛顿", "人名"): (1,),
        ("华盛顿", "地点"): (1,),
    }


@pytest.mark.parametrize(
    ("word", "text", "starts"),
    [
        ("art", "party art, art", (6, 11)),
        ("art", "artist", ()),
        ("5G", "15G 5G", (4,)),
        ("5G", "用5G网", (1,)),
        ("iPhone", "iPhone15", ()),
        ("Wi-Fi", "有Wi-Fi吗", (1,)),
        ("Café", "Cafés", ()),
        ("C++", "C++11 xC++", (0,)),
        ("T恤", "买T恤衫", (1,)),
        ("北京", "a北京b", (1,)),
        ("Iran", "iran", ()),
        ("cafe", "cafe\u0301", ()),
        ("王", "王明王", (0, 2)),
        ("明", "王明", (1,)),
        ("𠮷田", "😀𠮷田", (1,)),
    ],
)
def test_words_of_letters_stand_for_themselves(word: str, text: str, starts: tuple[int, ...]) -> None:
    assert found(table({"t": [word]}), text) == ({(word, "t"): starts} if starts else {})


def test_patterns_and_the_group_that_is_the_mention() -> None:
    given_table = table({}, {"编号": [r"(?i)no\.(?P<mention>\s*\d+\s?)"], "价格": [r"\d+元"]})
    assert found(given_table, "NO. 12 卖12元") == {("12", "编号"): (4,), ("12元", "价格"): (8,)}


def test_words_and_patterns_of_one_type_do_not_overlap() -> None:
    given_table = table({"组织": ["大学医院", "上海"]}, {"组织": ["上海..", "学"]})
    assert found(given_table, "上海大学医院上海") == {("上海大学", "组织"): (0,), ("上海", "组织"): (6,)}


def test_a_group_that_took_no_part_is_no_mention() -> None:
    assert found(table({}, {"t": ["a(?P<mention>b)?"]}), "ab a") == {("b", "t"): (1,)}


def test_a_pattern_that_matches_no_characters_is_told_with_its_place() -> None:
    with pytest.raises(InputError, match=r"^t\.yaml:0: '\(\?=王\)' matched a place without characters"):
        found(table({}, {"t": ["(?=王)"]}), "在王")


WORDS = st.lists(st.text(alphabet="ab1王明é", min_size=1, max_size=4), max_size=8)


@given(WORDS, WORDS, st.text(alphabet="ab1王明é -\n", max_size=25), st.booleans())
def test_the_same_by_looking_everywhere(one: list[str], two: list[str], text: str, pattern: bool) -> None:
    given_table = table({"x": one, "y": two}, {"x": ["[a王]+"]} if pattern else {})
    wanted: dict[tuple[str, str], list[int]] = {}
    for kind, words in (("x", one), ("y", two)):
        spans = set()
        for word in words:
            before = "(?<![ab1é])" if word[0] in "ab1é" else ""
            after = "(?![ab1é])" if word[-1] in "ab1é" else ""
            spans |= {
                (m.start(), m.start() + len(word))
                for m in re.finditer(f"{before}(?={re.escape(word)}{after})", text)
            }
        if pattern and kind == "x":
            spans |= {m.span() for m in re.finditer("[a王]+", text)}
        free = 0
        for begin in range(len(text)):
            ends = [e for b, e in spans if b == begin]
            if begin >= free and ends:
                free = max(ends)
                wanted.setdefault((text[begin:free], kind), []).append(begin)
    assert found(given_table, text) == {k: tuple(v) for k, v in wanted.items()}


def test_both_languages_and_passages_without_entities() -> None:
    passages = [
        Passage(id="a#0", text="王明在上海", source="s", lang="zh"),
        Passage(id="b#0", text="Ann went to Oslo", source="s", lang="en"),
        Passage(id="c#0", text="无", source="s", lang="zh"),
    ]
    out = list(annotate_by_table(passages, table({"地点": ["上海"], "place": ["Oslo"]})))
    assert [a.passage for a in out] == passages
    assert {a.by.label for a in out} == {"table"}
    assert [[e.surface for e in a.entities] for a in out] == [["上海"], ["Oslo"], []]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "记者王建国在江苏省苏州市的苏州大学采访，3月5日回来。",
            {
                ("王建国", "人名"): (2,),
                ("3月5日", "时间"): (20,),
                ("江苏省", "地点"): (6,),
                ("苏州市", "地点"): (9,),
                ("苏州", "地点"): (13,),
                ("苏州大学", "组织机构"): (13,),
            },
        ),
        ("２０２４年投入３.５亿元。", {("２０２４年", "时间"): (0,), ("３.５亿元", "金额"): (7,)}),
        ("发展中国家学习一元二次方程，推行多元教育", {}),
        ("20世纪80年代初，外交部长访问中国。", {("20世纪80年代初", "时间"): (0,), ("中国", "地点"): (16,)}),
    ],
)
def test_the_shipped_table(text: str, wanted: Found) -> None:
    assert found(parse_table(SHIPPED.read_text(encoding="utf-8"), str(SHIPPED)), text) == wanted


def test_the_shipped_table_holds_each_word_once() -> None:
    shipped = parse_table(SHIPPED.read_text(encoding="utf-8"), str(SHIPPED))
    words = [term.word for term in shipped.terms]
    assert len(words) == len(set(words)) > 500
    assert {t.type for t in shipped.terms} | {r.type for r in shipped.rules} == {
        "人名", "地点", "组织机构", "时间", "金额",
    }  # fmt: skip
