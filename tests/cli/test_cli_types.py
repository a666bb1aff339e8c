"""The verb types, from a corpus with hand-made types to filtered annotations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fault_server import FaultServer
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


# an embeddings API ------------------------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    with FaultServer() as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        yield server


def asking(run: Path, server: FaultServer, *more: str) -> Result:
    text = (run / "annotations.jsonl").read_text(encoding="utf-8").replace("地名", "某处名目")
    (run / "annotations.jsonl").write_text(text, encoding="utf-8")
    api = ("retrieve.embedder=openai", "retrieve.model_zh=m", f"retrieve.base_url={server.url}")
    return sinoner("types", run, *api, *more, "--json")


def test_an_api_embeds_names_of_types_once(run: Path, server: FaultServer) -> None:
    done = asking(run, server)
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)["langs"]
    assert row["threshold"] is not None
    stats = server.stats()
    assert stats["embedded"] > 200  # the table's names, to know what is near
    assert (run / "ledger.sqlite").is_file()
    assert "types: " in done.stderr
    assert "retrieve: " not in done.stderr
    again = asking(run, server, "--force")
    assert again.exit_code == 0
    assert again.stdout == done.stdout
    assert server.stats()["calls"] == stats["calls"]


def test_it_has_the_budget_of_annotating(run: Path, server: FaultServer) -> None:
    stopped = asking(run, server, "annotate.max_tokens=300", "llm.concurrency=1", "retrieve.batch_size=8")
    assert stopped.exit_code == 75
    assert "the budget is used up" in stopped.stderr
    assert "--no-embed" not in stopped.stderr
    assert server.stats()["prompt_tokens"] <= 300
    assert not (run / "types.yaml").exists()
    done = asking(run, server, "annotate.max_tokens=100000", "retrieve.batch_size=8")
    assert done.exit_code == 0
    assert server.stats()["embedded_again"] == 0


def test_an_api_that_refuses_is_one_line_that_says_how_to_do_without(run: Path, server: FaultServer) -> None:
    done = asking(run, server, "retrieve.model_zh=unknown")
    assert done.exit_code == 2
    assert "or give --no-embed" in done.stderr
    assert "Traceback" not in done.output
    assert not (run / "types.yaml").exists()
