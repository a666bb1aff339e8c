"""Conversation → token ids and loss mask: the only module that uses chat templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sinoner.errors import InputError
from sinoner.records import Conversation, Message

# The system turn of the paper's training (the Qwen template's default).
SYSTEM = "You are a helpful assistant."
# Label of the tokens excluded from the loss (ignore_index of torch.nn.CrossEntropyLoss).
IGNORE = -100


class Encoded(NamedTuple):
    """Token ids of a conversation and the labels of the same length; ``dropped`` queries did not fit."""

    ids: list[int]
    labels: list[int]
    dropped: int


def prompt_text(messages: Sequence[Message], tokenizer: Any, system: str = SYSTEM) -> str:
    """The prompt for the next assistant turn."""
    return _render(_turns(messages, system), tokenizer, ask=True)


def _render(turns: list[dict[str, str]], tokenizer: Any, ask: bool = False) -> str:
    """The text of the turns. Thinking is switched off in models that have it, because the answers are lists."""
    text: str = tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=ask, enable_thinking=False
    )
    return text


def encode(conversation: Conversation, tokenizer: Any, cutoff: int, system: str = SYSTEM) -> Encoded | None:
    """Token ids and labels of a conversation; only the turns with ``learn`` count in the loss.

    A conversation that is too long loses whole (query, answer) pairs from its end; an answer is never cut.

    Args:
        conversation: ends with an assistant turn.
        tokenizer: a Hugging Face fast tokenizer with a chat template.
        cutoff: maximum number of tokens.
        system: content of the system turn, unless the conversation has its own.

    Returns:
        The encoding, or None when not even one query fits.

    Raises:
        InputError: the template changes the content of turns, so that the learned tokens cannot be located.
    """
    messages = list(conversation.messages)
    dropped = 0
    while True:
        ids, labels = _encode(messages, tokenizer, system)
        if len(ids) <= cutoff:
            return Encoded(ids, labels, dropped)
        messages = messages[:-2]
        dropped += 1
        if len(messages) <= conversation.first_query:
            return None


def _encode(messages: Sequence[Message], tokenizer: Any, system: str) -> tuple[list[int], list[int]]:
    turns = _turns(messages, system)
    lead = len(turns) - len(messages)
    full = _render(turns, tokenizer)
    spans = _spans_by_prefix(full, turns, lead, messages, tokenizer)
    if spans is None:
        spans = _spans_by_search(full, turns, lead, messages, tokenizer)
    encoding = tokenizer(full, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = encoding["input_ids"]
    labels = [IGNORE] * len(ids)
    position = 0
    for begin, end in spans:
        while position < len(ids) and encoding["offset_mapping"][position][0] < begin:
            position += 1
        while position < len(ids) and encoding["offset_mapping"][position][0] < end:
            labels[position] = ids[position]
            position += 1
    return ids, labels


def _spans_by_prefix(
    full: str, turns: list[dict[str, str]], lead: int, messages: Sequence[Message], tokenizer: Any
) -> list[tuple[int, int]] | None:
    """The learned ranges of the text, end token included; None when the template rewrites earlier turns."""
    spans = []
    for i, message in enumerate(messages):
        if not message.learn:
            continue
        before = _render(turns[: lead + i], tokenizer, ask=True)
        after = _render(turns[: lead + i + 1], tokenizer)
        if not (after.startswith(before) and full.startswith(after)):
            return None
        spans.append((len(before), len(after.rstrip())))  # without the white space after the end token
    return spans


def _spans_by_search(
    full: str, turns: list[dict[str, str]], lead: int, messages: Sequence[Message], tokenizer: Any
) -> list[tuple[int, int]]:
    """The same for templates that render the last turn differently (with an empty thought before it), turn by turn."""
    refused = InputError(
        "the model's chat template changes earlier turns or renders the prompt differently from the answer; choose another base"
        " model"
    )
    if not full.startswith(_render(turns[:-1], tokenizer, ask=True)):
        raise refused
    spans = []
    position = 0
    for turn, message in zip(turns, [None] * lead + list(messages), strict=True):
        content = turn["content"].strip()
        begin = full.find(content, position)
        if begin < 0:
            raise refused
        position = begin + len(content)
        if message is not None and message.learn:
            end = tokenizer.eos_token or ""
            spans.append((begin, position + len(end) if full.startswith(end, position) else position))
    return spans


def _turns(messages: Sequence[Message], system: str) -> list[dict[str, str]]:
    turns = [{"role": m.role, "content": m.content} for m in messages]
    if messages[0].role != "system":
        turns.insert(0, {"role": "system", "content": system})
    return turns
