"""Where shards of records run. An engine maps a stage over records, in their order; which one is a matter of settings."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, Protocol, TypeVar

from sinoner.errors import StoppedError

In = TypeVar("In")
Out = TypeVar("Out")
# Records per shard: enough to pay for sending them, few enough to keep memory flat.
SHARD = 256


class Engine(Protocol):
    """Runs a stage that treats each record on its own."""

    workers: int

    def map(self, stage: Callable[[Iterable[In]], Iterable[Out]], records: Iterable[In], /) -> Iterator[Out]:
        """Run a stage over records.

        Args:
            stage: with more than one worker it must be picklable.
            records: its input.

        Returns:
            Its results, in input order.

        Raises:
            StoppedError: a worker was ended from outside.
            Exception: whatever the stage raises.
        """
        ...


class InProcess:
    """The engine of one worker: this process."""

    workers = 1

    def map(self, stage: Callable[[Iterable[In]], Iterable[Out]], records: Iterable[In], /) -> Iterator[Out]:
        """Run a stage over records here, one after the other."""
        yield from stage(records)


class Processes:
    """Several processes of this machine, each of which is sent whole shards."""

    def __init__(self, workers: int) -> None:
        """Set the number of processes; they are started by each ``map``."""
        self.workers = workers

    def map(self, stage: Callable[[Iterable[In]], Iterable[Out]], records: Iterable[In], /) -> Iterator[Out]:
        """Run a stage over records in several processes; results come in input order."""
        try:
            yield from self._map(stage, records)
        except BrokenProcessPool:
            raise StoppedError(
                f"one of {self.workers} worker processes was ended from outside, perhaps for lack of memory; set fewer"
                " workers and run the same command again"
            ) from None

    def _map(self, stage: Callable[[Iterable[In]], Iterable[Out]], records: Iterable[In]) -> Iterator[Out]:
        source = iter(records)
        shards = iter(lambda: list(islice(source, SHARD)), [])
        first = next(shards, None)
        second = next(shards, None)
        if first is None:
            return
        if second is None:  # not worth a process
            yield from stage(first)
            return
        context = multiprocessing.get_context("spawn")  # a fork would copy threads of libraries
        with ProcessPoolExecutor(
            self.workers, mp_context=context, initializer=_begin, initargs=(stage,)
        ) as pool:
            pending: list[Future[list[Out]]] = [pool.submit(_shard, s) for s in (first, second)]
            pending += [pool.submit(_shard, s) for s in islice(shards, 2 * self.workers - 2)]
            while pending:
                done = pending.pop(0).result()
                pending.extend(pool.submit(_shard, s) for s in islice(shards, 1))
                yield from done


def engine_of(workers: int) -> Engine:
    """The engine for a number of workers on this machine."""
    return InProcess() if workers == 1 else Processes(workers)


# The stage of a worker process, sent once and not with every shard.
_stage: Callable[[Iterable[Any]], Iterable[Any]]


def _begin(stage: Callable[[Iterable[In]], Iterable[Out]]) -> None:
    global _stage
    _stage = stage


def _shard(shard: list[Any]) -> list[Any]:
    return list(_stage(shard))
