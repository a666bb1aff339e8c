"""From documents to kept entities: what each stage of the flow left, for passages and entities side by side."""

from __future__ import annotations

from sinoner.records import Facts
from sinoner.report.data import ReportData

# The stages that let passages through or drop them, in the order of the flow; ``gold`` only looks on.
FLOW = ("chunk", "annotate", "filter", "verify", "gold", "decontaminate", "build-it-set")
_LOOKS_ON = ("gold",)
_NO_ENTITIES = ("chunk", "build-it-set")  # they count entities only where they lose one


class Level(Facts):
    """How many of one unit are there after a stage.

    Attributes:
        count: so many.
        share: of the largest count of this unit, in percent; the length of the bar.
        lost: fewer than after the stage before, never negative.
        lost_share: of what was there before, in percent.
    """

    count: int
    share: float
    lost: int
    lost_share: float


class Step(Facts):
    """One row of the funnel; a unit that a stage does not count is None.

    Attributes:
        stage: its name.
        passages: after it.
        entities: after it.
        watched: passages that a stage looked at without touching them.
    """

    stage: str
    passages: Level | None = None
    entities: Level | None = None
    watched: int | None = None


class Funnel(Facts):
    """The funnel.

    Attributes:
        documents: how many documents were read; None when nobody counted them.
        unread: documents that could not be used.
        steps: in the order of the flow.
        conversations: what was built from the last passages.
    """

    documents: int | None
    unread: int
    steps: tuple[Step, ...]
    conversations: int | None


def funnel(data: ReportData) -> Funnel | None:
    """The funnel of a run, or None when fewer than two stages of the flow have run."""
    counts = {(s.name, s.unit): s for s in data.stages}
    ran = [name for name in FLOW if any(s.name == name for s in data.stages)]
    if len(ran) < 2:
        return None
    passages: dict[str, int] = {}
    entities: dict[str, int] = {}
    for name in ran:
        if row := counts.get((name, "passage")):
            passages[name] = row.out
        elif name == "chunk" and data.passages is not None:
            passages[name] = data.passages
        if name not in _NO_ENTITIES and (row := counts.get((name, "entity"))):
            entities[name] = row.out
    watched = {name: passages.pop(name, None) for name in ran if name in _LOOKS_ON}
    for name in watched:
        entities.pop(name, None)
    by_passage, by_entity = _levels(passages), _levels(entities)
    steps = [
        Step(
            stage=name,
            passages=by_passage.get(name),
            entities=by_entity.get(name),
            watched=watched.get(name),
        )
        for name in ran
        if name in by_passage or name in by_entity or watched.get(name) is not None
    ]
    documents = counts.get(("chunk", "document"))
    return Funnel(
        documents=documents.in_ if documents else None,
        unread=documents.rejected if documents else 0,
        steps=tuple(steps),
        conversations=data.conversations,
    )


def _levels(counts: dict[str, int]) -> dict[str, Level]:
    largest = max(counts.values(), default=0)
    levels: dict[str, Level] = {}
    before: int | None = None
    for name, count in counts.items():
        lost = max(before - count, 0) if before is not None else 0
        levels[name] = Level(
            count=count,
            share=100.0 * count / largest if largest else 0.0,
            lost=lost,
            lost_share=100.0 * lost / before if before else 0.0,
        )
        before = count
    return levels
