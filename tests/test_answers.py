"""Model text → mentions: every shape models write, every reason, and nothing is executed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sinoner.answers import Mentions, Surfaces, parse_mentions, parse_surfaces

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
        ('[{"刘德华": "人', "truncated"),
        ('[{"刘德华": "人名"', "truncated"),
        ('```json\n[\n  ["刘德华", "人名"],\n  ["北京"', "truncated"),
        ("[", "truncated"),
    ],
)
def test_reasons(answer, reason):
    assert parse_mentions(answer) == Mentions((), reason)


@pytest.mark.parametrize(
    "answer", ['[{"刘德华": "人名"}, {"北京": "地', '[{"刘德华": "人名"}, {"北', '[{"刘德华": "人名"},']
)
def test_a_list_cut_off_after_its_first_object_is_truncated(answer):
    assert parse_mentions(answer).reason == "truncated"


@pytest.mark.parametrize(
    "answer",
    ['[{"刘德华": 人名, "别名": []}]', '[{"刘德华": "人名"}, {"北京": 地点}]', "[{'O'Neil': 'person'}, []]"],
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
        assert parsed.reason in {None, "empty_answer", "unparsed", "truncated"}
        if parsed.reason is not None:
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
    ['嗯\n[{"甲": "乙"}]\n</think>\n\n[{"刘德华": "人名"}]', '[{"甲": "乙"}]\n</think>[{"刘德华": "人名"}]'],
)
def test_a_thought_whose_beginning_the_template_swallowed(answer):
    assert parse_mentions(answer).pairs == (("刘德华", "人名"),)


def test_a_thought_that_never_ends_is_no_answer():
    assert parse_mentions('<think>也许是[{"甲": "乙"}]').reason == "empty_answer"


def test_a_pair_without_a_type_is_kept_for_the_caller_to_reject():
    assert parse_mentions('[{"刘德华": ""}]').pairs == (("刘德华", ""),)
