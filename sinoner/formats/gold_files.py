"""Gold annotations on disk: converted from native formats, written, and read back with validation.

A gold data set is a JSON lines file ``{"id", "text", "entities": [{"start", "end", "type", "text"}], "lang"?}``.
``labels.json`` beside it maps the types of the file to the natural names used in queries; its order is the query order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sinoner import disk
from sinoner.errors import InputError
from sinoner.formats import parsers
from sinoner.formats.labelled_text import Bad, Row, read
from sinoner.records import GOLD, Annotation, Entity, Lang, Passage, Record, Reject
from sinoner.text.lang import detect_lang
from sinoner.text.mentions import Span, span_row

_STAGE = "convert"


class Gold(Record, frozen=True, kw_only=True):
    """A gold data set: the types to query (``types``, in order) and the correct ``annotations``."""

    name: str
    lang: Lang
    types: tuple[str, ...]
    annotations: tuple[Annotation, ...]
    digest: str


def convert(
    path: Path,
    format: str,
    *,
    labels: Mapping[str, str] | None = None,
    lang: Lang | None = None,
    name: str | None = None,
    source: str | None = None,
    leave_out: Iterable[str] = (),
) -> Iterator[Annotation | Reject]:
    """Turn a file in a native format into gold annotations.

    Args:
        path: the file.
        format: a key of ``formats.FORMATS``.
        labels: native tag to natural name; None keeps the tags as they are.
        lang: language of the texts; None decides per text (per file for token-per-line formats).
        name: stem of the ids, ``<name>-<number of the passage>``; the file's stem unless given. A format with
            ids of its own keeps them.
        source: ``Passage.source``; ``name`` unless given.
        leave_out: native tags to ignore.

    Yields:
        An annotation per passage, a ``Reject`` per passage or mention that cannot be used.

    Raises:
        InputError: unknown format or unreadable file.
    """
    name = name or path.stem
    skipped = frozenset(leave_out)
    seen: set[str] = set()
    for number, row in enumerate(parsers.parse(path, format, lang)):
        own = row.id if isinstance(row, Row) and row.id else f"{name}-{number:06d}"
        if isinstance(row, Bad):
            yield Reject(id=own, stage=_STAGE, reason=row.reason, detail=f"{row.where}: {row.detail}")
            continue
        if own in seen:
            detail = f"{row.where}: the id {own!r} occurs twice"
            yield Reject(id=own, stage=_STAGE, reason="duplicate_id", detail=detail)
            continue
        seen.add(own)
        spans = [span for span in row.spans if span.tag not in skipped]
        known = [span for span in spans if labels is None or span.tag in labels]
        for reason, detail in row.dropped:
            yield Reject(id=own, stage=_STAGE, reason=reason, detail=detail, unit="entity")
        for tag in [span.tag for span in spans if labels is not None and span.tag not in labels]:
            detail = f"{row.where}: the tag {tag!r} has no name in the labels"
            yield Reject(id=own, stage=_STAGE, reason="unknown_type", detail=detail, unit="entity")
        yield _annotation(row, known, labels, id=own, source=source or name, lang=lang)


def write_gold(path: Path, annotations: Iterable[Annotation], types: Iterable[str] | None = None) -> int:
    """Write gold as JSON lines with ``labels.json`` beside it, and return the number of passages.

    Args:
        path: the JSON lines file.
        annotations: the gold, with natural type names.
        types: the types in query order; None takes them in order of first appearance.

    Raises:
        InputError: a mention whose type is not among ``types``.
    """
    kept = list(annotations)
    appearing = dict.fromkeys(entity.type for a in kept for entity in a.entities)
    order = list(dict.fromkeys(types)) if types is not None else list(appearing)
    if strangers := [t for t in appearing if t not in order]:
        raise InputError(f"{path}: types missing from the query order: {', '.join(strangers)}")
    disk.write_json(path.parent / "labels.json", {t: t for t in order})
    return disk.write_rows(path, (span_row(a, in_text_order=False) for a in kept))


def _annotation(
    row: Row,
    spans: Iterable[Span],
    labels: Mapping[str, str] | None,
    *,
    id: str,
    source: str,
    lang: Lang | None,
) -> Annotation:
    """Group the spans of a row by (surface, type), in order of first appearance."""
    starts: dict[tuple[str, str], set[int]] = {}
    for start, end, tag in spans:
        kind = labels[tag] if labels is not None else tag
        starts.setdefault((row.text[start:end], kind), set()).add(start)
    entities = tuple(
        Entity(surface=surface, type=kind, starts=tuple(sorted(found)))
        for (surface, kind), found in starts.items()
    )
    passage = Passage(id=id, text=row.text, source=source, lang=row.lang or lang or detect_lang(row.text))
    return Annotation(passage=passage, entities=entities, by=GOLD)


def read_gold(path: Path, name: str, lang: Lang | None = None) -> Gold:
    """Read a gold file.

    Args:
        path: the JSON lines file; ``labels.json`` beside it is applied.
        name: name of the data set.
        lang: language of the texts without one of their own; None decides per text.

    Raises:
        InputError: a row that is not gold (path:line), or no types to query.
    """
    labels = _labels(path.parent / "labels.json")
    annotations: list[Annotation] = []
    seen: dict[str, str] = {}
    for row in parsers.span_jsonl(path):
        if isinstance(row, Bad):
            raise InputError(f"{row.where}: {row.detail}")
        if row.dropped:
            raise InputError(row.dropped[0][1])
        assert row.id is not None
        if row.id in seen:
            raise InputError(f"{row.where}: the id {row.id!r} is already used at {seen[row.id]}")
        seen[row.id] = row.where
        stranger = next((s.tag for s in row.spans if labels is not None and s.tag not in labels), None)
        if stranger is not None:
            raise InputError(f"{row.where}: the type {stranger!r} is not in {path.parent / 'labels.json'}")
        annotations.append(_annotation(row, row.spans, labels, id=row.id, source=name, lang=lang))
    if not annotations:
        raise InputError(f"{path}: contains no gold passages")
    types = tuple(
        dict.fromkeys(labels.values() if labels else (e.type for a in annotations for e in a.entities))
    )
    if not types:
        raise InputError(f"{path}: no entities and no labels.json, so there are no types to query")
    most = Counter(a.passage.lang for a in annotations).most_common(1)[0][0]
    return Gold(name=name, lang=most, types=types, annotations=tuple(annotations), digest=disk.sha256(path))


def _labels(path: Path) -> dict[str, str] | None:
    """The names of the types of a gold file; each natural name also maps to itself."""
    if not path.exists():
        return None
    value = read_json(path)
    good = isinstance(value, dict) and value and all(isinstance(v, str) and v.strip() for v in value.values())
    if not good:
        raise InputError(f'{path}: expected one object that maps each type to its name, {{"PER": "人名"}}')
    return {**value, **{v: v for v in value.values() if v not in value}}


def read_json(path: Path) -> Any:
    """One JSON value.

    Raises:
        InputError: missing, or not JSON.
    """
    try:
        return json.loads(read(path))
    except (ValueError, RecursionError):
        raise InputError(f"{path}: is not JSON") from None
