"""From a mention to its offsets, in the passage's own characters."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from opencc import OpenCC

from sinoner.text.edges import inside_grapheme, inside_word
from sinoner.text.fold import LEVELS, fold
from sinoner.text.ground import BRACKETS, ENCLOSING, Grounded, ground, occurrences, strip_brackets

# Few letters, so that repeats happen; wide, combining, expanding and astral characters among them.
LETTERS = st.text(
    alphabet="abABß王明ＡＢ１1 \u3000\n𠮷😀《》[]ﬁİe\u0301\u0323é-—“\"'’國国\u200d👩🇨🇳\ufe0f",
    min_size=1,
    max_size=40,
)
MODES = st.sampled_from(["folded", "case"])
T2S, S2T = OpenCC("t2s").convert, OpenCC("s2t").convert

# Pieces of a passage between which a mention may begin and end.
PIECES = st.lists(
    st.sampled_from([
        "王明", "北京大学", "国务院", "头发", "𠮷田", "中国", " ", "\n", "\u3000", "，", "“红楼梦”", "《里程碑》", "——",
        "Apple", "apple", "New York", "O'Brien", "2024-05", "１２", "café", "cafe\u0301", "👩‍🚀", "🇨🇳", "❤\ufe0f", "ﬁn", "Straße", "-",
    ]),
    min_size=1, max_size=8,
)  # fmt: skip


@st.composite
def text_and_part(draw, texts):
    text = draw(texts)
    begin = draw(st.integers(0, len(text) - 1))
    end = draw(st.integers(begin + 1, len(text)))
    return text, text[begin:end]


@st.composite
def text_and_span(draw):
    """A passage, and a span of it that cuts through no word and no character as people see it."""
    text = "".join(draw(PIECES))
    edges = [i for i in range(len(text) + 1) if not inside_grapheme(text, i) and not inside_word(text, i)]
    begin, end = sorted(draw(st.lists(st.sampled_from(edges), min_size=2, max_size=2, unique=True)))
    assume(text[begin:end].strip())
    return text, text[begin:end].strip()


def stands(found, text: str) -> bool:
    """The contract: the surface is the passage's own, at all of its offsets, and there are no others."""
    assert isinstance(found, Grounded)
    surface, starts = found
    return bool(surface) and starts == occurrences(text, surface) != ()


@given(text_and_part(st.one_of(LETTERS, st.text(min_size=1, max_size=60))), MODES)
def test_a_true_substring_is_always_found_as_it_stands(pair, mode) -> None:
    text, part = pair
    found = ground(text, part, mode)
    if not part.strip():
        assert found == "not_in_passage"
        return
    assert stands(found, text)
    assert found.surface == part.strip()
    assert all(text[s : s + len(found.surface)] == found.surface for s in found.starts)


@given(LETTERS, LETTERS, MODES)
def test_whatever_is_found_stands_in_the_passage_and_equals_the_mention(text, mention, mode) -> None:
    found = ground(text, mention, mode)
    if isinstance(found, str):
        assert found in ("not_in_passage", "ambiguous_mention")
        assert mention.strip() not in text or not mention.strip()
        return
    assert stands(found, text)
    if mode == "case":
        assert fold(found.surface, "lower") == fold(mention.strip(), "lower")
    else:
        inner = strip_brackets(mention.strip(), ENCLOSING)
        assert fold(found.surface, "script") in (fold(mention, "script"), fold(inner, "script"))


@given(LETTERS, LETTERS)
def test_a_folded_find_agrees_with_looking_at_every_range(text, mention) -> None:
    """The same by trying all ranges of the passage, level by level."""
    written = mention.strip()
    assume(written and written not in text and strip_brackets(written, ENCLOSING) == written)
    wanted: set[str] = set()
    for level in LEVELS:
        needle = fold(written, level)
        for i in range(len(text)):
            for j in range(i + 1, min(len(text), i + 3 * len(written) + 3) + 1):
                cut = any(inside_grapheme(text, x) or inside_word(text, x) for x in (i, j))
                # The shortest range counts: what folds to nothing at its ends is not part of it.
                short = all(fold(part, level) != needle for part in (text[i + 1 : j], text[i : j - 1]))
                if needle and fold(text[i:j], level) == needle and not cut and short:
                    wanted.add(text[i:j])
        if wanted:
            break
    found = ground(text, mention)
    if len(wanted) == 1:
        # Two dashes in a row are one dash of the folded text, and are not taken apart.
        assume("-" not in fold(written, "spacing"))
        assert isinstance(found, Grounded) and found.surface in wanted
    elif not wanted:
        assert found == "not_in_passage"
    elif isinstance(found, Grounded):  # of ranges that overlap the first counts
        assert found.surface in wanted


def swapped_case(part: str) -> str:
    return "".join(c.swapcase() if c.swapcase().casefold() == c.casefold() else c for c in part)


def wide(part: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in part)


def spaced(part: str) -> str:
    graphemes = "".join(c if inside_grapheme(part, i) else f" {c}" for i, c in enumerate(part))
    return graphemes.replace("王 明", "王\n明")


def unspaced(part: str) -> str:
    return "".join(part.split())


def other_quotes(part: str) -> str:
    return part.translate({ord("“"): "「", ord("”"): '"', ord("'"): "’", ord("—"): "-", ord("-"): "–"})


def nfkc(part: str) -> str:
    return unicodedata.normalize("NFKC", part)


def nfd(part: str) -> str:
    return unicodedata.normalize("NFD", part)


MUTATIONS = [swapped_case, wide, spaced, unspaced, other_quotes, nfkc, nfd, S2T]


@pytest.mark.parametrize("mutated", MUTATIONS, ids=lambda f: getattr(f, "__name__", "s2t"))
@given(text_and_span())
def test_a_mutated_span_is_found_or_called_ambiguous(mutated, pair) -> None:
    text, part = pair
    mention = mutated(part)
    assume(mention.strip())
    found = ground(text, mention)
    if found == "ambiguous_mention":
        return
    assert stands(found, text)
    assert fold(found.surface, "script") == fold(part, "script")


@given(text_and_span(), st.lists(st.sampled_from(MUTATIONS), min_size=2, max_size=4))
def test_several_mutations_at_once(pair, mutations) -> None:
    text, part = pair
    mention = part
    for mutated in mutations:
        mention = mutated(mention)
    assume(mention.strip())
    found = ground(text, mention)
    assert found == "ambiguous_mention" or fold(found.surface, "script") == fold(part, "script")


@given(st.text(alphabet="國国發发髮後后裏里臺台体體干乾幹", min_size=2, max_size=6))
def test_traditional_and_simplified_are_the_same_mention(word) -> None:
    text = f"他说{T2S(word)}。"
    found = ground(text, word)
    assert stands(found, text)
    assert len(found.surface) == len(word)


@pytest.mark.parametrize(
    ("text", "mention", "surface", "starts"),
    [
        ("他在iPhone上看iPhone", "IPHONE", "iPhone", (2, 10)),
        ("２０２４年", "2024年", "２０２４年", (0,)),
        ("2024年", "２０２４ 年", "2024年", (0,)),
        ("王　明在上海", "王明", "王　明", (0,)),
        ("上\n海，上\n海", "上海", "上\n海", (0, 4)),
        ("in New\nYork", "New  York", "New\nYork", (3,)),
        ("Straße 5", "STRASSE", "Straße", (0,)),
        ("去了ﬁnland", "finland", "ﬁnland", (2,)),
        ("𠮷田和吉田，𠮷田", "𠮷田", "𠮷田", (0, 6)),
        ("😀王明😀", " 王明\n", "王明", (1,)),
        ("读“红楼梦”", '"红楼梦"', "“红楼梦”", (1,)),
        ("读「红楼梦」", "『红楼梦』", "「红楼梦」", (1,)),
        ("O’Brien came", "O'Brien", "O’Brien", (0,)),
        ("京沪——广州", "京沪-广州", "京沪——广州", (0,)),
        ("COVID‐19", "COVID-19", "COVID‐19", (0,)),
        ("乔治·布什", "乔治•布什", "乔治·布什", (0,)),
        ("在臺灣大學讀書", "台湾大学", "臺灣大學", (1,)),
        ("头发", "頭髮", "头发", (0,)),
        ("Ｇoogle地图", "google地圖", "Ｇoogle地图", (0,)),
        ("the cafe\u0301 bar", "Café", "cafe\u0301", (4,)),
        ("Hội An", "HO\u0302\u0323I AN", "Hội An", (0,)),  # marks in another order
        ("👩‍🚀Anna", "👩‍🚀anna", "👩‍🚀Anna", (0,)),
        ("北京\u200b大学", "北京大学", "北京\u200b大学", (0,)),
        ("apple, Apple", "apple", "apple", (0,)),  # exact first
        ("NewYork, New York", "new york", "New York", (9,)),  # the level that changes less first
        ("US business", "Us", "US", (0,)),
        ("iPhone15", "IPHONE", "iPhone", (0,)),
    ],
)
def test_folded_grounding_keeps_the_passages_own_characters(text, mention, surface, starts) -> None:
    assert ground(text, mention) == (surface, starts)


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("王明在上海", "李红"),
        ("王明在上海", ""),
        ("王明在上海", " \n"),
        ("王明在上海", "\u200b"),
        ("große", "s"),  # ß folds to ss, and half of it is no character
        ("ﬁnland", "inland"),
        ("王明", "《》"),
        ("a business", "US"),
        ("a formal issue", "Mali"),  # found only across words
        ("１２３", "23"),
        ("the cafe\u0301", "CAFE"),
        ("the café", "CAFE"),
        ("Ａ👩‍🚀", "a👩"),
        ("Ａ❤\ufe0f", "a❤"),
        ("Ａ🇨🇳", "a🇨"),
        ("Ａ👍🏽", "a👍"),
    ],
)
def test_what_is_not_in_the_passage_is_not_found(text, mention) -> None:
    assert ground(text, mention) == "not_in_passage"


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("Apple and apple", "APPLE"),
        ("王 明和王\n明", "王明"),  # only white space differs
        ("台灣和臺湾", "台湾"),
        ("“甲”和「甲」", '"甲"'),
        ("Apple and apple", "[APPLE]"),
    ],
)
def test_several_ways_of_writing_are_ambiguous(text, mention) -> None:
    assert ground(text, mention) == "ambiguous_mention"


def test_one_way_of_writing_is_not_ambiguous() -> None:
    assert ground("Apple and Apple", "APPLE") == ("Apple", (0, 10))


def test_case_mode_folds_case_and_nothing_else() -> None:
    assert ground("he owns an IPHONE", "iPhone", "case") == ("IPHONE", (11,))
    for text, mention in [
        ("王 明在上海", "王明"), ("NewYork", "new york"), ("２０２４年", "2024年"), ("他读红楼梦", "《红楼梦》"),
        ("读“红楼梦”", '"红楼梦"'), ("臺灣", "台湾"), ("Straße", "STRASSE"),
    ]:  # fmt: skip
        assert ground(text, mention, "case") == "not_in_passage"


def test_case_mode_takes_the_first_match_wherever_it_is() -> None:
    assert ground("Apple and apple", "APPLE", "case") == ("Apple", (0,))
    assert ground("a business", "US", "case") == ("us", (3,))


def test_brackets_that_the_passage_lacks_are_taken_off_once() -> None:
    assert ground("他读红楼梦", "《红楼梦》") == ("红楼梦", (2,))
    assert ground("他读《红楼梦》", "《红楼梦》") == ("《红楼梦》", (2,))
    assert ground("HE READS EMMA", "[Emma]") == ("EMMA", (9,))
    assert ground("他读红楼梦", "“红楼梦”") == ("红楼梦", (2,))
    assert ground("他读红楼梦", "《《红楼梦》》") == "not_in_passage"
    assert ground("红楼梦》与《西游记", "《红楼梦》与《西游记》") == "not_in_passage"


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
        ("《", "《"),
        ("《A》与《B》", "《A》与《B》"),
        ("《A《B》C》", "A《B》C"),
        ("《《A》", "《《A》"),
        ("《A》》", "《A》》"),
        ("“a”", "“a”"),
    ],
)
def test_one_pair_of_brackets(mention, inner) -> None:
    assert strip_brackets(mention) == inner


@pytest.mark.parametrize("pair", ENCLOSING)
def test_the_wider_pairs(pair) -> None:
    opens, closes = pair
    assert strip_brackets(f"{opens}甲{closes}", ENCLOSING) == "甲"
    assert strip_brackets(f"{opens}甲{closes}") == ("甲" if pair in BRACKETS else f"{opens}甲{closes}")
    two = f"{opens}甲{closes}和{opens}乙{closes}"
    assert strip_brackets(two, ENCLOSING) == two


def test_occurrences_do_not_overlap() -> None:
    assert occurrences("aaaaa", "aa") == (0, 2)
    assert occurrences("上海人在上海", "上海") == (0, 4)
    assert occurrences("上海", "北京") == ()
    assert occurrences("上海", "") == ()


@pytest.mark.parametrize(("text", "loaded"), [("Apple pie", False), ("苹果 pie", True)])
def test_opencc_is_loaded_only_for_han_characters(text, loaded) -> None:
    code = (
        "import sys; from sinoner.text.ground import ground;"
        f"ground({text!r}, 'PEAR'); ground({text!r}, '蘋 果');"
        f"assert ('opencc' in sys.modules) is {loaded}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
