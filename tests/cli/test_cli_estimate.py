"""``sinoner estimate``: what annotating would take, told without sending anything."""

import json
import resource
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import bpe_openai
import pytest
import yaml
from chat_server import ChatServer, answer, no_balance
from test_cli_annotate import Job, ok, stopped
from typer.testing import CliRunner, Result

from sinoner import resources
from sinoner.annotate.asking import response_format
from sinoner.cli.app import app
from sinoner.prompts import extract_prompt, verify_prompt
from sinoner.settings import AnnotateSettings

TEXTS = ["王明在上海。", "Marie Curie was born in Warsaw.", "好雨知时节，当春乃发生。" * 9]
ENCODING = bpe_openai.get_encoding("o200k_base")
PRICES = resources.data_root() / "data_recipes/prices/prices.yaml"
TABLE = [x for x in yaml.safe_load(PRICES.read_text("utf-8"))["prices"] if not x.get("embeds")]
NOBODY = "http://127.0.0.1:9/v1"


def count(text: str) -> int:
    return len(ENCODING.encode(text))


def sinoner(*words: str | Path) -> Result:
    none = {"OPENAI_API_KEY": "", "COLUMNS": "200"}
    return CliRunner().invoke(app, ["estimate", *map(str, words)], env=none, catch_exceptions=False)


def estimate(*words: str | Path) -> dict[str, Any]:
    result = sinoner(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "my.jsonl"
    rows = [{"id": f"d{n}", "text": text} for n, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the default run folder is runs/my


def prompt_tokens(texts: list[str], prompt: str = "extract_json") -> float:
    """Tokens of a question, 4 for each message and 3 for the answer's beginning, as OpenAI's cookbook counts them."""
    total = 0
    for text in texts:
        messages = extract_prompt(prompt, "en" if text.isascii() else "zh").messages(text)
        total += 3 + sum(4 + count(m.content) for m in messages)
    return total / len(texts)


def test_passages_and_tokens_are_counted_without_key_server_or_folder(corpus: Path, tmp_path: Path) -> None:
    found = estimate(corpus, "--model", "m", "--base-url", NOBODY)
    assert (found["passages"], found["answered"], found["requests"]) == (3, 0, 3)
    assert found["prompt_tokens"] == pytest.approx(prompt_tokens(TEXTS), abs=0.05)
    answers = 0.72 * sum(count(t) for t in TEXTS) / 3  # as in the answers published with the paper's code
    assert found["answer_tokens"] == pytest.approx(answers, abs=0.05)
    assert not found["measured"]
    assert [p.name for p in tmp_path.iterdir()] == ["my.jsonl"]


def test_the_flags_count(corpus: Path) -> None:
    assert estimate(corpus, "--limit", "1")["passages"] == 1
    assert estimate(corpus, "--answer-tokens", "70")["answer_tokens"] == 70
    more = estimate(corpus, "--model", "m", "llm.more_models=[n]", "annotate.samples=2", "llm.temperature=1")
    assert more["requests"] == 12
    typed = estimate(corpus, "annotate.types={人名: 真实的人的姓名}", "annotate.domain=街道名录")
    assert typed["prompt_tokens"] > prompt_tokens(TEXTS) + 20
    cut = estimate(corpus, "corpus.max_tokens=32")
    assert cut["passages"] > 3


def test_the_prompt_of_the_answer_format_is_counted_and_so_is_a_schema(corpus: Path) -> None:
    def tokens(output: str, *more: str) -> float:
        return float(estimate(corpus, f"llm.output={output}", *more)["prompt_tokens"])

    assert tokens("text") == pytest.approx(prompt_tokens(TEXTS, "extract"), abs=0.05)
    assert tokens("json_object") == tokens("auto") == pytest.approx(prompt_tokens(TEXTS), abs=0.05)
    schema = count(json.dumps(response_format("json_schema"), ensure_ascii=False))
    assert tokens("json_schema") == pytest.approx(prompt_tokens(TEXTS) + schema, abs=0.05)


def test_the_pace_per_minute_can_decide_the_time(corpus: Path) -> None:
    rows = "".join(json.dumps({"text": f"第{n}篇。"}, ensure_ascii=False) + "\n" for n in range(100))
    corpus.write_text(rows, encoding="utf-8")
    words = ("--concurrency", "100", "--latency", "1", "--answer-tokens", "10")
    free = estimate(corpus, *words)
    assert (free["seconds"], free["limit"]) == (1, "concurrency")
    slow = estimate(corpus, *words, "llm.rpm=20")
    assert (slow["seconds"], slow["limit"]) == (300, "rpm")
    few = estimate(corpus, *words, "llm.rpm=20", "llm.tpm=100")
    assert few["limit"] == "tpm"
    assert few["seconds"] == pytest.approx(100 * (few["prompt_tokens"] + 10) / 100 * 60, rel=0.001)
    two = estimate(corpus, *words, "llm.rpm=20", f"llm.endpoints=[{NOBODY}, 'http://127.0.0.1:8/v1']")
    assert two["seconds"] == 150
    some = estimate(
        corpus, *words, f"llm.endpoints=[{{base_url: '{NOBODY}', rpm: 1}}, 'http://127.0.0.1:8/v1']"
    )
    assert (some["seconds"], some["limit"]) == (1, "concurrency")  # the other endpoint has no limit
    assert "limited by llm.rpm" in sinoner(corpus, *words, "llm.rpm=20").stdout


def test_the_requests_of_the_judge_are_counted(corpus: Path) -> None:
    words = ("--model", "m", "--answer-tokens", "50", "--latency", "1", "--concurrency", "1")
    without, judged = estimate(corpus, *words), estimate(corpus, *words, "filter.verify=true")
    assert (without["judge_requests"], without["judge_tokens"], without["seconds"]) == (0, [0, 0], 3)
    assert (judged["requests"], judged["judge_requests"], judged["seconds"]) == (3, 3, 6)
    asked = 0.0
    for text in TEXTS:
        prompt = verify_prompt("en" if text.isascii() else "zh")
        user = prompt.user.replace("{text}", text).replace("{entities}", "")
        asked += 3 + 4 + count(prompt.system) + 4 + count(user)
    assert judged["judge_tokens"] == [pytest.approx(asked / 3 + 50, abs=0.1), 80]
    assert (
        "judge              3 requests (filter.verify)"
        in sinoner(corpus, *words, "filter.verify=true").stdout
    )


def test_several_models_have_the_cost_of_their_own_requests(corpus: Path, tmp_path: Path) -> None:
    rows = [
        {"models": [name], "input": rate, "output": rate, "currency": currency}
        for name, rate, currency in (
            ("a", 1, "CNY"),
            ("b", 10, "CNY"),
            ("c", 100, "USD"),
            ("other", 1, "CNY"),
        )
    ]
    (tmp_path / "p.yaml").write_text(json.dumps({"prices": rows}))
    words = (
        "llm.prices=p.yaml",
        "--answer-tokens",
        "100",
        "llm.output=text",
        "--model",
        "a",
        "llm.more_models=[b]",
    )
    found = estimate(corpus, *words, "filter.verify=true", "filter.verify_model=c")
    costs = {c["model"]: c for c in found["costs"]}
    asked = 3 * (found["prompt_tokens"] + 100) / 10**6
    judge = sum(found["judge_tokens"]) * 3 / 10**6
    assert [c["model"] for c in found["costs"] if c["chosen"]] == ["a", "b", "c"]
    assert costs["a"]["online"] == pytest.approx(asked, rel=0.01)
    assert costs["b"]["online"] == pytest.approx(10 * asked, rel=0.01)
    assert costs["c"]["online"] == pytest.approx(100 * judge, rel=0.01)
    assert costs["other"]["online"] == pytest.approx(2 * asked + judge, rel=0.01)  # all of it with that model
    assert found["totals"] == {
        "CNY": pytest.approx(11 * asked, rel=0.01),
        "USD": pytest.approx(100 * judge, rel=0.01),
    }
    assert "→ total ¥0.0" in sinoner(corpus, *words).stdout


def test_nothing_is_sent(corpus: Path) -> None:
    with ChatServer() as server:
        found = estimate(corpus, "--model", "m", "--base-url", server.url)
        assert found["requests"] == 3
        assert server.requests == []


def test_wall_time_is_requests_by_latency_over_concurrency(corpus: Path) -> None:
    rows = "".join(json.dumps({"text": f"第{n}篇。"}, ensure_ascii=False) + "\n" for n in range(100))
    corpus.write_text(rows, encoding="utf-8")
    found = estimate(corpus, "--concurrency", "4", "--latency", "2.5")
    assert (found["concurrency"], found["latency"]) == (4, 2.5)
    assert found["seconds"] == 100 * 2.5 / 4
    assert (
        estimate(corpus, "--concurrency", "400", "--latency", "2.5")["seconds"] == 2.5
    )  # never below one answer
    said = sinoner(corpus, "--concurrency", "1", "--latency", "60").stdout
    assert "1 h 40 min with 1 in flight, 60 s per answer (assumed" in said


# costs --------------------------------------------------------------------------------------------------------------


def test_every_model_of_the_table_has_its_cost_in_its_currency(corpus: Path) -> None:
    found = estimate(
        corpus, "--model", "qwen-plus", "--base-url", "https://dashscope.aliyuncs.com/compatible-mode/v1"
    )
    costs = {(c["model"], c["provider"]): c for c in found["costs"]}
    assert len(costs) == len(TABLE) == len(found["costs"])
    assert {c["currency"] for c in found["costs"]} == {"CNY", "USD"}
    prompt, completion = round(prompt_tokens(TEXTS) * 3), round(0.72 * sum(count(t) for t in TEXTS))
    for price in TABLE:
        told = costs[price["models"][0], price["provider"]]
        cost = (Decimal(str(price["input"])) * prompt + Decimal(str(price["output"])) * completion) / 10**6
        assert told["currency"] == price["currency"]
        assert told["online"] == pytest.approx(float(cost))
        assert told["as_of"] == str(price["as_of"])
        if "batch" in price:
            assert told["batch"] == pytest.approx(float(cost) * price["batch"])
        else:
            assert told["batch"] is None
    assert [c["model"] for c in found["costs"] if c["chosen"]] == ["qwen-plus"]
    assert found["costs"][0]["model"] == "qwen-plus"


def test_the_table_for_people_marks_the_chosen_model(corpus: Path) -> None:
    said = sinoner(corpus, "--model", "gpt-4o-mini-2024-07-18").stdout  # without an address: OpenAI's own
    assert [line.split()[1] for line in said.splitlines() if line.startswith("→ ")] == ["gpt-4o-mini"]
    assert "¥" in said and "$" in said
    assert "passages           3\n" in said
    assert "Nothing was sent" in said
    other = sinoner(corpus, "--model", "gpt-4o-mini", "--base-url", NOBODY).stdout
    assert "→" not in other
    assert "no price is known for gpt-4o-mini at this endpoint" in other
    assert "give --model" in sinoner(corpus).stdout


def test_an_own_price_wins(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "prices: [{models: ['gpt-4o*'], input: 1, output: 1000, currency: CNY, batch: 0.1}]\n"
    )
    found = estimate(corpus, "--model", "gpt-4o", "llm.prices=p.yaml", "--answer-tokens", "1000")
    first = found["costs"][0]
    assert (first["model"], first["currency"], first["chosen"]) == ("gpt-4o*", "CNY", True)
    assert first["online"] == pytest.approx(3.0, abs=0.01)
    assert first["batch"] == pytest.approx(first["online"] / 10)
    assert sum(c["chosen"] for c in found["costs"]) == 1
    assert len(found["costs"]) == len(TABLE) + 1


def test_the_price_is_that_of_the_model_at_its_address(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(*words: str) -> list[str]:
        return [c["model"] for c in estimate(corpus, *words)["costs"] if c["chosen"]]

    host = "dashscope.aliyuncs.com/compatible-mode/v1"
    monkeypatch.setenv("GATEWAY_LOGIN", "someone:password")
    assert chosen("--model", "qwen-plus", "--base-url", f"https://${{GATEWAY_LOGIN}}@{host}") == ["qwen-plus"]
    mapped = (
        f"llm.endpoints=[{{base_url: 'https://{host}', models: {{big: qwen-max}}}}, {{base_url: '{NOBODY}'}}]"
    )
    assert chosen("--model", "big", mapped) == ["qwen-max"]
    both = chosen("--model", "qwen-plus", "llm.more_models=[qwen-turbo]", "--base-url", f"https://{host}")
    assert sorted(both) == ["qwen-plus", "qwen-turbo"]
    monkeypatch.setenv("OPENAI_BASE_URL", f"https://{host}")
    assert chosen("--model", "qwen-plus") == ["qwen-plus"]


# what is known from an earlier run ----------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with ChatServer(default=answer('[{"王明": "人名"}]', usage=(50, 21), wait=0.05)) as server:
        (tmp_path / "job").mkdir()
        yield Job(tmp_path / "job", server)


def again(job: Job, *words: str) -> dict[str, Any]:
    """An estimate for the command that the job gives."""
    flags = ("--out", str(job.run), "--model", "m", "--base-url", job.server.url, "llm.output=text", *words)
    return estimate(job.corpus, *flags)


def test_an_earlier_run_tells_answers_and_latency_and_what_is_left(job: Job) -> None:
    job.server.script = {"第3街": (no_balance(),)}
    stopped(job("--concurrency", "1"), 2, "quota")
    sent = len(job.server.requests)
    found = again(job)
    assert (found["passages"], found["answered"], found["requests"]) == (6, 3, 3)
    assert found["measured"]
    assert found["answer_tokens"] == 21
    assert 0.05 <= found["latency"] < 10
    assert "3 already answered" in sinoner(job.run).stdout
    assert again(job, "--latency", "9", "--answer-tokens", "8") | {"latency": 9, "answer_tokens": 8} == again(
        job, "--latency", "9", "--answer-tokens", "8"
    )
    assert len(job.server.requests) == sent


def test_nothing_is_left_when_all_is_answered(job: Job) -> None:
    ok(job())
    found = again(job)
    assert (found["answered"], found["requests"], found["seconds"]) == (6, 0, 0)
    assert all(c["online"] == 0 for c in found["costs"])
    assert again(job, "--limit", "2")["requests"] == 0


def test_answers_to_other_questions_do_not_count(job: Job) -> None:
    ok(job())
    assert again(job, "--model", "n")["requests"] == 6
    job.server.script = {"第2街": (no_balance(),)}
    stopped(job("--model", "n", "--new-run", "--concurrency", "1"), 2, "quota")
    assert again(job)["requests"] == 0
    assert again(job, "--model", "n")["requests"] == 4


def test_further_samples_are_still_to_be_asked(job: Job) -> None:
    ok(job("llm.temperature=1"))
    found = again(job, "llm.temperature=1", "annotate.samples=3")
    assert found["requests"] == 12


def test_the_answer_format_of_an_earlier_run_counts(job: Job) -> None:
    job.server.default = answer('{"entities": []}')
    ok(job("llm.output=auto", "--limit", "2"))
    assert again(job, "llm.output=auto")["requests"] == 4


def test_labels_by_hand_cost_nothing(corpus: Path, tmp_path: Path) -> None:
    rows = [{"text": "王明在上海。", "entities": []}, {"text": "李红在北京。"}]
    corpus.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    for _ in ("freshly cut", "as kept in the run folder"):
        assert estimate(corpus)["passages"] == 1
        assert estimate(corpus, "annotate.keep_human=false")["passages"] == 2
        CliRunner().invoke(app, ["chunk", str(corpus)], catch_exceptions=False)
    assert (tmp_path / "runs/my/passages.jsonl").exists()


# size and mistakes --------------------------------------------------------------------------------------------------


def test_twenty_thousand_passages_take_little_time_and_memory(corpus: Path) -> None:
    line = json.dumps(
        {"text": "王明去年在上海工作，今年搬到了北京，他说那里的冬天很冷。" * 5}, ensure_ascii=False
    )
    corpus.write_text(f"{line}\n" * 20_000, encoding="utf-8")
    estimate(corpus, "--limit", "10")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    assert estimate(corpus)["passages"] == 20_000
    assert time.perf_counter() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def mistake(result: Result, *said: str) -> None:
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("sinoner: ")
    for words in said:
        assert words in line
    assert result.stdout == ""


def test_mistakes_are_one_line(corpus: Path, tmp_path: Path) -> None:
    mistake(sinoner("none.jsonl"), "none.jsonl", "no such file")
    (tmp_path / "empty.jsonl").write_text("")
    mistake(sinoner("empty.jsonl"), "empty.jsonl")
    (tmp_path / "human.jsonl").write_text('{"text": "a b c", "entities": []}\n')
    mistake(sinoner("human.jsonl"), "no passage to annotate")
    (tmp_path / "r.yaml").write_text("llm: {model: m}\n")
    mistake(sinoner("r.yaml"), "no corpus", "corpus.sources")
    mistake(sinoner(corpus, "llm.modell=m"), "did you mean 'model'?")
    mistake(sinoner(corpus, "llm.prices=none.yaml"), "none.yaml")
    mistake(sinoner(corpus, "--base-url", "nowhere", "--model", "m"), "--base-url", "http://HOST:PORT/v1")
    mistake(sinoner(corpus, "annotate.samples=2"), "llm.temperature=0.7")


@pytest.mark.parametrize("flag", ["--latency", "--answer-tokens"])
def test_numbers_below_zero_are_refused(corpus: Path, flag: str) -> None:
    result = sinoner(corpus, flag, "-1")
    assert result.exit_code == 2
    assert flag in result.stderr


def test_help_lists_the_settings_that_count() -> None:
    said = sinoner("--help").stdout
    for name in ("llm.prices", "annotate.types", "corpus.max_tokens"):
        assert name in said
    assert all(f"annotate.{key}" in said for key in AnnotateSettings.model_fields)


def test_a_damaged_ledger_is_one_line(job: Job) -> None:
    ok(job())
    ledger = job.run / "ledger.sqlite"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    stopped(sinoner(job.run), 2, "ledger.sqlite", "it seems damaged")
