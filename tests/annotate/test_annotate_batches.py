"""Annotation in batches: the outcomes of online annotation, each paid for once, whatever happens on the way."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from asking import ENVIRON, KILLS, Annotating, attempts, command, end, held, numbered, passage
from chat_server import ChatServer
from fault_server import FaultServer

from sinoner import disk
from sinoner.annotate.asking import Asking
from sinoner.annotate.batches import collect_in_batches
from sinoner.errors import EndpointError, InputError, StoppedError
from sinoner.llm.batch_api import in_chunks
from sinoner.llm.client import Client, clients
from sinoner.llm.costs import account
from sinoner.llm.ledger import Ledger
from sinoner.llm.meter import Meter
from sinoner.llm.service import Service
from sinoner.records import Annotation, Reject
from sinoner.settings import LlmSettings


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def running():
    with FaultServer() as server:
        yield server


@pytest.fixture
def server(running):
    return running.fresh(batch_delay=0.1)


class InBatches(Annotating):
    """The same, in batches. Attribute of the last run: ``rounds`` of reading the passages."""

    def __init__(self, url: str, folder: Path, **settings: object) -> None:
        super().__init__(url, folder, **{"batch_poll": 0.1, "name": "x", **settings})

    def collect(self, passages, retry=(), tell=lambda: None, stopped=lambda: False) -> Asking:
        passages = passages if callable(passages) else list(passages)
        self.rounds = 0

        def again():
            self.rounds += 1
            return iter(passages() if callable(passages) else passages)

        with Ledger(self.path) as ledger:
            ledger.recover()
            found = clients(self.llm, ENVIRON)
            self.meter = Meter()
            self.account = account(self.settings, self.llm, found, ledger.spent())
            service = Service(found, ledger, self.account, self.meter, tell, stopped)
            self.asking = collect_in_batches(
                again, self.asked(), service, self.path.parent / "batches", retry
            )
        return self.asking


def interrupt() -> None:
    raise KeyboardInterrupt


def openai(server: FaultServer):
    return Client(LlmSettings(model="m", base_url=server.url), environ=ENVIRON).openai()


def batches(server: FaultServer) -> list:
    """The batches at the server, oldest first."""
    return list(openai(server).batches.list(limit=100))[::-1]


def rows(server: FaultServer, file: str) -> list[dict]:
    """The lines of a file at the server."""
    return [json.loads(row) for row in openai(server).files.content(file).text.split("\n") if row]


def inputs(server: FaultServer) -> list[list[str]]:
    """The keys in the input files of the batches, oldest batch first."""
    return [[row["custom_id"] for row in rows(server, b.input_file_id)] for b in batches(server)]


def online(server: FaultServer, folder: Path, passages, **settings: object) -> bytes:
    """What online annotation makes of the same passages, as it is written."""
    server.reset()
    return written(Annotating(server.url, folder / "online", name="x", max_attempts=3, **settings), passages)


def written(work: Annotating, passages) -> bytes:
    return b"".join(disk.line(x) for x in work.run(passages))


def leftovers(folder: Path) -> list[Path]:
    return list((folder / "batches").iterdir())


# --- the same outcomes -----------------------------------------------------------------------------------------


def test_batches_give_the_records_of_online_annotation(server, tmp_path):
    english = passage("Marie Curie was born in Warsaw.", 30, "en")
    passages = [*numbered(30), english, passage(n=31), passage(n=32)]
    work = InBatches(server.url, tmp_path)
    out = written(work, passages)
    (batch,) = batches(server)
    assert batch.status == "completed"
    assert batch.request_counts.total == 32  # a text that comes twice is asked once
    assert server.stats()["paid"] == 32
    assert server.stats()["calls"] == 0
    assert leftovers(tmp_path) == []
    assert (work.meter.done, work.meter.failed, work.meter.answers) == (33, 0, 32)
    assert out == online(server, tmp_path, passages)
    assert written(work, passages) == out
    assert work.rounds == 1
    assert server.stats()["batch_lines"] == 0  # since the reset of online


def test_the_tokens_are_those_of_online_annotation(server, tmp_path):
    work = InBatches(server.url, tmp_path)
    work.collect(numbered(20))
    with Ledger(work.path) as ledger:
        usage = ledger.usage()
        (spent,) = ledger.spent()
    stats = server.stats()
    assert usage == (20, stats["prompt_tokens"], stats["completion_tokens"])
    assert spent.batch
    assert work.account.budget.spent_tokens == usage[1] + usage[2] == work.meter.tokens
    assert work.account.budget.reserved_tokens == 0
    online(server, tmp_path, numbered(20))
    with Ledger(tmp_path / "online" / "ledger.sqlite") as ledger:
        assert ledger.usage() == usage


@pytest.mark.parametrize("output", ["auto", "text"])
def test_whatever_a_passage_meets_it_ends_as_online(output, server, tmp_path):
    marks = [
        "http_500*1", "rate_limit*1", "empty*1", "empty*2", "empty", "length", "whitespace", "think", "fenced", "refused",
        "content_filter_en", "content_filter_zh", "content_filter_finish", "context_length", "http_500*2",
    ]  # fmt: skip
    passages = [
        *numbered(5),
        *(passage(f"王明⟦{m}⟧在第{n}街。", n) for n, m in enumerate(marks, 5)),
        *numbered(3),
    ]
    work = InBatches(server.url, tmp_path, output=output, max_attempts=3)
    out = written(work, passages)
    assert out == online(server, tmp_path, passages, output=output)
    assert leftovers(tmp_path) == []


# --- splitting -------------------------------------------------------------------------------------------------


def test_batches_are_split_by_the_number_of_requests(server, tmp_path):
    out = InBatches(server.url, tmp_path, batch_requests=10).run(numbered(25))
    assert len(out) == 25
    assert [b.request_counts.total for b in batches(server)] == [10, 10, 5]
    assert server.stats()["paid"] == 25


def test_batches_are_split_by_size(server, tmp_path):
    passages = [passage(f"王明在第{n}街。" + "上海" * 2_000, n) for n in range(150)]  # about 12 kB each
    out = InBatches(server.url, tmp_path, batch_mb=1).run(passages)
    assert len(out) == 150
    sizes = [f.bytes for f in openai(server).files.list() if f.purpose == "batch"]
    assert len(sizes) == 2
    assert max(sizes) <= 1_000_000 < sum(sizes)
    assert [sum(len(keys) for keys in inputs(server)), server.stats()["paid"]] == [150, 150]


def test_a_batch_of_one_request_each(server, tmp_path):
    assert len(InBatches(server.url, tmp_path, batch_requests=1).run(numbered(4))) == 4
    assert [b.request_counts.total for b in batches(server)] == [1] * 4


def test_each_model_has_batches_of_its_own(server, tmp_path):
    work = InBatches(server.url, tmp_path, more_models=["n"])
    work.collect(numbered(6))
    assert [b.request_counts.total for b in batches(server)] == [6, 6]
    assert [[s.by.label for s in r.samples] for r in work.readings(numbered(6))] == [
        ["m@extract.zh.v1", "n@extract.zh.v1"]
    ] * 6


def test_several_samples_have_keys_of_their_own(server, tmp_path):
    work = InBatches(server.url, tmp_path, samples=3, temperature=0.7)
    work.collect(numbered(4))
    ((keys),) = inputs(server)
    assert len(set(keys)) == 12
    assert all(len(r.samples) == 3 for r in work.readings(numbered(4)))


# --- what comes back -------------------------------------------------------------------------------------------


def test_what_an_expired_batch_brought_is_kept_and_the_rest_submitted_again(server, tmp_path):
    server.configure(batch_fraction=0.5, batch_bad=1)
    work = InBatches(server.url, tmp_path)
    out = work.run(numbered(20))
    assert all(isinstance(x, Annotation) for x in out)
    assert [b.status for b in batches(server)] == ["expired", "completed"]
    first, second = inputs(server)
    assert (len(first), len(second)) == (20, 10)
    assert set(second) < set(first)
    assert (server.stats()["paid"], server.stats()["repeated"]) == (20, 0)
    assert leftovers(tmp_path) == []


def test_batches_that_expire_again_and_again_come_to_an_end(server, tmp_path):
    server.configure(batch_fraction=0.5, batch_bad=3)
    out = InBatches(server.url, tmp_path).run(numbered(20))
    assert all(isinstance(x, Annotation) for x in out)
    assert [len(keys) for keys in inputs(server)] == [20, 10, 5, 3]
    assert (server.stats()["paid"], server.stats()["repeated"]) == (20, 0)


def test_rounds_that_bring_nothing_end_the_run(server, tmp_path):
    server.configure(batch_fraction=0.0)
    work = InBatches(server.url, tmp_path, max_attempts=2)
    with pytest.raises(StoppedError, match=r"2 rounds of batches brought nothing .*run the same command"):
        work.collect(numbered(5))
    assert len(batches(server)) == 2
    assert held(tmp_path) == 0
    server.configure(batch_fraction=1.0)
    assert len(work.run(numbered(5))) == 5
    assert len(batches(server)) == 3


@pytest.mark.parametrize(("fault", "kind"), [("http_500", "transient"), ("rate_limit", "rate_limit")])
def test_what_fails_in_every_batch_fails_for_good_and_the_rest_is_done(fault, kind, server, tmp_path):
    work = InBatches(server.url, tmp_path, max_attempts=3)
    out = work.run([*numbered(3), passage(f"王明⟦{fault}⟧。", 9)])
    assert [type(x) for x in out] == [Annotation] * 3 + [Reject]
    assert out[3].reason == kind
    assert [len(keys) for keys in inputs(server)] == [4, 1, 1]
    assert work.run([passage(f"王明⟦{fault}⟧。", 9)])[0].reason == kind  # and is not asked again by itself
    assert len(batches(server)) == 3


def test_too_many_failures_stop_the_run(server, tmp_path):
    server.configure(faults={"content_filter_zh": 1.0}, fault_attempts=0)
    work = InBatches(server.url, tmp_path, max_failure_rate=0.1)
    with pytest.raises(
        StoppedError,
        match=r"30 of the last 30 passages failed \(30 content_filter\), more than --max-failure-rate 0\.1",
    ):
        work.collect(numbered(30))
    assert len(work.run(numbered(30))) == 30  # failures of an earlier run do not count again


def test_a_batch_that_the_endpoint_forgot_counts_as_paid_and_is_submitted_again(server, tmp_path):
    server.configure(batch_delay=60)
    work = InBatches(server.url, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        work.collect(numbered(5), tell=interrupt)
    server.reset()  # forgets files and batches
    server.configure(batch_delay=0.1)
    assert all(isinstance(x, Annotation) for x in work.run(numbered(5)))
    assert len(batches(server)) == 1
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert [s.attempts for s in ledger.spent() if not s.measured] == [5]


def test_what_is_on_its_way_in_a_batch_is_not_asked_online_as_well(server, tmp_path):
    server.configure(batch_delay=60)
    work = InBatches(server.url, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        work.collect(numbered(5), tell=interrupt)
    online_work = Annotating(server.url, tmp_path, name="x", max_attempts=3)
    with pytest.raises(
        InputError, match=r"5 requests are on their way in a batch .* first with --mode batch"
    ):
        online_work.collect(numbered(5))
    server.configure(batch_delay=0.1)
    work.run(numbered(5))
    assert len(online_work.run(numbered(6))) == 6
    assert server.stats()["repeated"] == 0


@pytest.mark.parametrize(
    ("fault", "said"), [("auth", "auth: Incorrect API key"), ("quota_en", "quota: You exceeded")]
)
def test_a_key_or_balance_that_is_refused_stops_the_run(fault, said, server, tmp_path):
    server.configure(faults={fault: 1.0}, fault_attempts=0)
    work = InBatches(server.url, tmp_path)
    with pytest.raises(EndpointError, match=f"{server.url}: {said}"):
        work.collect(numbered(5))
    assert len(batches(server)) == 1
    server.configure(faults={})
    assert all(isinstance(x, Annotation) for x in work.run(numbered(5)))


def test_lines_that_come_twice_and_in_any_order_are_joined_by_key_and_paid_once(server, tmp_path):
    server.configure(batch_duplicate=True)
    work = InBatches(server.url, tmp_path)
    out = work.run(numbered(40))
    (batch,) = batches(server)
    keys = [row["custom_id"] for row in rows(server, batch.output_file_id)]
    assert len(keys) > 40  # some twice
    assert list(dict.fromkeys(keys)) != inputs(server)[0]  # in another order
    assert [[e.surface for e in a.entities] for a in out] == [["王明", f"第{n}街"] for n in range(40)]
    with Ledger(work.path) as ledger:
        assert attempts(ledger) == 40
        assert ledger.usage() == (40, server.stats()["prompt_tokens"], server.stats()["completion_tokens"])


def test_server_errors_are_asked_again_and_a_content_filter_is_final(server, tmp_path):
    work = InBatches(server.url, tmp_path)
    marks = ["", "⟦http_500*1⟧", "⟦content_filter_zh⟧", ""]
    passages = [passage(f"王明{mark}在第{n}街。", n) for n, mark in enumerate(marks)]
    out = work.run(passages)
    assert [getattr(x, "reason", None) for x in out] == [None, None, "content_filter", None]
    first, second = inputs(server)
    assert (len(first), len(second)) == (4, 1)
    assert second == first[1:2]
    before = server.stats()["batch_lines"]
    assert work.run(passages) == out
    assert server.stats()["batch_lines"] == before  # final is final
    retried = work.run(passages, retry=["content_filter"])
    assert retried == out
    assert server.stats()["batch_lines"] == before + 1  # unless it is wanted


def test_what_an_answer_makes_necessary_is_asked_in_a_further_round(server, tmp_path):
    work = InBatches(server.url, tmp_path)
    passages = [*numbered(3), passage("王明⟦empty*1⟧在上海。", 3), passage("王明⟦length⟧在上海。", 4)]
    out = work.run(passages)
    assert all(isinstance(x, Annotation) and x.entities for x in out)
    first, second = inputs(server)
    assert (len(first), len(second)) == (5, 2)
    assert not set(first) & set(second)  # questions of their own
    bodies = [row["body"] for row in rows(server, batches(server)[1].input_file_id)]
    reask, longer = sorted(bodies, key=lambda b: b["max_tokens"])
    assert [m["role"] for m in reask["messages"]] == ["system", "user", "assistant", "user"]
    assert longer["max_tokens"] == 2 * work.llm.max_tokens
    assert work.meter.answers == 7


def test_a_batch_that_is_too_large_is_made_smaller(server, tmp_path):
    server.configure(batch_max_requests=10)
    work = InBatches(server.url, tmp_path, max_attempts=6)
    out = work.run(numbered(40))
    assert all(isinstance(x, Annotation) for x in out)
    found = [(b.status, len(keys)) for b, keys in zip(batches(server), inputs(server), strict=True)]
    assert found == [("failed", 40), ("failed", 20), ("failed", 20), *[("completed", 10)] * 4]
    assert server.stats()["paid"] == 40
    assert leftovers(tmp_path) == []


def test_a_batch_that_fails_for_good_says_why(server, tmp_path):
    server.configure(batch_max_requests=-1)
    work = InBatches(server.url, tmp_path, max_attempts=1)
    with pytest.raises(StoppedError, match="too_many_tasks: The number of requests"):
        work.collect(numbered(4))
    assert [len(keys) for keys in inputs(server)] == [4, 2, 2, 1, 1, 1, 1]


# --- nothing twice ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("no_metadata", [False, True])
@pytest.mark.parametrize("drop", ["drop_after_create", "drop_after_upload"])
def test_a_lost_answer_to_a_submission_submits_nothing_twice(drop, no_metadata, server, tmp_path):
    server.configure(**{drop: True, "batch_no_metadata": no_metadata})
    work = InBatches(server.url, tmp_path)
    with pytest.raises(StoppedError, match="run the same command again to continue") as caught:
        work.collect(numbered(10))
    assert caught.value.exit_code == 75
    assert all(isinstance(x, Annotation) for x in work.run(numbered(10)))
    assert len(batches(server)) == 1  # of one file, or of the one that was uploaded again
    assert (server.stats()["paid"], server.stats()["batch_lines"]) == (10, 10)
    assert leftovers(tmp_path) == []


def test_the_second_of_three_batches_is_lost_and_found(server, tmp_path):
    passages = numbered(25)

    def broken():
        yield from passages[:15]
        server.configure(drop_after_create=True)
        yield from passages[15:]

    work = InBatches(server.url, tmp_path, batch_requests=10)
    with pytest.raises(StoppedError):
        work.collect(broken)
    assert len(batches(server)) == 2
    assert len(work.run(passages)) == 25
    assert [len(keys) for keys in inputs(server)] == [10, 10, 5]
    assert (server.stats()["paid"], server.stats()["repeated"]) == (25, 0)


def test_a_kill_between_two_commits_of_one_batch_takes_and_counts_nothing_twice(
    server, tmp_path, monkeypatch
):
    work = InBatches(server.url, tmp_path)
    monkeypatch.setattr("sinoner.llm.batch_api._TOGETHER", 4)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sinoner.llm.batch_requests.in_chunks", first_only)
        work.collect(numbered(10))
    assert held(tmp_path) == 4
    assert len(work.run(numbered(10))) == 10
    stats = server.stats()
    used = stats["prompt_tokens"] + stats["completion_tokens"]
    assert (stats["paid"], len(batches(server))) == (10, 1)
    assert work.account.budget.spent_tokens == used
    assert work.account.budget.reserved_tokens == 0
    with Ledger(work.path) as ledger:
        assert sum(ledger.usage()[1:]) == used
        assert attempts(ledger) == 10


def first_only(items):
    yield next(in_chunks(items))
    raise KeyboardInterrupt


def test_an_endpoint_without_batches_is_one_clear_line(tmp_path):
    with ChatServer() as chat:
        work = InBatches(chat.url, tmp_path)
        with pytest.raises(EndpointError, match="may have no batch mode: leave --mode batch away") as caught:
            work.collect(numbered(5))
        assert caught.value.exit_code == 2
        assert len(str(caught.value).splitlines()) == 1
        assert str(caught.value).startswith(chat.url)
        assert chat.requests == []


def test_after_an_endpoint_without_batches_the_same_run_goes_on_online(tmp_path):
    with ChatServer() as chat:
        with pytest.raises(EndpointError):
            InBatches(chat.url, tmp_path).collect(numbered(5))
        assert len(Annotating(chat.url, tmp_path, name="x").run(numbered(5))) == 5
        assert len(chat.requests) == 5


# --- budget ----------------------------------------------------------------------------------------------------


def test_a_budget_of_tokens_is_kept_to_and_more_of_it_goes_on(server, tmp_path):
    passages = numbered(20)
    InBatches(server.url, tmp_path / "all", answer_tokens=100).run(passages)
    stats = server.stats()
    whole = stats["prompt_tokens"] + stats["completion_tokens"]
    server.reset()
    limit = whole // 2
    work = InBatches(server.url, tmp_path, answer_tokens=100, max_tokens=limit)
    with pytest.raises(
        StoppedError, match=r"the budget does not cover (\d+) more requests; raise it and run"
    ) as caught:
        work.collect(passages)
    stats = server.stats()
    assert 0 < stats["prompt_tokens"] + stats["completion_tokens"] <= limit
    left = int(str(caught.value).split("does not cover ")[1].split()[0])
    assert held(tmp_path) == stats["paid"] == 20 - left
    with pytest.raises(StoppedError):  # no more is asked for
        work.collect(passages)
    assert server.stats()["paid"] == stats["paid"]
    more = InBatches(server.url, tmp_path, answer_tokens=100, max_tokens=10 * whole)
    assert len(more.run(passages)) == 20
    assert (server.stats()["paid"], server.stats()["repeated"]) == (20, 0)


def test_what_is_on_its_way_counts_against_the_budget_of_the_next_process(server, tmp_path):
    server.configure(batch_delay=60)
    first = InBatches(server.url, tmp_path, answer_tokens=100)
    with pytest.raises(KeyboardInterrupt):
        first.collect(numbered(10), tell=interrupt)
    server.configure(batch_delay=0.1)
    second = InBatches(server.url, tmp_path, answer_tokens=100, max_tokens=2_000)
    with pytest.raises(StoppedError, match="the budget does not cover"):
        second.collect(numbered(100))
    stats = server.stats()
    assert stats["paid"] >= 10
    assert stats["prompt_tokens"] + stats["completion_tokens"] <= 2_000
    assert stats["repeated"] == 0


def test_answers_that_do_not_tell_their_cost_count_as_the_most_they_can_have_been(server, tmp_path):
    server.configure(no_usage=True)
    work = InBatches(server.url, tmp_path, answer_tokens=100)
    work.run(numbered(10))
    with Ledger(work.path) as ledger:
        bodies = [row[0] for row in ledger.connection.execute("SELECT body FROM requests")]
        (spent,) = ledger.spent()
    most = sum(len(body.encode()) + 64 + 100 for body in bodies)
    assert (spent.measured, spent.attempts, spent.prompt_tokens + spent.completion_tokens) == (
        False,
        10,
        most,
    )
    assert work.account.budget.spent_tokens == most
    assert work.account.budget.reserved_tokens == 0


def test_a_request_to_stop_is_heard_while_batches_are_submitted(server, tmp_path):
    asked: list[bool] = []

    def passages():
        for n, one in enumerate(numbered(40)):
            if n == 25:
                asked.append(True)
            yield one

    work = InBatches(server.url, tmp_path, batch_requests=10)
    with pytest.raises(KeyboardInterrupt):
        work.collect(passages, stopped=lambda: bool(asked))
    assert len(batches(server)) == 2  # the third was not complete
    out = work.run(numbered(40))
    assert len(out) == 40
    assert len(batches(server)) == 4
    assert (server.stats()["paid"], server.stats()["repeated"]) == (40, 0)
    assert leftovers(tmp_path) == []


# --- from the command line -------------------------------------------------------------------------------------


def start(server: FaultServer, folder: Path, *more: str, count: int = 30) -> subprocess.Popen[str]:
    source = folder / "corpus.jsonl"
    disk.write_rows(source, ({"text": f"王明在第{n}街，上海。"} for n in range(count)))
    return command(server, source, folder / "run", "--mode", "batch", "annotate.batch_poll=0.1", *more)


def state(folder: Path) -> list[tuple[str, int]]:
    """The batches of the ledger: state and number of requests."""
    path = folder / "run" / "ledger.sqlite"
    if not path.exists():
        return []
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return db.execute("SELECT state, requests FROM batches ORDER BY id").fetchall()
    except sqlite3.OperationalError:  # not made yet
        return []
    finally:
        db.close()


def wait_for(process: subprocess.Popen[str], what) -> None:
    until = time.monotonic() + 60
    while not what():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_kill_while_waiting_submits_nothing_twice(server, tmp_path):
    server.configure(batch_delay=60)
    process = start(server, tmp_path, "annotate.batch_requests=20")
    wait_for(process, lambda: state(tmp_path) == [("sent", 20), ("sent", 10)])
    process.kill()
    process.communicate()
    assert len(batches(server)) == 2
    server.configure(batch_delay=0.1)
    code, complaints = end(start(server, tmp_path, "annotate.batch_requests=20"))
    assert code == 0, complaints
    assert "may have been paid" not in complaints  # a batch goes on without us
    assert len(batches(server)) == 2
    assert (server.stats()["paid"], server.stats()["calls"]) == (30, 0)
    annotations = list(disk.read_records(tmp_path / "run" / "annotations.jsonl", Annotation))
    assert [a.passage.text for a in annotations] == [f"王明在第{n}街，上海。" for n in range(30)]
    assert leftovers(tmp_path / "run") == []
    assert not list(tmp_path.rglob("*.part"))


def test_kills_at_any_moment_submit_nothing_twice(server, tmp_path):
    rng = random.Random(11)
    more = ("annotate.batch_requests=100",)
    server.configure(batch_delay=1.0)
    for _ in range(KILLS * 2 // 5):
        process = start(server, tmp_path, *more, count=500)
        time.sleep(rng.uniform(0.5, 1.6))
        process.kill()
        process.communicate()
    code, complaints = end(start(server, tmp_path, *more, count=500))
    assert code == 0, complaints
    assert (server.stats()["paid"], server.stats()["repeated"]) == (500, 0)
    files = [b.input_file_id for b in batches(server)]
    assert len(files) == len(set(files))
    assert len((tmp_path / "run" / "annotations.jsonl").read_text(encoding="utf-8").splitlines()) == 500
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_waiting_leaves_the_batch_on_its_way(number, server, tmp_path):
    server.configure(batch_delay=60)
    process = start(server, tmp_path)
    wait_for(process, lambda: state(tmp_path) == [("sent", 30)])
    begin = time.monotonic()
    process.send_signal(number)
    code, complaints = end(process)
    assert code == 75, complaints
    assert time.monotonic() - begin < 10
    assert "Traceback" not in complaints
    assert complaints.splitlines()[-1].endswith("Run the same command again to continue")
    (batch,) = batches(server)
    assert batch.status in ("validating", "in_progress")  # it is not cancelled
    server.configure(batch_delay=0.1)
    code, complaints = end(start(server, tmp_path))
    assert code == 0, complaints
    assert len(batches(server)) == 1
    assert server.stats()["paid"] == 30


def test_a_signal_while_submitting_ends_the_run_soon_and_it_goes_on(server, tmp_path):
    more = ("annotate.batch_requests=2",)
    process = start(server, tmp_path, *more, count=600)
    wait_for(process, lambda: len(state(tmp_path)) >= 5)
    process.send_signal(signal.SIGINT)
    code, complaints = end(process)
    assert code == 75, complaints
    assert "Traceback" not in complaints
    sent = len(batches(server))
    assert 4 <= sent < 100
    code, complaints = end(start(server, tmp_path, "annotate.batch_requests=2000", count=600))
    assert code == 0, complaints
    assert len(batches(server)) == sent + 1
    assert (server.stats()["paid"], server.stats()["repeated"]) == (600, 0)


def test_no_batch_mode_is_said_on_one_line_with_exit_2(tmp_path):
    with ChatServer() as chat:
        code, complaints = end(start(chat, tmp_path))  # type: ignore[arg-type]
    assert code == 2
    (line,) = [x for x in complaints.splitlines() if x.startswith("sinoner: ")]
    assert line.startswith(f"sinoner: {chat.url}: batch mode: model_not_found: ")
    assert line.endswith("it may have no batch mode: leave --mode batch away")
    assert "Traceback" not in complaints


def test_a_budget_that_is_used_up_exits_75_and_reparse_writes_what_there_is(server, tmp_path):
    more = ("llm.max_tokens=100", "--max-tokens")
    code, complaints = end(start(server, tmp_path, *more, "2000"))
    assert code == 75
    assert "the budget does not cover" in complaints
    paid = server.stats()["paid"]
    assert 0 < paid < 30
    code, complaints = end(start(server, tmp_path, *more, "2000", "--reparse"))
    assert code == 0, complaints
    assert len((tmp_path / "run" / "annotations.jsonl").read_text(encoding="utf-8").splitlines()) == paid
    code, complaints = end(start(server, tmp_path, *more, "200000"))
    assert code == 0, complaints
    assert server.stats()["paid"] == 30
    assert len((tmp_path / "run" / "annotations.jsonl").read_text(encoding="utf-8").splitlines()) == 30
