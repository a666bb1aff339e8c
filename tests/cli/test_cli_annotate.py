"""``sinoner annotate`` a second time: what is known is not asked, changed questions are refused, failures stay failed."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotators import label
from chat_server import ChatServer, Reply, answer, cut_off, error, filtered, no_balance, server_error
from typer.testing import CliRunner, Result

from sinoner.cli.app import app

TEXTS = [f"王明在上海第{n}街。" for n in range(6)]
GOOD = answer('[{"王明": "人名"}, {"上海": "地点"}]')


class Job:
    """A corpus, a run folder and a server; each call is one command."""

    def __init__(self, folder: Path, server: ChatServer) -> None:
        self.folder, self.server, self.run = folder, server, folder / "run"
        self.corpus = folder / "my.jsonl"
        rows = [{"id": f"d{n}", "text": text} for n, text in enumerate(TEXTS)]
        self.corpus.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")

    def __call__(self, *words: str) -> Result:
        """Annotate the corpus; what is said later wins."""
        first = ("--out", str(self.run), "--model", "m", "--base-url", self.server.url, "llm.output=text")
        return self.sinoner("annotate", str(self.corpus), *first, *words)

    def sinoner(self, *words: str | Path) -> Result:
        env = {**self.server.env(), "COLUMNS": "200"}
        return CliRunner().invoke(app, [str(w) for w in words], env=env, catch_exceptions=False)

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.run / name).read_text("utf-8").splitlines()]

    @property
    def done(self) -> list[str]:
        return [r["passage"]["id"] for r in self.rows("annotations.jsonl")]

    @property
    def reasons(self) -> Counter[str]:
        """Passages without an annotation by reason; what went in came out or was rejected."""
        stage = json.loads((self.run / "manifest.json").read_text("utf-8"))["stages"]["annotate"]
        rejects = [r for r in self.rows("rejects/annotate.jsonl") if r["unit"] == "passage"]
        counted = {"in": len(TEXTS), "out": len(self.done), "rejected": len(rejects)}
        assert stage["counts"]["passage"] == counted
        assert counted["in"] == counted["out"] + counted["rejected"]
        return Counter(r["reason"] for r in rejects)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with ChatServer(default=GOOD) as server:
        yield Job(tmp_path, server)


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stderr


def stopped(result: Result, code: int, *said: str) -> str:
    """What a run that did not end well said: no traceback, every line is the program's own."""
    assert result.exit_code == code, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("sinoner: ")]
    assert lines
    assert "Traceback" not in result.output
    for words in said:
        assert words in "\n".join(lines)
    return "\n".join(line.removeprefix("sinoner: ") for line in lines)


def test_the_same_command_again_sends_nothing(job: Job) -> None:
    said = ok(job())
    assert "annotate: 6 done, 0 failed, 0 waiting (6 answers in this run, 108 tokens)" in said
    assert "annotate: passages 6 in, 6 out, 0 rejected" in said
    before = (job.run / "manifest.json").read_bytes()
    for result in (job(), job.sinoner("annotate", job.run)):
        assert "annotate: unchanged, skipped" in ok(result)
    assert (job.run / "manifest.json").read_bytes() == before
    assert "6 done, 0 failed, 0 waiting (0 answers in this run, 0 tokens)" in ok(job("--force"))
    assert len(job.server.requests) == 6
    assert job.reasons == {}


def test_a_larger_corpus_asks_for_what_is_new(job: Job) -> None:
    ok(job("--limit", "2"))
    assert len(job.server.requests) == 2
    assert "6 done, 0 failed, 0 waiting (4 answers in this run" in ok(job())
    assert len(job.server.requests) == 6
    assert all(job.server.asked(text) == 1 for text in TEXTS)


def test_how_it_is_asked_may_change_at_any_time(job: Job) -> None:
    ok(job("--limit", "1"))
    ok(
        job(
            "--concurrency",
            "3",
            "llm.timeout=7",
            "--max-tokens",
            "1000000",
            "llm.rpm=100000",
            "annotate.reasks=1",
        )
    )
    assert len(job.server.requests) == 6


OTHER = "id: mine\nlang: zh\nsystem: s\nuser: '标注：{text}'\n"
CHANGES = {
    "--model=n": "llm.model: 'm' → 'n'",
    "llm.temperature=0.5": "llm.temperature: 0.0 → 0.5",
    "llm.max_tokens=99": "llm.max_tokens: 1024 → 99",
    "llm.output=json_object": "llm.output: 'text' → 'json_object'",
    "llm.more_models=[k]": "llm.more_models: [] → ['k']",
    "llm.extra={top_p: 0.9}": "llm.extra: {} → {'top_p': 0.9}",
    "--types=人名,地点": "annotate.types: [] → ['人名', '地点']",
    "annotate.types={人名: 真人}": "annotate.types: [] → ['人名: 真人']",
    "annotate.domain=法律": "annotate.domain: None → '法律'",
    "annotate.prompt=mine.yaml": "annotate.prompt (zh): 'extract.zh.v1 ",
    "annotate.demonstrations=gold.jsonl": "annotate.demonstrations: None → '",
    "llm.name=b": "endpoint: 'http://127.0.0.1:",
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_questions_are_refused_and_going_back_is_free(
    job: Job, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(job.folder)
    Path("mine.yaml").write_text(OTHER, encoding="utf-8")
    gold = {
        "id": "g",
        "text": "李红在上海。",
        "entities": [{"start": 0, "end": 2, "type": "人名", "text": "李红"}],
    }
    Path("gold.jsonl").write_text(json.dumps(gold, ensure_ascii=False), encoding="utf-8")
    ok(job("--limit", "2"))
    said = stopped(
        job("--limit", "2", change), 2, "its 2 answers were given under other settings", "--new-run"
    )
    differences = [line.strip() for line in said.splitlines() if " → " in line]
    # Prompts are compared in both languages; JSON has prompts of its own.
    assert len(differences) == (2 if "prompt" in change else 3 if "output" in change else 1)
    assert differences[0].startswith(CHANGES[change])
    assert len(job.server.requests) == 2
    assert "unchanged, skipped" in ok(job.sinoner("annotate", job.run))  # what was refused is not kept
    ok(job("--limit", "2", change, "--new-run"))
    assert len(job.server.requests) == 4
    ok(job("--limit", "2"))
    ok(job("--limit", "2", change))
    assert len(job.server.requests) == 4


def test_every_changed_field_has_its_line(job: Job) -> None:
    ok(job())
    said = stopped(job("--model", "n", "llm.temperature=1", "annotate.domain=法律"), 2)
    assert [line.strip() for line in said.splitlines()[1:-1]] == [
        "llm.model: 'm' → 'n'",
        "llm.temperature: 0.0 → 1.0",
        "annotate.domain: None → '法律'",
    ]
    assert said.splitlines()[-1].startswith("go back to those, or ask again with --new-run")


def test_a_server_that_moved_is_told_how_to_go_on(job: Job) -> None:
    ok(job("--limit", "2"))
    with ChatServer(default=GOOD) as moved:
        said = stopped(job("--base-url", moved.url), 2, f"endpoint: '{job.server.url}' → '{moved.url}'")
        advice = said.rpartition("if only the address changed, add ")[2]
        assert advice == f"llm.name={job.server.url}"
        ok(job("--base-url", moved.url, advice))
        assert len(moved.requests) == 4


def test_a_wrong_model_name_binds_nobody(job: Job) -> None:
    job.server.default = error(404, "The model `typo` does not exist", "model_not_found")
    stopped(job("--model", "typo"), 2, "model_not_found", "check --model typo")
    job.server.default = GOOD
    assert "6 done" in ok(job())


def test_the_order_of_types_is_part_of_the_question(job: Job) -> None:
    ok(job("--limit", "2", "--types", "人名,地点"))
    stopped(job("--types", "地点,人名"), 2, "annotate.types: ['人名', '地点'] → ['地点', '人名']")
    assert len(job.server.requests) == 2


# reading answers again -------------------------------------------------------------------------------------------


def test_reparse_reads_the_kept_answers_under_another_rule(job: Job) -> None:
    job.server.script = {TEXTS[2]: (answer('[{"上 海": "地点"}, {"王明": "人名"}]'),)}
    ok(job())
    assert [e["surface"] for e in job.rows("annotations.jsonl")[2]["entities"]] == ["上海", "王明"]
    ok(job("annotate.grounding=case", "--reparse"))
    assert [e["surface"] for e in job.rows("annotations.jsonl")[2]["entities"]] == ["王明"]
    assert [r["reason"] for r in job.rows("rejects/annotate.jsonl")] == ["not_in_passage"]
    ok(job("--reparse"))
    assert len(job.rows("annotations.jsonl")[2]["entities"]) == 2
    assert len(job.server.requests) == 6


def test_reparse_keeps_what_was_cut_off_when_that_is_wanted(job: Job) -> None:
    job.server.script = {TEXTS[1]: (cut_off('[{"王明": "人名"}, {"上'),)}
    assert "1 truncated" in ok(job())
    limits = [r.body["max_tokens"] for r in job.server.requests if TEXTS[1] in r.question]
    assert limits == [1024, 2048]
    assert job.reasons == {"truncated": 1}
    ok(job("annotate.keep_truncated=true", "--reparse"))
    assert job.reasons == {}
    cut = job.rows("annotations.jsonl")[1]
    assert ([e["surface"] for e in cut["entities"]], label(cut)) == (["王明"], "m@extract.zh.v1~truncated")
    assert len(job.server.requests) == 7


def test_reparse_writes_what_there_is_and_the_next_run_goes_on(job: Job) -> None:
    job.server.script = {TEXTS[3]: (no_balance(), GOOD)}
    stopped(job("--concurrency", "1"), 2, "quota", "余额不足", "run the same command again")
    assert not (job.run / "annotations.jsonl").exists()
    assert "3 not_asked" in ok(job("--reparse"))
    assert job.done == ["d0#0", "d1#0", "d2#0"]
    assert job.reasons == {"not_asked": 3}
    assert len(job.server.requests) == 4
    assert "6 done, 0 failed, 0 waiting (3 answers in this run" in ok(job())
    assert job.reasons == {}
    assert [job.server.asked(text) for text in TEXTS] == [1, 1, 1, 2, 1, 1]
    assert "annotate: unchanged, skipped" in ok(job())


def test_reparse_of_nothing_says_so(job: Job) -> None:
    stopped(job("--reparse"), 2, "has no answer yet; run it without --reparse")
    assert job.server.requests == []


def test_reparse_under_other_settings_is_refused_too(job: Job) -> None:
    ok(job())
    stopped(job("--model", "n", "--reparse"), 2, "llm.model: 'm' → 'n'")


# failures --------------------------------------------------------------------------------------------------------


def failing(job: Job, **more: Reply) -> None:
    """A server at which two passages fail the first time, and two the first two times."""
    job.server.script = {
        TEXTS[0]: (filtered(), GOOD),
        TEXTS[1]: (error(400, "输入数据可能包含不当内容。", "data_inspection_failed"), GOOD),
        TEXTS[2]: (server_error(), server_error(), GOOD),
        TEXTS[3]: (answer("很抱歉，我不能协助处理这个请求。"), GOOD),
    }
    ok(job("llm.max_attempts=2", "--max-failure-rate", "1"))
    assert job.reasons == {"content_filter": 2, "transient": 1, "refused": 1}
    assert len(job.server.requests) == 7


def test_failures_stay_failed_until_they_are_asked_for(job: Job) -> None:
    failing(job)
    assert "4 failed" in ok(job("--force"))
    assert len(job.server.requests) == 7
    assert "4 done, 2 failed, 0 waiting (2 answers" in ok(job("--retry-failed", "content_filter"))
    assert job.reasons == {"transient": 1, "refused": 1}
    assert job.done == ["d0#0", "d1#0", "d4#0", "d5#0"]
    assert len(job.server.requests) == 9
    ok(job("--retry-failed", "refused", "--retry-failed", "transient"))
    assert job.reasons == {}
    assert len(job.server.requests) == 11


def test_all_failures_are_asked_for_again(job: Job) -> None:
    failing(job)
    assert "6 done, 0 failed, 0 waiting (4 answers" in ok(job("--retry-failed", "all"))
    assert job.reasons == {}
    assert len(job.server.requests) == 11


def test_a_failure_that_fails_again_stays(job: Job) -> None:
    job.server.script = {TEXTS[0]: (filtered(),)}
    ok(job())
    assert "1 content_filter" in ok(job("--retry-failed", "all"))
    assert job.server.asked(TEXTS[0]) == 2
    assert "annotate: unchanged, skipped" in ok(job())


def test_a_reason_that_there_is_not_is_said(job: Job) -> None:
    ok(job())
    stopped(job("--retry-failed", "contentfilter"), 2, "--retry-failed contentfilter", "content_filter")
