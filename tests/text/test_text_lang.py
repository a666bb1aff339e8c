"""Chinese or English."""

from __future__ import annotations

import pytest

from sinoner.text.lang import detect_lang


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("王明在上海工作。", "zh"),
        ("OpenAI和Google在北京开会", "zh"),
        ("𠮷𠮷𠮷", "zh"),  # outside the basic plane
        ("々〇", "zh"),
        ("Marie Curie was born in Warsaw.", "en"),
        ("José lived in Zürich – and the sign 山 means mountain", "en"),
        ("2024", "en"),
        ("２０２４。", "en"),  # no letter at all
        ("", "en"),
    ],
)
def test_language(text, lang):
    assert detect_lang(text) == lang


def test_the_threshold_is_a_fifth_of_the_letters():
    assert detect_lang("山" + "a" * 4) == "en"
    assert detect_lang("山" + "a" * 3) == "zh"
