"""Loading base models and adapters."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sinoner import model_files
from sinoner.bundled import smollm2
from sinoner.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Models that ship inside an installed package and need no download.
BUNDLED = {"smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}


def hub_name(base: str) -> str:
    """The name of the base model in a published adapter: the hub id, never a local path."""
    if base in BUNDLED:
        return BUNDLED[base]
    return Path(base).name if Path(base).exists() else base


def device(requested: str, setting: str = "device") -> str:
    """The device to compute on: ``auto`` means the first GPU, else the CPU.

    Args:
        requested: ``auto`` or a torch device.
        setting: the setting that names the device, for messages.

    Raises:
        InputError: the device does not exist or cannot be used.
    """
    import torch

    if requested != "auto":
        try:
            torch.empty(1, device=requested).cpu()
        except (RuntimeError, AssertionError, NotImplementedError, ModuleNotFoundError) as error:
            raise InputError(
                f"{setting} {requested!r} cannot be used ({str(error).splitlines()[0]}); try auto or cpu"
            ) from None
        return requested
    return "cuda" if torch.cuda.is_available() else "cpu"


def dtype(name: str, device: str) -> torch.dtype:
    """The number type of the weights: ``auto`` means bfloat16 where supported, else float16 on a GPU and float32 on a CPU."""
    import torch

    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags() else torch.float32


def named_model(base: str, setting: str) -> model_files.NamedModel:
    """The description by which ``model_files`` finds a base model that is not bundled.

    Args:
        base: hub id or folder.
        setting: the setting that names the model, for messages.
    """
    return model_files.NamedModel(base, setting, "give a hub id, a local folder, or smollm2")


@contextmanager
def quiet(level: int | None = logging.ERROR) -> Iterator[None]:
    """Hide the progress bars and warnings of transformers and the hub client; their settings are restored afterwards.

    These settings belong to the whole process, so use this only while a model is loaded or computes.

    Args:
        level: lowest level that they log; None = leave it as it is.
    """
    from huggingface_hub import utils
    from transformers.utils import logging as transformers_logging

    hub: Any = utils  # type checkers cannot read its list of exports
    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    before = [logger.level for logger in loggers]
    bars, hub_bars = transformers_logging.is_progress_bar_enabled(), not hub.are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|peft")
        warnings.filterwarnings(
            "ignore", message="Cannot (dis|en)able progress bars"
        )  # set by the environment
        transformers_logging.disable_progress_bar()  # this also disables those of the hub
        if level is not None:
            for logger in loggers:
                logger.setLevel(level)
        try:
            yield
        finally:
            for logger, previous in zip(loggers, before, strict=True):
                logger.setLevel(previous)
            if bars:
                transformers_logging.enable_progress_bar()
            (hub.enable_progress_bars if hub_bars else hub.disable_progress_bars)()


def load(
    base: str,
    *,
    adapter: Path | None = None,
    dtype_name: str = "auto",
    device_name: str = "auto",
    setting: str = "model",
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model and its tokenizer.

    Args:
        base: hub id, local folder, or a bundled name (``smollm2``).
        adapter: folder of a LoRA adapter to put on top.
        dtype_name: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        device_name: ``auto`` or a torch device.
        setting: the setting that names the base model, for messages.

    Raises:
        InputError: the model cannot be found or read.
        MissingExtraError: transformers or peft is not installed.
    """
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise MissingExtraError("transformers", "train") from None
    from safetensors import SafetensorError

    place = device(device_name)
    named = named_model(base, setting)
    if base in BUNDLED:
        with quiet():
            source = str(smollm2.folder())
    else:
        source = model_files.located(named)
    try:
        with quiet(level=None):  # warnings of missing weights must be visible
            tokenizer = AutoTokenizer.from_pretrained(source)
            model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype(dtype_name, place))
    except (OSError, ValueError, SafetensorError) as error:
        raise named.cannot_load(error) from None
    if base not in BUNDLED:  # adapters record this name; a cache path would be wrong elsewhere
        model.name_or_path = model.config.name_or_path = base
    if getattr(tokenizer, "chat_template", None) is None:
        raise InputError(f"model {base!r} has no chat template; choose an instruction-tuned (chat) model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if adapter is not None:
        model = _with_adapter(model, adapter)
    return model.to(place), tokenizer


def adapter_base(adapter: Path) -> str:
    """The name of the base model of an adapter folder.

    Raises:
        InputError: the folder contains no adapter.
    """
    try:
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        return str(config["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{adapter}: contains no adapter (no adapter_config.json); run sinoner finetune first"
        ) from None


def _with_adapter(model: Any, adapter: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError:
        raise MissingExtraError("peft", "train") from None
    base = adapter_base(adapter)
    if not (adapter / "adapter_model.safetensors").is_file():
        raise InputError(f"{adapter}: has no adapter_model.safetensors; run sinoner finetune again")
    try:
        with quiet(level=None):
            return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{adapter}: does not fit this base model, it was trained on {base!r} ({reason})"
        ) from None


def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    line = next((x for x in text.splitlines() if x.startswith("flags")), "")
    return frozenset(line.split())
