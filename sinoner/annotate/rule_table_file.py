"""Reading a rule table: YAML with words and patterns by type, or TSV/CSV with one word and its type per line."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import NamedTuple

import yaml

from sinoner.errors import InputError

SUFFIXES = (".yaml", ".yml", ".tsv", ".txt", ".csv")
MENTION = "mention"
_PARTS = ("terms", "patterns")
_SHAPE = "{terms: {type: [word, …]}, patterns: {type: [regular expression, …]}}"
_HEADER = ("word", "type")
_MOST_SAID = 20


class Rule(NamedTuple):
    """A regular expression and the type of what it matches.

    Attributes:
        type: the type of its matches.
        pattern: the compiled expression; where it has a group called ``mention``, that group is the mention.
        place: ``file:line``.
    """

    type: str
    pattern: re.Pattern[str]
    place: str

    @property
    def group(self) -> str | int:
        """The group that is the mention; 0 is the whole match."""
        return MENTION if MENTION in self.pattern.groupindex else 0


class Term(NamedTuple):
    """A word of the dictionary, as it stands in a text, and its type."""

    type: str
    word: str


class Table(NamedTuple):
    """A rule table. A word may have several types."""

    terms: tuple[Term, ...]
    rules: tuple[Rule, ...]


def parse_table(text: str, path: str) -> Table:
    """Read a rule table.

    Args:
        text: what the file holds.
        path: its name: the suffix says the format, and mistakes are told with it.

    Raises:
        InputError: every mistake (up to 20), one per line, with its line of the file.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: a table is a {', '.join(SUFFIXES)} file")
    mistakes: list[str] = []
    rows = _yaml_rows if suffix in (".yaml", ".yml") else _line_rows
    terms: dict[Term, None] = {}
    rules: list[Rule] = []
    for part, kind, value, line in rows(text, path, mistakes):
        place = f"{path}:{line}"
        kind, value = kind.strip(), value.strip() if part == "terms" else value
        if not kind:
            mistakes.append(f"{place}: the type is empty")
        elif not value:
            mistakes.append(f"{place}: a {'word' if part == 'terms' else 'pattern'} of {kind!r} is empty")
        elif part == "terms":
            terms[Term(kind, value)] = None
        elif (compiled := _compiled(value, place, mistakes)) is not None:
            rules.append(Rule(kind, compiled, place))
    if not mistakes and not terms and not rules:
        mistakes.append(f"{path}: has neither words nor patterns; it is written {_SHAPE}")
    if mistakes:
        more = len(mistakes) - _MOST_SAID
        said = mistakes[:_MOST_SAID] + ([f"{path}: … and {more} more mistakes"] if more > 0 else [])
        raise InputError("\n".join(said))
    return Table(tuple(terms), tuple(rules))


# Part (terms or patterns), type, word or expression, line.
_Row = tuple[str, str, str, int]


def _line_rows(text: str, path: str, mistakes: list[str]) -> Iterator[_Row]:
    """The rows of a TSV or CSV text; blank lines and a first line ``word``, ``type`` are no rows."""
    comma = path.lower().endswith(".csv")
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter="," if comma else "\t",
        quoting=csv.QUOTE_MINIMAL if comma else csv.QUOTE_NONE,
        strict=comma,
    )
    first = True
    try:
        for row in reader:
            if not any(map(str.strip, row)):
                continue
            if first and tuple(cell.strip().lower() for cell in row) == _HEADER:
                first = False
                continue
            first = False
            if len(row) != 2:
                between = "comma" if comma else "tab"
                mistakes.append(
                    f"{path}:{reader.line_num}: a line is a word, a {between} and its type, not {len(row)} fields"
                )
                continue
            yield "terms", row[1], row[0], reader.line_num
    except csv.Error as error:
        mistakes.append(f"{path}:{reader.line_num}: is not {'CSV' if comma else 'TSV'}: {error}")


def _yaml_rows(text: str, path: str, mistakes: list[str]) -> Iterator[_Row]:
    """The rows of a YAML text, from its nodes, which know their lines; words like ``no`` or ``2024`` stay words."""
    try:
        root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else path
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        mistakes.append(f"{place}: is not YAML: {said}")
        return
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        mistakes.append(f"{path}:{_line(root)}: a table is written {_SHAPE}")
        return
    for name, types in root.value:
        if name.value not in _PARTS:
            mistakes.append(f"{path}:{_line(name)}: unknown key {name.value!r}; known: {', '.join(_PARTS)}")
        elif isinstance(types, yaml.MappingNode):
            for kind, values in types.value:
                yield from _of_type(name.value, kind, values, path, mistakes)
        elif types.value:
            mistakes.append(f"{path}:{_line(types)}: {name.value} is written {{type: [word, …]}}")


def _of_type(part: str, kind: yaml.Node, values: yaml.Node, path: str, mistakes: list[str]) -> Iterator[_Row]:
    if not isinstance(kind, yaml.ScalarNode):
        mistakes.append(f"{path}:{_line(kind)}: a type is one word, not a list or a mapping")
        return
    nodes: Sequence[yaml.Node] = values.value if isinstance(values, yaml.SequenceNode) else [values]
    for node in nodes:
        if isinstance(node, yaml.ScalarNode):
            null = node.tag == "tag:yaml.org,2002:null" and node.value in ("", "~")
            yield part, kind.value, "" if null else node.value, _line(node)
        else:
            mistakes.append(f"{path}:{_line(node)}: {part} of {kind.value!r} are a list of plain words")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _compiled(expression: str, place: str, mistakes: list[str]) -> re.Pattern[str] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # "possible nested set": means what it says today
            compiled = re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:
        mistakes.append(f"{place}: {expression!r} is no regular expression: {error}")
        return None
    if compiled.search("") is not None:
        mistakes.append(f"{place}: {expression!r} matches the empty string, so it would match everywhere")
        return None
    return compiled
