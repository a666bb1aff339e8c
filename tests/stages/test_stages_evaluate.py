"""Evaluation asks as the model was trained: models made on the spot that learned one answer by heart."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_model
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from sinoner.chat import IGNORE, Encoded, encode
from sinoner.cli.app import app
from sinoner.itset.render import query_conversations
from sinoner.records import Conversation, Message, Passage
from sinoner.settings import Recipe
from sinoner.settings.itset_section import Mode
from sinoner.stages.evaluate import EVALUATE, asking

pytestmark = pytest.mark.usefixtures("one_thread")

IDS, TEXT = ("g0", "g1"), "周杰在杭州。"  # the model knows one text only
ENTITIES = [("周杰", "人名"), ("杭州", "地点")]
TYPES = ("人名", "地点", "产品")
MODES: tuple[Mode, ...] = ("type", "all", "schema")
ANSWER = '{"人 名": ["周杰"], "地点": ["杭州"], "产品": [], "职务": ["店员"]}'


def sinoner(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def gold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gold") / "two"
    folder.mkdir()
    rows = []
    for id in IDS:
        entities = [
            {"start": (at := TEXT.index(s)), "end": at + len(s), "type": kind, "text": s}
            for s, kind in ENTITIES
        ]
        rows.append(
            json.dumps({"id": id, "text": TEXT, "lang": "zh", "entities": entities}, ensure_ascii=False)
        )
    (folder / "test.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "labels.json").write_text(json.dumps({t: t for t in TYPES}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that answers the questions of ``all`` and ``schema`` with ``ANSWER``, and is at a loss for others."""
    import torch
    from transformers import LlamaForCausalLM

    folder = tiny_model.save_llama(tmp_path_factory.mktemp("model") / "learned")
    passage = Passage(id="g0", text=TEXT, source="s", lang="zh")
    asked = {mode: query_conversations(passage, TYPES, (), "sinoner", mode)[0] for mode in MODES}
    rows = [_encoded(query, "不懂" if mode == "type" else ANSWER) for mode, query in asked.items()]
    width = max(len(row.ids) for row in rows)
    ids = torch.tensor([row.ids + [0] * (width - len(row.ids)) for row in rows])
    labels = torch.tensor([row.labels + [IGNORE] * (width - len(row.ids)) for row in rows])
    mask = torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        learner = LlamaForCausalLM.from_pretrained(folder)
        optimizer = torch.optim.AdamW(learner.parameters(), lr=5e-3)
        for _ in range(300):
            loss = learner(input_ids=ids, attention_mask=mask, labels=labels).loss
            if loss.item() < 0.01:
                break
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    learner.save_pretrained(folder)
    return folder


def _encoded(query: Conversation, said: str) -> Encoded:
    """A query with its answer, of which only the answer is learned."""
    opening = tuple(Message(role=m.role, content=m.content) for m in query.messages)
    messages = (*opening, Message(role="assistant", content=said, learn=True))
    whole = replace(query, messages=messages)
    encoded = encode(whole, tiny_model.byte_tokenizer(), 4096)
    assert encoded is not None
    return encoded


def evaluate(run: Path, model: Path, gold: Path, *settings: str) -> tuple[Result, dict[str, Any]]:
    run.mkdir(exist_ok=True)
    (run / "recipe.yaml").touch()
    said = sinoner(
        "evaluate", run, "--base", model, "--benchmark", gold, "evaluate.models=[base]", "evaluate.examples=[false]",
        "evaluate.bootstrap=0", "train.dtype=float32", "train.device=cpu", "--json", *settings,
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    (score,) = json.loads(said.stdout)["scores"]
    return said, score


@pytest.mark.parametrize("mode", ["schema", "all"])
def test_a_model_that_answers_with_an_object_is_scored_on_it(
    mode: Mode, model: Path, gold: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    said, score = evaluate(run, model, gold, f"it_set.mode={mode}", "evaluate.max_new_tokens=40")
    assert (score["f1"], score["strict_f1"], score["queries"], score["unparsed"]) == (100.0, 100.0, 6, 0)
    rows = [
        json.loads(x) for x in (run / "eval/two/base-plain/predictions.jsonl").read_text("utf-8").splitlines()
    ]
    assert [(r["id"], tuple(r["surfaces"])) for r in rows] == [
        (f"{id}|{kind}", {"人名": ("周杰",), "地点": ("杭州",), "产品": ()}[kind])
        for id in IDS
        for kind in TYPES
    ]
    assert all(r["raw"] == ANSWER and r["reason"] is None for r in rows)
    entry = json.loads((run / "manifest.json").read_text("utf-8"))["stages"]["evaluate"]
    assert entry["counts"]["query"] == {"in": 2, "out": 2, "rejected": 0}  # one question a passage
    assert entry["made"] == {"answered_type_not_asked": 2}
    assert entry["settings"]["it_set.mode"] == mode
    assert "excluded from the scores: 职务 2" in " ".join(said.stderr.split())
    assert json.loads((run / "eval/summary.json").read_text("utf-8"))["mode"] == mode


def test_the_same_model_asked_type_by_type_says_nothing_of_use(
    model: Path, gold: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    said, score = evaluate(
        run, model, gold, "it_set.mode=schema", "evaluate.mode=type", "evaluate.max_new_tokens=100"
    )
    assert (score["f1"], score["unparsed"], score["queries"]) == (0.0, 6, 6)
    assert "not asked" not in said.stderr
    _, score = evaluate(run, model, gold, "evaluate.mode=null")  # asked anew, since the mode changed
    assert (score["f1"], score["unparsed"]) == (100.0, 0)
    again, _ = evaluate(run, model, gold)
    assert "evaluate: unchanged, skipped" in again.stderr


def test_an_object_that_is_cut_off_is_no_answer_for_any_type(model: Path, gold: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    _, score = evaluate(run, model, gold, "it_set.mode=schema", "evaluate.max_new_tokens=10")
    assert (score["unparsed"], score["queries"], score["predicted"]) == (6, 6, 0)
    rows = [
        json.loads(x) for x in (run / "eval/two/base-plain/predictions.jsonl").read_text("utf-8").splitlines()
    ]
    assert {r["reason"] for r in rows} == {"truncated"}


def test_predict_asks_as_the_run_was_trained(model: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    (folder / "recipe.yaml").write_text("it_set: {mode: schema}\n")
    said = sinoner("predict", folder, "--types", "人名,地点,产品", TEXT)
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["entities"] == [
        {"start": 0, "end": 2, "type": "人名", "text": "周杰"},
        {"start": 3, "end": 5, "type": "地点", "text": "杭州"},
    ]


@pytest.mark.parametrize(
    ("trained", "own", "asked"), [("schema", None, "schema"), ("schema", "type", "type"), ("passage", "all", "all")]
)  # fmt: skip
def test_the_mode_is_a_setting_of_the_result(trained: Mode, own: Mode | None, asked: Mode) -> None:
    settings = Recipe.model_validate({"it_set": {"mode": trained}, "evaluate": {"mode": own}})
    assert asking(settings) == asked
    assert "it_set.mode" in EVALUATE.settings(settings)
    assert "evaluate.mode" in EVALUATE.settings(settings)


def test_a_run_in_mode_schema_from_corpus_to_prediction(gold: Path, tiny_llama: Path, tmp_path: Path) -> None:
    corpus, run = tmp_path / "my.jsonl", tmp_path / "run"
    rows = [
        {"id": f"d{n}", "text": f"{name}在北京工作。", "lang": "zh"}
        for n, name in enumerate(("张伟", "李娜"))
    ]
    corpus.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    for words in (
        ("annotate", corpus, "--out", run, "--by", "jieba"),
        ("build-it-set", run, "--mode", "schema", "retrieve.strategy=random", "it_set.validation=0"),
        ("finetune", run, "--base", tiny_llama, "train.epochs=1", "train.dtype=float32"),
        ("evaluate", run, "--benchmark", gold, "evaluate.max_new_tokens=8"),
    ):
        said = sinoner(*words)
        assert said.exit_code == 0, said.output
    entry = json.loads((run / "manifest.json").read_text("utf-8"))["stages"]["evaluate"]
    assert entry["settings"]["it_set.mode"] == "schema"
    assert entry["counts"]["query"] == {
        "in": 8,
        "out": 8,
        "rejected": 0,
    }  # 2 models, with and without examples
    scores = json.loads((run / "eval/summary.json").read_text("utf-8"))["scores"]
    assert [s["queries"] for s in scores] == [6] * 4
    said = sinoner("predict", run, "--types", "人名", TEXT)
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["text"] == TEXT
