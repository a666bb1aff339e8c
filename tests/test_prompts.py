"""Prompts: literal placeholders, versions, and files that are no prompts."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner import resources
from sinoner.errors import InputError
from sinoner.prompts import (
    ExtractPrompt,
    conversation_prompt,
    extract_prompt,
    fill,
    guidance_prompt,
    questions_prompt,
    verify_prompt,
)

MINE = 'id: mine.zh.v1\nlang: zh\nsystem: 规则 {text} 不变\nuser: \'[{"a": "b"}] %s {x} {text}\'\n'


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(
    "text",
    [
        "{text}",
        "{}",
        "{0} {x!r:>5}",
        "%s %d %(a)s 100%",
        '{"a": {"b": []}}',
        "${HOME} \\1 \\g<0>",
        "王明\n\n{在}上海𠮷",
    ],
)
def test_braces_and_percent_signs_of_a_passage_survive(lang, text):
    prompt = extract_prompt("extract", lang)
    system, user = prompt.messages(text)
    before, after = prompt.user.split("{text}")
    assert user.content == before + text + after
    assert system.content == prompt.system
    assert (system.role, user.role) == ("system", "user")


@given(st.text())
def test_the_passage_stands_in_the_question_as_it_is(text):
    prompt = extract_prompt("extract", "en")
    assert prompt.messages(text)[1].content == text.join(prompt.user.split("{text}"))


def test_braces_of_the_prompt_itself_survive(tmp_path):
    (tmp_path / "mine.yaml").write_text(MINE, encoding="utf-8")
    system, user = extract_prompt(str(tmp_path / "mine.yaml"), "zh").messages("王明{y}")
    assert user.content == '[{"a": "b"}] %s {x} 王明{y}'
    assert system.content == "规则 {text} 不变"


def test_a_path_may_name_the_language(tmp_path):
    (tmp_path / "mine.zh.yaml").write_text(MINE, encoding="utf-8")
    assert extract_prompt(str(tmp_path / "mine.{lang}.yaml"), "zh").id == "mine.zh.v1"
    with pytest.raises(InputError, match=r"mine\.\{lang\}\.yaml: no such file"):
        extract_prompt(str(tmp_path / "mine.{lang}.yaml"), "en")


def test_the_versions_of_a_prompt_in_several_languages_are_of_one_family():
    assert {extract_prompt("extract", lang).family for lang in ("zh", "en")} == {"extract.v1"}
    shown = {"lang": "zh", "system": "", "user": "{text}"}
    assert ExtractPrompt(id="mine", **shown).family == ""
    assert ExtractPrompt(id="mine.en.v1", **shown).family == ""  # names another language than its own


def test_the_highest_version_wins_by_number(tmp_path, monkeypatch):
    (tmp_path / "prompts").mkdir()
    for version in (2, 10, 9):
        text = MINE.replace("zh.v1", f"zh.v{version}")
        (tmp_path / "prompts" / f"mine.zh.v{version}.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(resources, "data_root", lambda: tmp_path)
    assert extract_prompt("mine", "zh").id == "mine.zh.v10"
    with pytest.raises(InputError, match=r"no prompt 'mine' for en; there are: mine"):
        extract_prompt("mine", "en")


def test_the_shipped_prompts_are_named_as_their_files():
    for path in sorted((resources.data_root() / "prompts").glob("*.yaml")):
        name, lang, version = path.stem.split(".")
        others = {
            "conversation": conversation_prompt,
            "conversation_uniner": partial(conversation_prompt, style="uniner"),
            "guidance": guidance_prompt,
            "questions": questions_prompt,
            "verify": verify_prompt,
        }
        prompt = others[name](lang) if name in others else extract_prompt(name, lang)
        assert prompt.lang == lang
        assert version.startswith("v")
        assert prompt.id == path.stem
        if isinstance(prompt, ExtractPrompt):
            assert prompt.user.count("{text}") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ": a prompt file is a mapping with id, lang, system, user, not an empty file"),
        ("- a\n", ":1: a prompt file is a mapping with id, lang, system, user, not a list"),
        ("id: [", ":1: is not YAML: "),
        ("id: a\nlang: zh\nsystem: s\n", ": user: is missing"),
        (MINE + "usr: x\n", ":5: usr: unknown key; did you mean 'user'?"),
        (MINE.replace("zh\n", "fr\n"), ":2: lang: must be 'zh' or 'en', got 'fr'"),
        (MINE + "lang: zh\n", ":5: lang: is given twice, first in line 2"),
        ("\x00", ": is not YAML: "),
    ],
)
def test_a_file_that_is_no_prompt_is_one_clear_line(tmp_path, text, said):
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        extract_prompt(str(path), "zh")
    assert str(caught.value).startswith(f"{path}{said}")
    assert len(str(caught.value).splitlines()) == 1


def test_a_prompt_that_is_not_utf8_is_one_clear_line(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_bytes(MINE.encode("gb18030"))
    with pytest.raises(InputError, match=r"bad\.yaml: is not UTF-8 \(byte 32\)"):
        extract_prompt(str(path), "zh")


def test_a_prompt_without_its_placeholder_is_refused(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(MINE.replace(" {text}'", "'"), encoding="utf-8")
    with pytest.raises(InputError, match="text"):
        extract_prompt(str(path), "zh")


def test_conversation_turns_of_both_languages():
    assert conversation_prompt("zh").query == '文本中属于"{type}"的实体有哪些？'
    assert conversation_prompt("en").query == 'What describes "{type}" in the text?'


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_guidance_has_its_placeholders(lang):
    words = guidance_prompt(lang)
    holes = {"domain": "{domain}", "types": "{types}", "type": "{type}", "reask": "{error}"}
    assert all(getattr(words, field).count(hole) == 1 for field, hole in holes.items())
    assert words.defined.count("{type}") == words.defined.count("{definition}") == 1


@given(st.text(), st.text())
def test_values_are_filled_in_once_and_as_they_are(one, other):
    assert fill("{a}|{b}|{c}", {"a": one, "b": other}) == f"{one}|{other}|{{c}}"
