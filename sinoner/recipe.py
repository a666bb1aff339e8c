"""Reading a recipe: YAML and ``section.key=value`` overrides → settings.

All mistakes are reported at once, each with its place, what was expected and the nearest valid name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import ValidationError

from sinoner import disk, resources, yamlfile
from sinoner.errors import InputError
from sinoner.settings import SECTIONS, Recipe, Section
from sinoner.settings.recipe_path import RecipePath
from sinoner.yamlfile import Loc, Yaml

S = TypeVar("S", bound=Section)


def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file and apply ``section.key=value`` overrides.

    Paths are made absolute: beside the recipe first, then from the current folder, then among the shipped files.

    Raises:
        InputError: every mistake of the recipe, one per line.
    """
    found = resources.find(path) or resources.find(f"data_recipes/{path}.yaml")
    if found is None:
        raise InputError(f"{path}: no such recipe. Shipped ones: {', '.join(shipped()) or 'none'}")
    if not found.is_file():
        raise InputError(f"{found}: is a folder, a recipe is a YAML file")
    read = yamlfile.parse(disk.read_text(found, f"{found}: no such recipe"), str(found))
    tree = {} if read.value is None else read.value
    if not isinstance(tree, dict):
        raise InputError(
            f"{found}: a recipe is a mapping of sections ({', '.join(SECTIONS)}), not {yamlfile.described(tree)}"
        )
    tree.setdefault("name", found.stem)
    recipe = build(tree, overrides, where=str(found), read=read)
    return resolve(recipe, found.resolve().parent)


def build(
    tree: Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    where: str = "settings",
    read: Yaml | None = None,
) -> Recipe:
    """Validate a mapping of settings after applying overrides.

    Args:
        tree: settings by section, as YAML gives them.
        overrides: ``section.key=value`` words; the value is read as YAML.
        where: how messages name the place.
        read: the text that the mapping comes from, for the lines of messages.

    Raises:
        InputError: every mistake, one per line.
    """
    merged: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in tree.items()}
    overridden: set[str] = set()
    problems = list(read.mistakes) if read else []
    for word in overrides:
        key, equals, value = word.partition("=")
        parts = key.split(".")
        if not equals or not all(parts) or len(parts) > 2:
            shown = _KEY_LIKE.sub("***", f"{key}=***" if equals else key)  # the value may be a key
            problems.append(f"{shown!r}: an override is written section.key=value")
            continue
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            problems.append(f"{key}: the value is not YAML; quote it")
            continue
        target = merged
        if len(parts) == 2:
            section = merged.setdefault(parts[0], {})
            target = section if isinstance(section, dict) else {}
        target[parts[-1]] = parsed
        overridden.add(key)
    merged = {k: ({} if v is None and k in SECTIONS else v) for k, v in merged.items()}
    try:
        keys = list(_literal_keys(merged, ""))
    except RecursionError:
        raise InputError(f"{where}: is nested too deeply, or holds itself") from None
    if keys:
        raise InputError("\n".join([*problems, *(f"{where}: {key}: {_KEY_ADVICE}" for key in keys)]))
    try:
        recipe = Recipe.model_validate(merged)
    except ValidationError as error:

        def place(loc: Loc) -> str:
            dotted = ".".join(map(str, loc))
            given = any(dotted == word or dotted.startswith(word + ".") for word in overridden)
            return "command line" if given else read.place(loc) if read else where

        # These may hold a login or a key by mistake.
        problems += yamlfile.explain(error, Recipe, place, secret=("base_url", "api_key_env"))
        recipe = Recipe()
    if problems:
        raise InputError("\n".join(problems))
    return recipe


# Names of fields that people put keys into, and what keys look like (OpenAI, DashScope, DeepSeek, Hugging Face …).
_KEY_FIELDS = frozenset(
    ("api_key", "apikey", "api-key", "key", "token", "secret", "authorization", "password")
)
_KEY_LIKE = re.compile(r"\b(?:sk-|hf_|gsk_|AIza|Bearer )[A-Za-z0-9_\-.]{16,}")
_KEY_ADVICE = (
    "a recipe must not contain a key, because it is stored and shared with the run; export it as OPENAI_API_KEY (or name"
    " another variable with llm.api_key_env), or store it in a file outside the run folder and name the file with"
    " llm.api_key_file"
)


def _literal_keys(tree: Any, prefix: str) -> Iterator[str]:
    """Dotted names of the values that are, or are meant to be, secret keys."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            dotted = f"{prefix}{name}"
            if str(name).lower() in _KEY_FIELDS and prefix.startswith("llm.") and value is not None:
                yield dotted
            else:
                yield from _literal_keys(value, dotted + ".")
    elif isinstance(tree, (list, tuple)):
        for i, value in enumerate(tree):
            yield from _literal_keys(value, f"{prefix}{i}.")
    elif isinstance(tree, str) and _KEY_LIKE.search(tree):
        yield prefix.rstrip(".")


def shipped() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(p.stem for p in (resources.data_root() / "data_recipes").glob("*.yaml"))


def dump(recipe: Recipe) -> str:
    """The recipe as YAML, only what differs from the defaults."""
    return yaml.safe_dump(
        recipe.model_dump(mode="json", exclude_defaults=True), allow_unicode=True, sort_keys=False
    )


def resolve(recipe: Recipe, near: Path) -> Recipe:
    """Make the local paths of a recipe absolute: those beside it first, then as ``resources.find`` does."""
    return _resolved(recipe, near)


def _resolved(section: S, near: Path) -> S:
    changed: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        mark = next((m for m in field.metadata if isinstance(m, RecipePath)), None)
        located = _located(value, field.annotation, mark, near)
        if located != value:
            changed[name] = located
    return section.model_copy(update=changed) if changed else section


def _located(value: Any, kind: Any, mark: RecipePath | None, near: Path) -> Any:
    """A value of a type with the paths in it made absolute."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(value, Section):
        return _resolved(value, near)
    if origin is Annotated:
        mark = next((m for m in arguments[1:] if isinstance(m, RecipePath)), mark)
        return _located(value, arguments[0], mark, near)
    if origin in (Union, UnionType):
        found = (_located(value, argument, mark, near) for argument in arguments if argument is not NoneType)
        return next((located for located in found if located != value), value)
    if isinstance(value, (tuple, list)) and arguments:
        return type(value)(_located(item, arguments[0], None, near) for item in value)
    if isinstance(value, dict) and arguments:
        return {key: _located(item, arguments[1], None, near) for key, item in value.items()}
    return _path(value, mark, near) if mark is not None and isinstance(value, str) else value


def _path(written: str, mark: RecipePath, near: Path) -> str:
    """The path that a setting names, absolute when the file exists; a name stays as it is."""
    if not written or written in mark.words or "://" in written:
        return written
    if mark.suffixes and not written.endswith(mark.suffixes):
        return written
    if mark.shipped and not Path(written).suffix:
        written = mark.shipped.format(written)
    is_path = not mark.name_first or written.startswith(("./", "../", "~", "/"))
    if not is_path and not (near / written).exists():
        return written
    found = resources.find(written, near)
    return str(found.resolve()) if found else written
