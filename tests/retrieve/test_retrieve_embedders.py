"""The embedders that run here, with a real small model each."""

import importlib.util
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from sinoner.errors import InputError, MissingExtraError
from sinoner.model_files import NamedModel
from sinoner.retrieve import encoder_info
from sinoner.retrieve.embedder import Embedder
from sinoner.retrieve.embedders import embedder
from sinoner.retrieve.local_encoder import CpuEmbedder, FlagEmbedder
from sinoner.retrieve.sentence_encoder import SentenceEmbedder
from sinoner.settings import RetrieveSettings

TEXTS = [
    "今天天气很好",
    "明日上海有雨。",
    "abc, def.",
    "今",
    "北京天气很好，明日有雨" * 2,
    "北京天气很好，明日有雨" * 9,
]
LONG = "天" * 300  # the tiny model has 128 places


def made(model: Path, **settings: object) -> Embedder:
    return embedder(RetrieveSettings.model_validate({"model_zh": str(model), **settings}), "zh")


def by_hand(model: Path, texts: list[str], pooling: str) -> np.ndarray:
    """One by one, in float32: no padding, no sorting."""
    import torch
    from transformers import AutoTokenizer, BertModel

    encoder, tokenizer = BertModel.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)
    rows = []
    for text in texts:
        with torch.inference_mode():
            hidden = encoder(
                **tokenizer(text, return_tensors="pt", truncation=True, max_length=128)
            ).last_hidden_state[0]
        row = {"cls": hidden[0], "mean": hidden.mean(0), "last_token": hidden[-1]}[pooling].numpy()
        rows.append(row / np.linalg.norm(row))
    return np.array(rows)


def noting(model: Path, target: Path, config: str) -> Path:
    """A copy of the model whose folder notes a pooling."""
    shutil.copytree(model, target)
    (target / "1_Pooling").mkdir()
    (target / "1_Pooling/config.json").write_text(config, encoding="utf-8")
    return target


@pytest.mark.parametrize("kind", ["bge", "sentence-transformers"])
@pytest.mark.parametrize(("pooling", "meant"), [("auto", "cls"), ("cls", "cls"), ("mean", "mean")])
def test_vectors_are_those_of_the_model(tiny_bert: Path, kind: str, pooling: str, meant: str) -> None:
    found = made(tiny_bert, embedder=kind, pooling=pooling, dtype="float32").encode([*TEXTS, LONG])
    assert found.vectors.dtype == np.float32
    assert found.cut.tolist() == [False] * len(TEXTS) + [True]
    np.testing.assert_allclose(found.vectors, by_hand(tiny_bert, [*TEXTS, LONG], meant), atol=1e-5)


@pytest.mark.parametrize(
    ("config", "meant"),
    [
        ('{"pooling_mode": "mean"}', "mean"),
        ('{"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}', "mean"),
        ('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}', "cls"),
        ('{"pooling_mode_lasttoken": true}', "last_token"),
        ("{", "cls"),
    ],
)
def test_auto_is_what_the_folder_notes(tiny_bert: Path, tmp_path: Path, config: str, meant: str) -> None:
    folder = noting(tiny_bert, tmp_path / "noted", config)
    found = made(folder, dtype="float32").encode(TEXTS).vectors
    np.testing.assert_allclose(found, by_hand(tiny_bert, TEXTS, meant), atol=1e-5)


def test_a_pooling_that_is_not_known_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    folder = noting(tiny_bert, tmp_path / "noted", '{"pooling_mode": "weightedmean"}')
    with pytest.raises(InputError, match="weightedmean.*sentence-transformers"):
        made(folder)
    made(folder, pooling="mean")


def test_auto_is_what_flag_embedding_knows_of_a_name(tiny_bert: Path, tmp_path: Path) -> None:
    for name, meant in (("e5-small", "mean"), ("bge-small-zh", "cls"), ("e5-of-my-own", "cls")):
        shutil.copytree(tiny_bert, tmp_path / name)
        assert f" pooling={meant} " in made(tmp_path / name).identity


@pytest.mark.model
def test_the_table_of_flag_embedding_is_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, FlagEmbedding has moved or changed ``AUTO_EMBEDDER_MAPPING``, which it does not document."""
    from FlagEmbedding.inference.embedder import model_mapping

    assert encoder_info.known_to_flag_embedding("bge-large-zh-v1.5") == "cls"
    assert encoder_info.known_to_flag_embedding("e5-mistral-7b-instruct") == "last_token"
    assert encoder_info.known_to_flag_embedding("e5-of-my-own") is None
    monkeypatch.delattr(model_mapping, "AUTO_EMBEDDER_MAPPING")
    with pytest.raises(InputError, match=r"bge-large-zh-v1\.5 pools; set retrieve\.pooling"):
        encoder_info.known_to_flag_embedding("bge-large-zh-v1.5")


@pytest.mark.model
def test_a_file_of_a_model_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read through the public client of the hub, offline as all tests are."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--someone--model"
    for name, content in (("a.json", '{"a": 1}'), ("b.json", "{")):
        (model / "snapshots" / ("a" * 40)).mkdir(parents=True, exist_ok=True)
        (model / "snapshots" / ("a" * 40) / name).write_text(content)
    (model / "refs").mkdir()
    (model / "refs/main").write_text("a" * 40)
    asked = NamedModel("someone/model", "retrieve.model_zh", "give another")
    assert encoder_info.read_json(asked, "someone/model", "a.json") == {"a": 1}
    assert encoder_info.read_json(asked, "someone/model", "b.json") is None
    assert encoder_info.read_json(asked, "someone/model", "c.json") is None
    with pytest.raises(InputError, match=r"^retrieve\.model_zh: 'someone/model': cannot be loaded \("):
        encoder_info.read_json(asked, "not a name!!", "a.json")


@pytest.mark.parametrize(("dtype", "least"), [("float32", 0.9999), ("bfloat16", 0.999)])
def test_the_cpu_agrees_with_flag_model(tiny_bert: Path, dtype: str, least: float) -> None:
    from FlagEmbedding import FlagModel

    flag = FlagModel(str(tiny_bert), use_fp16=False, devices="cpu").encode(TEXTS, max_length=128)
    ours = made(tiny_bert, dtype=dtype).encode(TEXTS)
    assert isinstance(made(tiny_bert), CpuEmbedder)
    assert (flag * ours.vectors).sum(axis=1).min() > least


@pytest.mark.model
def test_several_devices_give_the_same(tiny_bert: Path) -> None:
    two = made(tiny_bert, devices=["cpu", "cpu"], pooling="mean")
    one = made(tiny_bert, devices=["cpu"], pooling="mean", dtype="float32")
    assert isinstance(two, FlagEmbedder)
    assert two.encode([]).vectors.shape == (0, 32)
    a, b = two.encode([*TEXTS, LONG]), one.encode([*TEXTS, LONG])
    np.testing.assert_allclose(a.vectors, b.vectors, atol=1e-5)
    np.testing.assert_array_equal(a.cut, b.cut)
    assert two.identity != one.identity


@pytest.mark.parametrize("kind", ["bge", "sentence-transformers"])
def test_one_text_and_none(tiny_bert: Path, kind: str) -> None:
    model = made(tiny_bert, embedder=kind, dtype="float32")
    np.testing.assert_allclose(model.encode(TEXTS[1:2]).vectors, model.encode(TEXTS).vectors[1:2], atol=1e-5)
    nothing = model.encode([])
    assert nothing.vectors.shape == (0, 32)
    assert nothing.cut.shape == (0,)


def test_batches_and_cores_change_nothing(tiny_bert: Path) -> None:
    import torch

    texts = [TEXTS[i % len(TEXTS)] * (1 + i % 3) for i in range(100)]
    whole = made(tiny_bert, batch_size=8, dtype="float32").encode(texts)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        np.testing.assert_array_equal(
            made(tiny_bert, batch_size=8, dtype="float32").encode(texts).vectors, whole.vectors
        )
    finally:
        torch.set_num_threads(before)
    single = made(tiny_bert, batch_size=1, dtype="float32").encode(texts)
    np.testing.assert_allclose(whole.vectors, single.vectors, atol=1e-5)
    np.testing.assert_array_equal(whole.cut, single.cut)


@pytest.mark.parametrize("kind", ["bge", "sentence-transformers"])
def test_what_is_longer_than_max_length_is_cut(tiny_bert: Path, kind: str) -> None:
    model = made(tiny_bert, embedder=kind, max_length=10, dtype="float32")
    found = model.encode(["天" * 8, "天" * 9, "天" * 8 + "雨", "今天"])  # and [CLS] and [SEP]
    assert found.cut.tolist() == [False, True, True, False]
    np.testing.assert_allclose(found.vectors[0], found.vectors[1], atol=1e-5)


def test_identity_is_what_a_vector_depends_on(tiny_bert: Path, tmp_path: Path) -> None:
    from tiny_model import save_bert

    shutil.copytree(tiny_bert, tmp_path / tiny_bert.name)
    own = made(tiny_bert).identity
    assert made(tmp_path / tiny_bert.name).identity == own
    assert made(tiny_bert, batch_size=3, k=5, devices=["cpu"]).identity == own
    assert str(tiny_bert.parent) not in own
    others = [
        made(tiny_bert, pooling="mean"),
        made(tiny_bert, max_length=64),
        made(tiny_bert, dtype="float16"),
        made(tiny_bert, embedder="sentence-transformers"),
        made(tiny_bert, embedder="sentence-transformers", max_length=64),
        made(save_bert(tmp_path / "other" / tiny_bert.name, seed=1)),
    ]
    assert len({own, *(o.identity for o in others)}) == len(others) + 1


def test_names(tiny_bert: Path) -> None:
    assert made(tiny_bert).name == f"bge:{tiny_bert}"
    assert made(tiny_bert, embedder="sentence-transformers").name == f"sentence-transformers:{tiny_bert}"


# what a person may get wrong ---------------------------------------------------------------------------------------


def one_line(error: pytest.ExceptionInfo[InputError]) -> None:
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["bge", "sentence-transformers"])
@pytest.mark.parametrize("model", ["nobody/no-such-model", "not a name!!", "empty"])
def test_no_model(tmp_path: Path, kind: str, model: str) -> None:
    if model == "empty":
        model = str(tmp_path)
    with pytest.raises(InputError, match=r"^retrieve\.model_zh: .*retrieve\.embedder=e5-mini") as caught:
        embedder(RetrieveSettings.model_validate({"embedder": kind, "model_zh": model}), "zh")
    assert repr(model) in str(caught.value)
    one_line(caught)


@pytest.mark.model
@pytest.mark.parametrize("kind", ["bge", "sentence-transformers"])
def test_what_the_libraries_log_is_not_shown_and_their_levels_stay(
    tiny_bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """A model without the layer on top, which no vector needs, and about which transformers warns."""
    from safetensors.numpy import load_file, save_file
    from transformers import AutoModel

    shutil.copytree(tiny_bert, tmp_path / "m")
    tensors = {n: t for n, t in load_file(tiny_bert / "model.safetensors").items() if "pooler" not in n}
    save_file(tensors, tmp_path / "m/model.safetensors", metadata={"format": "pt"})
    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    before = [logger.level for logger in loggers]
    loggers[0].addHandler(caplog.handler)
    try:
        loggers[0].setLevel(logging.WARNING)
        loggers[1].setLevel(logging.INFO)
        made(tmp_path / "m", embedder=kind).encode(TEXTS)
        assert caplog.text == ""
        assert [logger.level for logger in loggers] == [logging.WARNING, logging.INFO]
        AutoModel.from_pretrained(tmp_path / "m")
        assert "pooler" in caplog.text
    finally:
        loggers[0].removeHandler(caplog.handler)
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def test_each_language_has_its_model(tiny_bert: Path, tmp_path: Path) -> None:
    settings = RetrieveSettings(embedder="bge", model_zh=str(tiny_bert), model_en=str(tmp_path / "none"))
    assert embedder(settings, "zh").name == f"bge:{tiny_bert}"
    with pytest.raises(InputError, match="none"):
        embedder(settings, "en")


@pytest.mark.parametrize("kind", ["bge", "sentence-transformers"])
@pytest.mark.parametrize("content", [None, b"", b"no weights"])
def test_weights_that_are_missing_or_broken(
    tiny_bert: Path, tmp_path: Path, kind: str, content: bytes | None
) -> None:
    shutil.copytree(tiny_bert, tmp_path / "m")
    (tmp_path / "m/model.safetensors").unlink()
    if content is not None:
        (tmp_path / "m/model.safetensors").write_bytes(content)
    place = re.escape(repr(str(tmp_path / "m")))
    with pytest.raises(InputError, match=rf"^retrieve\.model_zh: {place}: cannot be loaded \(") as caught:
        made(tmp_path / "m", embedder=kind).encode(TEXTS)
    assert str(caught.value).endswith("or set retrieve.embedder=e5-mini, which needs no network")
    one_line(caught)


@pytest.mark.parametrize(
    ("kind", "library"), [("bge", "transformers"), ("sentence-transformers", "sentence_transformers")]
)
def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, kind: str, library: str) -> None:
    """It is missed before the model is looked for."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else real(name))
    with pytest.raises(
        MissingExtraError, match=rf"^{kind if kind != 'bge' else library} \(retrieve\.embedder: {kind}\)"
    ):
        made(Path("nobody/no-such-model"), embedder=kind)


@pytest.mark.parametrize("gone", [False, True])
def test_a_layer_without_weights_is_not_made_up(tiny_bert: Path, tmp_path: Path, gone: bool) -> None:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(tiny_bert, tmp_path / "m")
    tensors = load_file(tiny_bert / "model.safetensors")
    for name in [n for n in tensors if "pooler" in n or (gone and "encoder.layer.1.output.dense" in n)]:
        del tensors[name]
    save_file(tensors, tmp_path / "m/model.safetensors", metadata={"format": "pt"})
    model = made(tmp_path / "m", dtype="float32")
    if not gone:
        np.testing.assert_allclose(model.encode(TEXTS).vectors, by_hand(tiny_bert, TEXTS, "cls"), atol=1e-5)
        return
    with pytest.raises(InputError, match="2 of its weights are missing, such as"):
        model.encode(TEXTS)


@pytest.mark.parametrize("kind", ["bge", "sentence-transformers"])
def test_what_is_no_number_is_refused(tiny_bert: Path, tmp_path: Path, kind: str) -> None:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(tiny_bert, tmp_path / "m")
    tensors = dict(load_file(tiny_bert / "model.safetensors"))
    tensors["encoder.layer.0.output.dense.bias"] = np.full(32, np.nan, np.float32)
    save_file(tensors, tmp_path / "m/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="not finite numbers") as caught:
        made(tmp_path / "m", embedder=kind).encode(TEXTS)
    one_line(caught)


@pytest.mark.parametrize("kind", ["bge", "sentence-transformers", "e5-mini"])
@pytest.mark.parametrize("device", ["cuda:7", "gpu"])
def test_no_such_device(tiny_bert: Path, kind: str, device: str) -> None:
    import torch

    if device.startswith("cuda") and torch.cuda.device_count() > 7:
        pytest.skip("this machine has it")
    with pytest.raises(InputError, match=rf"retrieve\.devices: '{device}' cannot be used") as caught:
        made(tiny_bert, embedder=kind, devices=[device])
    one_line(caught)


def test_an_api_is_not_made_here() -> None:
    with pytest.raises(InputError, match="openai") as caught:
        embedder(RetrieveSettings(embedder="openai"), "zh")
    one_line(caught)


def test_the_verbs_it_is_sent_to_exist() -> None:
    from sinoner.cli.app import app

    with pytest.raises(InputError) as caught:
        embedder(RetrieveSettings(embedder="openai"), "zh")
    named = re.search(r"available to sinoner (.*) only", str(caught.value))
    assert named is not None
    known = {c.name or c.callback.__name__.replace("_", "-") for c in app.registered_commands if c.callback}
    assert set(re.split(r", | and ", named[1])) <= known
    assert "retrieve" not in known


def test_the_settings_choose(tiny_bert: Path) -> None:
    assert isinstance(made(tiny_bert), CpuEmbedder)
    assert isinstance(made(tiny_bert, embedder="sentence-transformers"), SentenceEmbedder)
