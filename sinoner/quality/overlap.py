"""Nested and crossing mentions: keep all of them, or the outermost, or the innermost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from msgspec.structs import replace

from sinoner.records import Entity


def without_overlap(
    entities: Sequence[Entity], policy: Literal["outermost", "innermost"]
) -> tuple[list[Entity], list[Entity], int]:
    """Entities whose mentions do not overlap.

    Mentions of exactly the same place stay together, whatever their types. Among overlapping ones the longest
    (``outermost``) or the shortest (``innermost``) stays; of equal length the first in the text.

    Returns:
        The entities that stay, with the places they keep; those that lost every place; and how many kept only some.
    """
    spans = sorted({(start, start + len(e.surface)) for e in entities for start in e.starts})
    if all(a[1] <= b[0] for a, b in pairwise(spans)):
        return list(entities), [], 0
    sign = -1 if policy == "outermost" else 1
    taken: set[tuple[int, int]] = set()
    for span in sorted(spans, key=lambda s: (sign * (s[1] - s[0]), s)):
        if all(span[1] <= start or end <= span[0] for start, end in taken):
            taken.add(span)
    kept: list[Entity] = []
    lost: list[Entity] = []
    fewer = 0
    for entity in entities:
        size = len(entity.surface)
        starts = tuple(s for s in entity.starts if (s, s + size) in taken)
        if not starts:
            lost.append(entity)
            continue
        fewer += len(starts) < len(entity.starts)
        kept.append(entity if len(starts) == len(entity.starts) else replace(entity, starts=starts))
    return kept, lost, fewer
