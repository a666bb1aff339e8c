"""Every answer is kept, and found again by the whole request."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.errors import StoppedError
from sinoner.llm.ledger import Ledger, request_key

URL = "http://127.0.0.1:8000/v1/"
BODY = {"model": "m", "messages": [{"role": "user", "content": "王明在上海"}], "temperature": 0.0}


def add(ledger: Ledger, key: str, raw: str = "{}", usage: tuple[int, int] = (11, 7)) -> None:
    ledger.add(key, "d#0", URL, BODY, raw, "stop", usage)


def test_an_answer_is_found_again_also_after_closing(tmp_path):
    path = tmp_path / "run" / "ledger.sqlite"
    with Ledger(path) as ledger:
        assert ledger.find("a") is None
        add(ledger, "a", '{"答": "案"}')
        assert ledger.find("a") == '{"答": "案"}'
        assert ledger.find("b") is None
    with Ledger(path) as ledger:
        assert ledger.find("a") == '{"答": "案"}'


def test_a_committed_answer_is_seen_by_others_at_once(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger, Ledger(tmp_path / "ledger.sqlite") as other:
        add(ledger, "a")
        assert other.find("a") == "{}"


def test_usage_adds_up(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.usage() == (0, 0, 0)
        add(ledger, "a", usage=(10, 1))
        add(ledger, "b", usage=(5, 2))
        add(ledger, "b", usage=(6, 3))  # the same request again takes the place of the first
        assert ledger.usage() == (2, 16, 4)


def test_what_is_stored_is_readable(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        add(ledger, "a")
    connection = sqlite3.connect(path)
    row = connection.execute("SELECT passage, endpoint, body, finish FROM answers").fetchone()
    connection.close()
    assert row[0] == "d#0"
    assert row[1] == URL
    assert "王明在上海" in row[2]
    assert row[3] == "stop"


def test_the_key_covers_the_whole_request_and_the_endpoint():
    key = request_key(BODY, URL)
    assert key == request_key(dict(reversed(BODY.items())), URL)  # order of the fields is no difference
    others = [
        {**BODY, "model": "n"},
        {**BODY, "temperature": 0.1},
        {**BODY, "max_tokens": 5},
        {**BODY, "messages": [{"role": "user", "content": "王明在上海 "}]},
        {**BODY, "messages": [{"role": "system", "content": "王明在上海"}]},
    ]
    keys = {key, request_key(BODY, URL + "x"), *(request_key(body, URL) for body in others)}
    assert len(keys) == 2 + len(others)


@given(st.text(), st.text())
def test_keys_differ_when_texts_differ(one, other):
    keys = [request_key({"messages": [{"content": text}]}, URL) for text in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_a_full_disk_stops_the_run_and_keeps_what_was_there(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        add(ledger, "a")
        pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
        ledger._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoppedError, match=r"ledger\.sqlite: .*full; free some space"):
            add(ledger, "b", "x" * 100_000)
        assert ledger.find("a") == "{}"
        assert ledger.find("b") is None
