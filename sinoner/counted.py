"""The fixed words for what stages count beside their input and output, and how people read them."""

from __future__ import annotations

from typing import Literal

from sinoner.records import Unit

Counted = Literal[
    "passage",
    "annotated_passage",
    "sample",
    "ledger_answer",
    "prompt_token",
    "completion_token",
    "dropped_occurrence",
    "retyped_entity",
    "entity_not_judged",
    "passage_not_judged",
    "example",
    "conversation",
    "negative_type",
    "hard_negative_type",
    "shown_example",
    "shortened_example",
    "dropped_example",
    "too_long_conversation",
    "occurrence_not_in_gliner",
    "trained_conversation",
    "token",
    "learned_token",
    "answered_type_not_asked",
    "adapter",
]
# What people read for several of them.
_PLURALS: dict[Unit | Counted, str] = {
    "line": "lines",
    "document": "documents",
    "passage": "passages",
    "entity": "entities",
    "occurrence": "occurrences",
    "conversation": "conversations",
    "query": "queries",
    "annotated_passage": "annotated passages",
    "sample": "samples",
    "ledger_answer": "answers in the ledger",
    "prompt_token": "prompt tokens",
    "completion_token": "completion tokens",
    "dropped_occurrence": "dropped occurrences",
    "retyped_entity": "retyped entities",
    "entity_not_judged": "entities not judged",
    "passage_not_judged": "passages not judged",
    "example": "examples",
    "negative_type": "negative types",
    "hard_negative_type": "hard negative types",
    "shown_example": "shown examples",
    "shortened_example": "shortened examples",
    "dropped_example": "dropped examples",
    "too_long_conversation": "too long conversations",
    "occurrence_not_in_gliner": "occurrences not in GLiNER",
    "trained_conversation": "trained conversations",
    "token": "tokens",
    "learned_token": "learned tokens",
    "answered_type_not_asked": "answered types not asked",
    "adapter": "adapters",
}


def plural(word: Unit | Counted) -> str:
    """What people read for several of a unit or of something made: ``entities``, ``answers in the ledger``."""
    return _PLURALS[word]
