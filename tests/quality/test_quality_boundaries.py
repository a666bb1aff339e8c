"""Mentions that end inside a word."""

from __future__ import annotations

import jieba
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.quality.boundaries import cut_words, ends_inside_word
from sinoner.records import Entity
from sinoner.text.ground import occurrences


def cut(text: str, *surfaces: str, lang: str = "zh") -> list[str]:
    entities = [Entity(surface=s, type="t", starts=occurrences(text, s)) for s in surfaces]
    return [e.surface for e in cut_words(entities, text, lang)]


@pytest.mark.parametrize(
    ("text", "surfaces", "expected"),
    [
        ("他在北京大学读书。", ("北京大", "北京大学"), ["北京大"]),
        ("他在北京大学读书。", ("北京大",), []),  # no longer mention
        ("他去了北京，北京大学。", ("北京", "北京大学"), []),  # stands free once
        ("他在北京大学读书。", ("大学", "北京大学"), []),  # ends where the word ends
    ],
)
def test_chinese(text: str, surfaces: tuple[str, ...], expected: list[str]) -> None:
    assert cut(text, *surfaces) == expected


def test_english() -> None:
    text = "The Americans met at Yale University."
    assert cut(text, "America", "Americans", "Yale", "Yale University", lang="en") == ["America"]


@given(
    st.lists(
        st.sampled_from(
            ["北京大学", "的", "，", " ", "GPT-4", "3.5", "%", "。\n", "研究生命", "𠮷", "😀", "上海交通"]
        ),
        min_size=1,
        max_size=12,
    ).map("".join),
)
def test_a_piece_is_segmented_as_in_the_whole_text(text: str) -> None:
    ends, at = set(), 0
    for word in jieba.cut(text):
        at += len(word)
        ends.add(at)
    for end in range(1, len(text)):
        assert ends_inside_word(text, end) == (end not in ends)
