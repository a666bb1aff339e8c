"""Batches: what is submitted stands in the ledger first, nothing is created twice, answers are joined by key."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from asking import CANARY, ENVIRON, attempts
from chat_server import ChatServer
from fault_server import FaultServer

from sinoner.errors import EndpointError, StoppedError
from sinoner.llm.attempt import Attempt
from sinoner.llm.batch_api import BatchApi, in_chunks, line
from sinoner.llm.batch_records import Batch, BatchBook
from sinoner.llm.client import Client
from sinoner.llm.ledger import Ledger
from sinoner.llm.request import Request, make_request
from sinoner.settings import EndpointSettings, LlmSettings


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def running():
    with FaultServer() as server:
        yield server


@pytest.fixture
def server(running):
    return running.fresh(batch_delay=0.05)


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        yield ledger


@pytest.fixture
def book(ledger):
    return BatchBook(ledger)


def client(url: str, **more: object) -> Client:
    return Client(LlmSettings(model="m", base_url=url, timeout=10, **more), environ=ENVIRON)


def request(text: str = "王明在上海。", model: str = "m") -> Request:
    body = {"model": model, "messages": [{"role": "user", "content": f"文本：{text}"}], "max_tokens": 512}
    return make_request(body, "x", f"id of {text}")


def written(book: BatchBook, of: Client, folder: Path, requests: list[Request]) -> tuple[Batch, Path]:
    """A batch that is ready to be sent, and its file."""
    mark = f"mark{len(list(folder.iterdir()))}"
    number, path = book.begin(of.endpoint, mark), folder / f"{mark}.jsonl"
    path.write_text("".join(line(r, of) for r in requests), encoding="utf-8")
    book.put(number, of.endpoint, requests)
    book.ready(number)
    return next(b for b in book.open_ones() if b.id == number), path


def reopened(book: BatchBook, batch: Batch) -> Batch:
    return next(b for b in book.open_ones() if b.id == batch.id)


def listed(of: Client) -> list:
    """The batches at the server, newest first."""
    return list(of.openai().batches.list(limit=100))


def finished(api: BatchApi, book: BatchBook, batch: Batch) -> tuple[Batch, object]:
    """A sent batch and its status when it is over."""
    sent = reopened(book, batch)
    while (status := api.status(sent.remote)).status not in ("completed", "expired", "failed", "cancelled"):
        pass
    return sent, status


# --- lines -----------------------------------------------------------------------------------------------------


def test_a_line_is_the_request_as_it_is_sent_online_under_its_key():
    asked = request("王明说：\n“你好”\u2028。")
    text = line(asked, client("http://127.0.0.1:1/v1"))
    assert text.count("\n") == 1
    assert "王明" in text
    tree = json.loads(text)
    assert tree == {
        "custom_id": asked.key,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": json.loads(asked.payload),
    }


def test_a_line_names_the_model_as_the_endpoint_does():
    own = EndpointSettings(base_url="http://127.0.0.1:1/v1", models={"m": "m-2024"})
    renamed = Client(LlmSettings(model="m"), own, ENVIRON)
    assert json.loads(line(request(), renamed))["body"]["model"] == "m-2024"


def test_result_lines_come_in_chunks_and_none_is_lost():
    items = [(str(n), Attempt("e"), False) for n in range(1101)]
    chunks = list(in_chunks(iter(items)))
    assert [len(c) for c in chunks] == [500, 500, 101]
    assert [x for c in chunks for x in c] == items
    assert list(in_chunks(iter([]))) == []


# --- submitting ------------------------------------------------------------------------------------------------


def test_a_batch_is_uploaded_and_created_once_under_our_mark(server, book, tmp_path):
    at = client(server.url)
    batch, file = written(book, at, tmp_path, [request(), request("李红。")])
    assert (batch.state, batch.file, batch.remote, batch.requests) == ("ready", None, None, 2)
    BatchApi(at).submit(batch, file, book)
    (remote,) = listed(at)
    now = reopened(book, batch)
    assert (now.state, now.remote, now.file) == ("sent", remote.id, remote.input_file_id)
    assert remote.metadata == {"sinoner": batch.mark}
    assert (remote.endpoint, remote.completion_window) == ("/v1/chat/completions", "24h")


def test_an_upload_whose_answer_is_lost_is_made_again(server, book, tmp_path):
    server.configure(drop_after_upload=True)
    at = client(server.url)
    batch, file = written(book, at, tmp_path, [request()])
    with pytest.raises(
        StoppedError, match=f"{server.url}: batch mode: .*; run the same command again"
    ) as caught:
        BatchApi(at).submit(batch, file, book)
    assert len(str(caught.value).splitlines()) == 1
    assert listed(at) == []
    assert reopened(book, batch) == batch
    BatchApi(at).submit(batch, file, book)
    assert reopened(book, batch).state == "sent"
    assert len(listed(at)) == 1


@pytest.mark.parametrize("no_metadata", [False, True])
def test_a_batch_whose_creation_was_not_answered_is_found_and_not_created_twice(
    no_metadata, server, book, tmp_path
):
    server.configure(drop_after_create=True, batch_no_metadata=no_metadata)
    at = client(server.url)
    batch, file = written(book, at, tmp_path, [request()])
    with pytest.raises(StoppedError, match="run the same command again"):
        BatchApi(at).submit(batch, file, book)
    half = reopened(book, batch)
    assert (half.state, half.remote) == ("ready", None)
    assert half.file is not None
    file.unlink()  # it is at the endpoint already
    BatchApi(at).submit(half, file, book)
    (remote,) = listed(at)
    assert (reopened(book, batch).state, reopened(book, batch).remote) == ("sent", remote.id)
    assert remote.input_file_id == half.file


def test_a_batch_that_was_uploaded_and_not_created_is_created_from_that_file(server, book, tmp_path):
    server.configure(batch_delay=60)  # its results would be files as well
    at = client(server.url)
    batch, file = written(book, at, tmp_path, [request()])
    uploaded = at.openai().files.create(file=(file.name, file.read_bytes()), purpose="batch")
    book.uploaded(batch.id, uploaded.id)
    BatchApi(at).submit(reopened(book, batch), file, book)
    (remote,) = listed(at)
    assert remote.input_file_id == uploaded.id
    assert [f.id for f in at.openai().files.list()] == [uploaded.id]


def test_an_earlier_batch_is_found_behind_a_hundred_others(server):
    at = client(server.url)
    api, openai = BatchApi(at), at.openai()

    def create(data: bytes, **metadata: str) -> tuple[str, str]:
        file = openai.files.create(file=("f.jsonl", io.BytesIO(data)), purpose="batch")
        made = openai.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata=metadata
        )
        return made.id, file.id

    data = line(request(), at).encode()
    mine, file = create(data, sinoner="mine")
    for n in range(120):
        create(data, sinoner=f"other{n}")
    assert api.created("mine", "file-none") == mine
    assert api.created("no such mark", file) == mine
    assert api.created("no such mark", "file-none") is None


def test_an_endpoint_without_batches_says_so_in_one_line(book, tmp_path):
    with ChatServer() as chat:
        at = client(chat.url)
        batch, file = written(book, at, tmp_path, [request()])
        with pytest.raises(
            EndpointError, match="it may have no batch mode: leave --mode batch away"
        ) as caught:
            BatchApi(at).submit(batch, file, book)
    assert str(caught.value).startswith(chat.url)
    assert len(str(caught.value).splitlines()) == 1
    assert CANARY not in str(caught.value)


def test_an_endpoint_that_is_down_is_tried_again_later(server, book, tmp_path):
    at = client(server.url)
    batch, file = written(book, at, tmp_path, [request()])
    server.configure(dead=True)
    with pytest.raises(StoppedError, match="run the same command again"):
        BatchApi(at).submit(batch, file, book)
    assert reopened(book, batch) == batch


# --- results ---------------------------------------------------------------------------------------------------


def test_answers_are_joined_by_key_and_failures_say_whether_they_are_final(server, book, tmp_path):
    marks = ["", "⟦http_500⟧", "⟦content_filter_en⟧", "⟦context_length⟧", "⟦quota_en⟧", "⟦rate_limit⟧"]
    asked = {mark: request(f"王明{mark}在第{n}街。") for n, mark in enumerate(marks)}
    server.configure(batch_duplicate=True)
    at = client(server.url)
    api = BatchApi(at)
    batch, file = written(book, at, tmp_path, list(asked.values()))
    api.submit(batch, file, book)
    sent, status = finished(api, book, batch)
    found = {key: (attempt, final) for key, attempt, final in api.results(status, tmp_path)}
    assert found.keys() == {r.key for r in asked.values()}
    said = {mark: (found[r.key][0].error, found[r.key][1]) for mark, r in asked.items()}
    assert said == {
        "": (None, False),
        "⟦http_500⟧": ("transient", False),
        "⟦content_filter_en⟧": ("content_filter", True),
        "⟦context_length⟧": ("context_length", True),
        "⟦quota_en⟧": ("quota", False),
        "⟦rate_limit⟧": ("rate_limit", False),
    }
    good = found[asked[""].key][0]
    assert "第0街" in json.loads(good.raw)["choices"][0]["message"]["content"]
    assert (good.endpoint, good.batch, good.status, good.measured) == (at.endpoint, sent.remote, 200, True)
    assert good.tokens[0] > 0
    assert good.tokens[1] > 0
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.suffix == ".jsonl") == [".jsonl"]  # our own only


def test_an_expired_batch_brings_what_was_done(server, book, tmp_path):
    server.configure(batch_fraction=0.5)
    at = client(server.url)
    api = BatchApi(at)
    asked = [request(f"王明在第{n}街。") for n in range(10)]
    batch, file = written(book, at, tmp_path, asked)
    api.submit(batch, file, book)
    sent, status = finished(api, book, batch)
    assert status.status == "expired"
    assert book.answer(sent, api.results(status, tmp_path)) == 5
    assert book.close(sent.id) == 5
    assert not any(book.holds(r.key) for r in asked)


@pytest.mark.parametrize(
    "row",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        '{"response": {"status_code": 200, "body": {}}}',
        '{"custom_id": "k", "response": null, "error": {"code": "batch_expired", "message": "late"}}',
        '{"custom_id": "k", "response": "x"}',
        '{"custom_id": "k", "response": {"status_code": 0, "request_id": "", "body": null}}',
        '{"custom_id": "k", "response": {"status_code": null, "body": {"error": {"message": "m"}}}}',
        '{"custom_id": "k", "response": {"body": {"error": {"message": "m"}}}}',
    ],
)
def test_a_line_that_brings_nothing_is_passed_over(row):
    assert BatchApi(client("http://127.0.0.1:1/v1"))._read(row, "batch_1") is None


@pytest.mark.parametrize(
    ("response", "error"),
    [
        ({"status_code": 200, "body": {}}, "transient"),
        ({"status_code": 200, "body": None}, "transient"),
        ({"status_code": 200, "body": "<html>"}, "transient"),
        ({"status_code": 400, "body": {"error": {"message": "敏感"}}}, "content_filter"),
        ({"status_code": "400", "body": {"error": {"message": "unknown field"}}}, "bad_request"),
    ],
)
def test_any_answer_of_a_line_is_a_kind_of_failure_and_never_a_crash(response, error):
    row = json.dumps({"custom_id": "k", "response": response})
    key, attempt, _ = BatchApi(client("http://127.0.0.1:1/v1"))._read(row, "batch_1")
    assert (key, attempt.error, attempt.batch) == ("k", error, "batch_1")


def test_a_result_does_not_keep_the_key(server):
    row = json.dumps(
        {"custom_id": "k", "response": {"status_code": 401, "body": {"error": {"message": f"bad {CANARY}"}}}}
    )
    _, attempt, _ = BatchApi(client(server.url))._read(row, "batch_1")
    assert CANARY not in repr(attempt)


# --- the book --------------------------------------------------------------------------------------------------


def good(content: str = "[]") -> Attempt:
    raw = json.dumps({"choices": [{"message": {"content": content}}]})
    return Attempt("e", 0, 200, None, "", raw, "stop", (11, 7, 0), True, "batch_1")


def bad(kind: str = "transient") -> Attempt:
    return Attempt("e", 0, 500, kind, "trouble", batch="batch_1")


def held(book: BatchBook, asked: list[Request], mark: str = "a") -> Batch:
    number = book.begin("e", mark)
    book.put(number, "e", asked)
    book.ready(number)
    return next(b for b in book.open_ones() if b.id == number)


def test_only_the_first_answer_to_a_key_counts(book, ledger):
    one, two = request("一。"), request("二。")
    batch = held(book, [one, two])
    items = [(one.key, good("[1]"), False), (one.key, good("[2]"), False), ("no such key", good(), False)]
    assert book.answer(batch, items) == 1
    assert book.answer(batch, items) == 0  # the file is read again after a kill
    assert ledger.usage() == (1, 11, 7)
    assert "[1]" in ledger.find(one.key).raw
    assert ledger.find(two.key) is None
    assert book.close(batch.id) == 1


def test_the_answer_of_another_batch_is_passed_over(book, ledger):
    one, two = request("一。"), request("二。")
    first, second = held(book, [one], "a"), held(book, [two], "b")
    assert book.answer(first, [(two.key, good(), False)]) == 0
    assert book.answer(second, [(two.key, good(), False)]) == 1
    assert ledger.find(one.key) is None


def test_only_answers_and_final_failures_are_news(book, ledger):
    asked = [request(f"{n}。") for n in range(3)]
    batch = held(book, asked)
    brought = [
        (asked[0].key, bad(), False),
        (asked[1].key, bad("content_filter"), True),
        (asked[2].key, good(), False),
    ]
    assert book.answer(batch, brought) == 2
    assert [ledger.find(r.key) and ledger.find(r.key).failed for r in asked] == [None, "content_filter", None]
    assert attempts(ledger) == 3
    assert book.close(batch.id) == 1


def test_requests_on_their_way_in_a_batch_are_not_lost_by_a_restart(book, ledger):
    asked = [request(f"{n}。") for n in range(3)]
    batch = held(book, asked)
    online = request("online")
    ledger.start([(online, "e")])
    assert ledger.recover() == 1
    assert all(book.holds(r.key) for r in asked)
    assert not book.holds(online.key)
    prompt = sum(r.bound[0] for r in asked)
    assert book.reserved() == [(batch.id, "e", "m", prompt, 3 * 512)]
    book.close(batch.id)
    assert book.reserved() == []
    assert not any(book.holds(r.key) for r in asked)
    assert book.open_ones() == []


def test_open_batches_survive_the_process(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        book = BatchBook(ledger)
        ready, sent, half = (
            held(book, [request("一。")], "a"),
            held(book, [request("二。")], "b"),
            book.begin("e", "c"),
        )
        book.uploaded(sent.id, "file-1")
        book.sent(sent.id, "batch_1")
        done = held(book, [request("三。")], "d")
        book.close(done.id, "why")
    with Ledger(tmp_path / "l.sqlite") as ledger:
        found = BatchBook(ledger).open_ones()
    assert found == [
        Batch(ready.id, "e", "a", None, None, "ready", 1),
        Batch(sent.id, "e", "b", "file-1", "batch_1", "sent", 1),
        Batch(half, "e", "c", None, None, "writing", 0),
    ]


def test_a_request_of_two_batches_is_on_its_way_in_the_newer_one(book, ledger):
    one = request()
    first = held(book, [one], "a")
    book.close(first.id, "expired")
    second = held(book, [one], "b")
    assert book.answer(first, [(one.key, good("late"), False)]) == 0
    assert book.answer(second, [(one.key, good(), False)]) == 1
    assert attempts(ledger) == 1
