"""Reading files and Hub datasets as rows: one row per JSON line, CSV record, Parquet row, JSON item or text line."""

from __future__ import annotations

import csv
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from sinoner.corpus import encoding, files
from sinoner.corpus.encoding import Broken
from sinoner.corpus.files import InputFile
from sinoner.errors import InputError
from sinoner.settings import CorpusSettings

HUB = "hf://"
_HUB_PATH = re.compile(r"hf://datasets/(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<split>[^/@]+))?/?")
_BATCH = 64
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One line, record or item of an input.

    Attributes:
        number: where it begins: 1-based line of the file (text, JSON lines, CSV), or 1-based position.
        value: a text, or the fields by name.
    """

    number: int
    value: str | dict[str, Any]


def read_rows(file: InputFile, settings: CorpusSettings) -> Iterator[Row | Broken]:
    """The rows of a file, one at a time.

    Raises:
        InputError: the file cannot be read, decompressed, decoded or parsed as a whole.
    """
    limit = settings.max_line_mb << 20
    with files.readable(file.path):
        if file.format == "parquet":
            yield from _parquet(file)
            return
        codec = _codec(file, settings.encoding)
        with files.open_bytes(file) as stream:
            if file.format == "json":
                yield from _json(stream, codec, limit, file)
            elif file.format in ("csv", "tsv"):
                yield from _csv(stream, codec, limit, file)
            else:
                for line in encoding.lines(stream, codec, limit, file.path):
                    if isinstance(line, Broken):
                        yield line
                    else:
                        yield Row(*line) if file.format == "txt" else _json_line(*line)


def _codec(file: InputFile, requested: str) -> str:
    if requested != "auto":
        return encoding.check_codec(requested)
    with files.open_bytes(file) as stream:
        head = stream.read(encoding.HEAD)
    codec = encoding.detect(head, file.path)
    if codec == "gb18030":
        _log.warning(
            "%s: is not UTF-8 and is read as GB18030; set corpus.encoding if that is wrong", file.path
        )
    return codec


def _json_line(number: int, line: str) -> Row | Broken:
    if "\0" in line:
        return Broken(number, "nul_byte", "a NUL byte in the line")
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return Broken(number, "not_json", f"{error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:
        return Broken(number, "not_json", str(error))
    return _row(number, value)


def _row(number: int, value: Any) -> Row | Broken:
    if isinstance(value, (str, dict)):
        return Row(number, value)
    kind = {list: "an array", bool: "true or false", type(None): "null"}.get(type(value), "a number")
    return Broken(number, "not_an_object", f"expected an object or a string, found {kind}")


def _csv(stream: BinaryIO, codec: str, limit: int, file: InputFile) -> Iterator[Row | Broken]:
    broken: list[Broken] = []

    def text() -> Iterator[str]:
        for line in encoding.lines(stream, codec, limit, file.path, keep_all=True):
            if isinstance(line, Broken):
                broken.append(line)
                yield "\n"
            else:
                yield line[1]

    # Strict: a stray quote would otherwise be dropped from the text, or swallow the lines up to the next one.
    reader = csv.reader(text(), delimiter="\t" if file.format == "tsv" else ",", strict=True)
    header: list[str] | None = None
    while True:
        number = reader.line_num + 1
        broken.clear()
        try:
            with files.csv_field_limit(limit):
                fields = next(reader, None)
        except csv.Error as error:
            too_long = "field limit" in str(error)
            fields = []
            broken.append(Broken(number, "line_too_long" if too_long else "not_csv", str(error)))
        if fields is None:
            return
        if broken:
            if header is None:
                raise InputError(
                    f"{file.path}:{broken[0].number}: the header cannot be read: {broken[0].why}"
                )
            yield broken[0]
        elif header is None:
            header = fields
        elif len(fields) > len(header):
            yield Broken(number, "not_csv", f"{len(fields)} fields under {len(header)} columns")
        elif fields:
            yield Row(number, dict(zip(header, fields, strict=False)))


def _json(stream: BinaryIO, codec: str, limit: int, file: InputFile) -> Iterator[Row | Broken]:
    feed = _JsonFeed(encoding.pieces(stream, codec, file.path), limit)
    number = 0
    try:
        if feed.next_mark() != "[":
            while feed.next_mark():
                number += 1
                yield _row(number, feed.value())
            return
        feed.at += 1
        mark = feed.next_mark()
        while mark != "]":
            number += 1
            yield _row(number, feed.value())
            mark = feed.next_mark()
            if mark not in (",", "]"):
                raise ValueError(
                    "the array ends too early" if not mark else f"expected a comma, found {mark!r}"
                )
            feed.at += mark == ","
        feed.at += 1
        if feed.next_mark():
            raise ValueError("extra data after the array")
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise InputError(
            f"{file.path}: item {number}: is not JSON: {why}; rename it to .jsonl if each line is an object"
        ) from None


class _JsonFeed:
    """JSON values read from pieces of text, holding one value at a time."""

    def __init__(self, pieces: Iterator[str], limit: int) -> None:
        self.at = 0
        self._pieces = pieces
        self._limit = limit
        self._text = ""
        self._decoder = json.JSONDecoder()

    def next_mark(self) -> str:
        """The next character that is not white space, not consumed; empty at the end."""
        while True:
            while self.at < len(self._text):
                if self._text[self.at] not in " \t\n\r":
                    return self._text[self.at]
                self.at += 1
            if not self._grow():
                return ""

    def value(self) -> Any:
        """Consume one value."""
        self.next_mark()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self.at)
            except json.JSONDecodeError:
                if not self._grow():
                    raise
                continue
            if end == len(self._text) and self._grow():
                continue  # the text may have been cut inside a number
            self.at = end
            return value

    def _grow(self) -> bool:
        """Double the text read ahead, so that a long value is not decoded again for every piece."""
        rest = self._text[self.at :]
        if len(rest) > self._limit:
            raise ValueError("a value is longer than corpus.max_line_mb, or is not terminated")
        parts, length = [rest], 0
        for piece in self._pieces:
            parts.append(piece)
            length += len(piece)
            if length >= len(rest):
                break
        self._text, self.at = "".join(parts), 0
        return length > 0


def _parquet(file: InputFile) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    with files.open_seekable(file) as stream:
        try:
            number = 0
            for batch in pyarrow.parquet.ParquetFile(stream).iter_batches(batch_size=_BATCH):
                for value in batch.to_pylist():
                    number += 1
                    yield Row(number, value)
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"{file.path}: cannot be read as Parquet: {_first_line(error)}") from None


def parse_hub_path(path: str) -> tuple[str, str]:
    """Name and split of ``hf://datasets/OWNER/NAME[@split]``; the split defaults to ``train``.

    Raises:
        InputError: the path has another form.
    """
    match = _HUB_PATH.fullmatch(path)
    if match is None:
        raise InputError(f"{path}: a Hub dataset is written hf://datasets/OWNER/NAME or …/NAME@SPLIT")
    return match["name"], match["split"] or "train"


def hub_rows(path: str) -> Iterator[Row]:
    """The rows of a dataset on the Hugging Face Hub, streamed.

    Raises:
        InputError: the Hub cannot be reached, or it has no such dataset or split.
    """
    import datasets
    import httpx2

    name, split = parse_hub_path(path)
    try:
        for number, value in enumerate(datasets.load_dataset(name, split=split, streaming=True), 1):
            yield Row(number, value)
    except (OSError, ValueError, datasets.exceptions.DatasetsError, httpx2.HTTPError) as error:
        raise InputError(
            f"{path}: cannot be read from the Hub: {_first_line(error)}; check name, split, network and HF_TOKEN"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
