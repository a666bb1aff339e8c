"""Conversations in Parquet: the columns of the published data set, in row groups, read by the real reader."""

import io
from pathlib import Path
from typing import Any

import pytest

from sinoner.parquet import ConversationTable, conversation_row, conversation_schema
from sinoner.records import Conversation, Message


def conversation(n: int) -> Conversation:
    turns = (
        Message(role="user", content=f'文本： “{n}"”\n\u2028😀𠮷'),
        Message(role="assistant", content="[]", learn=True),
    )
    return Conversation(
        id=f"p{n}#0|类",
        messages=turns,
        first_query=0,
        passage=f"p{n}#0",
        types=("类",),
        examples=("a",) * (n % 3),
    )


def file(conversations: list[Conversation], **more: Any) -> bytes:
    table = ConversationTable(**more)
    return b"".join([*map(table.add, conversations), table.end()])


def test_datasets_loads_what_was_written(tmp_path: Path) -> None:
    from datasets import Features, List, Value, load_dataset

    made = [conversation(n) for n in range(7)]
    (tmp_path / "train.parquet").write_bytes(file(made))
    files = {"data_files": str(tmp_path / "train.parquet"), "cache_dir": str(tmp_path / "cache")}
    loaded = load_dataset("parquet", split="train", **files)
    assert list(loaded) == [conversation_row(c) for c in made]
    text = Value("string")
    assert loaded.features == Features(
        {
            "id": text,
            "messages": List({"role": text, "content": text}),
            "passage": text,
            "types": List(text),
            "examples": List(text),
        }
    )


def test_row_groups_and_when_bytes_come() -> None:
    import pyarrow.parquet as pq

    made = [conversation(n) for n in range(25)]
    table = ConversationTable(rows=10)
    pieces = [table.add(c) for c in made]
    assert [n for n, piece in enumerate(pieces) if len(piece) > 4] == [9, 19]
    read = pq.ParquetFile(io.BytesIO(b"".join([*pieces, table.end()])))
    groups = [read.metadata.row_group(i).num_rows for i in range(read.num_row_groups)]
    assert groups == [10, 10, 5]
    assert read.schema_arrow == conversation_schema()
    assert read.read().to_pylist() == [conversation_row(c) for c in made]


@pytest.mark.parametrize("n", [0, 10])
def test_no_rows_and_no_rest(n: int) -> None:
    import pyarrow.parquet as pq

    read = pq.read_table(io.BytesIO(file([conversation(i) for i in range(n)], rows=10)))
    assert read.num_rows == n
    assert read.schema == conversation_schema()


def test_the_published_data_set_has_the_same_columns() -> None:
    from sinoner.publish.hub import _features

    assert _features("conversation").arrow_schema.remove_metadata() == conversation_schema()
