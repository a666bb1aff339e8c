"""The file formats of the instruction-tuning set: the waist's own, ShareGPT, LLaMA-Factory's index, OpenAI messages."""

from __future__ import annotations

from collections.abc import Iterable
from json.encoder import (
    encode_basestring as _quoted,
)  # the string encoder of ``json`` with ensure_ascii=False
from typing import Any, NamedTuple

from sinoner.records import Conversation, Message

_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}
# Turns as short as this are remembered: questions, acknowledgements and short answers are the same again and again.
_SHORT = 64
_REMEMBERED = 1 << 14


class Written(NamedTuple):
    """A conversation in the formats that differ only in what stands around its turns.

    Attributes:
        record: the line of the waist, as ``jsonl.line`` writes it.
        sharegpt: an element of the ShareGPT array, to be joined by ``array_mark``.
        messages: the line of the messages file, with its line end.
    """

    record: bytes
    sharegpt: bytes
    messages: bytes


class _Turn(NamedTuple):
    role: str
    learn: bool
    record: bytes
    sharegpt: bytes
    messages: bytes


class ConversationWriter:
    """Writes conversations in several formats at once: each turn is encoded once, and often only once for all.

    The frame around the encoded strings is fixed, and put together here because that takes a third of the time that a
    JSON library takes for the three of them. The bytes are those of the library (property test).
    """

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}

    def write(self, conversation: Conversation) -> Written:
        """A conversation in all of them."""
        turns = [self._turn(message) for message in conversation.messages]
        name = _quoted(conversation.id).encode()
        passage = _quoted(conversation.passage).encode()
        types = ",".join(map(_quoted, conversation.types)).encode()
        examples = ",".join(map(_quoted, conversation.examples)).encode()
        record = b",".join([turn.record for turn in turns])
        sharegpt = b",\n".join([turn.sharegpt for turn in turns])
        messages = b",".join([turn.messages for turn in turns])
        return Written(
            b'{"id":%b,"messages":[%b],"passage":%b,"types":[%b],"examples":[%b]}\n'
            % (name, record, passage, types, examples),
            b'    {\n        "id": %b,\n        "conversations": [\n%b\n        ]\n    }' % (name, sharegpt),
            b'{"id":%b,"messages":[%b]}\n' % (name, messages),
        )

    def _turn(self, message: Message) -> _Turn:
        content, role, learn = message.content, message.role, message.learn
        known = self._turns.get(content)
        if known is not None and known.role == role and known.learn is learn:
            return known
        said = _quoted(content).encode()
        frame = _FRAMES[role]
        turn = _Turn(
            role,
            learn,
            frame.record % (said, b"true" if learn else b"false"),
            frame.sharegpt % said,
            frame.messages % said,
        )
        if len(content) < _SHORT and len(self._turns) < _REMEMBERED:
            self._turns[content] = turn
        return turn


class _Frame(NamedTuple):
    """What stands around the content of a turn, by format."""

    record: bytes
    sharegpt: bytes
    messages: bytes


_FRAMES = {
    role: _Frame(
        b'{"role":"%b","content":%%b,"learn":%%b}' % role.encode(),
        b'            {\n                "from": "%b",\n                "value": %%b\n            }'
        % speaker.encode(),
        b'{"role":"%b","content":%%b}' % role.encode(),
    )
    for role, speaker in _SPEAKERS.items()
}


def array_mark(before: int) -> bytes:
    """What stands in front of an element of a JSON array.

    Args:
        before: how many elements came before.
    """
    return b",\n" if before else b"[\n"


def array_end(elements: int) -> bytes:
    """What ends a JSON array of so many elements."""
    return b"\n]" if elements else b"[]"


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
