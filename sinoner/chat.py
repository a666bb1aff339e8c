"""Conversation → token ids and loss mask: the one place that knows chat templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sinoner.records import Conversation, Message

# The system turn of the paper's training (the Qwen template's default).
SYSTEM = "You are a helpful assistant."
# Label of the tokens that do not count in the loss (torch.nn.CrossEntropyLoss ignore_index).
IGNORE = -100


class Encoded(NamedTuple):
    """Token ids of a conversation and the labels of the same length; ``dropped`` queries did not fit."""

    ids: list[int]
    labels: list[int]
    dropped: int


def prompt_text(messages: Sequence[Message], tokenizer: Any, system: str = SYSTEM) -> str:
    """The text that asks the model for the next assistant turn."""
    rendered: str = tokenizer.apply_chat_template(
        _turns(messages, system), tokenize=False, add_generation_prompt=True
    )
    return rendered


def encode(conversation: Conversation, tokenizer: Any, cutoff: int, system: str = SYSTEM) -> Encoded | None:
    """Token ids and labels of a conversation; only the turns with ``learn`` count in the loss.

    A conversation that is too long loses its last (query, answer) pairs, whole; an answer is never cut.

    Args:
        conversation: ends with an assistant turn.
        tokenizer: a Hugging Face fast tokenizer with a chat template.
        cutoff: tokens allowed.
        system: content of the system turn, unless the conversation has its own.

    Returns:
        The encoding, or None when not even one query fits.

    Raises:
        ValueError: the template does not render a conversation as a prefix of its continuation.
    """
    messages = list(conversation.messages)
    opening = len(messages) - 2 * len(conversation.types)
    dropped = 0
    while len(messages) > opening:
        ids, labels = _encode(messages, tokenizer, system)
        if len(ids) <= cutoff:
            return Encoded(ids, labels, dropped)
        messages = messages[:-2]
        dropped += 1
    return None


def _encode(messages: Sequence[Message], tokenizer: Any, system: str) -> tuple[list[int], list[int]]:
    turns = _turns(messages, system)
    lead = len(turns) - len(messages)
    full: str = tokenizer.apply_chat_template(turns, tokenize=False)
    spans = []
    for i, message in enumerate(messages):
        if not message.learn:
            continue
        before: str = tokenizer.apply_chat_template(
            turns[: lead + i], tokenize=False, add_generation_prompt=True
        )
        after: str = tokenizer.apply_chat_template(turns[: lead + i + 1], tokenize=False)
        if not (after.startswith(before) and full.startswith(after)):
            raise ValueError("the chat template changes earlier turns; its loss mask cannot be known")
        spans.append((len(before), len(after.rstrip())))  # white space after the end token is not learned
    encoding = tokenizer(full, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = encoding["input_ids"]
    labels = [IGNORE] * len(ids)
    at = 0
    for begin, end in spans:
        while at < len(ids) and encoding["offset_mapping"][at][0] < begin:
            at += 1
        while at < len(ids) and encoding["offset_mapping"][at][0] < end:
            labels[at] = ids[at]
            at += 1
    return ids, labels


def _turns(messages: Sequence[Message], system: str) -> list[dict[str, str]]:
    turns = [{"role": m.role, "content": m.content} for m in messages]
    if messages[0].role != "system":
        turns.insert(0, {"role": "system", "content": system})
    return turns
