"""Keyword options and ``section.key`` settings of the Python functions → the settings of a recipe."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from sinoner import recipe
from sinoner.errors import InputError
from sinoner.settings import Recipe


def recipe_from(
    function: str,
    options: Mapping[str, object],
    settings: Mapping[str, object] | None,
    sections: Collection[str],
) -> Recipe:
    """The recipe that a function call describes, with local paths resolved from the current folder.

    Args:
        function: name of the function, for messages.
        options: ``section.key`` to the value of a keyword option; None leaves the setting at its default.
        settings: further settings that the caller gave, by ``section.key``.
        sections: the sections that the function reads.

    Raises:
        InputError: a setting of another section, a setting given twice, or every mistake in the values.
    """
    tree: dict[str, dict[str, object]] = {}
    given = {key: value for key, value in options.items() if value is not None}
    for key, value in (settings or {}).items():
        section, _, name = key.partition(".")
        if section not in sections or not name:
            example = f"{min(sections)}.KEY"
            raise InputError(
                f"{function}: settings: {key!r}: a setting is written {example}; sections: {', '.join(sorted(sections))}"
            )
        if key in given:
            raise InputError(f"{function}: {key} is given twice: as an option and in settings; keep one")
        tree.setdefault(section, {})[name] = value
    for key, value in given.items():
        section, _, name = key.partition(".")
        tree.setdefault(section, {})[name] = value
    return recipe.resolve(recipe.build(tree, where=function), Path.cwd())
