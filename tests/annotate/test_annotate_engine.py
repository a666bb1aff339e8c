"""Annotation through a real server: one outcome per passage, nothing paid for twice, nothing lost on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from chat_server import (
    ChatServer,
    Reply,
    answer,
    cut_off,
    error,
    filtered,
    hang,
    no_balance,
    not_json,
    rate_limited,
    sensitive,
    server_error,
    too_long,
    unknown_model,
    wrong_key,
)
from hypothesis import given
from hypothesis import strategies as st

from sinoner.annotate.engine import STAGE, annotate_llm, build
from sinoner.answers import parse_mentions
from sinoner.errors import EndpointError
from sinoner.llm.client import Client
from sinoner.llm.ledger import Ledger
from sinoner.quality.rules import clean
from sinoner.records import Annotation, Entity, Passage, Reject
from sinoner.settings import AnnotateSettings, FilterSettings, LlmSettings

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "rait"
CANARY = "sk-canary-8d1f"
TEXT = "王明在上海。"
GOOD = answer('[{"王明": "人名"}, {"上海": "地点"}]')
FOUND = (
    Entity(surface="王明", type="人名", starts=(0,)),
    Entity(surface="上海", type="地点", starts=(3,)),
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def passage(text: str = TEXT, n: int = 0, lang: str = "zh") -> Passage:
    return Passage(id=f"d{n}#0", text=text, source="s", lang=lang)


def numbered(count: int) -> list[Passage]:
    return [passage(f"王明在第{n}街。", n) for n in range(count)]


def annotating(
    passages, url: str, ledger: Path | Ledger, *, grounding: str = "folded", prompt="extract", **more
):
    """The generator of a run; ``ledger`` is a path or an open ledger."""
    llm = LlmSettings(**{"model": "m", "base_url": url, "timeout": 10, "max_attempts": 2, **more})
    settings = AnnotateSettings(grounding=grounding, prompt=prompt)
    return annotate_llm(passages, settings, llm, Client(llm, {"OPENAI_API_KEY": CANARY}), ledger)


def run(passages, url: str, path: Path, **more) -> list[Annotation | Reject]:
    with Ledger(path / "ledger.sqlite") as ledger:
        return list(annotating(passages, url, ledger, **more))


def held(path: Path) -> int:
    with Ledger(path / "ledger.sqlite") as ledger:
        return ledger.usage()[0]


def files(path: Path) -> bytes:
    """All bytes of the ledger, its journal included."""
    return b"".join(p.read_bytes() for p in sorted(path.glob("ledger.sqlite*")))


# --- one passage, one outcome ----------------------------------------------------------------------------------


def test_an_answer_becomes_an_annotation(tmp_path):
    with ChatServer({TEXT: GOOD}) as server:
        out = run([passage()], server.url, tmp_path)
    assert out == [Annotation(passage=passage(), entities=FOUND, by="m@extract.zh.v1")]


def test_an_empty_list_is_an_annotation_without_entities(tmp_path):
    with ChatServer({TEXT: answer("[]")}) as server:
        assert run([passage()], server.url, tmp_path) == [
            Annotation(passage=passage(), entities=(), by="m@extract.zh.v1")
        ]


def test_each_language_has_its_own_prompt(tmp_path):
    with ChatServer() as server:
        out = run([passage(), passage("Marie {text} %s", 1, "en")], server.url, tmp_path)
        asked = {r.body["messages"][0]["content"]: r.question for r in server.requests}
    assert [a.by for a in out] == ["m@extract.zh.v1", "m@extract.en.v1"]
    assert asked["你是一个有效的信息抽取系统。"].endswith(f"文本：{TEXT}")
    assert asked["You are a helpful information extraction system."].endswith("Passage: Marie {text} %s")


def test_mentions_that_are_not_in_the_passage_are_rejects_of_their_own(tmp_path):
    reply = answer('[{"王明": "人名"}, {"李红": "人名"}, ["上海", " "], {"《王明》": "人名"}]')
    with ChatServer({TEXT: reply}) as server:
        annotation, *rejects = run([passage()], server.url, tmp_path)
    assert annotation.entities == FOUND[:1]
    assert [(r.reason, r.detail, r.unit) for r in rejects] == [
        ("not_in_passage", "李红 (人名)", "entity"),
        ("no_type", "上海 ()", "entity"),
        ("repeated", "《王明》 (人名)", "entity"),
    ]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (cut_off(), "truncated"),
        (cut_off('[{"王明": "人名"}]'), "truncated"),  # the provider says so, though it reads well
        (answer('[{"王明": "人'), "truncated"),
        (filtered(), "content_filter"),
        (filtered('[{"王明": "人名"}]'), "content_filter"),
        (answer("没有实体。"), "unparsed"),
        (answer(""), "empty_answer"),
        (answer(None), "empty_answer"),
        (answer("<think>……</think>"), "empty_answer"),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_reject_and_is_paid_for_once(reply, reason, tmp_path):
    with ChatServer({TEXT: reply}) as server:
        (first,) = run([passage()], server.url, tmp_path)
        (second,) = run([passage()], server.url, tmp_path)
        assert len(server.requests) == 1
    assert (first.id, first.stage, first.reason, first.unit) == ("d0#0", STAGE, reason, "passage")
    assert second == first
    assert held(tmp_path) == 1


@pytest.mark.parametrize(
    ("reply", "reason", "attempts"),
    [
        (server_error(), "transient", 2),
        (server_error(503), "transient", 2),
        (not_json(), "transient", 2),
        (rate_limited("0.01"), "rate_limit", 2),
        (error(400, "您的并发数过高"), "rate_limit", 2),
        (sensitive(), "content_filter", 1),
        (too_long(), "context_length", 1),
        (error(400, "unknown field"), "bad_request", 1),
    ],
)
def test_an_error_of_one_passage_is_its_reject_and_the_others_go_on(reply, reason, attempts, tmp_path):
    others = numbered(3)
    with ChatServer({TEXT: reply}) as server:
        out = run([others[0], passage(n=9), *others[1:]], server.url, tmp_path)
        assert server.asked(TEXT) == attempts
    assert [type(x) for x in out] == [Annotation, Reject, Annotation, Annotation]
    assert (out[1].id, out[1].stage, out[1].reason, out[1].unit) == ("d9#0", STAGE, reason, "passage")
    assert held(tmp_path) == 3  # what failed is asked for again next time


def test_silence_is_a_reject(tmp_path):
    with ChatServer({TEXT: hang()}) as server:
        (reject,) = run([passage()], server.url, tmp_path, timeout=0.2, max_attempts=1)
    assert (reject.reason, reject.detail) == ("timeout", "no answer within 0.2 s")


def test_a_failed_passage_is_asked_for_again_by_the_next_run(tmp_path):
    with ChatServer({TEXT: [sensitive(), GOOD]}) as server:
        assert run([passage()], server.url, tmp_path)[0].reason == "content_filter"
        assert run([passage()], server.url, tmp_path)[0].entities == FOUND


def test_an_error_that_passes_is_no_reject(tmp_path):
    with ChatServer({TEXT: [server_error(), rate_limited("0.01"), GOOD]}) as server:
        assert run([passage()], server.url, tmp_path, max_attempts=3)[0].entities == FOUND
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (wrong_key(), "auth: Incorrect API key provided; check the key in OPENAI_API_KEY"),
        (wrong_key(echo=True), r"auth: Incorrect API key provided: \*\*\*; check the key"),
        (no_balance(), "quota: 账户余额不足，请充值后重试; top up the account"),
        (no_balance(429), "quota: 账户余额不足"),
        (unknown_model(), "model_not_found: The model `m` does not exist; check --model m"),
    ],
)
def test_what_no_passage_can_get_past_stops_the_run(reply, words, tmp_path):
    with ChatServer(default=reply) as server, pytest.raises(EndpointError, match=words) as caught:
        run(numbered(40), server.url, tmp_path, concurrency=2)
    told = str(caught.value)
    assert told.startswith(server.url)
    assert len(told.splitlines()) == 1
    assert CANARY not in told
    assert len(server.requests) <= 8
    assert held(tmp_path) == 0


def test_an_address_where_nobody_answers_stops_the_run(tmp_path):
    with ChatServer() as server:
        url = server.url
    with pytest.raises(EndpointError, match=r"unreachable: .*; check --base-url and that the server is up"):
        run([passage()], url, tmp_path, max_attempts=1)


def test_what_was_answered_before_the_stop_is_kept(tmp_path):
    with ChatServer({TEXT: [no_balance(), GOOD]}) as server:
        first = numbered(3)
        with pytest.raises(EndpointError):
            run([*first, passage(n=9)], server.url, tmp_path, concurrency=1)
        assert held(tmp_path) == 3
        before = len(server.requests)
        assert len(run([*first, passage(n=9)], server.url, tmp_path)) == 4
        assert len(server.requests) == before + 1


def test_a_filtered_answer_that_breaks_off_is_filtered_not_truncated(tmp_path):
    with ChatServer({TEXT: filtered('[{"王明": "人')}) as server:
        assert run([passage()], server.url, tmp_path)[0].reason == "content_filter"


@pytest.mark.parametrize("content", ['[{"\\ud83d": "人名"}]', "没有\ud83d", '[{"王明": "\ud83d'])
def test_half_an_emoji_in_an_answer_does_not_end_the_run(content, tmp_path):
    body = json.dumps(json.loads(answer("").body) | {"choices": [{"message": {"content": content}}]})
    with ChatServer({TEXT: Reply(body)}) as server:
        out = run([passage()], server.url, tmp_path)
    assert all(record.model_dump_json() for record in out)


def test_an_answer_in_parts_does_not_end_the_run(tmp_path):
    body = json.dumps({"choices": [{"message": {"content": [{"type": "text", "text": "[]"}]}}]})
    with ChatServer({TEXT: Reply(body)}) as server:
        assert len(run([passage()], server.url, tmp_path)) == 1


# --- order, concurrency, ledger --------------------------------------------------------------------------------


def test_outcomes_come_in_input_order_with_eight_requests_in_flight(tmp_path):
    passages = numbered(24)
    script = {p.text: answer("[]", wait=0.02 * (12 - n % 12)) for n, p in enumerate(passages)}
    with ChatServer(script) as server:
        out = run(passages, server.url, tmp_path, concurrency=8)
        assert 2 <= server.peak <= 8
    assert [a.passage for a in out] == passages


def test_one_at_a_time_is_one_at_a_time(tmp_path):
    with ChatServer(default=answer("[]", wait=0.01)) as server:
        assert len(run(numbered(6), server.url, tmp_path, concurrency=1)) == 6
        assert server.peak == 1


def test_passages_are_taken_only_as_they_are_needed(tmp_path):
    taken = []

    def endless():
        for n in range(10**9):
            taken.append(n)
            yield passage(f"王明在第{n}街。", n)

    with ChatServer() as server, Ledger(tmp_path / "ledger.sqlite") as ledger:
        stream = annotating(endless(), server.url, ledger, concurrency=2)
        assert [next(stream).passage.id for _ in range(3)] == ["d0#0", "d1#0", "d2#0"]
        stream.close()
    assert len(taken) <= 3 + 4 * 2


def test_a_second_run_sends_nothing(tmp_path):
    passages = numbered(12)
    with ChatServer({passages[3].text: answer("没有")}, default=GOOD) as server:
        first = run(passages, server.url, tmp_path)
        asked = len(server.requests)
        assert asked == 12
        assert run(passages, server.url, tmp_path) == first
        assert len(server.requests) == asked
    assert Counter(type(x) for x in first if isinstance(x, Annotation) or x.unit == "passage") == {
        Annotation: 11,
        Reject: 1,
    }


def test_a_second_run_needs_no_server(tmp_path):
    with ChatServer({TEXT: GOOD}) as server:
        first = run([passage()], server.url, tmp_path)
    assert run([passage()], server.url, tmp_path) == first


def test_another_request_is_asked(tmp_path):
    prompt = tmp_path / "mine.yaml"
    prompt.write_text("id: mine\nlang: zh\nsystem: s\nuser: 'u {text}'\n", encoding="utf-8")
    changes = [{}, {"model": "n"}, {"temperature": 0.5}, {"max_tokens": 5}, {"prompt": str(prompt)}]
    with ChatServer({TEXT: GOOD}) as server:
        for count, change in enumerate(changes, 1):
            out = run([passage()], server.url, tmp_path, **change)
            assert len(server.requests) == count
        assert out[0].by == "m@mine"
        run([passage()], server.url, tmp_path, timeout=3, concurrency=3, max_attempts=4, grounding="case")
        assert len(server.requests) == len(changes)  # these change nothing in the request
    with ChatServer({TEXT: GOOD}) as other:
        run([passage()], other.url, tmp_path)
        assert len(other.requests) == 1


def test_the_ledger_holds_question_answer_and_usage_but_no_key(tmp_path):
    with ChatServer(default=answer('[{"王明": "人名"}] {key}', usage=(20, 3))) as server:
        out = run(numbered(3), server.url, tmp_path)
        assert {r.headers["authorization"] for r in server.requests} == {f"Bearer {CANARY}"}
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.usage() == (3, 60, 9)
        data = files(tmp_path)
    assert "王明在第2街。".encode() in data
    assert CANARY.encode() not in data
    assert all(CANARY not in record.model_dump_json() for record in out)


def test_closing_half_way_keeps_what_was_answered(tmp_path):
    passages = numbered(20)
    with ChatServer(default=answer("[]", wait=0.01)) as server:
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            stream = annotating(passages, server.url, ledger, concurrency=2)
            half = [next(stream) for _ in range(5)]
            stream.close()  # GeneratorExit
        kept, before = held(tmp_path), len(server.requests)
        assert 5 <= kept < 20
        whole = run(passages, server.url, tmp_path)
        assert len(server.requests) - before == 20 - kept
    assert whole[:5] == half
    assert len(whole) == 20


def test_a_keyboard_interrupt_while_reading_keeps_what_was_answered(tmp_path):
    passages = numbered(20)

    def interrupted():
        yield from passages[:10]
        raise KeyboardInterrupt

    seen = []
    with ChatServer() as server:
        with Ledger(tmp_path / "ledger.sqlite") as ledger, pytest.raises(KeyboardInterrupt):
            seen.extend(annotating(interrupted(), server.url, ledger, concurrency=2))
        kept, before = held(tmp_path), len(server.requests)
        assert kept >= len(seen) > 0
        assert len(run(passages, server.url, tmp_path)) == 20
        assert len(server.requests) - before == 20 - kept


INTERRUPTED = """
import sys
from pathlib import Path
from sinoner.annotate.engine import annotate_llm
from sinoner.llm.client import Client
from sinoner.llm.ledger import Ledger
from sinoner.records import Passage
from sinoner.settings import AnnotateSettings, LlmSettings

llm = LlmSettings(model="m", base_url=sys.argv[1], concurrency=2, max_attempts=2, timeout=10)
passages = (Passage(id=f"d{n}#0", text=f"王明在第{n}街。", source="s", lang="zh") for n in range(60))
with Ledger(Path(sys.argv[2])) as ledger:
    try:
        for record in annotate_llm(passages, AnnotateSettings(), llm, Client(llm), ledger):
            print(record.passage.id, flush=True)
    except KeyboardInterrupt:
        sys.exit(75)
"""


def test_ctrl_c_keeps_what_was_answered(tmp_path):
    with ChatServer(default=answer("[]", wait=0.05)) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, server.url, str(tmp_path / "ledger.sqlite")],
            env={**os.environ, **server.env()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            seen = [process.stdout.readline().strip() for _ in range(4)]
            process.send_signal(signal.SIGINT)
            rest, complaints = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 75, complaints
        assert complaints == ""
        assert seen == ["d0#0", "d1#0", "d2#0", "d3#0"]
        kept, before = held(tmp_path), len(server.requests)
        assert 4 + len(rest.split()) <= kept < 60
        assert len(run(numbered(60), server.url, tmp_path)) == 60
        assert len(server.requests) - before == 60 - kept


# --- grounding of pairs ----------------------------------------------------------------------------------------


def test_build_keeps_types_apart_and_claims_all_occurrences():
    text = "上海人在上海，ＡＢ和ab"
    pairs = [("上海", "地点"), ("上海", "城市"), ("上 海", "地点"), ("AB", "代号"), ("上海", " 地点 ")]
    annotation, rejects = build(passage(text), pairs, "m")
    assert annotation.entities == (
        Entity(surface="上海", type="地点", starts=(0, 4)),
        Entity(surface="上海", type="城市", starts=(0, 4)),
        Entity(surface="ＡＢ", type="代号", starts=(7,)),
    )
    assert [r.reason for r in rejects] == ["repeated", "repeated"]


@given(
    st.lists(
        st.tuples(st.text("王明上海aA １", max_size=4), st.sampled_from(["人名", "地点", "", " "])),
        max_size=8,
    ),
    st.sampled_from(["folded", "case"]),
)
def test_every_pair_is_an_entity_or_a_reject(pairs, fold):
    annotation, rejects = build(passage("王明 在上海，Aa1"), pairs, "m", fold)
    assert len(annotation.entities) + len(rejects) == len(pairs)
    assert {r.reason for r in rejects} <= {"no_type", "not_in_passage", "repeated"}
    assert len({(e.surface, e.type) for e in annotation.entities}) == len(annotation.entities)


# --- the reference pipeline: parse, ground with ``case``, filter -----------------------------------------------


def filtered_pairs(text: str, response: str) -> tuple[set[tuple[str, str]], list[str]]:
    """(surface, type) pairs that a response leaves after grounding and filter, and the reasons of the others."""
    annotation, lost = build(passage(text), parse_mentions(response).pairs, "m", "case")
    *rejects, last = clean([annotation], FilterSettings())
    return {(e.surface, e.type) for e in last.entities}, [r.reason for r in [*lost, *rejects]]


@pytest.mark.parametrize(
    ("text", "response", "pairs", "reasons"),
    [
        (
            "小雨用iPhone在《读书》上读鲁迅的文章。",
            '[{"小雨": "人物"}, {"IPHONE": "产品"}, {"《读书》": "刊物"}, {"鲁迅": "人物"}]',
            {("小雨", "人物"), ("iPhone", "产品"), ("读书", "刊物"), ("鲁迅", "人物")},
            [],
        ),
        (
            "李雷和韩梅梅在北京大学。",
            '```json\n[{"李雷": "人物"}, {"李雷": "人物"}, {"吉姆": "人物"}, {"北京大学": "其他"}]\n```',
            {("李雷", "人物")},
            ["repeated", "not_in_passage", "stop_type"],
        ),
        (
            "他买了 一本书，名叫《一二三四五六七八九十一二三四五六七八九十甲》。",
            '[{"买了一本书": "事件"}, {"一二三四五六七八九十一二三四五六七八九十甲": "书"}, {"【一本书】": "物品"}]',
            {("一本书", "物品")},
            ["not_in_passage", "too_long"],
        ),
        ("没有名字。", "[]", set(), []),
    ],
)
def test_response_to_filtered_pairs(text, response, pairs, reasons):
    assert filtered_pairs(text, response) == (pairs, reasons)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference files are not here")
def test_the_reference_responses_are_filtered_as_the_reference_filters_them():
    raw = (REFERENCE / "llm_response.jsonl").read_text(encoding="utf-8").splitlines()
    wanted = (REFERENCE / "llm_response_parsed_filtered.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(raw) == len(wanted) > 0
    for answered, line in zip(map(json.loads, raw), map(json.loads, wanted), strict=True):
        assert answered["text"] == line["text"]
        pairs, _ = filtered_pairs(line["text"], answered["response"])
        assert pairs == {next(iter(item.items())) for item in line["prediction"]}
