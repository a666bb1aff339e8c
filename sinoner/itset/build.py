"""Filtered annotations and their neighbours → the conversations of the instruction-tuning set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from random import Random

from sinoner.itset.negatives import NegativeSampler
from sinoner.itset.render import training_conversation
from sinoner.records import Annotation, Conversation, Lang, Neighbours, Reject
from sinoner.settings import ItSetSettings

STAGE = "build-it-set"


def build(
    annotations: Iterable[Annotation],
    neighbours: Mapping[str, Neighbours],
    pool: Mapping[str, Annotation],
    frequency: Mapping[Lang, Mapping[str, int]],
    settings: ItSetSettings,
    seed: int,
) -> Iterator[Conversation | Reject]:
    """One conversation per passage, over its own types and its negative types in shuffled order.

    Every passage has its own random stream (seed and passage id), so that neither order nor number of workers
    changes the result.

    Args:
        annotations: what the conversations are about.
        neighbours: retrieved examples by passage id.
        pool: the annotations that neighbours name, by passage id.
        frequency: mentions of each type, by language.
        settings: style, chance of negatives, what to do without entities.
        seed: seed of the run.
    """
    samplers = {lang: NegativeSampler(counts, settings.negatives) for lang, counts in frequency.items()}
    for annotation in annotations:
        passage = annotation.passage
        positives = list(dict.fromkeys(e.type for e in annotation.entities))
        random = Random(f"{seed}:{passage.id}")
        asked = positives + samplers[passage.lang].draw(positives, random)
        if not positives and not settings.keep_empty:
            yield Reject(id=passage.id, stage=STAGE, reason="no_entities", detail=passage.text[:80])
            continue
        if not asked:
            yield Reject(
                id=passage.id, stage=STAGE, reason="no_types", detail="the data set has no types at all"
            )
            continue
        random.shuffle(asked)
        plain = Random(f"plain:{seed}:{passage.id}").random() < settings.plain
        found = None if plain else neighbours.get(passage.id)
        examples = [pool[i] for i in found.neighbours] if found else []
        yield training_conversation(annotation, asked, examples, settings.style)
