"""Reads a model's answers to the rendered queries: one prediction per passage and type, in every mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sinoner.answers import parse_surfaces, repair_by_type
from sinoner.itset.render import query_id
from sinoner.records import Conversation, Prediction
from sinoner.settings.itset_section import OBJECT_MODES, Mode
from sinoner.text.fold import fold

# Token limit of an object of all types, as a multiple of the limit of a list of one type. On gold with 5 or 6 types, the
# 99th percentile of the length of objects is 3.3 to 3.7 times that of lists (sinoner's own set, Boson).
_LISTS = 4


class Predicted(NamedTuple):
    """The predictions of one answer, and the types in it with mentions that the query did not ask for."""

    predictions: tuple[Prediction, ...]
    not_asked: tuple[str, ...] = ()

    def mentions(self) -> Iterator[tuple[str, str]]:
        """Each type with each of its surfaces."""
        return ((made.type, surface) for made in self.predictions for surface in made.surfaces)


def answer_limit(mode: Mode, tokens: int) -> int:
    """The token limit of an answer.

    Args:
        mode: the mode of the query.
        tokens: the limit for a list of the mentions of one type.
    """
    return tokens * _LISTS if mode in OBJECT_MODES else tokens


def predictions(query: Conversation, raw: str, mode: Mode) -> Predicted:
    """Read the answer to a query of ``query_conversations``.

    The types of an object are matched with those of the query exactly, else ignoring case, width, white space, quotes and
    dashes. A type that the object does not name has no mentions; when an object cannot be
    read, every type gets the reason.

    Args:
        query: the query; its ``types`` are the types to predict.
        raw: the complete answer.
        mode: the mode of the query.
    """
    if mode in OBJECT_MODES:
        return _of_object(query, raw)
    (kind,) = query.types
    listed = parse_surfaces(raw)
    made = Prediction(
        id=query.id,
        passage=query.passage,
        type=kind,
        raw=raw,
        surfaces=listed.surfaces,
        reason=listed.reason,
    )
    return Predicted((made,))


def _of_object(query: Conversation, raw: str) -> Predicted:
    answer = repair_by_type(raw)
    found: dict[str, dict[str, None]] = {kind: {} for kind in query.types}
    folded = {fold(kind, "spacing"): kind for kind in reversed(query.types)}  # the first of equal ones wins
    not_asked: list[str] = []
    for name, surfaces in answer.surfaces.items():
        kind = name if name in found else folded.get(fold(name, "spacing"))
        if kind is not None:
            found[kind].update(dict.fromkeys(surfaces))
        elif surfaces:
            not_asked.append(name)
    made = tuple(
        Prediction(
            id=query_id(query.passage, kind),
            passage=query.passage,
            type=kind,
            raw=raw,
            surfaces=tuple(surfaces),
            reason=answer.reason,
        )
        for kind, surfaces in found.items()
    )
    return Predicted(made, tuple(not_asked))
