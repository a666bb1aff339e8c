"""The type of settings that name a file: a path may be relative to the recipe that holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class RecipePath:
    """Marks a setting, or a part of one, whose text may be a path relative to the recipe.

    ``sinoner.recipe.resolve`` finds every mark by walking the settings.

    Attributes:
        words: values that are names and never paths.
        name_first: the value may also be a name (hub id, tokenizer): it is a path only when it exists beside the
            recipe or is written as one (``./``, ``../``, ``~`` or ``/`` at its beginning).
        suffixes: only a value with one of these endings is a path; empty = any.
        shipped: where a value without a suffix is located among the shipped files, ``{}`` for the value.
    """

    words: tuple[str, ...] = ()
    name_first: bool = False
    suffixes: tuple[str, ...] = ()
    shipped: str = ""


PathInRecipe = Annotated[str, RecipePath()]
PoolPath = Annotated[str, RecipePath(words=("train",))]
PromptPath = Annotated[str, RecipePath(suffixes=(".yaml", ".yml"))]
TablePath = Annotated[str, RecipePath(shipped="data_recipes/tables/{}.yaml")]
StopWordsPath = Annotated[str, RecipePath(words=("shipped", "none"))]
TokenizerPath = Annotated[str, RecipePath(words=("o200k_base", "cl100k_base"), name_first=True)]
ModelPath = Annotated[str, RecipePath(name_first=True)]
