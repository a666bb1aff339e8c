"""Publishing from the command line to a Hub on the loopback, with the real client, and loading it back."""

import json
import os
import subprocess
import sys
from pathlib import Path

from hub_server import HubServer
from typer.testing import CliRunner

from sinoner.cli.app import app


def run(*words: object, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=120,
    )


def test_a_run_is_published_and_loaded_back(tmp_path: Path, tiny_llama: Path) -> None:
    rows = [{"id": f"d{i}", "text": f"张伟第{i}次来到北京。"} for i in range(6)]
    (tmp_path / "my.jsonl").write_text(
        "\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8"
    )
    folder = tmp_path / "run"
    for words in (
        ("annotate", tmp_path / "my.jsonl", "--by", "jieba", "--out", folder),
        ("build-it-set", folder, "retrieve.strategy=random"),
        ("finetune", folder, "--base", tiny_llama, "train.epochs=1", "train.dtype=float32"),
    ):
        made = CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)
        assert made.exit_code == 0, made.output
    with HubServer() as hub:
        env = {**hub.env(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        repositories = ("--dataset-repo", "someone/data", "--model-repo", "someone/model")
        done = run("-m", "sinoner", "publish", folder, *repositories, env=env)
        assert done.returncode == 0, done.stderr
        assert f"published: {hub.url}/datasets/someone/data" in done.stderr
        load = "import datasets; print(datasets.load_dataset('someone/data', split='train')[0]['messages'][0]['content'])"
        assert "北京" in run("-c", load, env=env).stdout
        refused = run("-m", "sinoner", "publish", folder, env={**env, "HF_TOKEN": "hf_wrong_token_0123"})
    assert refused.returncode == 2
    assert "hf_wrong_token_0123" not in refused.stderr
    assert "Traceback" not in refused.stderr
