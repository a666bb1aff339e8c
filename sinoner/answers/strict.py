"""Strict parsing of model text into mentions, or the reason it cannot be parsed: only well-formed answers are accepted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sinoner.answers.literals import Open, pieces, whole_value
from sinoner.answers.refusals import refuses

Pair = tuple[str, str]

SURFACE_KEYS = ("mention", "surface", "text", "name", "entity", "实体", "实体名称", "名称")
TYPE_KEYS = ("type", "label", "category", "entity_type", "类别", "实体类别", "类型", "实体类型")
FIELDS = frozenset((*SURFACE_KEYS, *TYPE_KEYS))


class Mentions(NamedTuple):
    """Parsed (mention, type) pairs in the order of the answer, and the reason there are none, or not all."""

    pairs: tuple[Pair, ...]
    reason: str | None = None
    repaired: bool = False


class Surfaces(NamedTuple):
    """Parsed surfaces of an answer to one type query, or the reason there are none."""

    surfaces: tuple[str, ...]
    reason: str | None = None


class ByType(NamedTuple):
    """Parsed surfaces of an answer to a question for several types, in its order, or the reason there are none."""

    surfaces: Mapping[str, tuple[str, ...]]
    reason: str | None = None
    repaired: bool = False


def parse_mentions(answer: str) -> Mentions:
    """Read an annotation answer: lists of ``{mention: type}``, of pairs, or of ``{"mention": …, "type": …}``.

    All lists and objects of the answer count, so one line per entity is read as well. Of a list that the end of
    the answer cuts off, the items before the cut are given; of one that does not read, nothing.

    Reasons: ``empty_answer``, ``unparsed`` (no list of mentions, or a broken one), ``truncated`` (a list that
    never ends; ``pairs`` has its complete items), ``refused`` (no list, but an apology).
    """
    text = without_reasoning(answer)
    if not text:
        return Mentions((), "empty_answer")
    whole = _pairs(whole_value(text))
    if whole is not None:
        return Mentions(tuple(whole))
    pairs: list[Pair] = []
    read, never = False, False
    for piece in pieces(text):
        if piece.state == "cut":
            return Mentions((*pairs, *_salvage(piece.value)), "truncated")
        if piece.state == "read":
            found = _pairs(piece.value)
            read = read or found is not None
            pairs.extend(found or ())
        elif LISTED.match(text, piece.start):
            # The other lists are ignored too: a partial answer is not accepted.
            return Mentions((), "unparsed" if piece.state == "broken" or _closes(text) else "truncated")
        else:
            never = never or piece.state == "endless"
    if read:
        return Mentions(tuple(pairs))
    if never and not _closes(text):
        return Mentions((), "truncated")
    return Mentions((), "refused" if refuses(text) else "unparsed")


def parse_surfaces(answer: str) -> Surfaces:
    """Read the answer to one type query: the first list of strings in it.

    Reasons: ``empty_answer``, ``unparsed``, ``truncated``.
    """
    text = without_reasoning(answer)
    if not text:
        return Surfaces((), "empty_answer")
    ends = True
    for piece in pieces(text):
        if (
            isinstance(piece.value, list)
            and piece.state == "read"
            and all(isinstance(x, str) for x in piece.value)
        ):
            return Surfaces(tuple(dict.fromkeys(piece.value)))
        ends = ends and piece.state not in ("cut", "endless")
    return Surfaces((), "unparsed" if ends else "truncated")


def parse_by_type(answer: str) -> ByType:
    """Read the answer to a question for several types: the first object from type to list of strings in it.

    A list of such objects is read as one; the lists of a type that comes again are joined. What has any other value
    (a word, a number, an object) is no such object: ``{"北京": "地点"}`` names the mention first.

    Reasons: ``empty_answer``, ``unparsed``, ``truncated``; there are no surfaces with any of them.
    """
    text = without_reasoning(answer)
    if not text:
        return ByType({}, "empty_answer")
    if (whole := _lists(whole_value(text))) is not None:
        return ByType(whole)
    ends = True
    for piece in pieces(text):
        if piece.state == "read":
            if (found := _lists(piece.value)) is not None:
                return ByType(found)
        elif piece.state == "cut":
            return ByType({}, "truncated")
        elif LISTED.match(text, piece.start):
            # An object in a broken one is a piece of it, and not the answer.
            return ByType({}, "unparsed" if piece.state == "broken" or _closes(text) else "truncated")
        else:
            ends = ends and piece.state != "endless"
    return ByType({}, "unparsed" if ends or _closes(text) else "truncated")


def _lists(value: Any) -> dict[str, tuple[str, ...]] | None:
    """The distinct surfaces by type of a parsed value; None when it is no object of lists of strings, nor a list of them."""
    found: dict[str, dict[str, None]] = {}
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            return None
        for kind, surfaces in item.items():
            if not isinstance(kind, str) or not isinstance(surfaces, list):
                return None
            if not all(isinstance(s, str) for s in surfaces):
                return None
            found.setdefault(kind, {}).update(dict.fromkeys(surfaces))
    return {kind: tuple(surfaces) for kind, surfaces in found.items()}


# What begins like a list of mentions, and not like a note in brackets.
LISTED = re.compile(r"""[\[{]\s*["'“‘\[{]|\[\s*\(\s*["'“‘]""")

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>")
# A thought's end stands on a line of its own or before a list; inside a mention it is a mention's text.
_THOUGHT_ENDS = re.compile(
    r"\n[ \t\r]*</(?:think|thinking|reasoning)>|</(?:think|thinking|reasoning)>[ \t\r]*(?=[\n\[{`])"
)


def without_reasoning(answer: str) -> str:
    """The answer without its reasoning; a chat template may have swallowed ``<think>``, a limit ``</think>``."""
    text = answer.strip()
    if "<" not in text:
        return text
    if opened := _THOUGHT.match(text):
        return text.partition(f"</{opened[1]}>")[2].strip()
    return _THOUGHT_ENDS.split(text)[-1].strip()


def _salvage(stack: Sequence[Open]) -> list[Pair]:
    """The pairs that are complete in a list or an object that is cut off."""
    outer = stack[0].items
    if stack[0].closer != "}":
        return _pairs(outer) or []
    members = dict(zip(outer[::2], outer[1::2], strict=False))
    if len(stack) > 1 and any(isinstance(x, (list, dict)) for x in stack[1].items):
        members[outer[-1]] = stack[1].items  # the list of mentions in an object, and not a list of types
    # One field of a mention without the others says nothing.
    return _nested(members) or ([] if not FIELDS.isdisjoint(outer[::2]) else _from_object(members))


def _pairs(value: Any) -> list[Pair] | None:
    """(mention, type) pairs of a parsed value; None when it is not a list of mentions at all."""
    if isinstance(value, dict):
        if (nested := _nested(value)) is not None:
            return nested
        value = [value]
    if not isinstance(value, list):
        return None
    pairs: list[Pair] = []
    for item in value:
        if isinstance(item, dict):
            pairs.extend(_from_object(item))
        elif (
            isinstance(item, list)
            and len(item) == 2
            and isinstance(item[0], str)
            and isinstance(item[1], str)
        ):
            pairs.append((item[0], item[1]))
    return pairs if pairs or not value else None


def _nested(value: dict[Any, Any]) -> list[Pair] | None:
    """The pairs of the list of mentions that an object holds under a key such as "entities"."""
    for inner in value.values():
        if isinstance(inner, list):
            pairs = _pairs(inner)
            if pairs is not None and (pairs or len(value) == 1):
                return pairs
    return None


def _from_object(item: dict[Any, Any]) -> list[Pair]:
    """The pairs of one object: of its mention and type fields if it has both, else key by key."""
    fields = item
    if not FIELDS.isdisjoint(item):
        mention_key = next((k for k in SURFACE_KEYS if isinstance(item.get(k), str)), None)
        type_key = next((k for k in TYPE_KEYS if k in item and k != mention_key), None)
        if mention_key is not None and type_key is not None:
            fields = {item[mention_key]: item[type_key]}
    return [
        (mention, kind)
        for mention, types in fields.items()
        if isinstance(mention, str) and mention.strip()
        for kind in (types if isinstance(types, list) else (types,))
        if isinstance(kind, str)
    ]


def _closes(text: str) -> bool:
    """Whether a broken list ends all the same: after its last bracket comes nothing, or a line without another."""
    end = max(map(text.rfind, "]}］｝"))
    rest = text[end + 1 :].lstrip(" \t`")
    return end >= 0 and rest[:1] in ("", "\n", "\r") and not re.search(r"""["“{[]""", rest)
