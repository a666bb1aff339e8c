"""Texts that differ in writing habits alone are equal in normal form; others are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.text.normal import normal, normal_words


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("他在北京大学读书。", "他在北京大学　读书！"),
        ("ＧＰＴ－４发布", "gpt-4 发布"),
        ("Anna moved\tto Paris.", "ANNA MOVED TO PARIS"),
        ("《红楼梦》", "红楼梦"),
        ("snake_case", "snake case"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("café", "CAFE"),
        ("第①章", "第1章"),
        ("ｱｲｳ", "アイウ"),
    ],
)
def test_equal_apart_from_width_case_space_and_punctuation(a: str, b: str) -> None:
    assert normal(a) == normal(b) != ""


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("他在北京大学读书", "她在北京大学读书"),
        ("iPhone 14", "iPhone 15"),
        ("一九九九年", "1999年"),
        ("漢字", "汉字"),
    ],
)
def test_other_letters_and_digits_stay_different(a: str, b: str) -> None:
    assert normal(a) != normal(b)


@pytest.mark.parametrize("text", ["", "……！？", " \n\t", "____", "🙂🙂"])
def test_a_text_without_letters_or_digits_is_empty(text: str) -> None:
    assert normal(text) == ""
    assert normal_words(text) == []


def test_words_are_split_at_blanks_and_punctuation() -> None:
    assert normal_words("Ｍr. O'Neil's  state-of-the-art CAR_2!") == [
        "mr", "o", "neil", "s", "state", "of", "the", "art", "car", "2",
    ]  # fmt: skip
    assert normal_words("他来了，走了") == ["他来了", "走了"]
    assert normal_words("co\u00adoperate zero\u200bwidth") == ["cooperate", "zerowidth"]


ANY = st.text(alphabet=st.characters(max_codepoint=0x2FFFF, exclude_categories=("Cs",)))


@given(ANY, ANY)
def test_the_form_of_any_text_is_letters_and_digits_and_its_own_form(a: str, b: str) -> None:
    form = normal(a)
    assert not form or form.isalnum()
    assert normal(form) == form == form.casefold()
    assert normal(a + b) == form + normal(b)
    assert "".join(normal_words(a)) == form


@given(st.text(alphabet="aBｃＤ１2 。，_!中文é", max_size=40))
def test_writing_habits_do_not_change_the_form(text: str) -> None:
    assert normal(f" {text}！".upper()) == normal(text)


@given(st.text(alphabet="aB1 ,.中文", max_size=40))
def test_plain_texts_against_a_plain_definition(text: str) -> None:
    assert normal(text) == "".join(c for c in text.lower() if c.isalnum())
    assert normal_words(text) == "".join(c if c.isalnum() else " " for c in text.lower()).split()
