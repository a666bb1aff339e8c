"""Sentences and clauses rejoin to their text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.text.sentences import clauses, sentences

PUNCTUATED = st.text(alphabet="ab1王明。！？；!?.,，、:：;\n\r\t \u3000”’」』）】》\"')]😀𠮷", max_size=60)


@given(st.one_of(st.text(max_size=80), PUNCTUATED))
def test_sentences_join_back(text):
    pieces = sentences(text)
    assert "".join(pieces) == text
    assert all(pieces)


@given(st.one_of(st.text(max_size=80), PUNCTUATED))
def test_clauses_join_back(text):
    pieces = clauses(text)
    assert "".join(pieces) == text
    assert all(pieces)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("王明来了。李红走了！", ["王明来了。", "李红走了！"]),
        ("他说：“好。”走了。", ["他说：“好。”", "走了。"]),
        ("真的吗？！好；再见", ["真的吗？！", "好；", "再见"]),
        ("第一行\n\n第二行", ["第一行\n\n", "第二行"]),
        ("One. Two? (Three!) Four", ["One. ", "Two? ", "(Three!) ", "Four"]),
        ("It costs 3.14 for U.S.-based firms. Yes.", ["It costs 3.14 for U.S.-based firms. ", "Yes."]),
        ("see example.org", ["see example.org"]),
        ("the (U.S.)-based firm.", ["the (U.S.)-based firm."]),
        ("没有标点", ["没有标点"]),
    ],
)
def test_where_sentences_end(text, pieces):
    assert sentences(text) == pieces


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("王明，李红、张三", ["王明，", "李红、", "张三"]),
        ("a b  c", ["a ", "b  ", "c"]),
        ("没有逗号。", ["没有逗号。"]),
        ("", []),
    ],
)
def test_where_clauses_end(text, pieces):
    assert clauses(text) == pieces
