"""Each rule accepts and rejects; nothing is lost between what goes in and what comes out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import ValidationError

from sinoner.quality.rules import (
    PRESETS,
    STAGE,
    Cleaned,
    clean,
    merge_duplicates,
    switched_on,
)  # fmt: skip
from sinoner.records import HUMAN, Annotation, Annotator, Entity, Passage, Reject
from sinoner.settings import RULE_NAMES, FilterSettings
from sinoner.text.ground import occurrences

TEXT = (
    "他在上海读《红楼梦》和[Emma]，上海 SHANGHAI Shanghai 【 】一二三四五六七八九十一二三四五六七八九十甲。"
)


def annotation(*pairs: tuple[str, str], text: str = TEXT, lang: str = "zh") -> Annotation:
    entities = tuple(Entity(surface=s, type=t, starts=occurrences(text, s)) for s, t in pairs)
    return Annotation(
        passage=Passage(id="d#0", text=text, source="s", lang=lang),
        entities=entities,
        by=Annotator(source="llm", model="m", prompt="p"),
    )


def cleaned(given: Annotation, **settings) -> tuple[Annotation, list[Reject]]:
    (result,) = clean([given], FilterSettings(**settings))
    assert isinstance(result.annotation, Annotation)
    assert result.entities == len(given.entities)
    assert all(r.unit == "entity" and r.stage == STAGE and r.id == "d#0" for r in result.rejects)
    return result.annotation, list(result.rejects)


def reasons(rejects: list[Reject]) -> list[str]:
    return [r.reason for r in rejects]


def test_clean_entities_come_out_as_the_same_annotation():
    before = annotation(("上海", "地点"), ("Emma", "作品"))
    after, rejects = cleaned(before)
    assert after == before
    assert rejects == []


def test_no_entities_is_no_reject():
    assert list(clean([annotation()], FilterSettings())) == [Cleaned(annotation())]


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
    after, rejects = cleaned(Annotation(passage=passage, entities=entities, by=HUMAN))
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


def test_a_misspelt_rule_is_told():
    with pytest.raises(ValidationError, match="too_long"):
        FilterSettings(rules=("too_long", "to_long"))


def test_the_preset_says_which_rules_apply_and_rules_switches_them():
    assert switched_on(FilterSettings()) == PRESETS["default"] == frozenset(RULE_NAMES) - {"overlap"}
    assert switched_on(FilterSettings(preset="reference")) == {
        "strip_brackets",
        "too_long",
        "stop_type",
        "duplicate",
    }
    on = switched_on(FilterSettings(preset="reference", rules={"pronoun": True, "duplicate": False}))
    assert on == {"strip_brackets", "too_long", "stop_type", "pronoun"}
    assert switched_on(FilterSettings(rules=["pronoun"])) == {"pronoun"}
    assert switched_on(FilterSettings(rules=())) == frozenset()


def test_a_policy_that_is_named_switches_its_rule():
    assert "overlap" in switched_on(FilterSettings(overlap="innermost"))
    assert "overlap" not in switched_on(FilterSettings(preset="strict", overlap="keep"))
    assert "overlap" not in switched_on(FilterSettings(overlap="innermost", rules={"overlap": False}))
    assert "personal_data" in switched_on(FilterSettings(preset="reference", personal="mask"))


def test_merge_duplicates_says_which_were_repeats():
    one, other, again = (
        Entity(surface="a", type="t", starts=(0,)),
        Entity(surface="A", type="T", starts=(4,)),
        Entity(surface="a", type="T", starts=(2,)),
    )
    kept, repeated = merge_duplicates([one, other, again])
    assert kept == [Entity(surface="a", type="t", starts=(0, 2))]
    assert repeated == [other, again]


MENTION_RULES = (
    "strip_brackets", "too_long", "stop_type", "generic_type", "sentence_type", "number", "pronoun", "cut_word",
    "duplicate", "overlap",
)  # fmt: skip


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "上海",
                    "《红楼梦》",
                    "红楼梦",
                    "[Emma]",
                    "【 】",
                    "SHANGHAI",
                    "Shanghai",
                    "他",
                    "红楼",
                    TEXT,
                ]
            ),
            st.sampled_from(["地点", "其他", "作品", "MISC", "Place", "place", "名词", "一个，句子"]),
        ),
        max_size=12,
    ),
    st.sets(st.sampled_from(sorted(MENTION_RULES))).map(sorted),
    st.sampled_from(["reference", "default", "strict"]),
    st.sampled_from([None, "keep", "outermost", "innermost"]),
)
def test_entities_in_are_entities_out_and_rejected(pairs, rules, preset, overlap):
    before = annotation(*pairs)
    settings = {"rules": tuple(rules), "preset": preset, "overlap": overlap}
    after, rejects = cleaned(before, **settings)
    assert len(before.entities) == len(after.entities) + len(rejects)
    assert after.passage == before.passage
    assert after.by == before.by
    if preset != "reference":  # which measures before it strips, once
        again, nothing = cleaned(after, **settings)
        assert (again == after and nothing == []) or "cut_word" in rules or "overlap" in rules


def reference(pairs, text):
    """The paper's filter (its description), written anew on plain pairs, for Chinese."""
    stops = {
        "实体", "实体类别", "其他", "无", "无类别", "未定义", "entity_type", "entity type", "entity", "else", "none", "na", "misc",
    }  # fmt: skip
    kept = set()
    for surface, kind in pairs:
        if len(surface) > 20 or surface.lower() not in text.lower() or kind.strip().lower() in stops:
            continue
        for left, right in ("《》", "【】", "[]"):
            if len(surface) > 2 and surface[0] == left and surface[-1] == right:
                surface = surface[1:-1].strip()
                break
        if surface:
            kept.add((surface, kind))
    return kept


@given(
    st.lists(
        st.tuples(
            st.text("《》【】[]abAB上海 他一", min_size=1, max_size=5)
            | st.sampled_from(["一" * 20, "一" * 21, "《" + "一" * 18 + "》", "《" + "一" * 19 + "》"]),
            st.sampled_from(["地点", "其他", "名词", "MISC", "entity type", "entity_type", "a，b"]),
        ),
        max_size=8,
    )
)
def test_the_reference_preset_keeps_what_the_papers_filter_keeps(pairs):
    text = "".join(surface + "，" for surface, _ in pairs) + "他在上海"
    given_ = annotation(*dict.fromkeys(pairs), text=text)
    after, _ = cleaned(given_, preset="reference")
    assert {(e.surface, e.type) for e in after.entities} == reference(pairs, text)


def test_every_annotation_comes_out_in_order():
    texts = ["上海是一座城市", "北京是一座城市", "上海北京是城市"]
    given = [annotation(("上海", "其他"), text=t) if "上海" in t else annotation(text=t) for t in texts]
    out = list(clean(given, FilterSettings()))
    assert [c.annotation.passage.text for c in out if c.annotation] == texts
    assert [len(c.rejects) for c in out] == [1, 0, 1]


def test_what_a_person_labelled_is_not_guessed_away():
    pairs = (("他", "人物"), ("12", "物品"), ("咖啡", "名词"), ("上海", "其他"))
    text = "他在上海买了12杯咖啡。"
    machine, rejects = cleaned(annotation(*pairs, text=text))
    assert machine.entities == ()
    assert reasons(rejects) == ["pronoun", "number", "generic_type", "stop_type"]
    by_hand = replace(annotation(*pairs, text=text), by=HUMAN)
    kept, rejects = cleaned(by_hand)
    assert [e.surface for e in kept.entities] == ["他", "12", "咖啡"]
    assert reasons(rejects) == ["stop_type"]


def test_a_dropped_passage_is_one_reject_and_counts_its_entities():
    (result,) = clean([annotation(("好", "a"), text="好。")], FilterSettings())
    assert result.annotation is None
    assert result.entities == 1
    assert [(r.unit, r.reason, r.detail) for r in result.rejects] == [
        ("passage", "too_short", "2 characters")
    ]


def test_personal_data_are_kept_masked_or_dropped():
    text = "请致电13800138000联系王经理，或写信到 wang@example.com 询问。"
    before = annotation(("13800138000", "电话"), ("王经理", "人名"), text=text)
    (kept,) = clean([before], FilterSettings())
    assert kept.annotation == before
    assert kept.changed == ("personal_data",)
    (masked,) = clean([before], FilterSettings(personal="mask"))
    assert masked.annotation.passage.text == "请致电***********联系王经理，或写信到 ****@*******.*** 询问。"
    assert [e.surface for e in masked.annotation.entities] == ["王经理"]
    assert [(r.reason, r.detail) for r in masked.rejects] == [("personal_data", "电话")]
    (dropped,) = clean([before], FilterSettings(personal="drop"))
    assert dropped.annotation is None
    assert [(r.reason, r.detail) for r in dropped.rejects] == [("personal_data", "mail, mobile")]
    assert "138" not in dropped.rejects[0].detail


def test_types_are_renamed_before_the_rules_look_at_them():
    def renamed(given: Annotation) -> Annotation:
        entities = tuple(
            replace(e, type="人名", original_type=e.type) if e.type != "人名" else e for e in given.entities
        )
        return given if entities == given.entities else replace(given, entities=entities)

    before = annotation(("张伟", "人名"), ("李红", "其他"), text="张伟和李红在上海。")
    (result,) = clean([before], FilterSettings(), renamed)
    assert [(e.surface, e.type, e.original_type) for e in result.annotation.entities] == [
        ("张伟", "人名", None),
        ("李红", "人名", "其他"),
    ]
    assert result.changed == ("types",)
