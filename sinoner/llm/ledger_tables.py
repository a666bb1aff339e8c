"""The tables of the ledger, and what a failure of the database means."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sinoner import disk
from sinoner.errors import InputError, SinonerError, StoppedError

SCHEMA_VERSION = 2
SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, at REAL NOT NULL, fields TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    passage TEXT NOT NULL,
    model TEXT NOT NULL,
    body TEXT NOT NULL,
    answer INTEGER REFERENCES attempts(id),
    failed TEXT,
    detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY,
    request INTEGER NOT NULL REFERENCES requests(id),
    at REAL NOT NULL,
    endpoint TEXT NOT NULL,
    batch TEXT,
    seconds REAL NOT NULL,
    status INTEGER,
    error TEXT,
    finish TEXT,
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    measured INTEGER NOT NULL DEFAULT 1,
    raw TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS in_flight (
    request INTEGER PRIMARY KEY REFERENCES requests(id),
    at REAL NOT NULL,
    endpoint TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS formats (
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    format TEXT NOT NULL,
    PRIMARY KEY (endpoint, model)
) STRICT;
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    endpoint TEXT NOT NULL,
    mark TEXT NOT NULL UNIQUE,
    file TEXT,
    remote TEXT,
    state TEXT NOT NULL,
    requests INTEGER NOT NULL,
    detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS batched (
    request INTEGER PRIMARY KEY REFERENCES requests(id),
    batch INTEGER NOT NULL REFERENCES batches(id)
) STRICT;
CREATE INDEX IF NOT EXISTS batched_by_batch ON batched(batch);
CREATE INDEX IF NOT EXISTS attempts_of_batches ON attempts(request) WHERE batch IS NOT NULL;
"""


def explained(path: Path, error: sqlite3.DatabaseError) -> SinonerError:
    """What a failure of the database means for a person.

    Raises:
        sqlite3.DatabaseError: the error itself, when it is a bug of ours.
    """
    code = getattr(error, "sqlite_errorcode", -1) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StoppedError(f"{path}: {error}; {disk.FREE_SPACE}")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return disk.not_writable(path.parent)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoppedError(
            f"{path}: another process is writing to it; run the same command again when it is done"
        )
    if code not in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CANTOPEN,
    ):
        raise error
    return InputError(f"{path}: {error}; it seems damaged: move it away, or choose another --out")
