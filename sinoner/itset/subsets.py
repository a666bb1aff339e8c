"""Choosing documents for validation and passages for training."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from sinoner.errors import InputError
from sinoner.records import Lang


def validation_documents(documents: Iterable[str], share: float, seed: int) -> frozenset[str]:
    """The documents set aside for validation.

    The choice depends on the ids and the seed only, not on their order. With a share above 0 and at least two
    documents, at least one is set aside and one is left.

    Args:
        documents: document ids; duplicates are ignored.
        share: share of the distinct documents, 0 ≤ share < 1.
        seed: seed of the choice.
    """
    distinct = _ranked(documents, seed)
    if share == 0 or len(distinct) < 2:
        return frozenset()
    return frozenset(distinct[: min(max(1, round(share * len(distinct))), len(distinct) - 1)])


def subset(ids: Iterable[str], size: int | None, seed: int) -> frozenset[str]:
    """At most ``size`` of the ids, chosen by the seed regardless of their order; all when ``size`` is None."""
    return frozenset(_ranked(ids, seed)[:size])


class Mixed(NamedTuple):
    """Passages of several languages in given proportions.

    Attributes:
        chosen: ids of the passages.
        required: passages per language for this size and these weights; without a size or weights, the same as ``got``.
        available: distinct passages per language.
        got: chosen passages per language, never more than ``required``.
    """

    chosen: frozenset[str]
    required: dict[Lang, int]
    available: dict[Lang, int]
    got: dict[Lang, int]

    @property
    def short(self) -> tuple[Lang, ...]:
        """The languages with fewer passages than required, because of which all languages got fewer."""
        return tuple(lang for lang, n in self.required.items() if n > self.available[lang])


def mixed(
    by_lang: Mapping[Lang, Iterable[str]], weights: Mapping[Lang, float], size: int | None, seed: int
) -> Mixed:
    """The largest set of distinct passages in these proportions, of at most ``size``.

    When a language has too few passages, all languages get fewer: the proportions are kept, not the size. The
    passages of a language are chosen by the seed regardless of their order, and a larger size only adds to them.

    Args:
        by_lang: ids of the passages, by language; an id belongs to one language.
        weights: weights of the languages, not negative, read as exact decimal numbers. A language without a weight is left
            out. Without any weights, the result is that of ``subset`` on all ids.
        size: number of passages; None = as many as the proportions allow.
        seed: seed of the choice.

    Raises:
        InputError: a weight is negative or not a finite number, none is above 0, or a language with a weight above 0 has
            no passage.
    """
    distinct: dict[Lang, frozenset[str]] = {lang: frozenset(ids) for lang, ids in sorted(by_lang.items())}
    available = {lang: len(ids) for lang, ids in distinct.items()}
    if not weights:
        chosen = subset((i for ids in distinct.values() for i in ids), size, seed)
        got = {lang: len(ids & chosen) for lang, ids in distinct.items()}
        return Mixed(chosen, got, available, got)
    parts = _parts(weights)
    for lang in parts:
        if not available.get(lang):
            raise InputError(
                f"it_set.mix: there is no {lang} passage to train on; remove {lang} from it_set.mix or add a {lang} source"
            )
    # The total at which the passages of the first language are used up.
    most = math.floor(sum(parts.values()) * min(available[lang] / part for lang, part in parts.items()))
    total = most if size is None else min(size, most)
    got = dict.fromkeys(distinct, 0) | _shares(parts, total)
    required = got if size is None else dict.fromkeys(distinct, 0) | _shares(parts, size)
    chosen = frozenset(i for lang in parts for i in _ranked(distinct[lang], seed)[: got[lang]])
    return Mixed(chosen, required, available, got)


def _parts(weights: Mapping[Lang, float]) -> dict[Lang, Fraction]:
    """The weights above 0 as exact numbers, so that 0.3 : 0.1 is 3 : 1."""
    for lang, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise InputError(f"it_set.mix: the weight of {lang} is {weight}; expected a number like 1 or 0.5")
    if not any(weights.values()):
        raise InputError("it_set.mix: all weights are 0; give at least one language a weight above 0")
    return {lang: Fraction(str(weight)) for lang, weight in sorted(weights.items()) if weight > 0}


def _shares(parts: Mapping[Lang, Fraction], total: int) -> dict[Lang, int]:
    """Whole numbers that add up to the total, each its part rounded (largest remainders are rounded up).

    With two languages, neither share shrinks when the total grows: one is rounded up exactly when the other is rounded down.
    """
    exact = {lang: part * total / sum(parts.values()) for lang, part in parts.items()}
    shares = {lang: math.floor(part) for lang, part in exact.items()}
    by_rest: Sequence[Lang] = sorted(exact, key=lambda lang: (shares[lang] - exact[lang], lang))
    for lang in by_rest[: total - sum(shares.values())]:
        shares[lang] += 1
    return shares


def _ranked(ids: Iterable[str], seed: int) -> list[str]:
    return sorted(set(ids), key=lambda i: _rank(i, seed))


def _rank(identifier: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{identifier}".encode()).digest()
