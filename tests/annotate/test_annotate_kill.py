"""The promise of the ledger: at whatever moment a run is killed, nothing answered is lost or asked for again."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from asking import KILLS, Annotating, command
from asking import end as ended
from fault_server import FaultServer

from sinoner import disk
from sinoner.annotate.by_llm import NOT_ASKED
from sinoner.records import Annotation, Passage

COUNT, IN_FLIGHT = 200 + 60 * KILLS, 32  # enough work for all kills to find the run unfinished
# Paid for and not usable: these may be paid for once more.
PAID = {"reset_midway": 0.02, "truncated_json": 0.01, "empty": 0.02, "length": 0.02}
FREE = {"http_500": 0.02, "http_502": 0.01, "reset": 0.01}
READABLE = {"think": 0.01, "fenced": 0.01}


class Found(NamedTuple):
    """What a dead run left in its ledger: accepted answers (key → attempt), requests in flight and lost, outcomes."""

    answers: dict[str, int]
    accepted: int
    in_flight: int
    lost: int
    outcomes: Counter[str]


def corpus(folder: Path, count: int) -> Path:
    path = folder / "corpus.jsonl"
    disk.write_rows(path, ({"text": f"王明在第{n}街，上海。"} for n in range(count)))
    return path


end = partial(ended, seconds=100)


def start(server: FaultServer, source: Path, run: Path, *more: str) -> subprocess.Popen[str]:
    return command(server, source, run, "--concurrency", IN_FLIGHT, "llm.name=x", *more)


def wait_for(process: subprocess.Popen[str], what, pause: float = 0.01) -> None:
    until = time.monotonic() + 60
    while not what():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(pause)


def look(run: Path, server: FaultServer, scratch: Path) -> Found:
    """Read a copy of the ledger, so that the next run finds it as the killed one left it."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for file in run.glob("ledger.sqlite*"):
        shutil.copy(file, scratch)
    with sqlite3.connect(scratch / "ledger.sqlite") as db:
        rows = db.execute("SELECT key, answer FROM requests WHERE answer IS NOT NULL").fetchall()
        (accepted,) = db.execute("SELECT COUNT(*) FROM attempts WHERE error IS NULL").fetchone()
        (in_flight,) = db.execute("SELECT COUNT(*) FROM in_flight").fetchone()
        (lost,) = db.execute("SELECT COUNT(*) FROM attempts WHERE error = 'lost'").fetchone()
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    passages = disk.read_records(run / "passages.jsonl", Passage)
    outcomes = [r.outcome for r in Annotating(server.url, scratch, name="x").readings(passages)]
    counts = Counter(
        "done" if isinstance(x, Annotation) else "waiting" if x.reason == NOT_ASKED else f"failed: {x}"
        for x in outcomes
    )
    return Found(dict(rows), accepted, in_flight, lost, counts)


def parts(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


def whole(folder: Path, source: Path) -> bytes:
    """What a run that nothing happens to writes."""
    with FaultServer() as server:
        code, complaints = end(start(server, source, folder))
        assert code == 0, complaints
    return (folder / "annotations.jsonl").read_bytes()


@pytest.mark.timeout(900)
def test_kills_at_any_moment_lose_nothing_and_the_annotations_are_those_of_a_whole_run(tmp_path):
    rng = random.Random(7)
    source, run = corpus(tmp_path, COUNT), tmp_path / "run"
    with FaultServer(median=0.25, faults={**PAID, **FREE, **READABLE}) as server:
        for _ in range(3):  # while it starts, before anything is asked
            process = start(server, source, run)
            time.sleep(rng.uniform(0, 0.4))
            process.kill()
            process.communicate()
        before: dict[str, int] = {}
        for kill in range(1, KILLS + 1):
            asked = server.stats()["calls"]
            process = start(server, source, run)
            wait_for(process, lambda asked=asked: server.stats()["calls"] > asked, pause=0.05)
            time.sleep(rng.uniform(0.3, 0.7))
            assert process.poll() is None, "it came to its end before it was killed"
            process.kill()
            process.communicate()
            found, stats = look(run, server, tmp_path / "scratch"), server.stats()
            assert found.accepted == len(found.answers)  # of each key, one answer was ever taken
            assert before.items() <= found.answers.items()  # what was accepted stays accepted
            assert found.outcomes.total() == COUNT
            assert found.outcomes.keys() <= {"done", "waiting"}
            assert found.in_flight <= IN_FLIGHT
            assert found.lost + found.in_flight <= IN_FLIGHT * kill
            assert len(found.answers) >= stats["ok"] - IN_FLIGHT * kill
            assert stats["paid"] <= COUNT + sum(stats["by_fault"].get(f, 0) for f in PAID) + IN_FLIGHT * kill
            assert stats["repeated"] <= found.lost + found.in_flight  # twice only what may have been lost
            before = found.answers
        server.configure(median=0.02)
        code, complaints = end(start(server, source, run))
        assert code == 0, complaints
        found, stats = look(run, server, tmp_path / "scratch"), server.stats()
    assert found.outcomes == {"done": COUNT}
    assert before.items() <= found.answers.items()
    assert (found.in_flight, stats["in_flight"]) == (0, 0)
    assert stats["passages"] == COUNT
    assert stats["repeated"] <= found.lost
    assert f"annotate: {COUNT} done, 0 failed, 0 waiting" in complaints
    annotations = (run / "annotations.jsonl").read_bytes()
    assert annotations == whole(tmp_path / "whole", source)
    texts = [a.passage.text for a in disk.read_records(run / "annotations.jsonl", Annotation)]
    assert texts == [f"王明在第{n}街，上海。" for n in range(COUNT)]
    assert not parts(tmp_path)


def test_a_kill_while_the_annotations_are_written_leaves_the_old_ones_whole(tmp_path):
    source, run = corpus(tmp_path, 2_000), tmp_path / "run"
    with FaultServer() as server:
        assert end(start(server, source, run))[0] == 0
        annotations = (run / "annotations.jsonl").read_bytes()
        for _ in range(3):
            process = start(server, source, run, "--force")
            part = run / f".annotations.jsonl.{process.pid}.part"
            wait_for(process, lambda part=part: part.exists() and part.stat().st_size)
            process.kill()
            process.communicate()
            assert (run / "annotations.jsonl").read_bytes() == annotations
        (run / "annotations.jsonl").unlink()
        assert end(start(server, source, run))[0] == 0
        assert server.stats()["calls"] == 2_000
    assert (run / "annotations.jsonl").read_bytes() == annotations
    assert not parts(tmp_path)


def test_a_run_folder_has_one_process_at_a_time(tmp_path):
    source, run = corpus(tmp_path, 300), tmp_path / "run"
    with FaultServer(median=0.3) as server:
        first = start(server, source, run)
        try:
            wait_for(first, lambda: server.stats()["calls"] > 0)
            code, complaints = end(start(server, source, run))
            assert code == 2
            assert complaints.splitlines() == [
                f"sinoner: {run}: process {first.pid} is working on it; wait for it or choose another --out"
            ]
            assert first.poll() is None
        finally:
            code, complaints = end(first)
        assert code == 0, complaints
        assert (server.stats()["ok"], server.stats()["repeated"]) == (300, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_and_what_was_sent_is_kept(number, tmp_path):
    source, run = corpus(tmp_path, 240), tmp_path / "run"
    with FaultServer(median=0.3) as server:
        process = start(server, source, run)
        wait_for(process, lambda: server.stats()["ok"] >= 20)
        process.send_signal(number)
        code, complaints = end(process)
        assert code == 75
        assert "Traceback" not in complaints
        assert "waiting for the requests in flight" in complaints
        assert complaints.splitlines()[-1].endswith("Run the same command again to continue")
        found, stats = look(run, server, tmp_path / "scratch"), server.stats()
        assert len(found.answers) == stats["ok"] == stats["calls"] < 240
        assert (found.in_flight, found.lost, stats["abandoned"]) == (0, 0, 0)
        assert found.outcomes == {"done": stats["ok"], "waiting": 240 - stats["ok"]}
        assert not (run / "annotations.jsonl").exists()
        assert not parts(run)
        code, complaints = end(start(server, source, run))
        assert code == 0, complaints
        assert (server.stats()["ok"], server.stats()["repeated"]) == (240, 0)
    assert (run / "annotations.jsonl").read_bytes() == whole(tmp_path / "whole", source)


def test_a_second_signal_waits_for_nothing(tmp_path):
    source, run = corpus(tmp_path, 100), tmp_path / "run"
    with FaultServer(faults={"hang": 0.2}) as server:
        process = start(server, source, run)
        wait_for(process, lambda: server.stats()["in_flight"] >= 10 and server.stats()["ok"] >= 40)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None  # some do not answer
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        code, complaints = end(process)
        assert time.monotonic() - begin < 10
        assert code == 75, complaints
        assert "Traceback" not in complaints
        found = look(run, server, tmp_path / "scratch")
        assert len(found.answers) == server.stats()["ok"]
        assert 0 < found.in_flight <= IN_FLIGHT
        server.configure(faults={})
        code, complaints = end(start(server, source, run))
        assert code == 0, complaints
        assert f"{found.in_flight} requests were in flight when the last run was killed" in complaints
        assert server.stats()["repeated"] == 0  # the lost ones were never answered
        assert look(run, server, tmp_path / "scratch").lost == found.in_flight
