"""Finding duplicate and near-duplicate passages."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from sinoner.quality.minhash import NearIndex, band_keys, bands_for, grams
from sinoner.records import Passage
from sinoner.settings import RuleName
from sinoner.text.normal import normal

if TYPE_CHECKING:
    from sinoner.quality.minhash import Grams, Keys


class Signature(NamedTuple):
    """The comparison keys of a text: a 64-bit hash of its normal form, and its 5-grams with their band keys."""

    digest: int
    near: tuple[Grams, Keys] | None


def signature(text: str, threshold: float | None) -> Signature | None:
    """The signature of a text, a pure function that may run in any process; None for a text without any letter.

    Args:
        text: the text of the passage.
        threshold: as in ``Duplicates``. If it is None, or the text is shorter than a 5-gram, there are no 5-grams.
    """
    form = normal(text)
    if not form:
        return None
    digest = int.from_bytes(blake2b(form.encode(), digest_size=8).digest())
    if threshold is None or not len(found := grams(form)):
        return Signature(digest, None)
    return Signature(digest, (found, band_keys(found, bands_for(threshold))))


class Duplicates:
    """Checks passages in corpus order; the first of several duplicates is kept.

    Memory grows with the passages kept: 0.12 to 0.16 kB for each to find equal ones, its id among them, and 1.1 to
    1.4 kB more (for 220 characters) to find similar ones.
    """

    def __init__(self, threshold: float | None, exact: bool) -> None:
        """Start with nothing seen.

        Args:
            threshold: Jaccard similarity of character 5-grams from which a passage is a near-duplicate; None turns the
                search off.
            exact: look for passages that are equal in normal form.
        """
        self.threshold = threshold
        self._exact: dict[int, str] | None = {} if exact else None
        self._near = NearIndex(threshold) if threshold is not None else None
        self._near_ids: list[str] = []

    def check(self, passage: Passage, made: Signature | None = None) -> tuple[RuleName, str] | None:
        """Why a passage is dropped, with the id of the earlier one; None for a passage that is kept and remembered.

        Passages shorter than a 5-gram are compared exactly or not at all, those without any letter never.

        Args:
            passage: the next one of the corpus.
            made: its signature for the same threshold, if already computed.
        """
        if self._exact is None and self._near is None:
            return None
        of = made or signature(passage.text, self.threshold)
        if of is None:
            return None
        if self._exact is not None and (first := self._exact.get(of.digest)) is not None:
            return "duplicate_passage", first
        if self._near is not None and of.near is not None:
            hit = self._near.find(*of.near)
            if hit is not None:
                return "near_duplicate", f"{self._near_ids[hit[0]]} ({hit[1]:.2f})"
            self._near.add(*of.near)
            self._near_ids.append(passage.id)
        if self._exact is not None:
            self._exact[of.digest] = passage.id
        return None
