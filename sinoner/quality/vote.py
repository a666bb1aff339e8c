"""Combining several answers on the same passage into one annotation by vote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from msgspec.structs import replace

from sinoner.records import Annotation, Entity, Reject, Unit

STAGE = "filter"


def vote(samples: Sequence[Annotation], least: int) -> tuple[Annotation, list[Reject]]:
    """Keep what at least ``least`` of the samples name: the same characters at the same place with the same type.

    Args:
        samples: annotations of one passage, the first one gives the order; not empty.
        least: votes a span needs.

    Returns:
        The annotation, and a reject (``few_votes``) for every surface and type that no place of the passage has enough
        votes for (unit ``entity``), and for every such place of those that stay (unit ``occurrence``).
    """
    first = samples[0]
    votes: Counter[tuple[str, str, int]] = Counter()
    for sample in samples:
        votes.update({(e.surface, e.type, start) for e in sample.entities for start in e.starts})
    named = dict.fromkeys((e.surface, e.type) for sample in samples for e in sample.entities)
    entities: list[Entity] = []
    rejects: list[Reject] = []
    for surface, kind in named:
        places = sorted(start for s, k, start in votes if (s, k) == (surface, kind))
        starts = tuple(p for p in places if votes[surface, kind, p] >= least)
        if starts:
            entities.append(Entity(surface=surface, type=kind, starts=starts))
            for place in sorted(set(places) - set(starts)):
                detail = f"{surface} ({kind}) at {place}: {votes[surface, kind, place]} of {len(samples)}"
                rejects.append(_few(first, detail, "occurrence"))
            continue
        most = max(votes[surface, kind, p] for p in places)
        detail = f"{surface} ({kind}): {most} of {len(samples)}"
        rejects.append(_few(first, detail, "entity"))
    by = replace(first.by, votes=least, voters=len(samples))
    return Annotation(passage=first.passage, entities=tuple(entities), by=by), rejects


def _few(annotation: Annotation, detail: str, unit: Unit) -> Reject:
    return Reject(id=annotation.passage.id, stage=STAGE, reason="few_votes", detail=detail, unit=unit)


def voted(
    annotations: Iterable[Annotation], samples: Iterable[Annotation], least: int
) -> Iterator[Annotation | Reject]:
    """The annotations with those that have samples replaced by the vote.

    Args:
        annotations: one per passage.
        samples: all answers, those of one passage together, passages in the same order; hand-made annotations have
            none and pass unchanged.
        least: votes a span needs.
    """
    groups = groupby(samples, key=lambda a: a.passage.id)
    waiting = next(groups, None)
    for annotation in annotations:
        if waiting is None or waiting[0] != annotation.passage.id:
            yield annotation
            continue
        result, rejects = vote(list(waiting[1]), least)
        yield result
        yield from rejects
        waiting = next(groups, None)
