"""Finding the files of a corpus and opening them, decompressed."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from typing import TYPE_CHECKING, BinaryIO

import zstandard

from sinoner.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".txt": "txt",
}
COMPRESSIONS = (".gz", ".zst")
READABLE = f"{', '.join(FORMATS)}, each also as {' or '.join(COMPRESSIONS)}"
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of the corpus.

    Attributes:
        path: its location.
        name: its name; in a folder source, its path relative to the folder.
        stem: the name without the format and compression suffixes.
        format: a value of ``FORMATS``.
        compression: one of ``COMPRESSIONS`` or empty.
    """

    path: Path
    name: str
    stem: str
    format: str
    compression: str


def find_files(path: Path) -> list[InputFile]:
    """The readable files at a path: the file itself, or those below the folder, sorted by name.

    In a folder, hidden files and folders and files of other types are skipped.

    Raises:
        InputError: nothing at that path, an unknown file type, or the folder has no readable file.
    """
    if path.is_dir():
        found = sorted(_below(path), key=lambda file: file.name)
        if not found:
            raise InputError(f"{path}: no readable file in this folder; readable: {READABLE}")
        return found
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    file = _classify(path, path.name)
    if file is None:
        raise InputError(f"{path}: unknown file type; readable: {READABLE}")
    return [file]


def _below(folder: Path) -> Iterator[InputFile]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}")

    for here, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(here, name)
            if not name.startswith(".") and path.is_file():
                file = _classify(path, path.relative_to(folder).as_posix())
                if file is not None:
                    yield file


def _classify(path: Path, name: str) -> InputFile | None:
    stem, suffix = os.path.splitext(name)
    compression = suffix.lower() if suffix.lower() in COMPRESSIONS else ""
    if compression:
        stem, suffix = os.path.splitext(stem)
    if suffix.lower() not in FORMATS:
        return None
    return InputFile(path, shown(name), shown(stem), FORMATS[suffix.lower()], compression)


def shown(path: str | Path) -> str:
    """A path as text that is valid UTF-8, whatever its bytes are."""
    return os.fsencode(path).decode("utf-8", "replace")


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn any error in reading a file into a one-line error that names the file.

    Raises:
        InputError: no permission, a broken compression, a broken Parquet file, a disk error.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise InputError(f"{path}: cannot be decompressed, corrupt or cut off: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


@contextlib.contextmanager
def open_bytes(file: InputFile) -> Iterator[BinaryIO]:
    """Open a file for reading, decompressed."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(file.path.open("rb"))
        if file.compression == ".gz":
            yield stack.enter_context(io.BufferedReader(gzip.GzipFile(fileobj=raw)))
        elif file.compression == ".zst":
            yield stack.enter_context(io.BufferedReader(_ZstdStream(raw), _CHUNK))
        else:
            yield raw


@contextlib.contextmanager
def open_seekable(file: InputFile) -> Iterator[BinaryIO]:
    """Open a file that is not read front to back (Parquet); a compressed one is unpacked to an anonymous temporary file."""
    with open_bytes(file) as stream:
        if not file.compression:
            yield stream
            return
        with tempfile.TemporaryFile() as unpacked:
            copyfileobj(stream, unpacked, _CHUNK)
            unpacked.seek(0)
            yield unpacked


class _ZstdStream(io.RawIOBase):
    """Decompressed bytes of a .zst file. Unlike the library's own reader it detects a truncated file."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._started = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._ready:
            packed = self._frame.unused_data or self._raw.read(_CHUNK)
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
                self._started = False
            if not packed:
                if self._started:
                    raise EOFError("the file ends inside a frame")
                return 0
            self._started = True
            self._ready = memoryview(self._frame.decompress(packed))
        target = memoryview(buffer)
        n = min(len(target), len(self._ready))
        target[:n], self._ready = self._ready[:n], self._ready[n:]
        return n


@contextlib.contextmanager
def csv_field_limit(limit: int) -> Iterator[None]:
    """Let the csv module read fields up to ``limit`` characters, while the block runs."""
    before = csv.field_size_limit(limit)
    try:
        yield
    finally:
        csv.field_size_limit(before)
