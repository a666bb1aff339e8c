"""Conversations as a Parquet table: the columns of the files of a run and of the published data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from sinoner.records import Conversation

ROWS = 1000  # of a row group: what is held in memory at once


def conversation_row(conversation: Conversation) -> dict[str, Any]:
    """The row of a conversation."""
    return {
        "id": conversation.id,
        "messages": [{"role": m.role, "content": m.content} for m in conversation.messages],
        "passage": conversation.passage,
        "types": list(conversation.types),
        "examples": list(conversation.examples),
    }


def conversation_schema() -> Any:
    """The columns (a ``pyarrow.Schema``)."""
    import pyarrow as pa

    text = pa.string()
    message = pa.struct([("role", text), ("content", text)])
    columns = {
        "id": text,
        "messages": pa.list_(message),
        "passage": text,
        "types": pa.list_(text),
        "examples": pa.list_(text),
    }
    return pa.schema(list(columns.items()))


class ConversationTable:
    """The bytes of a Parquet file of conversations, row group by row group, so that one pass feeds all files."""

    def __init__(self, rows: int = ROWS) -> None:
        """Begin a file.

        Args:
            rows: conversations of a row group.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = conversation_schema()
        self._written = _Written()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._written, mode="w"), self._schema)
        self._rows = rows
        self._waiting: list[Conversation] = []

    def add(self, conversation: Conversation) -> bytes:
        """Take a conversation; returns what is ready to be written, mostly nothing."""
        self._waiting.append(conversation)
        if len(self._waiting) >= self._rows:
            self._group()
        return self._written.taken()

    def end(self) -> bytes:
        """The rest of the file; a file without rows has its columns all the same."""
        if self._waiting:
            self._group()
        self._writer.close()
        return self._written.taken()

    def _group(self) -> None:
        self._writer.write_table(_table(self._waiting, self._schema))
        self._waiting.clear()


def _table(conversations: Sequence[Conversation], schema: Any) -> Any:
    """The rows as a ``pyarrow.Table``, column by column: no object is made for a row or a turn."""
    import pyarrow as pa

    def lists(lengths: Iterable[int], values: Any) -> Any:
        return pa.ListArray.from_arrays(pa.array([0, *accumulate(lengths)], pa.int32()), values)

    def texts(values: Iterable[str]) -> Any:
        return pa.array(list(values), pa.string())

    turns = [m for c in conversations for m in c.messages]
    said = [texts(m.role for m in turns), texts(m.content for m in turns)]
    columns = {
        "id": texts(c.id for c in conversations),
        "messages": lists(
            (len(c.messages) for c in conversations),
            pa.StructArray.from_arrays(said, fields=list(schema.field("messages").type.value_type)),
        ),
        "passage": texts(c.passage for c in conversations),
        "types": lists(
            (len(c.types) for c in conversations), texts(t for c in conversations for t in c.types)
        ),
        "examples": lists(
            (len(c.examples) for c in conversations), texts(e for c in conversations for e in c.examples)
        ),
    }
    return pa.Table.from_pydict(columns, schema=schema)


class _Written:
    """A place to write to that hands over what was written."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._at = 0
        self.closed = False

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._at += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        pieces = b"".join(self._pieces)
        self._pieces.clear()
        return pieces
