"""Negative types: types that a passage does not have, asked so that the model learns to answer ``[]``."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Mapping
from itertools import accumulate
from random import Random

# How many negative types a passage without any entity gets.
EMPTY_NEGATIVES = 3


class NegativeSampler:
    """Draws types weighted by their mention frequency, without repeats (paper code, building step)."""

    def __init__(self, frequency: Mapping[str, int], chance: float) -> None:
        """Prepare the weights.

        Args:
            frequency: mentions of each type of the data set.
            chance: chance per positive type to add one negative.
        """
        self._types = sorted(frequency)
        self._weights = [frequency[t] for t in self._types]
        self._cumulative = list(accumulate(self._weights))
        self._chance = chance

    def draw(self, positives: Collection[str], random: Random) -> list[str]:
        """The negative types of a passage with these positive types; fewer when the data set has no more."""
        wanted = sum(random.random() < self._chance for _ in positives) if positives else EMPTY_NEGATIVES
        own = set(positives)
        left = len(self._types) - len(own.intersection(self._types))
        drawn: list[str] = []
        while len(drawn) < min(wanted, left):
            kind = self._pick(own, random)
            own.add(kind)
            drawn.append(kind)
        return drawn

    def _pick(self, excluded: set[str], random: Random) -> str:
        for _ in range(32):  # rejection is quick unless the excluded types hold most of the weight
            kind = self._types[bisect(self._cumulative, random.random() * self._cumulative[-1])]
            if kind not in excluded:
                return kind
        rest = [(t, w) for t, w in zip(self._types, self._weights, strict=True) if t not in excluded]
        return random.choices([t for t, _ in rest], [w for _, w in rest])[0]
