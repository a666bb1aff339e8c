"""Model text → mentions, or the reason it cannot be read. Parsing only: nothing is executed, no mention altered."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from itertools import pairwise
from typing import Any, NamedTuple

_THOUGHT_ENDS = re.compile(r"\n\s*</think>|</think>\s*\n")
_CLOSERS = {"[": "]", "{": "}", "(": ")"}
_SURFACE_KEYS = ("mention", "surface", "text", "name", "entity", "实体", "实体名称", "名称")
_TYPE_KEYS = ("type", "label", "category", "entity_type", "类别", "实体类别", "类型", "实体类型")


class Mentions(NamedTuple):
    """Parsed (mention, type) pairs in the order of the answer, or the reason there are none."""

    pairs: tuple[tuple[str, str], ...]
    reason: str | None = None


class Surfaces(NamedTuple):
    """Parsed surfaces of an answer to one type query, or the reason there are none."""

    surfaces: tuple[str, ...]
    reason: str | None = None


def parse_mentions(answer: str) -> Mentions:
    """Read an annotation answer: lists of ``{mention: type}``, of pairs, or of ``{"mention": …, "type": …}``.

    All lists and objects of the answer count, so one line per entity is read as well. Nothing is taken out of a
    list that does not end or does not read: half an answer is no answer.

    Reasons: ``empty_answer``, ``unparsed`` (no list of mentions in it), ``truncated`` (a list that never ends).
    """
    text = _spoken(answer)
    if not text:
        return Mentions((), "empty_answer")
    values, ends = _values(text)
    read = [pairs for value in values if (pairs := _pairs(value)) is not None]
    if read:
        return Mentions(tuple(pair for pairs in read for pair in pairs))
    return Mentions((), "unparsed" if ends else "truncated")


def _spoken(answer: str) -> str:
    """The answer without its reasoning; a chat template may have swallowed ``<think>``, a limit ``</think>``."""
    text = answer.strip()
    if text.startswith("<think>"):
        return text.partition("</think>")[2].strip()
    return _THOUGHT_ENDS.split(text)[-1].strip()


def parse_surfaces(answer: str) -> Surfaces:
    """Read the answer to one type query: the first list of strings in it.

    Reasons: ``empty_answer``, ``unparsed``, ``truncated``.
    """
    text = _spoken(answer)
    if not text:
        return Surfaces((), "empty_answer")
    values, ends = _values(text)
    for value in values:
        if isinstance(value, (list, tuple)) and all(isinstance(x, str) for x in value):
            return Surfaces(tuple(dict.fromkeys(value)))
    return Surfaces((), "unparsed" if ends else "truncated")


# After a bracket that never ends, this many further ones are tried; more is garbage, and would take long.
_TRIES = 64


def _values(text: str) -> tuple[list[Any], bool]:
    """Every outermost bracketed value that reads as JSON or as a Python literal, and whether all brackets end.

    After a bracket that never ends only lists are looked for, since an object after it is a piece of it.
    """
    found: list[Any] = []
    open_ones = 0
    at = 0
    while open_ones < _TRIES and (start := _next_open(text, at, objects=not open_ones)) >= 0:
        end = _end(text, start)
        if end <= start:
            open_ones += end == _NEVER
            at = start + 1
            continue
        value = _literal(text[start:end])
        if value is not None:
            found.append(value)
        at = end
    return found, not open_ones


def _next_open(text: str, at: int, objects: bool) -> int:
    places = [text.find("[", at), text.find("{", at) if objects else -1]
    return min((p for p in places if p >= 0), default=-1)


_NEVER = -1  # the text ends before the bracket does
_WRONG = -2  # another bracket is closed first


def _end(text: str, start: int) -> int:
    """The offset after the bracket that closes the one at ``start``; quotes are respected."""
    stack: list[str] = []
    quote = ""
    at = start
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char == '"' or (char == "'" and text[at - 1 : at] in "[{(,: \n"):
            quote = char
        elif char in _CLOSERS:
            stack.append(_CLOSERS[char])
        elif char == stack[-1]:
            stack.pop()
            if not stack:
                return at + 1
        elif char in "]})":
            return _WRONG
        at += 1
    return _NEVER


def _literal(text: str) -> Any:
    """JSON, or a Python literal (single quotes, tuples, trailing commas). None when it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        if _joins_strings(text):
            return None
        return ast.literal_eval(text)
    except (
        ValueError,
        SyntaxError,
        TypeError,
        RecursionError,
        MemoryError,
        ArithmeticError,
        tokenize.TokenError,
    ):
        return None


def _joins_strings(text: str) -> bool:
    """Whether two strings stand side by side, which Python would read as one and so make up a mention."""
    words = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type != tokenize.NL]
    return any(a.type == b.type == tokenize.STRING for a, b in pairwise(words))


def _pairs(value: Any) -> list[tuple[str, str]] | None:
    """(mention, type) pairs of a parsed value; None when it is not a list of mentions at all."""
    if isinstance(value, dict):
        for inner in value.values():
            if (
                isinstance(inner, list)
                and (nested := _pairs(inner)) is not None
                and (nested or len(value) == 1)
            ):
                return nested
        value = [value]
    if not isinstance(value, (list, tuple)):
        return None
    pairs: list[tuple[str, str]] = []
    for item in value:
        if isinstance(item, dict):
            pairs.extend(_from_object(item))
        elif isinstance(item, (list, tuple)) and len(item) == 2 and all(isinstance(x, str) for x in item):
            pairs.append((item[0], item[1]))
    return pairs if pairs or not value else None


def _from_object(item: dict[Any, Any]) -> list[tuple[str, str]]:
    """The pairs of one object: of its mention and type fields if it has both, else key by key."""
    mention_key = next((k for k in _SURFACE_KEYS if isinstance(item.get(k), str)), None)
    type_key = next((k for k in _TYPE_KEYS if k in item and k != mention_key), None)
    fields = {item[mention_key]: item[type_key]} if mention_key is not None and type_key is not None else item
    pairs = []
    for mention, types in fields.items():
        for kind in types if isinstance(types, list) else [types]:
            if isinstance(mention, str) and isinstance(kind, str) and mention.strip():
                pairs.append((mention, kind))
    return pairs
