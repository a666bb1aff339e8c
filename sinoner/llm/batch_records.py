"""The batches of a ledger: which requests are on their way in which batch, kept so that a restart finds them again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Literal, NamedTuple

from sinoner.llm.attempt import Attempt
from sinoner.llm.failures import RETRY
from sinoner.llm.ledger import Ledger
from sinoner.llm.request import Request

# writing: its file is not complete. ready: complete, perhaps uploaded or even created. sent: created, its id is known.
State = Literal["writing", "ready", "sent", "done"]


class Batch(NamedTuple):
    """One batch.

    Attributes:
        id: number in the ledger.
        endpoint: address without login.
        mark: our own name for it, sent along as metadata.
        file: id of the uploaded input file, once known.
        remote: id at the endpoint, once known.
        state: how far it is.
        requests: how many requests it holds.
    """

    id: int
    endpoint: str
    mark: str
    file: str | None
    remote: str | None
    state: State
    requests: int


class BatchBook:
    """The batch tables of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._db = ledger.connection

    def open_ones(self) -> list[Batch]:
        """The batches that are not done, oldest first."""
        rows = self._db.execute(
            "SELECT id, endpoint, mark, file, remote, state, requests FROM batches WHERE state != 'done' ORDER BY id"
        )
        return [Batch(*row) for row in rows]

    def holds(self, key: str) -> bool:
        """Whether a request is on its way in a batch."""
        row = self._db.execute(
            "SELECT 1 FROM batched b JOIN requests r ON r.id = b.request WHERE r.key = ?", (key,)
        ).fetchone()
        return row is not None

    def begin(self, endpoint: str, mark: str) -> int:
        """A new batch that is being written; returns its number."""
        with self._ledger.transaction():
            cursor = self._db.execute(
                "INSERT INTO batches (at, endpoint, mark, state, requests) VALUES (?,?,?,'writing',0)",
                (time.time(), endpoint, mark),
            )
        return int(cursor.lastrowid or 0)

    def put(self, batch: int, endpoint: str, requests: Iterable[Request]) -> None:
        """Note requests as part of a batch, before it is sent."""
        with self._ledger.transaction():
            for request in requests:
                number = self._ledger.number(request)
                self._db.execute("INSERT OR REPLACE INTO batched VALUES (?,?)", (number, batch))
                self._db.execute(
                    "INSERT OR REPLACE INTO in_flight VALUES (?,?,?,?,?)",
                    (number, time.time(), endpoint, *request.bound),
                )

    def ready(self, batch: int) -> None:
        """The file of a batch is complete: from here on it may be sent."""
        with self._ledger.transaction():
            self._db.execute(
                "UPDATE batches SET state = 'ready',"
                " requests = (SELECT COUNT(*) FROM batched WHERE batch = batches.id) WHERE id = ?",
                (batch,),
            )

    def uploaded(self, batch: int, file: str) -> None:
        """The input file has an id at the endpoint."""
        with self._ledger.transaction():
            self._db.execute("UPDATE batches SET file = ? WHERE id = ?", (file, batch))

    def sent(self, batch: int, remote: str) -> None:
        """The batch has an id at the endpoint."""
        with self._ledger.transaction():
            self._db.execute("UPDATE batches SET remote = ?, state = 'sent' WHERE id = ?", (remote, batch))

    def answer(self, batch: Batch, items: Iterable[tuple[str, Attempt, bool]], most: int = 6) -> int:
        """Commit what a batch brought, by key; what is not of this batch or is answered already is passed over.

        Args:
            batch: it.
            items: key, attempt, and whether a failure is final.
            most: with this many failed attempts in batches a request fails for good.

        Returns:
            How many answers and final failures were new.
        """
        new = 0
        with self._ledger.transaction():
            for key, attempt, final in items:
                row = self._db.execute(
                    "SELECT r.id, COALESCE(f.prompt_tokens, 0), COALESCE(f.completion_tokens, 0) FROM requests r"
                    " JOIN batched b ON b.request = r.id LEFT JOIN in_flight f ON f.request = r.id"
                    " WHERE r.key = ? AND b.batch = ? AND r.answer IS NULL",
                    (key, batch.id),
                ).fetchone()
                if row is None:
                    continue
                tried = self._db.execute(
                    "SELECT COUNT(*) FROM attempts WHERE request = ? AND batch IS NOT NULL", (row[0],)
                ).fetchone()[0]
                final = final or (attempt.error in RETRY and tried + 1 >= most)
                self._ledger.add_to(row[0], attempt.bounded((row[1], row[2])), final)
                new += attempt.error is None or final
        return new

    def abandon(self) -> list[Batch]:
        """Forget the batches that were certainly never created; returns those that may be on their way."""
        left = []
        for batch in self.open_ones():
            if batch.state == "writing" or (batch.state == "ready" and batch.file is None):
                self.close(batch.id, "never sent")
            else:
                left.append(batch)
        return left

    def lost(self, batch: Batch) -> None:
        """The endpoint no longer knows a batch: what it held may have been paid."""
        with self._ledger.transaction():
            self._db.execute(
                "INSERT INTO attempts (request, at, endpoint, batch, seconds, error, prompt_tokens,"
                " completion_tokens, measured) SELECT f.request, f.at, f.endpoint, ?, 0, 'lost', f.prompt_tokens,"
                " f.completion_tokens, 0 FROM in_flight f JOIN batched b ON b.request = f.request WHERE b.batch = ?",
                (batch.remote, batch.id),
            )

    def close(self, batch: int, detail: str = "") -> int:
        """The batch is over; returns how many of its requests have neither answer nor final failure."""
        with self._ledger.transaction():
            missing = self._db.execute(
                "SELECT COUNT(*) FROM batched b JOIN requests r ON r.id = b.request"
                " WHERE b.batch = ? AND r.answer IS NULL AND r.failed IS NULL",
                (batch,),
            ).fetchone()[0]
            self._db.execute(
                "DELETE FROM in_flight WHERE request IN (SELECT request FROM batched WHERE batch = ?)",
                (batch,),
            )
            self._db.execute("DELETE FROM batched WHERE batch = ?", (batch,))
            self._db.execute("UPDATE batches SET state = 'done', detail = ? WHERE id = ?", (detail, batch))
        return int(missing)

    def reserved(self) -> list[tuple[int, str, str, int, int]]:
        """Requests on their way by batch: batch, endpoint, model, and the most prompt and completion tokens."""
        rows = self._db.execute(
            "SELECT b.batch, f.endpoint, r.model, SUM(f.prompt_tokens), SUM(f.completion_tokens) FROM batched b"
            " JOIN in_flight f ON f.request = b.request JOIN requests r ON r.id = b.request GROUP BY 1, 2, 3"
        )
        return [(int(b), str(e), str(m), int(p), int(c)) for b, e, m, p, c in rows]
