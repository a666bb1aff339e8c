"""Everything ever asked and paid for, in SQLite: a second run asks only for what is missing.

Requests have one row each; attempts are only ever added. An answer counts when its request points to it, so there is
at most one accepted answer per key. What is in flight stands in a table of its own until its attempt is written: what a
killed process leaves there may have been paid, and is counted so.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

from sinoner.errors import InputError
from sinoner.llm.attempt import Attempt, Spent
from sinoner.llm.ledger_tables import explained, prepare
from sinoner.llm.request import Heard, Request, RequestKind

T = TypeVar("T")


class Done(NamedTuple, Generic[T]):
    """The result of a task that the ledger could answer to its end."""

    value: T


class Ledger:
    """The ledger of a run folder. Use as a context manager; one writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.connection = sqlite3.connect(path, isolation_level=None)
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=NORMAL")
            if not prepare(self.connection):
                self.connection.close()
                raise InputError(
                    f"{path}: was written by another version of sinoner; move it away, or choose another --out"
                )
        except sqlite3.DatabaseError as error:
            raise explained(path, error) from None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all or nothing.

        Raises:
            StoppedError: the disk is full, or another process writes to the ledger.
            InputError: the ledger is damaged.
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:  # a full disk has ended it already
                    self.connection.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            raise explained(self.path, error) from None

    # reading -------------------------------------------------------------------------------------------------

    def find(self, key: str) -> Heard | None:
        """What is known about a request: its accepted answer or its final failure; None when it is to be asked."""
        row = self.connection.execute(
            "SELECT r.failed, r.detail, a.raw FROM requests r LEFT JOIN attempts a ON a.id = r.answer"
            " WHERE r.key = ? AND (r.answer IS NOT NULL OR r.failed IS NOT NULL)",
            (key,),
        ).fetchone()
        if row is None:
            return None
        failed, detail, raw = row
        return Heard(raw) if raw is not None else Heard("", failed, detail)

    def play(self, task: Generator[Request, Heard, T], heard: Heard | None = None) -> Request | Done[T]:
        """Let a task go on as far as the ledger has answers.

        Args:
            task: yields requests, is sent what is known about each, and returns a result.
            heard: what to send first, when the task already waits for it.

        Returns:
            The first request without an answer, or the task's result.
        """
        try:
            request = next(task) if heard is None else task.send(heard)
            while (known := self.find(request.key)) is not None:
                request = task.send(known)
        except StopIteration as end:
            return Done(end.value)
        return request

    def spent(self, batch: str | None = None) -> list[Spent]:
        """What was used so far, in all or by one batch, by model, endpoint and way."""
        rows = self.connection.execute(
            "SELECT r.model, a.endpoint, a.batch IS NOT NULL, a.measured, COUNT(*), SUM(a.prompt_tokens),"
            " SUM(a.completion_tokens), SUM(a.cached_tokens) FROM attempts a JOIN requests r ON r.id = a.request"
            " WHERE a.prompt_tokens + a.completion_tokens > 0 AND (?1 IS NULL OR a.batch = ?1)"
            " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            (batch,),
        )
        return [Spent(m, e, bool(b), bool(x), n, p, c, d) for m, e, b, x, n, p, c, d in rows]

    def usage(self, kind: RequestKind | None = None) -> tuple[int, int, int]:
        """Accepted answers, and the prompt and completion tokens of all attempts: of one kind of request, or of all."""
        answers = self.connection.execute(
            "SELECT COUNT(*) FROM requests WHERE answer IS NOT NULL AND (?1 IS NULL OR kind = ?1)", (kind,)
        ).fetchone()[0]
        prompt, completion = self.connection.execute(
            "SELECT COALESCE(SUM(a.prompt_tokens), 0), COALESCE(SUM(a.completion_tokens), 0) FROM attempts a"
            " WHERE ?1 IS NULL OR a.request IN (SELECT id FROM requests WHERE kind = ?1)",
            (kind,),
        ).fetchone()
        return int(answers), int(prompt), int(completion)

    def typical(self, kind: RequestKind) -> tuple[float, float] | None:
        """Mean completion tokens and seconds of the accepted online answers of a kind; None without any."""
        row = self.connection.execute(
            "SELECT AVG(a.completion_tokens), AVG(a.seconds) FROM requests r JOIN attempts a ON a.id = r.answer"
            " WHERE r.kind = ? AND a.batch IS NULL",
            (kind,),
        ).fetchone()
        return None if row[0] is None else (float(row[0]), float(row[1]))

    def answered(self, kind: RequestKind, model: str) -> Iterator[tuple[str, str]]:
        """Key and body of the requests of a kind and a model that have an answer."""
        yield from self.connection.execute(
            "SELECT key, body FROM requests WHERE kind = ? AND model = ? AND answer IS NOT NULL ORDER BY id",
            (kind, model),
        )

    def has_answer_of(self, endpoint: str) -> bool:
        """Whether an endpoint has ever given a usable answer."""
        query = "SELECT 1 FROM attempts WHERE endpoint = ? AND error IS NULL LIMIT 1"
        return self.connection.execute(query, (endpoint,)).fetchone() is not None

    # writing -------------------------------------------------------------------------------------------------

    def number(self, request: Request) -> int:
        """The row of a request, made if there is none. Inside a transaction."""
        row = self.connection.execute("SELECT id FROM requests WHERE key = ?", (request.key,)).fetchone()
        if row is not None:
            return int(row[0])
        made = self.connection.execute(
            "INSERT INTO requests (key, passage, model, body, kind) VALUES (?,?,?,?,?)",
            (request.key, request.passage, request.model, request.payload, request.kind),
        )
        return int(made.lastrowid or 0)

    def start(self, requests: Iterable[tuple[Request, str]]) -> list[int]:
        """Note that requests are about to be sent to endpoints, and what each can cost at most; returns their rows.

        Raises:
            StoppedError: the disk is full; nothing was sent.
        """
        numbers = []
        with self.transaction():
            for request, endpoint in requests:
                number = self.number(request)
                self.connection.execute(
                    "INSERT OR REPLACE INTO in_flight VALUES (?,?,?,?,?)",
                    (number, time.time(), endpoint, *request.bound),
                )
                numbers.append(number)
        return numbers

    def add(self, items: Iterable[tuple[int, Attempt, bool]]) -> None:
        """Commit attempts, before anything reads them. A usable answer is accepted unless there is one already.

        Args:
            items: the request's row (of ``start``), what came of it, and whether a failure ends the request.

        Raises:
            StoppedError: the disk is full.
        """
        with self.transaction():
            for number, attempt, final in items:
                self.add_to(number, attempt, final)

    def add_to(self, number: int, attempt: Attempt, final: bool) -> None:
        """Add an attempt to the row of a request. Inside a transaction."""
        cursor = self.connection.execute(
            "INSERT INTO attempts (request, at, endpoint, batch, seconds, status, error, finish, prompt_tokens,"
            " completion_tokens, cached_tokens, measured, raw) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                number, time.time(), attempt.endpoint, attempt.batch, attempt.seconds, attempt.status, attempt.error,
                attempt.finish, *attempt.tokens, attempt.measured, attempt.raw,
            ),
        )  # fmt: skip
        if attempt.error is None:
            self.connection.execute(
                "UPDATE requests SET answer = ?, failed = NULL, detail = '' WHERE id = ? AND answer IS NULL",
                (cursor.lastrowid, number),
            )
        elif final:
            self.connection.execute(
                "UPDATE requests SET failed = ?, detail = ? WHERE id = ? AND answer IS NULL",
                (attempt.error, attempt.detail, number),
            )
        self.connection.execute("DELETE FROM in_flight WHERE request = ?", (number,))

    def recover(self) -> int:
        """Turn what a killed process left in flight into attempts that may have been paid; returns how many.

        What is on its way in a batch is not lost and stays.
        """
        of_no_batch = "request NOT IN (SELECT request FROM batched)"
        with self.transaction():
            left = self.connection.execute(f"SELECT * FROM in_flight WHERE {of_no_batch}").fetchall()  # noqa: S608
            for request, at, endpoint, prompt, completion in left:
                self.connection.execute(
                    "INSERT INTO attempts (request, at, endpoint, seconds, error, prompt_tokens, completion_tokens,"
                    " measured) VALUES (?,?,?,0,'lost',?,?,0)",
                    (request, at, endpoint, prompt, completion),
                )
            self.connection.execute(f"DELETE FROM in_flight WHERE {of_no_batch}")  # noqa: S608
        return len(left)

    def reopen(self, keys: Iterable[str]) -> None:
        """Ask these requests again: their answers stay as attempts but no longer count."""
        with self.transaction():
            self.connection.executemany(
                "UPDATE requests SET answer = NULL, failed = NULL, detail = '' WHERE key = ?",
                [(k,) for k in keys],
            )

    # what was asked ------------------------------------------------------------------------------------------

    def runs(self, kind: RequestKind) -> list[dict[str, Any]]:
        """The settings under which requests of a kind were made, oldest first."""
        query = "SELECT fields FROM runs WHERE kind = ? ORDER BY id"
        return [json.loads(row[0]) for row in self.connection.execute(query, (kind,))]

    def add_run(self, kind: RequestKind, fields: Mapping[str, Any]) -> None:
        """Note the settings under which requests of a kind are made."""
        with self.transaction():
            self.connection.execute(
                "INSERT INTO runs (at, fields, kind) VALUES (?,?,?)",
                (time.time(), json.dumps(fields, ensure_ascii=False), kind),
            )

    def format(self, endpoint: str, model: str) -> str | None:
        """The answer format that was found out for a model at an endpoint (as requests name it)."""
        row = self.connection.execute(
            "SELECT format FROM formats WHERE endpoint = ? AND model = ?", (endpoint, model)
        ).fetchone()
        return None if row is None else str(row[0])

    def keep_format(self, endpoint: str, model: str, format: str) -> None:
        """Keep an answer format."""
        with self.transaction():
            self.connection.execute(
                "INSERT OR REPLACE INTO formats VALUES (?,?,?)", (endpoint, model, format)
            )
