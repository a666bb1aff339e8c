"""What all tests share: no network, no deadlines, and tiny random models."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when huggingface_hub is imported

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_model
from hypothesis import settings

settings.register_profile("sinoner", deadline=None)
settings.load_profile("sinoner")


@pytest.fixture(autouse=True)
def _loopback_hub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of publish talk to a Hub of their own, in this process and in others."""
    if request.path.parent.name == "publish":
        from huggingface_hub import constants

        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that a few records are worth several processes."""
    monkeypatch.setattr("sinoner.engine.SHARD", 4)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny tensors are not worth the threads, least of all on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random chat model; to be read, not changed."""
    return tiny_model.save_llama(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random encoder; to be read, not changed."""
    return tiny_model.save_bert(tmp_path_factory.mktemp("models") / "tiny-bert")
