"""Reading a YAML file into a pydantic model: every mistake at once, each with its line and the nearest valid key."""

from __future__ import annotations

import contextlib
import difflib
import re
import reprlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, RootModel, ValidationError

from sinoner import disk
from sinoner.clip import clip
from sinoner.errors import InputError

M = TypeVar("M", bound=BaseModel)
Loc = Sequence[str | int]

_SHOWN_CHARS = 60
_MOST_KNOWN = 40  # keys that a message lists
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SEQUENCE = "tag:yaml.org,2002:seq"
_MERGE = "tag:yaml.org,2002:merge"
NULL = "tag:yaml.org,2002:null"
# Pydantic's words, and those of somebody who writes YAML.
_PLAIN = (
    (r"^Input should be a valid dictionary( or instance of \w+)?$", "must be a mapping"),
    (r"^Input should be a valid (list|tuple)$", "must be a list"),
    (r"^Input should be a valid string$", "must be text"),
    (r"^Input should ", "must "),
)


class _WordLoader(_LOADER):  # type: ignore[valid-type, misc]
    """Reads every scalar as text, as written: ``no``, ``2024`` and ``null`` stay words, an empty value is ``""``."""


def _word(_: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return "" if node.tag == NULL and node.value == "~" else str(node.value)


for _tag in ("null", "bool", "int", "float", "timestamp", "value", "merge"):
    _WordLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _word)


class Yaml(NamedTuple):
    """A YAML text that was read.

    Attributes:
        where: names the text in messages.
        value: what it says, as plain Python values; None when it is empty.
        root: its nodes, which know their lines.
        mistakes: keys given twice, one line each.
    """

    where: str
    value: Any
    root: yaml.Node | None
    mistakes: tuple[str, ...]

    def line(self, loc: Loc) -> int | None:
        """The line of the deepest part of a location (keys and list positions) that the text has."""
        node, line = self.root, None
        for part in loc:
            if isinstance(node, yaml.MappingNode):
                if part == 0:  # one value where a list of values is valid
                    continue
                found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
                if found is None:
                    break
                line, node = line_of(found[0]), found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = line_of(node)
            else:
                break
        return line

    def place(self, loc: Loc) -> str:
        """``file:line`` of a location, the file alone where the text does not have it."""
        line = self.line(loc)
        return f"{self.where}:{line}" if line else self.where


def parse(text: str, where: str, *, words: bool = False) -> Yaml:
    """Read a YAML text.

    Args:
        text: the text.
        where: names it in messages.
        words: read every scalar as text, as written, and join what a key that is given twice holds.

    Raises:
        InputError: it is not YAML, or a key is no scalar.
    """
    with _reported(where, text):
        loader = (_WordLoader if words else _LOADER)(text)
        try:
            root = loader.get_single_node()
            if words:
                _join(root)
            mistakes = tuple(_bad_keys(root, where))
            value = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    return Yaml(where, value, root, mistakes)


def compose(text: str, where: str) -> yaml.Node | None:
    """The nodes of a YAML text, for readers that keep its layout; None when it is empty.

    Raises:
        InputError: it is not YAML.
    """
    with _reported(where, text):
        return yaml.compose(text, Loader=_LOADER)


def line_of(node: yaml.Node) -> int:
    """The line on which a node begins, from 1."""
    return int(node.start_mark.line) + 1


def load(path: Path, kind: type[M], what: str, *, missing: str = "") -> M:
    """Read a YAML file into a model.

    Args:
        path: the file.
        kind: the model.
        what: what such a file is called, with its article: ``a price file``.
        missing: the whole message when there is no such file.

    Raises:
        InputError: the file cannot be read, or every mistake in it, one per line.
    """
    text = disk.read_text(path, missing or f"{path}: no such file")
    return validate(parse(text, str(path)), kind, what)


def validate(read: Yaml, kind: type[M], what: str) -> M:
    """What a YAML text says as a model; an empty text is a mistake.

    Raises:
        InputError: every mistake, one per line.
    """
    mistakes = list(read.mistakes)
    if not isinstance(read.value, dict):
        known = ", ".join(keys_at(kind, ()))
        place = f"{read.where}:{line_of(read.root)}" if read.root else read.where
        raise InputError(
            f"{place}: {what} is a mapping{f' with {known}' if known else ''}, not {described(read.value)}"
        )
    try:
        model = kind.model_validate(read.value)
    except ValidationError as error:
        mistakes += explain(error, kind, read.place)
    if mistakes:
        raise InputError("\n".join(mistakes))
    return model


def explain(
    error: ValidationError,
    kind: type[BaseModel],
    place: Callable[[Loc], str],
    secret: tuple[str, ...] = (),
) -> Iterator[str]:
    """One line per mistake: place, key, what is wrong and what was expected, or the nearest valid key.

    Args:
        error: what pydantic found.
        kind: the model that was validated.
        place: the place of a location, for people.
        secret: endings of the keys whose value is never shown.
    """
    for mistake in error.errors(include_url=False):
        loc = [part for part in mistake["loc"] if part != "[key]"]  # pydantic's mark of a mapping's wrong key
        is_key = len(loc) < len(mistake["loc"])
        dotted = ".".join(map(str, loc))
        head = f"{place(loc)}: {dotted}" if dotted else place(loc)
        if mistake["type"] == "extra_forbidden" or is_key:
            known = re.findall("'(.+?)'", mistake.get("ctx", {}).get("expected", "")) if is_key else None
            name, on_top = str(loc[-1]), len(loc) > 1 and loc[-1] in kind.model_fields
            hint = nearest(name, known or list(keys_at(kind, loc[:-1])))
            yield f"{head}: unknown key; {f'{name} is a key at the top of the file' if on_top else hint}"
        elif mistake["type"] == "missing":
            yield f"{head}: is missing"
        else:
            said = mistake["msg"].removeprefix("Value error, ")
            for pattern, plain in _PLAIN:
                said = re.sub(pattern, plain, said)
            whole = mistake["type"] == "value_error" and isinstance(mistake["input"], dict)
            hidden = not dotted or whole or (secret and dotted.endswith(secret))
            got = "" if hidden else f", got {_shown(mistake['input'])}"
            yield f"{head}: {said[:1].lower()}{said[1:]}{got}"


def _shown(value: object) -> str:
    """A value for people: short, however large it is or whatever it holds, be it itself."""
    shortened = reprlib.Repr()
    shortened.maxstring = shortened.maxother = _SHOWN_CHARS
    return clip(shortened.repr(value), _SHOWN_CHARS)


def nearest(word: str, known: Sequence[str]) -> str:
    """The valid key that a wrong one is most like, as a question; all of them where none is."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    more = ", …" if len(known) > _MOST_KNOWN else ""
    return f"known: {', '.join(known[:_MOST_KNOWN])}{more}" if known else "no key is valid here"


def keys_at(kind: Any, loc: Loc) -> Iterator[str]:
    """The keys that are valid at a location of a model, through lists, mappings, unions and models inside it."""
    for found in _types_at(kind, loc):
        if get_origin(found) is dict:
            yield from (key for key in get_args(get_args(found)[0]) if isinstance(key, str))
        elif _is_model(found) and not issubclass(found, RootModel):
            yield from (field.alias or name for name, field in found.model_fields.items())


def _types_at(kind: Any, loc: Loc) -> Iterator[Any]:
    """The types that may stand at a location, Annotated and unions taken apart."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield from _types_at(arguments[0], loc)
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from _types_at(argument, loc)
    elif _is_model(kind) and issubclass(kind, RootModel):
        yield from _types_at(kind.model_fields["root"].annotation, loc)
    elif not loc:
        yield kind
    elif origin is dict:
        yield from _types_at(arguments[1], loc[1:])
    elif origin in (tuple, list) and arguments:
        yield from _types_at(arguments[0], loc[1:])
    elif _is_model(kind):
        for name, field in kind.model_fields.items():
            if loc[0] in (name, field.alias):
                yield from _types_at(field.annotation, loc[1:])


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def described(value: object) -> str:
    """What a YAML value is, in a word."""
    names = {list: "a list", str: "text", bool: "yes or no", int: "a number", float: "a number"}
    return "an empty file" if value is None else names.get(type(value), "a single value")


def _join(root: yaml.Node | None) -> None:
    """Put what a key that is given twice holds into its first value, in every mapping."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) in seen or not isinstance(node, yaml.MappingNode):
            continue
        seen.add(id(node))
        joined: dict[Any, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else id(key)
            first, old = joined.get(name, (key, None))
            if isinstance(old, yaml.MappingNode) and isinstance(value, yaml.MappingNode):
                value = yaml.MappingNode(old.tag, old.value + value.value, old.start_mark)
            elif old is not None:
                value = yaml.SequenceNode(_SEQUENCE, _items(old) + _items(value), old.start_mark)
            joined[name] = first, value
        node.value = list(joined.values())
        todo += [value for _, value in node.value]


def _items(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    return [] if node.tag == NULL else [node]


def _bad_keys(root: yaml.Node | None, where: str) -> Iterator[str]:
    """Keys given twice. What an alias stands for is looked at once.

    Raises:
        InputError: a key is a list or a mapping.
    """
    seen: set[int] = set()
    todo: list[tuple[yaml.Node | None, str]] = [(root, "")]
    while todo:
        node, prefix = todo.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += [(item, f"{prefix}{i}.") for i, item in reversed(list(enumerate(node.value)))]
        elif isinstance(node, yaml.MappingNode):
            first: dict[tuple[str, str], int] = {}
            for key, _ in node.value:
                line, name = line_of(key), (key.tag, key.value)
                if not isinstance(key, yaml.ScalarNode):
                    raise InputError(f"{where}:{line}: a key is one word, not a list or a mapping")
                if key.tag != _MERGE and name in first:
                    yield f"{where}:{line}: {prefix}{key.value}: is given twice, first in line {first[name]}"
                first.setdefault(name, line)
            todo += [(value, f"{prefix}{key.value}.") for key, value in reversed(node.value)]


@contextlib.contextmanager
def _reported(where: str, text: str) -> Iterator[None]:
    """Raises what the YAML library reports as InputError, with the line where it knows it."""
    try:
        try:
            yield
        except yaml.YAMLError:
            yaml.safe_load(text)  # libyaml is fast; the Python parser gives better messages and lines
            raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise InputError(f"{place}: is not YAML: {said}") from None
    except RecursionError:
        raise InputError(f"{where}: is not YAML that can be read: it is nested too deeply") from None
    except ValueError as error:  # a date like 2024-13-01
        raise InputError(f"{where}: is not YAML that can be read: {error}; quote it") from None
