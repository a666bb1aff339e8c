"""The rules that clean annotations: formats of the paper's filter, with its mistakes mended.

Each rule looks at one entity and says nothing, or a changed entity, or the reason to drop it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from sinoner.records import Annotation, Entity, Lang, Reject
from sinoner.settings import FilterSettings
from sinoner.text.ground import strip_brackets

STAGE = "filter"
# A rule returns the entity to keep (changed or not) or the word of the reason to drop it.
Rule = Callable[[Entity, Lang, FilterSettings], Entity | str]


def _strip_brackets(entity: Entity, lang: Lang, settings: FilterSettings) -> Entity | str:
    inner = strip_brackets(entity.surface)
    if inner == entity.surface:
        return entity
    if not inner.strip():
        return "empty_mention"
    lead = len(inner) - len(inner.lstrip()) + 1
    return entity.model_copy(
        update={"surface": inner.strip(), "starts": tuple(s + lead for s in entity.starts)}
    )


def _too_long(entity: Entity, lang: Lang, settings: FilterSettings) -> Entity | str:
    if lang == "zh":
        return entity if len(entity.surface) <= settings.max_chars else "too_long"
    return entity if len(entity.surface.split()) <= settings.max_words else "too_long"


def _stop_type(entity: Entity, lang: Lang, settings: FilterSettings) -> Entity | str:
    said = entity.type.strip().casefold()
    return "stop_type" if any(said == stop.strip().casefold() for stop in settings.stop_types) else entity


RULES: dict[str, tuple[Rule | None, str]] = {
    "strip_brackets": (_strip_brackets, "one pair of 《》, 【】 or [] around a mention is not part of it"),
    "too_long": (
        _too_long,
        "a mention of more than filter.max_chars characters (zh) or max_words words (en)",
    ),
    "stop_type": (_stop_type, "a type that says nothing, such as 其他 or misc"),
    "duplicate": (None, "the same surface with the same type, ignoring case, again in one passage"),
}


def clean(annotations: Iterable[Annotation], settings: FilterSettings) -> Iterator[Annotation | Reject]:
    """Apply the rules. Every annotation comes out; every dropped entity is a reject of unit ``entity``.

    Duplicates are found last, on what the other rules made of the mentions; their offsets are merged into the
    entity that stays, so that no occurrence is lost.
    """
    rules = [rule for name in settings.rules if (rule := RULES[name][0]) is not None]
    for annotation in annotations:
        kept: list[Entity] = []
        for entity in annotation.entities:
            outcome = _judge(entity, annotation.passage.lang, rules, settings)
            if isinstance(outcome, str):
                yield _reject(annotation, entity, outcome)
            else:
                kept.append(outcome)
        if "duplicate" in settings.rules:
            kept, repeated = merge_duplicates(kept)
            for entity in repeated:
                yield _reject(annotation, entity, "duplicate")
        if tuple(kept) != annotation.entities:
            annotation = Annotation(passage=annotation.passage, entities=tuple(kept), by=annotation.by)
        yield annotation


def _judge(entity: Entity, lang: Lang, rules: Iterable[Rule], settings: FilterSettings) -> Entity | str:
    for rule in rules:
        outcome = rule(entity, lang, settings)
        if isinstance(outcome, str):
            return outcome
        entity = outcome
    return entity


def merge_duplicates(entities: Iterable[Entity]) -> tuple[list[Entity], list[Entity]]:
    """Entities without repeats of (surface, type) under case folding, and the repeats.

    A repeat with the same characters hands its offsets to the one that stays.
    """
    kept: dict[tuple[str, str], Entity] = {}
    repeated: list[Entity] = []
    for entity in entities:
        key = (entity.surface.casefold(), entity.type.casefold())
        first = kept.setdefault(key, entity)
        if first is entity:
            continue
        repeated.append(entity)
        if first.surface == entity.surface:
            starts = tuple(sorted({*first.starts, *entity.starts}))
            kept[key] = first.model_copy(update={"starts": starts})
    return list(kept.values()), repeated


def type_frequency(annotations: Iterable[Annotation]) -> dict[str, int]:
    """Mentions of each type (distinct surfaces per passage), most frequent first, ties by name."""
    counts = Counter(entity.type for annotation in annotations for entity in annotation.entities)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _reject(annotation: Annotation, entity: Entity, reason: str) -> Reject:
    detail = f"{entity.surface} ({entity.type})"
    return Reject(id=annotation.passage.id, stage=STAGE, reason=reason, detail=detail, unit="entity")
