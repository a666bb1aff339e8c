"""Embedders: texts → vectors of length 1. Similarity is their inner product."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sinoner.errors import InputError, MissingExtraError
from sinoner.model_files import Wanted, located
from sinoner.records import Lang
from sinoner.settings import RetrieveSettings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]


class Encoded(NamedTuple):
    """Texts as vectors.

    Attributes:
        vectors: shape ``(n, dim)``, float32, each row of length 1.
        cut: shape ``(n,)``: the text was longer than ``retrieve.max_length`` tokens, and its end was not embedded.
    """

    vectors: Vectors
    cut: npt.NDArray[np.bool_]


class Embedder(Protocol):
    """Anything that turns texts into vectors."""

    @property
    def name(self) -> str:
        """What people and the manifest call it, with the model: ``bge:BAAI/bge-large-zh-v1.5``."""
        ...

    @property
    def identity(self) -> str:
        """Everything that a vector depends on besides its text; two embedders with one identity are interchangeable."""
        ...

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Vectors of the texts, in their order; none give shape ``(0, dim)``.

        Raises:
            InputError: the model cannot be loaded, or gives what are no numbers.
        """
        ...


def embedder(settings: RetrieveSettings, lang: Lang) -> Embedder:
    """The embedder that the settings name, for a language. Weights are loaded when texts are first encoded.

    Raises:
        InputError: there is no such model or device, or the embedder is ``openai``, which the pipeline makes.
        MissingExtraError: its library is not installed.
    """
    if settings.embedder == "openai":
        raise InputError(
            "retrieve.embedder: openai needs the ledger of a run folder, which sinoner build-it-set, evaluate, run and"
            " types give it; name bge, sentence-transformers or e5-mini here"
        )
    if settings.embedder == "e5-mini":
        from sinoner.retrieve.e5mini_encoder import e5_mini

        return e5_mini(settings)
    library = {"bge": "transformers", "sentence-transformers": "sentence_transformers"}[settings.embedder]
    if importlib.util.find_spec(library) is None:  # before its model is looked for
        raise MissingExtraError(
            f"{library.replace('_', '-')} (retrieve.embedder: {settings.embedder})", "retrieve"
        )
    if settings.embedder == "sentence-transformers":
        from sinoner.retrieve.sentence_encoder import SentenceEmbedder

        return SentenceEmbedder(settings.model(lang), located(wanted(settings, lang)), settings)
    from sinoner.retrieve.encoder_info import Source, dimension, pooling
    from sinoner.retrieve.local_encoder import encoder

    place = located(wanted(settings, lang))
    model = settings.model(lang)
    dim = dimension(place)
    return encoder(Source("bge", model, place, pooling(model, place, settings.pooling)), settings, dim)


def wanted(settings: RetrieveSettings, lang: Lang) -> Wanted:
    """The model of ``bge`` or ``sentence-transformers`` as ``origin`` looks for it."""
    own = settings.model_zh if lang == "zh" else settings.model_en
    setting = f"retrieve.model_{lang}" + ("" if own else f" (default of {settings.embedder})")
    remedy = (
        "give a hub id or the folder of a model, or set retrieve.embedder=e5-mini, which needs no network"
    )
    asked = Wanted(settings.model(lang), setting, remedy)
    if settings.embedder != "sentence-transformers":
        return asked
    # That library completes names without an owner, and has a cache of its own when it is told so.
    ids = () if "/" in asked.model else (f"sentence-transformers/{asked.model}", asked.model)
    files = ("config.json", "modules.json", "config_sentence_transformers.json")
    return asked._replace(files=files, ids=ids, cache=os.environ.get("SENTENCE_TRANSFORMERS_HOME"))
