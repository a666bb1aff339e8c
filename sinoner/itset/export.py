"""The file formats of the instruction-tuning set: ShareGPT, LLaMA-Factory's index, OpenAI messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from sinoner.records import Conversation

_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}


def sharegpt(conversation: Conversation) -> dict[str, Any]:
    """The ShareGPT object of a conversation."""
    turns = [{"from": _SPEAKERS[m.role], "value": m.content} for m in conversation.messages]
    return {"id": conversation.id, "conversations": turns}


def messages(conversation: Conversation) -> dict[str, Any]:
    """The OpenAI / TRL messages object of a conversation."""
    turns = [{"role": m.role, "content": m.content} for m in conversation.messages]
    return {"id": conversation.id, "messages": turns}


def json_array(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """A JSON array in pieces, the same bytes as ``json.dumps(list, ensure_ascii=False, indent=4)``."""
    head = b"[\n"
    for row in rows:
        text = json.dumps(row, ensure_ascii=False, indent=4)
        yield head + b"    " + text.replace("\n", "\n    ").encode()
        head = b",\n"
    yield b"\n]" if head == b",\n" else b"[]"


def dataset_info(name: str, files: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The ``dataset_info.json`` with which LLaMA-Factory loads the ShareGPT files.

    Args:
        name: name of the data set.
        files: (split, file name) pairs; the first split is called ``name``, the others ``name_<split>``.
    """
    return {
        (name if split == "train" else f"{name}_{split}"): {
            "file_name": file,
            "formatting": "sharegpt",
            "columns": {"messages": "conversations"},
            "tags": {
                "role_tag": "from",
                "content_tag": "value",
                "user_tag": "human",
                "assistant_tag": "gpt",
                "system_tag": "system",
            },
        }
        for split, file in files
    }
