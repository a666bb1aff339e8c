"""When a failed request is tried again. A request that waits for its next attempt takes no place at its endpoint."""

from __future__ import annotations

import random
from collections.abc import Callable

from tenacity import (
    AsyncRetrying,
    AttemptManager,
    RetryCallState,
    RetryError,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)
from tenacity.wait import wait_base

from sinoner.llm.failures import CallError
from sinoner.llm.limiter import LONGEST_WAIT


class BackOff(wait_base):
    """Seconds before the next attempt: exponential with jitter, and not before the endpoint said.

    Args:
        seed: of the jitter.
    """

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._ceiling = wait_exponential(multiplier=0.5, max=30)

    def __call__(self, retry_state: RetryCallState) -> float:
        """The seconds, from the number of attempts and the error of the last."""
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        assert isinstance(error, CallError)
        wait = self._draw.uniform(0, self._ceiling(retry_state))
        asked = error.retry_after
        if asked is None and error.kind == "rate_limit":
            asked = 2.0**retry_state.attempt_number  # six attempts then outlast a limit per minute
        if asked is None:
            return wait
        asked = min(asked, LONGEST_WAIT)
        return max(wait, asked) + self._draw.uniform(0, 0.2 * asked + 0.05)


class Retries:
    """The attempts of one request, counted from its first failure.

    Args:
        most: attempts in all.
        wait: how long to wait between two of them.
        park: is given the seconds until the request is due again; it must not wait for them.
    """

    def __init__(self, most: int, wait: BackOff, park: Callable[[float], None]) -> None:
        async def sleep(seconds: float) -> None:
            park(seconds)

        self._attempts = aiter(
            AsyncRetrying(
                sleep=sleep,
                stop=stop_after_attempt(most),
                wait=wait,
                retry=retry_if_exception_type(CallError),
            )
        )
        self._attempt: AttemptManager | None = None

    async def after(self, error: CallError) -> bool:
        """Park the request that failed; returns whether it has another attempt."""
        if self._attempt is None:
            self._attempt = await anext(self._attempts)
        with self._attempt:
            raise error
        try:
            self._attempt = await anext(self._attempts)
        except RetryError:
            return False
        return True
