"""The records that flow between the stages, and the base of facts about a whole run.

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
from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict

Lang = Literal["zh", "en"]
Unit = Literal["line", "document", "passage", "entity", "occurrence", "conversation", "query"]
Source = Literal["human", "gold", "llm", "jieba", "lac", "table", "model"]
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


class Passage(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A chunk of a document; the chunks of a document rejoin to it.

    Attributes:
        id: unique in its run or file.
        text: never empty.
        source: where the document came from.
        lang: its language.
        document: the id of the document it was cut from; empty (and not written) when it is a whole text of its own.

    Example:
        >>> from sinoner import Passage
        >>> Passage(id="news:7#0", text="张伟在北京。", source="news.jsonl", lang="zh").text
        '张伟在北京。'
    """

    id: str
    text: str
    source: str
    lang: Lang
    document: str = ""

    def __post_init__(self) -> None:
        _filled(self, "id", "text")

    @property
    def whole(self) -> str:
        """The id of the document it was cut from, or its own: equal for all passages of a document."""
        return self.document or self.id


class Annotator(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Who annotated a passage, and what happened to the annotation since; fields that say nothing are not written.

    Attributes:
        source: people (``human`` with the corpus, ``gold`` in a gold file), an LLM, an embedded annotator, a rule
            table, or a tuned model.
        model: the LLM or the tuned model.
        prompt: id of the prompt that the LLM was asked with (``extract.zh.v1``).
        family: the prompt's name without its language (``extract.v1``), where the id holds one.
        types: whether the LLM was given a closed list of types.
        domain: whether it was given a domain.
        shots: whether it was shown demonstrations.
        sample: which of several answers of the same model this is, from 0.
        truncated: whether the answer was cut off and what could be read of it was kept.
        votes: answers that had to agree on a mention, when the annotation is the result of a vote; else 0.
        voters: answers that voted; else 0.
        verified_by: the model that judged the entities afterwards.
    """

    source: Source
    model: str = ""
    prompt: str = ""
    family: str = ""
    types: bool = False
    domain: bool = False
    shots: bool = False
    sample: int = 0
    truncated: bool = False
    votes: int = 0
    voters: int = 0
    verified_by: str = ""

    def __post_init__(self) -> None:
        if self.source in ("llm", "model"):
            _filled(self, "model")
        elif self.model:
            raise ValueError(f"model: {self.source} has none")
        if self.prompt and self.source != "llm":
            raise ValueError(f"prompt: {self.source} has none")
        if min(self.sample, self.votes, self.voters) < 0:
            raise ValueError("sample, votes and voters: must not be negative")

    @property
    def asked_with(self) -> str:
        """The prompt of an LLM with what was added to it, and what happened to its answer, for people."""
        added = [name for name in ("types", "domain", "shots") if getattr(self, name)]
        return "+".join([self.prompt, *added]) + self._afterwards

    @property
    def label(self) -> str:
        """One short word for people, cards and other tools: ``human``, ``jieba``, ``m@extract.zh.v1+types#2``."""
        if self.source == "llm":
            return f"{self.model}@{self.asked_with}"
        return (self.model or self.source) + self._afterwards

    @property
    def _afterwards(self) -> str:
        return (
            (f"#{self.sample + 1}" if self.sample else "")
            + ("~truncated" if self.truncated else "")
            + (f"~vote{self.votes}of{self.voters}" if self.voters else "")
            + (f"+verify:{self.verified_by}" if self.verified_by else "")
        )

    def sampled(self) -> Annotator:
        """The annotator itself, whatever became of single annotations: what answers are compared by."""
        if not (self.truncated or self.voters or self.verified_by):
            return self
        return replace(self, truncated=False, votes=0, voters=0, verified_by="")

    def in_any_language(self) -> Annotator:
        """The same annotator, whichever language's version of the prompt it was asked with."""
        return replace(self, prompt=self.family, family="") if self.family else self


HUMAN = Annotator(source="human")
GOLD = Annotator(source="gold")


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
    by: Annotator

    def __post_init__(self) -> None:
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

    Attributes:
        id: unique among the conversations of a set.
        messages: the turns.
        first_query: index of the message that holds the first query; what stands before it are passage, examples and
            their acknowledgements, what follows are queries and their answers.
        passage: id of the passage that is asked about.
        types: the types asked.
        examples: ids of the passages shown as examples.

    Example:
        >>> from sinoner import Conversation, Message
        >>> turns = (Message(role="user", content="..."), Message(role="assistant", content="[]", learn=True))
        >>> Conversation(id="a#0", messages=turns, first_query=0, passage="a#0", types=("人名",)).messages[-1].content
        '[]'
    """

    id: str
    messages: tuple[Message, ...]
    first_query: int
    passage: str
    types: tuple[str, ...]
    examples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _filled(self, "messages")
        if not 0 <= self.first_query < len(self.messages):
            raise ValueError(f"first_query: {self.first_query} is not one of {len(self.messages)} messages")


class Prediction(Record, frozen=True, kw_only=True):
    """A model's answer to one (passage, type) query: parsed surfaces, or the reason it did not parse.

    Example:
        >>> from sinoner import Prediction
        >>> Prediction(id="a#0|人名", passage="a#0", type="人名", raw='["张伟"]', surfaces=("张伟",)).surfaces
        ('张伟',)
    """

    id: str
    passage: str
    type: str
    raw: str
    surfaces: tuple[str, ...] = ()
    reason: str | None = None


class Reject(Record, frozen=True, kw_only=True):
    """Something a stage did not let through, with a fixed snake_case reason that reports count.

    Attributes:
        id: of the passage or document it is, or belongs to.
        stage: which stage.
        reason: a word from a fixed vocabulary.
        detail: what people need beside the reason.
        unit: what it is. An ``occurrence`` is one place of an entity that keeps others.
        entities: entities that went with it, for a passage or document; the lines of unit ``entity`` and the sum of
            this field are all entities that a stage rejected.

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
    entities: int = 0

    def __post_init__(self) -> None:
        if not _REASON.fullmatch(self.reason):
            raise ValueError(f"reason: {self.reason!r} is not snake_case")
