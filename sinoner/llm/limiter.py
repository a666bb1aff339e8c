"""How much may be asked of one endpoint at once: an adaptive limit of requests in flight, and a pace per minute.

The limit starts low and doubles while that brings more answers per second; from the first refusal on it grows by 5 % per
round. A refusal (429) cuts it by a quarter, once for all requests sent before the cut, and then down to what the
endpoint is really holding; errors of the server never cut. An endpoint that queues without ever refusing (vLLM) is
noticed because more requests in flight no longer bring more answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

# Never fewer than this in flight, so that one bad minute does not leave a run crawling.
FLOOR = 4
# After a refusal the limit stays where it is for at least this long, in seconds.
COOL_DOWN = 15.0
GROWTH = 1.05
CUT = 0.75
# A limit that grew by this factor must have brought at least a fifth of that in answers per second.
_PROBE = 1.3
_WORTH = 0.2
# Seconds an endpoint may hold everything back; who asks for more is asked again sooner.
LONGEST_WAIT = 300.0
# An endpoint with this many failures in a row, of the kinds that are its own, is left alone for a while.
_DEAD_AFTER = 10
# Seconds between two tries of an endpoint that seems dead, at most.
_LONGEST_PAUSE = 30.0
_WHOLE = re.compile(r"[0-9]{1,12}")


class Ticket(NamedTuple):
    """One request in flight: when it was sent."""

    sent: float


class Limiter:
    """The limit of one endpoint. Times are seconds of a monotonic clock.

    Args:
        start: requests in flight at first.
        most: never more than this.
        fixed: stay at ``start``; refusals still hold it back for a while.
    """

    def __init__(self, start: int = 8, most: int = 256, *, fixed: bool = False) -> None:
        self.limit = float(start if fixed else min(start, most))
        self.in_flight = 0
        self.refused = 0
        self._most = float(start if fixed else most)
        self._floor = min(float(FLOOR), self._most)
        self._fixed = fixed
        self._fast = True
        self._cut_at = float("-inf")
        self._cut_floor = self._floor
        self._quiet_until = 0.0
        self._hold_until = 0.0  # as the endpoint asked
        self._held_at = 0.0
        self._pause_until = 0.0  # as we guess; an answer ends it
        self._failures = 0
        self._probing = False
        self._suspicions = 0
        self._suspected_at = float("-inf")
        # The window that measures answers per second: answers to skip, answers counted, when it began.
        self._skip = 0
        self._count = 0
        self._began = 0.0
        self._peak = 0
        self._reference: tuple[float, float] | None = None

    def free(self, now: float) -> bool:
        """Whether a request may be sent now."""
        return (
            now >= max(self._hold_until, self._pause_until)
            and self.in_flight < int(self.limit)
            and not (self._probing and self.in_flight)
        )

    @property
    def load(self) -> float:
        """The share of the limit that is in use; the least loaded endpoint gets the next request."""
        return self.in_flight / self.limit

    @property
    def down(self) -> bool:
        """Whether the endpoint is taken for dead and only tried now and then."""
        return self._probing

    def take(self, now: float) -> Ticket:
        """Count a request as sent."""
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        return Ticket(now)

    def succeeded(self, ticket: Ticket, now: float) -> None:
        """A request was answered: a pause that we guessed is over, and the limit may grow.

        A hold that the endpoint asked for is over only when the request was sent after that.
        """
        self.in_flight -= 1
        self._failures = self._suspicions = 0
        self._probing = False
        self._pause_until = 0.0
        if ticket.sent >= self._held_at:
            self._hold_until = 0.0
        if self._skip > 0:
            self._skip -= 1
            self._began = now
            self._peak = self.in_flight
            return
        self._count += 1
        if self._count >= self.limit and now > self._began:
            self._judge(self._count / (now - self._began), now)

    def refused_at(self, ticket: Ticket, now: float, after: float | None) -> None:
        """A request was refused (429).

        Args:
            ticket: of that request.
            now: the time.
            after: seconds the endpoint asked to wait, if it did.
        """
        self.in_flight -= 1
        self.refused += 1
        wait = min(after if after is not None else 1.0, LONGEST_WAIT)
        if ticket.sent > self._cut_at:
            self._cut_floor = max(self._floor, self.limit / 8)
            self.limit = max(self._floor, self.limit * CUT)
            self._cut_at = now
            self._fast = False
        self._quiet_until = max(self._quiet_until, now + max(wait, COOL_DOWN))
        # What is still in flight was taken; what lies above it was refused.
        self.limit = max(self._cut_floor, min(self.limit, float(self.in_flight)))
        if after is None:
            self._pause_until = max(self._pause_until, now + wait)
        else:
            self._hold_until, self._held_at = max(self._hold_until, now + wait), now
        self._reference = None
        self._restart(now)

    def failed(self, ticket: Ticket, now: float) -> None:
        """A request failed for a reason of the endpoint (5xx, time-out). This never cuts the limit."""
        self.in_flight -= 1
        self._failures += 1
        if self._failures >= _DEAD_AFTER or self._probing:
            self._suspect(ticket, now)

    def unreachable(self, ticket: Ticket, now: float) -> None:
        """Nobody answered at the address."""
        self.in_flight -= 1
        self._failures += 1
        self._suspect(ticket, now)

    def _suspect(self, ticket: Ticket, now: float) -> None:
        """Leave the endpoint alone for a while, longer each time; then one request tries it.

        Requests that were sent before it was suspected tell nothing new.
        """
        if self._probing and ticket.sent < self._suspected_at:
            return
        self._probing = True
        self._suspected_at = now
        self._pause_until = max(self._pause_until, now + min(_LONGEST_PAUSE, 0.5 * 2.0**self._suspicions))
        self._suspicions = min(self._suspicions + 1, 10)

    def released(self) -> None:
        """A request ended for a reason that says nothing about the endpoint."""
        self.in_flight -= 1

    def _restart(self, now: float) -> None:
        self._count = 0
        self._began = now
        self._peak = self.in_flight

    def _judge(self, rate: float, now: float) -> None:
        """A window is full: grow when it was used and growing pays, step back when growing did not pay."""
        used = self._peak >= 0.8 * int(self.limit)
        self._restart(now)
        if not used or now < self._quiet_until or self.limit >= self._most:
            return
        if self._fixed:  # on the way back to the fixed number after a refusal
            self._grow(1.25)
            return
        if self._reference is None:
            self._reference = (self.limit, rate)
        elif self.limit >= _PROBE * self._reference[0]:
            before, slower = self._reference
            if rate / slower - 1 < _WORTH * (self.limit / before - 1):
                self.limit = max(self._floor, before)
                self._fast = False
                self._reference = None
                self._quiet_until = now + 2 * COOL_DOWN
                self._skip = int(self.limit)
                return
            self._reference = (self.limit, rate)
        self._grow(2.0 if self._fast else GROWTH)

    def _grow(self, factor: float) -> None:
        self._skip = int(self.limit)  # what is in flight now was sent under the old limit
        self.limit = min(self._most, max(self.limit * factor, self.limit + 1))


class Pace:
    """Requests or tokens per minute, as a bucket that fills steadily. A limit of None lets everything through.

    Args:
        per_minute: what the person set; else what the endpoint's headers say is used.
    """

    def __init__(self, per_minute: int | None = None) -> None:
        self._set = per_minute
        self.per_minute = float(per_minute) if per_minute else None
        self._level: float | None = None
        self._at = 0.0
        self._blocked_until = 0.0

    @property
    def _burst(self) -> float:
        """What a full bucket holds: five seconds' worth of the person's pace, or a whole minute of the endpoint's."""
        assert self.per_minute is not None
        return max(1.0, self.per_minute / 60 * 5) if self._set else self.per_minute

    def _refill(self, now: float) -> float:
        assert self.per_minute is not None
        if self._level is None:
            self._level = self._burst
        else:
            self._level = min(self._burst, self._level + (now - self._at) * self.per_minute / 60)
        self._at = now
        return self._level

    def wait(self, amount: float, now: float) -> float:
        """Seconds until ``amount`` may be used; more than a whole burst waits for a full bucket only."""
        blocked = max(0.0, self._blocked_until - now)
        if self.per_minute is None:
            return blocked
        level = self._refill(now)
        missing = min(amount, self._burst) - level
        return max(blocked, missing / (self.per_minute / 60), 0.0)

    def use(self, amount: float, now: float) -> None:
        """Take from the bucket; the level may go below zero."""
        if self.per_minute is not None:
            self._level = self._refill(now) - amount

    def learn(self, limit: str | None, remaining: str | None, reset: str | None, now: float) -> None:
        """Take over what ``x-ratelimit-*`` headers say: the limit, what is left of it, and when it is whole again."""
        if limit is not None and _WHOLE.fullmatch(limit) and int(limit) > 0 and not self._set:
            self.per_minute = float(limit)
        if remaining is not None and _WHOLE.fullmatch(remaining):
            seconds = duration(reset) if reset else None
            if int(remaining) == 0 and seconds is not None:
                self._blocked_until = now + min(seconds, LONGEST_WAIT)
            if self.per_minute is not None and not self._set:
                self._level, self._at = min(float(remaining), self._refill(now)), now


def duration(text: str) -> float | None:
    """Seconds of a duration as rate-limit headers write it: ``1s``, ``6m0s``, ``20ms``, ``1h2m3.5s`` or ``12``."""
    text = text.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|h|m|s)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        return None
    return sum(float(n) * {"h": 3600, "m": 60, "s": 1, "ms": 0.001}[u] for n, u in parts)


class Rates:
    """The two paces of an endpoint together: requests and tokens per minute."""

    def __init__(self, rpm: int | None, tpm: int | None) -> None:
        self.requests = Pace(rpm)
        self.tokens = Pace(tpm)

    def wait(self, tokens: float, now: float) -> float:
        """Seconds until one request of so many tokens may be sent."""
        return max(self.requests.wait(1, now), self.tokens.wait(tokens, now))

    def use(self, tokens: float, now: float) -> None:
        """Count a request as sent."""
        self.requests.use(1, now)
        self.tokens.use(tokens, now)

    def learn(self, headers: Mapping[str, str], now: float) -> None:
        """Read the ``x-ratelimit-*`` headers of an answer, if it has some."""
        for word, pace in (("requests", self.requests), ("tokens", self.tokens)):
            limit = headers.get(f"x-ratelimit-limit-{word}")
            remaining = headers.get(f"x-ratelimit-remaining-{word}")
            if limit or remaining:
                pace.learn(limit, remaining, headers.get(f"x-ratelimit-reset-{word}"), now)
