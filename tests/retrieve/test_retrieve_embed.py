"""The two embedders, with a real small model each."""

from pathlib import Path

import numpy as np
import pytest

from sinoner.errors import InputError
from sinoner.retrieve.embed import BgeEmbedder, E5MiniEmbedder, embedder
from sinoner.retrieve.nearest import nearest
from sinoner.settings import RetrieveSettings

TEXTS = ["今天天气很好", "明日上海有雨。", "abc, def.", "今", "北京天气很好，明日有雨" * 2]


@pytest.fixture(scope="module")
def e5() -> E5MiniEmbedder:
    return E5MiniEmbedder()


@pytest.fixture(scope="module")
def bge(tiny_bert: Path) -> BgeEmbedder:
    return BgeEmbedder(str(tiny_bert), 2)


def test_bge_is_the_normalised_first_vector(bge: BgeEmbedder, tiny_bert: Path) -> None:
    import torch
    from transformers import AutoTokenizer, BertModel

    model, tokenizer = BertModel.from_pretrained(tiny_bert).eval(), AutoTokenizer.from_pretrained(tiny_bert)
    vectors = bge.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 32)
    assert vectors.dtype == np.float32
    for text, vector in zip(TEXTS, vectors, strict=True):  # one by one: no padding, no sorting
        with torch.inference_mode():
            first = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, 0].numpy()
        np.testing.assert_allclose(vector, first / np.linalg.norm(first), atol=1e-5)


def test_bge_one_text(bge: BgeEmbedder) -> None:
    np.testing.assert_allclose(bge.encode(TEXTS[:1]), bge.encode(TEXTS)[:1], atol=1e-5)


def test_bge_no_texts(bge: BgeEmbedder) -> None:
    assert bge.encode([]).shape == (0, 32)


def test_bge_names_its_model(bge: BgeEmbedder, tiny_bert: Path) -> None:
    assert bge.name == f"bge:{tiny_bert}"


@pytest.mark.parametrize("model", ["nobody/no-such-model", "not a name!!"])
def test_bge_unknown_model(model: str) -> None:
    with pytest.raises(InputError, match=r"retrieve\.embedder=e5-mini") as caught:
        BgeEmbedder(model, 2)
    assert repr(model) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bge_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        BgeEmbedder(str(tmp_path), 2)
    assert "\n" not in str(caught.value)


def test_the_settings_choose(tiny_bert: Path, tmp_path: Path) -> None:
    settings = RetrieveSettings(embedder="bge", model_zh=str(tiny_bert), model_en=str(tmp_path / "none"))
    assert embedder(settings, "zh").name == f"bge:{tiny_bert}"
    with pytest.raises(InputError, match="none"):
        embedder(settings, "en")
    assert isinstance(embedder(RetrieveSettings(embedder="e5-mini"), "en"), E5MiniEmbedder)


def test_e5_vectors(e5: E5MiniEmbedder) -> None:
    vectors = e5.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(e5.encode(TEXTS[3:4])[0], vectors[3], atol=1e-4)
    assert e5.encode([]).shape == (0, 384)


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
def test_e5_the_same_said_otherwise_is_the_nearest(e5: E5MiniEmbedder, texts: list[str]) -> None:
    vectors = e5.encode(texts)
    ids = [str(i) for i in range(len(texts))]
    found = nearest(vectors, ids, vectors, ids, 1)
    assert found[0][0][0] == "3"
    assert found[3][0][0] == "0"
