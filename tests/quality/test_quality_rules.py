"""Each rule accepts and rejects; nothing is lost between what goes in and what comes out."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sinoner.quality.rules import RULES, STAGE, clean, merge_duplicates, type_frequency
from sinoner.records import Annotation, Entity, Passage, Reject
from sinoner.settings import FilterSettings
from sinoner.text.ground import occurrences

TEXT = (
    "他在上海读《红楼梦》和[Emma]，上海 SHANGHAI Shanghai 【 】一二三四五六七八九十一二三四五六七八九十甲。"
)


def annotation(*pairs: tuple[str, str], text: str = TEXT, lang: str = "zh") -> Annotation:
    entities = tuple(Entity(surface=s, type=t, starts=occurrences(text, s)) for s, t in pairs)
    return Annotation(
        passage=Passage(id="d#0", text=text, source="s", lang=lang), entities=entities, by="m@p"
    )


def cleaned(given: Annotation, **settings) -> tuple[Annotation, list[Reject]]:
    *rejects, last = clean([given], FilterSettings(**settings))
    assert isinstance(last, Annotation)
    assert all(
        isinstance(r, Reject) and r.unit == "entity" and r.stage == STAGE and r.id == "d#0" for r in rejects
    )
    return last, rejects


def reasons(rejects: list[Reject]) -> list[str]:
    return [r.reason for r in rejects]


def test_clean_entities_come_out_as_the_same_annotation():
    before = annotation(("上海", "地点"), ("Emma", "作品"))
    after, rejects = cleaned(before)
    assert after == before
    assert rejects == []


def test_no_entities_is_no_reject():
    assert list(clean([annotation()], FilterSettings())) == [annotation()]


@pytest.mark.parametrize(
    ("surface", "inner"),
    [("《红楼梦》", "红楼梦"), ("[Emma]", "Emma"), ("红楼梦", "红楼梦"), ("《红楼梦", "《红楼梦")],
)
def test_strip_brackets_takes_one_pair_off_and_moves_the_offsets(surface, inner):
    after, rejects = cleaned(annotation((surface, "作品")))
    assert [(e.surface, e.starts) for e in after.entities] == [(inner, occurrences(TEXT, inner))]
    assert rejects == []


def test_strip_brackets_with_white_space_inside():
    text = "【 𠮷田 】来了，【 𠮷田 】走了"
    after, rejects = cleaned(annotation(("【 𠮷田 】", "人名"), text=text))
    assert [(e.surface, e.starts) for e in after.entities] == [("𠮷田", (2, 11))]
    assert rejects == []


def test_strip_brackets_rejects_what_is_empty_inside():
    after, rejects = cleaned(annotation(("【 】", "作品")))
    assert after.entities == ()
    assert reasons(rejects) == ["empty_mention"]
    assert rejects[0].detail == "【 】 (作品)"


def test_too_long_counts_characters_in_chinese():
    twenty, more = "一二三四五六七八九十一二三四五六七八九十", "一二三四五六七八九十一二三四五六七八九十甲"
    after, rejects = cleaned(annotation((twenty, "数"), (more, "数")))
    assert [e.surface for e in after.entities] == [twenty]
    assert reasons(rejects) == ["too_long"]
    assert cleaned(annotation((more, "数")), max_chars=21)[1] == []


def test_too_long_counts_words_in_english():
    text = "a b c dddddddddddddddddddddddddddd"
    after, rejects = cleaned(annotation((text, "x"), (text[2:], "x"), text=text, lang="en"), max_words=3)
    assert [e.surface for e in after.entities] == ["b c dddddddddddddddddddddddddddd"]
    assert reasons(rejects) == ["too_long"]


@pytest.mark.parametrize("kind", ["其他", "无", "misc", "MISC", " Entity_Type ", "none"])
def test_stop_type_rejects_types_that_say_nothing(kind):
    after, rejects = cleaned(annotation(("上海", kind), ("Emma", "作品")))
    assert [e.surface for e in after.entities] == ["Emma"]
    assert reasons(rejects) == ["stop_type"]


@pytest.mark.parametrize("kind", ["地点", "其他作品", "nonet", "实体店"])
def test_stop_type_accepts_types_that_only_look_like_them(kind):
    assert cleaned(annotation(("上海", kind)))[1] == []


def test_stop_types_are_a_setting():
    assert reasons(cleaned(annotation(("上海", "地点")), stop_types=("地点",))[1]) == ["stop_type"]
    assert cleaned(annotation(("上海", "其他")), stop_types=())[1] == []


def test_stop_types_of_a_person_may_be_written_in_capitals():
    assert reasons(cleaned(annotation(("上海", "MISC")), stop_types=("MISC",))[1]) == ["stop_type"]


def test_duplicate_ignores_case_and_keeps_the_first():
    after, rejects = cleaned(annotation(("SHANGHAI", "Place"), ("Shanghai", "place"), ("Shanghai", "city")))
    assert [(e.surface, e.type) for e in after.entities] == [("SHANGHAI", "Place"), ("Shanghai", "city")]
    assert reasons(rejects) == ["duplicate"]
    assert rejects[0].detail == "Shanghai (place)"


def test_duplicates_merge_their_offsets():
    passage = annotation().passage
    first, second = occurrences(TEXT, "上海")
    entities = tuple(Entity(surface="上海", type="地点", starts=(s,)) for s in (second, first, second))
    after, rejects = cleaned(Annotation(passage=passage, entities=entities, by="human"))
    assert after.entities == (Entity(surface="上海", type="地点", starts=(first, second)),)
    assert reasons(rejects) == ["duplicate", "duplicate"]


def test_a_duplicate_that_appears_when_brackets_go_is_found():
    for order in (("strip_brackets", "duplicate"), ("duplicate", "strip_brackets")):
        after, rejects = cleaned(annotation(("《红楼梦》", "作品"), ("红楼梦", "作品")), rules=order)
        assert [e.surface for e in after.entities] == ["红楼梦"]
        assert reasons(rejects) == ["duplicate"]


def test_only_the_rules_that_are_asked_for_apply():
    bad = annotation(("《红楼梦》", "其他"), ("SHANGHAI", "a"), ("Shanghai", "a"))
    after, rejects = cleaned(bad, rules=())
    assert after == bad
    assert rejects == []
    for rule, reason in {"stop_type": "stop_type", "duplicate": "duplicate"}.items():
        assert reasons(cleaned(bad, rules=(rule,))[1]) == [reason]
    assert reasons(cleaned(bad, rules=("too_long",), max_chars=4)[1]) == ["too_long"] * 3


def test_every_rule_of_the_settings_is_a_rule():
    assert set(FilterSettings().rules) == set(RULES)
    with pytest.raises(ValidationError, match="too_long"):
        FilterSettings(rules=("too_long", "to_long"))


def test_merge_duplicates_says_which_were_repeats():
    one, other, again = (
        Entity(surface="a", type="t", starts=(0,)),
        Entity(surface="A", type="T", starts=(4,)),
        Entity(surface="a", type="T", starts=(2,)),
    )
    kept, repeated = merge_duplicates([one, other, again])
    assert kept == [Entity(surface="a", type="t", starts=(0, 2))]
    assert repeated == [other, again]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["上海", "《红楼梦》", "红楼梦", "[Emma]", "【 】", "SHANGHAI", "Shanghai", TEXT]
            ),
            st.sampled_from(["地点", "其他", "作品", "MISC", "Place", "place"]),
        ),
        max_size=12,
    ),
    st.sets(st.sampled_from(sorted(RULES))).map(sorted),
)
def test_entities_in_are_entities_out_and_rejected(pairs, rules):
    before = annotation(*pairs)
    after, rejects = cleaned(before, rules=tuple(rules))
    assert len(before.entities) == len(after.entities) + len(rejects)
    assert after.passage == before.passage
    assert after.by == before.by
    again, nothing = cleaned(after, rules=tuple(rules))
    assert again == after
    assert nothing == []


def test_every_annotation_comes_out_in_order():
    texts = ["上海", "北京", "上海北京"]
    given = [annotation(("上海", "其他"), text=t) if "上海" in t else annotation(text=t) for t in texts]
    out = list(clean(given, FilterSettings()))
    assert [a.passage.text for a in out if isinstance(a, Annotation)] == texts
    assert Counter(type(x) for x in out) == {Annotation: 3, Reject: 2}


def test_type_frequency_is_sorted_by_count_then_name():
    counted = type_frequency(
        [annotation(("上海", "b"), ("Emma", "a")), annotation(("上海", "b"), ("Emma", "B"))]
    )
    assert list(counted.items()) == [("b", 2), ("B", 1), ("a", 1)]
