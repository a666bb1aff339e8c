"""What a model answered to the renderer's queries: one prediction per passage and type, in every mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sinoner.answers import parse_surfaces, repair_by_type
from sinoner.itset.render import query_id
from sinoner.records import Conversation, Prediction
from sinoner.settings.itset_section import OBJECT_MODES, Mode
from sinoner.text.fold import fold

# How many tokens an object of all types may have, in lists of one type. On gold with 5 or 6 types the longest
# hundredth of the objects is 3.3 to 3.7 times as long as that of the lists (sinoner's own, Boson).
_LISTS = 4


class Predicted(NamedTuple):
    """The predictions of one answer, and the types with mentions in it that nobody asked for."""

    predictions: tuple[Prediction, ...]
    not_asked: tuple[str, ...] = ()

    def mentions(self) -> Iterator[tuple[str, str]]:
        """Each type with each of its surfaces."""
        return ((made.type, surface) for made in self.predictions for surface in made.surfaces)


def answer_limit(mode: Mode, tokens: int) -> int:
    """How many tokens an answer may have.

    Args:
        mode: how the model is asked.
        tokens: how many a list of the mentions of one type may have.
    """
    return tokens * _LISTS if mode in OBJECT_MODES else tokens


def predictions(query: Conversation, raw: str, mode: Mode) -> Predicted:
    """Read the answer to a query of ``query_conversations``.

    The types of an object are looked up among those of the query as they are written, else without regard to case,
    width, white space, quotes and dashes. A type that the object does not name has no mentions; an object that cannot
    be read gives every type its reason.

    Args:
        query: the query; its ``types`` are what is wanted.
        raw: the whole answer.
        mode: the mode that the query was made in.
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
    folded = {fold(kind, "spacing"): kind for kind in reversed(query.types)}  # of equal ones the first
    not_asked: list[str] = []
    for said, surfaces in answer.surfaces.items():
        kind = said if said in found else folded.get(fold(said, "spacing"))
        if kind is not None:
            found[kind].update(dict.fromkeys(surfaces))
        elif surfaces:
            not_asked.append(said)
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
