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

# Names of models that come inside an installed package and need no download.
BUNDLED = {"smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}


def hub_name(base: str) -> str:
    """How a published adapter should name its base model: the hub id, never a local path."""
    if base in BUNDLED:
        return BUNDLED[base]
    return Path(base).name if Path(base).exists() else base


def device(wanted: str, setting: str = "device") -> str:
    """The device to compute on: ``auto`` means the first GPU, else the CPU.

    Args:
        wanted: ``auto`` or a torch device.
        setting: names it in messages.

    Raises:
        InputError: there is no such device.
    """
    import torch

    if wanted != "auto":
        try:
            torch.empty(1, device=wanted).cpu()
        except (RuntimeError, AssertionError, NotImplementedError, ModuleNotFoundError) as error:
            raise InputError(
                f"{setting} {wanted!r} cannot be used ({str(error).splitlines()[0]}); try auto or cpu"
            ) from None
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def dtype(name: str, device: str) -> torch.dtype:
    """The number type of the weights: ``auto`` means bfloat16 where the device computes in it, else float32."""
    import torch

    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags() else torch.float32


def named_model(base: str, setting: str) -> model_files.NamedModel:
    """A base model that is not bundled, as ``model_files`` looks for it.

    Args:
        base: hub id or folder.
        setting: where it is written, for messages.
    """
    return model_files.NamedModel(base, setting, "give a hub id, a local folder, or smollm2")


@contextmanager
def quiet(level: int | None = logging.ERROR) -> Iterator[None]:
    """Keep transformers and the client of the hub from showing bars and warnings; afterwards everything is as before.

    Their settings are those of the whole process, so this is for the time that a model is loaded or computes.

    Args:
        level: what they may log: this and above; None = what they log anyway.
    """
    from huggingface_hub import utils
    from transformers.utils import logging as of_transformers

    hub: Any = utils  # which lists what it exports in a way that type checkers do not read
    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    before = [logger.level for logger in loggers]
    bars, hub_bars = of_transformers.is_progress_bar_enabled(), not hub.are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|peft")
        warnings.filterwarnings(
            "ignore", message="Cannot (dis|en)able progress bars"
        )  # set by the environment
        of_transformers.disable_progress_bar()  # and those of the hub with them
        if level is not None:
            for logger in loggers:
                logger.setLevel(level)
        try:
            yield
        finally:
            for logger, was in zip(loggers, before, strict=True):
                logger.setLevel(was)
            if bars:
                of_transformers.enable_progress_bar()
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
        setting: where the base model is written, for messages.

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
    asked = named_model(base, setting)
    if base in BUNDLED:
        with quiet():
            source = str(smollm2.folder())
    else:
        source = model_files.located(asked)
    try:
        with quiet(level=None):  # that weights are missing has to be seen
            tokenizer = AutoTokenizer.from_pretrained(source)
            model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype(dtype_name, place))
    except (OSError, ValueError, SafetensorError) as error:
        raise asked.cannot_load(error) from None
    if base not in BUNDLED:  # an adapter notes its name, and that of the cache would be wrong elsewhere
        model.name_or_path = model.config.name_or_path = base
    if getattr(tokenizer, "chat_template", None) is None:
        raise InputError(f"model {base!r} has no chat template; choose an instruction-tuned (chat) model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if adapter is not None:
        model = _with_adapter(model, adapter)
    return model.to(place), tokenizer


def adapter_base(adapter: Path) -> str:
    """The base model that an adapter folder names.

    Raises:
        InputError: the folder holds no adapter.
    """
    try:
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        return str(config["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{adapter}: holds no adapter (adapter_config.json); run sinoner finetune first"
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
