"""The words of a text: jieba's or those between spaces, without stop words."""

import subprocess
import sys

import jieba
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.records import Lang
from sinoner.retrieve.tokenize import cut, kept, stop_words_in, tokenizer

NONE: frozenset[str] = frozenset()
CHINESE = st.text(
    st.sampled_from('我在北京大学读书，生活。 \t\n\u3000ABC12.5%+-—…《》"张伟3年前𠮷'), max_size=40
)


def words(text: str, lang: Lang, stops: frozenset[str]) -> list[str]:
    return kept(next(cut((text,), lang)), stops)


def test_chinese_is_cut_by_jieba_and_stop_words_go() -> None:
    text = "我在北京大学读书，他在北京。"
    assert words(text, "zh", NONE) == jieba.lcut(text)
    assert words(text, "zh", frozenset({"在", "，", "。", "我"})) == ["北京大学", "读书", "他", "北京"]


@given(CHINESE)
def test_no_character_but_white_space_is_lost(text: str) -> None:
    found = words(text, "zh", NONE)
    assert found == [token for token in jieba.lcut(text) if token.strip()]
    assert "".join("".join(found).split()) == "".join(text.split())
    assert not [token for token in found if not token.strip()]


def test_english_is_split_at_white_space_only() -> None:
    text = "The  Bank of\nParis, in\tParis."
    assert words(text, "en", NONE) == ["The", "Bank", "of", "Paris,", "in", "Paris."]
    assert words(text, "en", frozenset({"the", "of", "in"})) == ["The", "Bank", "Paris,", "Paris."]


def test_repeated_words_stay_repeated() -> None:
    assert kept(["a", "b", "a", "c"], frozenset({"b"})) == ["a", "a", "c"]


def test_texts_are_cut_one_after_the_other() -> None:
    def texts() -> object:
        yield "一二"
        raise AssertionError("was asked for more than was wanted")

    assert next(cut(texts(), "zh"))  # type: ignore[arg-type]


def test_an_empty_text_has_no_words() -> None:
    assert words("", "zh", NONE) == words(" \u3000\n", "zh", NONE) == words("  ", "en", NONE) == []


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_of_stop_words(end: str) -> None:
    content = end.join(["# a comment", "的", " 了 ", "", "#", "##", "e.g.", "\u3000"])
    assert stop_words_in(content) == {"的", "了", "#", "##", "e.g."}
    assert stop_words_in("") == frozenset()


def test_the_tokenizer_has_a_name_with_its_version() -> None:
    assert tokenizer("zh") == f"jieba {jieba.__version__}"
    assert tokenizer("en") == "split"


QUIET = """
import logging, jieba
from sinoner.retrieve.tokenize import cut
list(cut(["我在北京大学读书。"], "zh"))
print(logging.getLogger("jieba").level == logging.DEBUG, jieba.dt.initialized)
"""


def test_jieba_reads_its_dictionary_silently_and_keeps_its_level() -> None:
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True True\n", "")
