"""The formats in which NER data are published.

Every parser takes a file and the language when it is known, and yields, in file order, a ``Row`` for each passage
or a ``Bad`` with the reason it is unusable.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

from sinoner.errors import InputError
from sinoner.formats.bio import bio, mit
from sinoner.formats.labelled_text import (
    Bad,
    Parser,
    Row,
    inclusive,
    is_text,
    json_lines,
    lines,
    placed,
    read,
)
from sinoner.records import Lang
from sinoner.text.ground import occurrences
from sinoner.text.mentions import Claim, read_claim

_MARKUP = re.compile(r"\{\{([^\s{}:：]+)[:：]|\}\}")


def parse(path: Path, format: str, lang: Lang | None = None) -> Iterator[Row | Bad]:
    """Read a file in a named format.

    Args:
        path: the file.
        format: a key of ``FORMATS``.
        lang: the language, if known; it decides how tokens are joined.

    Raises:
        InputError: unknown format, or the file as a whole cannot be read.
    """
    if format not in FORMATS:
        near = difflib.get_close_matches(format, FORMATS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(FORMATS)}"
        raise InputError(f"{format!r}: unknown NER format; {hint}")
    return FORMATS[format](path, lang)


def span_jsonl(path: Path, lang: Lang | None = None) -> Iterator[Row | Bad]:
    """The gold format of this package: ``{"id", "text", "entities": [{"start", "end", "type", "text"}], "lang"}`` per line."""
    for where, value in json_lines(path):
        if isinstance(value, Bad):
            yield value
            continue
        own, name = value.get("lang"), value.get("id")
        if not isinstance(name, str | int) or not str(name).strip():
            yield Bad(where, "no_id", "the row has no id")
        elif own is not None and own not in get_args(Lang):
            yield Bad(where, "bad_lang", f"lang is {own!r}, expected zh or en")
        else:
            row = placed(where, value.get("text"), value.get("entities"), read_claim, ordered=False)
            yield row._replace(id=str(name), lang=own) if isinstance(row, Row) else row


def cluener(path: Path, lang: Lang | None = None) -> Iterator[Row | Bad]:
    """CLUENER JSON lines: ``{"text", "label": {type: {surface: [[start, inclusive end]]}}}``."""
    for where, value in json_lines(path):
        if isinstance(value, Bad):
            yield value
            continue
        label = value.get("label")
        claims: list[Claim] | None = None
        if isinstance(label, Mapping):
            claims = []
            for tag, mentions in label.items():
                found = mentions if isinstance(mentions, Mapping) else {None: None}
                for surface, places in found.items():
                    listed = places if isinstance(places, list) else [None]
                    claims += [inclusive(place, tag, surface) for place in listed]
        yield placed(where, value.get("text"), claims)


def cmeee(path: Path, lang: Lang | None = None) -> Iterator[Row | Bad]:
    """CMeEE of CBLUE: one JSON array of ``{"text", "entities": [{start_idx, inclusive end_idx, type, entity}]}``."""
    try:
        rows = json.loads(read(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON: {error}") from None
    if not isinstance(rows, list):
        raise InputError(f"{path}: expected one JSON array of passages; is it in another format?")
    for number, value in enumerate(rows):
        where = f"{path}[{number}]"
        if not isinstance(value, Mapping) or not is_text(value):
            yield Bad(where, "bad_row", "is not a JSON object of Unicode text")
        else:
            yield placed(where, value.get("text"), value.get("entities"), _cmeee_claim)


def chip(path: Path, lang: Lang | None = None) -> Iterator[Row | Bad]:
    """CMeEE of CHIP 2020: ``text|||start end type|||start end type|||`` per line, with inclusive ends."""
    for where, line in lines(path):
        text, *fields = line.split("|||")
        claims = [_chip_claim(field) for field in fields if field.strip()]
        yield placed(where, text, claims if fields else None)


def spans(path: Path, lang: Lang | None = None) -> Iterator[Row | Bad]:
    """JSON lines ``{"text", "entity_list": [{"entity_index": {begin, exclusive end}, entity_type, entity}]}``."""
    for where, value in json_lines(path):
        if isinstance(value, Bad):
            yield value
        else:
            yield placed(where, value.get("text"), value.get("entity_list"), _index_claim)


def rait(path: Path, lang: Lang | None = None) -> Iterator[Row | Bad]:
    """The paper's benchmark files: ``{"id", "sentence", "label": {surface: type}}`` per line, without offsets.

    A surface claims all its occurrences, and the order of ``label`` is kept.
    """
    for where, value in json_lines(path):
        if isinstance(value, Bad):
            yield value
            continue
        text, label = value.get("sentence"), value.get("label")
        claims: list[Claim] | None = None
        if isinstance(label, Mapping) and isinstance(text, str):
            claims = []
            for surface, tag in label.items():
                starts = occurrences(text, surface)
                claims += [Claim(at, at + len(surface), tag, surface) for at in starts]
                if not starts:
                    claims.append(Claim(None, None, tag, surface, searched=True))
        yield placed(where, text, claims, ordered=False)


def boson_inline(path: Path, lang: Lang | None = None) -> Iterator[Row | Bad]:
    """Text with ``{{type:surface}}`` marks, one document per line; marks may nest.

    White space at the edges of a mention is not part of it.
    """
    for where, line in lines(path):
        pieces: list[str] = []
        opened: list[tuple[int, str]] = []
        claims: list[Claim] = []
        at = length = 0
        for mark in _MARKUP.finditer(line):
            closing = mark[1] is None
            # Unmatched closing braces are text.
            stop = mark.start() if opened or not closing else mark.end()
            pieces.append(line[at:stop])
            length += stop - at
            at = mark.end()
            if not closing:
                opened.append((length, mark[1]))
            elif opened:
                start, tag = opened.pop()
                claims.append(Claim(start, length, tag))
        text = "".join([*pieces, line[at:]])
        if opened:
            yield Bad(where, "unbalanced_markup", f"{{{{{opened[-1][1]}: is never closed")
        else:
            yield placed(where, text, claims, partial(_trimmed, text))


FORMATS: dict[str, Parser] = {
    "span-jsonl": span_jsonl,
    "bio": bio,
    "crossner": bio,
    "mit": mit,
    "cluener": cluener,
    "cmeee": cmeee,
    "chip": chip,
    "boson-inline": boson_inline,
    "rait": rait,
    "spans": spans,
}


def _cmeee_claim(mention: Any) -> Claim:
    fields = mention if isinstance(mention, Mapping) else {}
    return inclusive(
        (fields.get("start_idx"), fields.get("end_idx")), fields.get("type"), fields.get("entity")
    )


def _index_claim(mention: Any) -> Claim:
    fields = mention if isinstance(mention, Mapping) else {}
    place = fields.get("entity_index")
    start, end = (place.get("begin"), place.get("end")) if isinstance(place, Mapping) else (None, None)
    return Claim(start, end, fields.get("entity_type"), fields.get("entity"))


def _chip_claim(field: str) -> Claim:
    words = field.split()
    return inclusive([int(w) if w.isdecimal() else w for w in words[:2]], " ".join(words[2:]))


def _trimmed(text: str, claim: Claim) -> Claim:
    inner = text[claim.start : claim.end]
    start = claim.start + len(inner) - len(inner.lstrip())
    return claim._replace(start=start, end=max(start, claim.start + len(inner.rstrip())))
