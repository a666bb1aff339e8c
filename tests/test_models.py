"""Loading models and adapters, and what a person gets wrong about them."""

import logging
import shutil
import warnings
from collections.abc import Iterator
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
    with pytest.raises(InputError, match="this folder contains no config.json") as caught:
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
    with pytest.raises(InputError, match="contains no adapter"):
        models.adapter_base(tmp_path)
    with pytest.raises(InputError, match="contains no adapter"):
        models.load(str(tiny_llama), adapter=tmp_path)


@pytest.mark.parametrize("content", ["{", "{}", "\x00", "[]", '"x"', "null"])
def test_adapter_base_of_a_broken_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(InputError, match="contains no adapter"):
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


# what the libraries print meanwhile ---------------------------------------------------------------------------------


def noise() -> tuple[object, ...]:
    """The settings of this process that decide what the libraries show."""
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils.logging import is_progress_bar_enabled

    levels = [logging.getLogger(name).level for name in ("transformers", "huggingface_hub")]
    return *levels, is_progress_bar_enabled(), are_progress_bars_disabled(), tuple(warnings.filters)


@pytest.fixture
def loud() -> Iterator[None]:
    """A process whose settings are not those that ``quiet`` makes."""
    from transformers.utils import logging as of_transformers

    bars, loggers = of_transformers.is_progress_bar_enabled(), ("transformers", "huggingface_hub")
    levels = {name: logging.getLogger(name).level for name in loggers}
    of_transformers.enable_progress_bar()
    for name in loggers:
        logging.getLogger(name).setLevel(logging.INFO)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    if not bars:
        of_transformers.disable_progress_bar()


def test_quiet_lasts_as_long_as_it_is_needed(loud: None) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled

    before = noise()
    with models.quiet():
        assert not logging.getLogger("transformers.modeling_utils").isEnabledFor(logging.WARNING)
        assert not logging.getLogger("huggingface_hub.utils._http").isEnabledFor(logging.WARNING)
        assert are_progress_bars_disabled()
        with models.quiet(level=None):
            pass
        assert are_progress_bars_disabled()
    assert noise() == before
    with pytest.raises(KeyError), models.quiet():
        raise KeyError
    assert noise() == before


def test_quiet_leaves_off_what_was_off(loud: None) -> None:
    from huggingface_hub.utils import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar, enable_progress_bar

    disable_progress_bars()
    before = noise()
    with models.quiet():
        pass
    assert noise() == before
    disable_progress_bar()
    before = noise()
    with models.quiet():
        pass
    assert noise() == before
    enable_progress_bar()


def test_loading_changes_no_setting_of_the_process(
    tiny_llama: Path, adapter: Path, loud: None, capfd: pytest.CaptureFixture[str]
) -> None:
    before = noise()
    models.load(str(tiny_llama), adapter=adapter)
    assert noise() == before
    assert "Loading weights" not in capfd.readouterr().err


def test_that_weights_are_missing_is_seen(
    tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(tiny_llama, tmp_path / "m")
    tensors = load_file(tiny_llama / "model.safetensors")
    gone = next(name for name in tensors if "q_proj" in name)
    del tensors[gone]
    save_file(tensors, tmp_path / "m/model.safetensors", metadata={"format": "pt"})
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    try:
        models.load(str(tmp_path / "m"))
    finally:
        logger.removeHandler(caplog.handler)
    assert "q_proj" in caplog.text
