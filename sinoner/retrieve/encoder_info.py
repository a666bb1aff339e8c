"""What is known of an embedding model before its weights are loaded: where it lies, how it pools, what it is."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from sinoner.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from sinoner.retrieve.embedder import Vectors

Pooling = Literal["cls", "mean", "last_token"]

_CACHED = "models--"  # what the name of a model's folder in the cache of the hub begins with
_COMMIT = 12  # digits of a commit that tell it from others
_HEAD = 1 << 16  # bytes of a weight file that are looked at: the names and shapes, and the first numbers
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".onnx")
_TOLD = (".json", ".txt", ".model")  # configuration and tokenizer
# Models that FlagEmbedding knows by the end of their name; asking it costs seconds, so others are not asked for.
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
        kind: the embedder of the settings that it belongs to.
        model: what people call it: hub id or folder as written.
        place: hub id or folder to load from.
        pooling: what stands for a text: its first, its last or the mean of its tokens.
        prefix: written before every text.
    """

    kind: str
    model: str
    place: str
    pooling: Pooling
    prefix: str = ""

    @property
    def name(self) -> str:
        """Embedder and model."""
        return f"{self.kind}:{self.model}"


def pooling(model: str, place: str, wanted: str) -> Pooling:
    """The pooling of a model: the wanted one; for ``auto`` as the model or FlagEmbedding says, else ``cls``.

    Args:
        model: what people call it.
        place: hub id or folder to load from.
        wanted: a pooling, or ``auto``.

    Raises:
        InputError: the model pools in a way that only sentence-transformers knows.
    """
    if wanted != "auto":
        return cast(Pooling, wanted)
    config = noted(place, "1_Pooling/config.json")
    if isinstance(config, dict):
        mode = config.get("pooling_mode")
        on = [mode] if mode else [k for k, v in config.items() if k.startswith("pooling_mode_") and v is True]
        if len(on) == 1 and str(on[0]) in _POOLINGS:
            return _POOLINGS[str(on[0])]
        if on:
            raise InputError(
                f"embedding model {model!r} pools by {on[0]!r}; set retrieve.embedder=sentence-transformers, which can"
            )
    name = Path(model).name
    if _FAMILIES.match(name) and importlib.util.find_spec("FlagEmbedding") is not None:
        from FlagEmbedding.inference.embedder.model_mapping import AUTO_EMBEDDER_MAPPING

        if name in AUTO_EMBEDDER_MAPPING:
            return cast(Pooling, AUTO_EMBEDDER_MAPPING[name].pooling_method.value)
    return "cls"


def dimension(model: str) -> int:
    """Numbers in a vector of the model, read from its configuration alone.

    Raises:
        InputError: there is no such model.
        MissingExtraError: transformers is not installed.
    """
    try:
        from transformers import AutoConfig
    except ImportError:
        raise MissingExtraError("transformers (retrieve.embedder)", "retrieve") from None
    quiet()
    try:
        return int(AutoConfig.from_pretrained(model).hidden_size)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise cannot_load(model, error) from None


def cannot_load(model: str, error: Exception) -> InputError:
    """The one line that a model that cannot be loaded is worth."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(
        f"embedding model {model!r} cannot be loaded ({reason}); give a hub id or a folder in"
        " retrieve.model_zh and model_en, or set retrieve.embedder=e5-mini, which needs no network"
    )


def finite(vectors: Vectors, source: str) -> Vectors:
    """The vectors, when all are numbers.

    Raises:
        InputError: some are not.
    """
    import numpy as np

    if not np.isfinite(vectors).all():
        raise InputError(
            f"embedding model {source!r} gave vectors that are not finite numbers; set retrieve.dtype=float32, or"
            " check its files"
        )
    return vectors


def fingerprint(model: str) -> str:
    """What a model is: its hub id with the revision that lies here, or a folder's name with a hash of its files.

    A folder in the cache of the hub is what it was downloaded from, so that vectors do not depend on whether the hub could be
    reached. Of weights the size and the first 64 KiB are hashed, of all other files everything; the place of the folder is not
    part of it.
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
            or path.suffix not in (*_WEIGHTS, *_TOLD)
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


def quiet() -> None:
    """No bars and no reports of transformers while a model is loaded, and none of every attempt to reach the hub."""
    import logging

    from transformers.utils import logging as of_transformers

    of_transformers.disable_progress_bar()
    of_transformers.set_verbosity_error()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def _revision(model: str) -> str | None:
    """The commit of the hub model in the cache."""
    try:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(model, "config.json")
    except (ImportError, ValueError):
        return None
    return Path(found).parent.name[:_COMMIT] if isinstance(found, str) else None


def noted(model: str, name: str) -> Any:
    """The content of a JSON file of the model, or None when it has none that can be read.

    Raises:
        InputError: there is no such model.
        MissingExtraError: transformers is not installed.
    """
    if Path(model).is_dir():
        path: str | None = str(Path(model) / name)
    else:
        try:
            from transformers.utils import cached_file
        except ImportError:
            raise MissingExtraError("transformers (retrieve.embedder)", "retrieve") from None
        quiet()
        try:
            path = cached_file(
                model,
                name,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
            )
        except (OSError, ValueError) as error:
            raise cannot_load(model, error) from None
    try:
        return json.loads(Path(path).read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError):
        return None
