"""Folded texts, and where their characters came from."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opencc import OpenCC

from sinoner.text.fold import LEVELS, fold, origin, simplified

TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="ab Ａ—-‐é\u0301\u0323e\u0302ß\n國国İﬁ…“´Å각", max_size=30),
)


@pytest.mark.parametrize("level", ["lower", *LEVELS])
@given(TEXTS)
def test_every_folded_character_has_its_origin(level, text) -> None:
    folded = fold(text, level)
    begins, ends = origin(text, level)
    assert len(folded) == len(begins) == len(ends)
    assert all(0 <= b < e <= len(text) for b, e in zip(begins, ends, strict=True))
    if max(folded, default="a") < "\u0300":
        assert begins == sorted(begins)
    for char, b, e in zip(folded, begins, ends, strict=True):
        assert char in fold(text[b:e], level)


@given(TEXTS, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_width_makes_equal_what_unicode_calls_compatible(text, form) -> None:
    alone = {c for c in text if len(k := unicodedata.normalize("NFKD", c)) > 1 and k[0] == " "}
    if not alone:  # a mark that stands alone (´) is not taken for a space with a mark
        assert fold(text, "width") == fold(unicodedata.normalize(form, text), "width")
        assert fold(text, "width") == unicodedata.normalize("NFKD", text)


@given(TEXTS, TEXTS)
def test_each_level_ignores_what_the_one_before_ignores(one, other) -> None:
    for text in (other, one.lower(), unicodedata.normalize("NFKC", one), one.replace("國", "国")):
        equal = [fold(one, level) == fold(text, level) for level in LEVELS]
        assert equal == sorted(equal)


@given(TEXTS)
def test_folding_twice_changes_nothing_more(text) -> None:
    for level in LEVELS:
        assert fold(fold(text, level), level) == fold(text, level)


def test_simplified_is_opencc_character_by_character() -> None:
    every = "".join(map(chr, range(0x4E00, 0xA000)))
    assert simplified(every) == "".join(OpenCC("t2s").convert("\n".join(every)).split("\n"))
    assert simplified("國國") == "国国"


@pytest.mark.parametrize(
    ("level", "one", "other", "equal"),
    [
        ("width", "ＡＢ", "AB", True),
        ("width", "AB", "ab", False),
        ("case", "AB", "ab", True),
        ("case", "a b", "ab", False),
        ("spacing", "a\u3000\nb", "ab", True),
        ("spacing", "「a」", "“a”", True),
        ("spacing", "a――b", "a-b", True),
        ("spacing", "a・b", "a·b", True),
        ("spacing", "1～2", "1〜2", True),
        ("spacing", "1~2", "1-2", False),
        ("spacing", "國", "国", False),
        ("script", "國", "国", True),
        ("script", "國", "王", False),
        ("lower", "AB", "ab", True),
        ("lower", "Ａ", "a", False),
    ],
)
def test_levels(level, one, other, equal) -> None:
    assert (fold(one, level) == fold(other, level)) is equal
