"""Rules that look at a passage as a whole: is it text worth labelling?"""

from __future__ import annotations

import re
from collections.abc import Callable

from sinoner.answers.refusals import refusal
from sinoner.quality import wordlists as known
from sinoner.records import Passage
from sinoner.settings import FilterSettings
from sinoner.text.lang import HAN

# A passage rule returns why the passage is dropped, as text for the reject's detail, or None.
PassageRule = Callable[[Passage, FilterSettings], str | None]
_HAN = re.compile(f"[{HAN}]+")
_WORDS = re.compile(r"\w+")
_LETTERS = re.compile(r"[^\W\d_]+")
_SENTENCE = re.compile(r"[^。！？!?\n]+[。！？!?\n]*|[。！？!?\n]+")
_LOOK = 200  # code points in which a refusal begins


def _too_short(passage: Passage, settings: FilterSettings) -> str | None:
    text = passage.text
    if len(text) >= 8 * settings.min_chars and not text.isspace():
        return None
    count = sum(map(len, text.split()))
    return f"{count} characters" if count < settings.min_chars else None


def _wrong_language(passage: Passage, settings: FilterSettings) -> str | None:
    text = passage.text
    if text.isascii() and passage.lang == "en":
        return None
    letters = sum(map(len, _LETTERS.findall(text)))
    if not letters:
        return None
    share = sum(map(len, _HAN.findall(text))) / letters
    if share < known.CHINESE_SHARE if passage.lang == "zh" else share > known.ENGLISH_SHARE:
        return f"{share:.0%} of the letters are Chinese"
    foreign = sum(map(len, known.FOREIGN.findall(text)))
    return f"{foreign} letters of another script" if foreign > known.FOREIGN_SHARE * letters else None


def _garbled(passage: Passage, settings: FilterSettings) -> str | None:
    text = passage.text
    broken = sum(map(len, known.BROKEN.findall(text)))
    if broken > known.BROKEN_SHARE * len(text):
        return f"{broken} broken characters"
    words = sum(map(len, _WORDS.findall(text)))
    if words < known.WORD_SHARE * sum(map(len, text.split())):
        return f"{words} letters and digits among {len(text)} characters"
    return None


def _boilerplate(passage: Passage, settings: FilterSettings) -> str | None:
    text = passage.text.lower()
    first = _phrase(text)
    if first is None:
        return None
    said = sum(len(sentence) for sentence in _SENTENCE.findall(text) if _phrase(sentence))
    return first if said >= known.BOILERPLATE_SHARE * len(text) else None


def _phrase(text: str) -> str | None:
    for phrase in known.BOILERPLATE:
        if phrase in text:
            return phrase
    return None


def _refusal(passage: Passage, settings: FilterSettings) -> str | None:
    return refusal(passage.text[:_LOOK])


PASSAGE_RULES: dict[str, PassageRule] = {
    "too_short": _too_short,
    "wrong_language": _wrong_language,
    "garbled": _garbled,
    "boilerplate": _boilerplate,
    "refusal": _refusal,
}
