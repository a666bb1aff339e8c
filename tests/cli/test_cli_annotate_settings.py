"""``sinoner annotate`` with budgets, several answers, closed types, demonstrations, several servers and labels by hand."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotators import label
from chat_server import ChatServer, answer, filtered, server_error
from test_cli_annotate import GOOD, TEXTS, Job, ok, stopped

from sinoner.run import screen


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with ChatServer(default=GOOD) as server:
        yield Job(tmp_path, server)


def recipe(job: Job, text: str) -> Path:
    """A recipe for the job's corpus and server."""
    path = job.folder / "r.yaml"
    head = f"corpus: {{sources: my.jsonl}}\nout: {job.run}\n"
    path.write_text(head + text.replace("URL", job.server.url), encoding="utf-8")
    return path


# what is said while it works ----------------------------------------------------------------------------------------


def test_away_from_a_terminal_the_run_says_plain_lines(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "_EVERY", 0.3)
    job.server.default = answer("[]", wait=0.2)
    job.server.script = {TEXTS[0]: (filtered(),)}
    said = ok(job("--concurrency", "1"))
    lines = [line for line in said.splitlines() if re.match(r"annotate: \d of 6 ", line)]
    assert len(lines) >= 2
    assert not re.search(r"\x1b|\r", said)
    for line in [x for x in lines if not x.endswith(" writing")]:
        assert re.search(r"\d failed · \d waiting · ", line)
        assert re.search(r"[01]/1 in flight", line)
    assert any(re.search(r"\d\.\d passages/s · \d+ tokens/s · ETA \d:\d\d$", line) for line in lines)
    assert "annotate: 5 done, 1 failed, 0 waiting (6 answers in this run" in said


def test_the_cost_is_said_when_a_price_is_known(job: Job) -> None:
    assert "annotate: 6 done, 0 failed, 0 waiting (6 answers in this run, 108 tokens, ¥54.00 so far)" in ok(
        job(prices(job))
    )


# limits -------------------------------------------------------------------------------------------------------------


def prices(job: Job, text: str = "") -> str:
    """An override for a price file of half a ¥ a token."""
    path = job.folder / "prices.yaml"
    entry = "prices: [{models: [m], input: 500000, output: 500000, currency: CNY}]\n"
    path.write_text(entry + text, encoding="utf-8")
    return f"llm.prices={path}"


def test_a_budget_without_a_price_is_refused(job: Job) -> None:
    said = stopped(job("--max-cost", "5CNY"), 2, "no price is known for m at http://127.0.0.1", "llm.prices=")
    assert "--max-tokens" in said
    assert len(said.splitlines()) == 1
    assert job.server.requests == []


@pytest.mark.parametrize(
    ("money", "said"),
    [("viel", "'viel' is not a sum of money"), ("5EUR", "for example"), ("5USD", "exchange: {USD_CNY: 7.1}")],
)
def test_a_budget_that_is_none_is_one_line(job: Job, money: str, said: str) -> None:
    assert len(stopped(job("--max-cost", money, prices(job)), 2, said).splitlines()) == 1
    assert job.server.requests == []


def spent(job: Job) -> int:
    """The tokens that were paid: the server says 11 and 7 each time."""
    return 18 * len(job.server.requests)


def test_a_budget_of_money_is_kept_and_a_higher_one_goes_on(job: Job) -> None:
    words = ("--concurrency", "1", "llm.max_tokens=20", prices(job, "exchange: {USD_CNY: 10}"))
    said = stopped(
        job(*words, "--max-cost", "245CNY"), 75, "the budget is used up (¥", "raise it", "--reparse"
    )
    assert 0 < len(job.server.requests) < 6
    assert spent(job) / 2 <= 245
    assert f"¥{spent(job) / 2:.2f}, {spent(job)} tokens spent" in said
    assert len(said.splitlines()) == 1
    before = len(job.server.requests)
    stopped(job(*words, "--max-cost", "24.5 USD"), 75, "the budget is used up ($")
    assert len(job.server.requests) == before  # what an earlier run spent counts
    ok(job(*words, "--max-cost", "¥10000"))
    assert len(job.server.requests) == 6


def test_a_budget_of_tokens_is_kept(job: Job) -> None:
    words = ("--concurrency", "4", "llm.max_tokens=20")
    stopped(job(*words, "--max-tokens", "490"), 75, "the budget is used up", "run the same command to go on")
    assert 0 < len(job.server.requests) < 6
    assert spent(job) <= 490
    assert "not_asked" in ok(job(*words, "--max-tokens", "490", "--reparse"))
    assert len(job.done) == len(job.server.requests)
    ok(job(*words))
    assert len(job.server.requests) == 6
    assert job.reasons == {}


def test_too_many_failures_stop_the_run(job: Job) -> None:
    job.server.default = filtered()
    words = ("--concurrency", "1", "--max-failure-rate", "0.01")
    said = stopped(
        job(*words), 75, "3 of the last 3 passages failed (3 content_filter)", "--max-failure-rate 0.01"
    )
    assert "--retry-failed" in said
    assert len(said.splitlines()) == 1
    assert len(job.server.requests) == 3
    job.server.default = GOOD
    ok(job(*words))  # the same command goes on behind the failures
    assert len(job.server.requests) == 6
    assert job.reasons == {"content_filter": 3}
    ok(job(*words, "--retry-failed", "content_filter"))
    assert job.reasons == {}


def test_a_server_that_is_down_for_too_long_stops_the_run(job: Job) -> None:
    job.server.default = server_error(503)
    job.server.script = {TEXTS[0]: (GOOD,)}
    stopped(
        job("llm.give_up=0.5"),
        75,
        "no answer for 0.5 s",
        "Internal error",
        "run the same command again to continue",
    )
    job.server.default = GOOD
    ok(job())
    assert job.server.asked(TEXTS[0]) == 1


def test_ctrl_c_waits_for_what_is_in_flight_and_the_same_command_goes_on(job: Job) -> None:
    job.server.default = answer("[]", wait=0.7)
    words = ("--out", str(job.run), "--model", "m", "--base-url", job.server.url, "llm.output=text")
    command = [sys.executable, "-m", "sinoner", "annotate", str(job.corpus), *words, "--concurrency", "2"]
    env = {**os.environ, **job.server.env()}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    deadline = time.monotonic() + 30
    while len(job.server.requests) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 75, said
    assert "annotate: stopping; waiting for the requests in flight" in said
    sent = len(job.server.requests)
    assert f"annotate: {sent} done, 0 failed, {6 - sent} waiting ({sent} answers in this run" in said
    assert "Run the same command again to continue" in said
    assert "Traceback" not in said
    assert 3 <= sent <= 4
    ok(job())
    assert [job.server.asked(text) for text in TEXTS] == [1] * 6


# several answers ----------------------------------------------------------------------------------------------------


def test_samples_without_a_temperature_are_refused(job: Job) -> None:
    said = stopped(job("--samples", "3"), 2, "annotate.samples=3", "llm.temperature=0.7")
    assert len(said.splitlines()) == 1
    assert job.server.requests == []


def test_samples_are_kept_beside_the_annotations(job: Job) -> None:
    job.server.script = {TEXTS[1]: (answer('[{"王明": "人名"}]'), answer("[]"))}
    words = ("llm.temperature=0.7", "--concurrency", "1")
    ok(job(*words))
    ok(job(*words, "--samples", "2"))  # only the second ones are new
    assert [job.server.asked(text) for text in TEXTS] == [2] * 6
    samples = job.rows("samples.jsonl")
    assert Counter(s["passage"]["id"] for s in samples) == {f"d{n}#0": 2 for n in range(6)}
    assert [label(s) for s in samples[:2]] == ["m@extract.zh.v1", "m@extract.zh.v1#2"]
    assert [len(s["entities"]) for s in samples[2:4]] == [1, 0]
    assert job.done == [f"d{n}#0" for n in range(6)]
    assert job.rows("annotations.jsonl") == samples[::2]
    assert job.reasons == {}
    ok(job(*words))
    assert not (job.run / "samples.jsonl").exists()


def test_more_models_label_every_passage(job: Job) -> None:
    job.server.script = {TEXTS[0]: (answer("很抱歉，我不能协助处理这个请求。"), GOOD)}
    ok(job("llm.more_models=[n, k]", "--concurrency", "1"))
    assert Counter(r.body["model"] for r in job.server.requests) == {"m": 6, "n": 6, "k": 6}
    samples = job.rows("samples.jsonl")
    assert [label(s) for s in samples[:5]] == [
        f"{model}@extract.zh.v1" for model in ("n", "k", "m", "n", "k")
    ]
    assert job.rows("annotations.jsonl")[0] == samples[0]  # where one model failed the next one stands in
    assert job.reasons == {}


# what is asked ------------------------------------------------------------------------------------------------------


def test_a_closed_list_of_types(job: Job) -> None:
    job.server.default = answer('[{"王明": "人名"}, {"上海": "城市"}, {"上海": " 地点"}]')
    ok(job("--types", "人名，地点"))
    assert "- 人名\n- 地点" in job.server.requests[0].body["messages"][0]["content"]
    assert {e["type"] for r in job.rows("annotations.jsonl") for e in r["entities"]} == {"人名", "地点"}
    rejects = job.rows("rejects/annotate.jsonl")
    assert {(r["reason"], r["detail"], r["unit"]) for r in rejects} == {
        ("type_not_listed", "上海 (城市)", "entity")
    }
    assert len(rejects) == 6
    counts = json.loads((job.run / "manifest.json").read_text("utf-8"))["stages"]["annotate"]["counts"]
    assert counts["entity"] == {"in": 18, "out": 12, "rejected": 6}
    assert label(job.rows("annotations.jsonl")[0]) == "m@extract.zh.v1+types"


def test_types_with_definitions_stand_in_the_question_and_in_the_schema(job: Job) -> None:
    entities = [{"mention": "王明", "type": "人名"}]
    job.server.default = answer(json.dumps({"entities": entities}, ensure_ascii=False))
    types = "annotate: {types: {人名: 真实的人的姓名, 地点: ''}, domain: 街道名录}\n"
    ok(job.sinoner("annotate", recipe(job, types + "llm: {model: m, base_url: URL}\n")))
    body = job.server.requests[-1].body
    assert "街道名录" in body["messages"][0]["content"]
    assert "- 人名：真实的人的姓名\n- 地点" in body["messages"][0]["content"]
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["entities"]["items"]["properties"]["type"]["enum"] == ["人名", "地点"]
    assert len(job.done) == 6


def test_demonstrations_are_shown_before_the_question(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {
            "id": "a",
            "text": "李红在上海。",
            "entities": [{"start": 0, "end": 2, "type": "人名", "text": "李红"}],
        },
        {
            "id": "b",
            "text": "王明在北京。",
            "entities": [{"start": 3, "end": 5, "type": "地点", "text": "北京"}],
        },
        {"id": "c", "text": "好雨知时节", "entities": []},
    ]
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
    (job.folder / "gold.jsonl").write_text(lines, encoding="utf-8")
    monkeypatch.chdir(job.folder)
    ok(job("annotate.demonstrations=gold.jsonl", "annotate.shots=2", "--concurrency", "1"))
    messages = job.server.requests[0].body["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert {m["content"] for m in messages[2:5:2]} == {'[{"李红": "人名"}]', '[{"北京": "地点"}]'}
    assert messages[-1]["content"].endswith(TEXTS[0])
    assert label(job.rows("annotations.jsonl")[0]) == "m@extract.zh.v1+shots"
    said = stopped(job("annotate.demonstrations=none.jsonl", "--new-run"), 2, "none.jsonl")
    assert len(said.splitlines()) == 1


# several servers, labels by hand ------------------------------------------------------------------------------------


def test_two_servers_share_the_work(job: Job) -> None:
    job.server.default = answer("[]", wait=0.05)
    with ChatServer(default=answer("[]", wait=0.05)) as other:
        endpoints = f"[{{base_url: URL, concurrency: 1}}, {{base_url: {other.url}, models: {{m: big}}, concurrency: 1}}]"
        path = recipe(job, f"llm: {{model: m, output: text, endpoints: {endpoints}}}\n")
        ok(job.sinoner("annotate", path))
        asked = [r.question for r in (*job.server.requests, *other.requests)]
        assert len(asked) == len(set(asked)) == 6
        assert job.server.requests
        assert {r.body["model"] for r in job.server.requests} == {"m"}
        assert {r.body["model"] for r in other.requests} == {"big"}
    assert job.reasons == {}


def test_the_work_goes_on_where_one_server_is_gone(job: Job) -> None:
    with ChatServer() as gone:
        pass
    endpoints = f"[{gone.url}, URL]"
    path = recipe(job, f"llm: {{model: m, output: text, endpoints: {endpoints}}}\n")
    ok(job.sinoner("annotate", path))
    assert len(job.server.requests) == 6
    said = stopped(
        job.sinoner("annotate", path, f"llm.endpoints=[{gone.url}, {gone.url}]", "--force"), 2, "twice"
    )
    assert len(said.splitlines()) == 1


def test_labels_by_hand_are_kept_and_only_the_rest_is_asked(job: Job) -> None:
    rows = [{"id": f"d{n}", "text": text} for n, text in enumerate(TEXTS)]
    rows[2]["entities"] = [{"start": 0, "end": 2, "type": "姓名", "text": "王明"}]  # type: ignore[assignment]
    rows[4]["entities"] = []  # type: ignore[assignment]
    job.corpus.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    path = recipe(job, "llm: {model: m, base_url: URL, output: text}\n")
    said = ok(job.sinoner("annotate", path))
    assert "annotate: 4 done, 0 failed, 0 waiting (4 answers in this run" in said
    assert [job.server.asked(text) for text in TEXTS] == [1, 1, 0, 1, 0, 1]
    found = {
        r["passage"]["id"]: (label(r), [e["type"] for e in r["entities"]])
        for r in job.rows("annotations.jsonl")
    }
    assert found["d2#0"] == ("human", ["姓名"])
    assert found["d4#0"] == ("human", [])
    assert found["d0#0"] == ("m@extract.zh.v1", ["人名", "地点"])
    assert job.reasons == {}
    ok(job.sinoner("annotate", path, "annotate.keep_human=false"))
    assert [job.server.asked(text) for text in TEXTS] == [1] * 6
    assert {label(r) for r in job.rows("annotations.jsonl")} == {"m@extract.zh.v1"}


def test_run_refuses_other_questions_too(job: Job) -> None:
    path = recipe(job, "llm: {model: m, base_url: URL, output: text}\nretrieve: {strategy: none}\n")
    ok(job.sinoner("build-it-set", path))
    stopped(job.sinoner("run", path, "llm.model=n"), 2, "llm.model: 'm' → 'n'", "--new-run")
    assert len(job.server.requests) == 6
    stopped(job.sinoner("run", path, "llm.model=n", "--new-run"), 2, "train.base")  # annotating went well
    assert {label(r) for r in job.rows("annotations.jsonl")} == {"n@extract.zh.v1"}
    assert len(job.server.requests) == 12
