"""Reading a rule table: YAML with words and patterns by type, or TSV/CSV with one word and its type per line."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import PurePath
from typing import Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict

from sinoner import yamlfile
from sinoner.errors import InputError
from sinoner.settings.section import listed

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


_Words = Annotated[tuple[str, ...], BeforeValidator(listed)]
_ByType = Annotated[dict[str, _Words], BeforeValidator(lambda value: value or {})]


class _YamlTable(BaseModel):
    """The shape of a rule table in YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    terms: _ByType = {}
    patterns: _ByType = {}


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
    """The rows of a YAML text; words like ``no`` or ``2024`` stay words."""
    read = yamlfile.parse(text, path, words=True)
    if read.root is None:
        return
    try:
        parts = yamlfile.validate(read, _YamlTable, "a rule table")
    except InputError as error:
        mistakes += str(error).splitlines()
        return
    for part in _PARTS:
        for kind, values in getattr(parts, part).items():
            for i, value in enumerate(values):
                # Only patterns and mistakes are reported with their line; looking up that of each word takes long.
                known = part == "terms" and value.strip() and kind.strip()
                yield part, kind, value, 0 if known else read.line((part, kind, i)) or 0


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
