"""The fault server does what the other tests count on: answers, every fault, limits and a batch."""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import fault_answers
import fault_server
import openai
import pytest
from fault_answers import FAULTS, KEY, answer_for
from fault_server import FaultServer

PASSAGE = "王明从上海第12街来，王明认识Marie Curie。"


@pytest.fixture(scope="module")
def shared() -> Iterator[FaultServer]:
    with FaultServer(median=0.01) as running:
        yield running


@pytest.fixture
def server(shared: FaultServer) -> FaultServer:
    """One process for all tests, as new for each of them."""
    defaults = FaultServer(median=0.01).options
    shared.configure(**defaults)
    shared.reset()
    return shared


class Answer:
    """What came back for a chat request."""

    def __init__(
        self, server: FaultServer, passage: str, *later: dict[str, str], timeout: float = 5, **more: Any
    ):
        messages = [
            {"role": "system", "content": "s"},
            {"role": "user", "content": f"任务：\n文本：{passage}"},
            *later,
        ]
        connection = http.client.HTTPConnection(server.url.split("/")[2], timeout=timeout)
        try:
            body = json.dumps({"model": "m", "messages": messages, **more})
            connection.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {KEY}"})
            response = connection.getresponse()
            self.status, self.headers = response.status, response.headers
            self.text = response.read(10 if "⟦drip⟧" in passage else None).decode(errors="replace")
        finally:
            connection.close()

    @property
    def choice(self) -> tuple[str, str]:
        """Content and finish_reason."""
        choice = json.loads(self.text)["choices"][0]
        return choice["message"]["content"], choice["finish_reason"]


def right(passage: str) -> str:
    return json.dumps([{mention: kind} for mention, kind in answer_for(passage)], ensure_ascii=False)


def test_healthy_answers_follow_the_passage_and_the_format(server: FaultServer) -> None:
    pairs = [("王明", "人名"), ("上海", "地点"), ("第12街", "街道"), ("Marie Curie", "person")]
    assert answer_for(PASSAGE) == pairs
    plain = Answer(server, PASSAGE)
    assert plain.choice == (right(PASSAGE), "stop")
    usage = json.loads(plain.text)["usage"]
    prompt = len(f"s任务：\n文本：{PASSAGE}")
    assert usage == {
        "prompt_tokens": prompt,
        "completion_tokens": len(right(PASSAGE)),
        "total_tokens": prompt + len(right(PASSAGE)),
    }
    for form in ("json_object", "json_schema"):
        content, _ = Answer(server, PASSAGE, response_format={"type": form}).choice
        assert json.loads(content)["entities"][1] == {"mention": "上海", "type": "地点"}
    stats = server.stats()
    assert (stats["calls"], stats["ok"], stats["paid"]) == (3, 3, 3)
    assert (stats["passages"], stats["repeated"], stats["auth"]) == (1, 2, [f"Bearer {KEY}"])
    assert stats["prompt_tokens"] == 3 * prompt


ERRORS = {
    "http_500": ({500}, "server_error"),
    "http_502": ({502}, "<html>"),
    "http_503": ({503}, "overloaded"),
    "http_504": ({504}, "<html>"),
    "rate_limit": ({429}, "rate_limit_exceeded"),
    "rate_limit_zh": ({400, 429}, "并发数过高"),
    "wrong_type": ({200}, "<html>"),
    "content_filter_en": ({400}, "content_filter"),
    "content_filter_zh": ({400}, "data_inspection_failed"),
    "quota_en": ({429}, "insufficient_quota"),
    "quota_zh": ({402, 403}, "余额不足"),
    "auth": ({401}, KEY),
    "context_length": ({400}, "context_length_exceeded"),
    "echo_key": ({200}, KEY),
}
CONTENTS = {
    "content_filter_finish": lambda good: ("", "content_filter"),
    "length": lambda good: (good[: len(good) // 2], "length"),
    "unparsed": lambda good: ("好的，我来看看这段文本。", "stop"),
    "refused": lambda good: ("很抱歉，我不能协助处理这个请求。", "stop"),
    "whitespace": lambda good: ("\n" * 2000, "length"),
    "empty": lambda good: ("", "stop"),
    "slow": lambda good: (good, "stop"),
    "think": lambda good: (f"<think>\n找出文本中的实体……\n</think>\n\n{good}", "stop"),
    "fenced": lambda good: (f"```json\n{good}\n```", "stop"),
}
BROKEN = {
    "hang": TimeoutError,
    "reset": ConnectionResetError,
    "reset_midway": (ConnectionResetError, http.client.IncompleteRead),
    "drip": ValueError,
    "truncated_json": ValueError,
}


def test_every_fault_strikes_as_its_name_says(server: FaultServer) -> None:
    assert {*ERRORS, *CONTENTS, *BROKEN} == FAULTS
    for fault, (statuses, text) in ERRORS.items():
        answer = Answer(server, f"{PASSAGE}⟦{fault}⟧")
        assert answer.status in statuses and text in answer.text, fault
        assert answer.headers.get("Retry-After") == ("1" if fault.startswith("rate_limit") else None), fault
    for fault, altered in CONTENTS.items():
        passage = f"{PASSAGE}⟦{fault}⟧"
        assert Answer(server, passage).choice == altered(right(passage)), fault
    for fault, trouble in BROKEN.items():
        with pytest.raises(trouble):
            json.loads(Answer(server, f"{PASSAGE}⟦{fault}⟧", timeout=0.3).text)
    stats = server.stats()
    assert stats["by_fault"] == dict.fromkeys(FAULTS, 1)
    assert stats["ok"] == len({"slow", "think", "fenced", "echo_key"})
    # Paid for: all contents, and answers that went wrong on their way.
    assert stats["paid"] == len(CONTENTS) + len({"reset_midway", "drip", "truncated_json", "echo_key"})


def test_what_heals_a_fault(server: FaultServer) -> None:
    twice = f"{PASSAGE}⟦http_500*2⟧⟦http_503*1⟧"
    assert [Answer(server, twice).status for _ in range(4)] == [500, 500, 503, 200]
    again = {"role": "assistant", "content": "抱歉"}, {"role": "user", "content": "请重答"}
    assert Answer(server, f"{PASSAGE}⟦unparsed⟧", *again).choice == (right(PASSAGE), "stop")
    assert Answer(server, f"{PASSAGE}⟦length⟧", max_tokens=1024).choice[1] == "length"
    assert Answer(server, f"{PASSAGE}⟦length⟧", max_tokens=2048).choice[1] == "stop"


def test_drawn_faults_are_the_same_each_time(server: FaultServer) -> None:
    server.configure(faults={"http_500": 0.3, "empty": 0.3})

    def round_trip() -> list[tuple[int, int]]:
        return [(a.status, len(a.text)) for a in (Answer(server, f"王明{i}") for i in range(30))]

    first, second = round_trip(), round_trip()
    assert {status for status, _ in first} == {200, 500}
    assert {status for status, _ in second} == {200}
    server.reset()
    assert round_trip() == first
    with pytest.raises(ValueError, match="unknown faults"):
        server.configure(faults={"nonsense": 1})
    with pytest.raises(ValueError, match="nonsense"):
        server.configure(nonsense=1)


def test_more_than_the_cap_is_turned_away(server: FaultServer) -> None:
    server.configure(cap=2, median=0.3, sigma=0, retry_after="7")
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda i=i: answers.append(Answer(server, f"{i}"))) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.status for a in answers) == [200, 200, 429, 429, 429]
    assert {a.headers["Retry-After"] for a in answers if a.status == 429} == {"7"}
    stats = server.stats()
    assert (stats["peak"], stats["r429"], stats["by_status"]) == (2, 3, {"200": 2, "429": 3})


def test_limits_of_a_minute(server: FaultServer) -> None:
    server.configure(rpm=2, tpm=1000, minute=0.8)
    first, second, third = (Answer(server, str(i)) for i in range(3))
    assert [a.status for a in (first, second, third)] == [200, 200, 429]
    assert second.headers["x-ratelimit-limit-requests"] == "2"
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    assert second.headers["x-ratelimit-reset-requests"].endswith("ms")
    assert int(second.headers["x-ratelimit-remaining-tokens"]) < 1000
    time.sleep(0.8)
    assert Answer(server, "3").status == 200
    assert [fault_answers.clock(s) for s in (0.02, 7.25, 60, 133.5)] == ["20ms", "7.25s", "1m0s", "2m13.5s"]


def client(server: FaultServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0, timeout=5)


def upload(server: FaultServer, passages: list[str]) -> str:
    lines = [
        {
            "custom_id": str(i),
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "m", "messages": [{"role": "user", "content": f"Passage: {passage}"}]},
        }
        for i, passage in enumerate(passages)
    ]
    data = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode()
    return client(server).files.create(file=("in.jsonl", data), purpose="batch").id


def create(server: FaultServer, file: str, **metadata: str) -> Any:
    return client(server).batches.create(
        input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h", metadata=metadata
    )


def finish(server: FaultServer, batch: str) -> tuple[Any, list[Any], list[Any]]:
    """The batch when it has ended, and the lines of its two files."""
    ai = client(server)
    while (tree := ai.batches.retrieve(batch)).status not in {"completed", "expired", "failed", "cancelled"}:
        time.sleep(0.02)
    ids = tree.output_file_id, tree.error_file_id
    good, bad = ([json.loads(x) for x in ai.files.content(i).text.splitlines()] if i else [] for i in ids)
    return tree, good, bad


def test_a_batch_makes_the_round(server: FaultServer) -> None:
    passages = [f"王明在第{i}街" for i in range(8)] + ["a⟦http_500⟧", "b⟦hang⟧"]
    file = upload(server, passages)
    server.configure(batch_duplicate=True)
    batch = create(server, file, run="1")
    assert (batch.status, batch.metadata) == ("validating", {"run": "1"})
    tree, good, bad = finish(server, batch.id)
    assert tree.status == "completed" and tree.completed_at
    assert (tree.request_counts.total, tree.request_counts.completed, tree.request_counts.failed) == (
        10,
        9,
        1,
    )
    ids = [line["custom_id"] for line in good]
    assert len(ids) == 12 and set(ids) == {*"01234567", "9"} and ids != sorted(ids)
    for line in good:
        content = line["response"]["body"]["choices"][0]["message"]["content"]
        assert content == right(passages[int(line["custom_id"])])
    assert [(line["custom_id"], line["response"]["status_code"]) for line in bad] == [("8", 500)]
    stats = server.stats()
    assert (stats["paid"], stats["passages"], stats["batch_lines"], stats["calls"]) == (9, 9, 10, 0)
    assert client(server).files.delete(file).deleted
    with pytest.raises(openai.NotFoundError):
        client(server).files.retrieve(file)


def test_the_process_ends_with_its_stdin() -> None:
    command = [sys.executable, fault_server.__file__, '{"record": true}']
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(5) == 0
        assert process.stderr.read() == ""
