"""Sending what the ledger cannot answer: to several endpoints at once, within their limits and within the budget.

A task is a generator that yields requests and is sent what the ledger knows about each. Everything a task learns it
learns from the ledger, so that a run, a run after a kill, and reading back give the same result.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sinoner.errors import SinonerError, StoppedError
from sinoner.llm.attempt import Attempt, answered
from sinoner.llm.costs import Account
from sinoner.llm.endpoints import Job, Lane, Sent, Task, Words, back_off, choose, failure_of, unusable
from sinoner.llm.failures import RETRY, STOP, CallError, Kind
from sinoner.llm.ledger import Done, Ledger
from sinoner.llm.meter import Meter
from sinoner.llm.request import Heard, Request
from sinoner.llm.waiting_tasks import Waiting
from sinoner.settings import LlmSettings

# Tasks that the ledger answers to their end are taken this many at a time, so that answers from the network get a turn.
_REPLAYS = 200
_TICK = 0.25
# With so many in flight, what arrives within so many seconds is committed together.
_MANY, _TOGETHER = 32, 0.004


class Hooks(NamedTuple):
    """What the owner of the tasks wants to know.

    Attributes:
        done: a task ended: its owner, its result, and whether anything was asked for it in this run.
        tell: called several times a second.
        words: the settings that messages name.
    """

    done: Callable[[Any, Any, bool], None]
    tell: Callable[[], None]
    words: Words = Words()


class Dispatcher:
    """Drives tasks to their end. One use.

    Raises (from ``run``):
        EndpointError: no endpoint can be used (key, balance, model, address).
        StoppedError: the budget is used up, or nothing succeeded for too long; the ledger has all that was answered.
        KeyboardInterrupt: it was asked to stop; requests in flight were waited for.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        ledger: Ledger,
        llm: LlmSettings,
        hooks: Hooks,
        account: Account,
        meter: Meter,
    ) -> None:
        self._lanes = lanes
        self._ledger = ledger
        self._llm = llm
        self._hooks = hooks
        self._account = account
        self._budget = account.budget
        self._meter = meter
        self._waiting = Waiting()
        self._starting: list[Sent] = []
        self._flying: set[asyncio.Task[None]] = set()
        self._arrived: list[tuple[Sent, Attempt, CallError | None]] = []
        self._exhausted = False
        self._stop: BaseException | None = None
        self._stopped_at = 0.0
        self._trouble_since = 0.0
        self._trouble: tuple[str, CallError] | None = None
        self._ever = False
        self._mean_completion = llm.max_tokens / 4

    async def run(self, tasks: Iterator[tuple[Any, Task]]) -> None:
        """Drive all tasks; each is taken when there is room for it."""
        self._wake = asyncio.Event()
        ticker = asyncio.ensure_future(self._tick())
        try:
            while True:
                self._settle_all()
                self._fill(tasks)
                self._launch()
                over = self._exhausted and self._waiting.empty
                if not self._flying and not self._arrived and (over or self._stop is not None):
                    break
                await self._wake.wait()
                self._wake.clear()
                # A wait for what is set already would give nobody else a turn; many at once share a transaction.
                await asyncio.sleep(_TOGETHER if len(self._flying) >= _MANY else 0)
        finally:
            ticker.cancel()
            for task in self._flying:
                task.cancel()
            await asyncio.gather(ticker, *self._flying, return_exceptions=True)
        if self._stop is not None:
            raise self._stop

    def stop(self, why: BaseException) -> None:
        """Send nothing more; what is in flight may still arrive. A second call waits for nothing."""
        if self._stop is not None:
            self._stopped_at = float("-inf")
        else:
            self._stop = why
            self._stopped_at = time.monotonic()
        self._wake.set()

    def _end(self, why: BaseException) -> None:
        """Stop for a reason of our own; only a person's second wish gives up what is in flight."""
        if self._stop is None:
            self.stop(why)

    async def _tick(self) -> None:
        while True:
            now = time.monotonic()
            self._meter.in_flight = len(self._flying)
            self._meter.limit = sum(int(lane.limiter.limit) for lane in self._lanes)
            self._meter.silent = [lane.client.endpoint for lane in self._lanes if lane.limiter.down]
            try:
                self._hooks.tell()
            except Exception as bug:  # of the screen; retries wait for this clock
                self._end(bug)
            if self._stop is not None and now - self._stopped_at > self._llm.timeout:
                for task in self._flying:
                    task.cancel()
            elif (
                self._stop is None
                and self._trouble is not None
                and now - self._trouble_since > self._llm.give_up
            ):
                self.stop(
                    StoppedError(
                        f"{self._trouble[0]}: no answer for {self._llm.give_up:g} s (last: {self._trouble[1]});"
                        " everything answered is kept, the same command goes on from there"
                    )
                )
            self._wake.set()
            await asyncio.sleep(_TICK)

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
            self._hooks.done(owner, result.value, asked)
            return
        self._waiting.add(Job(owner, task, result), front=asked)

    # sending ---------------------------------------------------------------------------------------------------

    def _send(self, job: Job, lane: Lane, now: float) -> bool:
        """Send a request if the budget has room for it."""
        prompt, completion = job.request.bound
        cost = self._cost(lane, job.request, prompt, completion, 0)
        if not self._budget.reserve(cost, prompt + completion):
            if not self._flying and not self._starting and not self._arrived:
                self.stop(
                    StoppedError(
                        f"the budget is used up ({self._account.told()}); raise it and run the same command to go on"
                        f"{self._hooks.words.partly}"
                    )
                )
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
            self._flying.add(asyncio.ensure_future(self._attempt(sent)))
        self._starting = []

    def _cost(self, lane: Lane, request: Request, prompt: int, completion: int, cached: int) -> Decimal:
        name = lane.client.name_of(request.model)
        return self._account.costs.of(lane.client.endpoint, name, prompt, completion, cached)

    async def _attempt(self, sent: Sent) -> None:
        job, lane, ticket, _ = sent
        raw: str | None = None
        try:
            answer = await lane.client.ask(job.request)
            raw = answer.raw
            lane.rates.learn(answer.headers, time.monotonic())
            reply = job.request.reply(raw)
            seconds = time.monotonic() - ticket.sent
            attempt = answered(reply, lane.client.endpoint, seconds, bound=job.request.bound)
            self._arrived.append((sent, attempt, None))
        except CallError as error:
            self._arrived.append((sent, failure_of(sent, error, raw), error))
        except Exception as bug:  # a task of its own would swallow it
            self.stop(bug)
        finally:
            self._flying.discard(asyncio.current_task())
            self._wake.set()

    def _settle_all(self) -> None:
        """Commit what has arrived, then see what follows from it."""
        if not self._arrived:
            return
        arrived, self._arrived = self._arrived, []
        now = time.monotonic()
        try:
            again = [e is not None and self._after_failure(s, e, now) for s, _, e in arrived]
            self._ledger.add(
                (sent.job.number, attempt, error is not None and not retry)
                for (sent, attempt, error), retry in zip(arrived, again, strict=True)
            )
        except StoppedError as full:
            self.stop(full)
            return
        for (sent, attempt, error), retry in zip(arrived, again, strict=True):
            try:
                self._settle(sent, attempt, error, retry, now)
            except SinonerError as problem:  # too many failures: the run ends with that line
                self._end(problem)

    def _settle(self, sent: Sent, attempt: Attempt, error: CallError | None, retry: bool, now: float) -> None:
        """Book a committed attempt and let its task go on."""
        job, lane, _, reserved = sent
        prompt, completion, cached = attempt.tokens
        used = (self._cost(lane, job.request, prompt, completion, cached), prompt + completion)
        self._budget.settle(reserved, used)
        self._meter.tokens += prompt + completion if attempt.measured else 0
        self._meter.cost += used[0]
        if error is None:
            lane.limiter.succeeded(now)
            lane.misses = 0
            self._ever = True
            self._trouble = None
            self._meter.answers += 1
            self._mean_completion += (completion - self._mean_completion) / 20
        if retry:
            return
        for waiting in (job, *self._waiting.release(job.request.key)):
            self._go_on(waiting.owner, waiting.task, self._ledger.find(job.request.key), asked=True)

    def _after_failure(self, sent: Sent, error: CallError, now: float) -> bool:
        """Tell the limits; returns whether the request will be tried again."""
        job, lane, ticket, _ = sent
        kind: Kind = error.kind
        if kind not in RETRY and kind not in STOP:  # about this passage only
            lane.limiter.succeeded(now)
            self._trouble = None
            return False
        if self._trouble is None:
            self._trouble_since = now
        self._trouble = (lane.client.endpoint, error)
        job.failed_at = lane.client.endpoint
        if kind == "rate_limit":
            lane.limiter.refused_at(ticket, now, error.retry_after)
        elif kind == "unreachable":
            lane.limiter.unreachable(ticket, now)
            lane.misses += 1
            if not self._ever and all(
                x.misses >= self._llm.max_attempts for x in self._lanes if x.serves(job.request)
            ):
                self._end(unusable(lane, error, self._llm.model, self._hooks.words))
        elif kind in STOP:
            lane.limiter.released()
            models: tuple[str, ...] = (job.request.model,)
            if kind != "model_not_found":
                models = (self._llm.model or "", *self._llm.more_models)
            for model in models:
                lane.closed[model] = error
            if not all(any(x.open_for(m) for x in self._lanes) for m in (job.request.model, *models)):
                self._end(unusable(lane, error, self._llm.model, self._hooks.words))
            else:
                self._meter.note = f"{lane.client.endpoint} left out: {kind}"
                if job.request.pin is not None:  # a question to this endpoint only; others will do
                    return False
            self._waiting.ready.appendleft(job)
            return True
        else:
            lane.limiter.failed(ticket, now)
        if kind != "unreachable":
            job.attempts += 1
        elif job.request.pin is not None and len(self._lanes) > 1:
            job.attempts += 3  # others will do; a question to this endpoint only is not worth the wait
        if job.attempts >= self._llm.max_attempts:
            return False
        refused = kind == "rate_limit"
        self._waiting.retry(job, now + back_off(max(job.attempts, 1), error.retry_after, refused=refused))
        return True
