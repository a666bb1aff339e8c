"""The filter: applies every rule in order, one passage at a time.

Passages first (is it text worth labelling, does it hold personal data), then the mentions one by one, then the mentions
together (cut words, overlaps, duplicates). Heuristic rules do not apply to manual labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from sinoner.quality.boundaries import cut_words
from sinoner.quality.entity_rules import judges
from sinoner.quality.overlap import without_overlap
from sinoner.quality.passage_rules import PASSAGE_RULES
from sinoner.quality.personal import Found, find, masked
from sinoner.records import Annotation, Entity, Reject
from sinoner.settings import RULE_NAMES, FilterSettings, RuleName

STAGE = "filter"
# Heuristic rules; they do not apply to labels that came with the corpus.
_GUESSES: frozenset[RuleName] = frozenset(("generic_type", "sentence_type", "number", "pronoun", "cut_word"))
_REFERENCE: frozenset[RuleName] = frozenset(("strip_brackets", "too_long", "stop_type", "duplicate"))
PRESETS: dict[str, frozenset[RuleName]] = {
    "reference": _REFERENCE,
    "default": frozenset(RULE_NAMES) - {"overlap"},
    "strict": frozenset(RULE_NAMES),
}
TypesOf = Callable[[Annotation], Annotation]


def switched_on(settings: FilterSettings) -> frozenset[RuleName]:
    """The rules that apply: those of the preset, overridden by ``filter.rules``."""
    chosen = PRESETS[settings.preset]
    on = {name for name in RULE_NAMES if settings.rules.get(name, name in chosen)}
    if settings.overlap is not None and "overlap" not in settings.rules:
        on = on - {"overlap"} if settings.overlap == "keep" else on | {"overlap"}
    if settings.personal is not None and "personal_data" not in settings.rules:
        on.add("personal_data")
    return frozenset(on)


class Cleaned(NamedTuple):
    """The result of filtering one passage.

    Attributes:
        annotation: what is left of it, or None when the passage was dropped.
        rejects: the dropped passage, or every dropped entity, and the dropped occurrences of those that stay.
        entities: how many entities it had.
        changed: rules that changed something without dropping it, once per change.
    """

    annotation: Annotation | None
    rejects: tuple[Reject, ...] = ()
    entities: int = 0
    changed: tuple[str, ...] = ()


def clean(
    annotations: Iterable[Annotation], settings: FilterSettings, types_of: TypesOf | None = None
) -> Iterator[Cleaned]:
    """Apply the rules that need one passage only.

    Args:
        annotations: in any order; one result each, in the same order.
        settings: preset, switches and limits.
        types_of: gives an annotation its canonical types, before the rules look at them.

    The rules ``duplicate_passage`` and ``near_duplicate`` need the passages before: see ``quality.duplicates``.
    """
    on = switched_on(settings)
    passage_rules = [(name, rule) for name, rule in PASSAGE_RULES.items() if name in on]
    personal = (
        settings.personal or ("mask" if settings.preset == "strict" else "keep")
        if "personal_data" in on
        else None
    )
    guessing, trusting = _Mentions(settings, on), _Mentions(settings, on - _GUESSES)
    for annotation in annotations:
        count = len(annotation.entities)
        rejects: list[Reject] = []
        changed: list[str] = []
        gone = next(
            (
                (name, detail)
                for name, rule in passage_rules
                if (detail := rule(annotation.passage, settings))
            ),
            None,
        )
        if gone is None and personal is not None and (found := find(annotation.passage.text)):
            if personal == "drop":
                gone = ("personal_data", ", ".join(sorted({f.kind for f in found})))  # never the data itself
            elif personal == "mask":
                annotation = _masked(annotation, found, rejects)
            changed.append("personal_data")
        if gone is not None:
            yield Cleaned(None, (_passage(annotation, *gone),), count)
            continue
        if types_of is not None:
            annotation = _renamed(annotation, types_of, changed)
        mentions = trusting if annotation.by.source == "human" else guessing
        kept = mentions.clean(annotation, rejects, changed)
        entities = annotation.entities
        if len(kept) != len(entities) or any(a is not b for a, b in zip(kept, entities, strict=True)):
            annotation = Annotation(passage=annotation.passage, entities=tuple(kept), by=annotation.by)
        yield Cleaned(annotation, tuple(rejects), count, tuple(changed))


class _Mentions:
    """The rules for the mentions of a passage, prepared once."""

    def __init__(self, settings: FilterSettings, on: frozenset[RuleName]) -> None:
        self._judges = judges(settings, on)
        self._cut = "cut_word" in on
        self._overlap = (settings.overlap or "outermost") if "overlap" in on else "keep"
        self._dedupe = "duplicate" in on
        self._fold = settings.preset != "reference"

    def clean(self, annotation: Annotation, rejects: list[Reject], changed: list[str]) -> list[Entity]:
        """The entities that are kept; appends to the rejects and the changes."""
        passage = annotation.passage
        judge = self._judges[passage.lang]
        kept: list[Entity] = []
        for entity in annotation.entities:
            outcome = judge(entity)
            if outcome is entity:
                kept.append(entity)
            elif isinstance(outcome, str):
                rejects.append(_entity(annotation, entity, outcome))
            else:
                changed.append("strip_brackets")
                kept.append(outcome)
        if len(kept) < 2:
            return kept
        if self._cut and (cut := cut_words(kept, passage.text, passage.lang)):
            kept = [entity for entity in kept if entity not in cut]
            rejects += [_entity(annotation, entity, "cut_word") for entity in cut]
        if self._overlap != "keep":
            before = kept
            kept, lost, fewer = without_overlap(before, self._overlap)
            rejects += [_entity(annotation, entity, "overlap") for entity in lost]
            changed += ["overlap"] * fewer
            if fewer:
                stay = [entity for entity in before if all(entity is not other for other in lost)]
                for old, new in zip(stay, kept, strict=True):
                    rejects += _occurrences(passage.id, old, new.starts, "overlap")
        if self._dedupe:
            kept, repeated = merge_duplicates(kept, fold=self._fold)
            rejects += [_entity(annotation, entity, "duplicate") for entity in repeated]
        return kept


def merge_duplicates(entities: Iterable[Entity], *, fold: bool = True) -> tuple[list[Entity], list[Entity]]:
    """Entities without repeats of (surface, type), and the repeats.

    Args:
        entities: of one passage.
        fold: ignore case.

    The offsets of a repeat with the same characters are added to the entity that is kept.
    """
    kept: dict[tuple[str, str], Entity] = {}
    repeated: list[Entity] = []
    for entity in entities:
        key = (entity.surface.casefold(), entity.type.casefold()) if fold else (entity.surface, entity.type)
        first = kept.setdefault(key, entity)
        if first is entity:
            continue
        repeated.append(entity)
        if first.surface == entity.surface:
            starts = tuple(sorted({*first.starts, *entity.starts}))
            kept[key] = replace(first, starts=starts)
    return list(kept.values()), repeated


def _renamed(annotation: Annotation, types_of: TypesOf, changed: list[str]) -> Annotation:
    renamed = types_of(annotation)
    if renamed is not annotation:
        pairs = zip(renamed.entities, annotation.entities, strict=True)
        changed.extend("types" for new, old in pairs if new is not old)
    return renamed


def _masked(annotation: Annotation, found: list[Found], rejects: list[Reject]) -> Annotation:
    """The annotation with its personal data masked; mentions that touch them lose those places."""
    passage = replace(annotation.passage, text=masked(annotation.passage.text, found))
    entities = []
    for entity in annotation.entities:
        size = len(entity.surface)
        starts = tuple(s for s in entity.starts if all(s + size <= f.start or f.end <= s for f in found))
        if starts:
            entities.append(entity if len(starts) == len(entity.starts) else replace(entity, starts=starts))
            rejects += _occurrences(passage.id, entity, starts, "personal_data")
            continue
        rejects.append(
            Reject(id=passage.id, stage=STAGE, reason="personal_data", detail=entity.type, unit="entity")
        )
    return Annotation(passage=passage, entities=tuple(entities), by=annotation.by)


def _entity(annotation: Annotation, entity: Entity, reason: str) -> Reject:
    detail = f"{entity.surface} ({entity.type})"
    return Reject(id=annotation.passage.id, stage=STAGE, reason=reason, detail=detail, unit="entity")


def _occurrences(identifier: str, entity: Entity, kept: Sequence[int], reason: str) -> list[Reject]:
    """Rejects for the lost places of an entity that keeps others."""
    name = entity.type if reason == "personal_data" else f"{entity.surface} ({entity.type})"
    return [
        Reject(id=identifier, stage=STAGE, reason=reason, detail=f"{name} at {start}", unit="occurrence")
        for start in entity.starts
        if start not in kept
    ]


def _passage(annotation: Annotation, reason: str, detail: str) -> Reject:
    lost = len(annotation.entities)
    return Reject(
        id=annotation.passage.id, stage=STAGE, reason=reason, detail=detail, unit="passage", entities=lost
    )
