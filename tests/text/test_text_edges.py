"""Offsets at which no mention may begin or end."""

from __future__ import annotations

import pytest

from sinoner.text.edges import inside_grapheme, inside_word


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("e\u0301a", [1]),
        ("👩‍🚀!", [1, 2]),
        ("❤\ufe0f。", [1]),
        ("👍🏽", [1]),
        ("🇨🇳🇯🇵", [1, 3]),
        ("a🇨🇳", [2]),
        ("王明𠮷a", []),
        ("", []),
    ],
)
def test_graphemes(text, inside) -> None:
    assert [i for i in range(-1, len(text) + 2) if inside_grapheme(text, i)] == inside


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("ab c", [1]),
        ("a1", []),
        ("12", [1]),
        ("王明ab明", [3]),
        ("O'Br", [3]),
        ("ａb", [1]),
        ("１2", [1]),
        ("аб", [1]),
        ("éa", [1]),
        ("e\u0301a", [1, 2]),
        ("かな王", []),
        ("", []),
    ],
)
def test_words(text, inside) -> None:
    assert [i for i in range(-1, len(text) + 2) if inside_word(text, i)] == inside
