"""One line for a person's mistake, exit 2, no traceback, nothing half-made."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sinoner.cli.app import app

GOOD = '{"id": "a", "text": "张伟在北京。"}\n'


def sinoner(*words: str | Path, environ: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words], env=environ, catch_exceptions=False)


def mistake(result: Result, *said: str) -> str:
    """The one line of a mistake."""
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("sinoner: ")]
    assert len(lines) == 1, result.stderr
    for words in said:
        assert words in lines[0]
    assert "Traceback" not in result.output
    return lines[0]


def annotate(path: Path, out: Path, *words: str) -> Result:
    return sinoner("annotate", path, "--out", out, "--by", "jieba", *words)


def test_missing_file(tmp_path: Path) -> None:
    mistake(annotate(tmp_path / "none.jsonl", tmp_path / "run"), "none.jsonl")


def test_folder_without_readable_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "picture.png").write_bytes(b"\x89PNG")
    mistake(annotate(tmp_path / "in", tmp_path / "run"), "in", ".jsonl")


@pytest.mark.parametrize("content", [b"", b"\n\n", b'{"text": ""}\n'])
def test_empty_corpus(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.jsonl").write_bytes(content)
    mistake(annotate(tmp_path / "c.jsonl", tmp_path / "run"), "c.jsonl")
    assert not (tmp_path / "run/passages.jsonl").exists()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"oops\n", "not_json"),
        (b'{"title": "x"}\n', "no_text"),
        (b'{"text": "\xff\xfe"}\n', "invalid_utf8"),
        (b'{"text": "a\\u0000b"}\n', "nul_byte"),
        (b"[1]\n", "not_an_object"),
    ],
)
def test_a_bad_line_is_a_reject_and_the_rest_goes_on(tmp_path: Path, line: bytes, reason: str) -> None:
    (tmp_path / "c.jsonl").write_bytes(GOOD.encode() + line + GOOD.replace('"a"', '"b"').encode())
    result = annotate(tmp_path / "c.jsonl", tmp_path / "run")
    assert result.exit_code == 0, result.output
    rejects = [json.loads(x) for x in (tmp_path / "run/rejects/chunk.jsonl").read_text("utf-8").splitlines()]
    assert [r["reason"] for r in rejects] == [reason]
    assert "c.jsonl:2" in rejects[0]["id"] + rejects[0]["detail"]
    assert len((tmp_path / "run/annotations.jsonl").read_text("utf-8").splitlines()) == 2


def test_gb18030_is_detected(tmp_path: Path) -> None:
    text = "中国的首都是北京，上海是最大的城市。张伟在这里工作了很多年，他喜欢这座城市的生活。"
    (tmp_path / "c.txt").write_bytes(text.encode("gb18030"))
    assert annotate(tmp_path / "c.txt", tmp_path / "run").exit_code == 0
    assert "北京" in (tmp_path / "run/passages.jsonl").read_text("utf-8")


def test_a_single_line_of_10_mb(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("张伟去年在北京工作，今年搬到了上海市。" * 180_000, encoding="utf-8")
    assert (tmp_path / "c.txt").stat().st_size > 10_000_000
    result = sinoner("chunk", tmp_path / "c.txt", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    rejoined = "".join(
        json.loads(x)["text"] for x in (tmp_path / "run/passages.jsonl").open(encoding="utf-8")
    )
    assert rejoined == (tmp_path / "c.txt").read_text("utf-8")
    mistake(
        sinoner("chunk", tmp_path / "c.txt", "--out", tmp_path / "run2", "corpus.max_line_mb=5"),
        "line_too_long",
    )


def test_wrong_settings(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(GOOD)
    mistake(
        annotate(tmp_path / "c.jsonl", tmp_path / "run", "corpus.max_tokenz=3"), "did you mean 'max_tokens'?"
    )
    mistake(
        annotate(tmp_path / "c.jsonl", tmp_path / "run", "corpus.max_tokens=many"),
        "corpus.max_tokens",
        "'many'",
    )
    mistake(
        annotate(tmp_path / "c.jsonl", tmp_path / "run", "corpus.tokenizer=bert"),
        "corpus.tokenizer",
        "o200k_base",
    )
    mistake(
        sinoner("annotate", tmp_path / "c.jsonl", "--by", "spacy", "--out", tmp_path / "run"), "annotate.by"
    )
    mistake(annotate(tmp_path / "c.jsonl", tmp_path / "run", "annotate"), "section.key=value")
    assert annotate(tmp_path / "c.jsonl", tmp_path / "run").exit_code == 0
    mistake(sinoner("filter", tmp_path / "run", "filter.rules=[nonsense]"), "nonsense", "strip_brackets")
    assert not (tmp_path / "run/filtered.jsonl").exists()
    assert sinoner("filter", tmp_path / "run").exit_code == 0  # the wrong setting was not kept


def test_no_key_and_no_model(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(GOOD)
    none = {"OPENAI_API_KEY": ""}
    run = tmp_path / "run"
    mistake(sinoner("annotate", tmp_path / "c.jsonl", "--out", run, environ=none), "--model")
    words = ("annotate", tmp_path / "c.jsonl", "--out", run, "--model", "m")
    mistake(sinoner(*words, environ=none), "OPENAI_API_KEY", "no API key")
    assert not (run / "annotations.jsonl").exists()


def test_unreachable_endpoint(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(GOOD)
    words = ("--model", "m", "--base-url", "http://127.0.0.1:9/v1", "llm.max_attempts=1")
    canary = "sk-canary-123456"
    result = sinoner(
        "annotate",
        tmp_path / "c.jsonl",
        "--out",
        tmp_path / "run",
        *words,
        environ={"OPENAI_API_KEY": canary},
    )
    mistake(result, "127.0.0.1:9", "unreachable", "--base-url")
    assert canary not in result.output
    kept = b"".join(p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file())
    assert canary.encode() not in kept


def test_verbs_on_the_wrong_thing(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(GOOD)
    mistake(sinoner("filter", tmp_path / "c.jsonl"), "neither a recipe", "sinoner annotate")
    mistake(sinoner("run", tmp_path / "none.yaml"), "no such recipe", "quickstart")
    mistake(sinoner("evaluate", tmp_path / "nowhere"), "no such recipe or run folder")
    assert annotate(tmp_path / "c.jsonl", tmp_path / "run").exit_code == 0
    mistake(sinoner("finetune", tmp_path / "run", "--base", "smollm2"), "sinoner build-it-set")
    mistake(sinoner("evaluate", tmp_path / "run"), "--benchmark")
    mistake(
        sinoner("report", tmp_path), "no such recipe or run folder" if not tmp_path.exists() else "run folder"
    )
    mistake(sinoner("annotate", tmp_path / "run", "--out", tmp_path / "other"), "omit --out")
    mistake(sinoner("predict", tmp_path / "run", "张伟"), "--types")
    mistake(sinoner("benchmarks", "fetch", "bosom"), "boson")


def test_out_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(GOOD)
    (tmp_path / "taken").write_text("x")
    mistake(annotate(tmp_path / "c.jsonl", tmp_path / "taken"), "taken", "--out")
    assert (tmp_path / "taken").read_text() == "x"


def test_check_lists_all_mistakes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "corpus: {sources: [nowhere.jsonl], tokenizer: bert}\ntrain: {base: smollm2}\nfilter: {max_chars: 5}\nevaluate: {benchmarks: [gone]}\n"
    )
    result = sinoner("check", path, environ={"OPENAI_API_KEY": ""})
    assert result.exit_code == 2
    for word in ("nowhere.jsonl", "bert", "gone", "llm.model", "OPENAI_API_KEY"):
        assert word in result.stderr
    assert sinoner("check", "quickstart").exit_code == 0


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(tmp_path: Path) -> None:
    text = "张伟去年在北京工作，今年搬到了上海市。李娜在深圳大学学习，她来自湖南省长沙市。"
    rows = [json.dumps({"id": str(i), "text": text * 5}, ensure_ascii=False) for i in range(20_000)]
    (tmp_path / "c.jsonl").write_text("\n".join(rows), encoding="utf-8")
    words = [
        sys.executable,
        "-m",
        "sinoner",
        "annotate",
        str(tmp_path / "c.jsonl"),
        "--out",
        str(tmp_path / "run"),
        "--by",
        "jieba",
    ]
    process = subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run/passages.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 75, said
    assert "the same command again to continue" in said
    assert "Traceback" not in said
    assert not (tmp_path / "run/annotations.jsonl").exists()
    assert (tmp_path / "run/passages.jsonl").exists()
    assert not list((tmp_path / "run").rglob("*.part"))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("retrieve.pools=[nowhere]", "nowhere: no such gold file, folder or benchmark"),
        ("retrieve.stop_words=nowhere.txt", "nowhere.txt: no such file"),
        ("retrieve.model_zh=./nowhere", "retrieve.model_zh: './nowhere': there is no such folder"),
        ("train.base=./nowhere", "train.base: './nowhere': there is no such folder"),
    ],
)
def test_a_mistake_of_later_stages_is_told_before_anything_is_labelled(
    setting: str, said: str, tmp_path: Path
) -> None:
    corpus, recipe, run = tmp_path / "c.txt", tmp_path / "r.yaml", tmp_path / "run"
    corpus.write_text("张伟在北京。", encoding="utf-8")
    recipe.write_text(f"corpus: {{sources: {corpus}}}\nannotate: {{by: jieba}}\n", encoding="utf-8")
    assert said in mistake(sinoner("check", recipe, setting))
    mistake(sinoner("run", recipe, setting, f"out={run}"), said)
    assert not (run / "annotations.jsonl").exists()
