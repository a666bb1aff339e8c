"""Model text → mentions: every shape models write, every reason, and nothing is executed."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sinoner.answers import Mentions, Surfaces, parse_mentions, parse_surfaces, repair_mentions
from sinoner.answers.strict import FIELDS

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference" / "rait"
TWO = (("刘德华", "人名"), ("北京", "地点"))
# Brackets, quotes and what stands between them: most draws are nearly lists.
PIECES = [
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    '"',
    "'",
    ":",
    ",",
    "+",
    "\\",
    "刘德华",
    "a",
    "1",
    "1e999",
    "j",
    "None",
    "true",
    "```",
    "<think>",
    "</think>",
    '{"a":"b"}',
    "['a','b']",
]
NEARLY = st.lists(st.sampled_from([*PIECES, " ", "\n", "\x00", "\ud83d"]), max_size=30).map("".join)


@pytest.mark.parametrize(
    "answer",
    [
        '[{"刘德华": "人名"}, {"北京": "地点"}]',
        '```json\n[{"刘德华": "人名"}, {"北京": "地点"}]\n```',
        '```\n[\n  {"刘德华": "人名"},\n  {"北京": "地点"}\n]\n```\n',
        '[{"刘德华": "人名", "北京": "地点"}]',
        '{"刘德华": "人名", "北京": "地点"}',
        '[{"mention": "刘德华", "type": "人名"}, {"mention": "北京", "type": "地点"}]',
        '[{"type": "人名", "text": "刘德华"}, {"label": "地点", "name": "北京", "score": 1}]',
        '[{"实体": "刘德华", "类别": "人名"}, {"实体": "北京", "类别": "地点"}]',
        '[["刘德华", "人名"], ["北京", "地点"]]',
        "[('刘德华', '人名'), ('北京', '地点')]",
        "[{'刘德华': '人名'}, {'北京': '地点'}]",
        "[{'刘德华': '人名'}, {'北京': '地点'},]",
        '[{"刘德华": "人名"}, {"北京": "地点"},]',
        '{"entities": [{"刘德华": "人名"}, {"北京": "地点"}]}',
        '{"result": [["刘德华", "人名"], ["北京", "地点"]], "count": 2}',
        '<think>[{"张三": "人名"}, {"李四": "人名"}, {"上海": "地点"}]</think>\n[{"刘德华": "人名"}, {"北京": "地点"}]',
        '好的，结果如下：\n[{"刘德华": "人名"}, {"北京": "地点"}]\n希望有帮助！',
        'As asked [see above]: [{"刘德华": "人名"}, {"北京": "地点"}] (that\'s all)',
        '见[1]。[{"刘德华": "人名"}, {"北京": "地点"}]',
        '[{"刘德华": "人名"}, {"北京": "地点"}]\n其他：[]',
        '[]\n更正：[{"刘德华": "人名"}, {"北京": "地点"}]',
        '[{"刘德华": ["人名"]}, {"北京": ["地点"]}]',
        r'[{"\u5218\u5fb7\u534e": "人名"}, {"北京": "地点"}]',
    ],
)
def test_every_shape_gives_the_same_mentions(answer):
    assert parse_mentions(answer) == Mentions(TWO)


@pytest.mark.parametrize(
    ("answer", "pairs"),
    [
        ('[{"刘德华": ["人名", "歌手"]}]', (("刘德华", "人名"), ("刘德华", "歌手"))),
        (
            '[{"刘德华": "人名"}, {"刘德华": "人名"}]',
            (("刘德华", "人名"), ("刘德华", "人名")),
        ),  # repeats stay
        ('[{" 刘 德华 ": " 人名"}]', ((" 刘 德华 ", " 人名"),)),  # no mention is altered
        ("""[{"O'Neil": "person"}]""", (("O'Neil", "person"),)),
        ("""It isn't long: [{'O\\'Neil': 'person'}]""", (("O'Neil", "person"),)),
        ('[{"a [b] {c}": "x]}"}]', (("a [b] {c}", "x]}"),)),  # brackets inside quotes are text
        ('[{"text": "名称"}]', (("text", "名称"),)),  # a mention may be the word of a key
        ('[["刘德华", ""]]', (("刘德华", ""),)),  # a missing type is for the caller to reject
        ('[{"刘德华": "人名"}, null, 3, {"北京": null}]', (("刘德华", "人名"),)),
    ],
)
def test_details_of_the_shapes(answer, pairs):
    assert parse_mentions(answer) == Mentions(pairs)


@pytest.mark.parametrize(
    "answer", ["[]", "```json\n[]\n```", "没有实体：[]", "<think>嗯</think>[]", "[ \n ]"]
)
def test_an_empty_list_means_no_entities(answer):
    assert parse_mentions(answer) == Mentions(())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty_answer"),
        (" \n\t", "empty_answer"),
        ("<think>刘德华……\n</think>\n", "empty_answer"),
        ("文本中没有实体。", "unparsed"),
        ('["刘德华", "北京"]', "unparsed"),  # mentions without types
        ("[1, 2]", "unparsed"),
        ("刘德华]", "unparsed"),
        (r"[{'\u52': '人名'}]", "unparsed"),
        (r"[{'\U0011ffff': '人名'}]", "unparsed"),
        ('[{"刘\n德华": "人名"}]', "unparsed"),
        ('[{"刘德华": "人', "truncated"),
        ('[{"刘德华": "人名"', "truncated"),
        ('```json\n[\n  ["北京"', "truncated"),
        ("[", "truncated"),
    ],
)
def test_reasons(answer, reason):
    assert parse_mentions(answer) == Mentions((), reason)


@pytest.mark.parametrize(
    "answer",
    [
        '[{"刘德华": "人名"}, {"北京": "地',
        '[{"刘德华": "人名"}, {"北',
        '[{"刘德华": "人名"},',
        '[{"刘德华": "人名"}',
        '[{"刘德华": "人名"}, {"北京": "地点"',  # the object may go on
        '{"刘德华": "人名", "北京": "地',
        '{"刘德华": "人名", "北京": ["地点", "城',
        '{"刘德华": "人名"',
        '[["刘德华", "人名"], ["北京", "地点"',
        "[('刘德华', '人名'), ('北京', '地",
        "[{'刘德华': '人名'}, {'北京'",
        '{"entities": [{"mention": "刘德华", "type": "人名"}, {"mention": "北',
        '{"count": 2, "entities": [["刘德华", "人名"], ["北京"',
        '{"result": [["刘德华", "人名"]], "count": 1',
        '{"刘德华": "人名"}\n{"北京": "地点", ',
        '```json\n[\n  ["刘德华", "人名"],\n  ["北京"',
        '<think>[{"张三": "人名"}]</think>[{"刘德华": "人名"}, {"北京\\',
        '[{"刘德华": "人名"}, nul',
    ],
)
def test_of_a_list_that_is_cut_off_the_complete_items_are_kept(answer):
    wanted = TWO if answer.startswith('{"刘德华": "人名"}\n') else TWO[:1]
    assert parse_mentions(answer) == Mentions(wanted, "truncated")


@pytest.mark.parametrize(
    "answer",
    [
        '{"mention": "刘德华", "type": "人名"',  # one field of a mention says nothing without the others
        '{"text": "刘德华", "score": "高", "la',
        '{"刘德华": ["人名", "歌',
        '{"刘德华": {"类别": "人名"}, "北京',
        '[{"刘德华": "人名", "北京": "地',
        '{"entities": [',
        '[[["刘德华", "人名"], ["北京"',
        '[["刘德华", "人名", ["北京", "地点"]]',
        '[{"刘德华": 人名}, {"北京": "地点"}, {"上',  # broken and cut off: nothing of it is sure
    ],
)
def test_what_is_not_complete_before_the_cut_is_not_used(answer):
    assert parse_mentions(answer) == Mentions((), "truncated")
    assert repair_mentions(answer) == Mentions((), "truncated")


@pytest.mark.parametrize(
    "answer",
    [
        '[{"刘德华": 人名, "别名": []}]',
        '[{"刘德华": "人名"}, {"北京": 地点}]',
        "[{'O'Neil': 'person'}, []]",
        '[{"刘德华": "人名", {"北京": "地点"}]',
        '[{"刘德华: "人名"}, {"北京": "地点"}]',
        '[{刘德华: "人名"}, {"北京": "地点"}]',
        '[{"张"三": "人名"}, {"北京": "地点"}]\n希望有帮助！',
        '[{"刘德华": "人名"}]\n[{"北京": 地点}]',
    ],
)
def test_a_piece_of_a_broken_list_is_not_the_answer(answer):
    assert parse_mentions(answer) == Mentions((), "unparsed")


@pytest.mark.parametrize("answer", ['{"entities": []}', '```json\n{"实体": []}\n```'])
def test_an_empty_list_wrapped_in_an_object_means_no_entities(answer):
    assert parse_mentions(answer) == Mentions(())


def test_a_mention_object_with_a_list_of_types():
    answer = '[{"mention": "刘德华", "type": ["人名", "歌手"]}]'
    assert parse_mentions(answer) == Mentions((("刘德华", "人名"), ("刘德华", "歌手")))


@pytest.mark.parametrize(
    "answer", ['{"刘德华": "人名"}\n{"北京": "地点"}', '[{"刘德华": "人名"}]\n[{"北京": "地点"}]']
)
def test_an_answer_in_several_lines_keeps_all_of_them(answer):
    assert parse_mentions(answer) == Mentions(TWO)


def test_a_missing_comma_does_not_make_up_a_mention():
    assert ("刘德华北京", "地点") not in parse_mentions('[("刘德华" "北京", "地点")]').pairs


@pytest.mark.parametrize(
    "answer",
    [
        "[__import__('os').system('touch {file}')]",
        "[{'刘德华': __import__('os').system('touch {file}')}]",
        "[{'刘德华': open('{file}', 'w').write('x')}]",
        "[(lambda: open('{file}', 'w'))()]",
        "[open('{file}', 'w') for _ in [1]]",
    ],
)
def test_code_is_inert(answer, tmp_path):
    file = tmp_path / "touched"
    assert parse_mentions(answer.replace("{file}", str(file))).pairs == ()
    assert not file.exists()


@pytest.mark.parametrize(
    "answer",
    [
        "[" * 600 + "]" * 600,
        "[" * 500,
        "[" + "9" * 5000 + "]",
        "[" + "1" * 400 + "+1j]",  # too large for a float
        "[1e999]",
        "[{{}: 1}]",
        '["\x00"]',
        "['\\x']",
        "[-'a']",
        "[{**{}}]",
        '[{"\ud83d": "x"',
    ],
)
def test_odd_values_are_no_mentions_and_no_error(answer):
    parsed = parse_mentions(answer)
    assert parsed.pairs == ()
    assert parsed.reason in {"unparsed", "truncated"}
    assert parse_surfaces(answer).reason is None or parse_surfaces(answer).surfaces == ()


@given(st.one_of(st.text(), NEARLY))
def test_no_text_raises_and_no_mention_is_made_up(answer):
    for parsed, mentions in (
        ((p := parse_mentions(answer)), [m for pair in p.pairs for m in pair]),
        ((s := parse_surfaces(answer)), list(s.surfaces)),
    ):
        assert parsed.reason in {None, "empty_answer", "unparsed", "truncated", "refused"}
        if parsed.reason not in (None, "truncated"):
            assert not mentions
        if "\\" in answer or re.search(r"""["']\s*["']""", answer):  # escapes, and strings Python would join
            continue
        assert all(mention in answer for mention in mentions)


NAMES = st.text(min_size=1, max_size=8).filter(str.strip)


@given(
    st.lists(st.tuples(NAMES, NAMES), max_size=6),
    st.sampled_from(["dicts", "pairs", "named", "wrapped"]),
    st.sampled_from(["", "```json\n", "好的，如下：\n", "<think>想想</think>"]),
    st.booleans(),
)
def test_written_as_json_it_is_read_back(pairs, shape, before, escaped):
    value = {
        "dicts": [{m: t} for m, t in pairs],
        "pairs": [list(p) for p in pairs],
        "named": [{"mention": m, "type": t} for m, t in pairs],
        "wrapped": {"entities": [{m: t} for m, t in pairs]},
    }[shape]
    assume(pairs or shape != "wrapped")
    answer = before + json.dumps(value, ensure_ascii=escaped)
    assert parse_mentions(answer) == Mentions(tuple(pairs))


@pytest.mark.parametrize(
    ("answer", "surfaces"),
    [
        ('["刘德华", "张学友"]', ("刘德华", "张学友")),
        ("['刘德华', '张学友',]", ("刘德华", "张学友")),
        ('答案：["刘德华", "张学友"]。另见["北京"]', ("刘德华", "张学友")),  # the first list is the answer
        ('["刘德华", "张学友", "刘德华"]', ("刘德华", "张学友")),
        ('{"刘德华": 1} ["刘德华", "张学友"]', ("刘德华", "张学友")),
        ("[]", ()),
        ("<think>[1]</think>[]", ()),
        ("[('刘德华'), '张学友']", ("刘德华", "张学友")),
    ],
)
def test_surfaces(answer, surfaces):
    assert parse_surfaces(answer) == Surfaces(surfaces)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty_answer"),
        ("没有", "unparsed"),
        ("[1, 2]", "unparsed"),
        ('["刘德华", "张', "truncated"),
        ('["刘德华"', "truncated"),
    ],
)
def test_reasons_of_surfaces(answer, reason):
    assert parse_surfaces(answer) == Surfaces((), reason)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference files are not here")
def test_the_reference_answers_are_read_as_the_reference_reads_them():
    lines = (REFERENCE / "llm_response_parsed.jsonl").read_text(encoding="utf-8").splitlines()
    raw = (REFERENCE / "llm_response.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(raw) > 0
    for line, answered in zip(map(json.loads, lines), map(json.loads, raw), strict=True):
        assert line["response"] == answered["response"]
        wanted = tuple(next(iter(item.items())) for item in line["prediction"])
        assert parse_mentions(answered["response"]) == Mentions(wanted)


@pytest.mark.parametrize(
    "answer",
    [
        '嗯\n[{"甲": "乙"}]\n</think>\n\n[{"刘德华": "人名"}]',
        '[{"甲": "乙"}]\n</think>[{"刘德华": "人名"}]',
        '嗯[{"甲": "乙"}]。</think>[{"刘德华": "人名"}]',
        '嗯[{"甲": "乙"}]。\n</thinking>\n[{"刘德华": "人名"}]',
        '嗯[{"甲": "乙"}]。</reasoning>\n```json\n[{"刘德华": "人名"}]\n```',
        '<thinking>[{"甲": "乙"}]</thinking>[{"刘德华": "人名"}]',
        '<reasoning>\n[{"甲": "乙"}]\n</reasoning>\n[{"刘德华": "人名"}]',
    ],
)
def test_a_thought_whose_beginning_the_template_swallowed(answer):
    assert parse_mentions(answer).pairs == (("刘德华", "人名"),)


def test_a_thought_that_never_ends_is_no_answer():
    assert parse_mentions('<think>也许是[{"甲": "乙"}]').reason == "empty_answer"


def test_a_pair_without_a_type_is_kept_for_the_caller_to_reject():
    assert parse_mentions('[{"刘德华": ""}]').pairs == (("刘德华", ""),)


def test_a_thought_tag_inside_a_mention_is_text():
    assert parse_mentions('[{"</think>": "标签"}, {"北京": "地点"}]').pairs == (
        ("</think>", "标签"),
        ("北京", "地点"),
    )


@pytest.mark.parametrize(
    ("answer", "mention"),
    [
        (r"""[{'A\u5218\x41\n': 't'}]""", "A刘A\n"),
        (r"""[{'\U0001f600\ud83d\ude00': 't'}]""", "😀😀"),
        (r"""[{'C:\d\/': 't'}]""", r"C:\d\/"),
        (r"""[{"C:\d": 't'}]""", r"C:\d"),
        (r"""[{"\ud83d\ude00\/": "t"}]""", "😀/"),
        ("[{'a\tb': 't'}]", "a\tb"),
        ("[{'a': ('t')}]", "a"),
    ],
)
def test_escapes_are_read(answer, mention):
    assert parse_mentions(answer) == Mentions(((mention, "t"),))


@pytest.mark.parametrize(
    "answer",
    [
        "抱歉，我无法协助处理该请求。",
        "很抱歉，该内容我无法处理",
        "对不起，我不能提供这方面的内容。",
        "我不能协助",
        "我无法回答这个问题。",
        "作为一个人工智能语言模型，我无法处理这类内容。",
        "作为AI助手，我不能参与讨论。",
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, I can’t help with that request.",
        "Sorry, but I cannot assist.",
        "I cannot assist with this request.",
        "I'm unable to help with that.",
        "As an AI language model, I cannot process this.",
        "I apologize, but I am unable to process this text.",
        "<think>这不行</think>抱歉，我不能讨论这个话题。",
    ],
)
def test_a_refusal(answer):
    assert parse_mentions(answer) == Mentions((), "refused")
    assert repair_mentions(answer) == Mentions((), "refused")


@pytest.mark.parametrize(
    "answer",
    [
        "抱歉，文本中没有实体",
        "很遗憾，文本中没有实体。",
        "抱歉，文本中无法找到实体",
        "抱歉，我无法从文本中识别出任何实体。",
        "I'm sorry, but I can't find any entities.",
        "Sorry, there are no entities.",
        "无法确定",
        "刘德华说：我无法协助",
        "抱歉" + "，我无法协助" * 100,
        "抱歉，我无法协助。[刘德华]",
    ],
)
def test_what_is_no_refusal_is_no_empty_annotation_either(answer):
    if "[" not in answer:
        assert parse_mentions(answer) == repair_mentions(answer) == Mentions((), "unparsed")
    assert parse_mentions(answer).reason is not None


@pytest.mark.parametrize(
    "answer",
    [
        '[{"刘德华": 人名}, {"北京": 地点}]',
        "[{刘德华: 人名, 北京: 地点}]",
        '{刘德华: "人名", 北京: "地点"}',
        '[{"刘德华": "人名"} {"北京": "地点"}]',
        '[{"刘德华": "人名" "北京": "地点"}]',
        '[{"刘德华": "人名", {"北京": "地点"}]',
        '[{"刘德华": "人名"}, "北京": "地点"}]',
        '```json\n[\n  {"刘德华": "人名"},\n  {"北京": "地点"}\n```',
        "[{“刘德华”：“人名”}，{“北京”：“地点”}]",
        "［｛“刘德华”：“人名”｝，｛“北京”：“地点”｝］",
        "[{＂刘德华＂：＂人名＂}、{‘北京’：‘地点’}]",
        '{"刘德华"："人名"，"北京"："地点"}',
        '[{"刘德华": "人名"}, // 歌手\n {"北京": "地点"}]',
        '[{"刘德华": "人名"}, # 歌手\n {"北京": "地点"}]',
        '[{"刘德华": "人名"}, /* 歌手 */ {"北京": "地点"}]',
        '[{""刘德华"": ""人名""}, {""北京"": ""地点""}]',
        '[["刘德华", 人名], ["北京", "地点"]]',
        "[(刘德华, 人名), (北京, 地点)]",
        '{"entities": [["刘德华", 人名], ["北京", "地点"]]}',
        '{"entities": [{"刘德华": 人名}, {"北京": "地点"}]}',
        '{"entities": [{"mention": "刘德华", "type": 人名}, {"mention": "北京", "type": "地点"}]}',
        '[{"type": "人名", "text": "刘德华", "score": 0.9}, {"type": "地点" "text": "北京", "score": 1}]',
        '[{"刘德华": ["人名"]}, {"北京": [地点]}]',
        '<think>想</think>[{"刘德华": 人名}, {"北京": "地点"}]',
        '结果：\n```json\n[\n  {"刘德华": 人名},\n  {"北京": "地点"}\n]\n```\n希望有帮助。',
        "- 刘德华：人名\n- 北京：地点",
        "刘德华：人名\n北京：地点",
        "刘德华: 人名\n\n北京: 地点",
        "识别出的实体如下：\n1. 刘德华 - 人名\n2. 北京 - 地点",
        "1、刘德华（人名）\n2、北京（地点）",
        "刘德华 (人名)\n北京 (地点)",
        "* **刘德华**：人名\n* **北京**：地点",
        "刘德华 → 人名\n北京 → 地点",
        "实体：刘德华，类别：人名\n实体：北京，类别：地点",
        "```\n- 刘德华: 人名\n- 北京: 地点\n```",
        "| 实体 | 类型 |\n|---|---|\n| 刘德华 | 人名 |\n| 北京 | 地点 |",
        "| 序号 | 类别 | 实体 |\n|:-:|---|---|\n| 1 | 人名 | 刘德华 |\n| 2 | 地点 | 北京 |",
        "Entity | Entity Type\n--- | ---\n刘德华 | 人名\n北京 | 地点",
    ],
)
def test_broken_answers_that_can_be_read_in_one_way_only(answer):
    assert parse_mentions(answer) == Mentions((), "unparsed")
    assert repair_mentions(answer) == Mentions(TWO, None, True)


@pytest.mark.parametrize(
    ("answer", "pairs"),
    [
        ('[{"张"三": "人名"}, {"北京": "地点"}]', (('张"三', "人名"), ("北京", "地点"))),
        ('[{"他说"好"": "话"}]', (('他说"好"', "话"),)),
        ("[{'O'Neil': 'person'}]", (("O'Neil", "person"),)),
        ('[{"“村霸”": 犯罪团伙}]', (("“村霸”", "犯罪团伙"),)),
        ('[{"甲，乙：丙【丁】": 事件}]', (("甲，乙：丙【丁】", "事件"),)),  # punctuation of a mention stays
        ("[{“甲：乙，丙”：“事件”}]", (("甲：乙，丙", "事件"),)),
        ("- New York: city", (("New York", "city"),)),
        ("1. 刘德华：人名", (("刘德华", "人名"),)),
        ("实体：刘德华，类型：人名", (("刘德华", "人名"),)),
        ('[{"刘德华": [人名, "歌手"]}]', (("刘德华", "人名"), ("刘德华", "歌手"))),
        ("1.5亿：金额\n2.6亿：金额", (("1.5亿", "金额"), ("2.6亿", "金额"))),  # no numbered list
    ],
)
def test_no_mention_is_altered_by_repair(answer, pairs):
    assert repair_mentions(answer) == Mentions(pairs, None, True)


@pytest.mark.parametrize(
    "answer",
    [
        '[{"刘德华: "人名", "北京": "地点"}]',  # which quote is missing?
        '[{"刘德华": "人名, "北京": "地点"}]',
        '[["刘德华", "人名], ["北京", "地点"]]',
        '{"甲","乙": "人名"}',
        '{"甲" "乙": "人名"}',
        '[("刘德华" "北京", "地点")]',
        '[["刘德华" "人名"], ["北京", 地点]]',
        '["刘德华", 北京]',  # a list of mentions, without types
        "[刘德华, 北京]",
        '{"entities": [刘德华, 北京]}',
        "[注：这是说明]",
        '见[1]：[{"刘德华": 人名}]',
        '[{"刘德华": 人名}, ...]',
        '[{"刘德华": null}, {"北京": 地点}]',
        '[{"刘德华": 1}, {"北京": 地点}]',
        '[{"刘德华": "人名": "歌手"}, {北京: "地点"}]',
        '[{"mention": "刘德华"}, {"mention": "北京", "type": 地点}]',
        '[{"mention": "刘德华", "mention": "北京", "type": 地点}]',
        r'[{"\u5218": 人名}]',  # not in the answer letter by letter
        '[{"刘德华": 这是一个人的名字。}]',
        '[{"刘德华": "人名"}, {"北京": 地点}] 还有 [{"上海": "地点"}]',
        "人名：刘德华\n地点：北京",  # the types stand in front
        "- 人名：刘德华、张学友\n- 地点：北京",
        "- 歌手：刘德华\n- 歌手：张学友",
        '{人名: "刘德华"}',
        "答案：无",
        "- 刘德华：人名\n- 北京：无",
        "刘德华：人名",  # one line may be any sentence
        "刘德华、张学友：人名\n北京：地点",
        "- 刘德华：人名\n以上是全部",
        "- 刘德华：人名\n2. 北京：地点",
        "1. 刘德华：人名\n3. 北京：地点",
        "刘德华是歌手（也是演员）。\n北京是首都（城市）。",
        "| 名单 | 备注 |\n|---|---|\n| 刘德华 | 人名 |",
        "| 实体 | 类型 |\n|---|---|\n| 刘德华 | 人名 | 歌手 |",
        "| 实体 | 类型 |\n| 刘德华 | 人名 |\n| 北京 | 地点 |",
        "[" + "{刘德华: 人名}, " * 10_000 + "]",  # too long for one passage
    ],
)
def test_what_can_be_read_in_two_ways_is_not_read(answer):
    assert repair_mentions(answer) == Mentions((), "unparsed")


@pytest.mark.parametrize("answer", ["", "[]", '[{"刘德华": "人名"}]', '[{"刘德华": "人名"}, {"北'])
def test_what_strict_reading_can_say_is_not_repaired(answer):
    assert repair_mentions(answer) == parse_mentions(answer)
    assert not repair_mentions(answer).repaired


# Cutting: every item knows where it is complete, so the wanted answer needs no parser.
FREE = NAMES.filter(lambda name: name not in FIELDS)


def written(shape: str, pairs: list[tuple[str, str]], indent: str) -> tuple[str, list[int]]:
    """An answer in some shape, and the offsets from which its items are complete."""
    quote = repr if shape == "tuples" else (lambda text: json.dumps(text, ensure_ascii=False))
    opening, closing, item = {
        "dicts": ("[", "]", "{{{}: {}}}"),
        "pairs": ("[", "]", "[{}, {}]"),
        "tuples": ("[", "]", "({}, {})"),
        "named": ("[", "]", '{{"mention": {}, "type": {}}}'),
        "wrapped": ('{"count": 1, "entities": [', "]}", '{{"type": {1}, "mention": {0}}}'),
        "wrapped dicts": ('{"entities":[', "]}", "{{{}:{}}}"),
        "flat": ("{", "}", "{}: {}"),
        "lines": ("", "", "{{{}: {}}}"),
    }[shape]
    text, ends = opening, []
    for number, (mention, kind) in enumerate(pairs):
        text += ("\n" if shape == "lines" else f",{indent}") * bool(number)
        text += item.format(quote(mention), quote(kind))
        ends.append(len(text) - (shape == "lines"))  # the pairs of an outermost object are items of their own
    return text + closing, ends


@given(
    st.lists(st.tuples(FREE, FREE), min_size=1, max_size=4, unique_by=lambda pair: pair[0]),
    st.sampled_from(["dicts", "pairs", "tuples", "named", "wrapped", "wrapped dicts", "flat", "lines"]),
    st.sampled_from(["", " ", "\n    "]),
    st.sampled_from(["", "```json\n", "好的，如下：\n", "<think>[1]</think>"]),
    st.data(),
)
@settings(max_examples=4 * settings.default.max_examples, deadline=None)
def test_a_list_cut_off_anywhere_gives_the_items_before_the_cut(pairs, shape, indent, before, data):
    text, ends = written(shape, pairs, indent)
    assert parse_mentions(before + text) == Mentions(tuple(pairs))
    cut = data.draw(st.integers(1, len(text) - 1))
    parsed = parse_mentions(before + text[:cut])
    whole = [pair for pair, end in zip(pairs, ends, strict=True) if end <= cut]
    between = shape == "lines" and any(text[:cut].rstrip() == text[: end + 1] for end in ends)
    assert parsed == Mentions(tuple(whole), None if between else "truncated")


CJK = st.text("刘德华张学友北京上海人名地点组织", min_size=1, max_size=5)
SYNTAX = '[]{}(),:"'


@given(
    st.lists(st.tuples(CJK, CJK), min_size=1, max_size=4, unique_by=lambda pair: pair[0]),
    st.sampled_from(["dicts", "pairs", "tuples", "named", "wrapped dicts", "flat"]),
    st.sampled_from(["", *SYNTAX, "“", "”", "：", "，", '""', "\n", "// ", "x"]),
    st.booleans(),
    st.data(),
)
@settings(max_examples=6 * settings.default.max_examples, deadline=None)
def test_one_damaged_sign_never_makes_up_or_joins_a_mention(pairs, shape, sign, inserted, data):
    text, _ = written(shape, pairs, " ")
    places = [i for i, char in enumerate(text) if char in SYNTAX or char == "'"]
    at = data.draw(st.sampled_from(places))
    damaged = text[:at] + sign + text[at + (not inserted) :]
    strings = {word for pair in pairs for word in pair} | {"mention", "type", "entities"}
    for parsed in (parse_mentions(damaged), repair_mentions(damaged)):
        for word in (word for pair in parsed.pairs for word in pair):
            # A sign beside a mention may have become a letter of it, and no more than that.
            assert any(word.strip(SYNTAX + "'“”：，/x ") == string for string in strings), damaged
        assert not parsed.repaired or len(parsed.pairs) <= len(pairs), damaged


# The fuzz: real shapes, damaged in every way.
SHAPES = (
    '[{"刘德华": "人名"}, {"北京": "地点"}]',
    '```json\n[\n  {"刘德华": "人名"},\n  {"北京": "地点"}\n]\n```',
    '{"刘德华": "人名", "北京": "地点"}',
    '[{"mention": "刘德华", "type": "人名"}, {"mention": "O\'Neil \\"x\\"", "type": "person"}]',
    '{"entities": [{"实体": "刘德华", "类别": "人名"}, {"实体": "GB[2008]12号", "类别": "标准"}]}',
    "[('刘德华', '人名'), ('北\\u4eac', '地点')]",
    "[{'刘德华': ['人名', '歌手']}, {'北京': '地点'},]",
    r'[{"\u5218\u5fb7\u534e": "人名"}, {"a\nb\\c": "x"}]',
    '好的，结果如下：\n[["刘德华", "人名"], ["北京", "地点"]]\n希望有帮助！',
    "<think>想[1]</think>\n[{“刘德华”：“人名”}，{“北京”：“地点”}]",
    "识别出的实体：\n1. 刘德华：人名\n2. 北京：地点",
    "| 实体 | 类型 |\n|---|---|\n| 刘德华 | 人名 |\n| 北京 | 地点 |",
    "- 刘德华（人名）\n- 北京（地点）",
    '["刘德华", "张学友"]',
    "抱歉，我无法协助。",
)
JUNK = [
    *PIECES,
    *"“”‘’：，、［］｛｝（）＂#/|-*`\n\t \x00",
    "\ud83d",
    "\ude00",
    "😀",
    "𠮷",
    "//",
    '""',
    "\\u12",
    "\\x4",
    "...",
]


def damage(rng: random.Random, text: str) -> str:
    """One mutation of an answer."""
    a, b = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    junk = rng.choice(JUNK)
    return rng.choice(
        (
            lambda: text[:a] + text[a + 1 :],
            lambda: text[:a] + text[b:],
            lambda: text[:a] + junk + text[a:],
            lambda: text[:a] + junk + text[a + 1 :],
            lambda: text[:b] + text[a:],
            lambda: text[:a] + text[a : a + 1] + text[a:],
            lambda: text[:a] + text[a + 1 : a + 2] + text[a : a + 1] + text[a + 2 :],
            lambda: text[:a] + text[b:] + text[a:b],
            lambda: text[:b],
            lambda: f"[{text}]",
            lambda: f'{{"entities": {text}}}',
            lambda: f"```\n{text}\n```",
            lambda: f"<think>{text[:a]}</think>{text}",
            lambda: text[:a] + text[a:].replace('"', rng.choice("“”'＂"), rng.randrange(1, 4)),
            lambda: text.translate(str.maketrans(':,"', "：，”")),
            lambda: text[:a] + rng.choice(SHAPES) + text[a:],
        )
    )()


def unescaped(literal: str) -> str:
    """The inside of a string literal with its escapes decoded, written without the code under test."""
    out, at = [], 0
    while at < len(literal):
        length = {"u": 4, "x": 2, "U": 8}.get(literal[at + 1 : at + 2], 0)
        digits = literal[at + 2 : at + 2 + length]
        if literal[at] != "\\" or at + 1 == len(literal):
            out.append(literal[at])
            at += 1
        elif (
            length
            and re.fullmatch("[0-9a-fA-F]+", digits)
            and len(digits) == length
            and int(digits, 16) < 0x110000
        ):
            out.append(chr(int(digits, 16)))
            at += 2 + length
        else:
            out.append(
                {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}.get(literal[at + 1], literal[at + 1])
            )
            out[-1:] = ["\\", literal[at + 1]] if literal[at + 1] not in "\\'\"/nrtbf" else out[-1:]
            at += 2
    return "".join(out)


def same(word: str, literal: str) -> bool:
    forms = (unescaped(literal), unescaped(literal.replace("\\/", "\\\\/")))
    return any(
        word == f or word == f.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        for f in forms
    )


def written_in(word: str, answer: str) -> bool:
    """Whether a word stands in an answer, as it is or as the escapes of a string literal."""
    if word in answer:
        return True
    quotes = [i for i, char in enumerate(answer) if char in "\"'"]
    return any(
        same(word, answer[i + 1 : j])
        for n, i in enumerate(quotes)
        for j in quotes[n + 1 :]
        if answer[i] == answer[j]
    )


def test_thousands_of_damaged_answers_raise_nothing_and_make_up_nothing():
    rng = random.Random(7)
    seen = set()
    for _ in range(200 * settings.default.max_examples):
        answer = rng.choice(SHAPES)
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            answer = damage(rng, answer)
        answer = answer[:600]
        strict, repaired = parse_mentions(answer), repair_mentions(answer)
        surfaces = parse_surfaces(answer)
        words = {w for pair in strict.pairs + repaired.pairs for w in pair} | set(surfaces.surfaces)
        assert all(written_in(word, answer) for word in words), repr(answer)
        assert strict.reason in {None, "empty_answer", "unparsed", "truncated", "refused"}
        assert not strict.pairs or strict.reason in (None, "truncated")
        assert not strict.repaired
        assert repaired == strict or (strict.reason == "unparsed" and repaired.repaired and repaired.pairs)
        assert surfaces.reason is None or not surfaces.surfaces
        seen.add((strict.reason, repaired.repaired, bool(strict.pairs)))
    assert {
        (None, False, True),
        ("truncated", False, True),
        ("unparsed", True, False),
        ("refused", False, False),
    } <= seen


@pytest.mark.parametrize(
    "answer",
    [
        "[" * 100_000,
        '[{"a":"b"' * 20_000,
        "“" * 50_000,
        "[" * 50_000 + "}",
        "[" * 50_000 + "]" * 50_000,
        '{"a":' * 30_000,
        "['" * 50_000,
        '"' * 100_000,
        "a" + "\n" * 100_000 + "b",
        "a" + "\n </think>" * 20_000 + "[",
        "[(" * 40_000,
        "[" + "-" * 100_000 + "1]",
        "[" + "1+" * 50_000 + "1]",
        "[x " * 30_000,
        "[x] " * 25_000,
        "['" + "\\" * 100_000,
        ':[{""a": x, ' + '""a", ' * 6_000 + "}]",
        "[{a:b," + "/*," * 15_000 + "}]",
        "[{" + " " * 49_000 + "}]",
        '[{"a":b ' + '" ' * 20_000 + "}]",
        "[{" + ",".join(f"a{i}:b" for i in range(6_000)) + "}]",
        "- a：b\n" * 7_000,
        "|a|b|\n" * 8_000,
        "- " * 24_000,
        "a - " * 12_000,
        "实体：" + "， " * 24_000,
        "<think>" * 10_000,
    ],
    ids=lambda answer: answer[:8],
)
def test_long_garbage_is_read_in_linear_time(answer):
    """Each takes well under half a second; anything quadratic would take minutes."""
    for parsed in (parse_mentions(answer), repair_mentions(answer)):
        assert not parsed.pairs or parsed.repaired
    assert parse_surfaces(answer).surfaces == ()
