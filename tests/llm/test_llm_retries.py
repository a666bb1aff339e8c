"""How long a failed request waits, and that it waits in no place: only the seconds are handed on."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from sinoner.llm.failures import CallError
from sinoner.llm.limiter import LONGEST_WAIT
from sinoner.llm.retries import BackOff, Retries


def parked(*errors: CallError, most: int = 6, seed: int = 0) -> tuple[list[float], list[bool]]:
    """The seconds for which a request is parked after each failure, and whether it has another attempt."""
    seconds: list[float] = []

    async def go() -> list[bool]:
        retries = Retries(most, BackOff(seed), seconds.append)
        return [await retries.after(error) for error in errors]

    return seconds, asyncio.run(go())


def busy(after: float | None = None) -> CallError:
    return CallError("transient", "busy", after, status=503)


def refused(after: float | None = None) -> CallError:
    return CallError("rate_limit", "too many", after, status=429)


@pytest.mark.parametrize("most", [1, 2, 6])
def test_a_request_has_so_many_attempts(most: int) -> None:
    seconds, again = parked(*[busy()] * most, most=most)
    assert again == [True] * (most - 1) + [False]
    assert len(seconds) == most - 1


def test_parking_waits_for_nothing() -> None:
    began = time.monotonic()
    seconds, _ = parked(*[refused(200.0)] * 5)
    assert min(seconds) >= 200
    assert time.monotonic() - began < 5


def test_the_wait_grows_with_the_attempts_up_to_thirty_seconds() -> None:
    waits = [parked(*[busy()] * 9, most=10, seed=seed)[0] for seed in range(200)]
    for n, most in enumerate([0.5, 1, 2, 4, 8, 16, 30, 30, 30]):
        of_attempt = [wait[n] for wait in waits]
        assert 0.9 * most < max(of_attempt) <= most
        assert min(of_attempt) < 0.1 * most


@pytest.mark.parametrize("asked", [0.0, 0.3, 20.0])
def test_it_is_never_before_the_endpoint_said_and_not_long_after(asked: float) -> None:
    for seed in range(50):
        seconds, _ = parked(busy(asked), seed=seed)
        assert asked <= seconds[0] <= max(asked, 0.5) + 0.2 * asked + 0.05


def test_a_pause_of_a_day_is_cut_short() -> None:
    (wait,), _ = parked(refused(86_400.0))
    assert LONGEST_WAIT <= wait <= 1.2 * LONGEST_WAIT + 0.05


def test_six_refusals_without_a_header_outlast_a_minute() -> None:
    seconds, _ = parked(*[refused()] * 6)
    assert [wait >= 2**n for n, wait in enumerate(seconds, 1)] == [True] * 5
    assert sum(seconds) > 60


def test_the_jitter_follows_the_seed_and_no_global_state() -> None:
    state = random.getstate()
    first, again, other = parked(busy(), busy()), parked(busy(), busy()), parked(busy(), busy(), seed=1)
    assert first == again != other
    assert random.getstate() == state
