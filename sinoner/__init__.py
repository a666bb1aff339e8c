"""sinoner: from a corpus and an LLM to a trusted open-NER dataset and a fine-tuned model.

The names in ``sinoner.__all__`` are the public interface. Everything else, every submodule included, is internal and may
change in any release. The interface is documented in ``docs/en/python.md``.

Importing ``sinoner`` loads none of it: each name is imported from its module when it is first used. ``__init__.pyi``
declares the same names for type checkers.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sinoner")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0.0.0"

_MODULES = {
    "sinoner.api.reading": ("chunk", "ground", "read_corpus"),
    "sinoner.api.annotating": ("annotate_texts",),
    "sinoner.api.scoring": ("SpanScores", "micro_f1", "score_spans"),
    "sinoner.recognizer": ("Recognizer",),
    "sinoner.records": (
        "Annotation",
        "Conversation",
        "Document",
        "Entity",
        "Message",
        "Neighbours",
        "Passage",
        "Prediction",
        "Reject",
    ),
    "sinoner.measurements": ("Score", "SpanScore", "TypeScore"),
    "sinoner.text.ground": ("Grounded",),
    "sinoner.errors": (
        "BelowRequirementError",
        "EndpointError",
        "InputError",
        "MissingExtraError",
        "SinonerError",
        "StoppedError",
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> object:
    """A public name, imported when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
