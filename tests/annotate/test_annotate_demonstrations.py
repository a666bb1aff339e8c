"""What a question is made of: demonstrations as turns, guidance in the system message, the passage in its own place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from asking import Annotating
from hypothesis import given
from hypothesis import strategies as st

from sinoner.annotate.asking import Asking, response_format
from sinoner.annotate.demonstrations import Demonstrations
from sinoner.records import HUMAN, Annotation, Entity, Passage
from sinoner.settings import AnnotateSettings, LlmSettings

HARSH = "{text} {types} {domain} {error} %s %(a)s {0} \\n {{}}"


def gold(text: str, *pairs: tuple[str, str], lang: str = "zh", n: int = 0) -> Annotation:
    entities = tuple(Entity(surface=s, type=t, starts=(text.index(s),)) for s, t in pairs)
    passage = Passage(id=f"g{n}#0", text=text, source="gold", lang=lang)
    return Annotation(passage=passage, entities=entities, by=HUMAN)


GOLD = [
    gold("王明在上海工作。", ("王明", "人名"), ("上海", "地点"), n=0),
    gold("李红在北京的银行工作。", ("李红", "人名"), ("北京", "地点"), n=1),
    gold("今天天气很好。", n=2),
    gold("糖尿病患者应当服用二甲双胍。", ("糖尿病", "疾病"), ("二甲双胍", "药物"), n=3),
    gold("Marie Curie worked in Paris.", ("Marie Curie", "person"), ("Paris", "city"), lang="en", n=4),
    gold("The weather is fine today.", lang="en", n=5),
]


def texts(found) -> list[str]:
    return [a.passage.text for a in found]


def asking(output: str = "text", shots: int = 2, *, shown: bool = True, **settings: object) -> Asking:
    made = AnnotateSettings.model_validate({"shots": shots, **settings})
    demonstrations = Demonstrations(GOLD, shots) if shown else None
    return Asking(made, LlmSettings(model="m"), "x", {"m": output}, demonstrations)


def question(text: str = "王明在北京工作。", lang: str = "zh") -> Passage:
    return Passage(id="d0#0", text=text, source="s", lang=lang)


# --- which are shown -------------------------------------------------------------------------------------------


def test_the_most_similar_stands_last_beside_the_question():
    found = texts(Demonstrations(GOLD, 3).nearest("王明在上海的银行工作。", "zh"))
    assert found == ["李红在北京的银行工作。", "王明在上海工作。"]
    assert texts(Demonstrations(GOLD, 1).nearest("王明在上海的银行工作。", "zh")) == found[-1:]


def test_what_is_rare_counts_more_than_what_is_frequent():
    often = [gold(f"他在公司工作了{n}年。", n=n) for n in range(9)]
    rare = gold("二甲双胍的用量。", ("二甲双胍", "药物"), n=10)
    found = texts(Demonstrations([*often, rare], 2).nearest("他在公司服用二甲双胍。", "zh"))
    assert found[-1] == rare.passage.text


def test_a_text_is_never_its_own_demonstration():
    assert texts(Demonstrations(GOLD, 3).nearest("王明在上海工作。", "zh")) == ["李红在北京的银行工作。"]
    twice = Demonstrations([*GOLD, GOLD[0]], 9)
    assert "王明在上海工作。" not in texts(twice.nearest("王明在上海工作。", "zh"))


@pytest.mark.parametrize(
    ("lang", "text"), [("zh", "王明在Paris工作。"), ("en", "Wang 王明在上海工作。 worked in Paris")]
)
def test_languages_never_mix(lang, text):
    found = Demonstrations(GOLD, 9).nearest(text, lang)
    assert {a.passage.lang for a in found} == {lang}


def test_words_of_english_texts_are_compared_in_any_case():
    found = Demonstrations(GOLD, 1).nearest("PARIS in spring", "en")
    assert texts(found) == ["Marie Curie worked in Paris."]


@pytest.mark.parametrize("text", ["紫藤花开", "", " ", "。"])
def test_nothing_similar_means_no_demonstration(text):
    assert texts(Demonstrations(GOLD[:2], 3).nearest(text, "zh")) == []
    assert texts(Demonstrations([], 3).nearest(text, "zh")) == []


def test_long_passages_are_not_shown():
    long, short = gold("王明在上海工作。" * 51), gold("王明在上海生活。" * 50)
    shown = Demonstrations([long, short], 3)
    assert len(shown) == 1
    assert texts(shown.nearest("王明在上海工作。", "zh")) == [short.passage.text]


words = st.lists(st.sampled_from("王明李红在上海北京工作的"), min_size=1, max_size=12).map("".join)


@given(st.lists(words, max_size=12), words, st.integers(1, 4))
def test_at_most_k_from_the_gold_file_without_the_text_itself(corpus, text, k):
    golds = [gold(t, n=n) for n, t in enumerate(corpus)]
    found = Demonstrations(golds, k).nearest(text, "zh")
    assert len(found) <= k
    assert len({a.passage.id for a in found}) == len(found)
    assert all(a in golds and a.passage.text != text for a in found)
    more = Demonstrations(golds, k + 1).nearest(text, "zh")
    assert list(more)[-len(found) :] == list(found) if found else not more


def test_equally_similar_ones_are_taken_in_file_order():
    same = [gold("王明在上海工作。", n=n) for n in range(4)]
    found = Demonstrations(same, 2).nearest("王明在上海", "zh")
    assert [a.passage.id for a in found] == ["g1#0", "g0#0"]


CHOOSE = """
import sys
sys.path.insert(0, sys.argv[1])
from test_annotate_demonstrations import Demonstrations, GOLD, asking, question, texts
shown = Demonstrations(GOLD * 3, 5)
print(shown.digest, [a.passage.id for a in shown.nearest("王明在北京的银行工作，今天服用二甲双胍。", "zh")])
print(asking(types={"人名": "人的名字", "地点": "地方"}, domain="新闻").messages(question(), "m"))
"""


def test_every_process_chooses_the_same_and_asks_the_same():
    here = Path(__file__).resolve().parent
    said = set()
    for seed in ("0", "1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", CHOOSE, str(here)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(here.parent), "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        )
        said.add(done.stdout)
    assert len(said) == 1
    assert said.pop().count(b"g1#0") == 3


def test_the_digest_changes_with_the_gold_file_alone():
    digest = Demonstrations(GOLD, 2).digest
    assert Demonstrations(list(GOLD), 3).digest == digest
    assert Demonstrations(GOLD[:-1], 2).digest != digest
    assert Demonstrations([gold("王明在上海工作。", ("王明", "人")), *GOLD[1:]], 2).digest != digest


# --- how they are shown ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("text", [{"王明": "人名"}, {"上海": "地点"}]),
        (
            "json_object",
            {"entities": [{"mention": "王明", "type": "人名"}, {"mention": "上海", "type": "地点"}]},
        ),
        (
            "json_schema",
            {"entities": [{"mention": "王明", "type": "人名"}, {"mention": "上海", "type": "地点"}]},
        ),
    ],
)
def test_demonstrations_are_turns_in_the_answer_format(output, answer):
    made = asking(output)
    messages = made.messages(question("王明在上海的北京银行工作。"), "m")
    assert [m.role for m in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    prompt = made.prompt("m", "zh")
    assert [m.content for m in messages[1::2]] == [
        prompt.messages(t)[1].content
        for t in ("李红在北京的银行工作。", "王明在上海工作。", "王明在上海的北京银行工作。")
    ]
    assert json.loads(messages[4].content) == answer
    assert "王明" in messages[4].content  # as it is, not as \u escapes


@pytest.mark.parametrize(("output", "empty"), [("text", "[]"), ("json_schema", '{"entities": []}')])
def test_a_demonstration_without_entities_is_an_empty_answer(output, empty):
    messages = asking(output, shots=1).messages(question("今天天气不好。"), "m")
    assert [m.content for m in messages[1:-1]] == [
        asking(output).prompt("m", "zh").messages("今天天气很好。")[1].content,
        empty,
    ]


def test_english_questions_show_english_demonstrations():
    messages = asking().messages(question("She worked in Warsaw.", "en"), "m")
    assert json.loads(messages[2].content) == [{"Marie Curie": "person"}, {"Paris": "city"}]
    assert messages[-1].content.endswith("Passage: She worked in Warsaw.")


def test_the_answer_of_a_demonstration_reads_back_as_its_entities():
    from sinoner.annotate.asking import written
    from sinoner.answers import parse_mentions

    for output in ("text", "json_object", "json_schema"):
        for annotation in GOLD:
            read = parse_mentions(written(annotation, output))
            assert read.reason is None
            assert list(read.pairs) == [(e.surface, e.type) for e in annotation.entities]


# --- guidance --------------------------------------------------------------------------------------------------

TYPES = {"人名": "真实人物的姓名", "地点": "地点"}


@pytest.mark.parametrize("output", ["text", "json_object", "json_schema"])
def test_types_and_domain_stand_in_the_system_message_only(output):
    plain = asking(output).messages(question(), "m")
    messages = asking(output, types=TYPES, domain="医疗健康").messages(question(), "m")
    assert messages[1:] == plain[1:]
    head, *added = messages[0].content.split("\n")
    assert head == plain[0].content
    assert added[0] == "文本所属领域：医疗健康。"
    assert added[-2:] == [
        "- 人名：真实人物的姓名",
        "- 地点",
    ]  # a type that defines itself needs no definition


def test_guidance_speaks_the_language_of_the_passage():
    system = (
        asking(types={"city": "a place"}, domain="news").messages(question("Paris.", "en"), "m")[0].content
    )
    assert "- city: a place" in system
    assert "news" in system
    assert not any("\u4e00" <= c <= "\u9fff" for c in system)


def test_without_guidance_the_system_message_is_that_of_the_prompt():
    made = asking(shown=False)
    assert made.messages(question(), "m") == made.prompt("m", "zh").messages(question().text)


@pytest.mark.parametrize("output", ["text", "json_object", "json_schema"])
def test_literal_placeholders_survive(output):
    hard = gold(f"王明说：{HARSH}", ("王明", "{text}"), (HARSH, "{types}"))
    settings = AnnotateSettings.model_validate({"types": {HARSH: f"d {HARSH}"}, "domain": HARSH})
    made = Asking(settings, LlmSettings(model="m"), "x", {"m": output}, Demonstrations([hard], 1))
    system, shown, answer, asked = made.messages(question(f"王明又说：{HARSH}"), "m")
    assert system.content.count(HARSH) == 3  # domain, type, definition
    assert shown.content.endswith(f"文本：王明说：{HARSH}")
    assert shown.content.count(HARSH) == 1
    assert asked.content.endswith(f"文本：王明又说：{HARSH}")
    assert asked.content.count(HARSH) == 1
    assert HARSH in json.dumps(json.loads(answer.content), ensure_ascii=False).replace("\\\\", "\\")


def test_a_closed_list_is_an_enumeration_in_the_schema():
    schema = response_format("json_schema", TYPES)
    item = schema["json_schema"]["schema"]["properties"]["entities"]["items"]
    assert item["properties"]["type"] == {"type": "string", "enum": ["人名", "地点"]}
    assert response_format("json_object", TYPES) == {"type": "json_object"}
    assert response_format("text", TYPES) is None


def test_a_question_that_is_asked_again_keeps_its_demonstrations():
    made = asking(types=TYPES)
    messages = made.messages(question(), "m")
    again = made.ask_again(question(), messages, "没有", f"bad {HARSH}")
    assert again[: len(messages)] == messages
    assert [m.role for m in again[len(messages) :]] == ["assistant", "user"]
    assert again[-2].content == "没有"
    assert f"bad {HARSH}" in again[-1].content


# --- in the request --------------------------------------------------------------------------------------------


def test_demonstrations_are_part_of_the_question_and_of_who_annotated(tmp_path, monkeypatch):
    from chat_server import ChatServer, answer

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ChatServer(default=answer('[{"王明": "人名"}]')) as server:
        work = Annotating(server.url, tmp_path, gold=GOLD, shots=2, types=TYPES)
        (out,) = work.run([question()])
        (request,) = server.requests
        assert len(work.run([question()])) == 1
        assert len(server.requests) == 1
        Annotating(server.url, tmp_path, gold=GOLD, shots=1, types=TYPES).run([question()])
        assert len(server.requests) == 2  # another question
    assert [m["role"] for m in request.body["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert out.by.label == "m@extract.zh.v1+types+shots"
    assert [e.surface for e in out.entities] == ["王明"]
