"""Reading a recipe: YAML and ``section.key=value`` overrides → settings.

All mistakes are reported at once, each with its place, what was expected and the nearest valid name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sinoner import resources
from sinoner.errors import InputError
from sinoner.settings import SECTIONS, Recipe, Source


def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file and apply ``section.key=value`` overrides.

    Paths of sources, gold, benchmarks, types and a prompt file are made absolute: beside the recipe first, then
    from the current folder, then among the shipped files.

    Raises:
        InputError: every mistake of the recipe, one per line.
    """
    found = resources.find(path) or resources.find(f"data_recipes/{path}.yaml")
    if found is None:
        raise InputError(f"{path}: no such recipe. Shipped ones: {', '.join(shipped()) or 'none'}")
    if not found.is_file():
        raise InputError(f"{found}: is a folder, a recipe is a YAML file")
    try:
        text = found.read_text(encoding="utf-8")
        tree = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{found}: is not UTF-8 ({error.reason} at byte {error.start})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{found}:{mark.line + 1}" if mark else str(found)
        raise InputError(f"{place}: is not YAML: {getattr(error, 'problem', None) or error}") from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise InputError(
            f"{found}: a recipe is a mapping of sections ({', '.join(SECTIONS)}), not a {_kind(tree)}"
        )
    tree.setdefault("name", found.stem)
    recipe = build(tree, overrides, where=str(found), lines=_lines(text))
    return resolve(recipe, found.resolve().parent)


def build(
    tree: Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    where: str = "settings",
    lines: Mapping[str, int] | None = None,
) -> Recipe:
    """Validate a mapping of settings after applying overrides.

    Args:
        tree: settings by section, as YAML gives them.
        overrides: ``section.key=value`` words; the value is read as YAML.
        where: how messages name the place.
        lines: line of each dotted key, for messages.

    Raises:
        InputError: every mistake, one per line.
    """
    merged: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in tree.items()}
    overridden: set[str] = set()
    problems: list[str] = []
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
    if keys := list(_literal_keys(merged, "")):
        raise InputError("\n".join([*problems, *(f"{where}: {key}: {_KEY_ADVICE}" for key in keys)]))
    try:
        recipe = Recipe.model_validate(merged)
    except ValidationError as error:
        problems.extend(_explain(error, where, lines or {}, overridden))
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
    "a key does not belong into a recipe, which is kept and shared with the run; export it as OPENAI_API_KEY (or name"
    " another variable with llm.api_key_env), or put it into a file outside the run folder and name that with"
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

    def absolute(path: str) -> str:
        found = None if "://" in path else resources.find(path, near)
        return str(found.resolve()) if found else path

    def pool(name: str) -> str:
        return name if name == "train" else absolute(name)

    sources = tuple(s.model_copy(update={"path": absolute(s.path)}) for s in recipe.corpus.sources)
    of_evaluate: dict[str, Any] = {"benchmarks": tuple(absolute(b) for b in recipe.evaluate.benchmarks)}
    if recipe.evaluate.pools is not None:
        of_evaluate["pools"] = tuple(map(pool, recipe.evaluate.pools))
    retrieve = recipe.retrieve
    of_retrieve: dict[str, Any] = {"pools": tuple(map(pool, retrieve.pools))}
    if retrieve.stop_words not in ("shipped", "none"):
        of_retrieve["stop_words"] = absolute(retrieve.stop_words)
    annotate, llm = recipe.annotate, recipe.llm
    of_annotate: dict[str, Any] = {}
    if annotate.prompt.endswith((".yaml", ".yml")):
        of_annotate["prompt"] = absolute(annotate.prompt)
    if annotate.demonstrations:
        of_annotate["demonstrations"] = absolute(annotate.demonstrations)
    if annotate.table:
        named = bool(Path(annotate.table).suffix)
        of_annotate["table"] = absolute(
            annotate.table if named else f"data_recipes/tables/{annotate.table}.yaml"
        )
    of_filter: dict[str, Any] = {
        name: absolute(path)
        for name in ("types", "gold")
        if (path := getattr(recipe.filter, name)) is not None
    }
    of_filter["test_sets"] = tuple(absolute(path) for path in recipe.filter.test_sets)
    of_llm = {
        name: absolute(path)
        for name in ("prices", "api_key_file")
        if (path := getattr(llm, name)) is not None
    }
    return recipe.model_copy(
        update={
            "corpus": recipe.corpus.model_copy(update={"sources": sources}),
            "llm": llm.model_copy(update=of_llm),
            "annotate": annotate.model_copy(update=of_annotate),
            "filter": recipe.filter.model_copy(update=of_filter),
            "evaluate": recipe.evaluate.model_copy(update=of_evaluate),
            "retrieve": retrieve.model_copy(update=of_retrieve),
        }
    )


def _lines(text: str) -> dict[str, int]:
    """Line number of each dotted key of a YAML text."""

    def walk(node: yaml.Node, prefix: str) -> Iterator[tuple[str, int]]:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                dotted = f"{prefix}{key.value}"
                yield dotted, key.start_mark.line + 1
                yield from walk(value, dotted + ".")
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                yield f"{prefix}{i}", value.start_mark.line + 1
                yield from walk(value, f"{prefix}{i}.")

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return dict(walk(root, "")) if root is not None else {}


def _explain(
    error: ValidationError, where: str, lines: Mapping[str, int], overridden: set[str]
) -> Iterator[str]:
    """One line per mistake: place, key, what is wrong, what was expected."""
    for mistake in error.errors(include_url=False):
        path = [
            str(p) for p in mistake["loc"] if p != "[key]"
        ]  # pydantic's mark for a wrong key of a mapping
        is_key = len(path) < len(mistake["loc"])
        dotted = ".".join(path)
        line = next(
            (lines[".".join(path[:i])] for i in range(len(path), 0, -1) if ".".join(path[:i]) in lines), None
        )
        given = any(dotted == word or dotted.startswith(word + ".") for word in overridden)
        place = "command line" if given else f"{where}:{line}" if line else where
        if mistake["type"] == "extra_forbidden" or is_key:
            known = re.findall("'(.+?)'", mistake["ctx"]["expected"]) if is_key else list(_known(path[:-1]))
            near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            yield f"{place}: {dotted}: unknown key; {hint}"
        else:
            said = mistake["msg"].removeprefix("Value error, ")
            message = said[:1].lower() + said[1:]
            secret = dotted.endswith(("base_url", "api_key_env"))  # may hold a login or a key by mistake
            yield f"{place}: {dotted}: {message}" + ("" if secret else f", got {_short(mistake['input'])}")


def _known(path: Sequence[str]) -> Iterator[str]:
    """The keys that are valid at a place of the recipe."""
    if not path:
        yield from Recipe.model_fields
    elif path[0] in SECTIONS and len(path) == 1:
        yield from SECTIONS[path[0]].model_fields
    else:
        yield from Source.model_fields


def _kind(value: object) -> str:
    return {list: "list", str: "text", int: "number", float: "number", bool: "yes/no"}.get(
        type(value), "value"
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
