"""Export formats of the instruction-tuning set: ShareGPT, the index of LLaMA-Factory, OpenAI messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from sinoner.records import Conversation

_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}
_encode = msgspec.json.Encoder().encode

# The bytes before, between and after the elements of a JSON array, and an empty array.
ARRAY, ELEMENTS, ARRAY_END, NO_ARRAY = b"[\n", b",\n", b"\n]", b"[]"


class _ShareGptTurn(Struct, gc=False, rename={"speaker": "from"}):
    speaker: str
    value: str


class _ShareGptConversation(Struct, gc=False):
    id: str
    conversations: list[_ShareGptTurn]


class _Message(Struct, gc=False):
    role: str
    content: str


class _MessagesRow(Struct, gc=False):
    id: str
    messages: list[_Message]


def sharegpt(conversation: Conversation) -> bytes:
    """A conversation as an element of the ShareGPT array; elements are joined by ``ELEMENTS``."""
    turns = [_ShareGptTurn(_SPEAKERS[m.role], m.content) for m in conversation.messages]
    # Formatted as the only element of an array, whose brackets and line breaks are then removed.
    return msgspec.json.format(_encode([_ShareGptConversation(conversation.id, turns)]), indent=4)[2:-2]


def messages(conversation: Conversation) -> bytes:
    """A conversation as a line of the messages file, including the line end."""
    turns = [_Message(m.role, m.content) for m in conversation.messages]
    return _encode(_MessagesRow(conversation.id, turns)) + b"\n"


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
