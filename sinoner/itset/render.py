"""The one renderer: annotations and examples → conversations, for training, evaluation, demo and publishing.

Style ``rait`` reproduces the paper's strings byte by byte. ``sinoner`` has the same turns, with answers and examples as
JSON. ``uniner`` has the turns of UniversalNER for English (those of the paper for Chinese, where UniversalNER has none),
examples as in the paper, and answers as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from sinoner.prompts import conversation_prompt, questions_prompt
from sinoner.records import Annotation, Conversation, Entity, Lang, Message, Passage
from sinoner.settings.itset_section import OBJECT_MODES, Mode, Style

_json = json.JSONEncoder(ensure_ascii=False).encode
_quoted = json.encoder.encode_basestring  # what the encoder writes for a string, in a twentieth of the time
# Frozen turns are shared between conversations: most are repeated (questions, acknowledgements, ``[]``).
_EMPTY_ANSWER = Message(role="assistant", content="[]", learn=True)
_QUESTIONS = 1 << 15  # types whose question is cached; more than data sets like the paper's have
_LINE_BREAKS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


def conversations(
    annotation: Annotation,
    types: Sequence[str],
    examples: Sequence[Annotation],
    style: Style,
    mode: Mode,
) -> tuple[Conversation, ...]:
    """The training conversations of a passage; all answers are learned.

    Args:
        annotation: the passage and its entities.
        types: the types to ask about, in this order. Mode ``all`` asks for every entity and ignores them.
        examples: shown before the passage, in this order.
        style: prompt strings and form of the answers; objects (modes ``all`` and ``schema``) are JSON in every style.
        mode: ``passage`` (one conversation, a turn per type), ``type`` (one conversation per type, with the id
            of its evaluation query), ``all`` (one question, answered by an object from type to mentions, types in order of
            first mention), ``schema`` (one question that lists the types, answered by an object with exactly these).

    Returns:
        Nothing when there is no type to ask about.
    """
    if not types and mode != "all":
        return ()
    passage, entities = annotation.passage, annotation.entities
    opening = _opening(passage, examples, style)
    shown = tuple(e.passage.id for e in examples)
    if mode in OBJECT_MODES:
        in_order = _surfaces_by_type(entities, in_text_order=True)
        asked = tuple(in_order) if mode == "all" else tuple(dict.fromkeys(types))
        content = _json({kind: tuple(in_order.get(kind, ())) for kind in asked})
        question = _question_object(passage.lang, asked, mode)
        messages = (*opening, question, Message(role="assistant", content=content, learn=True))
        made = Conversation(
            id=passage.id,
            messages=messages,
            first_query=len(opening),
            passage=passage.id,
            types=asked,
            examples=shown,
        )
        return (made,)
    by_type = _surfaces_by_type(entities, in_text_order=style != "rait")
    questions = _questions(passage.lang, style)
    turns = [(questions[kind], _answer(by_type.get(kind, ()), style)) for kind in types]
    if mode == "type":
        return tuple(
            Conversation(
                id=query_id(passage.id, kind),
                messages=(*opening, *turn),
                first_query=len(opening),
                passage=passage.id,
                types=(kind,),
                examples=shown,
            )
            for kind, turn in zip(types, turns, strict=True)
        )
    messages = (*opening, *chain.from_iterable(turns))
    made = Conversation(
        id=passage.id,
        messages=messages,
        first_query=len(opening),
        passage=passage.id,
        types=tuple(types),
        examples=shown,
    )
    return (made,)


def query_conversations(
    passage: Passage, types: Sequence[str], examples: Sequence[Annotation], style: Style, mode: Mode
) -> tuple[Conversation, ...]:
    """The conversations that ask about types of a passage, in the form that a model of this mode was trained on.

    Returns:
        Modes ``passage`` and ``type``: one per type. Modes ``all`` and ``schema``: one, whose ``types`` are those
        to be read from its answer, each once; the question of ``all`` names none of them. Nothing without types.
    """
    if mode not in OBJECT_MODES:
        return tuple(query_conversation(passage, kind, examples, style) for kind in types)
    if not types:
        return ()
    asked = tuple(dict.fromkeys(types))
    opening = _opening(passage, examples, style)
    made = Conversation(
        id=passage.id,
        messages=(*opening, _question_object(passage.lang, asked, mode)),
        first_query=len(opening),
        passage=passage.id,
        types=asked,
        examples=tuple(e.passage.id for e in examples),
    )
    return (made,)


def query_conversation(
    passage: Passage,
    kind: str,
    examples: Sequence[Annotation],
    style: Style,
    gold: Sequence[Entity] | None = None,
) -> Conversation:
    """One conversation that asks about one type of a passage; it ends with the query, or with the gold answer if given."""
    opening = _opening(passage, examples, style)
    messages = [*opening, _questions(passage.lang, style)[kind]]
    if gold is not None:
        messages.append(Message(role="assistant", content=answer(gold, kind, style), learn=True))
    return Conversation(
        id=query_id(passage.id, kind),
        messages=tuple(messages),
        first_query=len(opening),
        passage=passage.id,
        types=(kind,),
        examples=tuple(e.passage.id for e in examples),
    )


def query_id(passage: str, kind: str) -> str:
    """The id of the conversation about one type of the passage with this id, and of its prediction."""
    return f"{passage}|{kind}"


def answer(entities: Iterable[Entity], kind: str, style: Style) -> str:
    """The answer that lists the mentions of one type."""
    surfaces = _surfaces_by_type((e for e in entities if e.type == kind), in_text_order=style != "rait")
    return _answer(surfaces.get(kind, ()), style).content


def examples_turn(examples: Sequence[Annotation], lang: Lang, style: Style) -> tuple[Message, ...]:
    """The turn that shows the examples and its acknowledgement; nothing without examples."""
    if not examples:
        return ()
    prompt = conversation_prompt(lang, style)
    shown = "\n".join(_example(e, prompt.example, style) for e in examples)
    read = _acknowledged(lang, style).examples
    return Message(role="user", content=prompt.examples.replace("{examples}", shown)), read


class _Acknowledged(NamedTuple):
    """The assistant turns that acknowledge the examples and the passage."""

    examples: Message
    passage: Message


@lru_cache(maxsize=8)
def _acknowledged(lang: Lang, style: Style) -> _Acknowledged:
    prompt = conversation_prompt(lang, style)
    examples, passage = (
        Message(role="assistant", content=content, learn=True)
        for content in (prompt.examples_read, prompt.passage_read)
    )
    return _Acknowledged(examples, passage)


class _Questions(dict[str, Message]):
    """The question for each type. Line breaks in a type become spaces, except in ``rait``, whose bytes are fixed."""

    def __init__(self, lang: Lang, style: Style) -> None:
        super().__init__()
        self._form = conversation_prompt(lang, style).query
        self._as_given = style == "rait"

    def __missing__(self, kind: str) -> Message:
        shown = kind if self._as_given else _LINE_BREAKS.sub(" ", kind)
        question = Message(role="user", content=self._form.replace("{type}", shown))
        if len(self) < _QUESTIONS:
            self[kind] = question
        return question


_questions = lru_cache(maxsize=8)(_Questions)


@lru_cache(maxsize=8)
def _question_all(lang: Lang) -> Message:
    return Message(role="user", content=questions_prompt(lang).all)


def _question_object(lang: Lang, types: Sequence[str], mode: Mode) -> Message:
    """The question of mode ``all``, or that of mode ``schema`` for these types."""
    if mode == "all":
        return _question_all(lang)
    return Message(role="user", content=questions_prompt(lang).schema_.replace("{types}", _json(types)))


def _opening(passage: Passage, examples: Sequence[Annotation], style: Style) -> tuple[Message, ...]:
    """The examples turn, if there are any, and the passage turn, each with its acknowledgement."""
    content = conversation_prompt(passage.lang, style).passage.replace("{text}", passage.text)
    read = _acknowledged(passage.lang, style).passage
    return (*examples_turn(examples, passage.lang, style), Message(role="user", content=content), read)


def _example(annotation: Annotation, form: str, style: Style) -> str:
    if style == "sinoner":
        pairs = ["{" + _quoted(e.surface) + ": " + _quoted(e.type) + "}" for e in annotation.entities]
        written = ", ".join(pairs).join("[]")
    else:
        written = repr([{e.surface: e.type} for e in annotation.entities])
    before, _, after = form.partition("{text}")
    return before + annotation.passage.text + after.replace("{entities}", written)


def _surfaces_by_type(entities: Iterable[Entity], in_text_order: bool) -> Mapping[str, Collection[str]]:
    """The distinct surfaces of each type, in text order or in the order of the annotation."""
    if in_text_order:
        entities = sorted(entities, key=lambda e: (e.starts[0], len(e.surface)))
    by_type: dict[str, dict[str, None]] = {}
    for entity in entities:
        by_type.setdefault(entity.type, {})[entity.surface] = None
    return by_type


def _answer(surfaces: Collection[str], style: Style) -> Message:
    if not surfaces:
        return _EMPTY_ANSWER
    # The reference joins the surfaces unescaped; its models were trained on that.
    listed = '", "'.join(surfaces).join('""') if style == "rait" else ", ".join([*map(_quoted, surfaces)])
    return Message(role="assistant", content=f"[{listed}]", learn=True)
