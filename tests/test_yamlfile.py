"""YAML into a model: all mistakes at once, each with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel

from sinoner import yamlfile
from sinoner.errors import InputError


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: Annotated[int, Field(ge=0)]
    title: str = Field("", alias="name")


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    parts: tuple[Part, ...] = ()
    by_name: dict[str, Part] = {}
    one: Part | None = None


def read(text: str) -> Whole:
    return yamlfile.validate(yamlfile.parse(text, "f.yaml"), Whole, "a whole")


def mistakes(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(text)
    return str(caught.value).splitlines()


def test_a_file_is_read_into_its_model(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes("\ufeffparts:\r\n- &a {size: 1, name: 大}\r\n- {<<: *a, size: 2}\r\n".encode())
    whole = yamlfile.load(path, Whole, "a whole")
    assert [(p.size, p.title) for p in whole.parts] == [(1, "大"), (2, "大")]


def test_mistakes_are_named_with_their_line_wherever_they_are() -> None:
    text = """
parts:
  - size: -1
    nmae: x
  - 3
by_name:
  a: {size: many, zzz: 1}
one:
  {name: [x]}
ones: 1
ones: 2
"""
    assert mistakes(text) == [
        "f.yaml:11: ones: is given twice, first in line 10",
        "f.yaml:3: parts.0.size: must be greater than or equal to 0, got -1",
        "f.yaml:4: parts.0.nmae: unknown key; did you mean 'name'?",
        "f.yaml:5: parts.1: must be a mapping, got 3",
        "f.yaml:7: by_name.a.size: must be a valid integer, unable to parse string as an integer, got 'many'",
        "f.yaml:7: by_name.a.zzz: unknown key; known: size, name",
        "f.yaml:8: one.size: is missing",
        "f.yaml:9: one.name: must be text, got ['x']",
        "f.yaml:10: ones: unknown key; did you mean 'one'?",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f.yaml: a whole is a mapping with parts, by_name, one, not an empty file"),
        ("\n- 1", "f.yaml:2: a whole is a mapping with parts, by_name, one, not a list"),
        ("parts: [1\n", "f.yaml:2: is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("one: {a: 1, a: 2}", "f.yaml:1: one.a: is given twice, first in line 1"),
        ("\n[a]: 1", "f.yaml:2: a key is one word, not a list or a mapping"),
        ("one: 2024-13-01", "f.yaml: is not YAML that can be read: month must be in 1..12; quote it"),
        ("one: " + "[" * 5000 + "]" * 5000, "f.yaml:1: one: must be a mapping, got [[[[[["),
        (
            "one: !!python/name:os.system",
            "f.yaml:1: is not YAML: could not determine a constructor for the tag",
        ),
    ],
)
def test_what_is_no_such_file_is_one_line(text: str, said: str) -> None:
    found = mistakes(text)
    assert found[0].startswith(said)
    assert len(found) == 1 or "given twice" in said


def test_a_structure_that_holds_itself_is_a_mistake_like_any_other() -> None:
    assert mistakes("by_name: &a {x: *a}") == [
        "f.yaml:1: by_name.x.size: is missing",
        "f.yaml:1: by_name.x.x: unknown key; known: size, name",
    ]


def test_words_stay_as_they_are_written() -> None:
    value = yamlfile.parse("{no: [2024, ~, null, 1.0, =, 2024-01-01], '': }", "f", words=True).value
    assert value == {"no": ["2024", "", "null", "1.0", "=", "2024-01-01"], "": ""}


def test_words_of_a_key_that_is_given_twice_are_joined() -> None:
    read = yamlfile.parse("a: {x: 1}\nb: 2\na: {x: [3, 4], y: 5}\nc: [6]\nb:\n", "f", words=True)
    assert read.value == {"a": {"x": ["1", "3", "4"], "y": "5"}, "b": ["2"], "c": ["6"]}
    assert read.line(("a", "x", 2)) == 3
    assert not read.mistakes


def test_a_mapping_of_models_is_read_and_its_keys_are_free() -> None:
    kind = RootModel[dict[str, Part]]
    assert yamlfile.validate(yamlfile.parse("a: {size: 1}", "f"), kind, "a table").root["a"].size == 1
    with pytest.raises(InputError, match=r"^f:1: a\.sice: unknown key; did you mean 'size'\?$"):
        yamlfile.validate(yamlfile.parse("a: {size: 1, sice: 1}", "f"), kind, "a table")
    with pytest.raises(InputError, match=r"^f:1: a table is a mapping, not text$"):
        yamlfile.validate(yamlfile.parse("a", "f"), kind, "a table")


@given(st.text(alphabet="ab:-[]{}\n \"'#&*!|>%@`?,=~<0é\x07", max_size=30))
def test_any_text_is_a_model_or_mistakes(text: str) -> None:
    found: str | None = None
    try:
        read(text)
    except InputError as error:
        found = str(error)
    assert found is None or found.startswith("f.yaml")
