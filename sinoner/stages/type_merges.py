"""The types.yaml that the filter of a run goes by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sinoner.errors import InputError
from sinoner.quality import types_file as types_yaml
from sinoner.quality.types_file import LANGS
from sinoner.run.layout import TYPES

if TYPE_CHECKING:
    from sinoner.quality.types import TypeMap
    from sinoner.settings import Recipe


def types_file(folder: Path, recipe: Recipe) -> Path | None:
    """The types.yaml that the filter goes by: ``filter.types``, else the one of the run folder if there is one.

    Raises:
        InputError: ``filter.types`` names a file that does not exist.
    """
    named = named_file(recipe)
    if named is None:
        return folder / TYPES if (folder / TYPES).is_file() else None
    return named


def named_file(recipe: Recipe) -> Path | None:
    """The file that ``filter.types`` names.

    Raises:
        InputError: it does not exist.
    """
    named = recipe.filter.types
    if named is None:
        return None
    path = Path(named).expanduser()
    if not path.is_file():
        raise InputError(f"filter.types: {named}: no such file; sinoner types RUN writes one")
    return path


def type_map(folder: Path, recipe: Recipe) -> TypeMap | None:
    """The merges that the filter applies, or None when there are none.

    Raises:
        InputError: the file is missing, or has mistakes (each with its line).
    """
    path = types_file(folder, recipe)
    return None if path is None else read_types(path)


def read_types(path: Path) -> TypeMap:
    """The merges of a types.yaml.

    Raises:
        InputError: every mistake of the file, one per line.
    """
    from sinoner.quality.types import TypeMap

    file = types_yaml.read(path)
    return TypeMap({lang: file.canonical_names(lang) for lang in LANGS})
