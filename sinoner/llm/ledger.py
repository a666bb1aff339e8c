"""Every answer ever paid for, in SQLite: a second run asks only for what is missing."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from sinoner.errors import StoppedError

KEY_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    passage TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    body TEXT NOT NULL,
    raw TEXT NOT NULL,
    finish TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    at REAL NOT NULL
) STRICT;
"""


def request_key(body: Mapping[str, Any], endpoint: str) -> str:
    """The identity of a request: the hash of its final body, the endpoint and the key version."""
    canonical = json.dumps(
        [KEY_VERSION, endpoint, body], ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


class Ledger:
    """The answers of a run folder. Use as a context manager; one writer."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def find(self, key: str) -> str | None:
        """The raw answer to a request, if there is one."""
        row = self._db.execute("SELECT raw FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def add(
        self,
        key: str,
        passage: str,
        endpoint: str,
        body: Mapping[str, Any],
        raw: str,
        finish: str,
        usage: tuple[int, int],
    ) -> None:
        """Commit an answer, before anything reads it.

        Args:
            key: of ``request_key``.
            passage: id of the passage.
            endpoint: base URL without credentials.
            body: the request as sent (no key in it).
            raw: the response body.
            finish: finish reason.
            usage: prompt and completion tokens.

        Raises:
            StoppedError: the disk is full.
        """
        row = (key, passage, endpoint, json.dumps(body, ensure_ascii=False), raw, finish, *usage, time.time())
        try:
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?,?,?,?)", row)
        except sqlite3.OperationalError as error:
            raise StoppedError(
                f"ledger.sqlite: {error}; free some space and run the same command again"
            ) from None

    def usage(self) -> tuple[int, int, int]:
        """Answers, prompt tokens and completion tokens paid for so far."""
        row = self._db.execute(
            "SELECT COUNT(*), COALESCE(SUM(prompt_tokens),0), COALESCE(SUM(completion_tokens),0) FROM answers"
        ).fetchone()
        return int(row[0]), int(row[1]), int(row[2])
