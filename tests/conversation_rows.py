"""What the files of conversations say, as plain objects: the definition that their bytes are compared with."""

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
