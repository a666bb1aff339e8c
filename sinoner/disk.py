"""Reading and writing the records of a run: JSON lines, written to a temporary name and renamed."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar, cast

import jsonlines
import msgspec

from sinoner.errors import InputError, StoppedError
from sinoner.records import Record

R = TypeVar("R", bound=msgspec.Struct)
T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
# Bytes that are gathered before they go to a file.
_BUFFER = 1 << 18
# What to do about a full disk.
FREE_SPACE = "free some space and run the same command again"


class AtomicFile:
    """A file that appears under its name only when it is complete.

    Use as a context manager; an exception inside removes what was written.

    Raises:
        StoppedError: the disk is full. Nothing is left under the final name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._file: IO[bytes] | None = None

    def __enter__(self) -> AtomicFile:
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("wb", buffering=_BUFFER)
        return self

    def write(self, data: bytes) -> None:
        """Append bytes."""
        assert self._file is not None
        try:
            self._file.write(data)
        except OSError as error:
            raise _unwritable(error, self.path) from None

    def record(self, record: Record) -> None:
        """Append one record as a JSON line."""
        self.write(line(record))

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        try:
            with writing(self.path):
                try:
                    if kind is None:
                        self._file.flush()
                        os.fsync(self._file.fileno())
                finally:
                    with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
                        self._file.close()
                if kind is None:
                    os.replace(self._part, self.path)
        finally:
            self._part.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises what the system reports while a file or folder is written as an error for people.

    Raises:
        InputError: no permission, or a file system that can only be read.
        StoppedError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        raise _unwritable(error, path) from None


def _unwritable(error: OSError, path: Path) -> Exception:
    """What to raise for a file that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoppedError(f"{path.parent}: disk full; {FREE_SPACE}")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        named = Path(os.fsdecode(error.filename)) if error.filename else path
        if not named.is_relative_to(path.parent) and not path.is_relative_to(named):
            return InputError(f"{named}: no permission")  # a file that is read while this one is written
        return not_writable(path.parent)
    return error


def not_writable(folder: Path) -> InputError:
    """The error of a folder that may not be written to."""
    return InputError(f"{folder}: no permission to write there; choose another place (--out)")


def line(record: Record) -> bytes:
    """A record as a JSON line, with its line end."""
    return _encode(record) + b"\n"


def parse(line: bytes, kind: type[R]) -> R:
    """The record that a JSON line holds.

    Raises:
        ValueError: it holds no such record.
    """
    decode: Callable[[bytes], R] = _decoder(kind).decode
    return _read(decode, line)


def parse_lines(lines: bytes, kind: type[R]) -> list[R]:
    """The records that JSON lines hold.

    Raises:
        ValueError: one holds no such record.
    """
    decode: Callable[[bytes], list[R]] = _decoder(kind).decode_lines
    return _read(decode, lines)


def _read(decode: Callable[[bytes], T], data: bytes) -> T:
    try:
        return decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write records to ``path`` atomically; returns how many."""
    n = 0
    with AtomicFile(path) as file:
        for record in records:
            file.record(record)
            n += 1
    return n


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Write one JSON value atomically, characters unescaped."""
    with AtomicFile(path) as file:
        file.write((json.dumps(value, ensure_ascii=False, indent=indent) + "\n").encode())


def write_text(path: Path, text: str) -> None:
    """Write a text atomically as UTF-8."""
    with AtomicFile(path) as file:
        file.write(text.encode())


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write plain rows (export formats) as JSON lines atomically; returns how many."""
    n = 0
    with AtomicFile(path) as file, jsonlines.Writer(cast("IO[bytes]", file)) as writer:
        for row in rows:
            writer.write(row)
            n += 1
    return n


@functools.lru_cache(maxsize=64)
def _decoder(kind: type[R]) -> msgspec.json.Decoder[R]:
    return msgspec.json.Decoder(kind)


def append(path: Path, data: bytes) -> None:
    """Append whole lines to a file that grows over several runs; it is made when it is missing.

    Raises:
        StoppedError: the disk is full; the last line may be cut off.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """Read records of one kind.

    Raises:
        InputError: the file is missing, or a line is not such a record (path:line).
    """
    return (record for _, record in read_places(path, kind))


def read_places(path: Path, kind: type[R], only: Collection[int] | None = None) -> Iterator[tuple[int, R]]:
    """Read records of one kind, each with the byte at which its line begins.

    Args:
        path: the file.
        kind: class of its records.
        only: read only the lines that begin at these bytes.

    Raises:
        InputError: as for ``read_records``.
    """
    place = 0
    decode = _decoder(kind).decode
    try:
        with path.open("rb", buffering=_BUFFER) as file:
            for number, line in enumerate(file, 1):
                if only is None or place in only:
                    try:
                        yield place, decode(line)
                    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                        raise InputError(f"{path}:{number}: not a {kind.__name__} record: {error}") from None
                place += len(line)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None


class Lookup(Mapping[str, R]):
    """Records of a file by id, read when they are asked for: memory holds ids and places only.

    Use as a context manager.
    """

    def __init__(self, path: Path, kind: type[R], places: Mapping[str, int]) -> None:
        """Open the file.

        Args:
            path: a file of records.
            kind: their class.
            places: byte at which the line of each id begins (``read_places``).
        """
        self._file = path.open("rb")
        self._decode: Callable[[bytes], R] = _decoder(kind).decode
        self._places = places

    def __getitem__(self, identifier: str) -> R:
        return self._decode(self.line(identifier))

    def line(self, identifier: str) -> bytes:
        """The line of a record as it stands in the file."""
        self._file.seek(self._places[identifier])
        return self._file.readline()

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __enter__(self) -> Lookup[R]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_text(path: Path, missing: str) -> str:
    """A text that a person wrote, as UTF-8.

    Args:
        path: the file.
        missing: the whole message when there is none.

    Raises:
        InputError: the file is missing, cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(missing) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8 and run the same command again"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def sha256(path: Path) -> str:
    """SHA-256 of a file, or of the sorted files of a folder, as hex."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
