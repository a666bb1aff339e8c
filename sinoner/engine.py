"""Where shards of records run: in this process, or in several processes of this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from sinoner.errors import StoppedError

In = TypeVar("In")
Out = TypeVar("Out")
# Records per shard: enough to pay for sending them, few enough to keep memory flat.
SHARD = 256


def run(stage: Callable[[Iterable[In]], Iterable[Out]], records: Iterable[In], workers: int) -> Iterator[Out]:
    """Run a stage over records, in input order, with ``workers`` processes.

    Args:
        stage: a stage that treats each record on its own; with more than one worker it must be picklable.
        records: its input.
        workers: processes; 1 runs in this one.

    Raises:
        StoppedError: a worker process was ended from outside.
        Exception: whatever the stage raises.
    """
    if workers == 1:
        yield from stage(records)
        return
    try:
        yield from _in_processes(stage, records, workers)
    except BrokenProcessPool:
        raise StoppedError(
            f"one of {workers} worker processes was ended from outside, perhaps for lack of memory; set fewer workers"
            " and run the same command again"
        ) from None


def _in_processes(
    stage: Callable[[Iterable[In]], Iterable[Out]], records: Iterable[In], workers: int
) -> Iterator[Out]:
    context = multiprocessing.get_context("spawn")  # a fork would copy threads of libraries
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(stage,)) as pool:
        source = iter(records)
        shards = iter(lambda: list(islice(source, SHARD)), [])
        pending: list[Future[list[Out]]] = [pool.submit(_shard, s) for s in islice(shards, 2 * workers)]
        while pending:
            done = pending.pop(0).result()
            pending.extend(pool.submit(_shard, s) for s in islice(shards, 1))
            yield from done


# The stage of a worker process, sent once and not with every shard.
_stage: Callable[[Iterable[Any]], Iterable[Any]]


def _begin(stage: Callable[[Iterable[In]], Iterable[Out]]) -> None:
    global _stage
    _stage = stage


def _shard(shard: list[Any]) -> list[Any]:
    return list(_stage(shard))
