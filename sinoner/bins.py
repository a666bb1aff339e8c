"""Counts in bins of equal width."""

from __future__ import annotations

from sinoner.records import Facts


class Histogram(Facts):
    """Counts in bins of equal width: bin i holds ``low + i * width`` up to, not with, ``low + (i + 1) * width``.

    The last bin also holds everything above it.
    """

    low: float = 0.0
    width: float
    counts: tuple[int, ...] = ()


class Bins:
    """Counts values in bins of equal width, in flat memory; values outside count in the first or the last bin."""

    def __init__(self, low: float, width: float, number: int) -> None:
        """Make empty bins.

        Args:
            low: where the first bin begins.
            width: of a bin.
            number: how many there are.
        """
        self._low, self._width, self._last = low, width, number - 1
        self._counts = [0] * number

    def add(self, value: float) -> None:
        """Count a value."""
        place = int((value - self._low) / self._width)
        self._counts[0 if place < 0 else min(place, self._last)] += 1

    def histogram(self) -> Histogram:
        """The counts so far."""
        return Histogram(low=self._low, width=self._width, counts=tuple(self._counts))
