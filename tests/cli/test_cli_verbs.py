"""The verbs one by one on a run folder, without any YAML."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sinoner.cli.app import app
from sinoner.run.manifest import Manifest

VERBS = (
    "run", "check", "chunk", "estimate", "annotate", "filter", "build-it-set", "finetune", "evaluate", "publish",
    "report", "predict", "doctor", "benchmarks",
)  # fmt: skip
ROWS = [
    {"id": f"d{i}", "text": f"{name}在{place}工作。昨天他去了{other}。"}
    for i, (name, place, other) in enumerate(
        [
            ("张伟", "北京", "上海"),
            ("李娜", "深圳", "广州"),
            ("王强", "南京", "苏州"),
            ("刘洋", "成都", "重庆"),
        ]
    )
]


def sinoner(*words: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words], input=stdin, catch_exceptions=False)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "my.jsonl"
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in ROWS), encoding="utf-8")
    return path


def test_help_names_every_verb() -> None:
    said = sinoner("--help").output
    for verb in VERBS:
        assert f"\n  {verb} " in said
    for later in ("demo", "import", "export"):
        assert f"\n  {later} " not in said


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    result = sinoner(verb, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_help_of_a_verb_lists_its_settings() -> None:
    said = " ".join(sinoner("finetune", "--help").output.split())
    assert "train.lr peak learning rate [default: 5e-05]" in said
    assert "corpus.max_tokens" not in said


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom sinoner.cli.app import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'openai', 'pandas', 'pyarrow', 'numpy', 'jieba', 'faiss', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_version() -> None:
    from sinoner import __version__

    assert sinoner("--version").output.strip() == f"sinoner {__version__}"


def test_verbs_one_by_one(corpus: Path, tmp_path: Path, tiny_llama: Path) -> None:
    run = tmp_path / "run"
    said = sinoner("annotate", corpus, "--out", run, "--by", "jieba", "--json")
    assert said.exit_code == 0, said.output
    state = json.loads(said.stdout)
    assert state["stages"]["annotate"]["counts"]["passage"] == {"in": 4, "out": 4, "rejected": 0}
    said = sinoner("build-it-set", run, "retrieve.strategy=random", "it_set.validation=0")
    assert said.exit_code == 0, said.output
    assert (run / "it_set/dataset_info.json").is_file()
    said = sinoner("finetune", run, "--base", tiny_llama, "train.epochs=1", "train.dtype=float32")
    assert said.exit_code == 0, said.output
    assert (run / "adapter/adapter_model.safetensors").is_file()
    gold = tmp_path / "gold.jsonl"
    entities = [{"start": 0, "end": 2, "type": "人名", "text": "周杰"}]
    gold.write_text(
        json.dumps({"id": "g", "text": "周杰在杭州。", "entities": entities}, ensure_ascii=False) + "\n"
    )
    said = sinoner("evaluate", run, "--benchmark", gold, "evaluate.max_new_tokens=8", "--json")
    assert said.exit_code == 0, said.output
    scores = json.loads(said.stdout)["scores"]
    assert {(s["model"], s["examples"]) for s in scores} == {
        (m, e) for m in ("base", "tuned") for e in (True, False)
    }
    assert all(s["gold"] == 1 and s["queries"] == 1 for s in scores)
    assert (run / "eval/gold/tuned-examples/predictions.jsonl").is_file()
    assert (run / "eval/examples.json").is_file()
    assert "eval/examples.json" in Manifest(run).entries["evaluate"].outputs
    said = sinoner("evaluate", run, "evaluate.examples=[false]", "evaluate.models=[tuned]")
    assert said.exit_code == 0, said.output
    assert not (run / "eval/examples.json").exists()
    said = sinoner("publish", run, "--dry-run")
    assert said.exit_code == 0, said.output
    assert (run / "publish/dataset/README.md").is_file()
    assert (run / "publish/model/adapter_config.json").is_file()
    assert str(tmp_path) not in (run / "publish/model/adapter_config.json").read_text()
    said = sinoner("report", run)
    assert said.exit_code == 0, said.output
    assert "report.html" in said.stderr
    again = sinoner("finetune", run)
    assert "finetune: unchanged, skipped" in again.stderr
    said = sinoner("predict", run, "--types", "人名，地点", stdin="张伟在北京。\n\n")
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["text"] == "张伟在北京。"


def test_publish_needs_a_repository(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    sinoner("annotate", corpus, "--out", run, "--by", "jieba")
    sinoner("build-it-set", run, "retrieve.strategy=none")
    said = sinoner("publish", run)
    assert said.exit_code == 2
    assert "--dataset-repo OWNER/NAME" in said.stderr
    said = sinoner("publish", run, "--model-repo", "me/model")
    assert said.exit_code == 2
    assert "sinoner finetune" in said.stderr


def test_recipe_runs_up_to_the_verb(corpus: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("corpus: {sources: my.jsonl}\nannotate: {by: jieba}\nretrieve: {strategy: none}\n")
    said = sinoner("filter", recipe, f"out={tmp_path / 'run'}")
    assert said.exit_code == 0, said.output
    assert (tmp_path / "run/filtered.jsonl").is_file()
    assert not (tmp_path / "run/neighbours.jsonl").exists()


def test_flags_reach_the_settings(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said = sinoner("chunk", corpus, "--out", run, "--limit", 2, "--lang", "zh")
    assert said.exit_code == 0, said.output
    assert len((run / "passages.jsonl").read_text("utf-8").splitlines()) == 2


def test_doctor(tmp_path: Path) -> None:
    said = sinoner("doctor")
    assert said.exit_code == 0
    assert "torch [train]" in said.output
    rows = json.loads(sinoner("doctor", "--json").stdout)
    assert {"what", "found", "ok", "remedy"} == set(rows[0])


def test_benchmarks_list_and_convert(tmp_path: Path) -> None:
    assert "boson" in sinoner("benchmarks", "list").output
    assert {r["name"] for r in json.loads(sinoner("benchmarks", "list", "--json").stdout)} >= {
        "msra",
        "weibo",
    }
    native = tmp_path / "a.bio"
    native.write_text("张\tB-PER\n伟\tI-PER\n在\tO\n北\tB-LOC\n京\tI-LOC\n\n")
    (tmp_path / "labels.in.json").write_text('{"PER": "人名", "LOC": "地点"}')
    said = sinoner(
        "benchmarks", "convert", native, tmp_path / "gold/test.jsonl", "--format", "bio", "--lang", "zh",
        "--labels", tmp_path / "labels.in.json",
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    row = json.loads((tmp_path / "gold/test.jsonl").read_text("utf-8"))
    assert row["text"] == "张伟在北京"
    assert [e["type"] for e in row["entities"]] == ["人名", "地点"]
    said = sinoner("benchmarks", "convert", native, tmp_path / "x.jsonl", "--format", "bioo")
    assert said.exit_code == 2
    assert "bio" in said.stderr


def test_a_limit_of_an_earlier_try_does_not_linger(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    sinoner("chunk", corpus, "--out", run, "--limit", 2)
    monkeypatch.chdir(tmp_path)
    assert sinoner("annotate", "my.jsonl", "--out", run, "--by", "jieba").exit_code == 0
    assert len((run / "passages.jsonl").read_text("utf-8").splitlines()) == 4
    monkeypatch.chdir(run)  # the run folder knows its corpus from anywhere
    assert "chunk: unchanged, skipped" in sinoner("annotate", run).stderr


def test_the_model_card_tells_what_was_trained_on(corpus: Path, tmp_path: Path, tiny_llama: Path) -> None:
    run = tmp_path / "run"
    sinoner("annotate", corpus, "--out", run, "--by", "jieba")
    sinoner("build-it-set", run, "retrieve.strategy=none", "it_set.validation=0")
    sinoner(
        "finetune",
        run,
        "--base",
        tiny_llama,
        "train.epochs=1",
        "train.dtype=float32",
        "train.max_conversations=3",
    )
    assert sinoner("publish", run, "--dry-run").exit_code == 0
    assert "| train | 4 |" in (run / "publish/dataset/README.md").read_text("utf-8")
    assert "3" in next(
        x for x in (run / "publish/model/README.md").read_text("utf-8").splitlines() if "uned on" in x
    )


def test_settings_of_an_earlier_command_do_not_work_unseen(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert "settings kept" not in sinoner("annotate", corpus, "--out", run, "--by", "jieba").stderr
    assert "settings kept" not in sinoner("filter", run, "filter.max_chars=7").stderr
    again = " ".join(sinoner("filter", run, "filter.max_words=9").stderr.split())
    assert f"settings from {run}/recipe.yaml: filter.max_chars=7" in again
    assert "filter.max_words=9" not in again
