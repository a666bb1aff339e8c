"""Collecting answers in batches: rounds of submitting what is missing and waiting for it.

The questions and the ledger are those of ``engine``; only the way to the endpoint differs, so the same answers give the
same annotations. A further round asks again what expired, and asks what the first answers made necessary.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from sinoner.annotate.answer_format import with_outputs
from sinoner.annotate.asking import Asking
from sinoner.annotate.by_llm import LAST, tasks
from sinoner.errors import StoppedError
from sinoner.llm.batch_requests import Batching
from sinoner.llm.ledger import Done
from sinoner.llm.meter import Meter
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
    asking = asyncio.run(_formats(asking, service))
    settings = asking.settings
    batching = Batching(
        service.clients, service.ledger, service.account, service.meter, folder,
        most=settings.batch_requests, megabytes=settings.batch_mb, poll=settings.batch_poll,
        attempts=asking.llm.max_attempts,
    )  # fmt: skip
    stop: list[bool] = []
    service.on_start(lambda: stop.append(True))
    batching.resume()
    fruitless = 0
    known: tuple[int, int] | None = None
    while True:
        waiting, unpaid = _submit(passages(), asking, service, batching, retry)
        retry = ()
        known = _watch(service.meter, known, settings.max_failure_rate)
        if not waiting:
            if unpaid:
                raise StoppedError(
                    f"the budget does not cover {unpaid} more requests; raise it and run the same command to go on,"
                    " or add --reparse to write what is answered so far"
                )
            return asking
        new = batching.wait(service.tell, lambda: bool(stop))
        fruitless = 0 if new or batching.smaller else fruitless + 1
        if fruitless >= asking.llm.max_attempts:
            raise StoppedError(
                f"{fruitless} rounds of batches brought nothing ({batching.trouble or 'no reason given'}); run the same"
                " command again later"
            )


def _watch(meter: Meter, known: tuple[int, int] | None, most: float) -> tuple[int, int]:
    """Stop when more than ``most`` of what this run brought to an end failed, and of 200 passages.

    Args:
        meter: where it stands now.
        known: passages ended and failed when the run began; None: it begins now.
        most: the share.

    Returns:
        ``known``, for the next time.

    Raises:
        StoppedError: they did.
    """
    if known is None:
        return meter.ended, meter.failed
    ended, failed = meter.ended - known[0], meter.failed - known[1]
    if failed > most * max(ended, LAST):
        raise StoppedError(
            f"{failed} of {ended} passages failed, more than --max-failure-rate {most:g} allows; everything answered is"
            " kept, the same command goes on, with --retry-failed KIND for the failed"
        )
    return known


async def _formats(asking: Asking, service: Service) -> Asking:
    """Find out the answer formats, with ordinary requests."""
    try:
        return await with_outputs(asking, service)
    finally:
        for client in service.clients:
            await client.close()


def _submit(
    passages: Iterable[Passage], asking: Asking, service: Service, batching: Batching, retry: Collection[str]
) -> tuple[int, int]:
    """Submit what is missing; returns how many requests are on their way, and how many the budget does not cover."""
    meter = service.meter
    meter.done = meter.failed = waiting = unpaid = 0
    for state, task in tasks(passages, asking, service.ledger, retry):
        result = service.ledger.play(task)
        if isinstance(result, Done):
            state.left -= 1
            state.good |= result.value.reason is None
            if not state.left:
                meter.done += state.good
                meter.failed += not state.good
        elif batching.holds(result) or batching.put(result):
            waiting += 1
        else:
            unpaid += 1
    batching.flush()
    return waiting, unpaid
