"""Dispatching against servers that fail in every way: nothing lost, nothing paid twice, no limit and no budget exceeded."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asking import Annotating, held, numbered, passage
from chat_server import ChatServer, Reply, answer, sensitive
from fault_server import FaultServer

from sinoner.errors import EndpointError, StoppedError
from sinoner.llm.budget import Budget
from sinoner.llm.client import Answer
from sinoner.llm.costs import Account, Costs
from sinoner.llm.drive import driving
from sinoner.llm.endpoints import Lane
from sinoner.llm.failures import CallError
from sinoner.llm.ledger import Ledger
from sinoner.llm.limiter import Limiter, Rates
from sinoner.llm.meter import Meter
from sinoner.llm.pricing import load_prices
from sinoner.llm.request import make_request
from sinoner.llm.service import Service
from sinoner.records import Annotation, Passage, Reject
from sinoner.settings import LlmSettings


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def _one() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture(scope="module")
def _two() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def server(_one: FaultServer) -> FaultServer:
    return _one.fresh()


@pytest.fixture
def other(_two: FaultServer) -> FaultServer:
    return _two.fresh()


def annotations(out: Iterable[Annotation | Reject]) -> list[Annotation]:
    out = list(out)
    assert all(isinstance(x, Annotation) for x in out), [x for x in out if isinstance(x, Reject)][:5]
    return out


def expected(passages: list[Passage]) -> list[tuple[str, list[tuple[str, str]]]]:
    return [(p.id, [("王明", "人名"), (p.text[3:-1], "街道")]) for p in passages]


def read(out: Iterable[Annotation | Reject]) -> list[tuple[str, list[tuple[str, str]]]]:
    return [(a.passage.id, [(e.surface, e.type) for e in a.entities]) for a in annotations(out)]


def most_attempts(folder: Path) -> int:
    with Ledger(folder / "ledger.sqlite") as ledger:
        query = "SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM attempts GROUP BY request)"
        return ledger.connection.execute(query).fetchone()[0]


def left_in_flight(folder: Path) -> int:
    with Ledger(folder / "ledger.sqlite") as ledger:
        return ledger.connection.execute("SELECT COUNT(*) FROM in_flight").fetchone()[0]


def billed(*servers: FaultServer) -> int:
    stats = [s.stats() for s in servers]
    return sum(s["prompt_tokens"] + s["completion_tokens"] for s in stats)


def interrupted(passages: list[Passage], **at: Callable[[], Any]) -> Iterator[Passage]:
    """The passages; before number n is given, ``at["n<n>"]`` is called."""
    for n, one in enumerate(passages):
        if f"n{n}" in at:
            at[f"n{n}"]()
        yield one


# --- faults ------------------------------------------------------------------------------------------------------

HARMLESS = ("think", "fenced", "echo_key", "length")
OF_SERVERS = ("http_500", "http_502", "http_503", "wrong_type")
OF_LINES = ("reset", "reset_midway", "truncated_json")
OF_LIMITS = ("rate_limit", "rate_limit_zh")


@pytest.fixture(scope="module")
def fault_free(_one: FaultServer, tmp_path_factory) -> list[Annotation]:
    _one.fresh()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        return annotations(Annotating(_one.url, tmp_path_factory.mktemp("clean")).run(numbered(300)))


@pytest.mark.parametrize(
    ("faults", "strikes"),
    [
        ((*HARMLESS, *OF_SERVERS, *OF_LINES), 2),
        ((*HARMLESS, "empty", "whitespace", *OF_SERVERS, *OF_LIMITS), 1),
        (("hang", "drip", *OF_SERVERS, "reset"), 2),
    ],
    ids=["servers", "limits", "silence"],
)
def test_every_passage_is_done_once_whatever_goes_wrong(server, fault_free, tmp_path, faults, strikes):
    chance = 0.07 if "hang" not in faults else 0.05
    server.configure(
        faults=dict.fromkeys(faults, chance), fault_attempts=strikes, retry_after="0.1", median=0.01
    )
    timeout = 1.5 if "hang" in faults else 20
    work = Annotating(server.url, tmp_path, max_attempts=6, timeout=timeout, concurrency=32)
    out = annotations(work.run(numbered(300)))
    assert out == fault_free
    assert read(out) == expected(numbered(300))
    stats = server.stats()
    assert stats["repeated"] == 0
    assert stats["ok"] == 300
    assert all(stats["by_fault"][fault] > 3 for fault in faults), stats["by_fault"]
    assert most_attempts(tmp_path) <= 6
    assert left_in_flight(tmp_path) == 0
    assert (work.meter.done, work.meter.failed) == (300, 0)
    calls = stats["calls"]
    assert annotations(work.run(numbered(300))) == fault_free
    assert server.stats()["calls"] == calls  # the second run asks nothing


def test_what_stays_broken_is_a_reject_after_six_attempts_and_the_rest_goes_on(server, tmp_path):
    marks = ["http_500", "wrong_type", "reset", "truncated_json", "rate_limit"]
    passages = numbered(60)
    for n, mark in enumerate(marks):
        passages[n * 10] = passage(f"王明在第{n}街。⟦{mark}⟧", n * 10)
    server.configure(retry_after="0")
    out = Annotating(server.url, tmp_path, max_attempts=3).run(passages)
    failed = [(x.id, x.reason) for x in out if isinstance(x, Reject)]
    assert failed == [
        ("d0#0", "transient"),
        ("d10#0", "transient"),
        ("d20#0", "transient"),
        ("d30#0", "transient"),
        ("d40#0", "rate_limit"),
    ]
    assert [x.id if isinstance(x, Reject) else x.passage.id for x in out] == [p.id for p in passages]
    assert server.stats()["ok"] == 55
    assert most_attempts(tmp_path) == 3


def test_silence_and_broken_connections_count_as_paid(server, tmp_path):
    marks = [
        "hang",
        "drip",
        "reset",
        "reset_midway",
        "truncated_json",
        "http_504",
        "http_500",
        "rate_limit",
        "auth",
    ]
    passages = [passage(f"王明在第{n}街。⟦{mark}*1⟧", n) for n, mark in enumerate(marks[:-1])]
    server.configure(retry_after="0")
    work = Annotating(server.url, tmp_path, max_attempts=6, timeout=0.7)
    annotations(work.run(passages))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        doubtful = ledger.connection.execute(
            "SELECT r.passage, a.prompt_tokens, a.completion_tokens, r.body FROM attempts a"
            " JOIN requests r ON r.id = a.request WHERE a.measured = 0 ORDER BY a.request"
        ).fetchall()
        sure = {s.measured: s for s in ledger.spent()}
    assert [row[0] for row in sorted(doubtful)] == [f"d{n}#0" for n in range(6)]
    for _, prompt, completion, body in doubtful:
        assert (prompt, completion) == (len(body.encode()) + 64, 1024)
    assert sure[True].attempts == len(passages)
    assert work.account.budget.spent_tokens == sum(
        s.prompt_tokens + s.completion_tokens for s in sure.values()
    )
    assert billed(server) <= work.account.budget.spent_tokens


# --- limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["", "0.3"])
def test_a_server_that_holds_sixteen_gets_no_more_for_long_and_loses_nothing(server, tmp_path, after):
    server.configure(cap=16, median=0.05, retry_after=after)
    out = Annotating(server.url, tmp_path, max_attempts=6, start=64).run(numbered(300))
    assert read(out) == expected(numbered(300))
    stats = server.stats()
    assert stats["repeated"] == 0
    assert most_attempts(tmp_path) <= 6
    assert stats["r429"] <= 120
    assert stats["peak"] == 16


def test_the_pace_that_the_headers_tell_keeps_refusals_few(server, tmp_path):
    server.configure(rpm=240, minute=4.0, median=0.02, retry_after="")
    began = time.monotonic()
    out = Annotating(server.url, tmp_path, max_attempts=6).run(numbered(252))
    assert len(annotations(out)) == 252
    assert server.stats()["r429"] <= 12
    assert time.monotonic() - began < 20


def test_a_fixed_number_is_never_exceeded(server, other, tmp_path):
    for one in (server, other):
        one.configure(median=0.03)
    endpoints = [{"base_url": server.url, "concurrency": 3}, other.url]
    annotations(Annotating("", tmp_path, endpoints=endpoints, concurrency=5).run(numbered(100)))
    assert (server.stats()["peak"], other.stats()["peak"]) == (3, 5)


def test_the_pace_of_the_settings_is_kept(server, tmp_path):
    # 300 a minute: five a second, and the first twenty-five at once.
    began = time.monotonic()
    annotations(Annotating(server.url, tmp_path, rpm=300).run(numbered(32)))
    assert 1.2 < time.monotonic() - began < 10
    assert server.stats()["calls"] == 32


# --- several endpoints -------------------------------------------------------------------------------------------


def both(server: FaultServer, other: FaultServer, tmp_path: Path, passages, **more) -> Annotating:
    work = Annotating(
        "", tmp_path, endpoints=[server.url, other.url], name="both", **{"max_attempts": 6, **more}
    )
    work.collect(passages)
    return work


def unseen(work: Annotating) -> int:
    """Attempts that broke off: the server may have answered them, as it does to what is in flight when it dies."""
    with Ledger(work.path) as ledger:
        return sum(s.attempts for s in ledger.spent() if not s.measured)


def all_done_once(work: Annotating, *servers: FaultServer, count: int, died: bool = False) -> None:
    """Everything is done and nothing was asked twice, except what a dying server had answered unseen."""
    twice = unseen(work) if died else 0
    assert read(r.outcome for r in work.readings(numbered(count))) == expected(numbered(count))
    assert sum(s.stats()["repeated"] for s in servers) <= twice
    assert count <= sum(s.stats()["ok"] for s in servers) <= count + twice
    assert most_attempts(work.path.parent) <= 6


def test_a_slow_endpoint_gets_less(server, other, tmp_path):
    server.configure(median=0.02)
    other.configure(median=0.4)
    work = both(server, other, tmp_path, numbered(300))
    all_done_once(work, server, other, count=300)
    assert 0 < other.stats()["ok"] < server.stats()["ok"] / 3


def test_an_endpoint_that_is_dead_from_the_start_does_not_matter(server, other, tmp_path):
    server.configure(median=0.01)
    other.configure(dead=True)
    work = both(server, other, tmp_path, numbered(200))
    all_done_once(work, server, count=200)
    assert other.stats()["calls"] < 40
    assert work.meter.silent == [other.url]


def test_an_address_where_nobody_answers_does_not_matter_when_another_does(server, tmp_path):
    with FaultServer() as gone:
        pass
    server.configure(median=0.01)
    work = Annotating("", tmp_path, endpoints=[gone.url, server.url], max_attempts=6)
    assert read(work.run(numbered(200))) == expected(numbered(200))
    assert work.meter.silent == [gone.url]


@pytest.mark.parametrize("fault", ["auth", "quota_en"])
def test_an_endpoint_that_refuses_us_is_left_out_and_the_other_does_it_all(server, other, tmp_path, fault):
    server.configure(median=0.01)
    other.configure(faults={fault: 1.0}, fault_attempts=0)
    work = both(server, other, tmp_path, numbered(100))
    all_done_once(work, server, count=100)
    assert other.stats()["calls"] <= 8  # what was in flight there at the first refusal
    assert work.meter.note == f"{other.url} left out: {fault.removesuffix('_en')}"


@pytest.mark.parametrize("trouble", [{"dead": True}, {"faults": {"auth": 1.0}, "fault_attempts": 0}])
@pytest.mark.parametrize("more", [{}, {"more_models": ["n"], "concurrency": 1}])
def test_an_endpoint_that_cannot_tell_its_answer_formats_does_not_end_the_run(
    server, other, tmp_path, trouble, more
):
    other.configure(**trouble)
    work = both(
        server, other, tmp_path, numbered(30), output="auto", max_attempts=2, timeout=5, give_up=8, **more
    )
    readings = list(work.readings(numbered(30)))
    assert read(r.outcome for r in readings) == expected(numbered(30))
    assert {len(r.samples) for r in readings} == {2 if more else 1}


def test_an_endpoint_that_dies_on_the_way_is_left_alone_and_used_again_when_it_is_back(
    server, other, tmp_path
):
    for one in (server, other):
        one.configure(median=0.05)
    before, given = 0, 0

    def source() -> Iterator[Passage]:
        nonlocal before, given
        for given, one in enumerate(numbered(6000), 1):
            if given == 150:
                other.configure(dead=True)
            elif given == 450:
                before = other.stats()["ok"]
                other.configure(dead=False)
            elif given > 450 and given % 50 == 0 and other.stats()["ok"] > before + 20:
                yield one
                return
            yield one

    work = both(server, other, tmp_path, source(), most=16)
    assert 10 < before < 150
    assert given < 6000  # it came back in time
    all_done_once(work, server, other, count=given, died=True)


def test_a_server_that_restarts_is_waited_for(server, tmp_path):
    server.configure(median=0.1)
    passages = interrupted(numbered(300), n150=lambda: server.configure(down_until=time.time() + 1.0))
    began = time.monotonic()
    work = Annotating(server.url, tmp_path, max_attempts=6, start=64)
    work.collect(passages)
    assert time.monotonic() - began < 20
    all_done_once(work, server, count=300, died=True)


def test_each_model_goes_where_it_is_served_and_by_its_name_there(server, other, tmp_path):
    for one in (server, other):
        one.configure(record=True)
    endpoints = [
        {"base_url": server.url, "models": {"m": "org/M"}},
        {"base_url": other.url, "models": ["n"]},
    ]
    work = Annotating("", tmp_path, endpoints=endpoints, more_models=["n"])
    annotations(work.run(numbered(20)))
    assert {r["model"] for r in server.requests()} == {"org/M"}
    assert {r["model"] for r in other.requests()} == {"n"}
    assert (server.stats()["ok"], other.stats()["ok"]) == (20, 20)


# --- what ends a run ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("auth", r"auth: Incorrect API key provided: \*\*\*\.; check the key in OPENAI_API_KEY"),
        ("quota_en", r"quota: You exceeded your current quota\.; top up the account"),
        ("quota_zh", "quota: 账户余额不足，请充值后重试。; top up the account"),
    ],
)
def test_a_refusal_of_us_stops_the_run_with_one_line_and_keeps_what_was_answered(
    server, tmp_path, fault, words
):
    def refuse() -> None:
        server.configure(faults={fault: 1.0}, fault_attempts=0)

    work = Annotating(server.url, tmp_path, max_attempts=6, concurrency=4)
    with pytest.raises(EndpointError, match=words) as caught:
        work.collect(interrupted(numbered(300), n100=refuse))
    assert len(str(caught.value).splitlines()) == 1
    stats = server.stats()
    assert 50 < stats["ok"] < 110
    assert sum(stats["by_fault"].values()) <= 4
    server.configure(faults={})
    assert read(work.run(numbered(300))) == expected(numbered(300))
    assert server.stats()["repeated"] == 0


def test_a_refusal_of_all_endpoints_stops_the_run(server, other, tmp_path):
    server.configure(faults={"quota_en": 1.0}, fault_attempts=0)
    other.configure(faults={"auth": 1.0}, fault_attempts=0)
    with pytest.raises(EndpointError):
        both(server, other, tmp_path, numbered(300))
    assert server.stats()["calls"] + other.stats()["calls"] <= 16


def test_a_server_that_dies_for_good_stops_the_run_soon_and_it_goes_on_later(server, tmp_path):
    server.configure(median=0.02)
    work = Annotating(server.url, tmp_path, max_attempts=6, give_up=1.0)
    began = time.monotonic()
    with pytest.raises(
        StoppedError, match=r"no answer for 1 s \(last: transient: .*run the same command again to continue"
    ) as caught:
        work.collect(interrupted(numbered(500), n200=lambda: server.configure(dead=True)))
    assert time.monotonic() - began < 15
    assert caught.value.exit_code == 75
    assert str(caught.value).startswith(server.url)
    assert len(str(caught.value).splitlines()) == 1
    ok = server.stats()["ok"]
    assert 100 < ok <= 200
    server.configure(dead=False)
    assert read(work.run(numbered(500), retry=["transient"])) == expected(numbered(500))
    assert 500 <= server.stats()["ok"] <= 500 + unseen(work)


def test_a_run_that_goes_on_waits_for_a_server_that_is_away(tmp_path):
    with FaultServer() as server:
        work = Annotating(server.url, tmp_path, max_attempts=2, give_up=1.5)
        work.collect(numbered(20))
        port = int(server.url.split(":")[2].partition("/")[0])
    began = time.monotonic()
    with pytest.raises(StoppedError, match=r"no answer for 1.5 s \(last: unreachable: "):
        work.collect(numbered(40))
    assert 1.5 <= time.monotonic() - began < 10
    back: list[FaultServer] = []

    def start() -> None:
        back.append(FaultServer(port=port).__enter__())

    later = threading.Timer(1.0, start)
    later.start()
    try:
        again = Annotating(server.url, tmp_path, max_attempts=2, give_up=60)
        assert read(again.run(numbered(40))) == expected(numbered(40))
        assert back[0].stats()["ok"] == 20
    finally:
        later.join()
        for one in back:
            one.__exit__()


def test_an_address_that_never_answered_ends_the_run_at_once_whatever_another_one_answered(server, tmp_path):
    Annotating(server.url, tmp_path).collect(numbered(5))
    with FaultServer() as gone:
        pass
    with pytest.raises(EndpointError, match="unreachable: .*check --base-url"):
        Annotating(gone.url, tmp_path, max_attempts=2, give_up=60).collect(numbered(5))


def test_an_old_answer_does_not_end_the_pause_that_a_server_asks_for(tmp_path):
    passages = numbered(30)
    slow = {p.text: answer("[]", wait=0.4) for p in passages[:3]}
    refused = Reply("", status=429, headers={"Retry-After": "2"})
    with ChatServer({**slow, passages[3].text: [refused, answer("[]")]}, default=answer("[]")) as server:
        Annotating(server.url, tmp_path, start=4, max_attempts=3).collect(passages)
        first = server.requests[0].at
        times = sorted(asked.at - first for asked in server.requests)
    assert len(times) == 31
    assert [t for t in times if 0.35 < t < 1.9] == []  # the answers at 0.4 s were asked for before


def test_a_server_that_only_fails_is_not_asked_for_the_whole_corpus(server, tmp_path):
    server.configure(faults={"http_500": 1.0}, fault_attempts=0)
    taken: list[int] = []
    passages = ((taken.append(p.id) or p) for p in numbered(5000))
    work = Annotating(server.url, tmp_path, max_attempts=6, give_up=1.5)
    with pytest.raises(StoppedError, match="no answer for 1.5 s"):
        work.collect(passages)
    assert len(taken) < 500
    assert server.stats()["calls"] < 100


# --- budgets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [{}, {"reset": 0.1, "http_500": 0.1, "truncated_json": 0.1}])
def test_the_tokens_of_a_run_are_never_more_than_allowed_and_a_larger_budget_goes_on(
    server, tmp_path, faults
):
    server.configure(faults=faults, median=0.01)
    settings = {"answer_tokens": 100, "max_attempts": 6}
    work = Annotating(server.url, tmp_path, max_tokens=20_000, **settings)
    with pytest.raises(
        StoppedError, match=r"the budget is used up \([\d,]+ tokens spent; .*raise it"
    ) as caught:
        work.run(numbered(200))
    assert caught.value.exit_code == 75
    assert f"{work.account.budget.spent_tokens:,} tokens" in str(caught.value)
    first = server.stats()
    assert billed(server) <= work.account.budget.spent_tokens <= 20_000
    # It ended because the next request might not have fitted, and not long before.
    assert work.account.budget.spent_tokens > 20_000 - 1200
    assert left_in_flight(tmp_path) == 0
    with pytest.raises(StoppedError, match="the budget is used up"):
        work.run(numbered(200))
    assert server.stats()["calls"] == first["calls"]
    more = Annotating(server.url, tmp_path, max_tokens=10_000_000, **settings)
    assert read(more.run(numbered(200))) == expected(numbered(200))
    assert server.stats()["repeated"] == 0
    assert server.stats()["ok"] == 200
    if not faults:
        assert more.account.budget.spent_tokens == billed(server)


def test_the_money_of_a_run_is_never_more_than_allowed(server, tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "prices:\n- {models: [m], host: 127.0.0.1, input: 2000, output: 8000, currency: CNY}\n",
        encoding="utf-8",
    )
    server.configure(median=0.01)

    def cost() -> Decimal:
        stats = server.stats()
        return (stats["prompt_tokens"] * 2 + stats["completion_tokens"] * 8) / Decimal(1000)

    work = Annotating(server.url, tmp_path, max_cost="60 CNY", prices=str(prices), answer_tokens=100)
    with pytest.raises(StoppedError, match=r"the budget is used up \(¥5\d\.\d\d, [\d,]+ tokens spent; "):
        work.run(numbered(200))
    assert work.account.budget.spent_cost == cost() <= 60
    assert cost() > 55
    assert work.meter.cost == cost()
    done = server.stats()["ok"]
    more = Annotating(server.url, tmp_path, max_cost="100000", prices=str(prices), answer_tokens=100)
    assert read(more.run(numbered(200))) == expected(numbered(200))
    assert server.stats()["repeated"] == 0
    assert more.account.spent > 55
    assert done + more.meter.answers == 200


def test_a_budget_that_is_too_small_for_one_request_asks_nothing(server, tmp_path):
    with pytest.raises(StoppedError, match=r"the budget is used up \(0 tokens spent"):
        Annotating(server.url, tmp_path, max_tokens=100).run(numbered(3))
    assert server.stats()["calls"] == 0


# --- the dispatcher alone ----------------------------------------------------------------------------------------


class Stub:
    """An endpoint without a network: ``reply`` is given each request and how often it came before."""

    def __init__(self, reply: Callable[[str, int], str | Exception], wait: float = 0.0) -> None:
        self.endpoint = self.url = "http://stub/v1"
        self.key_place = "KEY"
        self.models: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.reply, self.wait, self.running, self.peak = reply, wait, 0, 0

    def serves(self, model: str) -> bool:
        return True

    def name_of(self, model: str) -> str:
        return model

    async def ask(self, request) -> Answer:
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await asyncio.sleep(self.wait)
        finally:
            self.running -= 1
        before = self.asked[request.passage]
        self.asked[request.passage] += 1
        said = self.reply(request.passage, before)
        if isinstance(said, Exception):
            raise said
        return Answer(said, {})


GOOD = answer("[]").body


class Work:
    """Tasks of one question each through a dispatcher of its own; what was taken and what ended."""

    def __init__(self, folder: Path, stub: Stub, *, start: int = 8, fixed: int = 0) -> None:
        self.stub, self.taken, self.told, self.ahead = stub, 0, 0, 0
        self.ended: dict[Any, Any] = {}
        self.path = folder / "ledger.sqlite"
        self.llm = LlmSettings(model="m", max_tokens=10)
        self.also: list[Stub] = []
        self.limiter = lambda: Limiter(fixed, fixed, fixed=True) if fixed else Limiter(start)

    def question(self, name: str):
        model = "n" if name.startswith("n") else "m"
        body = {"model": model, "messages": [{"role": "user", "content": name}], "max_tokens": 10}
        return (yield make_request(body, "e", name))

    def tasks(self, names: Iterable[str]):
        for name in names:
            self.taken += 1
            self.ahead = max(self.ahead, self.taken - self.told)
            yield name, self.question(name)

    def run(self, names: Iterable[str], during=None) -> dict[str, Any]:
        async def go(ledger):
            account = Account(Costs(load_prices()), Budget(None, None), Decimal(0))
            lanes = [Lane(s, self.limiter(), Rates(None, None)) for s in (self.stub, *self.also)]  # type: ignore[arg-type]
            self.lanes = lanes
            async with driving(Service([], ledger, account, Meter()), self.llm, lanes) as dispatcher:
                helper = asyncio.ensure_future(during(dispatcher)) if during else None
                try:
                    async for ended in dispatcher.results(self.tasks(names)):
                        self.ended[ended.owner] = ended.result
                        self.told += 1
                finally:
                    if helper:
                        await helper

        with Ledger(self.path) as ledger:
            asyncio.run(go(ledger))
        return self.ended


def test_what_waits_for_another_attempt_is_bounded_and_so_is_memory(tmp_path):
    def mostly_failing(name: str, before: int) -> str | Exception:
        # One answer in eight keeps the endpoint alive; the others wait a second.
        return GOOD if before or int(name) % 8 == 0 else CallError("transient", "busy", 1.0, status=500)

    work = Work(tmp_path, Stub(mostly_failing), start=64)
    ended = work.run(str(n) for n in range(5000))
    assert len(ended) == 5000
    assert all(heard.raw == GOOD for heard in ended.values())
    assert max(work.stub.asked.values()) == 2
    assert 1000 < work.ahead <= 2500


def test_the_same_question_is_asked_once_and_all_that_wait_for_it_are_told(tmp_path):
    work = Work(tmp_path, Stub(lambda name, before: GOOD, wait=0.05))
    names = [str(n % 3) for n in range(30)]
    work.tasks = lambda names: ((n, work.question(name)) for n, name in enumerate(names))  # type: ignore[method-assign]
    assert sorted(work.run(names)) == list(range(30))
    assert work.stub.asked == {"0": 1, "1": 1, "2": 1}


def test_tasks_that_wait_for_the_same_answer_are_bounded_too(tmp_path):
    work = Work(tmp_path, Stub(lambda name, before: GOOD, wait=0.3))
    work.run(["same"] * 8000)
    assert work.stub.asked == {"same": 1}
    assert work.taken == 8000
    assert work.ahead <= 2500


def test_a_model_that_nobody_serves_any_more_stops_the_run(tmp_path):
    def refuse(name: str, before: int) -> Exception:
        return CallError("auth", "wrong key", status=401)

    one, both = Stub(lambda name, before: GOOD, wait=0.3), Stub(refuse, wait=0.05)
    one.serves, both.endpoint = (lambda model: model == "m"), "http://both/v1"  # type: ignore[method-assign]
    work = Work(tmp_path, one, fixed=1)
    work.llm = LlmSettings(model="m", more_models=("n",), give_up=5)
    work.also = [both]
    with pytest.raises(EndpointError, match="http://both/v1: auth: wrong key; check the key in KEY"):
        work.run(["m first", "m second", "n third"])  # the second is what the other refuses
    assert both.asked == {"m second": 1}


def test_asking_it_to_stop_waits_for_what_is_in_flight(tmp_path):
    work = Work(tmp_path, Stub(lambda name, before: GOOD, wait=0.3), fixed=4)

    async def stop(dispatcher):
        await asyncio.sleep(0.1)
        dispatcher.stop(KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt):
        work.run(map(str, range(100)), stop)
    assert len(work.ended) == sum(work.stub.asked.values()) == 4
    with Ledger(work.path) as ledger:
        assert ledger.usage()[0] == 4
        assert ledger.recover() == 0


def test_an_interrupt_that_nobody_heeds_waits_for_nothing_and_forgets_nothing(tmp_path):
    work = Work(tmp_path, Stub(lambda name, before: GOOD, wait=30), fixed=4)

    async def stop(dispatcher):
        await asyncio.sleep(0.1)
        signal.raise_signal(signal.SIGINT)

    began = time.monotonic()
    # A suite that was started in the background ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            work.run(map(str, range(100)), stop)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 3
    with Ledger(work.path) as ledger:
        assert ledger.recover() == 4  # they may be paid
    assert work.lanes[0].limiter.in_flight == 0  # and the endpoint can be used again


def test_a_bug_in_a_task_ends_the_run_as_it_is(tmp_path):
    work = Work(tmp_path, Stub(lambda name, before: GOOD))

    def broken(name):
        yield from Work.question(work, name)
        raise LookupError(name)

    work.question = broken  # type: ignore[method-assign]
    with pytest.raises(LookupError):
        work.run(map(str, range(10)))


def test_a_bug_in_the_source_ends_the_run_and_what_is_in_flight_is_kept(tmp_path):
    work = Work(tmp_path, Stub(lambda name, before: GOOD, wait=0.2), fixed=4)

    def source():
        yield from "ab"
        raise LookupError("a bug")

    with pytest.raises(LookupError):
        work.run(source())
    with Ledger(work.path) as ledger:
        assert ledger.recover() == 0
        assert ledger.usage()[0] == sum(work.stub.asked.values()) == len(work.ended) == 2


def test_a_full_disk_ends_the_run_and_nothing_that_was_answered_is_asked_again(tmp_path):
    work = Work(tmp_path, Stub(lambda name, before: GOOD), fixed=4)
    original = Ledger.__enter__

    def limited(ledger):
        ledger.connection.execute("PRAGMA max_page_count = 40")
        return original(ledger)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "__enter__", limited)
        with pytest.raises(StoppedError, match="full; free some space and run the same command again"):
            work.run(map(str, range(5000)))
    sent, kept = sum(work.stub.asked.values()), len(work.ended)
    assert 20 < kept <= sent <= kept + 4
    work.run(map(str, range(sent + 50)))
    twice = [name for name, times in work.stub.asked.items() if times > 1]
    assert len(twice) <= sent - kept


def test_a_small_ledger_is_no_torn_database(tmp_path):
    work = Work(tmp_path, Stub(lambda name, before: GOOD))
    work.run("abc")
    connection = sqlite3.connect(work.path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_an_endpoint_that_does_not_tell_its_usage_is_held_to_the_budget_all_the_same(tmp_path):
    tree = json.loads(answer("[]").body)
    del tree["usage"]
    with ChatServer(default=Reply(json.dumps(tree))) as quiet:
        work = Annotating(quiet.url, tmp_path, max_tokens=6000, answer_tokens=100, concurrency=2)
        with pytest.raises(StoppedError, match="the budget is used up"):
            work.collect(numbered(50))
        assert 0 < len(quiet.requests) < 20


def test_too_many_failures_do_not_give_up_what_is_in_flight(tmp_path):
    passages = numbered(60)
    script: dict[str, Reply] = {p.text: sensitive() for p in passages[:50]}
    script |= {p.text: answer("[]", wait=1.5) for p in passages[50:]}
    with ChatServer(script) as slow:
        work = Annotating(slow.url, tmp_path, concurrency=60, max_failure_rate=0.1)
        with pytest.raises(StoppedError, match="passages failed"):
            work.collect(passages)
        assert held(tmp_path) == 10
