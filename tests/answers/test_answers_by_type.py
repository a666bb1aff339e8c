"""Model text → surfaces by type: what is read, every reason, what is repaired, and nothing is made up."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinoner.answers import ByType, parse_by_type, parse_mentions, repair_by_type

TWO = {"人名": ("刘德华", "张学友"), "地点": ("北京",)}


@pytest.mark.parametrize(
    "answer",
    [
        '{"人名": ["刘德华", "张学友"], "地点": ["北京"]}',
        '{\n  "人名": ["刘德华", "张学友"],\n  "地点": ["北京"]\n}',
        '```json\n{"人名": ["刘德华", "张学友"], "地点": ["北京"]}\n```',
        '<think>{"人名": ["周杰"]}</think>{"人名": ["刘德华", "张学友"], "地点": ["北京"]}',
        '好的：{"人名": ["刘德华", "张学友"], "地点": ["北京"]}。希望有帮助！',
        '见[1]。{"人名": ["刘德华", "张学友"], "地点": ["北京"]}',
        '["人名", "地点"]\n{"人名": ["刘德华", "张学友"], "地点": ["北京"]}',  # the question repeated
        "{'人名': ['刘德华', '张学友'], '地点': ('北京',),}",
        '[{"人名": ["刘德华", "张学友"]}, {"地点": ["北京"]}]',
        '{"人名": ["刘德华"], "地点": ["北京"], "人名": ["张学友", "刘德华"]}',  # a type that comes again
        "{'人名': ['刘德华'], '地点': ['北京'], '人名': ['张学友', '刘德华'],}",
        '[{"人名": ["刘德华"], "地点": ["北京"]}, {"人名": ["张学友"]}]',
        '{"人名": ["刘德华", "张学友", "刘德华"], "地点": ["北京"]}',
        r'{"\u4eba\u540d": ["\u5218\u5fb7\u534e", "张学友"], "地点": ["北京"]}',
        '{"人名": ["刘德华", "张学友"], "地点": ["北京"]}\n\n文本：上海。\n{"地点": ["上海"]}',  # the first one
        '{"人名": ["刘德华", "张学友"], "地点": ["北京"]}\n{"地点": ["上',
    ],
)
def test_every_shape_gives_the_same_surfaces(answer: str) -> None:
    assert parse_by_type(answer) == ByType(TWO)
    assert repair_by_type(answer) == ByType(TWO)


@pytest.mark.parametrize(
    ("answer", "surfaces"),
    [
        ("{}", {}),
        ("[]", {}),
        ("没有实体：{}", {}),
        ('{"人名": []}', {"人名": ()}),
        ('{"人名": [], "地点": []}', {"人名": (), "地点": ()}),
        ('{"他说\\"好\\"\\n的": ["\\"好\\"\\n"]}', {'他说"好"\n的': ('"好"\n',)}),
        ('{"a [b]": ["{c}", "]}"]}', {"a [b]": ("{c}", "]}")}),
        ("""{"person": ["O'Neil"]}""", {"person": ("O'Neil",)}),
        ('{"mention": ["刘德华"], "type": ["人名"]}', {"mention": ("刘德华",), "type": ("人名",)}),
        ('{"": [""]}', {"": ("",)}),  # not this reader's matter
    ],
)
def test_details(answer: str, surfaces: dict[str, tuple[str, ...]]) -> None:
    assert parse_by_type(answer) == ByType(surfaces)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty_answer"),
        ("<think>嗯", "empty_answer"),
        ("没有", "unparsed"),
        ('["刘德华", "张学友"]', "unparsed"),  # mentions without types
        ('{"刘德华": "人名"}', "unparsed"),  # the mention first: which is the type cannot be told
        ('[{"刘德华": "人名"}]', "unparsed"),
        ('{"人名": ["刘德华"], "地点": "北京"}', "unparsed"),
        ('{"人名": null}', "unparsed"),
        ('{"人名": ["刘德华", null]}', "unparsed"),
        ('{"人名": [1]}', "unparsed"),
        ("{1: ['刘德华']}", "unparsed"),
        ('{"人名": {"刘德华": []}}', "unparsed"),
        ('{"entities": {"人名": ["刘德华"]}}', "unparsed"),
        ('[{"人名": ["刘德华"]}, "地点"]', "unparsed"),
        ('{"人名": ["刘德华"], "地点": [__import__("os")]}', "unparsed"),
        ('{"人名": ["刘德华"]', "truncated"),
        ('{"人名": ["刘德华", "张', "truncated"),
        ('[{"人名": ["刘德华"]}, {"地', "truncated"),
        ('{"说明": [{"人名": ["刘德华"]}], "地', "truncated"),  # an object in a cut one is a piece of it
        ('{"人名": ["刘"德华"], "地点": ["北', "truncated"),
        ("{", "truncated"),
    ],
)
def test_reasons(answer: str, reason: str) -> None:
    assert parse_by_type(answer) == ByType({}, reason)
    assert repair_by_type(answer) == ByType({}, reason)


@pytest.mark.parametrize(
    "answer",
    [
        '{"人名": [{"甲": ["刘德华"]} 乙], "地点": ["北京"]}',
        '{"人名": (] {"甲": ["刘德华"]}}',
        '[{"人名": ["刘德华"]}, {"地点": 北京}]',
    ],
)
def test_a_piece_of_a_broken_object_is_not_the_answer(answer: str) -> None:
    assert parse_by_type(answer) == ByType({}, "unparsed")


@pytest.mark.parametrize(
    "answer",
    [
        '{"人名": [刘德华, 张学友], "地点": [北京]}',
        '{人名: ["刘德华", "张学友"], 地点: ["北京"]}',
        '{"人名": ["刘德华", "张学友"] "地点": ["北京"]}',
        "{“人名”：[“刘德华”，“张学友”]，“地点”：[“北京”]}",
        "｛“人名”：［“刘德华”、“张学友”］，“地点”：［“北京”］｝",
        '{"人名"：["刘德华", "张学友"], "地点"：["北京"]}',
        '{"人名": ["刘德华", "张学友"], // 歌手\n "地点": ["北京"]}',
        '{"人名": [刘德华], "地点": ["北京"], "人名": ["张学友"]}',
        '[{"人名": ["刘德华", "张学友"]} {"地点": ["北京"]}]',
        '好的：\n{"人名": [“刘德华”, "张学友"], "地点": ["北京"]}\n以上。',
    ],
)
def test_what_is_broken_and_can_be_read_in_one_way_is_repaired(answer: str) -> None:
    assert parse_by_type(answer) == ByType({}, "unparsed")
    assert repair_by_type(answer) == ByType(TWO, None, True)


def test_quotes_in_a_mention_are_repaired() -> None:
    assert repair_by_type('{"话": ["他说"好"了"], "人": []}') == ByType(
        {"话": ('他说"好"了',), "人": ()}, None, True
    )


def test_a_name_in_quotes_inside_a_mention() -> None:
    assert repair_by_type('{"team": ["the "Sandlot" team"]}').surfaces == {"team": ('the "Sandlot" team',)}


@pytest.mark.parametrize(
    "answer",
    [
        '{"人名: ["刘德华"], "地点": ["北京"]}',  # which quote is missing?
        '{"人名": ["刘德华], "地点": ["北京"]}',
        '{"人名": ["刘德华", "地点": ["北京"]}',  # where does the first list end?
        '{"人名": ["刘德华" "张学友"], "地点": ["北京"]}',
        '{"人名": ["刘德华", x"张学友"], "地点": ["北京"]}',
        '{"人名": ["刘德华", "张学友"x "周杰伦"], "地点": ["北京"]}',  # a quote closes, the next one opens
        '{"人名": 刘德华, "地点": ["北京"]}',  # a word, and no list
        '{"人名": [刘德华], "地点": 北京}',
        '{"人名": [无], "地点": [北京]}',
        r'{"人名": [\u5218], "地点": [北京]}',
        '{"人名": [刘德华]} {"地点": ["北京"]',
        '见[1]：{"人名": [刘德华]}',
        "{" + '"人名": [刘德华], ' * 10_000 + "}",  # too long for one passage
        "人名：刘德华\n地点：北京",
    ],
)
def test_what_can_be_read_in_two_ways_is_not_read(answer: str) -> None:
    found = repair_by_type(answer)
    assert found == parse_by_type(answer)
    assert not found.surfaces
    assert found.reason is not None


# properties ------------------------------------------------------------------------------------------------------

WORDS = st.text(max_size=8)
OBJECTS = st.lists(st.tuples(WORDS, st.lists(WORDS, max_size=4)), max_size=5)


def written(members: list[tuple[str, list[str]]], escaped: bool = False) -> str:
    """An object as JSON, with keys that may come again, written member by member."""
    told = (": ".join(json.dumps(part, ensure_ascii=escaped) for part in member) for member in members)
    return "{" + ", ".join(told) + "}"


@given(
    OBJECTS,
    st.sampled_from(["", "```json\n", "好的，如下：\n", "<think>想想</think>", "见[1]"]),
    st.booleans(),
)
def test_written_as_json_it_is_read_back(
    members: list[tuple[str, list[str]]], before: str, escaped: bool
) -> None:
    expected: dict[str, list[str]] = {}
    for kind, surfaces in members:
        expected.setdefault(kind, []).extend(surfaces)
    read = parse_by_type(before + written(members, escaped))
    assert read == ByType({kind: tuple(dict.fromkeys(surfaces)) for kind, surfaces in expected.items()})
    assert list(read.surfaces) == list(expected)


@given(OBJECTS.filter(bool), st.data())
@settings(max_examples=3 * settings.default.max_examples)
def test_an_object_cut_off_anywhere_gives_nothing(
    members: list[tuple[str, list[str]]], data: st.DataObject
) -> None:
    text = written(members)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    assert parse_by_type(cut) == repair_by_type(cut) == ByType({}, "truncated")


PIECES = [
    *"[]{}():,\"'",
    "刘德华",
    "a",
    "1",
    "null",
    "```",
    "<think>",
    '{"a":["b"]}',
    '["b"]',
    "\\",
    " ",
    "\n",
    "\ud83d",
]
CJK = st.text("刘德华张学友北京上海人名地点", min_size=1, max_size=5)


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=30).map("".join)))
@settings(max_examples=4 * settings.default.max_examples)
def test_no_text_raises_and_no_word_is_made_up(answer: str) -> None:
    for read in (parse_by_type(answer), repair_by_type(answer)):
        assert read.reason in {None, "empty_answer", "unparsed", "truncated"}
        assert read.reason is None or not read.surfaces
        assert not (read.repaired and not read.surfaces)
        if "\\" not in answer:
            assert all(w in answer for kind, said in read.surfaces.items() for w in (kind, *said))


@given(
    st.lists(st.tuples(CJK, st.lists(CJK, max_size=3)), min_size=1, max_size=3),
    st.sampled_from(["", *'[]{}(),:"', "“", "：", "，", "\n", "x"]),
    st.booleans(),
    st.data(),
)
@settings(max_examples=5 * settings.default.max_examples)
def test_one_damaged_sign_never_joins_words(
    members: list[tuple[str, list[str]]], sign: str, inserted: bool, data: st.DataObject
) -> None:
    text = written(members)
    at = data.draw(st.sampled_from([i for i, char in enumerate(text) if char in '[]{}:,"']))
    damaged = text[:at] + sign + text[at + (not inserted) :]
    words = {word for kind, said in members for word in (kind, *said)}
    for read in (parse_by_type(damaged), repair_by_type(damaged)):
        for word in (w for kind, said in read.surfaces.items() for w in (kind, *said)):
            # In a list without words a letter alone is one, as any bare word is.
            assert word == "x" or word.strip('[]{}(),:"“：，x ') in words, damaged


@pytest.mark.parametrize(
    "answer",
    [
        '{"a":["b"' * 20_000,
        "{" * 100_000,
        '{"a":' * 30_000,
        '{"a":[' * 30_000,
        "{" + '"a":["b"],' * 50_000 + '"c":["d"]} [1]',
        "{" + '"a":[b],' * 6_000 + "}",
        '{"a":[b ' + '" ' * 20_000 + "]}",
    ],
    ids=lambda answer: answer[:8],
)
def test_long_answers_are_read_in_linear_time(answer: str) -> None:
    begin = time.process_time()
    repair_by_type(answer)
    assert time.process_time() - begin < 5


def test_lists_under_a_key_that_comes_again_are_joined_for_mentions_too() -> None:
    for answer in ('{"刘德华": ["人名"], "刘德华": ["歌手"]}', "{'刘德华': ['人名'], '刘德华': ['歌手'],}"):
        assert parse_mentions(answer).pairs == (("刘德华", "人名"), ("刘德华", "歌手"))
