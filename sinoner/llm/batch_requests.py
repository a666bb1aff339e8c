"""Requests on their way in batches: written to files, submitted when a file is full, waited for, and settled."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from sinoner.errors import EndpointError
from sinoner.llm.batch_api import OVER, BatchApi, in_chunks, line
from sinoner.llm.batch_records import Batch, BatchBook
from sinoner.llm.client import Client
from sinoner.llm.failures import STOP, CallError
from sinoner.llm.request import Request
from sinoner.llm.service import Service

# Requests noted in the ledger together while a file is written.
_TOGETHER = 500


@dataclass
class _Part:
    """An input file that is being written."""

    batch: int
    mark: str
    client: Client
    file: IO[bytes]
    size: int = 0
    count: int = 0
    pending: dict[str, Request] = field(default_factory=dict)


class Batching:
    """The batches of a run.

    Args:
        service: endpoints, ledger, budget, and whom to tell.
        folder: of the input files.
        most: requests per batch.
        megabytes: size of a batch's file.
        poll: seconds between two looks.
        attempts: failed attempts with which a request fails for good.
    """

    def __init__(
        self,
        service: Service,
        folder: Path,
        *,
        most: int,
        megabytes: int,
        poll: float,
        attempts: int,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._clients = {c.endpoint: c for c in service.clients}
        self._apis = {c.endpoint: BatchApi(c) for c in service.clients}
        self._service = service
        self._ledger = service.ledger
        self._book = BatchBook(service.ledger)
        self._account = service.account
        self._meter = service.meter
        self._folder = folder
        self._most = most
        self._bytes = megabytes * 1_000_000
        self._poll = poll
        self._attempts = attempts
        self._parts: dict[tuple[str, str], _Part] = {}
        self._reserved: dict[int, tuple[Decimal, int]] = {}
        self.trouble = ""
        self.smaller = False  # whether a batch failed that was halved since: the next round is another try

    # submitting ------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Take up the batches of an earlier process: forget half-written ones, submit complete ones, reserve for all.

        Raises:
            EndpointError: one is on its way at an endpoint that is not among these.
            StoppedError: an endpoint cannot be reached.
        """
        for number, endpoint, model, prompt, completion in self._book.reserved():
            if endpoint in self._clients:
                self._count(
                    number,
                    self._account.cost(self._clients[endpoint], model, prompt, completion, batch=True),
                    prompt + completion,
                )
        for batch in self._book.open_ones():
            path = self._path(batch.mark)
            if batch.endpoint not in self._apis:
                raise EndpointError(
                    f"batch {batch.remote or batch.mark} is on its way at {batch.endpoint}, which is not among the"
                    " endpoints now; run it with that endpoint first"
                )
            if batch.state == "writing" or (
                batch.state == "ready" and batch.file is None and not path.exists()
            ):
                self._book.close(batch.id, "never sent")
                self._reserved.pop(batch.id, None)
                path.unlink(missing_ok=True)
                continue
            self._account.budget.force(*self._reserved.setdefault(batch.id, (Decimal(0), 0)))
            if batch.state == "ready":
                self._apis[batch.endpoint].submit(batch, path, self._book)

    def holds(self, request: Request) -> bool:
        """Whether a request is on its way."""
        return any(request.key in p.pending for p in self._parts.values()) or self._book.holds(request.key)

    def put(self, request: Request) -> bool:
        """Add a request to a batch if the budget has room for it; returns whether it had."""
        client = next(c for c in self._clients.values() if c.serves(request.model))
        prompt, completion = request.bound
        cost = self._account.cost(client, request.model, prompt, completion, batch=True)
        if not self._account.budget.reserve(cost, prompt + completion):
            return False
        data = line(request, client).encode("utf-8", "replace")
        where = (client.endpoint, request.model)
        if where in self._parts and self._parts[where].size + len(data) > self._bytes:
            self._submit(self._parts.pop(where))
        if where not in self._parts:
            mark = uuid.uuid4().hex
            self._parts[where] = _Part(
                self._book.begin(client.endpoint, mark), mark, client, self._path(mark).open("wb")
            )
        part = self._parts[where]
        self._count(part.batch, cost, prompt + completion)
        part.file.write(data)
        part.size += len(data)
        part.count += 1
        part.pending[request.key] = request
        if len(part.pending) >= _TOGETHER:
            self._note(part)
        if part.count >= self._most:
            self._submit(self._parts.pop(where))
        return True

    def flush(self) -> None:
        """Submit what is not full yet."""
        while self._parts:
            self._submit(self._parts.pop(next(iter(self._parts))))

    def _note(self, part: _Part) -> None:
        self._book.put(part.batch, part.client.endpoint, part.pending.values())
        part.pending.clear()

    def _submit(self, part: _Part) -> None:
        if self._service.stopped():  # a file that is not sent is forgotten by the next process
            raise KeyboardInterrupt
        self._note(part)
        part.file.close()
        self._book.ready(part.batch)
        batch = next(b for b in self._book.open_ones() if b.id == part.batch)
        try:
            self._apis[batch.endpoint].submit(batch, self._path(batch.mark), self._book)
        except EndpointError:  # it said no: nothing was created
            self._book.close(batch.id, "refused")
            self._path(batch.mark).unlink(missing_ok=True)
            raise

    # waiting ---------------------------------------------------------------------------------------------------

    def wait(self) -> int:
        """Wait until every batch is over and commit what it brought.

        Returns:
            How many answers and final failures were new.

        Raises:
            KeyboardInterrupt: it was to stop; the batches go on at the endpoint.
            EndpointError: the endpoint refuses key, balance or model.
        """
        new = 0
        self.smaller = False
        while left := self._book.open_ones():
            for batch in left:
                status = self._apis[batch.endpoint].status(batch.remote or "")
                if status is None:
                    self.trouble = f"batch {batch.remote} is not known at {batch.endpoint} any more"
                    self._book.lost(batch)
                    self._finish(batch, (Decimal(0), 0))
                    continue
                counts = getattr(status, "request_counts", None)
                done = f" {counts.completed}/{counts.total}" if counts is not None else ""
                self._meter.note = f"batch {batch.remote} {status.status}{done}, {len(left)} open"
                self._service.tell()
                if status.status in OVER:
                    new += self._take(batch, status)
                if self._service.stopped():
                    raise KeyboardInterrupt
            until = time.monotonic() + self._poll
            while self._book.open_ones() and time.monotonic() < until:
                if self._service.stopped():
                    raise KeyboardInterrupt
                time.sleep(min(0.2, self._poll))
        self._meter.note = ""
        return new

    def _take(self, batch: Batch, status: Any) -> int:
        """Commit what a finished batch brought, and settle what was reserved for it."""
        new, before = 0, self._used(batch)  # a process that was killed may have committed a part
        troubles: Counter[str] = Counter()
        refused: CallError | None = None
        for chunk in in_chunks(self._apis[batch.endpoint].results(status, self._folder)):
            new += self._book.answer(batch, chunk, self._attempts)
            for _, attempt, _ in chunk:
                if attempt.error is not None:
                    troubles[f"{attempt.error}: {attempt.detail}"] += 1
                    if attempt.error in STOP:
                        refused = CallError(attempt.error, attempt.detail)
        errors = getattr(getattr(status, "errors", None), "data", None) or []
        words = [f"{e.code}: {e.message}" for e in errors] or [t for t, _ in troubles.most_common(2)]
        self.trouble = "; ".join(words)[:200] or self.trouble
        if status.status == "failed" and batch.requests > 1:
            self._most = max(1, min(self._most, batch.requests // 2))  # it may have been too large
            self.smaller = True
        self._meter.answers += new
        self._finish(batch, before)
        if refused is not None and not new:
            raise EndpointError(f"{batch.endpoint}: {refused}; mend that, then run the same command again")
        return new

    def _finish(self, batch: Batch, before: tuple[Decimal, int]) -> None:
        """Close a batch and settle what was reserved for it; ``before`` is what the ledger had for it already."""
        self._book.close(batch.id, self.trouble)
        after = self._used(batch)
        used, tokens = after[0] - before[0], after[1] - before[1]
        self._account.budget.settle(self._reserved.pop(batch.id, (Decimal(0), 0)), (used, tokens))
        self._meter.cost += used
        self._meter.tokens += tokens
        self._path(batch.mark).unlink(missing_ok=True)

    def _used(self, batch: Batch) -> tuple[Decimal, int]:
        """Money and tokens that the ledger has for a batch."""
        spent = self._ledger.spent(batch.remote)
        cost = self._account.costs.total(spent, list(self._clients.values()))
        return cost, sum(s.prompt_tokens + s.completion_tokens for s in spent)

    def _count(self, batch: int, cost: Decimal, tokens: int) -> None:
        before = self._reserved.get(batch, (Decimal(0), 0))
        self._reserved[batch] = (before[0] + cost, before[1] + tokens)

    def _path(self, mark: str) -> Path:
        return self._folder / f"{mark}.jsonl"
