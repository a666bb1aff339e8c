from sinoner.api.annotating import annotate_texts
from sinoner.api.reading import chunk, ground, read_corpus
from sinoner.api.scoring import SpanScores, micro_f1, score_spans
from sinoner.errors import (
    BelowRequirementError,
    EndpointError,
    InputError,
    MissingExtraError,
    SinonerError,
    StoppedError,
)
from sinoner.measurements import Score, SpanScore, TypeScore
from sinoner.recognizer import Recognizer
from sinoner.records import (
    Annotation,
    Conversation,
    Document,
    Entity,
    Message,
    Neighbours,
    Passage,
    Prediction,
    Reject,
)
from sinoner.text.ground import Grounded

__version__: str

__all__ = [
    "Annotation",
    "BelowRequirementError",
    "Conversation",
    "Document",
    "EndpointError",
    "Entity",
    "Grounded",
    "InputError",
    "Message",
    "MissingExtraError",
    "Neighbours",
    "Passage",
    "Prediction",
    "Recognizer",
    "Reject",
    "Score",
    "SinonerError",
    "SpanScore",
    "SpanScores",
    "StoppedError",
    "TypeScore",
    "__version__",
    "annotate_texts",
    "chunk",
    "ground",
    "micro_f1",
    "read_corpus",
    "score_spans",
]
