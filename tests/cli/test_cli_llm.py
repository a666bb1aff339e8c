"""Annotating through an endpoint from the command line: a real HTTP server on the loopback, the real client."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from annotators import label
from chat_server import KEY, ChatServer, answer, error, no_balance, server_error, unknown_model, wrong_key
from typer.testing import CliRunner, Result

from sinoner.cli.app import app

TEXTS = ["张伟在北京。", "李娜去了上海。", "今天天气很好。", "王强在广州{0}%s。"]
ANSWERS = {
    TEXTS[0]: answer('[{"张伟": "人名"}, {"北京": "地点"}]'),
    TEXTS[1]: answer('```json\n[{"李娜": "人物"}, {"南京": "地点"}]\n```'),
    TEXTS[2]: answer("[]"),
    TEXTS[3]: answer("抱歉，我不能回答。"),
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "my.jsonl"
    rows = [{"id": f"d{i}", "text": t} for i, t in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def annotate(corpus: Path, server: ChatServer, *words: str) -> Result:
    flags = ["--out", str(corpus.parent / "run"), "--model", "m", "--base-url", server.url, "llm.output=text"]
    return CliRunner().invoke(
        app, ["annotate", str(corpus), *flags, *words], env=server.env(), catch_exceptions=False
    )


def rows(corpus: Path, name: str) -> list[dict[str, Any]]:
    lines = (corpus.parent / "run" / name).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def kept(corpus: Path) -> bytes:
    return b"".join(p.read_bytes() for p in (corpus.parent / "run").rglob("*") if p.is_file())


def test_a_corpus_is_labelled_and_a_second_run_asks_nothing(corpus: Path) -> None:
    with ChatServer(ANSWERS) as server:
        result = annotate(corpus, server, "--concurrency", "2")
        assert result.exit_code == 0, result.output
        assert len(server.requests) == 4
        assert server.peak <= 2
        assert sum(TEXTS[3] in r.question for r in server.requests) == 1  # braces and %s arrive as they are
        again = annotate(corpus, server, "--force")
        assert again.exit_code == 0, again.output
        assert len(server.requests) == 4
    found = rows(corpus, "annotations.jsonl")
    assert [r["passage"]["id"] for r in found] == ["d0#0", "d1#0", "d2#0"]
    assert label(found[0]) == "m@extract.zh.v1"
    assert [e["surface"] for e in found[0]["entities"]] == ["张伟", "北京"]
    assert found[2]["entities"] == []
    rejects = rows(corpus, "rejects/annotate.jsonl")
    assert {(r["id"], r["unit"], r["reason"]) for r in rejects} == {
        ("d1#0", "entity", "not_in_passage"),
        ("d3#0", "passage", "refused"),
    }
    assert KEY.encode() not in kept(corpus)


@pytest.mark.parametrize(
    ("reply", "said"),
    [(unknown_model(), "--model m"), (wrong_key(echo=True), "OPENAI_API_KEY"), (no_balance(), "余额不足")],
)
def test_an_endpoint_that_cannot_be_used_stops_the_run_with_one_line(
    corpus: Path, reply: object, said: str
) -> None:
    with ChatServer(default=reply) as server:  # type: ignore[arg-type]
        result = annotate(corpus, server)
        asked = len(server.requests)
    assert result.exit_code == 2
    lines = [x for x in result.stderr.splitlines() if x.startswith("sinoner: ")]
    assert len(lines) == 1
    assert said in lines[0]
    assert "run the same command again" in lines[0]
    assert KEY not in result.output
    assert KEY.encode() not in kept(corpus)
    assert asked <= 4
    assert not (corpus.parent / "run/annotations.jsonl").exists()


def test_what_was_answered_before_a_stop_is_not_asked_again(corpus: Path) -> None:
    with ChatServer({**ANSWERS, TEXTS[3]: [no_balance(), answer("[]")]}) as server:
        assert annotate(corpus, server, "--concurrency", "1").exit_code == 2
        assert annotate(corpus, server).exit_code == 0
        assert [server.asked(t) for t in TEXTS] == [1, 1, 1, 2]


def test_a_passing_error_is_tried_again_and_a_lasting_one_is_a_reject(corpus: Path) -> None:
    script = {**ANSWERS, TEXTS[0]: [server_error(), ANSWERS[TEXTS[0]]], TEXTS[1]: server_error()}
    with ChatServer(script) as server:
        result = annotate(corpus, server, "llm.max_attempts=2")
        assert result.exit_code == 0, result.output
        assert (server.asked(TEXTS[0]), server.asked(TEXTS[1])) == (2, 2)
    assert "1 transient" in result.stderr


def test_an_edited_prompt_file_is_asked_anew_when_that_is_wanted(corpus: Path) -> None:
    prompt = corpus.parent / "mine.yaml"
    text = "id: mine\nlang: zh\nsystem: s\nuser: '标注：{text}'\n"
    prompt.write_text(text, encoding="utf-8")
    with ChatServer(ANSWERS) as server:
        assert annotate(corpus, server, f"annotate.prompt={prompt}").exit_code == 0
        assert annotate(corpus, server, f"annotate.prompt={prompt}").exit_code == 0
        assert len(server.requests) == 4
        prompt.write_text(text.replace("标注", "抽取"), encoding="utf-8")
        refused = annotate(corpus, server, f"annotate.prompt={prompt}")
        assert refused.exit_code == 2
        assert re.search(r"annotate\.prompt \(zh\): 'mine \w{8}' → 'mine \w{8}'\n", refused.stderr)
        assert "--new-run" in refused.stderr
        assert len(server.requests) == 4
        assert annotate(corpus, server, f"annotate.prompt={prompt}", "--new-run").exit_code == 0
        assert len(server.requests) == 8


def test_an_answer_that_cannot_be_read_is_asked_for_again(corpus: Path) -> None:
    chatter = answer("实体很多，见下。")
    script = {
        **ANSWERS,
        TEXTS[3]: answer("[]"),
        TEXTS[0]: chatter,
        "上一个回答": [answer("见上。"), ANSWERS[TEXTS[0]]],
    }
    with ChatServer(script) as server:
        result = annotate(corpus, server)
        assert result.exit_code == 0, result.output
        asked = [r.body["messages"] for r in server.requests if TEXTS[0] in str(r.body)]
    assert [len(messages) for messages in asked] == [2, 4, 4]
    assert [m["content"] for m in asked[1][1:3]] == [asked[0][1]["content"], "实体很多，见下。"]
    assert rows(corpus, "annotations.jsonl")[0]["entities"][0]["surface"] == "张伟"


def test_what_never_can_be_read_is_a_reject(corpus: Path) -> None:
    with ChatServer(
        {**ANSWERS, TEXTS[0]: answer("实体很多，见下。"), "上一个回答": answer("见上。")}
    ) as server:
        assert annotate(corpus, server).exit_code == 0
        assert sum(TEXTS[0] in str(r.body) for r in server.requests) == 3
    assert ("d0#0", "unparsed") in {(r["id"], r["reason"]) for r in rows(corpus, "rejects/annotate.jsonl")}


def test_the_answer_format_is_found_out_once(corpus: Path) -> None:
    def formats(server: ChatServer) -> Counter[str]:
        return Counter(r.body.get("response_format", {}).get("type", "text") for r in server.requests)

    listed = answer('{"entities": [{"mention": "张伟", "type": "人名"}]}')
    with ChatServer(default=listed) as server:
        assert annotate(corpus, server, "llm.output=auto").exit_code == 0
        assert formats(server) == {"json_schema": 5}
        assert annotate(corpus, server, "llm.output=auto", "--force").exit_code == 0
        assert formats(server) == {"json_schema": 5}
    assert label(rows(corpus, "annotations.jsonl")[0]) == "m@extract_json.zh.v1"
    with ChatServer(
        {**ANSWERS, "王明在上海工作。": error(400, "response_format is not supported")}
    ) as server:
        assert annotate(corpus, server, "llm.output=auto", f"out={corpus.parent / 'other'}").exit_code == 0
        assert formats(server) == {"json_schema": 1, "json_object": 1, "text": 4}
