"""The fields of a record that mean something here: text, id, lang and hand-made entities, each checked."""

from __future__ import annotations

import json
from typing import Any

from sinoner.records import Entity, Lang


class FieldError(ValueError):
    """A field of a record cannot be used: the reason that reports count, and why in words."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


def read_text(value: Any) -> str:
    """The text of a record, as it stands.

    Raises:
        FieldError: ``no_text``, ``text_not_string``, ``empty_text``, ``nul_byte`` or ``invalid_unicode``.
    """
    if value is None:
        raise FieldError("no_text", "the record has no text")
    if not isinstance(value, str):
        raise FieldError("text_not_string", "the text is not a string")
    if not value or value.isspace():
        raise FieldError("empty_text", "the text is empty")
    if "\0" in value:
        raise FieldError("nul_byte", "a NUL byte in the text")
    _check_unicode(value, "text")
    return value


def read_id(value: Any) -> str | None:
    """The id a record brings along: a text that is not blank, or a whole number. Anything else is none.

    Raises:
        FieldError: ``invalid_unicode``.
    """
    if type(value) is int:
        return str(value)
    if not isinstance(value, str) or not value.strip():
        return None
    _check_unicode(value, "id")
    return value


def read_lang(value: Any) -> Lang | None:
    """The language a record says it has, when that is one of ours."""
    return value if value in ("zh", "en") else None


def read_entities(value: Any, text: str) -> tuple[Entity, ...] | None:
    """The entities of a record, one per (surface, type), in the order of the record.

    Args:
        value: a list of objects with ``start`` and ``end`` (code points, half-open), ``type`` and ``text`` (or
            ``surface``), or the same as JSON text, as CSV has it. An empty list is an annotation without
            entities; None and an empty text are no annotation.
        text: what the offsets point into.

    Raises:
        FieldError: ``entity_malformed``, ``entity_without_offsets``, ``entity_mismatch`` or ``invalid_unicode``.
    """
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise FieldError("entity_malformed", "entities are a text that is not JSON") from None
    if value is None:
        return None
    if not isinstance(value, list):
        raise FieldError("entity_malformed", "entities are not a list")
    starts: dict[tuple[str, str], set[int]] = {}
    for number, item in enumerate(value, 1):
        surface, kind, start = _read_entity(item, text, f"entity {number}")
        starts.setdefault((surface, kind), set()).add(start)
    return tuple(
        Entity(surface=surface, type=kind, starts=tuple(sorted(found)))
        for (surface, kind), found in starts.items()
    )


def _read_entity(item: Any, text: str, where: str) -> tuple[str, str, int]:
    if not isinstance(item, dict):
        raise FieldError("entity_malformed", f"{where} is not an object")
    start, end = item.get("start"), item.get("end")
    kind = item.get("type")
    surface = item.get("text") if item.get("text") is not None else item.get("surface")
    if not isinstance(kind, str) or not kind.strip():
        raise FieldError("entity_malformed", f"{where} has no type")
    if not isinstance(surface, str) or not surface:
        raise FieldError("entity_malformed", f"{where} has no text")
    if start is None or end is None:
        raise FieldError("entity_without_offsets", f"{where} has no start and end")
    if type(start) is not int or type(end) is not int or not 0 <= start < end:
        raise FieldError("entity_malformed", f"{where} has start and end that are no offsets")
    if text[start:end] != surface:
        raise FieldError("entity_mismatch", f"{where}: its text is not at {start}:{end} (code points)")
    _check_unicode(kind, f"type of {where}")
    return surface, kind, start


def _check_unicode(value: str, what: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FieldError("invalid_unicode", f"half a surrogate pair in the {what}") from None
