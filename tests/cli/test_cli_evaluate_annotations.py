"""``sinoner evaluate --annotations``, and a run that its gate stops, on the real command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from sinoner.cli.app import app

ROWS = [
    ("张伟在北京大学教书。", [("张伟", "人名"), ("北京大学", "组织名称")]),
    ("李娜去年在深圳工作。", [("李娜", "人名"), ("深圳", "地点名称")]),
    ("王强在广州上班。", [("王强", "人名"), ("广州", "地点名称")]),
]


def sinoner(*words: object) -> Result:
    env = {"COLUMNS": "200"}
    return CliRunner().invoke(app, [str(w) for w in words], env=env, catch_exceptions=False)


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return lines(tmp_path / "my.jsonl", [{"id": f"d{i}", "text": text} for i, (text, _) in enumerate(ROWS)])


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    """Gold of the first two texts, and of one that is not in the corpus."""
    rows = [
        {
            "id": f"g{i}",
            "text": text,
            "entities": [
                {"start": text.index(s), "end": text.index(s) + len(s), "type": t, "text": s}
                for s, t in mentions
            ],
        }
        for i, (text, mentions) in enumerate([*ROWS[:2], ("周杰在杭州。", [("周杰", "人名")])])
    ]
    return lines(tmp_path / "hand.jsonl", rows)


@pytest.fixture
def annotated(corpus: Path, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    said = sinoner("annotate", corpus, "--out", run, "--by", "jieba")
    assert said.exit_code == 0, said.output
    return run


def refused(result: Result) -> str:
    """The one line of a mistake."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("sinoner: ")
    return line.removeprefix("sinoner: ")


def test_a_run_folder_against_gold(annotated: Path, gold: Path) -> None:
    said = sinoner("evaluate", "--annotations", annotated, "--gold", gold, "--json")
    assert said.exit_code == 0, said.output
    printed = json.loads(said.stdout)
    (layer,) = printed["scores"]
    assert (layer["layer"], layer["passages"], layer["scored"], layer["missing"]) == ("annotations", 3, 2, 1)
    assert [s["scheme"] for s in layer["scores"]] == ["strict", "span", "type", "relaxed"]
    assert all(s["low"] is not None for s in layer["scores"])
    assert layer["aligned"]
    assert json.loads((annotated / "quality/gold.json").read_text("utf-8")) == printed
    for words in (
        "gold: hand, 3 passages",
        "2 scored, 1 not in the run",
        "relaxed",
        "by type (strict, %)",
        "地点名称",
    ):
        assert words in said.stderr
    assert "annotations" in said.stderr


def test_every_layer_of_a_filtered_run(annotated: Path, gold: Path) -> None:
    assert sinoner("filter", annotated, "filter.rules=[too_long]", "filter.max_chars=2").exit_code == 0
    said = sinoner("evaluate", "--annotations", annotated, "--gold", gold, "evaluate.bootstrap=0", "--json")
    layers = json.loads(said.stdout)["scores"]
    assert [s["layer"] for s in layers] == ["annotations", "filtered"]
    assert layers[0]["scores"][0]["predicted"] > layers[1]["scores"][0]["predicted"]  # 北京大学 is longer
    assert all(s["low"] is None for layer in layers for s in layer["scores"])


def test_types_through_the_table_or_as_written(annotated: Path, gold: Path) -> None:
    words = ("evaluate", "--annotations", annotated, "--gold", gold, "--json")
    aligned, raw = sinoner(*words), sinoner(*words, "--raw-types")
    strict = [json.loads(r.stdout)["scores"][0]["scores"][0]["correct"] for r in (aligned, raw)]
    assert strict[0] > strict[1]  # 地点 is 地点名称 in the table
    assert "types as written" in raw.stderr
    assert "3 mentions of 3 types that gold does not have count as wrong" in raw.stderr


def test_a_file_of_annotations(annotated: Path, gold: Path, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.jsonl"
    file.write_bytes((annotated / "annotations.jsonl").read_bytes())
    by_file = sinoner("evaluate", "--annotations", file, "--gold", gold, "--json")
    by_run = sinoner("evaluate", "--annotations", annotated, "--gold", gold, "--json")
    assert by_file.exit_code == 0, by_file.output
    assert json.loads(by_file.stdout) == json.loads(by_run.stdout)
    assert {p.name for p in tmp_path.iterdir()} == {"elsewhere.jsonl", "hand.jsonl", "my.jsonl", "run"}


def test_settings_are_heeded_with_and_without_a_run(annotated: Path, gold: Path) -> None:
    for given in (annotated, annotated / "annotations.jsonl"):
        words = ("evaluate", "--annotations", given, "--gold", gold, "--json")
        same = [sinoner(*words, "filter.align_types=false").stdout, sinoner(*words, "--raw-types").stdout]
        assert same[0] == same[1]
        assert "bootstap" in refused(sinoner(*words, "evaluate.bootstap=3"))


def test_hand_made_labels_of_the_corpus_are_told(gold: Path, tmp_path: Path) -> None:
    run = tmp_path / "again"
    assert sinoner("annotate", gold, "--out", run, "--by", "jieba").exit_code == 0
    said = sinoner("evaluate", "--annotations", run, "--gold", gold)
    assert "3 of the 3 scored passages carry hand-made labels" in said.stderr
    assert "annotate.keep_human=false" in said.stderr
    sinoner("annotate", gold, "--out", run, "--by", "jieba", "annotate.keep_human=false")
    assert "hand-made" not in sinoner("evaluate", "--annotations", run, "--gold", gold).stderr


def test_wrong_combinations_are_one_line(annotated: Path, gold: Path, tmp_path: Path) -> None:
    both = ("evaluate", "--annotations", annotated, "--gold", gold)
    assert "needs --gold FILE" in refused(sinoner("evaluate", "--annotations", annotated))
    assert "--gold requires --annotations" in refused(sinoner("evaluate", annotated, "--gold", gold))
    assert "--raw-types requires --annotations" in refused(sinoner("evaluate", annotated, "--raw-types"))
    assert "give RECIPE|RUN" in refused(sinoner("evaluate"))
    assert "give only one of the two" in refused(sinoner("evaluate", annotated, *both[1:]))
    for flag in (("--benchmark", gold), ("--base", "m"), ("--limit", 2), ("--force",)):
        assert f"{flag[0]} applies to scoring models" in refused(sinoner(*both, *flag))
    assert "no such run folder or file" in refused(
        sinoner("evaluate", "--annotations", tmp_path / "no", "--gold", gold)
    )
    assert "no such gold file" in refused(
        sinoner("evaluate", "--annotations", annotated, "--gold", "no.jsonl")
    )
    assert "my.jsonl:1: not a" in refused(
        sinoner("evaluate", "--annotations", tmp_path / "my.jsonl", "--gold", gold)
    )


def test_texts_that_are_not_in_the_run(annotated: Path, tmp_path: Path) -> None:
    entity = {"start": 0, "end": 2, "type": "人名", "text": "周杰"}
    other = lines(tmp_path / "other.jsonl", [{"id": "g", "text": "周杰在杭州。", "entities": [entity]}])
    said = refused(sinoner("evaluate", "--annotations", annotated, "--gold", other))
    assert "none of the 1 texts of other" in said
    assert "“周杰在杭州。”" in said
    assert "“张伟在北京大学教书。”" in said


def test_a_recipe_whose_gate_closes(corpus: Path, gold: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "corpus: {sources: my.jsonl}\nannotate: {by: jieba}\nretrieve: {strategy: none}\n"
        f"out: {tmp_path / 'gated'}\nfilter: {{gold: hand.jsonl, require: {{gold_f1: 0.99}}}}\n",
        encoding="utf-8",
    )
    said = sinoner("run", recipe)
    assert said.exit_code == 2, said.output
    assert said.stderr.splitlines()[-1].startswith("sinoner: filter.require: gold_f1 is ")
    assert "99 % are required" in said.stderr
    assert "Traceback" not in said.output
    run = tmp_path / "gated"
    assert json.loads((run / "quality/gold.json").read_text("utf-8"))["gold"] == "hand"
    assert (run / "report.html").is_file()
    assert not (run / "neighbours.jsonl").exists()
    assert not (run / "adapter").exists()
    for verb in (("filter", run), ("build-it-set", run), ("finetune", run, "--base", "smollm2")):
        again = sinoner(*verb)
        assert again.exit_code == 2
        assert "99 % are required" in again.stderr
    assert sinoner("filter", run, "filter.require={gold_f1: 0.01}").exit_code == 0


def test_require_without_gold_is_told_by_check_and_run(corpus: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"corpus: {{sources: my.jsonl}}\nannotate: {{by: jieba}}\nout: {tmp_path / 'never'}\n"
        "filter:\n  require: {gold_f1: 0.5}\n",
        encoding="utf-8",
    )
    for verb in ("check", "run"):
        assert "r.yaml:5: filter.require: needs filter.gold" in refused(sinoner(verb, recipe))
    assert not (tmp_path / "never").exists()
    recipe.write_text(recipe.read_text("utf-8") + "  gold: nowhere.jsonl\n", encoding="utf-8")
    for verb in ("check", "run"):
        assert "nowhere.jsonl: no such gold file" in refused(sinoner(verb, recipe))
    assert not (tmp_path / "never").exists()
