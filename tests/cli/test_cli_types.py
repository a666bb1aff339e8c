"""The verb types, from a corpus with hand-made types to filtered annotations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from sinoner.cli.app import app


def sinoner(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)


def rows() -> list[dict[str, object]]:
    people = [("张伟", "人物"), ("李娜", "姓名"), ("王强", "人名")]
    return [
        {
            "id": f"d{i}",
            "text": f"{name}昨天在北京的公司里工作了一整天。",
            "entities": [
                {"start": 0, "end": 2, "type": kind, "text": name},
                {"start": 5, "end": 7, "type": "地名", "text": "北京"},
            ],
        }
        for i, (name, kind) in enumerate(people)
    ]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    corpus = tmp_path / "my.jsonl"
    corpus.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows()), encoding="utf-8")
    folder = tmp_path / "run"
    assert sinoner("annotate", corpus, "--out", folder, "--lang", "zh").exit_code == 0
    return folder


def test_types_are_proposed_edited_and_applied(run: Path) -> None:
    done = sinoner("types", run, "--no-embed", "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert [(row["lang"], row["before"], row["after"], row["by_table"]) for row in told["langs"]] == [
        ("zh", 4, 2, 3)
    ]
    assert "4 → 2" in done.stderr
    path = run / "types.yaml"
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == {
        "zh": {"人名": ["人物", "姓名"], "地点": ["地名"]}
    }
    path.write_text(path.read_text(encoding="utf-8").replace("人名:", "人员:"), encoding="utf-8")
    assert sinoner("filter", run).exit_code == 0
    kept = [json.loads(line) for line in (run / "filtered.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(e["type"], e.get("original_type")) for e in kept[0]["entities"]] == [
        ("人员", "人物"),
        ("地点", "地名"),
    ]
    assert [e["type"] for e in kept[2]["entities"]] == ["人名", "地点"]


def test_a_mistake_in_the_file_is_one_line(run: Path) -> None:
    (run / "types.yaml").write_text("zh:\n  人名: [人物]\n  角色: [人物]\n", encoding="utf-8")
    for verb in ("types", "filter"):
        done = sinoner(verb, run)
        assert done.exit_code == 2
        assert "types.yaml:3: '人物' is a variant of '角色' and of '人名' (line 2); keep one" in done.stderr
        assert "Traceback" not in done.output


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    done = sinoner("types", tmp_path)
    assert done.exit_code == 2
    assert "is not a run folder" in done.stderr


def test_an_embedder_that_cannot_be_used_says_how_to_do_without(run: Path, tmp_path: Path) -> None:
    text = (run / "annotations.jsonl").read_text(encoding="utf-8").replace("地名", "某处名目")
    (run / "annotations.jsonl").write_text(text, encoding="utf-8")
    done = sinoner("types", run, f"retrieve.model_zh={tmp_path / 'none'}")
    assert done.exit_code == 2
    assert "or give --no-embed" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sinoner("types", run, "--no-embed").exit_code == 0
