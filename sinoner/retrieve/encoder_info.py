"""Properties of an embedding model read without loading its weights: pooling, dimension, version."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from sinoner import models
from sinoner.errors import InputError
from sinoner.model_files import NamedModel

if TYPE_CHECKING:
    from sinoner.retrieve.embedder import Vectors

Pooling = Literal["cls", "mean", "last_token"]

_CACHED = "models--"  # beginning of the name of a model's folder in the hub cache
_COMMIT = 12  # digits of a commit hash that are used
_HEAD = 1 << 16  # bytes of a weight file that are hashed: names, shapes and the first numbers
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".onnx")
_CONFIGURATION = (".json", ".txt", ".model")  # configuration and tokenizer
# Models that FlagEmbedding may know, by the end of their name; looking one up takes seconds, so it is skipped for others.
_FAMILIES = re.compile(
    r"^(bge|e5|multilingual-e5|gte|bce|qwen3-embedding|sfr-embedding|linq-embed)\b", re.IGNORECASE
)
# The poolings as sentence-transformers writes them: one word, or (before version 6) one of several switches.
_POOLINGS: dict[str, Pooling] = {
    "cls": "cls",
    "mean": "mean",
    "lasttoken": "last_token",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last_token",
}


class Source(NamedTuple):
    """An encoder to load.

    Attributes:
        kind: value of ``retrieve.embedder``.
        named: the model, as the settings name it.
        place: hub id or folder to load from.
        pooling: whether the first token, the last or the mean of all represents a text.
        prefix: written before every text.
    """

    kind: str
    named: NamedModel
    place: str
    pooling: Pooling
    prefix: str = ""

    @property
    def name(self) -> str:
        """Embedder and model."""
        return f"{self.kind}:{self.named.model}"


def pooling(named: NamedModel, place: str, setting: str) -> Pooling:
    """The pooling of a model: the setting; for ``auto`` that of the model or of FlagEmbedding, else ``cls``.

    Args:
        named: the model, as the settings name it.
        place: hub id or folder to load from.
        setting: a pooling, or ``auto``.

    Raises:
        InputError: the model pools in a way that only sentence-transformers knows.
    """
    if setting != "auto":
        return cast(Pooling, setting)
    config = read_json(named, place, "1_Pooling/config.json")
    if isinstance(config, dict):
        mode = config.get("pooling_mode")
        on = [mode] if mode else [k for k, v in config.items() if k.startswith("pooling_mode_") and v is True]
        if len(on) == 1 and str(on[0]) in _POOLINGS:
            return _POOLINGS[str(on[0])]
        if on:
            raise InputError(
                f"embedding model {named.model!r} pools by {on[0]!r}; set retrieve.embedder=sentence-transformers, which can"
            )
    name = Path(named.model).name
    if _FAMILIES.match(name) and importlib.util.find_spec("FlagEmbedding") is not None:
        return known_to_flag_embedding(name) or "cls"
    return "cls"


def known_to_flag_embedding(name: str) -> Pooling | None:
    """The pooling that FlagEmbedding uses for a model of this name, or None when it does not know it.

    The only place that reads this undocumented table of FlagEmbedding, which offers no other way without loading weights.

    Raises:
        InputError: this version of FlagEmbedding has no such table.
    """
    try:
        from FlagEmbedding.inference.embedder.model_mapping import AUTO_EMBEDDER_MAPPING as known

        return cast(Pooling, known[name].pooling_method.value) if name in known else None
    except (ImportError, AttributeError):
        raise InputError(
            f"this version of FlagEmbedding does not report how {name} pools; set retrieve.pooling to cls, mean or"
            " last_token, whichever its model card names"
        ) from None


@models.quiet()
def dimension(named: NamedModel, place: str) -> int:
    """The dimension of the model's vectors, read from its configuration.

    Args:
        named: the model, as the settings name it.
        place: hub id or folder to load from.

    Raises:
        InputError: there is no such model.
    """
    from transformers import AutoConfig

    try:
        return int(AutoConfig.from_pretrained(place).hidden_size)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise named.cannot_load(error) from None


def finite(vectors: Vectors, source: str) -> Vectors:
    """The vectors, if all are finite numbers.

    Raises:
        InputError: some are not.
    """
    import numpy as np

    if not np.isfinite(vectors).all():
        raise InputError(
            f"embedding model {source!r} returned vectors that are not finite numbers; set retrieve.dtype=float32, or"
            " check its files"
        )
    return vectors


def fingerprint(model: str) -> str:
    """The identity of a model: its hub id with the cached revision, or the name of its folder with a hash of its files.

    A folder in the hub cache is identified by its model and commit, so that vectors do not depend on whether the hub could be
    reached. Of weight files, the size and the first 64 KiB are hashed; configuration and tokenizer files are hashed entirely. The
    location of the folder is not part of the hash.
    """
    folder = Path(model)
    if not folder.is_dir():
        return f"{model}@{_revision(model) or 'main'}"
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith(_CACHED):
        name = folder.parent.parent.name.removeprefix(_CACHED).replace("--", "/")
        return f"{name}@{folder.name[:_COMMIT]}"
    hashed = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if (
            not path.is_file()
            or path.suffix not in (*_WEIGHTS, *_CONFIGURATION)
            or name.startswith((".", "checkpoint-"))
        ):
            continue
        with path.open("rb") as file:
            head = file.read(_HEAD if path.suffix in _WEIGHTS else -1)
        hashed.update(json.dumps([name, path.stat().st_size]).encode() + head)
    return f"{folder.resolve().name}@{hashed.hexdigest()[:16]}"


def identity(parts: Iterable[str]) -> str:
    """The parts of an identity as one line."""
    return " ".join(part for part in parts if part)


def _revision(model: str) -> str | None:
    """The commit of the hub model in the cache."""
    try:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(model, "config.json")
    except (ImportError, ValueError):
        return None
    return Path(found).parent.name[:_COMMIT] if isinstance(found, str) else None


def read_json(named: NamedModel, place: str, name: str) -> Any:
    """The content of a JSON file of the model, or None when there is none or it cannot be read.

    Args:
        named: the model, as the settings name it.
        place: hub id or folder to load from.
        name: the file, relative to the model.

    Raises:
        InputError: there is no such model.
    """
    path = Path(place) / name
    if not Path(place).is_dir():
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        try:
            with models.quiet():
                path = Path(hf_hub_download(place, name))
        except EntryNotFoundError:  # no such file, or the hub cannot be reached and it is not cached
            return None
        except (OSError, ValueError) as error:
            raise named.cannot_load(error) from None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
