"""Canonical names of entity types: name maps, and the shipped table of synonyms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from msgspec.structs import replace
from pydantic import RootModel

from sinoner import resources, yamlfile
from sinoner.records import Annotation, Entity, Facts
from sinoner.text.fold import fold

_TABLE = Path("data_recipes") / "types" / "synonyms.yaml"
# Names kept with their answer: open extraction invents them without end.
_MOST_SEEN = 100_000
_JOINS = str.maketrans("", "", "_-")


def key(name: str) -> str:
    """A type's name without case, character width, white space, hyphens and underscores, for comparison."""
    return fold(name, "spacing").translate(_JOINS)


class TypeMap:
    """Canonical names of types, per language of the passage.

    Picklable, so that processes can share it. Results are cached: a known name costs one look-up.
    """

    def __init__(self, names: Mapping[str, Mapping[str, str]]) -> None:
        """Make a map.

        Args:
            names: per language, canonical name by any name. Names are compared by ``key``; a canonical name always
                stands for itself.
        """
        self._names: dict[str, dict[str, str]] = {}
        for lang, of_lang in names.items():
            by_key = {key(name): canonical for name, canonical in of_lang.items()}
            self._names[lang] = {key(canonical): canonical for canonical in of_lang.values()} | by_key
        self._seen: dict[str, dict[str, str]] = {}

    def find(self, type: str, lang: str) -> str | None:
        """The canonical name of a type, or None when the map does not contain it."""
        return self._names.get(lang, {}).get(key(type))

    def canonical(self, type: str, lang: str) -> str:
        """The canonical name of a type in passages of a language; the type itself when the map does not contain it."""
        seen = self._seen.get(lang)
        if seen is None:
            seen = self._seen[lang] = {}
        found = seen.get(type)
        if found is None:
            if len(seen) >= _MOST_SEEN:
                seen.clear()
            found = seen[type] = self.find(type, lang) or type
        return found

    def apply(self, annotation: Annotation) -> Annotation:
        """The annotation with canonical types, the same object when nothing changes.

        The annotator's type is kept as ``original_type``. Entities that become equal are left to the rule
        ``duplicate``.
        """
        lang = annotation.passage.lang
        seen = self._seen.get(lang, {})
        for entity in annotation.entities:
            if seen.get(entity.type) != entity.type:  # another name, or none that was seen before
                break
        else:
            return annotation
        entities = tuple(self._renamed(entity, lang) for entity in annotation.entities)
        if all(new is old for new, old in zip(entities, annotation.entities, strict=True)):
            return annotation
        return replace(annotation, entities=entities)

    def _renamed(self, entity: Entity, lang: str) -> Entity:
        canonical = self.canonical(entity.type, lang)
        if canonical == entity.type:
            return entity
        said = entity.type if entity.original_type is None else entity.original_type
        # Building one is a third faster than copying it with an update.
        return Entity(surface=entity.surface, type=canonical, starts=entity.starts, original_type=said)


class Synonyms(Facts):
    """One type of the table: its name in Chinese and in English, and further names in either language."""

    zh: str
    en: str
    variants: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of its names."""
        return (self.zh, self.en, *self.variants)


@lru_cache(maxsize=1)
def table() -> dict[str, Synonyms]:
    """The shipped table of synonyms, by the ids of its types."""
    path = resources.data_root() / _TABLE
    return yamlfile.load(path, RootModel[dict[str, Synonyms]], "a table of synonyms").root


@lru_cache(maxsize=1)
def synonyms() -> TypeMap:
    """The shipped table as a map: any name of a type, in either language → its name in the passage's language."""
    entries = table().values()
    return TypeMap(
        {
            "zh": {name: entry.zh for entry in entries for name in entry.names},
            "en": {name: entry.en for entry in entries for name in entry.names},
        }
    )
