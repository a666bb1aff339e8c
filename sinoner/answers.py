"""Model text → mentions, or the reason it cannot be read. Parsing only: nothing is executed, no mention altered."""

from __future__ import annotations

import ast
import json
import re
from typing import Any, NamedTuple

_THINK = re.compile(r"<think>.*?</think>", re.DOTALL)
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
    """Read an annotation answer: a list of ``{mention: type}``, of pairs, or of ``{"mention":…, "type":…}``.

    Reasons: ``empty_answer``, ``unparsed`` (no list of mentions in it), ``truncated`` (a list that never ends).
    """
    text = _THINK.sub("", answer).strip()
    if not text:
        return Mentions((), "empty_answer")
    best: list[tuple[str, str]] | None = None
    for value in _values(text):
        pairs = _pairs(value)
        if pairs is not None and (best is None or len(pairs) > len(best)):
            best = pairs
    if best is not None:
        return Mentions(tuple(best))
    return Mentions((), "truncated" if _unclosed(text) else "unparsed")


def parse_surfaces(answer: str) -> Surfaces:
    """Read the answer to one type query: the first list of strings in it.

    Reasons: ``empty_answer``, ``unparsed``, ``truncated``.
    """
    text = _THINK.sub("", answer).strip()
    if not text:
        return Surfaces((), "empty_answer")
    for value in _values(text):
        if isinstance(value, (list, tuple)) and all(isinstance(x, str) for x in value):
            return Surfaces(tuple(dict.fromkeys(value)))
    return Surfaces((), "truncated" if _unclosed(text) else "unparsed")


def _values(text: str) -> list[Any]:
    """Every outermost bracketed value of the text that reads as JSON or as a Python literal."""
    found: list[Any] = []
    at = 0
    while (start := _next_open(text, at)) >= 0:
        end = _close(text, start)
        if end is None:
            at = start + 1
            continue
        value = _literal(text[start:end])
        if value is None:
            at = start + 1
        else:
            found.append(value)
            at = end
    return found


def _next_open(text: str, at: int) -> int:
    places = [p for p in (text.find("[", at), text.find("{", at)) if p >= 0]
    return min(places, default=-1)


def _close(text: str, start: int) -> int | None:
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
        elif stack and char == stack[-1]:
            stack.pop()
            if not stack:
                return at + 1
        elif char in "]})":
            return None
        at += 1
    return None


def _unclosed(text: str) -> bool:
    start = _next_open(text, 0)
    return (
        start >= 0
        and _close(text, start) is None
        and text.count("[") + text.count("{") > text.count("]") + text.count("}")
    )


def _literal(text: str) -> Any:
    """JSON, or a Python literal (single quotes, tuples, trailing commas). None when it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError):
        return None


def _pairs(value: Any) -> list[tuple[str, str]] | None:
    """(mention, type) pairs of a parsed value; None when it is not a list of mentions at all."""
    if isinstance(value, dict):
        for inner in value.values():
            if isinstance(inner, list) and inner and (nested := _pairs(inner)) is not None:
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
    surface = next((item[k] for k in _SURFACE_KEYS if k in item), None)
    kind = next((item[k] for k in _TYPE_KEYS if k in item), None)
    if isinstance(surface, str) and isinstance(kind, str):
        return [(surface, kind)]
    pairs = []
    for mention, types in item.items():
        for kind in types if isinstance(types, list) else [types]:
            if isinstance(mention, str) and isinstance(kind, str) and mention.strip() and kind.strip():
                pairs.append((mention, kind))
    return pairs
