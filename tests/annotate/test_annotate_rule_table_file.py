"""Reading rule tables, and what is said about the mistakes in them."""

from __future__ import annotations

import csv
import io

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sinoner.annotate.rule_table_file import Term, parse_table
from sinoner.errors import InputError

YAML = """\
# words of the field
terms:
  药品: [阿司匹林, "布洛芬"]
  year:
    - 2024
    - no
    - ' 王 明 '
patterns:
  剂量: ['\\d+毫克', '(?P<mention>\\d+)片']
  x: a+
"""


def test_a_yaml_table() -> None:
    table = parse_table(YAML, "my.yaml")
    assert table.terms == (
        Term("药品", "阿司匹林"), Term("药品", "布洛芬"), Term("year", "2024"), Term("year", "no"), Term("year", "王 明"),
    )  # fmt: skip
    assert [(r.type, r.pattern.pattern, r.place, r.group) for r in table.rules] == [
        ("剂量", r"\d+毫克", "my.yaml:9", 0),
        ("剂量", r"(?P<mention>\d+)片", "my.yaml:9", "mention"),
        ("x", "a+", "my.yaml:10", 0),
    ]


def test_a_type_that_stands_twice_has_the_words_of_both() -> None:
    table = parse_table("terms:\n  a: [x]\n  b: [x]\n  a: [y, x]\n", "t.yml")
    assert table.terms == (Term("a", "x"), Term("a", "y"), Term("b", "x"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.tsv", '阿司匹林\t药品\r\n\r\n 王 明 \t人名 \n"quoted\t x\n'),
        ("t.txt", 'word\ttype\n阿司匹林\t药品\n王 明\t人名\n"quoted\tx'),
        ("t.csv", 'Word,Type\n阿司匹林,药品\n王 明,人名\n"""quoted",x\n'),
    ],
)
def test_a_table_of_lines(name: str, text: str) -> None:
    table = parse_table(text, name)
    assert table.terms == (Term("药品", "阿司匹林"), Term("人名", "王 明"), Term("x", '"quoted'))
    assert table.rules == ()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.yaml", "terms:\n  a:\n    - x\n    - ''\n", "t.yaml:4: a word of 'a' is empty"),
        ("t.yaml", "terms:\n  a:\n    - x\n    -\n", "t.yaml:4: a word of 'a' is empty"),
        ("t.yaml", "terms:\n  ' ': [x]\n", "t.yaml:2: the type is empty"),
        ("t.yaml", "patterns:\n  a: ['(b']\n", "t.yaml:2: '(b' is no regular expression: missing ), unterminated"),
        ("t.yaml", "patterns:\n  a: ['b*']\n", "t.yaml:2: 'b*' matches the empty string"),
        ("t.yaml", "patterns:\n  a: ['']\n", "t.yaml:2: a pattern of 'a' is empty"),
        ("t.yaml", "patterns:\n  a: ['b{99999999999}']\n", "t.yaml:2: 'b{99999999999}' is no regular expression"),
        ("t.yaml", "terms:\n  a: [x, [y]]\n", "t.yaml:2: terms.a.1: must be text, got ['y']"),
        ("t.yaml", "terms:\n  a: {b: c}\n", "t.yaml:2: terms.a.0: must be text, got {'b': 'c'}"),
        ("t.yaml", "terms:\n  [a]: [c]\n", "t.yaml:2: a key is one word, not a list or a mapping"),
        ("t.yaml", "words:\n  a: [c]\n", "t.yaml:1: words: unknown key; known: terms, patterns"),
        ("t.yaml", "terms: [a, b]\n", "t.yaml:1: terms: must be a mapping, got ['a', 'b']"),
        ("t.yaml", "- a\n", "t.yaml:1: a rule table is a mapping with terms, patterns, not a list"),
        ("t.yaml", "terms:\n  a: [x\n", "t.yaml:3: is not YAML"),
        ("t.yaml", "\x07", "t.yaml: is not YAML"),
        ("t.yaml", "", "t.yaml: has neither words nor patterns"),
        ("t.yaml", "terms:\npatterns: {}\n", "t.yaml: has neither words nor patterns"),
        ("t.tsv", "a\tb\nc d\n", "t.tsv:2: a line is a word, a tab and its type, not 1 fields"),
        ("t.tsv", "a\tb\tc\n", "t.tsv:1: a line is a word, a tab and its type, not 3 fields"),
        ("t.tsv", "a\tb\n\n \tc\n", "t.tsv:3: a word of 'c' is empty"),
        ("t.tsv", "a\t \n", "t.tsv:1: the type is empty"),
        ("t.csv", 'a,b\n"c,d\n', "t.csv:2: is not CSV"),
        ("t.csv", "a;b\n", "t.csv:1: a line is a word, a comma and its type, not 1 fields"),
        ("t.json", "{}", "t.json: a table is a .yaml, .yml, .tsv, .txt, .csv file"),
    ],
)  # fmt: skip
def test_every_mistake_is_one_line_with_its_place(name: str, text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        parse_table(text, name)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_only_line_feeds_and_returns_end_a_line() -> None:
    table = parse_table("a\x85b\tx\u2028y\n\x0bc\x1c\td\r", "t.tsv")
    assert table.terms == (Term("x\u2028y", "a\x85b"), Term("d", "c"))


def test_all_mistakes_are_told_but_no_more_than_twenty() -> None:
    with pytest.raises(InputError) as error:
        parse_table("a\tb\n" + "c\n" * 30, "t.tsv")
    lines = str(error.value).splitlines()
    assert len(lines) == 21
    assert lines[0].startswith("t.tsv:2: ") and lines[19].startswith("t.tsv:21: ")
    assert lines[20] == "t.tsv: … and 10 more mistakes"


CELLS = st.text(alphabet="ab王\"',:#[- é", min_size=1, max_size=8).filter(lambda s: s.strip() == s)


@given(st.dictionaries(CELLS, st.lists(CELLS, min_size=1, max_size=4, unique=True), min_size=1, max_size=4))
def test_written_and_read_again(words: dict[str, list[str]]) -> None:
    wanted = tuple(Term(kind, word) for kind, of_kind in words.items() for word in of_kind)
    assert (
        parse_table(yaml.safe_dump({"terms": words}, allow_unicode=True, sort_keys=False), "t.yaml").terms
        == wanted
    )
    file = io.StringIO()
    csv.writer(file).writerows([("word", "type"), *((t.word, t.type) for t in wanted)])
    assert parse_table(file.getvalue(), "t.csv").terms == wanted
    lines = "".join(f"{t.word}\t{t.type}\n" for t in wanted)
    assert parse_table(lines, "t.tsv").terms == wanted
