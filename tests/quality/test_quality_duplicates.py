"""The first of equal or nearly equal passages stays, the others go with its id."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.quality.duplicates import Duplicates, signature
from sinoner.records import Passage
from sinoner.text.normal import normal

LONG = "本公司将于下周一召开年度股东大会，届时将公布上一年度的财务报告，并选举新一届董事会成员和监事会成员。"


def passage(text: str, number: int = 0, lang: str = "zh") -> Passage:
    return msgspec.convert({"id": f"d{number}#0", "text": text, "source": "s", "lang": lang}, Passage)


def checked(duplicates: Duplicates, *texts: str) -> list[tuple[str, str] | None]:
    return [duplicates.check(passage(text, n)) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    "again",
    [
        "他在北京大学读书。",
        "他在北京大学　读书！",
        "“他”在北京大学读书",
        "他在北京大学读书\n",
    ],
)
def test_equal_in_normal_form_is_a_duplicate_of_the_first(again: str) -> None:
    said = checked(Duplicates(None, True), "他在北京大学读书。", "她在北京大学读书。", again)
    assert said == [None, None, ("duplicate_passage", "d0#0")]


def test_english_duplicates_ignore_case_width_and_punctuation() -> None:
    said = checked(
        Duplicates(0.8, True), "Anna moved to Paris.", "ＡＮＮＡ moved, to PARIS", "Anna moved to Rome."
    )
    assert said == [None, ("duplicate_passage", "d0#0"), None]


def test_a_near_duplicate_goes_with_the_id_and_the_similarity() -> None:
    near = LONG.replace("本公司", "某公司")
    said = checked(Duplicates(0.8, True), "今天的天气很好，适合散步。", LONG, near, LONG[: len(LONG) // 2])
    assert said[0] is said[1] is said[3] is None
    a, b = ({t[i : i + 5] for i in range(len(t) - 4)} for t in (normal(LONG), normal(near)))
    assert said[2] == ("near_duplicate", f"d1#0 ({len(a & b) / len(a | b):.2f})")


def test_without_the_near_rule_only_equal_ones_go() -> None:
    near = LONG.replace("本公司", "某公司")
    assert checked(Duplicates(None, True), LONG, near, LONG) == [None, None, ("duplicate_passage", "d0#0")]


def test_without_the_exact_rule_equal_ones_are_near_duplicates() -> None:
    assert checked(Duplicates(0.8, False), LONG, LONG) == [None, ("near_duplicate", "d0#0 (1.00)")]


def test_without_both_rules_nothing_goes() -> None:
    assert checked(Duplicates(None, False), LONG, LONG) == [None, None]


def test_a_text_shorter_than_a_5_gram_is_compared_exactly_only() -> None:
    assert checked(Duplicates(0.8, True), "你好", "您好", "你好！") == [
        None,
        None,
        ("duplicate_passage", "d0#0"),
    ]
    assert checked(Duplicates(0.8, False), "你好", "你好") == [None, None]


def test_a_text_without_letters_is_not_compared() -> None:
    assert checked(Duplicates(0.8, True), "……", "！！！", "……") == [None, None, None]


def test_the_numbers_of_short_and_long_texts_do_not_get_mixed_up() -> None:
    said = checked(Duplicates(0.8, True), "……", "你好", LONG, "您好", LONG[:-2], "您好。", LONG)
    assert said[:4] == [None] * 4
    assert said[4] is not None
    assert said[4][1].startswith("d2#0 (")
    assert said[5:] == [("duplicate_passage", "d3#0"), ("duplicate_passage", "d2#0")]


def test_a_copy_of_a_dropped_near_duplicate_goes_too() -> None:
    near = LONG.replace("本公司", "某公司")
    said = checked(Duplicates(0.8, True), LONG, near, near)
    assert said[1] == said[2] != None  # noqa: E711
    assert said[1] is not None and said[1][0] == "near_duplicate"


def test_signatures_made_elsewhere_give_the_same_answers() -> None:
    texts = [LONG, "你好", "……", LONG.replace("本公司", "某公司"), "你好！", LONG + "。", LONG[:20]]
    for threshold, exact in ((0.8, True), (None, True), (0.8, False)):
        duplicates = Duplicates(threshold, exact)
        said = [duplicates.check(passage(t, n), signature(t, threshold)) for n, t in enumerate(texts)]
        assert said == checked(Duplicates(threshold, exact), *texts)


def test_a_signature_holds_what_the_threshold_asks_for() -> None:
    assert signature("……", 0.8) is None
    short, plain, whole = signature("你好", 0.8), signature(LONG, None), signature(LONG, 0.8)
    assert short is not None and short.near is None
    assert plain is not None and plain.near is None
    assert whole is not None and whole.near is not None
    assert plain.digest == whole.digest != short.digest


@given(st.lists(st.text(alphabet="aA中文 。", min_size=1, max_size=4), max_size=30))
def test_exact_duplicates_as_a_set_of_normal_forms_finds_them(texts: list[str]) -> None:
    duplicates, seen = Duplicates(None, True), {}
    for n, text in enumerate(texts):
        expected = None
        if form := normal(text):
            expected = ("duplicate_passage", seen[form]) if form in seen else None
            seen.setdefault(form, f"d{n}#0")
        assert duplicates.check(passage(text, n)) == expected


def test_the_same_corpus_gives_the_same_answers() -> None:
    r = random.Random(2)
    texts = []
    for _ in range(100):
        at = r.randrange(len(LONG))
        texts.append(LONG[:at] + r.choice("甲乙丙丁") * r.randint(1, 20) + LONG[at:])
    one, other = checked(Duplicates(0.8, True), *texts), checked(Duplicates(0.8, True), *texts)
    assert one == other
    assert any(x is None for x in one[1:]) and any(x is not None for x in one)
