"""Which documents are set aside for validation, and which subset is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def validation_documents(documents: Iterable[str], share: float, seed: int) -> frozenset[str]:
    """The documents set aside for validation.

    The choice depends on the ids and the seed only, not on their order. With a share above 0 and at least two
    documents, at least one is set aside and one is left.

    Args:
        documents: document ids; repeats do not matter.
        share: share of the distinct documents, 0 ≤ share < 1.
        seed: seed of the choice.
    """
    distinct = sorted(set(documents), key=lambda d: _rank(d, seed))
    if share == 0 or len(distinct) < 2:
        return frozenset()
    return frozenset(distinct[: min(max(1, round(share * len(distinct))), len(distinct) - 1)])


def subset(ids: Iterable[str], size: int | None, seed: int) -> frozenset[str]:
    """At most ``size`` of the ids, chosen by the seed whatever their order; all when ``size`` is None."""
    distinct = sorted(set(ids), key=lambda d: _rank(d, seed))
    return frozenset(distinct if size is None else distinct[:size])


def _rank(identifier: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{identifier}".encode()).digest()
