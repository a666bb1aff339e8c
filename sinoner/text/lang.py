"""Which of the two languages a text is written in."""

from __future__ import annotations

import re

from sinoner.records import Lang

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Unicode, Script=Han
HAN_SHARE = 0.2
_HAN_RUN = re.compile(f"[{HAN}]+")
_LETTER_RUN = re.compile(r"[^\W\d_]+")


def detect_lang(text: str) -> Lang:
    """``zh`` when more than a fifth of the letters are Han characters, else ``en``.

    The threshold is low because one Han character says as much as several Latin letters: a Chinese text with
    long English names in it is still Chinese.
    """
    if text.isascii():
        return "en"
    han = sum(map(len, _HAN_RUN.findall(text)))
    letters = sum(map(len, _LETTER_RUN.findall(text)))
    return "zh" if han > HAN_SHARE * letters else "en"
