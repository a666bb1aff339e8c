"""The one renderer: annotations and examples → conversations, for training, evaluation, demo and publishing.

Style ``rait`` writes the paper's strings to the byte; style ``sinoner`` keeps the turns and writes answers and
examples as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Literal

from sinoner.prompts import ConversationPrompt, conversation_prompt
from sinoner.records import Annotation, Conversation, Entity, Message, Passage

Style = Literal["sinoner", "rait"]


def training_conversation(
    annotation: Annotation, types: Sequence[str], examples: Sequence[Annotation], style: Style
) -> Conversation:
    """One conversation that asks ``types`` of a passage in this order, with the answers; all answers are learned."""
    passage = annotation.passage
    prompt = conversation_prompt(passage.lang)
    messages = list(_opening(passage, examples, prompt, style))
    for kind in types:
        messages.append(Message(role="user", content=prompt.query.replace("{type}", kind)))
        messages.append(
            Message(role="assistant", content=answer(annotation.entities, kind, style), learn=True)
        )
    return Conversation(
        id=passage.id,
        messages=tuple(messages),
        passage=passage.id,
        types=tuple(types),
        examples=tuple(e.passage.id for e in examples),
    )


def query_conversation(
    passage: Passage,
    kind: str,
    examples: Sequence[Annotation],
    style: Style,
    gold: Sequence[Entity] | None = None,
) -> Conversation:
    """One conversation that asks one type of a passage; it ends with the query, or with the gold answer if given."""
    prompt = conversation_prompt(passage.lang)
    messages = list(_opening(passage, examples, prompt, style))
    messages.append(Message(role="user", content=prompt.query.replace("{type}", kind)))
    if gold is not None:
        messages.append(Message(role="assistant", content=answer(gold, kind, style), learn=True))
    return Conversation(
        id=f"{passage.id}|{kind}",
        messages=tuple(messages),
        passage=passage.id,
        types=(kind,),
        examples=tuple(e.passage.id for e in examples),
    )


def answer(entities: Iterable[Entity], kind: str, style: Style) -> str:
    """The answer that lists the mentions of one type."""
    own = [e for e in entities if e.type == kind]
    if style == "rait":  # the reference joins the surfaces unescaped; its models were trained on that
        return "[" + ", ".join(f'"{s}"' for s in dict.fromkeys(e.surface for e in own)) + "]"
    ordered = sorted(own, key=lambda e: (e.starts[0], len(e.surface)))
    return json.dumps(list(dict.fromkeys(e.surface for e in ordered)), ensure_ascii=False)


def _opening(
    passage: Passage, examples: Sequence[Annotation], prompt: ConversationPrompt, style: Style
) -> Iterable[Message]:
    """The examples turn, if there are any, and the passage turn, each with its acknowledgement."""
    if examples:
        shown = "\n".join(_example(e, prompt, style) for e in examples)
        yield Message(role="user", content=prompt.examples.replace("{examples}", shown))
        yield Message(role="assistant", content=prompt.examples_read, learn=True)
    yield Message(role="user", content=prompt.passage.replace("{text}", passage.text))
    yield Message(role="assistant", content=prompt.passage_read, learn=True)


def _example(annotation: Annotation, prompt: ConversationPrompt, style: Style) -> str:
    pairs = [{e.surface: e.type} for e in annotation.entities]
    written = repr(pairs) if style == "rait" else json.dumps(pairs, ensure_ascii=False)
    before, _, after = prompt.example.partition("{text}")
    return before + annotation.passage.text + after.replace("{entities}", written)
