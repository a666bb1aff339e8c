"""Rules that look at one mention and its type."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from sinoner.quality import wordlists as known
from sinoner.records import Entity, Lang
from sinoner.settings import FilterSettings, RuleName
from sinoner.text.ground import BRACKETS, ENCLOSING, strip_brackets

# What is kept in mind of types: their number is unbounded in open extraction.
_MOST_TYPES = 100_000
_LONGEST_TYPE_ZH, _LONGEST_TYPE_EN = 20, 8  # characters, words
_SENTENCE_MARKS = frozenset("。！？；!?，,\n\t：:")
# The result of a judge: the entity to keep (changed or not), or the reason to drop it.
Verdict = Entity | str
Judge = Callable[[Entity], Verdict]


def judges(settings: FilterSettings, on: frozenset[RuleName]) -> dict[Lang, Judge]:
    """The rules for one entity at a time, prepared once per language.

    The reference preset measures a mention before it takes the brackets off, as the paper's code does; the others
    take them off first.
    """
    return {"zh": _judge(settings, on, "zh"), "en": _judge(settings, on, "en")}


def _judge(settings: FilterSettings, on: frozenset[RuleName], lang: Lang) -> Judge:
    reference = settings.preset == "reference"
    of_type = _type_rules(settings, on)
    strip = "strip_brackets" in on
    pairs = BRACKETS if reference else ENCLOSING
    opens = frozenset(pair[0] for pair in pairs)
    limit = (settings.max_chars if lang == "zh" else settings.max_words) if "too_long" in on else None
    number, pronoun = "number" in on, "pronoun" in on

    def too_long(surface: str) -> bool:
        if limit is None or len(surface) <= limit:  # no text has more words than characters
            return False
        return lang == "zh" or len(surface.split()) > limit

    def judge(entity: Entity) -> Verdict:
        surface = entity.surface
        if reference and too_long(surface):
            return "too_long"
        if strip and surface[0] in opens:
            inner = _stripped(
                entity, _first_and_last(surface) if reference else strip_brackets(surface, pairs)
            )
            if isinstance(inner, str):
                return inner
            entity, surface = inner, inner.surface
        if not reference and too_long(surface):
            return "too_long"
        reason, numeric = of_type(entity.type)
        if reason is not None:
            return reason
        if number and not numeric and known.NUMBER.fullmatch(surface):
            return "number"
        if pronoun and len(surface) < 12 and surface.casefold() in known.PRONOUNS:
            return "pronoun"
        return entity

    return judge


def _first_and_last(surface: str) -> str:
    """The paper's way: what begins and ends with a pair loses it, though 《A》与《B》 is no title."""
    return surface[1:-1] if len(surface) > 2 and surface[0] + surface[-1] in BRACKETS else surface


def _stripped(entity: Entity, inner: str) -> Verdict:
    if inner == entity.surface:
        return entity
    trimmed = inner.strip()
    if not trimmed:
        return "empty_mention"
    lead = len(inner) - len(inner.lstrip()) + 1
    return replace(entity, surface=trimmed, starts=tuple(s + lead for s in entity.starts))


def _type_rules(
    settings: FilterSettings, on: frozenset[RuleName]
) -> Callable[[str], tuple[str | None, bool]]:
    """A function that returns, for a type, the reason to drop it (or None) and whether it is a type of numbers."""
    stops = frozenset(s.strip().casefold() for s in settings.stop_types) if "stop_type" in on else frozenset()
    generic = known.GENERIC_TYPES if "generic_type" in on else frozenset()
    sentences = "sentence_type" in on
    seen: dict[str, tuple[str | None, bool]] = {}

    def judge(kind: str) -> tuple[str | None, bool]:
        known_already = seen.get(kind)
        if known_already is not None:
            return known_already
        name = kind.strip().casefold()
        reason = None
        if name in stops:
            reason = "stop_type"
        elif name in generic:
            reason = "generic_type"
        elif sentences and is_sentence(kind):
            reason = "sentence_type"
        if len(seen) >= _MOST_TYPES:
            seen.clear()
        seen[kind] = result = (reason, known.NUMERIC_TYPE.search(kind) is not None)
        return result

    return judge


def is_sentence(kind: str) -> bool:
    """Whether a type is a sentence, not a name: it contains sentence punctuation or is too long for a name."""
    name = kind.strip()
    if not _SENTENCE_MARKS.isdisjoint(name):
        return True
    return len(name) > _LONGEST_TYPE_ZH if not name.isascii() else len(name.split()) > _LONGEST_TYPE_EN
