"""N-grams of a text as an array of hashes, and a fast membership pre-filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Hashes = npt.NDArray[np.uint64]

# Odd constants with well-mixed bits: 2**64 over the golden ratio, and the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
_STEP = 0x9E3779B97F4A7C15
_MIX = 0xBF58476D1CE4E5B9


def of_characters(text: str, n: int) -> Hashes:
    """Hashes of the character n-grams of a text, by position ``(len(text) - n + 1,)``; a shorter text has none."""
    import numpy as np

    return _rolled(np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.uint64), n)


def of_words(words: Sequence[str], n: int) -> Hashes:
    """Hashes of the n-grams of words, by position. They hold within one process only."""
    import numpy as np

    return _rolled(np.fromiter(map(hash, words), np.int64, len(words)).view(np.uint64), n)


def _rolled(units: Hashes, n: int) -> Hashes:
    import numpy as np

    count = max(len(units) - n + 1, 0)
    mixed = np.zeros(count, dtype=np.uint64)
    if count:
        for i in range(n):
            mixed *= np.uint64(_STEP)
            mixed += units[i : count + i]
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(_MIX)
        mixed ^= mixed >> np.uint64(32)
    return mixed


class Sieve:
    """A set-membership pre-filter for hashes without false negatives; takes 8 to 16 bytes per hash."""

    def __init__(self, hashes: npt.NDArray[Any]) -> None:
        import numpy as np

        size = 1 << max(10, (8 * len(hashes)).bit_length())
        self._mask = hashes.dtype.type(size - 1)
        self._seen = np.zeros(size, dtype=np.bool_)
        self._seen[hashes & self._mask] = True

    def may_hold(self, hashes: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which of them may be in the set: all that are, and at most one in eight of the others."""
        held: npt.NDArray[np.bool_] = self._seen[hashes & self._mask]
        return held
