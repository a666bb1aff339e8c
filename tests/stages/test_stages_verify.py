"""The stage verify: after the filter, through the ledger of the run; nothing lost or paid twice whatever stops it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asking import end
from fault_server import FaultServer
from rich.console import Console
from small_runs import named

from sinoner import disk
from sinoner import recipe as recipes
from sinoner.commands import run_recipe as runs
from sinoner.commands.check import problems
from sinoner.errors import InputError
from sinoner.records import Annotation, Reject
from sinoner.report.labels import reason
from sinoner.run.layout import FILTERED, VERIFIED, kept
from sinoner.run.manifest import Entry, Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Options, plural
from sinoner.settings import Recipe
from sinoner.stages import flow
from sinoner.stages.verify import VERIFY

STAGES = ("chunk", "annotate", "filter", "verify")
JUDGE = "filter.verify=true"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-stand-in")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture(scope="module")
def one() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def server(one: FaultServer) -> FaultServer:
    return one.fresh(record=True)


def labelled(n: int, more: str = "") -> dict[str, object]:
    """A text with three entities that its corpus brings along: the judge upholds one, renames one, drops one."""
    text = f"王明昨天在上海的第{n}街上班{more}。"
    marks = [("王明", "人名"), ("上海", "地点"), (f"第{n}街", "街道")]
    entities = [
        {"start": text.index(m), "end": text.index(m) + len(m), "text": m, "type": t} for m, t in marks
    ]
    return {"id": f"d{n}", "text": text, "entities": entities}


def corpus(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "corpus.jsonl"
    disk.write_rows(path, rows)
    return path


def recipe(source: Path, out: Path, server: FaultServer, *overrides: str) -> Recipe:
    tree = {
        "corpus": {"sources": str(source)},
        "annotate": {"by": "jieba"},
        "filter": {"decontaminate": False},
        "llm": {"base_url": server.url, "model": "m", "output": "text", "max_attempts": 1},
        "out": str(out),
    }
    return recipes.build(tree, overrides)


def execute(
    settings: Recipe, stages: tuple[str, ...] = STAGES, force: bool = False, options: Options | None = None
) -> str:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(width=300, record=True, file=nowhere)
        runs.execute(settings, named(*stages), Screen(console), force=force, summary=False, options=options)
    return console.export_text()


def verified(run: Path) -> list[Annotation]:
    return list(disk.read_records(run / VERIFIED, Annotation))


def entry(run: Path) -> Entry:
    return Manifest(run).entries["verify"]


def pairs(annotation: Annotation) -> list[tuple[str, str]]:
    return [(e.surface, e.type) for e in annotation.entities]


def test_entities_are_judged_after_the_filter(server: FaultServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = recipe(corpus(tmp_path, *(labelled(n) for n in range(6))), run, server, JUDGE)
    said = execute(settings)
    assert kept(settings, run) == run / VERIFIED
    before = list(disk.read_records(run / FILTERED, Annotation))
    after = verified(run)
    assert [a.passage for a in after] == [a.passage for a in before]
    assert [pairs(a) for a in after] == [[("王明", "人名"), ("上海", "城市")]] * 6
    assert {a.entities[1].original_type for a in after} == {"地点"}
    assert {a.by.label for a in after} == {"human+verify:m"}
    rejects = list(disk.read_records(run / "rejects" / "verify.jsonl", Reject))
    assert [(r.id, r.reason, r.detail) for r in rejects] == [
        (f"d{n}#0", "judged_wrong", f"第{n}街 (街道)") for n in range(6)
    ]
    assert reason("judged_wrong") is not None
    sums = [
        sum(len(json.loads(line)["entities"]) for line in path.read_bytes().splitlines())
        for path in (run / FILTERED, run / VERIFIED)
    ]
    lines = [json.loads(line) for line in (run / "rejects" / "verify.jsonl").read_bytes().splitlines()]
    assert sums[0] == sums[1] + sum((r["unit"] == "entity") + r["entities"] for r in lines)
    counts = {unit: (c.in_, c.out, c.rejected) for unit, c in entry(run).counts.items()}
    assert counts == {"passage": (6, 6, 0), "entity": (18, 12, 6)}
    assert entry(run).made["retyped_entity"] == 6
    assert entry(run).made["ledger_answer"] == 6
    assert "verify: 6 done, 0 failed, 0 waiting (6 answers in this run" in said
    assert "6 retyped entities" in said


def test_a_run_annotated_without_a_model_is_judged_by_one(server: FaultServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    source = corpus(tmp_path, {"id": "a", "text": "李娜去年在深圳工作，王强在广州的中国银行上班。"})
    execute(recipe(source, run, server, JUDGE, "filter.verify_model=judge"))
    (annotation,) = verified(run)
    assert annotation.by.label == "jieba+verify:judge"
    assert ("深圳", "城市") in pairs(annotation)  # jieba says 地名
    assert {body["model"] for body in server.requests()} == {"judge"}
    with sqlite3.connect(run / "ledger.sqlite") as db:
        assert db.execute("SELECT COUNT(*) FROM runs WHERE kind = 'annotate'").fetchone() == (0,)
    db.close()


def test_nothing_changed_means_nothing_asked(server: FaultServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = recipe(corpus(tmp_path, *(labelled(n) for n in range(3))), run, server, JUDGE)
    execute(settings)
    data = (run / VERIFIED).read_bytes()
    assert "verify: unchanged, skipped" in execute(settings)
    execute(settings, force=True)
    assert server.stats()["calls"] == 3
    assert (run / VERIFIED).read_bytes() == data


def test_another_judge_is_asked_only_by_a_new_run(server: FaultServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    source = corpus(tmp_path, *(labelled(n) for n in range(3)))
    execute(recipe(source, run, server, JUDGE))
    other = recipe(source, run, server, JUDGE, "filter.verify_model=judge2", "annotate.domain=新闻")
    with pytest.raises(InputError, match="its 3 verdicts were given under other settings") as refused:
        execute(other)
    lines = str(refused.value).splitlines()
    assert lines[1:-1] == ["  filter.verify_model: 'm' → 'judge2'", "  annotate.domain: None → '新闻'"]
    assert lines[-1] == "go back to those, or ask again with --new-run (the old verdicts stay in the ledger)"
    assert server.stats()["calls"] == 3
    execute(recipe(source, run, server, JUDGE))  # back to those
    assert server.stats()["calls"] == 3
    execute(other, options=Options(new_run=True))
    assert server.stats()["calls"] == 6
    assert {body["model"] for body in server.requests()} == {"m", "judge2"}
    execute(recipe(source, run, server, JUDGE))  # both are known now
    assert server.stats()["calls"] == 6


def test_without_verify_there_is_no_stage(server: FaultServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = recipe(corpus(tmp_path, labelled(0)), run, server)
    assert "verify" not in execute(settings)
    assert not (run / VERIFIED).exists()
    assert kept(settings, run) == run / FILTERED
    assert server.stats()["calls"] == 0
    names = [stage.name for stage in flow.STAGES]
    assert names.index("verify") == names.index("filter") + 1
    assert VERIFY in flow.OWN["filter"]
    assert VERIFY in flow.OWN["build-it-set"]


def test_what_the_server_failed_at_stays_and_is_asked_again_by_the_next_run(
    server: FaultServer, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    rows = [labelled(0), labelled(1, "⟦http_500*1⟧"), labelled(2)]
    settings = recipe(corpus(tmp_path, *rows), run, server, JUDGE)
    said = execute(settings)
    assert "2 done, 1 failed" in said
    assert "their entities stay; the next run asks again" in said
    assert "passages not judged" in said
    assert [len(a.entities) for a in verified(run)] == [2, 3, 2]
    assert verified(run)[1].by.label == "human"
    assert entry(run).made["passage_not_judged"] == 1
    assert entry(run).made["entity_not_judged"] == 3
    said = execute(settings)
    assert "filter: unchanged, skipped" in said
    assert [len(a.entities) for a in verified(run)] == [2, 2, 2]
    assert server.stats()["calls"] == 4
    assert "verify: unchanged, skipped" in execute(settings)


def test_a_refusal_is_an_answer_and_asked_again_only_by_force(server: FaultServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    rows = [labelled(0), labelled(1, "⟦content_filter_zh⟧")]
    settings = recipe(corpus(tmp_path, *rows), run, server, JUDGE)
    execute(settings)
    assert [len(a.entities) for a in verified(run)] == [2, 3]
    assert "verify: unchanged, skipped" in execute(settings)
    assert server.stats()["calls"] == 2
    execute(settings, force=True)
    assert server.stats()["calls"] == 3


def test_when_no_entity_is_left_nobody_is_asked(server: FaultServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    source = corpus(tmp_path, {"id": "a", "text": "今天的天气很好，适合散步。", "entities": []})
    execute(recipe(source, run, server, JUDGE, "llm.model=null"))
    assert [a.by.label for a in verified(run)] == ["human"]
    assert server.stats()["calls"] == 0


def test_without_a_model_the_line_says_what_to_set(server: FaultServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    source = corpus(tmp_path, labelled(0))
    execute(recipe(source, run, server), STAGES[:3])
    with pytest.raises(
        InputError, match=r"filter\.verify: no model judges; set filter\.verify_model or llm\.model"
    ):
        execute(recipe(source, run, server, JUDGE, "llm.model=null"))
    assert not runs.of_folder(run).filter.verify  # refused settings are not what the next command uses
    assert not (run / VERIFIED).exists()


def test_the_ledger_of_annotating_takes_the_questions_of_the_judge(
    server: FaultServer, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    source = corpus(tmp_path, *({"id": f"d{n}", "text": f"王明昨天在上海的第{n}街上班。"} for n in range(3)))
    by_llm = ("annotate.by=llm", JUDGE, "annotate.mode=online")
    execute(recipe(source, run, server, *by_llm))
    assert [a.by.label for a in verified(run)] == ["m@extract.zh.v1+verify:m"] * 3
    assert server.stats()["calls"] == 6
    other = recipe(source, run, server, *by_llm, "filter.verify_model=n")
    execute(other, force=True, options=Options(new_run=True))  # no question of annotating changed
    assert server.stats()["calls"] == 9
    assert Manifest(run).entries["annotate"].made["ledger_answer"] == 6


def test_batch_mode_is_for_annotating_only(server: FaultServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said = execute(recipe(corpus(tmp_path, labelled(0)), run, server, JUDGE, "annotate.mode=batch"))
    assert "verify: sends requests online; annotate.mode=batch applies to annotation only" in said
    assert (server.stats()["calls"], server.stats()["batch_lines"]) == (1, 0)


def test_better_types_go_by_the_names_of_the_types_file(server: FaultServer, tmp_path: Path) -> None:
    run = tmp_path / "run"
    source = corpus(tmp_path, labelled(0))
    types = tmp_path / "types.yaml"
    types.write_text("zh:\n  都会:\n    - 城市\n", encoding="utf-8")
    execute(recipe(source, run, server, JUDGE, f"filter.types={types}"))
    assert pairs(verified(run)[0]) == [("王明", "人名"), ("上海", "都会")]
    types.write_text("zh:\n  都市:\n    - 城市\n", encoding="utf-8")
    execute(recipe(source, run, server, JUDGE, f"filter.types={types}"))
    assert pairs(verified(run)[0]) == [("王明", "人名"), ("上海", "都市")]
    assert server.stats()["calls"] == 1


def test_what_a_recipe_lacks_for_the_judge_is_told_before_it_runs(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, run = corpus(tmp_path, labelled(0)), tmp_path / "run"
    assert not [p for p in problems(recipe(source, run, server, JUDGE)) if "llm" in p or "key" in p]
    assert "filter.verify: no model judges; set filter.verify_model or llm.model" in "\n".join(
        problems(recipe(source, run, server, JUDGE, "llm.model=null"))
    )
    monkeypatch.delenv("OPENAI_API_KEY")
    assert any("no API key" in p for p in problems(recipe(source, run, server, JUDGE)))
    assert not any("no API key" in p for p in problems(recipe(source, run, server)))


def test_the_plural_of_what_was_not_done() -> None:
    assert plural("passage_not_judged") == "passages not judged"
    assert plural("retyped_entity") == "retyped entities"
    assert plural("ledger_answer") == "answers in the ledger"


# --- stopped on the way ----------------------------------------------------------------------------------------

COUNT = 200


def start(server: FaultServer, run: Path, *more: str) -> subprocess.Popen[str]:
    """Judge from the command line, in a process of its own."""
    words = [
        "filter",
        str(run),
        JUDGE,
        "llm.model=m",
        f"llm.base_url={server.url}",
        "llm.output=text",
        "llm.name=x",
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "sinoner", *words, "llm.concurrency=16", *more],
        env={**os.environ, **server.env()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], what: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def filtered(server: FaultServer, tmp_path: Path) -> Path:
    """A run whose entities are filtered and not judged yet."""
    run = tmp_path / "run"
    execute(recipe(corpus(tmp_path, *(labelled(n) for n in range(COUNT))), run, server), STAGES[:3])
    return run


def answered(run: Path) -> int:
    with sqlite3.connect(run / "ledger.sqlite") as db:
        (count,) = db.execute("SELECT COUNT(*) FROM requests WHERE answer IS NOT NULL").fetchone()
    db.close()
    return int(count)


def whole(server: FaultServer, run: Path) -> None:
    """The command goes on to its end, and every entity is judged."""
    server.configure(median=0.0)
    code, complaints = end(start(server, run))
    assert code == 0, complaints
    assert [pairs(a) for a in verified(run)] == [[("王明", "人名"), ("上海", "城市")]] * COUNT
    assert server.stats()["passages"] == COUNT


def test_after_a_kill_the_same_command_pays_only_for_what_is_missing(
    server: FaultServer, filtered: Path
) -> None:
    server.configure(median=0.3)
    for least in (20, 60):
        process = start(server, filtered)
        wait_for(process, lambda least=least: server.stats()["ok"] >= least)  # type: ignore[misc]
        process.kill()
        process.communicate()
        assert not (filtered / VERIFIED).exists()
    known, paid = answered(filtered), server.stats()["paid"]
    assert paid - 2 * 16 <= known <= paid
    whole(server, filtered)
    assert server.stats()["paid"] - paid == COUNT - known


def test_ctrl_c_waits_for_what_is_in_flight_and_keeps_it(server: FaultServer, filtered: Path) -> None:
    server.configure(median=0.3)
    process = start(server, filtered)
    wait_for(process, lambda: bool(server.stats()["ok"] >= 20))
    process.send_signal(signal.SIGINT)
    code, complaints = end(process)
    assert code == 75, complaints
    assert "Traceback" not in complaints
    assert "verify: stopping; waiting for the requests in flight" in complaints
    assert answered(filtered) == server.stats()["ok"] == server.stats()["calls"] < COUNT
    assert not (filtered / VERIFIED).exists()
    whole(server, filtered)
    assert (server.stats()["calls"], server.stats()["repeated"]) == (COUNT, 0)
