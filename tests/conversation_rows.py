"""The rows of conversation files as plain objects, with which the bytes of the files are compared."""

from typing import Any

from sinoner.records import Conversation

SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}


def sharegpt(conversation: Conversation) -> dict[str, Any]:
    """The ShareGPT object of a conversation."""
    turns = [{"from": SPEAKERS[m.role], "value": m.content} for m in conversation.messages]
    return {"id": conversation.id, "conversations": turns}


def messages(conversation: Conversation) -> dict[str, Any]:
    """The OpenAI / TRL messages object of a conversation."""
    turns = [{"role": m.role, "content": m.content} for m in conversation.messages]
    return {"id": conversation.id, "messages": turns}
