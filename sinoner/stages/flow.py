"""The stages in their order, and which of them a verb stands for."""

from __future__ import annotations

from sinoner.run.stage import Stage
from sinoner.stages.annotate import ANNOTATE
from sinoner.stages.build import BUILD
from sinoner.stages.chunk import CHUNK
from sinoner.stages.decontaminate import DECONTAMINATE
from sinoner.stages.evaluate import EVALUATE
from sinoner.stages.filter import FILTER
from sinoner.stages.finetune import FINETUNE
from sinoner.stages.gold import GOLD
from sinoner.stages.publish import PUBLISH
from sinoner.stages.retrieve import RETRIEVE
from sinoner.stages.split import SPLIT
from sinoner.stages.verify import VERIFY

STAGES: tuple[Stage, ...] = (
    CHUNK,
    ANNOTATE,
    FILTER,
    VERIFY,
    GOLD,
    DECONTAMINATE,
    SPLIT,
    RETRIEVE,
    BUILD,
    FINETUNE,
    EVALUATE,
    PUBLISH,
)
# The stages that a verb stands for when it works on what is already in a run folder.
OWN: dict[str, tuple[Stage, ...]] = {
    "chunk": (CHUNK,),
    "annotate": (CHUNK, ANNOTATE),
    "filter": (FILTER, VERIFY, GOLD, DECONTAMINATE),
    "build-it-set": (FILTER, VERIFY, GOLD, DECONTAMINATE, SPLIT, RETRIEVE, BUILD),
    "finetune": (GOLD, FINETUNE),  # a closed gate is closed to the verb alone as well
    "evaluate": (EVALUATE,),
    "publish": (PUBLISH,),
    "report": (),
    "estimate": (),
}


def stages_of(verb: str) -> tuple[Stage, ...]:
    """The stages of a verb on a run folder; ``run`` means all."""
    return STAGES if verb == "run" else OWN[verb]


def stages_up_to(verb: str) -> tuple[Stage, ...]:
    """All stages of a recipe up to and with those of a verb; ``run`` means all, a verb without stages none."""
    own = stages_of(verb)
    return STAGES[: STAGES.index(own[-1]) + 1] if own else ()
