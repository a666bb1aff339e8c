"""The records that flow between the stages, one class per word of the house, and the base of facts about a whole run.

Records are many: frozen msgspec structs, that a file of them is read and written quickly. Facts are few, and people see
their mistakes: frozen pydantic models. Both refuse unknown fields and wrong values; the type of a field is looked at
when JSON is read, not when the program itself makes a record (that is mypy's part). Offsets count Unicode code points;
ranges are half-open.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal

from msgspec import Struct
from pydantic import BaseModel, ConfigDict

Lang = Literal["zh", "en"]
Unit = Literal["line", "document", "passage", "entity", "conversation", "query"]
_REASON = re.compile(r"[a-z][a-z0-9_]*")


class Facts(BaseModel):
    """Base of what is known about a run as a whole: frozen, no unknown fields. It may hold records."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Record(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Base of all records: frozen, no unknown fields, made of texts, numbers, tuples and other records only."""


def _filled(record: Record, *fields: str) -> None:
    """Raises ValueError when one of these fields of a record is empty."""
    for field in fields:
        if not getattr(record, field):
            raise ValueError(f"{field} must not be empty")


class Entity(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A mention of a type in a passage.

    Attributes:
        surface: the mention, exactly as the passage writes it.
        type: the type's natural name.
        starts: code-point offsets of its occurrences, ascending, never empty. Gold data carry the
            annotated occurrences; an annotator that gives no offsets claims all of them.
        original_type: what the annotator called the type, when the filter merged it into ``type``; not written
            when there is none.

    Example:
        >>> from sinoner import Entity
        >>> entity = Entity(surface="张伟", type="人名", starts=(0, 8))
        >>> "张伟住在北京，和张伟".startswith(entity.surface, entity.starts[1])
        True
    """

    surface: str
    type: str
    starts: tuple[int, ...]
    original_type: str | None = None

    def __post_init__(self) -> None:
        starts = self.starts
        if not (self.surface and self.type and starts):
            _filled(self, "surface", "type", "starts")
        if starts[0] < 0 or (len(starts) > 1 and any(a >= b for a, b in pairwise(starts))):
            raise ValueError("starts: offsets must be ascending and not negative")


class Document(Record, frozen=True, kw_only=True):
    """A text as the corpus holds it, before chunking, with hand-made annotations when it has some.

    Example:
        >>> from sinoner import Document
        >>> Document(id="a", text="张伟在北京。", source="news", lang="zh").entities is None  # not annotated
        True
    """

    id: str
    text: str
    source: str
    lang: Lang
    entities: tuple[Entity, ...] | None = None

    def __post_init__(self) -> None:
        _filled(self, "id", "text")


class Passage(Record, frozen=True, kw_only=True):
    """A chunk of a document. The id is ``<document id>#<n>``; the chunks of a document rejoin to it.

    Example:
        >>> from sinoner import Passage
        >>> Passage(id="news:7#0", text="张伟在北京。", source="news.jsonl", lang="zh").text
        '张伟在北京。'
    """

    id: str
    text: str
    source: str
    lang: Lang

    def __post_init__(self) -> None:
        _filled(self, "id", "text")

    @property
    def document(self) -> str:
        """The id of the document this passage was cut from."""
        return document_of(self.id)


def document_of(passage_id: str) -> str:
    """The id of the document that a passage was cut from."""
    head, _, tail = passage_id.rpartition("#")
    return head or tail


class Annotation(Record, frozen=True, kw_only=True):
    """A passage with its entities. No entities means the annotator found none, never that it failed.

    Example:
        >>> from sinoner import annotate_texts
        >>> annotation = next(annotate_texts(["张伟在北京。"], by="jieba"))
        >>> annotation.passage.text, [(entity.surface, entity.starts) for entity in annotation.entities]
        ('张伟在北京。', [('张伟', (0,)), ('北京', (3,))])
    """

    passage: Passage
    entities: tuple[Entity, ...]
    by: str

    def __post_init__(self) -> None:
        _filled(self, "by")
        text = self.passage.text
        for entity in self.entities:
            surface = entity.surface
            for start in entity.starts:
                if not text.startswith(surface, start):
                    raise ValueError(f"{self.passage.id}: {surface!r} is not at offset {start}")


class Neighbours(Record, frozen=True, kw_only=True):
    """The annotations retrieved for a passage, best first.

    Example:
        >>> from sinoner import Neighbours
        >>> Neighbours(id="a#0", neighbours=("b#0", "c#1"), cosine=(0.91, 0.87)).neighbours[0]
        'b#0'
    """

    id: str
    neighbours: tuple[str, ...] = ()
    cosine: tuple[float, ...] = ()
    bm25: tuple[float, ...] = ()


class Message(Record, frozen=True, kw_only=True):
    """One turn of a conversation. ``learn`` says whether it counts in the loss.

    Example:
        >>> from sinoner import Message
        >>> Message(role="assistant", content='["张伟"]', learn=True).learn
        True
    """

    role: Literal["system", "user", "assistant"]
    content: str
    learn: bool = False


class Conversation(Record, frozen=True, kw_only=True):
    """Messages, and what they were made from: the waist between the data rooms and the model rooms.

    Example:
        >>> from sinoner import Conversation, Message
        >>> turns = (Message(role="user", content="..."), Message(role="assistant", content="[]", learn=True))
        >>> Conversation(id="a#0", messages=turns, passage="a#0", types=("人名",)).messages[-1].content
        '[]'
    """

    id: str
    messages: tuple[Message, ...]
    passage: str
    types: tuple[str, ...]
    examples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _filled(self, "messages")


class Prediction(Record, frozen=True, kw_only=True):
    """A model's answer to one (passage, type) query: parsed surfaces, or the reason it did not parse.

    Example:
        >>> from sinoner import Prediction
        >>> Prediction(id="a#0|人名", type="人名", raw='["张伟"]', surfaces=("张伟",)).surfaces
        ('张伟',)
    """

    id: str
    type: str
    raw: str
    surfaces: tuple[str, ...] = ()
    reason: str | None = None


class Reject(Record, frozen=True, kw_only=True):
    """Something a stage did not let through, with a fixed snake_case reason that reports count.

    Example:
        >>> from sinoner import annotate_texts
        >>> reject = next(annotate_texts([""], by="jieba"))
        >>> reject.id, reject.stage, reject.reason, reject.unit
        ('text:0', 'annotate', 'empty_text', 'passage')
    """

    id: str
    stage: str
    reason: str
    detail: str = ""
    unit: Unit = "passage"

    def __post_init__(self) -> None:
        if not _REASON.fullmatch(self.reason):
            raise ValueError(f"reason: {self.reason!r} is not snake_case")


class Score(Facts):
    """The micro scores of one model on one benchmark, in percent, two decimals.

    ``precision``, ``recall`` and ``f1`` follow the metric of UniversalNER (normalised strings per query);
    the ``strict_`` ones compare spans (passage, type, start, end) without any normalisation.

    Example:
        >>> from sinoner import annotate_texts, micro_f1
        >>> gold = list(annotate_texts(["张伟在北京。"], by="jieba"))
        >>> score = micro_f1(gold, gold, name="news")
        >>> score.benchmark, score.gold, score.correct, score.f1, score.strict_f1
        ('news', 2, 2, 100.0, 100.0)
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
