"""Bracketed values in a text: JSON and what models mix into it, whole or cut off. Nothing is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple


def joined(members: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """The object of these members. A key that comes again keeps its last value, but lists under it are joined."""
    made: dict[Any, Any] = {}
    for key, value in members:
        before = made.get(key)
        if isinstance(before, list) and isinstance(value, list):
            before += value
        else:
            made[key] = value
    return made


_decode = json.JSONDecoder(object_pairs_hook=joined).decode


def whole_value(text: str) -> Any:
    """The one JSON value of a text, which is what most answers hold; None when it must be looked for."""
    start = _next_open(text, 0, objects=True)
    end = text.rfind("]" if text[start : start + 1] == "[" else "}") + 1
    if start < 0 or end <= start or text.find("[", end) >= 0 or text.find("{", end) >= 0:
        return None
    try:
        return _decode(text[start:end])
    except (ValueError, RecursionError):
        return None


class Piece(NamedTuple):
    """A bracketed part of an answer.

    States: ``read``; ``cut`` (the text ends in the middle of a list, ``value`` is what is open); ``broken`` (no
    list, but it ends); ``crossed`` (another bracket is closed first); ``endless``.
    """

    state: Literal["read", "cut", "broken", "crossed", "endless"]
    start: int
    end: int
    value: Any = None


def pieces(text: str) -> Iterator[Piece]:
    """The outermost bracketed parts of a text, in order.

    After a bracket that never ends only lists are looked for, since an object after it is a piece of it.
    """
    at, objects = 0, True
    tries = 1 + 200_000 // (len(text) + 1)  # more brackets without an end are garbage, and would take long
    while tries and (start := _next_open(text, at, objects)) >= 0:
        piece = _parse(text, start)
        if piece.state == "broken":
            piece = _span(text, start)
        if piece.end > start:
            at = piece.end
        else:
            at, tries = start + 1, tries - 1
            objects = objects and piece.state == "crossed"
        yield piece


def _next_open(text: str, at: int, objects: bool) -> int:
    places = [text.find("[", at), text.find("{", at) if objects else -1]
    return min((p for p in places if p >= 0), default=-1)


_CLOSERS = {"[": "]", "{": "}", "(": ")"}
_QUOTE_OR_BRACKET = re.compile(r"""\\.|["'\[\](){}]""", re.DOTALL)


def _span(text: str, start: int) -> Piece:
    """Where the bracket at ``start`` is closed in a text that does not read; quotes are respected."""
    stack: list[str] = []
    quote = ""
    for found in _QUOTE_OR_BRACKET.finditer(text, start):
        char, at = found[0][-1], found.end() - 1
        if quote:
            quote = "" if found[0] == quote else quote
        elif char == '"' or (char == "'" and text[at - 1] in "[{(,: \n"):
            quote = char
        elif char in _CLOSERS:
            stack.append(_CLOSERS[char])
        elif char == stack[-1]:
            stack.pop()
            if not stack:
                return Piece("broken", start, at + 1)
        elif char in "]})":
            return Piece("crossed", start, start)
    return Piece("endless", start, start)


# JSON and what models mix into it: single quotes, tuples, trailing commas, the constants of Python.
_TOKEN = re.compile(
    r"""[ \t\r\n]*+(?:
      (?P<text>"[^"\\\x00\n\r]*+(?:\\[^\x00\n\r][^"\\\x00\n\r]*+)*+"|'[^'\\\x00\n\r]*+(?:\\[^\x00\n\r][^'\\\x00\n\r]*+)*+')
    | (?P<mark>[\[\]{}(),:])
    | (?P<bare>(?:[-+]?[0-9.][0-9.eE+-]*+|true|false|null|True|False|None|NaN|-?Infinity)(?=[\s,:\]})]|\Z)))""",
    re.VERBOSE,
)
# What may stand at the end of a text whose next token is not all there.
_BEGUN = re.compile(
    r"""[ \t\r\n]*+(?:"(?:[^"\\\x00\n\r]|\\[^\x00\n\r])*+\\?|'(?:[^'\\\x00\n\r]|\\[^\x00\n\r])*+\\?|[A-Za-z0-9+.-]*+)\Z"""
)


class Open(NamedTuple):
    """A container that is being read; an object's ``items`` are its keys and values in turn."""

    closer: str
    items: list[Any]


def _parse(text: str, start: int) -> Piece:
    """Read the value that begins at ``start``. Without recursion, so that no depth is too deep."""
    stack: list[Open] = []
    at, ready = start, False  # ready: a value is complete, so that a comma, a colon or a bracket must follow
    while found := _TOKEN.match(text, at):
        at = found.end()
        mark, top = found["mark"], stack[-1] if stack else None
        keyed = top is not None and top.closer == "}"
        odd = keyed and top is not None and len(top.items) % 2 == 1
        if mark is None or mark in _CLOSERS:
            if ready or (mark and keyed and not odd):
                break
            if mark:
                stack.append(Open(_CLOSERS[mark], []))
            elif top is not None:
                said: Any = unquoted(found["text"]) if found["text"] else _bare(found["bare"])
                if found["text"] and said is None:
                    break
                top.items.append(said)
                ready = True
        elif top is not None and mark == top.closer and not odd:
            stack.pop()
            value: Any = joined(zip(top.items[::2], top.items[1::2], strict=True)) if keyed else top.items
            if mark == ")" and ready and len(value) == 1:
                value = value[0]  # brackets around one value and no comma: a tuple of one has a comma
            if not stack:
                return Piece("read", start, at, value)
            stack[-1].items.append(value)
            ready = True
        elif ready and mark == (":" if odd else ","):
            ready = False
        else:
            break
    else:
        if text[at:].isspace() or at == len(text) or (not ready and _BEGUN.match(text, at)):
            return Piece("cut", start, start, stack)
    return Piece("broken", start, start)


_BOOLEANS = {"true": True, "True": True, "false": False, "False": False}
_SMALL = re.compile(r"[0-9]{1,9}")


def _bare(token: str) -> bool | int | None:
    """What a word without quotes says, where somebody asks for it: a truth value, or a small number."""
    return int(token) if _SMALL.fullmatch(token) else _BOOLEANS.get(token)


_ESCAPE = re.compile(
    r"""\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U00(0[0-9a-fA-F]{5}|10[0-9a-fA-F]{4})|([\\'"nrtbf])|[uxUN])"""
)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def unquoted(token: str) -> str | None:
    """What a quoted string says: its JSON escapes decoded, else those of Python; unknown ones stay as written.

    Returns:
        None when it holds only half of an escape.
    """
    if "\\" not in token:
        return token[1:-1]
    try:
        return str(json.loads(token))
    except ValueError:
        pass
    try:
        said = _ESCAPE.sub(_decoded, token[1:-1])
    except ValueError:
        return None
    return said.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")  # joins surrogate pairs


def _decoded(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2] or escape[3]
    if not code and not escape[4]:
        raise ValueError(escape[0])
    return chr(int(code, 16)) if code else _ESCAPED.get(escape[4], escape[4])
