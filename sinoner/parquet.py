"""Conversations as a Parquet table: the columns of the run's files and of the published data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from sinoner.records import Conversation

ROWS = 1000  # rows in a row group, the number kept in memory at once


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
            rows: conversations in a row group.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = conversation_schema()
        self._written = _Written()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._written, mode="w"), self._schema)
        self._rows = rows
        self._waiting: list[Conversation] = []

    def add(self, conversation: Conversation) -> bytes:
        """Add a conversation; returns the bytes that are ready to be written, usually none."""
        self._waiting.append(conversation)
        if len(self._waiting) >= self._rows:
            self._group()
        return self._written.taken()

    def end(self) -> bytes:
        """The rest of the file; a file without rows still has its columns."""
        if self._waiting:
            self._group()
        self._writer.close()
        return self._written.taken()

    def _group(self) -> None:
        self._writer.write_table(_table(self._waiting, self._schema))
        self._waiting.clear()


def _table(conversations: Sequence[Conversation], schema: Any) -> Any:
    """The rows as a ``pyarrow.Table``, built column by column, without an object for each row or turn."""
    import pyarrow as pa

    def lists(lengths: Iterable[int], values: Any) -> Any:
        return pa.ListArray.from_arrays(pa.array([0, *accumulate(lengths)], pa.int32()), values)

    def texts(values: Iterable[str]) -> Any:
        return pa.array(list(values), pa.string())

    turns = [m for c in conversations for m in c.messages]
    roles_and_contents = [texts(m.role for m in turns), texts(m.content for m in turns)]
    columns = {
        "id": texts(c.id for c in conversations),
        "messages": lists(
            (len(c.messages) for c in conversations),
            pa.StructArray.from_arrays(
                roles_and_contents, fields=list(schema.field("messages").type.value_type)
            ),
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
    """A write-only file in memory; ``taken`` returns what was written since the last call."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._size += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        pieces = b"".join(self._pieces)
        self._pieces.clear()
        return pieces
