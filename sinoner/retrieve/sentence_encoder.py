"""Any model that sentence-transformers loads, through that library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sinoner import models
from sinoner.model_files import NamedModel
from sinoner.retrieve.embedder import Encoded
from sinoner.retrieve.encoder_info import fingerprint, finite, identity, read_json
from sinoner.retrieve.local_encoder import devices
from sinoner.settings import RetrieveSettings


class SentenceEmbedder:
    """A model as sentence-transformers runs it: with the modules that its folder names, then normalised.

    ``retrieve.pooling`` replaces the model's own pooling unless it is ``auto``; a folder that names none gets ``cls``.
    Prompts that a model brings are not used: the text before a text is ``retrieve.query_instruction`` alone.
    """

    @models.quiet()
    def __init__(self, named: NamedModel, place: str, settings: RetrieveSettings) -> None:
        """Load the model.

        Args:
            named: the model, as the settings name it.
            place: hub id or folder to load from.
            settings: pooling, maximum text length, number type, devices.

        Raises:
            InputError: it cannot be loaded.
        """
        self.name = f"sentence-transformers:{named.model}"
        self._model_name, self._place = named.model, place
        self._settings = settings
        self._places = devices(settings.devices)
        self._model = _load(named, place, settings, self._places[0])
        self._identity: str | None = None

    @property
    def identity(self) -> str:
        """Model, pooling, maximum text length, number type and library."""
        if self._identity is None:
            self._identity = identity(
                [
                    f"sentence-transformers:{fingerprint(self._place)}",
                    f"pooling={self._settings.pooling}",
                    f"max_length={self._settings.max_length}",
                    f"dtype={str(self._model.dtype).removeprefix('torch.')}",
                    "by=sentence-transformers",
                ]
            )
        return self._identity

    @models.quiet()
    def encode(self, texts: Sequence[str]) -> Encoded:
        """Vectors of the texts, shape ``(len(texts), dim)``.

        Raises:
            InputError: the model returns vectors that are not finite numbers.
        """
        import numpy as np

        if not texts:
            dim = self._model.get_embedding_dimension()
            return Encoded(np.empty((0, dim), dtype=np.float32), np.zeros(0, dtype=np.bool_))
        raw = self._model.encode(
            list(texts),
            batch_size=self._settings.batch_size,
            show_progress_bar=False,
            prompt="",
            device=self._places[0] if len(self._places) == 1 else self._places,
            normalize_embeddings=True,
        )
        vectors = np.array(
            raw, dtype=np.float32
        )  # the library converts bfloat16 to float32 itself, but after normalising
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return Encoded(finite(vectors, self._model_name), self._cut(texts))

    def _cut(self, texts: Sequence[str]) -> Any:
        """Which texts were too long. The library does not report it, so the tokens of candidates are counted here."""
        import numpy as np

        most = self._model.max_seq_length
        tokenizer = self._model.tokenizer
        cut = np.zeros(len(texts), dtype=np.bool_)
        if most is None or not callable(tokenizer):
            return cut
        long = [
            i for i, text in enumerate(texts) if len(text.encode()) + 2 > most
        ]  # a token has at least one byte
        if long:
            rows = tokenizer([texts[i] for i in long], truncation=False, verbose=False)["input_ids"]
            cut[long] = [len(row) > most for row in rows]
        return cut


def _load(named: NamedModel, place: str, settings: RetrieveSettings, device: str) -> Any:
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    try:
        loaded = SentenceTransformer(
            place, device=device, model_kwargs={"dtype": models.dtype(settings.dtype, device)}
        )
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError, SafetensorError,
    ) as error:  # fmt: skip
        raise named.cannot_load(error) from None
    loaded.max_seq_length = min(loaded.max_seq_length or settings.max_length, settings.max_length)
    pooling = _pooling(named, place, settings.pooling)
    for module in loaded if pooling else ():
        if hasattr(module, "pooling_mode"):
            module.pooling_mode = pooling
    return loaded


def _pooling(named: NamedModel, place: str, setting: str) -> str | None:
    """The pooling to set, or None to keep that of the model's folder."""
    if setting != "auto":
        return setting
    return None if read_json(named, place, "modules.json") else "cls"
