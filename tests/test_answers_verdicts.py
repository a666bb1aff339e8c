"""Reading the judge's answers: every plain way of saying a verdict, and nothing that was not said."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.answers import Verdict, parse_verdicts

OBJECT = (
    '{"verdicts": [{"n": 1, "verdict": "yes", "type": ""}, {"n": 2, "verdict": "retype", "type": "公司"}]}'
)
TWO = (Verdict(1, "yes"), Verdict(2, "retype", "公司"))


@pytest.mark.parametrize(
    "answer",
    [
        OBJECT,
        f"```json\n{OBJECT}\n```",
        f"<think>\n1 没问题……\n</think>\n\n{OBJECT}",
        f"判断如下：\n{OBJECT}\n以上。",
        '[{"n": 1, "verdict": "yes"}, {"n": 2, "verdict": "retype", "type": "公司"}]',
        '[{"n": "1", "verdict": "是"}, {"n": "2.", "verdict": "类别错误", "新类别": "公司"}]',
        '[{"编号": "1", "判断": "保留"}, {"编号": "2", "判断": "改为公司"}]',
        '{"1": "对", "2": "retype: 公司"}',
        '{"verdicts": {"1": {"verdict": "YES."}, "2": {"verdict": "Retype", "type": " 公司 "}}}',
        '{"n": 1, "verdict": true}\n{"n": 2, "verdict": "retype", "type": "公司"}',
        "{'verdicts': [{'n': 1, 'verdict': True}, {'n': 2, 'verdict': 'retype', 'type': '公司'},]}",
        '{"n": 2, "verdicts": [{"n": 1, "verdict": "ok"}, {"n": 2.0, "verdict": "retype to 公司"}]}',
    ],
)
def test_ways_of_saying_the_same(answer: str) -> None:
    assert parse_verdicts(answer, 2) == (TWO, None)


@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        *(
            (word, "yes")
            for word in ("yes", "Yes", "是", "对", "正确", "保留", "“是”", "是。", "correct", "keep")
        ),
        *((word, "no") for word in ("no", "NO", "否", "错", "错误", "不是", "删除", "wrong", "remove")),
    ],
)
def test_words_for_yes_and_no(word: str, verdict: str) -> None:
    answer = json.dumps([{"n": 1, "verdict": word, "type": "人名"}], ensure_ascii=False)
    assert parse_verdicts(answer, 1).verdicts == ((1, verdict, ""),)


@pytest.mark.parametrize(
    "item",
    [
        {"n": 1, "verdict": "maybe"},
        {"n": 1, "verdict": "是或否"},
        {"n": 1, "verdict": "yes, but"},
        {"n": 1, "verdict": None},
        {"n": 1, "verdict": 1},
        {"n": 1},
        {"n": True, "verdict": "yes"},
        {"n": "1 or 2", "verdict": "yes"},
        {"n": "1-2", "verdict": "yes"},
        {"n": 1.5, "verdict": "yes"},
        {"n": 0, "verdict": "yes"},
        {"n": -1, "verdict": "yes"},
        {"n": 4, "verdict": "yes"},
        {"n": 10**30, "verdict": "yes"},
        {"verdict": "yes"},
    ],
)
def test_what_is_not_said_plainly_is_no_verdict(item: dict[str, object]) -> None:
    answer = json.dumps([item, {"n": 3, "verdict": "no"}], ensure_ascii=False)
    assert parse_verdicts(answer, 3) == ((Verdict(3, "no"),), None)
    assert parse_verdicts(json.dumps([item]), 3) == ((), "unparsed")


def test_a_number_with_two_verdicts_has_none() -> None:
    said = [
        {"n": 1, "verdict": "yes"},
        {"n": 2, "verdict": "no"},
        {"n": 1, "verdict": "no"},
        {"n": 2, "verdict": "否"},
    ]
    assert parse_verdicts(json.dumps(said), 2).verdicts == ((2, "no", ""),)


def test_verdicts_come_by_number() -> None:
    said = [{"n": n, "verdict": "yes"} for n in (3, 1, 2)]
    assert [v.n for v in parse_verdicts(json.dumps(said), 3).verdicts] == [1, 2, 3]


@pytest.mark.parametrize(
    ("answer", "verdicts", "reason"),
    [
        ("", (), "empty_answer"),
        ("<think>……</think>", (), "empty_answer"),
        ("好的，我来看看。", (), "unparsed"),
        ('{"verdicts": []}', (), "unparsed"),
        ("[]", (), "unparsed"),
        ('{"entities": [{"mention": "王明", "type": "人名"}]}', (), "unparsed"),
        ("很抱歉，我不能协助处理这个请求。", (), "refused"),
        ('{"verdicts": [', (), "truncated"),
        ('{"verdicts": [{"n": 1, "verdict": "no"}, {"n": 2, "ver', (Verdict(1, "no"),), "truncated"),
        (
            '{"verdicts": [{"n": 1, "verdict": "no"}, {"n": 2, "verdict": "no"',
            (Verdict(1, "no"),),
            "truncated",
        ),
        ('{"1": "no", "2": "ye', (Verdict(1, "no"),), "truncated"),
        ('{"verdicts": [{"n": 1, "verdict": "no"}], "note": "abc', (Verdict(1, "no"),), "truncated"),
        ('{"n": 1, "verdict": "no"}\n{"n": 2, "verdict" "no"}', (Verdict(1, "no"),), "unparsed"),
        ('[1] 见下。{"1": "no"} [注：不确定]', (Verdict(1, "no"),), None),
    ],
)
def test_why_there_are_no_verdicts_or_not_all(
    answer: str, verdicts: tuple[Verdict, ...], reason: str | None
) -> None:
    assert parse_verdicts(answer, 2) == (verdicts, reason)


def test_a_retype_without_a_type_is_kept_as_such() -> None:
    assert parse_verdicts('[{"n": 1, "verdict": "retype", "type": null}]', 1).verdicts == ((1, "retype", ""),)


def test_deep_nesting_is_no_answer() -> None:
    for depth in (10, 900, 100_000):
        assert parse_verdicts("[" * depth + '{"n": 1, "verdict": "no"}' + "]" * depth, 1).verdicts == ()


scalars = st.none() | st.booleans() | st.integers(-3, 50) | st.floats() | st.text(max_size=8)
words = st.sampled_from(
    ["yes", "no", "retype", "是", "否", "对", "错", "删除", "retype: 人名", "改为地点", "maybe", ""]
)
keys = st.sampled_from(["n", "verdict", "type", "verdicts", "1", "2", "编号", "判断", "类别", "x"]) | st.text(
    max_size=4
)
trees = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=30,
)


def strings(tree: object) -> list[str]:
    if isinstance(tree, dict):
        return [s for key, value in tree.items() for s in (key, *strings(value))]
    if isinstance(tree, list):
        return [s for value in tree for s in strings(value)]
    return [tree] if isinstance(tree, str) else []


@given(trees, st.integers(0, 45))
def test_nothing_is_made_up(tree: object, count: int) -> None:
    read = parse_verdicts(json.dumps(tree, ensure_ascii=False), count)
    numbers = [verdict.n for verdict in read.verdicts]
    assert numbers == sorted(set(numbers))
    assert all(1 <= n <= count for n in numbers)
    said = strings(tree)
    for verdict in read.verdicts:
        assert verdict.word == "retype" or verdict.type == ""
        assert any(verdict.type in text for text in said) or not verdict.type
        assert re.search(rf"(?<!\d)0*{verdict.n}(?!\d)", json.dumps(tree, ensure_ascii=False))
    assert bool(read.verdicts) or read.reason is not None


@given(
    st.text(alphabet=st.sampled_from("[]{}\":,'n12 yesno是否\n\\verdicttype"), max_size=80) | st.text(),
    st.integers(0, 9),
)
def test_no_text_is_too_odd(text: str, count: int) -> None:
    read = parse_verdicts(text, count)
    assert all(1 <= verdict.n <= count for verdict in read.verdicts)
    assert all(verdict.type in text for verdict in read.verdicts)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["yes", "no", "retype"]),
            st.text(alphabet='人名公司abc"{}[],:“”', min_size=1, max_size=6),
        ),
        min_size=1,
        max_size=12,
    ),
    st.data(),
)
def test_what_is_cut_off_is_a_part_of_the_whole(said: list[tuple[str, str]], data: st.DataObject) -> None:
    tree = {"verdicts": [{"n": n, "verdict": w, "type": t} for n, (w, t) in enumerate(said, 1)]}
    whole = json.dumps(tree, ensure_ascii=False)
    read = parse_verdicts(whole, len(said))
    assert [(v.n, v.word) for v in read.verdicts] == [(n, w) for n, (w, _) in enumerate(said, 1)]
    part = parse_verdicts(whole[: data.draw(st.integers(0, len(whole)))], len(said))
    assert part.verdicts == read.verdicts[: len(part.verdicts)]
