"""Keeping conversations within a number of tokens: examples give way, the passage and its answers never do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import accumulate
from typing import Literal, NamedTuple

from msgspec.structs import replace

from sinoner.itset.render import conversations, examples_turn
from sinoner.records import Annotation, Entity, Message
from sinoner.settings.itset_section import Mode, Style
from sinoner.text.sentences import clauses, sentences

Count = Callable[[str], int]

# What a chat template adds to a message: marks of begin and end, the role and a line end.
MESSAGE_TOKENS = 4
_SHORT = (
    64  # characters of a text whose count is worth remembering: questions, acknowledgements, short answers
)
_REMEMBERED = 1 << 16


class Fitted(NamedTuple):
    """The examples that fit, how many were shortened and dropped, and whether it is too long even without any."""

    examples: tuple[Annotation, ...]
    shortened: int = 0
    dropped: int = 0
    over: bool = False


def fit(
    annotation: Annotation,
    types: Sequence[str],
    examples: Sequence[Annotation],
    style: Style,
    mode: Mode,
    *,
    max_tokens: int,
    how: Literal["shorten", "drop"],
    count: Count,
) -> Fitted:
    """Choose examples such that every conversation of a passage has at most ``max_tokens`` tokens.

    The last example, which is the farthest, gives way first: it is shortened if it can be, else dropped, and then
    the one before it. A shortened example ends with a sentence, else between two entities; it has the entities that are
    wholly in what is left of it, at least one if it had any.

    Args:
        annotation: what the conversations are about.
        types: the types that are asked.
        examples: nearest first.
        style: style of the conversations.
        mode: mode of the conversations; the longest one counts.
        max_tokens: tokens of all contents, and ``MESSAGE_TOKENS`` for every message.
        how: whether examples may be shortened.
        count: tokens of a text. It is called for every turn once and a few times per example that does not fit.

    Returns:
        The examples to show. When nothing helps, ``over`` is set and the conversation stays whole, without examples.
    """
    shown = tuple(examples)
    count = cache(count)  # in mode ``type`` every conversation has the same opening
    asked = conversations(annotation, types, (), style, mode)
    room = max_tokens - max((_cost(c.messages, count) for c in asked), default=0)
    if room < 0:
        return Fitted((), dropped=len(shown), over=True)

    def fits(*some: Annotation) -> bool:
        return _cost(examples_turn(some, annotation.passage.lang, style), count) <= room

    for kept in range(len(shown), 0, -1):
        if fits(*shown[:kept]):
            return Fitted(shown[:kept], dropped=len(shown) - kept)
        before, last = shown[: kept - 1], shown[kept - 1]
        if how == "shorten" and (shorter := _longest(last, partial(fits, *before))):
            return Fitted((*before, shorter), shortened=1, dropped=len(shown) - kept)
    return Fitted((), dropped=len(shown))


def remembering(count: Count) -> Count:
    """A count that looks at a short text only once: the turns of a data set are mostly the same few thousand."""
    known: dict[str, int] = {}

    def remembered(text: str) -> int:
        if len(text) > _SHORT:
            return count(text)
        if (n := known.get(text)) is None:
            n = count(text)
            if len(known) < _REMEMBERED:
                known[text] = n
        return n

    return remembered


def _cost(messages: Iterable[Message], count: Count) -> int:
    return sum(count(message.content) + MESSAGE_TOKENS for message in messages)


def _longest(example: Annotation, fits: Callable[[Annotation], bool]) -> Annotation | None:
    """The longest beginning of an example that fits; one that ends with a sentence wins over a longer one."""
    for places in _places(example):
        fitting: Annotation | None = None
        low, high = 0, len(places)  # places before low fit, those from high on do not
        while low < high:
            middle = (low + high) // 2
            shorter = _until(example, places[middle])
            if fits(shorter):
                fitting, low = shorter, middle + 1
            else:
                high = middle
        if fitting:
            return fitting
    return None


def _places(example: Annotation) -> Iterator[list[int]]:
    """Where an example may be cut, ascending: after sentences; then also after clauses and entities.

    No cut goes through an occurrence, and before each stands an entity, if there is any.
    """
    text = example.passage.text
    spans = [(s, s + len(e.surface)) for e in example.entities for s in e.starts]
    first = min((end for _, end in spans), default=1)

    def sound(places: Iterable[int]) -> list[int]:
        return [
            p
            for p in sorted(set(places))
            if first <= p < len(text) and text[:p].strip() and not any(s < p < e for s, e in spans)
        ]

    after_sentences = list(accumulate(map(len, sentences(text))))
    yield sound(after_sentences)
    yield sound([*accumulate(map(len, clauses(text))), *(end for _, end in spans)])


def _until(example: Annotation, place: int) -> Annotation:
    """An example up to a place. White space at the new end goes too, unless it belongs to a mention."""
    spans = [(s, s + len(e.surface)) for e in example.entities for s in e.starts]
    inside = max((end for _, end in spans if end <= place), default=0)
    end = max(len(example.passage.text[:place].rstrip()), inside)
    text = example.passage.text[:end]
    return Annotation(
        passage=replace(example.passage, text=text),
        entities=tuple(_entities(example.entities, end)),
        by=example.by,
    )


def _entities(entities: Iterable[Entity], end: int) -> Iterator[Entity]:
    for entity in entities:
        if starts := tuple(s for s in entity.starts if s + len(entity.surface) <= end):
            yield replace(entity, starts=starts)
