"""The files of the instruction-tuning set as bytes: one writer per format, all fed in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sinoner.itset import encoders, export
from sinoner.itset.build import Built
from sinoner.itset.export import Written
from sinoner.parquet import ConversationTable
from sinoner.settings.itset import Format

# What each format's file is called, after the name of the part.
ENDINGS: dict[Format, str] = {
    "sharegpt": ".json",
    "messages": ".messages.jsonl",
    "parquet": ".parquet",
    "gliner": ".gliner.json",
    "spans": ".spans.jsonl",
}


class Writer(Protocol):
    """Turns passages into the bytes of a file."""

    def add(self, built: Built, written: Sequence[Written]) -> bytes:
        """What a passage adds; ``written`` are its conversations."""
        ...

    def end(self) -> bytes:
        """What ends the file."""
        ...


class _ShareGpt:
    def __init__(self) -> None:
        self._n = 0

    def add(self, built: Built, written: Sequence[Written]) -> bytes:
        pieces = []
        for conversation in written:
            pieces += [export.array_mark(self._n), conversation.sharegpt]
            self._n += 1
        return b"".join(pieces)

    def end(self) -> bytes:
        return export.array_end(self._n)


class _Messages:
    def add(self, built: Built, written: Sequence[Written]) -> bytes:
        return b"".join([conversation.messages for conversation in written])

    def end(self) -> bytes:
        return b""


class _Parquet:
    def __init__(self) -> None:
        self._table = ConversationTable()

    def add(self, built: Built, written: Sequence[Written]) -> bytes:
        return b"".join(map(self._table.add, built.conversations))

    def end(self) -> bytes:
        return self._table.end()


class Gliner:
    """GLiNER's JSON array; counts the occurrences it cannot express.

    Attributes:
        left_out: how many those are.
    """

    def __init__(self) -> None:
        self._n = 0
        self.left_out = 0

    def add(self, built: Built, written: Sequence[Written]) -> bytes:
        """What a passage adds."""
        row = encoders.gliner(built.annotation)
        self.left_out += row.left_out
        self._n += 1
        return export.array_mark(self._n - 1) + encoders.gliner_json(row)

    def end(self) -> bytes:
        """What ends the file."""
        return export.array_end(self._n)


class _Spans:
    def add(self, built: Built, written: Sequence[Written]) -> bytes:
        return encoders.span_json(built.annotation)

    def end(self) -> bytes:
        return b""


def writer(format: Format) -> Writer:
    """A new writer of a format."""
    kinds: dict[Format, type[Writer]] = {
        "sharegpt": _ShareGpt,
        "messages": _Messages,
        "parquet": _Parquet,
        "gliner": Gliner,
        "spans": _Spans,
    }
    return kinds[format]()
