"""Setup of all tests: no network, no deadlines, and tiny random models."""

import importlib.util
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_model
from hypothesis import settings

# Libraries read these when they are imported later. Each worker has its own caches, and none can read a user's token.
_HOME = tempfile.TemporaryDirectory(prefix="sinoner-hf-")
os.environ["HF_HOME"] = _HOME.name
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores already
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# ``make check`` draws few examples, always the same; ``make test`` draws many, different each time.
settings.register_profile("check", deadline=None, max_examples=25, derandomize=True)
settings.register_profile("full", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "full"))

NO_MODELS = Path(__file__).parent / "no_models"
MODEL_FIXTURES = {"tiny_llama", "tiny_bert", "one_thread", "adapter", "e5", "nano", "loaded_once"}
# Files that import or use a model library at module level.
MODEL_FILES = {
    "test_bundled_e5mini.py",
    "test_bundled_smollm2.py",
    "test_chat.py",
    "test_models.py",
    "test_retrieve_e5mini_encoder.py",
    "test_train_loop.py",
    "test_train_trainer.py",
}


def without_models(config: pytest.Config) -> bool:
    """Whether this run excludes the tests with models, as ``make check`` does."""
    return "not model" in config.option.markexpr


def pytest_configure(config: pytest.Config) -> None:
    """Handle Ctrl-C, also in processes started by tests; without models, refuse imports of model libraries."""
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # inherited when a shell starts the tests in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if without_models(config):
        paths = [str(NO_MODELS), *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        spec = importlib.util.spec_from_file_location("no_models", NO_MODELS / "sitecustomize.py")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without models, ignore the files that cannot be imported without them."""
    return True if without_models(config) and collection_path.name in MODEL_FILES else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of these files, and those with a fixture that creates a model."""
    for item in items:
        if item.path.name in MODEL_FILES or MODEL_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.model)


@pytest.fixture(autouse=True)
def _loopback_hub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests of publish connect to their loopback Hub, in this and in other processes."""
    if request.path.parent.name == "publish":
        from huggingface_hub import constants

        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make shards so small that a few records occupy several processes."""
    monkeypatch.setattr("sinoner.engine.SHARD", 4)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread: more threads slow tiny tensors down, especially on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random chat model; read-only."""
    return tiny_model.save_llama(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random encoder; read-only."""
    return tiny_model.save_bert(tmp_path_factory.mktemp("models") / "tiny-bert")
