"""Encoders on this machine: transformers on the CPU, FlagEmbedding on GPUs.

FlagEmbedding computes in float32 on a CPU, whatever the settings. The same model in bfloat16, in batches that stay
in the cache and with next to no padding, takes less than half the time for vectors whose cosine with those is 0.9999.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sinoner import models
from sinoner.errors import MissingExtraError
from sinoner.retrieve.embedder import Embedder, Encoded
from sinoner.retrieve.encoder_info import Source, fingerprint, finite, identity
from sinoner.retrieve.token_batches import Pretokenised, Tokens, batches, limit, tokens
from sinoner.settings import RetrieveSettings

if TYPE_CHECKING:
    from sinoner.retrieve.embedder import Vectors

_WINDOW = 8192  # texts that are cut and sorted at a time, so that memory does not grow with the corpus
_BUDGET = (
    1024  # tokens of a batch: larger ones do not fit into a core's cache, smaller ones do not use it fully
)
_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError)


def encoder(source: Source, settings: RetrieveSettings, dim: int) -> Embedder:
    """The model on the devices of the settings: on one CPU through transformers, else through FlagEmbedding.

    Args:
        source: the model.
        settings: devices, number type, batch size and maximum text length.
        dim: dimension of the vectors.

    Raises:
        InputError: there is no such device.
        MissingExtraError: torch is not installed.
    """
    found = devices(settings.devices)
    if found == ["cpu"]:
        return CpuEmbedder(source, settings, dim)
    return FlagEmbedder(source, settings, dim, found)


def devices(requested: Sequence[str]) -> list[str]:
    """The devices to compute on: those requested, else all GPUs, else the CPU.

    Raises:
        InputError: there is no such device.
        MissingExtraError: torch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch (retrieve.embedder)", "retrieve") from None
    if requested:
        return [models.device(device, "retrieve.devices:") for device in requested]
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else ["cpu"]


class CpuEmbedder:
    """An encoder on the CPU, through transformers.

    Each batch is computed on one core. So no core waits for another within a layer, which on a busy machine costs
    more than the computation, and vectors do not depend on the number of cores.
    """

    def __init__(self, source: Source, settings: RetrieveSettings, dim: int) -> None:
        self.name = source.name
        self._source = source
        self._settings = settings
        self._dim = dim
        self._dtype = models.dtype(settings.dtype, "cpu")
        self._loaded: tuple[Any, Any, int] | None = None

    @cached_property
    def identity(self) -> str:
        """Model, pooling, prefix, maximum text length, number type and library."""
        return _identity(self._source, self._settings, str(self._dtype), "transformers")

    @models.quiet()
    def encode(self, texts: Sequence[str]) -> Encoded:
        """Vectors of the texts, shape ``(len(texts), dim)``.

        Raises:
            InputError: the model cannot be loaded, or returns vectors that are not finite numbers.
        """
        import numpy as np

        vectors = np.empty((len(texts), self._dim), dtype=np.float32)
        cut = np.zeros(len(texts), dtype=np.bool_)
        for start in range(0, len(texts), _WINDOW):
            model, tokenizer, most = self._load()
            window = [self._source.prefix + text for text in texts[start : start + _WINDOW]]
            found = tokens(tokenizer, window, most)
            self._compute(model, found, vectors[start : start + _WINDOW])
            cut[start : start + _WINDOW] = found.cut
        return Encoded(finite(vectors, self._source.named.model), cut)

    def _compute(self, model: Any, found: Tokens, into: Vectors) -> None:
        import torch

        groups = batches([len(row) for row in found.ids], self._settings.batch_size, _BUDGET)
        before = torch.get_num_threads()
        workers = max(1, min(before, len(groups)))

        def one(group: list[int]) -> None:
            into[group] = _forward(model, [found.ids[i] for i in group], self._source.pooling)

        try:
            with ThreadPoolExecutor(
                workers, initializer=torch.set_num_threads, initargs=(before // workers,)
            ) as pool:
                for _ in pool.map(one, groups):
                    pass
        finally:
            torch.set_num_threads(before)

    def _load(self) -> tuple[Any, Any, int]:
        """Model, tokenizer and maximum number of tokens of a text."""
        if self._loaded is None:
            self._loaded = _load(self._source, self._dtype, self._settings.max_length)
        return self._loaded


class FlagEmbedder:
    """An encoder on one or more devices, through FlagEmbedding; several devices share the texts."""

    def __init__(self, source: Source, settings: RetrieveSettings, dim: int, places: list[str]) -> None:
        import importlib.util

        if importlib.util.find_spec("FlagEmbedding") is None:
            raise MissingExtraError("FlagEmbedding (retrieve.embedder: bge)", "retrieve")
        self.name = source.name
        self._source = source
        self._settings = settings
        self._dim = dim
        self._places = places
        cpu = any(place.startswith("cpu") for place in places)  # where FlagEmbedding supports float32 only
        self._dtype = str(models.dtype("float32" if cpu else settings.dtype, places[0]))
        self._loaded: tuple[Any, Any, int] | None = None

    @cached_property
    def identity(self) -> str:
        """Model, pooling, prefix, maximum text length, number type and library."""
        return _identity(self._source, self._settings, self._dtype, "FlagEmbedding")

    @models.quiet()
    def encode(self, texts: Sequence[str]) -> Encoded:
        """Vectors of the texts, shape ``(len(texts), dim)``.

        Raises:
            InputError: the model cannot be loaded, or returns vectors that are not finite numbers.
        """
        import numpy as np

        if not texts:
            return Encoded(np.empty((0, self._dim), dtype=np.float32), np.zeros(0, dtype=np.bool_))
        model, tokenizer, most = self._load()
        found = tokens(tokenizer, [self._source.prefix + text for text in texts], most)
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars cannot be switched off
            raw = model.encode(found.ids, batch_size=self._settings.batch_size, max_length=most)
        vectors = np.asarray(raw, dtype=np.float32)
        vectors /= np.maximum(
            np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12
        )  # float16 ones are near 1
        return Encoded(finite(vectors, self._source.named.model), found.cut)

    def _load(self) -> tuple[Any, Any, int]:
        if self._loaded is None:
            from FlagEmbedding import FlagLLMModel, FlagModel

            last = self._source.pooling == "last_token"
            settings = {} if last else {"pooling_method": self._source.pooling}
            try:
                model = (FlagLLMModel if last else FlagModel)(
                    self._source.place,
                    use_fp16=self._dtype == "torch.float16",
                    use_bf16=self._dtype == "torch.bfloat16",
                    devices=self._places,
                    **settings,
                )
            except _FAULTS as error:
                raise self._source.named.cannot_load(error) from None
            tokenizer = model.tokenizer
            model.tokenizer = Pretokenised(tokenizer)
            self._loaded = model, tokenizer, limit(tokenizer, model.model.config, self._settings.max_length)
        return self._loaded


def _identity(source: Source, settings: RetrieveSettings, dtype: str, library: str) -> str:
    return identity(
        [
            f"{source.kind}:{fingerprint(source.place)}",
            f"pooling={source.pooling}",
            f"prefix={source.prefix!r}" if source.prefix else "",
            f"max_length={settings.max_length}",
            f"dtype={dtype.removeprefix('torch.')}",
            f"by={library}",
        ]
    )


def _load(source: Source, dtype: Any, most: int) -> tuple[Any, Any, int]:
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "sdpa", "output_loading_info": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.place)
        try:  # most encoders have a pooling layer that no vector needs
            model, report = AutoModel.from_pretrained(source.place, add_pooling_layer=False, **options)
        except TypeError:
            model, report = AutoModel.from_pretrained(source.place, **options)
    except (*_FAULTS, SafetensorError) as error:
        raise source.named.cannot_load(error) from None
    if missing := sorted(key for key in report["missing_keys"] if not key.startswith("pooler.")):
        raise source.named.cannot_load(
            ValueError(f"{len(missing)} of its weights are missing, such as {missing[0]}")
        )
    return model.eval(), tokenizer, limit(tokenizer, model.config, most)


def _forward(model: Any, rows: list[Any], pooling: str) -> Vectors:
    """Vectors of one batch, shape ``(len(rows), dim)``."""
    import torch

    with torch.inference_mode():
        lengths = torch.tensor([len(row) for row in rows])
        longest = int(lengths.max())
        ids = torch.full((len(rows), longest), model.config.pad_token_id or 0)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.from_numpy(row)
        mask = torch.arange(longest) < lengths[:, None]
        full = bool(mask.all())  # without padding there is no mask, and attention is faster
        hidden = model(input_ids=ids, attention_mask=None if full else mask.long()).last_hidden_state
        if pooling == "cls":
            pooled = hidden[:, 0].float()
        elif pooling == "mean":
            pooled = (hidden.float() * mask[..., None]).sum(1) / lengths[:, None]
        else:
            pooled = hidden[torch.arange(len(rows)), lengths - 1].float()
        vectors: Vectors = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return vectors
