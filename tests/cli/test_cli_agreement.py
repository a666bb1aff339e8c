"""The verb agreement, and what the filter makes of samples, on the real command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from sinoner.cli.app import app

ROWS = [
    ("张伟在北京大学教书。", [("张伟", "人名"), ("北京大学", "组织机构")]),
    ("李娜去年在深圳工作。", [("李娜", "人名"), ("深圳", "地点")]),
    ("王强在广州上班。", [("王强", "人名"), ("广州", "地点")]),
]


def sinoner(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words], env={"COLUMNS": "120"}, catch_exceptions=False)


def hand_made(path: Path, names: dict[str, str], rows: list[Any] = ROWS) -> Path:
    """Gold of the rows, with some types under other names."""
    path.write_text(
        "".join(
            json.dumps(
                {
                    "id": f"d{i}",
                    "text": text,
                    "entities": [
                        {
                            "start": text.index(s),
                            "end": text.index(s) + len(s),
                            "type": names.get(t, t),
                            "text": s,
                        }
                        for s, t in mentions
                    ],
                },
                ensure_ascii=False,
            )
            + "\n"
            for i, (text, mentions) in enumerate(rows)
        ),
        encoding="utf-8",
    )
    return path


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """A run with hand-made labels, and one of jieba on the same texts."""
    corpus = hand_made(tmp_path / "my.jsonl", {})
    hand, machine = tmp_path / "hand", tmp_path / "jieba"
    assert sinoner("annotate", corpus, "--out", hand, "--by", "jieba", "--lang", "zh").exit_code == 0
    done = sinoner(
        "annotate", corpus, "--out", machine, "--by", "jieba", "--lang", "zh", "annotate.keep_human=false"
    )
    assert done.exit_code == 0, done.output
    return hand, machine


def refused(result: Result) -> str:
    """The one line of a mistake."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("sinoner: ")
    return line


def test_two_runs(runs: tuple[Path, Path]) -> None:
    done = sinoner("agreement", *runs)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert "Krippendorff's alpha on 28 characters: " in done.stderr
    assert f"for review: {runs[0] / 'quality' / 'disagreements.csv'}" in done.stderr
    assert {p.name for p in (runs[0] / "quality").iterdir()} == {
        "agreement.json",
        "disagreements.jsonl",
        "disagreements.csv",
    }


def test_json_alone_stands_on_stdout(runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = sinoner("agreement", *runs, "--json", "--out", tmp_path / "out")
    assert json.loads(done.stdout) == json.loads((tmp_path / "out" / "agreement.json").read_text("utf-8"))
    assert "alpha" in done.stderr
    assert not (runs[0] / "quality").exists()


def test_types_are_compared_through_the_table(runs: tuple[Path, Path], tmp_path: Path) -> None:
    names = ({"人名": "人物"}, {"人名": "PERSON"})
    files = [hand_made(tmp_path / f"{i}.jsonl", renamed) for i, renamed in enumerate(names)]
    raw, aligned = (
        json.loads(sinoner("agreement", runs[0], *files, "--json", *more).stdout)
        for more in ((), ("--align-types",))
    )
    assert [p["f1"] for p in raw["pairs"]] == [50, 50, 50]
    assert [p["span_f1"] for p in raw["pairs"]] == [100, 100, 100]
    assert [p["f1"] for p in aligned["pairs"]] == [100, 100, 100]
    assert (aligned["alpha"], aligned["disagreements"]) == (1, 0)
    assert aligned["types"][0]["type"] == "人名"


def test_wrong_input_is_one_line(runs: tuple[Path, Path], tmp_path: Path) -> None:
    hand, machine = runs
    other = hand_made(tmp_path / "other.jsonl", {}, [("周杰在杭州。", [("周杰", "人名")])])
    assert "nothing to compare" in refused(sinoner("agreement", hand))
    assert "is given twice" in refused(sinoner("agreement", hand, hand))
    assert "no passage was annotated by all of them (4 by some)" in refused(sinoner("agreement", hand, other))
    assert "no such run folder or file" in refused(sinoner("agreement", hand, tmp_path / "no"))
    assert "no such run folder or file" in refused(sinoner("agreement", tmp_path / "no"))
    assert "--layer raw: must be annotations or filtered" in refused(
        sinoner("agreement", *runs, "--layer", "raw")
    )
    assert "run sinoner filter" in refused(sinoner("agreement", *runs, "--layer", "filtered"))
    assert "give --out FOLDER" in refused(sinoner("agreement", other, tmp_path / "my.jsonl"))
    assert not list((hand / "quality").iterdir())
    assert not (machine / "quality").exists()


def test_the_filtered_layer(runs: tuple[Path, Path]) -> None:
    for run in runs:
        assert sinoner("filter", run, "filter.rules=[too_long]", "filter.max_chars=2").exit_code == 0
    done = sinoner("agreement", *runs, "--layer", "filtered", "--json")
    assert done.exit_code == 0, done.output
    assert "组织机构" not in [t["type"] for t in json.loads(done.stdout)["types"]]


BY = {"source": "llm", "model": "m", "prompt": "extract.zh.v1"}


def write_samples(run: Path, second_drops: str) -> None:
    """Two answers per passage; the second does not have one mention."""
    lines = []
    for line in (run / "annotations.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        lines.append({**row, "by": BY})
        fewer = [e for e in row["entities"] if e["surface"] != second_drops]
        lines.append({**row, "entities": fewer, "by": {**BY, "sample": 1}})
    (run / "samples.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines), encoding="utf-8"
    )


def test_the_filter_measures_samples(runs: tuple[Path, Path]) -> None:
    run, _ = runs
    figures = run / "quality" / "agreement.json"
    assert sinoner("filter", run).exit_code == 0
    assert not figures.exists()
    write_samples(run, "深圳")
    assert sinoner("filter", run).exit_code == 0
    by_filter = json.loads(figures.read_text("utf-8"))
    assert by_filter["annotators"] == ["m@extract.zh.v1", "m@extract.zh.v1#2"]
    assert (by_filter["passages"], by_filter["disagreements"]) == (3, 1)
    assert by_filter["pairs"][0]["f1"] == 90.91
    done = sinoner("agreement", run, "--json")
    assert json.loads(done.stdout) == by_filter
    assert "m@extract.zh.v1#2" in sinoner("report", run).output + (run / "report.html").read_text("utf-8")
    write_samples(run, "nothing")
    assert sinoner("filter", run).exit_code == 0
    assert json.loads(figures.read_text("utf-8"))["alpha"] == 1


def test_votes_and_agreement_go_together(runs: tuple[Path, Path]) -> None:
    run, _ = runs
    write_samples(run, "深圳")
    assert sinoner("filter", run, "filter.min_votes=2").exit_code == 0
    assert "深圳" not in [
        e["surface"]
        for line in (run / "filtered.jsonl").read_text("utf-8").splitlines()
        for e in json.loads(line)["entities"]
    ]
    assert json.loads((run / "quality" / "agreement.json").read_text("utf-8"))["disagreements"] == 1
