"""The files of the instruction-tuning set as bytes.

The bytes that some passages add to each file (``Piece``) are made where the passages are built, perhaps in another process.
The bytes around them depend on earlier pieces and are made where the files are written (``Frame``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from sinoner import disk
from sinoner.itset import export, span_formats
from sinoner.itset.conversations import Built
from sinoner.parquet import ConversationTable
from sinoner.records import Conversation
from sinoner.settings.itset_section import Format

# Ending of the file of each format, after the name of the part.
ENDINGS: dict[Format, str] = {
    "sharegpt": ".json",
    "messages": ".messages.jsonl",
    "parquet": ".parquet",
    "gliner": ".gliner.json",
    "spans": ".spans.jsonl",
}


class Piece(NamedTuple):
    """The bytes that some passages add to the files of a part.

    Attributes:
        waist: the lines of the conversations.
        formats: bytes to be passed to the frame of each format.
        left_out: occurrences that the GLiNER format cannot represent.
    """

    waist: bytes
    formats: dict[Format, bytes]
    left_out: int = 0


def piece(passages: Iterable[Built], formats: Iterable[Format]) -> Piece:
    """The bytes these passages add to the files of these formats; at least one passage must have a conversation."""
    built = list(passages)
    conversations = [c for b in built for c in b.conversations]
    waist = b"".join(map(disk.line, conversations))
    made: dict[Format, bytes] = {}
    left_out = 0
    for form in formats:
        if form == "sharegpt":
            made[form] = export.ELEMENTS.join(map(export.sharegpt, conversations))
        elif form == "messages":
            made[form] = b"".join(map(export.messages, conversations))
        elif form == "parquet":
            made[form] = waist
        elif form == "gliner":
            rows = [span_formats.gliner(b.annotation) for b in built]
            left_out = sum(row.left_out for row in rows)
            made[form] = export.ELEMENTS.join(map(span_formats.gliner_json, rows))
        else:
            made[form] = b"".join(span_formats.span_json(b.annotation) for b in built)
    return Piece(waist, made, left_out)


class Frame(Protocol):
    """Turns pieces into the bytes of a file."""

    def add(self, piece: bytes) -> bytes:
        """The bytes to write for a piece."""
        ...

    def end(self) -> bytes:
        """The bytes at the end of the file."""
        ...


class _Lines:
    def add(self, piece: bytes) -> bytes:
        return piece

    def end(self) -> bytes:
        return b""


class _Array:
    def __init__(self) -> None:
        self._begun = False

    def add(self, piece: bytes) -> bytes:
        before = export.ELEMENTS if self._begun else export.ARRAY
        self._begun = True
        return before + piece

    def end(self) -> bytes:
        return export.ARRAY_END if self._begun else export.NO_ARRAY


class _Table:
    def __init__(self) -> None:
        self._table = ConversationTable()

    def add(self, piece: bytes) -> bytes:
        return b"".join(map(self._table.add, disk.parse_lines(piece, Conversation)))

    def end(self) -> bytes:
        return self._table.end()


def frame(form: Format) -> Frame:
    """The frame of a new file of a format."""
    kinds: dict[Format, type[Frame]] = {"sharegpt": _Array, "gliner": _Array, "parquet": _Table}
    return kinds.get(form, _Lines)()
