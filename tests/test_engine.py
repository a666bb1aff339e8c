"""Shards here or in other processes: the same output, in order."""

import itertools
import os
import signal
import time
from collections.abc import Iterable, Iterator

import pytest

from sinoner.engine import SHARD, engine_of
from sinoner.errors import MissingExtraError, StoppedError


def doubled(records: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Every second record twice; the first shard takes longest."""
    for n in records:
        if n == 0:
            time.sleep(0.3)
        yield n, os.getpid()
        if n % 2:
            yield -n, os.getpid()


def failing(records: Iterable[int]) -> Iterator[int]:
    for n in records:
        if n == SHARD + 3:
            raise ValueError("record 259 is bad")
        yield n


EXPECTED = [x for n in range(5 * SHARD + 7) for x in ((n, -n) if n % 2 else (n,))]


@pytest.mark.parametrize("workers", [1, 2])
def test_same_output_in_order(workers: int) -> None:
    made = list(engine_of(workers).map(doubled, range(5 * SHARD + 7)))
    assert [n for n, _ in made] == EXPECTED
    here = {pid == os.getpid() for _, pid in made}
    assert here == {workers == 1}


@pytest.mark.parametrize("workers", [1, 2])
def test_no_records(workers: int) -> None:
    assert list(engine_of(workers).map(doubled, [])) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_endless_input_is_read_as_needed(workers: int) -> None:
    stream = engine_of(workers).map(doubled, itertools.count())
    first = list(itertools.islice(stream, 2 * SHARD))
    stream.close()
    assert [n for n, _ in first] == EXPECTED[: 2 * SHARD]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_through(workers: int) -> None:
    made = engine_of(workers).map(failing, range(3 * SHARD))
    with pytest.raises(ValueError, match="record 259 is bad"):
        list(made)


def ended(records: Iterable[int]) -> Iterator[int]:
    """As the kernel ends a process when memory runs out."""
    for n in records:
        if n == SHARD + 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield n


def test_a_worker_that_is_killed_is_told_in_one_line() -> None:
    with pytest.raises(StoppedError, match="one of 2 worker processes was ended from outside"):
        list(engine_of(2).map(ended, range(3 * SHARD)))


def test_few_records_are_not_worth_a_process() -> None:
    made = list(engine_of(2).map(doubled, range(SHARD)))
    assert {pid for _, pid in made} == {os.getpid()}


def without_an_extra(records: Iterable[int]) -> Iterator[int]:
    raise MissingExtraError("something", "train")


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_for_people_come_through_whole(workers: int) -> None:
    with pytest.raises(
        MissingExtraError, match=r"^something is not installed: pip install 'sinoner\[train\]'$"
    ):
        list(engine_of(workers).map(without_an_extra, range(2 * SHARD)))
