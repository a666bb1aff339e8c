"""The one renderer: the paper's strings to the byte, and answers that are JSON."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_metric import reference_parse

from sinoner.answers import parse_surfaces
from sinoner.itset.export import sharegpt
from sinoner.itset.render import (
    answer,
    conversations,
    examples_turn,
    query_conversation,
    query_conversations,
)
from sinoner.itset.writers import frame
from sinoner.records import HUMAN, Annotation, Conversation, Entity, Lang, Passage
from sinoner.score.f1 import query_counts
from sinoner.settings.itset_section import Mode, Style
from sinoner.text.ground import occurrences

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
RAIT = Path(__file__).resolve().parents[3] / "shared" / "reference" / "rait"
with_reference = pytest.mark.skipif(not RAIT.is_dir(), reason="the reference files are not here")


def sharegpt_file(conversations: Iterable[Conversation], numbers: Sequence[int] | None = None) -> bytes:
    """A ShareGPT file as the stage writes it; with numbers for ids, as the reference has them."""
    file, pieces = frame("sharegpt"), []
    for n, conversation in enumerate(conversations):
        written = sharegpt(conversation)
        if numbers is not None:
            named = json.dumps(conversation.id, ensure_ascii=False).encode()
            written = written.replace(b'"id": ' + named, b'"id": %d' % numbers[n], 1)
        pieces.append(file.add(written))
    return b"".join([*pieces, file.end()])


def annotation(text: str, *mentions: tuple[str, str], id: str = "p#0", lang: Lang = "zh") -> Annotation:
    passage = Passage(id=id, text=text, source="test", lang=lang)
    entities = (Entity(surface=s, type=t, starts=occurrences(text, s)) for s, t in mentions)
    return Annotation(passage=passage, entities=tuple(entities), by=HUMAN)


def whole(
    about: Annotation, types: Sequence[str], examples: Sequence[Annotation], style: Style
) -> Conversation:
    """The one conversation of mode ``passage``."""
    (made,) = conversations(about, types, examples, style, "passage")
    return made


ZH = annotation(
    "昨日，“星海”公司在上海发布X-7手机。\n林晓说：“售价{4999}元”",
    ("星海", "组织"), ("上海", "地点"), ("“星海”公司", "组织"), ("X-7手机", "产品"), id="星#0",
)  # fmt: skip
ZH_EXAMPLES = (
    annotation("小满住在杭州。", ("小满", "人名"), ("杭州", "地点"), id="a#0"),
    annotation("O'Neil在'杭州'喝\"茶\"", ("O'Neil", "人名"), ("'杭州'喝\"茶\"", "事件"), id="b#0"),
)
EN = annotation(
    "Ann's shop “Blue Door” opened in Leeds.\nIt sells {tea}.",
    ("Blue Door", "shop"), ("Ann's shop", "shop"), ("Leeds", "place"), id="en-1#3", lang="en",
)  # fmt: skip
EN_EXAMPLES = (
    annotation("Tom flew to Oslo.", ("Tom", "person"), ("Oslo", "place"), id="c#0", lang="en"),
    annotation('It\'s "Ruby" from Cork', id="d#0", lang="en"),
)
ZH_TYPES, EN_TYPES = ("产品", "疾病", "组织"), ("place", "disease", "shop")


@pytest.mark.parametrize(
    ("name", "style", "about", "types", "examples"),
    [
        ("rait_zh_plain", "rait", ZH, ZH_TYPES, ()),
        ("rait_zh_examples", "rait", ZH, ZH_TYPES, ZH_EXAMPLES),
        ("rait_en_plain", "rait", EN, EN_TYPES, ()),
        ("rait_en_examples", "rait", EN, EN_TYPES, EN_EXAMPLES),
        ("uniner_en_examples", "uniner", EN, EN_TYPES, EN_EXAMPLES),
        ("uniner_zh_examples", "uniner", ZH, ZH_TYPES, ZH_EXAMPLES),
        ("sinoner_zh_examples", "sinoner", ZH, ZH_TYPES, ZH_EXAMPLES),
        ("sinoner_en_examples", "sinoner", EN, EN_TYPES, EN_EXAMPLES),
    ],
)
def test_strings_to_the_byte(
    name: str, style: Style, about: Annotation, types: tuple[str, ...], examples: tuple[Annotation, ...]
) -> None:
    conversation = whole(about, types, examples, style)
    golden = (GOLDEN / f"{name}.json").read_bytes()
    assert sharegpt_file([conversation]) == golden
    assert conversation.types == types
    assert conversation.examples == tuple(e.passage.id for e in examples)
    assert conversation.id == conversation.passage == about.passage.id


def test_the_two_english_apostrophes_differ() -> None:
    turns = [m.content for m in whole(EN, ["place"], EN_EXAMPLES, "sinoner").messages]
    assert turns[1] == "I\u0027ve read these examples."
    assert turns[3] == "I\u2019ve read this text"


def test_uniner_has_unquoted_types_and_straight_apostrophes() -> None:
    turns = [m.content for m in whole(EN, ["place"], EN_EXAMPLES, "uniner").messages]
    assert turns[1:] == [
        "I've read these examples.",
        f"Text: {EN.passage.text}",
        "I've read this text.",
        "What describes place in the text?",
        '["Leeds"]',
    ]
    assert turns[0] == whole(EN, ["place"], EN_EXAMPLES, "rait").messages[0].content
    assert whole(ZH, ["产品"], ZH_EXAMPLES, "uniner") == whole(ZH, ["产品"], ZH_EXAMPLES, "rait")


@pytest.mark.parametrize("style", ["rait", "sinoner", "uniner"])
def test_only_answers_are_learned_and_turns_alternate(style: Style) -> None:
    messages = whole(ZH, ZH_TYPES, ZH_EXAMPLES, style).messages
    assert [m.role for m in messages] == ["user", "assistant"] * 5
    assert [m.learn for m in messages] == [False, True] * 5


def test_no_examples_turn_without_examples() -> None:
    messages = whole(ZH, ["产品"], (), "sinoner").messages
    assert [m.content for m in messages][:2] == [f"文本： {ZH.passage.text}", "我已读完这段文本。"]
    assert len(messages) == 4


def test_a_query_ends_with_the_question_or_the_gold_answer() -> None:
    asked = query_conversation(ZH.passage, "组织", ZH_EXAMPLES, "rait")
    assert asked.messages[-1].role == "user"
    assert asked.messages[-1].content == '文本中属于"组织"的实体有哪些？'
    assert (asked.id, asked.passage, asked.types) == ("星#0|组织", "星#0", ("组织",))
    told = query_conversation(ZH.passage, "组织", ZH_EXAMPLES, "rait", ZH.entities)
    assert told.messages[:-1] == asked.messages
    assert told.messages[-1].content == '["星海", "“星海”公司"]'
    assert told.messages[-1].learn


@pytest.mark.parametrize("style", ["rait", "sinoner", "uniner"])
@pytest.mark.parametrize("kind", ["组织", "a\nb"])
def test_training_and_asking_share_every_string(style: Style, kind: str) -> None:
    trained = whole(ZH, [kind], ZH_EXAMPLES, style)
    asked = query_conversation(ZH.passage, kind, ZH_EXAMPLES, style, ZH.entities)
    assert trained.messages == asked.messages
    assert conversations(ZH, [kind], ZH_EXAMPLES, style, "type") == (asked,)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True))
def test_sinoner_answers_are_json_whatever_the_mentions(surfaces: list[str]) -> None:
    text = "\x00".join(surfaces)
    entities = (
        annotation(text, *((s, "类") for s in surfaces), ("\x00", "别的")).entities
        if len(surfaces) > 1
        else annotation(text, *((s, "类") for s in surfaces)).entities
    )
    told = answer(entities, "类", "sinoner")
    assert sorted(json.loads(told)) == sorted(surfaces)
    assert "\n" not in told


def test_quotes_and_newlines_in_mentions() -> None:
    about = annotation('他说"好\n的"，再见', ('"好\n的"', "话"), ("他", "人"))
    assert answer(about.entities, "话", "sinoner") == '["\\"好\\n的\\""]'
    assert answer(about.entities, "话", "rait") == '[""好\n的""]'  # how the released models were trained
    assert answer(about.entities, "无", "sinoner") == "[]"
    assert answer(about.entities, "无", "rait") == "[]"


def test_sinoner_answers_follow_the_text_and_rait_the_annotation() -> None:
    about = annotation("甲乙丙", ("丙", "字"), ("甲", "字"), ("甲乙", "字"))
    assert answer(about.entities, "字", "sinoner") == '["甲", "甲乙", "丙"]'
    assert answer(about.entities, "字", "rait") == '["丙", "甲", "甲乙"]'


def test_a_mention_that_is_twice_there_is_told_once() -> None:
    entities = (Entity(surface="甲", type="字", starts=(0,)), Entity(surface="甲", type="字", starts=(2,)))
    assert answer(entities, "字", "sinoner") == answer(entities, "字", "rait") == '["甲"]'


def test_sinoner_examples_are_json() -> None:
    told = whole(ZH, ["组织"], ZH_EXAMPLES, "sinoner").messages[0].content
    head, *examples = told.split("\n文本：")
    assert head == "以下是一些命名实体识别的例子："
    lines = [e.split("\n实体：") for e in examples]
    assert [text for text, _ in lines] == [e.passage.text for e in ZH_EXAMPLES]
    assert [json.loads(e) for _, e in lines] == [
        [{"小满": "人名"}, {"杭州": "地点"}],
        [{"O'Neil": "人名"}, {"'杭州'喝\"茶\"": "事件"}],
    ]


@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True), st.sampled_from(["sinoner", "uniner"])
)
def test_answers_come_back_from_the_parser(surfaces: list[str], style: Style) -> None:
    text = "\x00".join(surfaces)
    entities = tuple(Entity(surface=s, type="类", starts=occurrences(text, s)) for s in surfaces)
    told = answer(entities, "类", style)
    assert told == json.dumps(json.loads(told), ensure_ascii=False)
    assert set(parse_surfaces(told).surfaces) == set(surfaces)


@given(st.lists(st.tuples(st.text(min_size=1, max_size=4), st.text(min_size=1, max_size=4)), max_size=4))
def test_examples_are_the_bytes_of_the_json_library(pairs: list[tuple[str, str]]) -> None:
    text = "\x00".join(s for s, _ in pairs) or "无"
    about = annotation(text, *pairs)
    expected = json.dumps([{s: t} for s, t in pairs], ensure_ascii=False)
    (shown, _) = examples_turn([about], "zh", "sinoner")
    assert shown.content == f"以下是一些命名实体识别的例子：\n文本：{text}\n实体：{expected}"


@pytest.mark.parametrize("style", ["rait", "sinoner"])
@pytest.mark.parametrize("kind", ["{type}", "{}", "%s", '引"号', "{text}{entities}", "a\\1b", "{0[x]}"])
def test_braces_and_quotes_survive(kind: str, style: Style) -> None:
    about = annotation(f"一{kind}二{{text}}三{{entities}}四", (kind, kind))
    messages = whole(about, [kind], [about], style).messages
    assert messages[-2].content == f'文本中属于"{kind}"的实体有哪些？'
    assert messages[2].content == f"文本： {about.passage.text}"
    pair = [{kind: kind}]
    written = repr(pair) if style == "rait" else json.dumps(pair, ensure_ascii=False)
    assert messages[0].content.endswith(f"\n文本：{about.passage.text}\n实体：{written}")
    if style == "sinoner":
        assert json.loads(messages[-1].content) == [kind]


# modes -----------------------------------------------------------------------------------------------------------


def test_a_conversation_per_type() -> None:
    made = conversations(ZH, ZH_TYPES, ZH_EXAMPLES, "sinoner", "type")
    assert made == tuple(
        query_conversation(ZH.passage, t, ZH_EXAMPLES, "sinoner", ZH.entities) for t in ZH_TYPES
    )
    assert [c.id for c in made] == ["星#0|产品", "星#0|疾病", "星#0|组织"]
    together = whole(ZH, ZH_TYPES, ZH_EXAMPLES, "sinoner").messages
    assert [m for c in made for m in c.messages[4:]] == list(together[4:])
    assert all(c.messages[:4] == together[:4] for c in made)


ALL_ZH = (
    "文本中有哪些实体，各属于什么类别？请用一个JSON对象回答，每个类别对应该类别的实体列表；没有实体时回答{}。"
)
SCHEMA_ZH = (
    '文本中有哪些属于以下类别的实体？\n["产品", "疾病", "组织"]\n'
    "请用一个JSON对象回答，按上述顺序列出每个类别及其实体列表；没有实体的类别对应[]。"
)
ALL_EN = (
    "Which entities are in the text, and of which types? Answer with one JSON object that maps each type to the list of "
    "its entities, {} if there are none."
)
SCHEMA_EN = (
    'Which entities of these types are in the text?\n["place", "disease", "shop"]\nAnswer with one JSON object that maps '
    "each of these types, in this order, to the list of its entities, [] if there are none."
)


@pytest.mark.parametrize("style", ["rait", "sinoner", "uniner"])
@pytest.mark.parametrize(
    ("mode", "about", "types", "question", "told", "asked"),
    [
        ("all", ZH, ZH_TYPES, ALL_ZH, '{"组织": ["“星海”公司", "星海"], "地点": ["上海"], "产品": ["X-7手机"]}', ("组织", "地点", "产品")),
        ("schema", ZH, ZH_TYPES, SCHEMA_ZH, '{"产品": ["X-7手机"], "疾病": [], "组织": ["“星海”公司", "星海"]}', ZH_TYPES),
        ("all", EN, (), ALL_EN, '{"shop": ["Ann\'s shop", "Blue Door"], "place": ["Leeds"]}', ("shop", "place")),
        ("schema", EN, EN_TYPES, SCHEMA_EN, '{"place": ["Leeds"], "disease": [], "shop": ["Ann\'s shop", "Blue Door"]}', EN_TYPES),
    ],
)  # fmt: skip
def test_one_question_for_many_types(
    style: Style, mode: Mode, about: Annotation, types: tuple[str, ...], question: str, told: str, asked: tuple[str, ...]
) -> None:  # fmt: skip
    examples = ZH_EXAMPLES if about is ZH else EN_EXAMPLES
    (made,) = conversations(about, types, examples, style, mode)
    assert [m.content for m in made.messages[-2:]] == [question, told]
    assert made.messages[:-2] == whole(about, ["x"], examples, style).messages[:-2]
    assert [m.learn for m in made.messages] == [False, True] * 3
    assert (made.id, made.passage, made.types) == (about.passage.id, about.passage.id, asked)
    assert made.examples == tuple(e.passage.id for e in examples)


def test_a_passage_without_entities() -> None:
    empty = annotation("空空如也。")
    (made,) = conversations(empty, (), (), "sinoner", "all")
    assert made.messages[-1].content == "{}"
    (made,) = conversations(empty, ("甲", "乙"), (), "rait", "schema")
    assert made.messages[-1].content == '{"甲": [], "乙": []}'


@pytest.mark.parametrize("mode", ["passage", "type", "schema"])
def test_nothing_to_ask_is_no_conversation(mode: Mode) -> None:
    assert conversations(ZH, (), ZH_EXAMPLES, "sinoner", mode) == ()


@given(
    st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=5, unique=True),
    st.sampled_from(["rait", "sinoner", "uniner"]),
)
def test_objects_are_json_with_exactly_the_types(kinds: list[str], style: Style) -> None:
    text = '一"二\n三'
    about = annotation(text, *(('"二\n', kind) for kind in kinds[1:]))
    (made,) = conversations(about, kinds, (), style, "schema")
    told = json.loads(made.messages[-1].content)
    assert list(told.items()) == [(k, ['"二\n'] if k in kinds[1:] else []) for k in kinds]
    listed = made.messages[-2].content.split("\n")[1]
    assert json.loads(listed) == kinds
    (made,) = conversations(about, kinds, (), style, "all")
    assert list(json.loads(made.messages[-1].content)) == kinds[1:]


def test_a_type_that_is_asked_twice_is_one_key() -> None:
    (made,) = conversations(ZH, ("地点", "疾病", "地点"), (), "sinoner", "schema")
    assert made.messages[-1].content == '{"地点": ["上海"], "疾病": []}'
    assert made.types == ("地点", "疾病")


@pytest.mark.parametrize("style", ["rait", "sinoner", "uniner"])
@pytest.mark.parametrize("mode", ["all", "schema"])
@pytest.mark.parametrize("about", [ZH, EN], ids=["zh", "en"])
def test_an_object_is_asked_for_as_in_training(about: Annotation, mode: Mode, style: Style) -> None:
    types, examples = (ZH_TYPES, ZH_EXAMPLES) if about is ZH else (EN_TYPES, EN_EXAMPLES)
    types = (*types, 'a "b"\nc', types[0])
    (trained,) = conversations(about, types, examples, style, mode)
    (asked,) = query_conversations(about.passage, types, examples, style, mode)
    assert asked.messages == trained.messages[:-1]
    assert (asked.id, asked.passage, asked.examples) == (trained.id, trained.passage, trained.examples)
    assert asked.types == types[:-1]  # also of ``all``, whose question names none


@pytest.mark.parametrize("mode", ["passage", "type"])
def test_a_list_is_asked_for_type_by_type(mode: Mode) -> None:
    asked = query_conversations(ZH.passage, ZH_TYPES, ZH_EXAMPLES, "rait", mode)
    assert asked == tuple(query_conversation(ZH.passage, kind, ZH_EXAMPLES, "rait") for kind in ZH_TYPES)


@pytest.mark.parametrize("mode", ["passage", "type", "all", "schema"])
def test_nothing_to_ask_is_no_query(mode: Mode) -> None:
    assert query_conversations(ZH.passage, (), ZH_EXAMPLES, "sinoner", mode) == ()


@pytest.mark.parametrize(
    ("style", "kind", "said"),
    [
        ("sinoner", "甲 \r\n\t乙", "甲 乙"),
        ("uniner", "甲\u2028乙", "甲 乙"),
        ("sinoner", "甲  乙\t", "甲  乙\t"),
        ("rait", "甲\n乙", "甲\n乙"),
    ],
)
def test_line_breaks_in_a_type_stay_out_of_the_question(style: Style, kind: str, said: str) -> None:
    about = annotation("一二三", ("二", kind))
    made = whole(about, [kind], (), style)
    assert made.messages[-2].content == f'文本中属于"{said}"的实体有哪些？'
    assert made.messages[-1].content == '["二"]'
    assert made.types == (kind,)


# the reference files ---------------------------------------------------------------------------------------------


def boson(part: str) -> list[Annotation]:
    rows = map(json.loads, (RAIT / f"boson/{part}.jsonl").open(encoding="utf-8"))
    return [
        annotation(
            row["sentence"],
            *((s, t if isinstance(t, str) else t[0]) for s, t in row["label"].items()),
            id=str(row["id"]),
        )
        for row in rows
    ]


def boson_types() -> list[str]:
    return list(json.loads((RAIT / "boson/abb2labelname.json").read_text(encoding="utf-8")).values())


@with_reference
def test_boson_test_conversations_byte_for_byte() -> None:
    asked = [(a, kind) for a in boson("test") for kind in boson_types()]
    made = (query_conversation(a.passage, kind, (), "rait", a.entities) for a, kind in asked)
    numbers = [int(a.passage.id) for a, _ in asked]
    assert sharegpt_file(made, numbers) == (RAIT / "boson/test_conversations.json").read_bytes()


@with_reference
def test_boson_gold_answers_under_the_reference_parser() -> None:
    rows = json.loads((RAIT / "boson/test_conversations.json").read_text(encoding="utf-8"))
    parsed = [reference_parse(row["conversations"][-1]["value"]) for row in rows]
    assert len(parsed) == 1074
    assert sum(p is None for p in parsed) == 1
    assert sum(query_counts(p, ()).gold for p in parsed if p is not None) == 1477


@with_reference
def test_boson_conversations_with_examples_byte_for_byte() -> None:
    """Pool of 8 drawn with seed 42; the neighbours are those whose texts the file shows; the file is built whole."""
    path = RAIT / "boson/test_w_NN_2_train_8_random_42_GTElargeEmb_text.json"
    reference = path.read_bytes()
    pool = Random(42).sample(boson("train"), 8)  # as random.seed(42); random.sample(train, 8)
    by_text = {a.passage.text: a.passage.id for a in pool}
    by_id = {a.passage.id: a for a in pool}
    tests = {a.passage.id: a for a in boson("test")}
    example = re.compile(r"文本：(.*?)\n实体：\[.*?\](?=\n文本：|\Z)", re.DOTALL)

    def ours() -> list[Conversation]:
        made: list[Conversation] = []
        for i, row in enumerate(json.loads(reference)):
            texts = example.findall(row["conversations"][0]["value"])
            assert len(texts) == 2
            about = tests[str(row["id"])]
            kind = boson_types()[i % 6]
            examples = [by_id[by_text[t]] for t in texts]
            made.append(query_conversation(about.passage, kind, examples, "rait", about.entities))
        return made

    assert sharegpt_file(ours(), [row["id"] for row in json.loads(reference)]) == reference
    assert len(json.loads(reference)) == 1074


@with_reference
def test_answers_of_the_reference_training_set() -> None:
    rows = map(json.loads, (RAIT / "llm_response_parsed_filtered.jsonl").open(encoding="utf-8"))
    filtered = {row["id"]: row for row in rows}
    rendered = json.loads((RAIT / "ner_it_data_conversation.json").read_text(encoding="utf-8"))
    assert len(rendered) == 17
    compared = 0
    for reference in rendered:
        row = filtered[reference["id"]]
        mentions = []
        for pair in row["prediction"]:
            (surface, kind), *_ = pair.items()
            at = row["text"].lower().find(surface.lower())  # the reference keeps the model's casing
            mentions.append((row["text"][at : at + len(surface)], kind))
        turns = [t["value"] for t in reference["conversations"]]
        types = [re.fullmatch(r'文本中属于"(.*)"的实体有哪些？', t)[1] for t in turns[2::2]]  # type: ignore[index]
        about = annotation(row["text"], *mentions, id=reference["id"])
        if not types:  # a mistake of the reference: two messages with nothing to learn
            assert conversations(about, types, (), "rait", "passage") == ()
            continue
        ours = [m.content for m in whole(about, types, (), "rait").messages]
        assert ours[:2] == turns[:2]
        assert ours[2::2] == turns[2::2]
        assert {k for _, k in mentions} <= set(types)
        for told, expected in zip(ours[3::2], turns[3::2], strict=True):
            assert set(json.loads(told)) == set(json.loads(expected))
            compared += 1
    assert compared == 106
