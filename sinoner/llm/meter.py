"""What a person wants to see of a run through an endpoint: how far it is, how fast, what it costs, when it ends."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

from sinoner.llm.pricing import Currency, format_money

# A minute of them: one is taken every quarter of a second.
_SAMPLES = 240


@dataclass
class Meter:
    """Counts of a run; ``line`` says them.

    Attributes:
        total: passages, 0 when unknown.
        done: passages with an answer, those of earlier runs included.
        failed: passages that ended as a failure.
        known: those of both that the ledger knew already when this run began.
        answers: answers of this run.
        tokens: prompt and completion tokens of this run.
        cost: money spent, earlier runs included.
        before: the part of ``cost`` that earlier runs spent.
        currency: of both; None when no price is known.
        in_flight: requests in flight now.
        limit: requests that may be in flight now.
        note: what else should be said.
        silent: endpoints that do not answer now and are only tried from time to time.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    known: int = 0
    answers: int = 0
    tokens: int = 0
    cost: Decimal = Decimal(0)
    before: Decimal = Decimal(0)
    currency: Currency | None = None
    in_flight: int = 0
    limit: int = 0
    note: str = ""
    silent: list[str] = field(default_factory=list)
    _seen: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=_SAMPLES))

    @property
    def ended(self) -> int:
        """Passages that are done or failed."""
        return self.done + self.failed

    @property
    def waiting(self) -> int:
        """Passages that have no outcome yet."""
        return max(0, self.total - self.ended)

    def sample(self, now: float | None = None) -> None:
        """Remember where the run stands, for the speeds of the last minute."""
        self._seen.append((time.monotonic() if now is None else now, self.ended - self.known, self.tokens))

    def line(self) -> str:
        """One line: failed and waiting, speeds, cost so far and projected, concurrency, time left."""
        parts = []
        if self.failed:
            parts.append(f"{self.failed} failed")
        parts.append(f"{self.waiting} waiting")
        passages, tokens = self._speed()
        if self.currency is not None:
            parts.append(format_money(self.cost, self.currency) + self._projected())
        parts.append(f"{self.in_flight}/{self.limit} in flight")
        if passages:
            parts.append(f"{passages:.1f} passages/s")
        if tokens:
            parts.append(f"{tokens:,.0f} tokens/s")
        if passages and self.waiting:
            parts.append(f"ETA {_clock(self.waiting / passages)}")
        if self.silent:
            parts.append(f"no answer from {', '.join(self.silent)}")
        if self.note:
            parts.append(self.note)
        return " · ".join(parts)

    def _projected(self) -> str:
        """The cost at the end, if the rest costs what this run's passages cost."""
        here = self.ended - self.known
        spent = self.cost - self.before
        if not (here and spent and self.waiting):
            return ""
        return f" (→ {format_money(self.cost + spent / here * self.waiting, self.currency)})"

    def _speed(self) -> tuple[float, float]:
        """Passages and tokens per second over the remembered time."""
        if len(self._seen) < 2:
            return 0.0, 0.0
        (t0, n0, k0), (t1, n1, k1) = self._seen[0], self._seen[-1]
        return ((n1 - n0) / (t1 - t0), (k1 - k0) / (t1 - t0)) if t1 > t0 else (0.0, 0.0)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
