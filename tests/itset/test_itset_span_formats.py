"""GLiNER's tokens and span JSONL: every occurrence that is written is the mention; nothing is lost uncounted."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sinoner.formats.benchmarks import load_gold
from sinoner.itset.span_formats import gliner, gliner_json, span_json, token_ranges
from sinoner.itset.writers import frame
from sinoner.records import HUMAN, Annotation, Entity, Passage
from sinoner.text.ground import occurrences
from sinoner.text.mentions import span_row


def annotation(text: str, *mentions: tuple[str, str], id: str = "p#0") -> Annotation:
    passage = Passage(id=id, text=text, source="test", lang="zh")
    entities = (Entity(surface=s, type=t, starts=occurrences(text, s)) for s, t in mentions)
    return Annotation(passage=passage, entities=tuple(entities), by=HUMAN)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("林晓住在上海。", "林 晓 住 在 上 海 。"),
        ("用iPhone 15发了3.14元，约１２％", "用 iPhone 15 发 了 3.14 元 ， 约 １２ ％"),
        ("Ann's well-known shop, 1,200 km away.", "Ann ' s well-known shop , 1,200 km away ."),
        ("v2.0a 在 a_b 见", "v2 . 0a 在 a_b 见"),
        ("日本のアニメ𠮷野家々", "日 本 の ア ニ メ 𠮷 野 家 々"),
        ("café cafe\u0301 naïve", "café cafe\u0301 naïve"),
        ("", ""),
        (" \n\u3000", ""),
    ],
)
def test_tokens(text: str, tokens: str) -> None:
    assert [text[s:e] for s, e in token_ranges(text, set())] == tokens.split()


def test_a_passage_as_gliner_reads_it() -> None:
    made = gliner(annotation("林晓在NewYork见林晓。", ("林晓", "人名"), ("York", "地点"), ("在New", "怪")))
    assert made.tokens == ("林", "晓", "在", "New", "York", "见", "林", "晓", "。")
    assert made.ner == ((0, 1, "人名"), (2, 3, "怪"), (4, 4, "地点"), (6, 7, "人名"))
    assert made.left_out == 0


def test_nested_mentions_and_two_types_of_one_mention() -> None:
    made = gliner(annotation("北京大学", ("北京", "地点"), ("北京大学", "学校"), ("北京大学", "组织")))
    assert made.ner == ((0, 1, "地点"), (0, 3, "学校"), (0, 3, "组织"))


def test_white_space_at_an_edge_is_left_out_and_counted() -> None:
    made = gliner(annotation("a b c a b", (" b", "x"), ("c ", "x"), (" ", "y"), ("b c", "z")))
    assert made.tokens == ("a", "b", "c", "a", "b")
    assert made.ner == ((1, 2, "z"),)
    assert made.left_out == 2 + 1 + 4


@st.composite
def annotated(draw: st.DrawFn) -> Annotation:
    text = draw(st.text("上海𠮷々aB1.,-_ \n'é\u0301😀の％", min_size=1, max_size=30))
    entities = []
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        found = occurrences(text, text[start:end])
        entities.append(
            Entity(surface=text[start:end], type=draw(st.sampled_from(["甲", "b"])), starts=found)
        )
    passage = Passage(id="p#0", text=text, source="test", lang="zh")
    return Annotation(passage=passage, entities=tuple(entities), by=HUMAN)


@given(annotated())
def test_every_item_with_the_white_space_of_the_text_is_a_mention(about: Annotation) -> None:
    text = about.passage.text
    made = gliner(about)
    places, at = (
        [],
        0,
    )  # found without looking at how the tokens were made: only white space may stand between them
    for token in made.tokens:
        start = text.index(token, at)
        assert not text[at:start].strip()
        at = start + len(token)
        places.append((start, at))
        assert not any(c.isspace() for c in token)
    assert not text[at:].strip()
    written = [(places[first][0], places[last][1], kind) for first, last, kind in made.ner]
    gold = {(s, s + len(e.surface), e.type) for e in about.entities for s in e.starts}
    sound = sorted(g for g in gold if text[g[0] : g[1]].strip() == text[g[0] : g[1]])
    assert written == sound
    assert made.left_out == len(gold) - len(sound)


@given(annotated())
def test_a_token_is_cut_only_at_an_edge(about: Annotation) -> None:
    text = about.passage.text
    edges = {x for e in about.entities for s in e.starts for x in (s, s + len(e.surface))}
    cut, free = token_ranges(text, edges), token_ranges(text, set())
    assert {x for r in free for x in r} <= {x for r in cut for x in r}
    assert {x for r in cut for x in r} <= {x for r in free for x in r} | edges


def test_the_gliner_file_is_one_json_array() -> None:
    rows = [gliner(annotation("“上海”", ("上海", "地点"))), gliner(annotation("空"))]
    file = frame("gliner")
    written = b"".join([*(file.add(gliner_json(row)) for row in rows), file.end()])
    assert json.loads(written) == [
        {"tokenized_text": ["“", "上", "海", "”"], "ner": [[1, 2, "地点"]]},
        {"tokenized_text": ["空"], "ner": []},
    ]
    assert written.count(b"\n") == 3
    assert "上".encode() in written


def test_spans_are_all_occurrences_in_order() -> None:
    about = annotation("海上海", ("海", "字"), ("上海", "地点"))
    twice = replace(about, entities=(*about.entities, about.entities[0]))
    assert span_row(twice) == {
        "id": "p#0",
        "text": "海上海",
        "entities": [
            {"start": 0, "end": 1, "type": "字", "text": "海"},
            {"start": 1, "end": 3, "type": "地点", "text": "上海"},
            {"start": 2, "end": 3, "type": "字", "text": "海"},
        ],
        "lang": "zh",
    }


def test_our_own_gold_reader_reads_the_spans(tmp_path: Path) -> None:
    about = [
        annotation(
            "林晓\u2028说：“去\n上海”，林晓", ("林晓", "人名"), ("去\n上海", "事件"), ("上海", "地点")
        ),
        annotation("没有", id="p#1"),
    ]
    file = tmp_path / "train.spans.jsonl"
    file.write_bytes(b"".join(map(span_json, about)))
    gold = load_gold(str(file))
    assert [a.passage.text for a in gold.annotations] == [a.passage.text for a in about]
    assert [a.passage.id for a in gold.annotations] == ["p#0", "p#1"]
    assert set(gold.annotations[0].entities) == set(about[0].entities)
    assert gold.annotations[1].entities == ()
    assert [span_row(a) for a in gold.annotations] == [span_row(a) for a in about]
