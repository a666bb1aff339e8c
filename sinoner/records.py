"""The records that flow between the stages, one class per word of the house.

All are frozen pydantic models that refuse unknown fields. Offsets count Unicode code points;
ranges are half-open.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Lang = Literal["zh", "en"]
Unit = Literal["line", "document", "passage", "entity", "conversation", "query"]


class Record(BaseModel):
    """Base of all records: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _is_none(value: object) -> bool:
    return value is None


def _ascending(starts: tuple[int, ...]) -> tuple[int, ...]:
    if starts[0] < 0 or (len(starts) > 1 and any(a >= b for a, b in pairwise(starts))):
        raise ValueError("offsets must be ascending and not negative")
    return starts


class Entity(Record):
    """A mention of a type in a passage.

    Attributes:
        surface: the mention, exactly as the passage writes it.
        type: the type's natural name.
        starts: code-point offsets of its occurrences, ascending, never empty. Gold data carry the
            annotated occurrences; an annotator that gives no offsets claims all of them.
        original_type: what the annotator called the type, when the filter merged it into ``type``; not written
            when there is none.
    """

    surface: str = Field(min_length=1)
    type: str = Field(min_length=1)
    starts: Annotated[tuple[int, ...], AfterValidator(_ascending)] = Field(min_length=1)
    original_type: str | None = Field(None, exclude_if=_is_none)


class Document(Record):
    """A text as the corpus holds it, before chunking, with hand-made annotations when it has some."""

    id: str = Field(min_length=1)
    text: str = Field(min_length=1)
    source: str
    lang: Lang
    entities: tuple[Entity, ...] | None = None


class Passage(Record):
    """A chunk of a document. The id is ``<document id>#<n>``; the chunks of a document rejoin to it."""

    id: str = Field(min_length=1)
    text: str = Field(min_length=1)
    source: str
    lang: Lang

    @property
    def document(self) -> str:
        """The id of the document this passage was cut from."""
        return document_of(self.id)


def document_of(passage_id: str) -> str:
    """The id of the document that a passage was cut from."""
    head, _, tail = passage_id.rpartition("#")
    return head or tail


class Annotation(Record):
    """A passage with its entities. No entities means the annotator found none, never that it failed."""

    passage: Passage
    entities: tuple[Entity, ...]
    by: str = Field(min_length=1)

    @model_validator(mode="after")
    def _grounded(self) -> Annotation:
        text = self.passage.text
        for entity in self.entities:
            surface = entity.surface
            for start in entity.starts:
                if not text.startswith(surface, start):
                    raise ValueError(f"{self.passage.id}: {entity.surface!r} is not at offset {start}")
        return self


class Neighbours(Record):
    """The annotations retrieved for a passage, best first."""

    id: str
    neighbours: tuple[str, ...] = ()
    cosine: tuple[float, ...] = ()
    bm25: tuple[float, ...] = ()


class Message(Record):
    """One turn of a conversation. ``learn`` says whether it counts in the loss."""

    role: Literal["system", "user", "assistant"]
    content: str
    learn: bool = False


class Conversation(Record):
    """Messages, and what they were made from: the waist between the data rooms and the model rooms."""

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)
    passage: str
    types: tuple[str, ...]
    examples: tuple[str, ...] = ()


class Prediction(Record):
    """A model's answer to one (passage, type) query: parsed surfaces, or the reason it did not parse."""

    id: str
    type: str
    raw: str
    surfaces: tuple[str, ...] = ()
    reason: str | None = None


class Reject(Record):
    """Something a stage did not let through, with a fixed snake_case reason that reports count."""

    id: str
    stage: str
    reason: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    detail: str = ""
    unit: Unit = "passage"


class Score(Record):
    """The micro scores of one model on one benchmark, in percent, two decimals.

    ``precision``, ``recall`` and ``f1`` follow the metric of UniversalNER (normalised strings per query);
    the ``strict_`` ones compare spans (passage, type, start, end) without any normalisation.
    """

    benchmark: str
    lang: str
    model: str
    examples: bool
    passages: int
    queries: int
    gold: int
    predicted: int
    correct: int
    unparsed: int
    precision: float
    recall: float
    f1: float
    low: float | None = None
    high: float | None = None
    strict_precision: float
    strict_recall: float
    strict_f1: float
