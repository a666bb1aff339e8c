"""Reading and validating the fields of a record: text, id, lang and manual entities."""

from __future__ import annotations

import json
from typing import Any

from sinoner.records import Entity, Lang
from sinoner.text.mentions import MentionError, locate, read_claim


class FieldError(MentionError):
    """A field of a record cannot be used; carries the reject reason and a readable explanation."""


def read_text(value: Any) -> str:
    """The text of a record, unchanged.

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
    """The id of a record: a string that is not blank, or an integer. Anything else counts as no id.

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
    """The language field of a record, if it is a supported language."""
    return value if value in ("zh", "en") else None


def read_entities(value: Any, text: str) -> tuple[Entity, ...] | None:
    """The entities of a record, one per (surface, type), in the order of the record.

    Args:
        value: a list of objects with ``start`` and ``end`` (code points, half-open), ``type`` and ``text`` (or
            ``surface``), or the same as a JSON string, as in CSV files. An empty list is an annotation
            without entities; None and an empty string mean that there is no annotation.
        text: the text that the offsets refer to.

    Raises:
        FieldError: ``entity_malformed``, ``entity_without_offsets``, ``entity_mismatch`` or ``invalid_unicode``.
    """
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise FieldError("entity_malformed", "entities are a string that is not JSON") from None
    if value is None:
        return None
    if not isinstance(value, list):
        raise FieldError("entity_malformed", "entities are not a list")
    starts: dict[tuple[str, str], set[int]] = {}
    for number, item in enumerate(value, 1):
        where = f"entity {number}"
        try:
            claim = read_claim(item)
            span = locate(claim, text)
        except MentionError as error:
            raise FieldError(error.reason, f"{where}: {error}") from None
        if claim.surface is None:
            raise FieldError("entity_malformed", f"{where}: has no text")
        _check_unicode(span.tag, f"type of {where}")
        starts.setdefault((claim.surface, span.tag), set()).add(span.start)
    return tuple(
        Entity(surface=surface, type=kind, starts=tuple(sorted(found)))
        for (surface, kind), found in starts.items()
    )


def _check_unicode(value: str, what: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FieldError("invalid_unicode", f"half a surrogate pair in the {what}") from None
