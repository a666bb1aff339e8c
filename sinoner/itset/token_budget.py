"""Keeps conversations within a token budget: examples are shortened or dropped, the passage and its answers never."""

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

# Tokens that a chat template adds to a message: begin and end marks, the role and a line end.
MESSAGE_TOKENS = 4
_CACHED_LENGTH = 64  # texts up to this length are cached: questions, acknowledgements, short answers
_CACHE_SIZE = 1 << 16


class Fitted(NamedTuple):
    """The examples that fit, how many were shortened or dropped, and whether it is too long even without examples."""

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

    The last example, the least similar one, is shortened first if possible, else dropped; then the one before it, and so on.
    A shortened example ends after a sentence, else after a clause or an entity. It keeps the entities that are entirely
    inside the rest, at least one if it had any.

    Args:
        annotation: the annotated passage.
        types: the types asked about.
        examples: nearest first.
        style: style of the conversations.
        mode: mode of the conversations; the longest one counts.
        max_tokens: limit for the tokens of all contents plus ``MESSAGE_TOKENS`` per message.
        how: whether examples may be shortened.
        count: counts the tokens of a text; called once per turn and a few times per example that does not fit.

    Returns:
        The examples to show. When the conversation is too long even without them, ``over`` is set and it is not cut.
    """
    shown = tuple(examples)
    count = cache(count)  # in mode ``type`` all conversations have the same opening
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
    """A count with a cache for short texts: most turns of a data set are the same few thousand."""
    known: dict[str, int] = {}

    def cached_count(text: str) -> int:
        if len(text) > _CACHED_LENGTH:
            return count(text)
        if (n := known.get(text)) is None:
            n = count(text)
            if len(known) < _CACHE_SIZE:
                known[text] = n
        return n

    return cached_count


def _cost(messages: Iterable[Message], count: Count) -> int:
    return sum(count(message.content) + MESSAGE_TOKENS for message in messages)


def _longest(example: Annotation, fits: Callable[[Annotation], bool]) -> Annotation | None:
    """The longest beginning of an example that fits; one that ends after a sentence is preferred to a longer one."""
    for places in _places(example):
        fitting: Annotation | None = None
        low, high = 0, len(places)  # places below low fit, those from high on do not
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
    """The places where an example may be cut, ascending: after sentences; then also after clauses and entities.

    No cut is inside an occurrence, and each leaves at least one entity, if there is any.
    """
    text = example.passage.text
    spans = [(s, s + len(e.surface)) for e in example.entities for s in e.starts]
    first = min((end for _, end in spans), default=1)

    def usable(places: Iterable[int]) -> list[int]:
        return [
            p
            for p in sorted(set(places))
            if first <= p < len(text) and text[:p].strip() and not any(s < p < e for s, e in spans)
        ]

    after_sentences = list(accumulate(map(len, sentences(text))))
    yield usable(after_sentences)
    yield usable([*accumulate(map(len, clauses(text))), *(end for _, end in spans)])


def _until(example: Annotation, place: int) -> Annotation:
    """An example up to a place. White space at the new end is removed, unless it belongs to a mention."""
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
