"""Negative types: absent types that are asked about so that the model learns to answer ``[]``."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Mapping
from functools import lru_cache
from itertools import accumulate
from random import Random

from msgspec.structs import replace

from sinoner.records import Annotation
from sinoner.settings import ItSetSettings

# How many negative types a passage without any entity gets.
EMPTY_NEGATIVES = 3


def dropped_types(settings: ItSetSettings) -> tuple[str, ...]:
    """The misc types that these settings leave out: ``misc_types`` when ``misc`` is ``drop``, else none."""
    return settings.misc_types if settings.misc == "drop" else ()


def is_misc(type: str, misc_types: tuple[str, ...]) -> bool:
    """Whether a type is one of the misc types, ignoring case."""
    return type.casefold() in _casefolded(misc_types)


def without_misc(annotation: Annotation, misc_types: tuple[str, ...]) -> Annotation:
    """The annotation without the entities of misc types; the same object when it has none.

    This is applied to passages and examples alike, so such a type is neither asked about nor shown. An annotation with
    misc types only is left without entities.
    """
    names = _casefolded(misc_types)
    kept = tuple(e for e in annotation.entities if e.type.casefold() not in names)
    if len(kept) == len(annotation.entities):
        return annotation
    return replace(annotation, entities=kept)


@lru_cache(maxsize=8)
def _casefolded(types: tuple[str, ...]) -> frozenset[str]:
    return frozenset(t.strip().casefold() for t in types)


class NegativeSampler:
    """Draws types weighted by their mention frequency, without repeats (paper code, building step)."""

    def __init__(
        self,
        frequency: Mapping[str, int],
        chance: float,
        max_negatives: int | None = None,
        misc_types: tuple[str, ...] = (),
    ) -> None:
        """Prepare the weights.

        Args:
            frequency: number of mentions of each type in the data set.
            chance: for each positive type, the chance to add one negative.
            max_negatives: maximum per passage; None = no limit.
            misc_types: types that are never drawn, ignoring case.
        """
        counts = {t: n for t, n in frequency.items() if n > 0 and not is_misc(t, misc_types)}
        self._types = sorted(counts)
        self._weights = [counts[t] for t in self._types]
        self._cumulative = list(accumulate(self._weights))
        self._known = frozenset(counts)
        self._chance = chance
        self._most = max_negatives

    @property
    def types(self) -> frozenset[str]:
        """All types that can be drawn."""
        return self._known

    def draw(self, positives: Collection[str], random: Random) -> list[str]:
        """The negative types of a passage with these positive types; fewer when the data set has too few types."""
        by_chance, chance = random.random, self._chance
        requested = sum([by_chance() < chance for _ in positives]) if positives else EMPTY_NEGATIVES
        if self._most is not None:
            requested = min(requested, self._most)
        own = set(positives)
        left = len(self._types) - len(own & self._known)  # iterates over the smaller set only
        drawn: list[str] = []
        while len(drawn) < min(requested, left):
            kind = self._pick(own, random)
            own.add(kind)
            drawn.append(kind)
        return drawn

    def _pick(self, excluded: set[str], random: Random) -> str:
        for _ in range(32):  # rejection is fast unless the excluded types have most of the weight
            kind = self._types[bisect(self._cumulative, random.random() * self._cumulative[-1])]
            if kind not in excluded:
                return kind
        rest = [(t, w) for t, w in zip(self._types, self._weights, strict=True) if t not in excluded]
        return random.choices([t for t, _ in rest], [w for _, w in rest])[0]
