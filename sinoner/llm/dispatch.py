"""Sending what the ledger cannot answer: to several endpoints at once, within their limits and within the budget.

A task is a generator that yields requests and is sent what the ledger knows about each. Everything a task learns it
learns from the ledger, so that a run, a run after a kill, and reading back give the same result.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from sinoner.errors import StoppedError
from sinoner.llm.attempt import Attempt, answered, failed
from sinoner.llm.endpoints import Job, Lane, Sent, Task, Words, choose, given_up, unusable
from sinoner.llm.failures import RETRY, STOP, CallError, Kind
from sinoner.llm.ledger import Done
from sinoner.llm.request import Heard, Request
from sinoner.llm.retries import BackOff, Retries
from sinoner.llm.service import Service
from sinoner.llm.waiting_tasks import Waiting
from sinoner.settings import LlmSettings

# Tasks that the ledger answers to their end are taken this many at a time, so that answers from the network get a turn.
_REPLAYS = 200
_TICK = 0.25
# With so many in flight, what arrives within so many seconds is committed together.
_MANY, _TOGETHER = 32, 0.004


class Ended(NamedTuple):
    """A task that came to its end: its owner, its result, and whether anything was asked for it in this run."""

    owner: Any
    result: Any
    asked: bool


class Dispatcher:
    """Drives tasks to their end. One use; close it when done.

    Args:
        lanes: the endpoints with their limits.
        service: ledger, budget, meter, and whom to tell.
        llm: attempts and time-outs.
        words: the settings that messages name.
    """

    def __init__(self, lanes: Sequence[Lane], service: Service, llm: LlmSettings, words: Words) -> None:
        self._lanes = lanes
        self._service = service
        self._ledger = service.ledger
        self._account = service.account
        self._budget = service.account.budget
        self._meter = service.meter
        self._llm = llm
        self._words = words
        self._wake = asyncio.Event()
        self._waiting = Waiting()
        self._back_off = BackOff(service.seed)
        self._starting: list[Sent] = []
        self._flying: dict[asyncio.Task[None], Sent] = {}
        self._arrived: list[tuple[Sent, Attempt, CallError | None]] = []
        self._ended: deque[Ended] = deque()
        self._exhausted = False
        self._stop: BaseException | None = None
        self._stopped_at = 0.0
        self._trouble_since = 0.0
        self._trouble: tuple[str, CallError] | None = None
        # Whether an endpoint is known to be one: then it is waited for when nobody answers.
        self._ever = any(service.ledger.has_answer_of(lane.client.endpoint) for lane in lanes)
        self._mean_completion = llm.max_tokens / 4

    async def results(self, tasks: Iterator[tuple[Any, Task]]) -> AsyncIterator[Ended]:
        """Drive all tasks, each taken when there is room for it; what ends comes in the order in which it ends.

        Raises:
            EndpointError: no endpoint can be used (key, balance, model, address).
            StoppedError: the budget is used up, or nothing succeeded for too long; the ledger has all that was answered.
            KeyboardInterrupt: it was asked to stop; requests in flight were waited for.
        """
        ticker = asyncio.ensure_future(self._tick())
        try:
            while True:
                await self._settle_all()
                while self._ended:
                    yield self._ended.popleft()
                self._fill(tasks)
                self._launch()
                over = self._stop is not None or (self._exhausted and self._waiting.empty)
                if over and not (self._flying or self._arrived or self._ended):
                    break
                if self._ended:
                    self._wake.set()
                await self._wake.wait()
                self._wake.clear()
                # A wait for what is set already would give nobody else a turn; many at once share a transaction.
                await asyncio.sleep(_TOGETHER if len(self._flying) >= _MANY else 0)
        finally:
            ticker.cancel()
            self._show()
        if self._stop is not None:
            raise self._stop

    async def close(self) -> None:
        """Give up what is still in flight; its endpoints can be used again."""
        for task in self._flying:
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)
        for sent, *_ in self._arrived:
            sent.lane.limiter.released()
        self._arrived = []

    def stop(self, why: BaseException) -> None:
        """Send nothing more; what is in flight may still arrive. The first reason is raised in the end."""
        if self._stop is None:
            self._stop = why
            self._stopped_at = time.monotonic()
        self._wake.set()

    async def _tick(self) -> None:
        while True:
            now = time.monotonic()
            try:
                self._show()
                self._service.tell()
            except Exception as bug:  # of the screen; retries wait for this clock
                self.stop(bug)
            if self._service.stopped():
                self.stop(KeyboardInterrupt())
            if self._stop is not None:
                if now - self._stopped_at > self._llm.timeout:
                    for task in self._flying:
                        task.cancel()
            elif self._trouble is not None and now - self._trouble_since > self._llm.give_up:
                self.stop(given_up(*self._trouble, self._llm.give_up))
            self._wake.set()
            await asyncio.sleep(_TICK)

    def _show(self) -> None:
        self._meter.in_flight = len(self._flying)
        self._meter.limit = sum(int(lane.limiter.limit) for lane in self._lanes)
        self._meter.silent = [lane.client.endpoint for lane in self._lanes if lane.limiter.down]
        self._meter.sample()

    # choosing what to send ------------------------------------------------------------------------------------

    def _fill(self, tasks: Iterator[tuple[Any, Task]]) -> None:
        """Send as much as the endpoints take."""
        replays = _REPLAYS
        while self._stop is None and replays > 0:
            now = time.monotonic()
            self._waiting.wake(now)
            if not self._send_ready(now):
                return
            if self._exhausted or self._waiting.full:
                return
            try:
                item = next(tasks, None)
            except BaseException as problem:  # of the source; what is in flight is still waited for
                self.stop(problem)
                return
            if item is None:
                self._exhausted = True
                self._wake.set()
                return
            replays -= 1
            self._go_on(item[0], item[1], None)
        if self._stop is None:
            self._wake.set()

    def _send_ready(self, now: float) -> bool:
        """Send waiting tasks whose endpoint has room; returns whether there may be room for more."""
        ready = self._waiting.ready
        for _ in range(len(ready)):
            job = ready.popleft()
            lane = choose(self._lanes, job, self._tokens(job.request), now)
            if lane is not None and not self._send(job, lane, now):
                ready.appendleft(job)
                return False
            if lane is None:
                ready.append(job)
                if len(self._lanes) == 1:
                    ready.rotate(1)  # it keeps its turn
                    return False
        return any(lane.limiter.free(now) for lane in self._lanes) or len(self._lanes) > 1

    def _tokens(self, request: Request) -> float:
        """About how many tokens a request will use, for the pace per minute."""
        return len(request.payload) * 0.7 + self._mean_completion

    def _go_on(self, owner: Any, task: Task, heard: Heard | None, asked: bool = False) -> None:
        """Let a task go on as far as the ledger knows; queue its next request."""
        result = self._ledger.play(task, heard)
        if isinstance(result, Done):
            self._ended.append(Ended(owner, result.value, asked))
            return
        self._waiting.add(Job(owner, task, result), front=asked)

    # sending ---------------------------------------------------------------------------------------------------

    def _send(self, job: Job, lane: Lane, now: float) -> bool:
        """Send a request if the budget has room for it."""
        prompt, completion = job.request.bound
        cost = self._account.cost(lane.client, job.request.model, prompt, completion)
        if not self._budget.reserve(cost, prompt + completion):
            if not self._flying and not self._starting and not self._arrived:
                self.stop(self._account.used_up(self._words.partly))
            return False
        ticket = lane.limiter.take(now)
        lane.rates.use(self._tokens(job.request), now)
        self._starting.append(Sent(job, lane, ticket, (cost, prompt + completion)))
        return True

    def _launch(self) -> None:
        """Note what is about to be sent, then send it."""
        if not self._starting:
            return
        try:
            numbers = self._ledger.start((s.job.request, s.lane.client.endpoint) for s in self._starting)
        except StoppedError as full:
            self.stop(full)
            self._starting = []
            return
        for sent, number in zip(self._starting, numbers, strict=True):
            sent.job.number = number
            task = asyncio.ensure_future(self._attempt(sent))
            self._flying[task] = sent
            task.add_done_callback(self._landed)
        self._starting = []

    async def _attempt(self, sent: Sent) -> None:
        job, lane, ticket, _ = sent
        raw: str | None = None
        try:
            answer = await lane.client.ask(job.request)
            raw = answer.raw
            lane.rates.learn(answer.headers, time.monotonic())
            reply = job.request.reply(raw)
            attempt = answered(reply, lane.client.endpoint, time.monotonic() - ticket.sent)
            self._arrived.append((sent, attempt.bounded(job.request.bound), None))
        except CallError as error:
            attempt = failed(error, lane.client.endpoint, time.monotonic() - ticket.sent, raw)
            self._arrived.append((sent, attempt.bounded(job.request.bound), error))
        except Exception as bug:  # a task of its own would swallow it
            self.stop(bug)

    def _landed(self, task: asyncio.Task[None]) -> None:
        """A request is no longer in flight: it was answered, it failed, or it was given up."""
        sent = self._flying.pop(task)
        if task.cancelled():
            sent.lane.limiter.released()
        self._wake.set()

    async def _settle_all(self) -> None:
        """Commit what has arrived, then see what follows from it."""
        if not self._arrived:
            return
        arrived, self._arrived = self._arrived, []
        now = time.monotonic()
        try:
            again = [e is not None and await self._after_failure(s, e, now) for s, _, e in arrived]
            self._ledger.add(
                (sent.job.number, attempt, error is not None and not retry)
                for (sent, attempt, error), retry in zip(arrived, again, strict=True)
            )
        except StoppedError as full:
            self.stop(full)
            return
        for (sent, attempt, error), retry in zip(arrived, again, strict=True):
            self._settle(sent, attempt, error, retry, now)

    def _settle(self, sent: Sent, attempt: Attempt, error: CallError | None, retry: bool, now: float) -> None:
        """Book a committed attempt and let its task go on."""
        job, lane, ticket, reserved = sent
        prompt, completion, cached = attempt.tokens
        cost = self._account.cost(lane.client, job.request.model, prompt, completion, cached)
        used = (cost, prompt + completion)
        self._budget.settle(reserved, used)
        self._meter.tokens += prompt + completion if attempt.measured else 0
        self._meter.cost += used[0]
        if error is None:
            lane.limiter.succeeded(ticket, now)
            lane.misses = 0
            self._ever = True
            self._trouble = None
            self._meter.answers += 1
            self._mean_completion += (completion - self._mean_completion) / 20
        if retry:
            return
        for waiting in (job, *self._waiting.release(job.request.key)):
            self._go_on(waiting.owner, waiting.task, self._ledger.find(job.request.key), asked=True)

    async def _after_failure(self, sent: Sent, error: CallError, now: float) -> bool:
        """Tell the limits; returns whether the request will be tried again."""
        job, lane, ticket, _ = sent
        kind: Kind = error.kind
        if kind not in RETRY and kind not in STOP:  # about this passage only
            lane.limiter.succeeded(ticket, now)
            self._trouble = None
            return False
        if self._trouble is None:
            self._trouble_since = now
        self._trouble = (lane.client.endpoint, error)
        job.failed_at = lane.client.endpoint
        if kind in STOP:
            return self._after_refusal(job, lane, error)
        if kind == "unreachable":
            lane.limiter.unreachable(ticket, now)
            return self._after_miss(job, lane, error)
        if kind == "rate_limit":
            lane.limiter.refused_at(ticket, now, error.retry_after)
        else:
            lane.limiter.failed(ticket, now)
        if job.retries is None:
            park = partial(self._waiting.park, job)
            job.retries = Retries(self._llm.max_attempts, self._back_off, park)
        return await job.retries.after(error)

    def _after_refusal(self, job: Job, lane: Lane, error: CallError) -> bool:
        """An endpoint refuses us or a model: leave it out, and end the run when nobody is left."""
        lane.limiter.released()
        models: tuple[str, ...] = (job.request.model,)
        if error.kind != "model_not_found":
            models = (self._llm.model or "", *self._llm.more_models)
        for model in models:
            lane.closed[model] = error
        if not all(any(x.open_for(m) for x in self._lanes) for m in (job.request.model, *models)):
            self.stop(unusable(lane, error, self._llm.model, self._words))
        else:
            self._meter.note = f"{lane.client.endpoint} left out: {error.kind}"
            if job.request.pin is not None:  # a question to this endpoint only; others will do
                return False
        self._waiting.ready.appendleft(job)
        return True

    def _after_miss(self, job: Job, lane: Lane, error: CallError) -> bool:
        """Nobody answered at the address. That is no attempt; the endpoint's limiter says when it is tried again."""
        lane.misses += 1
        most = self._llm.max_attempts
        if not self._ever and all(x.misses >= most for x in self._lanes if x.serves(job.request)):
            self.stop(unusable(lane, error, self._llm.model, self._words))
        job.misses += 1
        if job.request.pin is not None and len(self._lanes) > 1 and 3 * job.misses >= most:
            return False  # others will do; a question to this endpoint only is not worth the wait
        self._waiting.ready.append(job)
        return True
