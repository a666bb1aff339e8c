"""From a mention to its offsets, in the passage's own characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.text.ground import ground, occurrences, strip_brackets

# Few letters, so that repeats happen; wide, combining, expanding and astral characters among them.
LETTERS = st.text(alphabet="abABß王明ＡＢ１1 \u3000\n𠮷😀《》[]ﬁİe\u0301", min_size=1, max_size=40)


@st.composite
def text_and_part(draw, texts):
    text = draw(texts)
    begin = draw(st.integers(0, len(text) - 1))
    end = draw(st.integers(begin + 1, len(text)))
    return text, text[begin:end]


@given(
    text_and_part(st.one_of(LETTERS, st.text(min_size=1, max_size=60))), st.sampled_from(["folded", "case"])
)
def test_a_true_substring_is_always_found_as_it_stands(pair, fold):
    text, part = pair
    found = ground(text, part, fold)
    if not part.strip():
        assert found is None
        return
    surface, starts = found
    assert surface == part.strip()
    assert starts == occurrences(text, surface)
    assert starts
    assert all(text[s : s + len(surface)] == surface for s in starts)


@given(LETTERS, LETTERS, st.sampled_from(["folded", "case"]))
def test_whatever_is_found_stands_in_the_passage(text, mention, fold):
    found = ground(text, mention, fold)
    if found is not None:
        surface, starts = found
        assert surface
        assert starts
        assert all(text[s : s + len(surface)] == surface for s in starts)


@given(text_and_part(st.text(alphabet="abc王明李 xyz", min_size=1, max_size=40)), st.data())
def test_case_width_and_spaces_do_not_hide_a_mention(pair, data):
    text, part = pair
    part = part.strip()
    if not part:
        return
    wide = {c: chr(ord(c) + 0xFEE0) for c in part if "!" <= c <= "~"}
    written = []
    for char in part:
        written.append(data.draw(st.sampled_from([char, char.upper(), wide.get(char, char)])))
        written.append(data.draw(st.sampled_from(["", "", " ", "\u3000"])))
    found = ground(text, "".join(written))
    assert found is not None
    surface, starts = found
    assert all(text[s : s + len(surface)] == surface for s in starts)
    assert "".join(surface.split()) == "".join(part.split())


@pytest.mark.parametrize(
    ("text", "mention", "surface", "starts"),
    [
        ("他在iPhone上看Iphone", "IPHONE", "iPhone", (2,)),  # the first way of writing it, and only that one
        ("２０２４年", "2024年", "２０２４年", (0,)),
        ("2024年", "２０２４ 年", "2024年", (0,)),
        ("王　明在上海", "王明", "王　明", (0,)),
        ("Straße 5", "STRASSE", "Straße", (0,)),
        ("去了ﬁnland", "finland", "ﬁnland", (2,)),
        ("𠮷田和吉田，𠮷田", "𠮷田", "𠮷田", (0, 6)),
        ("😀王明😀", " 王明\n", "王明", (1,)),
    ],
)
def test_folded_grounding_keeps_the_passages_own_characters(text, mention, surface, starts):
    assert ground(text, mention) == (surface, starts)


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("王明在上海", "李红"),
        ("王明在上海", ""),
        ("王明在上海", " \n"),
        ("große", "s"),  # ß folds to ss, and half of it is no character
        ("ﬁnland", "inland"),
        ("王明", "《》"),
    ],
)
def test_what_is_not_in_the_passage_is_not_found(text, mention):
    assert ground(text, mention) is None


def test_case_mode_folds_case_and_nothing_else():
    assert ground("he owns an IPHONE", "iPhone", "case") == ("IPHONE", (11,))
    assert ground("王 明在上海", "王明", "case") is None
    assert ground("NewYork", "new york", "case") is None
    assert ground("２０２４年", "2024年", "case") is None
    assert ground("王 明在上海", "王明", "folded") == ("王 明", (0,))


def test_brackets_that_the_passage_lacks_are_taken_off_once():
    assert ground("他读红楼梦", "《红楼梦》") == ("红楼梦", (2,))
    assert ground("他读《红楼梦》", "《红楼梦》") == ("《红楼梦》", (2,))
    assert ground("HE READS EMMA", "[Emma]") == ("EMMA", (9,))
    assert ground("他读红楼梦", "《《红楼梦》》") is None


@pytest.mark.parametrize(
    ("mention", "inner"),
    [
        ("《红楼梦》", "红楼梦"),
        ("【a】", "a"),
        ("[a]", "a"),
        ("《a]", "《a]"),
        ("《》", "《》"),
        ("(a)", "(a)"),
        ("", ""),
    ],
)
def test_one_pair_of_brackets(mention, inner):
    assert strip_brackets(mention) == inner


def test_occurrences_do_not_overlap():
    assert occurrences("aaaaa", "aa") == (0, 2)
    assert occurrences("上海人在上海", "上海") == (0, 4)
    assert occurrences("上海", "北京") == ()
    assert occurrences("上海", "") == ()
