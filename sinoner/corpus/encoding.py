"""Decoding bytes to lines of text: encoding detection, and lines that cannot be decoded.

``auto`` honours a byte order mark (UTF-8, UTF-16, UTF-32), then distinguishes UTF-8 from GB18030 by the first megabyte.
"""

from __future__ import annotations

import codecs
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from sinoner.errors import InputError
from sinoner.text.lang import HAN, HAN_SHARE

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

HEAD = 1 << 20
_CHUNK = 1 << 16
_BOMS = (  # UTF-32 before UTF-16: its little-endian mark begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FREQUENT_SHARE = 0.7  # of the characters outside ASCII; real text has 0.95 and more
_PRIVATE_SHARE = 0.01
_HAN = re.compile(f"[{HAN}]")
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_OUTSIDE_ASCII = re.compile("[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Broken:
    """A line without a usable record: its number, the reject reason, and a readable explanation."""

    number: int
    reason: str
    why: str


def check_codec(name: str) -> str:
    """The canonical name of a text encoding that Python supports.

    Raises:
        InputError: Python does not support it.
    """
    try:
        "".encode(name)
        codecs.getincrementaldecoder(name)
        return codecs.lookup(name).name.removesuffix("-sig")
    except (LookupError, ValueError):
        raise InputError(
            f"corpus.encoding: unknown encoding {name!r}; known: auto, utf-8, gb18030, big5, utf-16, …"
        ) from None


def detect(head: bytes, path: object) -> str:
    """Detect the encoding of a file from its first bytes (up to ``HEAD`` of them).

    A file that is not valid UTF-8 still counts as UTF-8 when most of its characters outside ASCII are well formed,
    or when it does not look like GB18030 and at least half of its lines decode; its other lines are then rejected.

    Raises:
        InputError: neither encoding fits; the message gives the offset of the first invalid byte.
    """
    for mark, codec in _BOMS:
        if head.startswith(mark):
            return codec
    cut = len(head) >= HEAD
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=not cut)
        return "utf-8"
    except UnicodeDecodeError as error:
        offset = error.start
    outside = _OUTSIDE_ASCII.findall(head.decode("utf-8", "replace"))
    malformed = outside.count("\ufffd")
    if len(outside) >= 2 * malformed:
        return "utf-8"
    if _is_gb18030(head, cut):
        return "gb18030"
    lines = [line for line in head.split(b"\n") if line.strip()]
    if 2 * sum(map(_is_utf8, lines)) >= len(lines):
        return "utf-8"
    raise InputError(
        f"{path}: byte {offset} is not UTF-8, and the file does not look like GB18030; set corpus.encoding"
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_gb18030(head: bytes, cut: bool) -> bool:
    """Whether the bytes decode as GB18030 into something that looks like Chinese.

    Almost any bytes decode as GB18030. But in real Chinese text most characters are among the frequent ones of
    GB 2312 or Big5, while other encodings read as GB18030 give rare characters, and Big5 gives private-use ones.
    """
    try:
        text = codecs.getincrementaldecoder("gb18030")().decode(head, final=not cut)
    except UnicodeDecodeError:
        return False
    counts = Counter(_OUTSIDE_ASCII.findall(text))
    total = counts.total()
    han = sum(n for char, n in counts.items() if _HAN.match(char))
    private = sum(n for char, n in counts.items() if _PRIVATE.match(char))
    frequent = sum(n for char, n in counts.items() if _is_frequent(char))
    return (
        han > HAN_SHARE * total and frequent >= _FREQUENT_SHARE * total and private <= _PRIVATE_SHARE * total
    )


def _is_frequent(char: str) -> bool:
    """Whether a character is punctuation or among the level-1 characters of GB 2312 or of Big5."""
    in_gb, in_big5 = char.encode("gb2312", "ignore"), char.encode("big5", "ignore")
    return b"" < in_gb[:1] <= b"\xd7" or b"" < in_big5[:1] <= b"\xc6"


def splits_at_newline(codec: str) -> bool:
    """Whether the byte 0x0A ends a line in this encoding, so that lines can be cut before they are decoded."""
    return "\n".encode(codec) == b"\n"


def pieces(stream: BinaryIO, codec: str, path: object) -> Iterator[str]:
    """The text of a stream in pieces of about 64,000 characters, without the byte order mark.

    Raises:
        InputError: it is not in this encoding; the message gives the byte offset.
    """
    decoder = codecs.getincrementaldecoder(codec)()
    done, first = 0, True
    while True:
        chunk = stream.read(_CHUNK)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            at = done - pending + getattr(error, "start", 0)  # a missing byte order mark has no position
            raise InputError(f"{path}: byte {at} is not {codec}; set corpus.encoding") from None
        done += len(chunk)
        if text:
            yield text.removeprefix("\ufeff") if first else text
            first = False
        if not chunk:
            return


def lines(
    stream: BinaryIO, codec: str, limit: int, path: object, *, keep_all: bool = False
) -> Iterator[tuple[int, str] | Broken]:
    """The lines of a stream that are not blank, with their 1-based number and without their line end.

    Holds one line of at most ``limit`` bytes. A longer line, or one that does not decode, is yielded as ``Broken``.

    Args:
        stream: the bytes.
        codec: their encoding.
        limit: maximum length of a line in bytes.
        path: name of the stream in messages.
        keep_all: yield blank lines and line ends too.

    Raises:
        InputError: a stream that must be decoded before it is split into lines (UTF-16) does not decode.
    """
    if not splits_at_newline(codec):
        stream = io.BufferedReader(_Recoded(pieces(stream, codec, path)), _CHUNK)
        codec = "utf-8"
    number = 0
    while raw := stream.readline(limit + 1):
        number += 1
        if len(raw) > limit and not raw.endswith(b"\n"):
            while (rest := stream.readline(_CHUNK)) and not rest.endswith(b"\n"):
                pass
            yield Broken(number, "line_too_long", f"longer than {limit >> 20} MB (corpus.max_line_mb)")
            continue
        if not keep_all:
            raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        try:
            line = raw.decode(codec)
        except UnicodeDecodeError as error:
            reason = "invalid_utf8" if codec == "utf-8" else "invalid_encoding"
            yield Broken(number, reason, f"byte {error.start} of the line is not {codec}")
            continue
        if number == 1:
            line = line.removeprefix("\ufeff")
        if keep_all or (line and not line.isspace()):
            yield number, line


class _Recoded(io.RawIOBase):
    """Pieces of text as a UTF-8 byte stream."""

    def __init__(self, source: Iterator[str]) -> None:
        self._source = source
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._ready:
            piece = next(self._source, "")
            if not piece:
                return 0
            self._ready = memoryview(piece.encode())
        target = memoryview(buffer)
        n = min(len(target), len(self._ready))
        target[:n], self._ready = self._ready[:n], self._ready[n:]
        return n
