"""Annotations and their examples → the conversations of the instruction-tuning set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import NamedTuple

from sinoner.clip import clip
from sinoner.itset.hard_negatives import Drawn, HardNegatives
from sinoner.itset.negatives import dropped_types, without_misc
from sinoner.itset.render import conversations
from sinoner.itset.token_budget import Count, Fitted, fit
from sinoner.records import Annotation, Conversation, Lang, Reject
from sinoner.settings import ItSetSettings

STAGE = "build-it-set"


class Built(NamedTuple):
    """The result for one passage.

    Attributes:
        annotation: the annotated passage, without misc types when those are dropped.
        conversations: one, or one per type.
        negatives: the negative types that are asked about, and their sources.
        fitted: the examples shown, and how many were shortened or dropped to fit.
    """

    annotation: Annotation
    conversations: tuple[Conversation, ...]
    negatives: Drawn
    fitted: Fitted


def build(
    passages: Iterable[tuple[Annotation, Sequence[Annotation]]],
    negatives: Mapping[Lang, HardNegatives],
    settings: ItSetSettings,
    seed: int,
    count: Count | None = None,
) -> Iterator[Built | Reject]:
    """The conversations of each passage, which ask about its own types and its negative types in shuffled order.

    Every passage has its own random stream (seed and passage id), so neither the order of passages nor the number of
    workers changes the result.

    Args:
        passages: the annotated passages, each with its examples, best first.
        negatives: draws negative types, by language.
        settings: style, mode, negatives, token budget, and whether passages without entities are kept.
        seed: seed of the run.
        count: counts the tokens of a text; required with ``settings.max_tokens``.
    """
    misc = dropped_types(settings)
    for annotation, examples in passages:
        passage = annotation.passage
        if misc:
            annotation = without_misc(annotation, misc)
        positives = list(dict.fromkeys(e.type for e in annotation.entities))
        if not positives and not settings.keep_empty:
            yield Reject(id=passage.id, stage=STAGE, reason="no_entities", detail=clip(passage.text, 80))
            continue
        if examples and settings.plain and Random(f"plain:{seed}:{passage.id}").random() < settings.plain:
            examples = ()
        if misc:
            examples = [without_misc(e, misc) for e in examples]
        drawn, asked = Drawn(()), positives
        if settings.mode != "all":
            random = Random(f"{seed}:{passage.id}")
            drawn = negatives[passage.lang].draw(annotation, examples, random)
            asked = [*positives, *drawn.types]
            if not asked:
                yield Reject(
                    id=passage.id,
                    stage=STAGE,
                    reason="no_types",
                    detail="it has no entity types, and no negative types were drawn",
                )
                continue
            random.shuffle(asked)
        fitted = Fitted(tuple(examples))
        if settings.max_tokens is not None and count is not None:
            fitted = fit(
                annotation,
                asked,
                examples,
                settings.style,
                settings.mode,
                max_tokens=settings.max_tokens,
                how=settings.fit,
                count=count,
            )
        made = conversations(annotation, asked, fitted.examples, settings.style, settings.mode)
        yield Built(annotation, made, drawn, fitted)
