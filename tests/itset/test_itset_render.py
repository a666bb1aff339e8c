"""The one renderer: the paper's strings to the byte, and answers that are JSON."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.itset.export import json_array, sharegpt
from sinoner.itset.render import answer, query_conversation, training_conversation
from sinoner.records import Annotation, Entity, Lang, Passage
from sinoner.score.f1 import query_counts, reference_parse
from sinoner.text.ground import occurrences

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
RAIT = Path(__file__).resolve().parents[3] / "shared" / "reference" / "rait"
with_reference = pytest.mark.skipif(not RAIT.is_dir(), reason="the reference files are not here")


def annotation(text: str, *mentions: tuple[str, str], id: str = "p#0", lang: Lang = "zh") -> Annotation:
    passage = Passage(id=id, text=text, source="test", lang=lang)
    entities = (Entity(surface=s, type=t, starts=occurrences(text, s)) for s, t in mentions)
    return Annotation(passage=passage, entities=tuple(entities), by="human")


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
    ("name", "about", "types", "examples"),
    [
        ("rait_zh_plain", ZH, ZH_TYPES, ()),
        ("rait_zh_examples", ZH, ZH_TYPES, ZH_EXAMPLES),
        ("rait_en_plain", EN, EN_TYPES, ()),
        ("rait_en_examples", EN, EN_TYPES, EN_EXAMPLES),
    ],
)
def test_rait_strings_to_the_byte(
    name: str, about: Annotation, types: tuple[str, ...], examples: tuple[Annotation, ...]
) -> None:
    conversation = training_conversation(about, types, examples, "rait")
    golden = (GOLDEN / f"{name}.json").read_bytes()
    assert b"".join(json_array([sharegpt(conversation)])) == golden
    assert conversation.types == types
    assert conversation.examples == tuple(e.passage.id for e in examples)
    assert conversation.id == conversation.passage == about.passage.id


def test_the_two_english_apostrophes_differ() -> None:
    turns = [m.content for m in training_conversation(EN, ["place"], EN_EXAMPLES, "sinoner").messages]
    assert turns[1] == "I\u0027ve read these examples."
    assert turns[3] == "I\u2019ve read this text"


@pytest.mark.parametrize("style", ["rait", "sinoner"])
def test_only_answers_are_learned_and_turns_alternate(style: str) -> None:
    messages = training_conversation(ZH, ZH_TYPES, ZH_EXAMPLES, style).messages  # type: ignore[arg-type]
    assert [m.role for m in messages] == ["user", "assistant"] * 5
    assert [m.learn for m in messages] == [False, True] * 5


def test_no_examples_turn_without_examples() -> None:
    messages = training_conversation(ZH, ["产品"], (), "sinoner").messages
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


def test_training_and_asking_share_every_string() -> None:
    trained = training_conversation(ZH, ["组织"], ZH_EXAMPLES, "sinoner")
    asked = query_conversation(ZH.passage, "组织", ZH_EXAMPLES, "sinoner", ZH.entities)
    assert trained.messages == asked.messages


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
    told = training_conversation(ZH, ["组织"], ZH_EXAMPLES, "sinoner").messages[0].content
    head, *examples = told.split("\n文本：")
    assert head == "以下是一些命名实体识别的例子："
    lines = [e.split("\n实体：") for e in examples]
    assert [text for text, _ in lines] == [e.passage.text for e in ZH_EXAMPLES]
    assert [json.loads(e) for _, e in lines] == [
        [{"小满": "人名"}, {"杭州": "地点"}],
        [{"O'Neil": "人名"}, {"'杭州'喝\"茶\"": "事件"}],
    ]


@pytest.mark.parametrize("style", ["rait", "sinoner"])
@pytest.mark.parametrize("kind", ["{type}", "{}", "%s", '引"号', "{text}{entities}", "a\\1b", "{0[x]}"])
def test_braces_and_quotes_survive(kind: str, style: str) -> None:
    about = annotation(f"一{kind}二{{text}}三{{entities}}四", (kind, kind))
    messages = training_conversation(about, [kind], [about], style).messages  # type: ignore[arg-type]
    assert messages[-2].content == f'文本中属于"{kind}"的实体有哪些？'
    assert messages[2].content == f"文本： {about.passage.text}"
    pair = [{kind: kind}]
    written = repr(pair) if style == "rait" else json.dumps(pair, ensure_ascii=False)
    assert messages[0].content.endswith(f"\n文本：{about.passage.text}\n实体：{written}")
    if style == "sinoner":
        assert json.loads(messages[-1].content) == [kind]


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
    conversations = (
        {
            **sharegpt(query_conversation(a.passage, kind, (), "rait", a.entities)),
            "id": int(a.passage.id),
        }
        for a in boson("test")
        for kind in boson_types()
    )
    assert b"".join(json_array(conversations)) == (RAIT / "boson/test_conversations.json").read_bytes()


@with_reference
def test_boson_gold_answers_under_the_reference_parser() -> None:
    rows = json.loads((RAIT / "boson/test_conversations.json").read_text(encoding="utf-8"))
    parsed = [reference_parse(row["conversations"][-1]["value"]) for row in rows]
    assert len(parsed) == 1074
    assert sum(p is None for p in parsed) == 1
    assert sum(query_counts(p, ()).gold for p in parsed if p is not None) == 1477


@with_reference
def test_boson_conversations_with_examples_byte_for_byte() -> None:
    path = RAIT / "boson/test_w_NN_2_train_8_random_42_GTElargeEmb_text.json"
    reference = path.read_bytes()
    by_text = {a.passage.text: a for a in boson("train")}
    tests = {a.passage.id: a for a in boson("test")}
    example = re.compile(r"文本：(.*?)\n实体：\[.*?\](?=\n文本：|\Z)", re.DOTALL)

    def ours() -> list[dict[str, object]]:
        made: list[dict[str, object]] = []
        for i, row in enumerate(json.loads(reference)):
            texts = example.findall(row["conversations"][0]["value"])
            assert len(texts) == 2
            about = tests[str(row["id"])]
            kind = boson_types()[i % 6]
            examples = [by_text[t] for t in texts]
            conversation = query_conversation(about.passage, kind, examples, "rait", about.entities)
            made.append({**sharegpt(conversation), "id": row["id"]})
        return made

    assert b"".join(json_array(ours())) == reference


@with_reference
def test_answers_of_the_reference_training_set() -> None:
    rows = map(json.loads, (RAIT / "llm_response_parsed_filtered.jsonl").open(encoding="utf-8"))
    filtered = {row["id"]: row for row in rows}
    conversations = json.loads((RAIT / "ner_it_data_conversation.json").read_text(encoding="utf-8"))
    assert len(conversations) == 17
    compared = 0
    for reference in conversations:
        row = filtered[reference["id"]]
        mentions = []
        for pair in row["prediction"]:
            (surface, kind), *_ = pair.items()
            at = row["text"].lower().find(surface.lower())  # the reference keeps the model's casing
            mentions.append((row["text"][at : at + len(surface)], kind))
        turns = [t["value"] for t in reference["conversations"]]
        types = [re.fullmatch(r'文本中属于"(.*)"的实体有哪些？', t)[1] for t in turns[2::2]]  # type: ignore[index]
        about = annotation(row["text"], *mentions, id=reference["id"])
        ours = [m.content for m in training_conversation(about, types, (), "rait").messages]
        assert ours[:2] == turns[:2]
        assert ours[2::2] == turns[2::2]
        assert {k for _, k in mentions} <= set(types)
        for told, expected in zip(ours[3::2], turns[3::2], strict=True):
            assert set(json.loads(told)) == set(json.loads(expected))
            compared += 1
    assert compared == 106
