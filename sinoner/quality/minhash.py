"""Finding texts that share most of their character 5-grams: MinHash signatures in bands, checked by exact Jaccard similarity.

Texts meet when one band of their signatures is equal (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, ch. 3).
What meets is compared by its 5-grams, so the reported similarity is never an estimate and no pair below the
threshold is returned; ``Bands.recall`` gives the share of pairs that is found.
"""

from __future__ import annotations

from array import array
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from sinoner.quality.ngrams import of_characters

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Grams = npt.NDArray[np.uint32]
    Keys = npt.NDArray[np.uint32]

GRAM = 5  # characters
PERMUTATIONS = 128
_SEED = 1
_RECALL = 0.99  # of pairs exactly at the threshold; of more similar ones more are found
# Looked at for one text. A corpus of forms filled in differently puts thousands of texts into one slot; each text then
# meets the last ones only.
_LINKS = 64
_CANDIDATES = 64


class Bands(NamedTuple):
    """How signatures are cut: ``number`` bands of ``rows`` values; two texts meet when one band is equal."""

    number: int
    rows: int

    def recall(self, similarity: float) -> float:
        """The chance that two texts of this Jaccard similarity meet in a band."""
        return float(1 - (1 - similarity**self.rows) ** self.number)


@lru_cache
def bands_for(threshold: float) -> Bands:
    """The widest bands that still let 99 of 100 pairs at the threshold meet: few candidates, little memory.

    Below a threshold of about 0.04 single values meet too seldom for that; they are taken all the same.
    """
    choices = [Bands(PERMUTATIONS // rows, rows) for rows in range(1, 33)]
    return max(
        (b for b in choices if b.recall(threshold) >= _RECALL), key=lambda b: b.rows, default=choices[0]
    )


def grams(text: str) -> Grams:
    """The distinct 5-grams of a text in normal form, as sorted 32-bit hashes; a shorter text has none."""
    import numpy as np

    return np.unique(of_characters(text, GRAM).astype(np.uint32))


def similarity(a: Grams, b: Grams) -> float:
    """Jaccard similarity of two texts by their 5-grams."""
    import numpy as np

    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


@lru_cache(maxsize=1)
def _permutations() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Factors (odd, so that no two hashes become one) and terms of ``x → a x + b`` modulo 2**32, as columns."""
    import numpy as np

    draw = np.random.RandomState(_SEED)  # its numbers are the same in every version of numpy
    a, b = (draw.randint(0, 1 << 32, (PERMUTATIONS, 1), dtype=np.uint32) for _ in range(2))
    return a | np.uint32(1), b


def band_keys(of: Grams, bands: Bands) -> Keys:
    """One 32-bit key per band ``(bands.number,)`` of the MinHash signature of a text that has 5-grams."""
    import numpy as np

    count, rows = bands
    a, b = _permutations()
    signature = (a[: count * rows] * of + b[: count * rows]).min(axis=1).reshape(count, rows)
    mixed = np.zeros(count, dtype=np.uint64)
    for column in signature.T:
        mixed = (mixed + column) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(32)).astype(np.uint32)


class NearIndex:
    """Texts by number, in the order in which they were added; finds the first one that is similar enough.

    Memory for a text: 4 bytes for each of its distinct 5-grams, and 12 to 24 for each band.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.bands = bands_for(threshold)
        self._chains = _Chains(self.bands.number)
        self._grams = array("I")
        self._ends = array("Q", [0])  # text i holds the grams from end i up to end i + 1

    def __len__(self) -> int:
        return len(self._ends) - 1

    def find(self, of: Grams, keys: Keys) -> tuple[int, float] | None:
        """The first text at least as similar as the threshold, and how similar it is."""
        met = self._chains.under(keys)
        if not met:
            return None
        if len(met) > _CANDIDATES:  # those that meet in most bands are the most similar
            met = dict(sorted(met.items(), key=lambda x: (-x[1], x[0]))[:_CANDIDATES])
        for number in sorted(met):
            shared = similarity(of, self._grams_of(number))
            if shared >= self.threshold:
                return number, shared
        return None

    def all_grams(self) -> Grams:
        """The 5-grams of all texts."""
        import numpy as np

        return np.array(self._grams, dtype=np.uint32)

    def _grams_of(self, number: int) -> Grams:
        import numpy as np

        begin, end = self._ends[number], self._ends[number + 1]
        return np.frombuffer(self._grams, np.uint32, end - begin, begin * self._grams.itemsize)

    def add(self, of: Grams, keys: Keys) -> None:
        """Add a text that has 5-grams; its number is how many there were before."""
        self._chains.put(keys)
        self._grams.frombytes(of.tobytes())
        self._ends.append(len(self._grams))


class _Chains:
    """Numbers 0, 1, 2 … under one key for each band: a hash table per band, in three arrays.

    A slot names the last number put into it, plus one, and every number the one before it in its slot.
    """

    def __init__(self, bands: int) -> None:
        import numpy as np

        self._columns = np.arange(bands)
        self._size = 0
        self._keys = np.empty((1024, bands), dtype=np.uint32)
        self._before = np.empty((1024, bands), dtype=np.uint32)
        self._last = np.zeros((bands, 1024), dtype=np.uint32)

    def put(self, keys: Keys) -> None:
        """Put the next number under its keys."""
        if self._size == len(self._keys):
            self._grow()
        slots = keys & (self._last.shape[1] - 1)
        self._keys[self._size] = keys
        self._before[self._size] = self._last[self._columns, slots]
        self._size += 1
        self._last[self._columns, slots] = self._size

    def under(self, keys: Keys) -> dict[int, int]:
        """The numbers that have one of the keys, newest first, with how many bands they have it in."""
        import numpy as np

        met: Counter[int] = Counter()
        columns = self._columns
        at = self._last[columns, keys & (self._last.shape[1] - 1)]
        for _ in range(_LINKS):
            live = np.flatnonzero(at)
            if not len(live):
                break
            columns, numbers = columns[live], at[live] - 1
            equal = numbers[self._keys[numbers, columns] == keys[columns]]
            if len(equal):
                met.update(equal.tolist())
            at = self._before[numbers, columns]
        return met

    def _grow(self) -> None:
        """Double the capacity and rebuild the chains."""
        import numpy as np

        size, bands = self._keys.shape
        self._keys = np.concatenate([self._keys, np.empty_like(self._keys)])
        self._before = np.zeros_like(self._keys)
        self._last = np.zeros((bands, 2 * size), dtype=np.uint32)
        for band in range(bands):
            slots = self._keys[:size, band] & (2 * size - 1)
            order = np.argsort(slots, kind="stable")
            follows = slots[order][1:] == slots[order][:-1]
            self._before[order[1:][follows], band] = order[:-1][follows] + 1
            self._last[band, slots] = np.arange(1, size + 1)  # of equal slots the last one stays
