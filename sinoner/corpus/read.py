"""Reading the corpus: documents from files, folders and Hub datasets, one at a time.

What counts as a document, by format:

* ``.jsonl``, ``.ndjson``: one line, an object or a quoted string.
* ``.json``: one item of an array (objects or strings), or one object; concatenated objects are read too.
* ``.csv``, ``.tsv``: one record below a header, quoted as in RFC 4180.
* ``.parquet`` and ``hf://datasets/OWNER/NAME[@split]``: one row.
* ``.txt``: one line that is not blank. Use another format for texts of several lines.

Each file may be compressed (``.gz``, ``.zst``). An object has its text in ``corpus.text_field`` and may have
``id``, ``lang`` and ``entities``; its other fields are ignored.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sinoner.corpus import encoding, files
from sinoner.corpus.encoding import Broken
from sinoner.corpus.fields import FieldError, read_entities, read_id, read_lang, read_text
from sinoner.corpus.rows import HUB, Row, hub_rows, parse_hub_path, read_rows
from sinoner.errors import InputError
from sinoner.records import Document, Lang, Reject
from sinoner.settings import CorpusSettings, Source
from sinoner.text.lang import detect_lang

STAGE = "chunk"
LINE_REASONS = frozenset(
    {"not_json", "not_an_object", "not_csv", "line_too_long", "invalid_utf8", "invalid_encoding", "no_text"}
)
_FIELDS_NAMED = 20


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where rows come from.

    Attributes:
        path: for messages.
        name: the ``source`` of the documents.
        stem: prefix of generated ids, unique to this origin.
        lang: the language, if configured.
    """

    path: str
    name: str
    stem: str
    lang: Lang | None

    def reject(self, number: int, reason: str, why: str, document: str | None = None) -> Reject:
        return Reject(
            id=f"{self.name}:{number}" if document is None or reason in LINE_REASONS else document,
            stage=STAGE,
            reason=reason,
            detail=f"{self.path}:{number}: {why}",
            unit="line" if reason in LINE_REASONS else "document",
        )


class _Ids:
    """The ids assigned so far. A generated id takes eight bytes, not a string."""

    def __init__(self) -> None:
        self._brought: set[str] = set()
        self._made: dict[str, array[int]] = {}

    def stem(self, preferred: str) -> str:
        """``preferred``, or ``preferred~2`` and so on if another input has it: a prefix for generated ids."""
        stem, n = preferred, 1
        while stem in self._made:
            n += 1
            stem = f"{preferred}~{n}"
        self._made[stem] = array("Q")
        return stem

    def give(self, brought: str | None, stem: str, number: int) -> str | None:
        """The id of a record: its own, else one generated from stem and number; None when it is taken."""
        if brought is None:
            return self._make(stem, number)
        return brought if self._take(brought) else None

    def _take(self, brought: str) -> bool:
        stem, _, number = brought.rpartition(":")
        rows = self._made.get(stem)
        if rows and len(number) < 19 and number.isdecimal() and str(int(number)) == number:
            at = bisect_left(rows, int(number))
            if at < len(rows) and rows[at] == int(number):
                return False
        before = len(self._brought)
        self._brought.add(brought)
        return len(self._brought) > before

    def _make(self, stem: str, number: int) -> str | None:
        made = f"{stem}:{number}"
        if made in self._brought:
            return None
        self._made[stem].append(number)
        return made


def read(settings: CorpusSettings) -> Iterator[Document | Reject]:
    """Read the sources in order, up to ``settings.limit`` documents, holding one record at a time.

    All sources are located before the first document is yielded. Anything that is not a document is yielded as a
    ``Reject`` with its location in ``detail``; blank lines are skipped.

    Raises:
        InputError: there are no sources, a source is missing or unreadable, no record of a source has the text
            field, or the whole corpus contains no document.
    """
    if not settings.sources:
        raise InputError("corpus.sources: no corpus given; name a file, a folder or hf://datasets/OWNER/NAME")
    if settings.encoding != "auto":
        encoding.check_codec(settings.encoding)
    plan = [(source, _find(source)) for source in settings.sources]
    ids = _Ids()
    documents, rejects = 0, Counter[str]()
    for source, found in plan:
        for item in _read_source(source, found, settings, ids):
            yield item
            if isinstance(item, Reject):
                rejects[item.reason] += 1
                continue
            documents += 1
            if documents == settings.limit:
                return
    if not documents:
        reasons = ", ".join(f"{reason} {n}" for reason, n in rejects.most_common())
        raise InputError(
            f"{', '.join(source.path for source in settings.sources)}: contains no documents; "
            f"{rejects.total()} lines were rejected{f' ({reasons})' if reasons else ''}"
        )


def _find(source: Source) -> list[files.InputFile]:
    """The files of a source; an empty list for a Hub dataset."""
    if source.path.startswith(HUB):
        parse_hub_path(source.path)
        return []
    path = Path(source.path).expanduser()
    with files.readable(path):
        return files.find_files(path)


def _origins(
    source: Source, found: list[files.InputFile], settings: CorpusSettings, ids: _Ids
) -> Iterator[tuple[_Origin, Iterator[Row | Broken]]]:
    configured = source.lang if source.lang != "auto" else settings.lang
    lang = None if configured == "auto" else configured
    if not found:
        name, _ = parse_hub_path(source.path)
        yield _Origin(source.path, name, ids.stem(name), lang), hub_rows(source.path)
    for file in found:
        yield _Origin(files.shown(file.path), file.name, ids.stem(file.stem), lang), read_rows(file, settings)


def _read_source(
    source: Source, found: list[files.InputFile], settings: CorpusSettings, ids: _Ids
) -> Iterator[Document | Reject]:
    seen: dict[str, None] = {}
    has_text = False
    for origin, rows in _origins(source, found, settings, ids):
        for row in rows:
            if isinstance(row, Broken):
                yield origin.reject(row.number, row.reason, row.why)
                continue
            if not has_text:
                has_text = isinstance(row.value, str) or settings.text_field in row.value
                if len(seen) < _FIELDS_NAMED and isinstance(row.value, dict):
                    seen.update(dict.fromkeys(row.value))
            yield _document(row, origin, settings.text_field, ids)
    if seen and not has_text:
        named = [name if name.isprintable() else repr(name) for name in list(seen)[:_FIELDS_NAMED]]
        raise InputError(
            f"{source.path}: no record has a field {settings.text_field!r}; the fields are "
            f"{', '.join(named)}; set corpus.text_field"
        )


def _document(row: Row, origin: _Origin, text_field: str, ids: _Ids) -> Document | Reject:
    values = {text_field: row.value} if isinstance(row.value, str) else row.value
    brought = None
    try:
        brought = read_id(values.get("id"))
        text = read_text(values.get(text_field))
        entities = read_entities(values.get("entities"), text)
    except FieldError as error:
        return origin.reject(row.number, error.reason, str(error), brought)
    given = ids.give(brought, origin.stem, row.number)
    if given is None:
        why = f"an earlier record has the id {brought or f'{origin.stem}:{row.number}'}"
        return origin.reject(row.number, "duplicate_id", why, brought)
    lang = origin.lang or read_lang(values.get("lang")) or detect_lang(text)
    return Document(id=given, text=text, source=origin.name, lang=lang, entities=entities)
