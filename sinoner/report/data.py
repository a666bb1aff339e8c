"""What the report shows, as records: the pipeline fills them, ``html.render`` draws them."""

from __future__ import annotations

from pydantic import Field

from sinoner.measurements import (
    Agreement,
    Decontamination,
    Examples,
    GoldScores,
    RuleHits,
    Score,
    Shape,
    TypeInventory,
)
from sinoner.records import Annotation, Conversation, Facts, Reject

SAMPLES = 3
PASSAGES = 24


class StageRow(Facts):
    """One line of the stage table.

    Attributes:
        name: the stage; the following lines of the same stage show only their unit.
        unit: what is counted.
        in_: how many went in.
        out: how many came out.
        rejected: how many were set aside.
        seconds: wall time; None on the further lines of a stage.
        note: a remark (``skipped`` …).
    """

    name: str
    unit: str
    in_: int
    out: int
    rejected: int
    seconds: float | None
    note: str = ""

    @property
    def kept(self) -> float:
        """Share of the input that was not rejected, in percent."""
        return 100.0 * max(self.in_ - self.rejected, 0) / self.in_ if self.in_ else 0.0


class RejectGroup(Facts):
    """All rejects of one stage with one reason, and up to three of them as samples."""

    stage: str
    unit: str
    reason: str
    count: int
    samples: tuple[Reject, ...] = Field((), max_length=SAMPLES)


class BenchmarkCheck(Facts):
    """Whether the training data were compared with a benchmark that the run was scored on."""

    name: str
    checked: bool


class BuiltSet(Facts):
    """What became of the passages that went into the instruction-tuning set.

    Attributes:
        passages: so many went in.
        rejects: passages that were rejected, by reason, the most frequent first.
        conversations: built from the others.
        negatives: types asked that their passage does not hold.
        hard: those of them that were chosen because they are hard to tell apart.
        shown: examples that stand in the conversations.
        budget: tokens that a conversation may have; None without a limit.
        shortened: examples that were shortened for it.
        dropped: examples that were left out for it.
        too_long: conversations that are longer all the same.
    """

    passages: int
    rejects: tuple[tuple[str, int], ...] = ()
    conversations: int
    negatives: int = 0
    hard: int = 0
    shown: int = 0
    budget: int | None = None
    shortened: int = 0
    dropped: int = 0
    too_long: int = 0


class ReportData(Facts):
    """Everything the report shows; what a run has not got yet keeps its default.

    Attributes:
        name: name of the run.
        version: version of the package.
        created: date and time, as it shall be read.
        stages: the stage table, in the order of the flow.
        passages: how many passages there are; None = the largest count of passages in the stage table.
        conversations: how many conversations there are; None = likewise.
        rejects: rejects by stage and reason.
        hits: rules that changed something without dropping it.
        inventory: every type of the data set, not only the frequent ones: the headline sums them up.
        shape: lengths and densities.
        agreement: of several annotators.
        gold: scores against hand-made annotations, one per layer.
        decontamination: what was dropped because of test sets.
        benchmarks: the benchmarks that the run was scored on, and whether training data were compared with them.
        use: how the passages were served with examples.
        built: what became of them in the instruction-tuning set.
        shown: how the passages of benchmarks were served with examples.
        annotations: passages to highlight.
        examples: training conversations to show.
        losses: (step, training loss).
        validation_losses: (step, validation loss).
        scores: the scores of all models on all benchmarks.
        settings: the recipe as YAML.
        annotators: who labelled the passages, with how many, the busiest first.
    """

    name: str
    version: str
    created: str
    stages: tuple[StageRow, ...] = ()
    passages: int | None = None
    conversations: int | None = None
    rejects: tuple[RejectGroup, ...] = ()
    hits: RuleHits = RuleHits()
    inventory: TypeInventory = TypeInventory()
    shape: Shape | None = None
    agreement: Agreement | None = None
    gold: tuple[GoldScores, ...] = ()
    decontamination: Decontamination | None = None
    benchmarks: tuple[BenchmarkCheck, ...] = ()
    use: Examples | None = None
    built: BuiltSet | None = None
    shown: Examples | None = None
    annotations: tuple[Annotation, ...] = Field((), max_length=PASSAGES)
    examples: tuple[Conversation, ...] = Field((), max_length=3)
    losses: tuple[tuple[int, float], ...] = ()
    validation_losses: tuple[tuple[int, float], ...] = ()
    scores: tuple[Score, ...] = ()
    settings: str = ""
    annotators: tuple[tuple[str, int], ...] = ()


class Headline(Facts):
    """The numbers at the top; None when the run has not come that far."""

    passages: int | None
    entities: int | None
    types: int | None
    conversations: int | None


def headline(data: ReportData) -> Headline:
    """The numbers at the top of the page, derived from the stages and types."""
    types = data.inventory.types
    return Headline(
        passages=data.passages if data.passages is not None else most(data.stages, "passage"),
        entities=sum(t.mentions for t in types) if types else None,
        types=len({t.type for t in types}) if types else None,
        conversations=(
            data.conversations if data.conversations is not None else most(data.stages, "conversation")
        ),
    )


def most(stages: tuple[StageRow, ...], unit: str) -> int | None:
    """The largest count of a unit in any stage."""
    return max((n for s in stages if s.unit == unit for n in (s.in_, s.out)), default=None)
