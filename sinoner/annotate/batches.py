"""Collecting answers in batches: rounds of submitting what is missing and waiting for it.

The questions and the ledger are those of ``by_llm``; only the way to the endpoint differs, so the same answers give the
same annotations. A further round asks again what expired, and asks what the first answers made necessary.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sinoner.annotate.answer_format import with_outputs
from sinoner.annotate.asking import Asking
from sinoner.annotate.by_llm import tasks, too_many_failures
from sinoner.errors import StoppedError
from sinoner.llm.batch_requests import Batching
from sinoner.llm.ledger import Done
from sinoner.llm.service import Service
from sinoner.records import Passage


def collect_in_batches(
    passages: Callable[[], Iterable[Passage]],
    asking: Asking,
    service: Service,
    folder: Path,
    retry: Collection[str] = (),
) -> Asking:
    """Ask whatever the ledger cannot answer yet, in batches.

    Args:
        passages: gives the passages from the beginning; called once a round.
        asking: what they are asked with.
        service: who is asked.
        folder: where input files are written; they are deleted when their batch is over.
        retry: failures of earlier runs that are asked for again.

    Returns:
        The same questions with the answer formats that were found out.

    Raises:
        EndpointError: the endpoint has no batches, or refuses key, model or balance.
        StoppedError: the budget is used up, or rounds bring nothing any more; running again goes on.
        KeyboardInterrupt: it was to stop; submitted batches go on at the endpoint and are found again.
    """
    asking = asyncio.run(with_outputs(asking, service))
    settings = asking.settings
    batching = Batching(
        service, folder,
        most=settings.batch_requests, megabytes=settings.batch_mb, poll=settings.batch_poll,
        attempts=asking.llm.max_attempts,
    )  # fmt: skip
    batching.resume()
    fruitless = 0
    first: _Round | None = None
    while True:
        now = _submit(passages(), asking, service, batching, retry)
        retry = ()
        first = first or now
        ended, failed = now.ended - first.ended, now.failed - first.failed  # in this run
        most = settings.max_failure_rate
        if (trouble := too_many_failures(failed, ended, most, now.kinds - first.kinds)) is not None:
            raise trouble
        if not now.waiting:
            if now.unpaid:
                raise StoppedError(
                    f"the budget does not cover {now.unpaid} more requests; raise it and run the same command to go on,"
                    " or add --reparse to write what is answered so far"
                )
            return asking
        new = batching.wait()
        fruitless = 0 if new or batching.smaller else fruitless + 1
        if fruitless >= asking.llm.max_attempts:
            raise StoppedError(
                f"{fruitless} rounds of batches brought nothing ({batching.trouble or 'no reason given'}); run the same"
                " command again later"
            )


class _Round(NamedTuple):
    """Where a round of batches begins.

    Attributes:
        waiting: requests on their way.
        unpaid: requests that the budget does not cover.
        ended: passages with an outcome.
        failed: those of them that failed.
        kinds: why.
    """

    waiting: int
    unpaid: int
    ended: int
    failed: int
    kinds: Counter[str]


def _submit(
    passages: Iterable[Passage], asking: Asking, service: Service, batching: Batching, retry: Collection[str]
) -> _Round:
    """Submit what is missing."""
    service.meter.done = service.meter.failed = waiting = unpaid = 0
    kinds: Counter[str] = Counter()
    for state, task in tasks(passages, asking, service.ledger, retry):
        if service.stopped():
            raise KeyboardInterrupt
        result: Any = service.ledger.play(task)
        if isinstance(result, Done):
            state.count(result.value.reason, True, service.meter)
            kinds.update([result.value.reason] if result.value.reason is not None else ())
        elif batching.holds(result) or batching.put(result):
            waiting += 1
        else:
            unpaid += 1
    batching.flush()
    return _Round(waiting, unpaid, service.meter.ended, service.meter.failed, kinds)
