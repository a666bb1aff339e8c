"""The tables of the ledger, how those of an earlier version become them, and what a failure of the database means."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sinoner import disk
from sinoner.errors import InputError, SinonerError, StoppedError

SCHEMA_VERSION = 3
SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    fields TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT 'annotate'
) STRICT;
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    passage TEXT NOT NULL,
    model TEXT NOT NULL,
    body TEXT NOT NULL,
    answer INTEGER REFERENCES attempts(id),
    failed TEXT,
    detail TEXT NOT NULL DEFAULT '',
    kind TEXT NOT NULL DEFAULT 'annotate'
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
# Version 2 had no kinds. Its requests without a passage are told apart by their bodies, once: vectors have an input,
# the judge's prompts name its verdicts, and what is left found out an answer format.
_FROM_2 = (
    "ALTER TABLE runs ADD COLUMN kind TEXT NOT NULL DEFAULT 'annotate'",
    "ALTER TABLE requests ADD COLUMN kind TEXT NOT NULL DEFAULT 'annotate'",
    "UPDATE requests SET kind = CASE WHEN json_type(body, '$.input') IS NOT NULL THEN 'embed'"
    " WHEN instr(body, 'verdict') THEN 'verify' ELSE 'probe' END WHERE passage = ''",
)


def prepare(connection: sqlite3.Connection) -> bool:
    """Make the tables, or bring those of an earlier version up to date, in one transaction.

    Returns:
        False when the file is of a version that cannot be read; nothing is changed then.
    """
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found == SCHEMA_VERSION:
        return True
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = int(
            connection.execute("PRAGMA user_version").fetchone()[0]
        )  # another process may have been first
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'answers'").fetchone() is None
        if known and found in (0, 2):
            for statement in _FROM_2 if found == 2 else SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            found = SCHEMA_VERSION
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return known and found == SCHEMA_VERSION


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
