"""Embedding through an endpoint that fails in every way: the right vectors, nothing asked twice, no limit exceeded."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import bpe_openai
import numpy as np
import pytest
from fault_answers import KEY, vector_for, vectors_for
from fault_server import FaultServer
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from rich.console import Console

from sinoner.errors import EndpointError, InputError, StoppedError
from sinoner.llm.embeddings import embedding_request, read_embeddings, texts_of
from sinoner.llm.failures import CallError
from sinoner.llm.ledger import Ledger
from sinoner.llm.pricing import load_prices
from sinoner.retrieve.api_embedder import embedding_llm
from sinoner.retrieve.embedder import Encoded
from sinoner.retrieve.truncate import Cutting
from sinoner.run.interrupts import Interrupts
from sinoner.run.manifest import Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Run
from sinoner.settings import LlmSettings, Recipe, RetrieveSettings
from sinoner.stages.run_embedder import embedder_of

TEXTS = [f"王明在第{n}街{'走' * (n % 7)}。" for n in range(50)]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture(scope="module")
def _one() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def server(_one: FaultServer) -> FaultServer:
    return _one.fresh()


class Embedding:
    """A run folder; each ``encode`` is a run of its own. ``said``: what the person was told.

    ``interrupts``: what asks it to stop.
    """

    interrupts: Interrupts | None = None

    def __init__(self, folder: Path, url: str, **sections: dict[str, object]) -> None:
        self.folder = folder
        llm = {"base_url": url, "timeout": 10, "max_attempts": 3, **sections.get("llm", {})}
        retrieve = {
            "embedder": "openai", "model_zh": "m", "model_en": "m", "batch_size": 8, **sections.get("retrieve", {}),
        }  # fmt: skip
        tree = {"name": "r", "llm": llm, "retrieve": retrieve, "annotate": sections.get("annotate", {})}
        self.recipe = Recipe.model_validate(tree)
        self.out = io.StringIO()

    @property
    def said(self) -> str:
        return self.out.getvalue()

    def encode(self, texts: Sequence[str]) -> Encoded:
        console = Console(file=self.out, width=1000)
        run = Run(
            self.folder, self.recipe, Manifest(self.folder), Screen(console, interrupts=self.interrupts)
        )
        with embedder_of(run, "zh") as embedder:
            return embedder.encode(texts)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with contextlib.closing(sqlite3.connect(self.folder / "ledger.sqlite")) as connection:
            return connection.execute(query).fetchall()


def right(texts: Sequence[str]) -> np.ndarray:
    vectors = np.array([vector_for(text) for text in texts])
    return vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))


def check(encoded: Encoded, texts: Sequence[str]) -> None:
    assert encoded.vectors.dtype == np.float32
    np.testing.assert_allclose(encoded.vectors, right(texts), atol=1e-6)
    assert encoded.cut.dtype == np.bool_
    assert not encoded.cut.any()


def test_the_server_of_these_tests_is_one_to_the_client_of_openai(server: FaultServer) -> None:
    client = OpenAI(base_url=server.url, api_key=KEY)
    for texts in (TEXTS[:3], TEXTS[:1]):
        items = client.embeddings.create(model="m", input=texts).data
        assert [item.embedding for item in items] == [vector_for(text) for text in texts]


# what comes back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("floats", [False, True])
def test_vectors_come_in_the_order_of_the_texts(tmp_path: Path, server: FaultServer, floats: bool) -> None:
    server.configure(embeds_floats=floats, record=True)
    work = Embedding(tmp_path, server.url)
    check(work.encode(TEXTS), TEXTS)
    bodies = server.requests()
    assert len(bodies) == 7
    assert all(set(b) == {"model", "input", "encoding_format"} for b in bodies)
    assert {b["encoding_format"] for b in bodies} == {"base64"}
    sizes = sorted((len(b["input"]) for b in bodies), reverse=True)
    assert sizes == [8] * 6 + [2]
    assert all(max(map(len, b["input"])) - min(map(len, b["input"])) <= 1 for b in bodies)
    assert "retrieve: 50 done, 0 failed, 0 waiting (7 answers in this run" in work.said


def test_a_second_run_needs_neither_server_nor_key(
    tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Embedding(tmp_path, server.url)
    work.encode(TEXTS)
    server.configure(dead=True)
    monkeypatch.delenv("OPENAI_API_KEY")
    check(work.encode(TEXTS[::-1]), TEXTS[::-1])
    with pytest.raises(EndpointError, match="no API key"):
        work.encode([*TEXTS, "新"])


def test_other_texts_order_and_batch_size_ask_only_what_is_missing(
    tmp_path: Path, server: FaultServer
) -> None:
    Embedding(tmp_path, server.url).encode(TEXTS[10:])
    more = [*TEXTS[::-1], "新的文本", *TEXTS[:5]]  # some of them twice
    work = Embedding(tmp_path, server.url, retrieve={"batch_size": 3})
    check(work.encode(more), more)
    stats = server.stats()
    assert (stats["embedded"], stats["embedded_again"]) == (51, 0)


def test_another_model_or_endpoint_has_vectors_of_its_own(tmp_path: Path, server: FaultServer) -> None:
    server.configure(models=("m", "n"))
    Embedding(tmp_path, server.url).encode(TEXTS[:4])
    Embedding(tmp_path, server.url, retrieve={"model_zh": "n"}).encode(TEXTS[:4])
    assert server.stats()["embedded"] == 8
    named = {"name": "elsewhere"}
    Embedding(tmp_path, server.url, llm=named).encode(TEXTS[:4])
    assert server.stats()["embedded"] == 12
    moved = {**named, "base_url": server.url.replace("127.0.0.1", "localhost")}  # same name: same vectors
    Embedding(tmp_path, server.url, llm=moved).encode(TEXTS[:4])
    assert server.stats()["embedded"] == 12


def test_no_text_asks_nothing(tmp_path: Path, server: FaultServer) -> None:
    encoded = Embedding(tmp_path, server.url).encode([])
    assert encoded.vectors.shape[0] == len(encoded.cut) == 0
    assert server.stats()["calls"] == 0


def test_half_a_character_is_sent_as_a_question_mark(tmp_path: Path, server: FaultServer) -> None:
    check(Embedding(tmp_path, server.url).encode(["王\ud800明"]), ["王?明"])


def test_name_and_identity_tell_models_and_lengths_apart(tmp_path: Path, server: FaultServer) -> None:
    def both(**retrieve: object) -> tuple[str, str]:
        work = Embedding(tmp_path, server.url, retrieve=retrieve)
        run = Run(tmp_path, work.recipe, Manifest(tmp_path), Screen(quiet=True))
        with embedder_of(run, "zh") as embedder:
            return embedder.name, embedder.identity

    assert both()[0] == "openai:m"
    found = {both(), both(model_zh="n"), both(max_length=9), both(base_url="http://127.0.0.1:9/v1")}
    assert len({identity for _, identity in found}) == 4
    assert both(batch_size=3) == both()


# what goes wrong on the way -----------------------------------------------------------------------------------------


def test_a_storm_of_refusals_loses_nothing(tmp_path: Path, server: FaultServer) -> None:
    server.configure(cap=3, retry_after="0.05", median=0.02)
    texts = [f"第{n}条" for n in range(300)]
    work = Embedding(tmp_path, server.url, llm={"start": 16, "max_attempts": 6}, retrieve={"batch_size": 10})
    check(work.encode(texts), texts)
    stats = server.stats()
    assert stats["r429"] > 0
    assert (stats["embedded"], stats["embedded_again"], stats["peak"]) == (300, 0, 3)


@pytest.mark.parametrize(
    "fault",
    [
        "http_500", "reset", "truncated_json", "wrong_type", "vectors_missing", "vectors_twice", "vectors_nan",
        "vectors_zero", "vectors_ragged",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_asked_again(tmp_path: Path, server: FaultServer, fault: str) -> None:
    texts = [*TEXTS[:9], f"王明⟦{fault}*1⟧"]
    check(Embedding(tmp_path, server.url).encode(texts), texts)
    stats = server.stats()
    assert (stats["by_fault"], stats["embedded"], stats["embedded_again"]) == ({fault: 1}, 10, 0)


@pytest.mark.parametrize("fault", ["vectors_shuffled", "vectors_unnumbered"])
def test_another_order_is_put_right_by_the_numbers(tmp_path: Path, server: FaultServer, fault: str) -> None:
    texts = [*TEXTS[:6], f"王明⟦{fault}⟧"]
    check(Embedding(tmp_path, server.url).encode(texts), texts)
    assert server.stats()["by_fault"] == {fault: 1}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("vectors_missing", "7 vectors came for 8 texts"),
        ("vectors_twice", "numbered from 0 to 7"),
        ("vectors_nan", "not finite"),
        ("vectors_zero", "all zero"),
        ("vectors_ragged", "8 and 9 numbers"),
        ("http_503", "overloaded"),
    ],
)
def test_what_stays_unreadable_is_one_line_and_all_else_is_kept(
    tmp_path: Path, server: FaultServer, fault: str, said: str
) -> None:
    texts = [*TEXTS[:30], f"走走走走走走走走走走走走走走走走⟦{fault}⟧"]  # the longest: in the first request
    work = Embedding(tmp_path, server.url, llm={"max_attempts": 2})
    work.encode(TEXTS[:1])  # it has answered before, so that one failure stops nothing
    with pytest.raises(StoppedError, match=said) as stopped:
        work.encode(texts)
    line = str(stopped.value)
    (key,) = [
        k for k, body in work.rows("SELECT key, body FROM requests WHERE failed IS NOT NULL") if fault in body
    ]
    assert f"request {key[:12]} (8 texts, the first that begins '走走" in line
    assert "in 2 attempts" in line
    assert "the same command" in line
    assert "\n" not in line
    assert server.stats()["embedded"] == 23
    assert "22 done, 8 failed, 0 waiting" in work.said
    before = server.stats()["calls"]
    server.configure(seed=1)
    with pytest.raises(StoppedError):
        work.encode(texts)  # asks again, and only for those eight
    assert server.stats()["calls"] == before + 2
    check(work.encode(texts[:23]), texts[:23])


def test_a_run_that_stopped_half_way_goes_on_where_it_was(tmp_path: Path, server: FaultServer) -> None:
    server.configure(faults={"http_500": 0.6}, fault_attempts=0, seed=3)
    work = Embedding(
        tmp_path, server.url, llm={"max_attempts": 1, "concurrency": 2}, retrieve={"batch_size": 2}
    )
    with pytest.raises(StoppedError):
        work.encode(TEXTS)
    first = server.stats()["embedded"]
    assert 0 < first < 50
    server.configure(faults={})
    check(work.encode(TEXTS), TEXTS)
    stats = server.stats()
    assert (stats["embedded"], stats["embedded_again"]) == (50, 0)
    assert f"{50 - first} done, 0 failed" in work.said


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_ended_goes_on_and_counts_what_was_on_its_way(
    tmp_path: Path, server: FaultServer, how: signal.Signals
) -> None:
    server.configure(median=0.1, sigma=0.01)
    work = Embedding(tmp_path, server.url, llm={"concurrency": 1}, retrieve={"batch_size": 2})
    script = (
        "import sys, json\nsys.path.insert(0, sys.argv[1])\nfrom pathlib import Path\n"
        "from test_retrieve_api_embedder import Embedding, TEXTS\n"
        "from sinoner.cli.invocation import plain_errors\n"
        "work = Embedding(Path(sys.argv[2]), sys.argv[3], llm={'concurrency': 1}, retrieve={'batch_size': 2})\n"
        "with plain_errors() as work.interrupts:\n    work.encode(TEXTS)"
    )
    here = Path(__file__).parent
    paths = f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent)!r}]\n"
    process = subprocess.Popen(
        [sys.executable, "-c", paths + script, str(here), str(tmp_path), server.url], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while server.stats()["embedded"] < 6 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    process.communicate(timeout=60)
    before = server.stats()["embedded"]
    assert before < 50
    server.configure(median=0.0)
    check(work.encode(TEXTS), TEXTS)
    assert ("were in flight when the last run was killed" in work.said) == (how == signal.SIGKILL)
    on_its_way = 2 if how == signal.SIGKILL else 0  # the other waits for it
    assert server.stats()["embedded_again"] <= on_its_way
    assert server.stats()["embedded"] <= 50 + on_its_way


@pytest.mark.parametrize(
    ("fault", "said"),
    [("auth", "check the key in OPENAI_API_KEY"), ("quota_en", "top up the account")],
)
def test_a_key_that_is_refused_ends_the_run(
    tmp_path: Path, server: FaultServer, fault: str, said: str
) -> None:
    work = Embedding(tmp_path, server.url)
    with pytest.raises(EndpointError, match=said) as ended:
        work.encode([f"王明⟦{fault}⟧"])
    assert ended.value.exit_code == 2
    assert KEY not in str(ended.value)
    assert KEY.encode() not in b"".join(p.read_bytes() for p in tmp_path.iterdir())


def test_an_unknown_model_is_named_with_its_setting(tmp_path: Path, server: FaultServer) -> None:
    work = Embedding(tmp_path, server.url, retrieve={"model_zh": "typo"})
    with pytest.raises(EndpointError, match=r"check retrieve\.model_zh typo and llm\.base_url"):
        work.encode(TEXTS)


def test_nobody_at_the_address_ends_the_run(tmp_path: Path) -> None:
    work = Embedding(
        tmp_path,
        "http://127.0.0.1:9/v1",
        llm={"max_attempts": 1},
        retrieve={"base_url": "http://127.0.0.1:9/x"},
    )
    with pytest.raises(EndpointError, match=r"check retrieve\.base_url and that the server is up"):
        work.encode(TEXTS[:1])


def test_nothing_but_failures_stops_after_give_up(tmp_path: Path, server: FaultServer) -> None:
    server.configure(faults={"http_500": 1.0}, fault_attempts=0)
    work = Embedding(tmp_path, server.url, llm={"give_up": 0.5, "max_attempts": 6})
    with pytest.raises(StoppedError, match="no answer for 0.5 s"):
        work.encode(TEXTS)


# what is refused ----------------------------------------------------------------------------------------------------


def test_too_many_texts_for_the_endpoint_are_asked_for_in_parts(tmp_path: Path, server: FaultServer) -> None:
    server.configure(embeds_most=5, record=True)
    work = Embedding(tmp_path, server.url, llm={"concurrency": 1}, retrieve={"batch_size": 32})
    texts = [f"第{n}条" for n in range(500)]
    check(work.encode(texts), texts)
    assert server.stats()["embedded_again"] == 0
    refused = server.stats()["by_status"]["400"]
    assert refused < 40  # it learns what is taken
    more = [f"又{n}条" for n in range(100)]
    work.encode([*texts, *more])
    assert server.stats()["embedded"] == 600


def test_a_refused_text_is_named_and_the_others_of_its_request_are_kept(
    tmp_path: Path, server: FaultServer
) -> None:
    texts = [*TEXTS[:7], "敏感⟦content_filter_zh⟧"]
    work = Embedding(tmp_path, server.url)
    with pytest.raises(InputError, match=r"a text that begins '敏感⟦content_filter_zh⟧'\): content_filter"):
        work.encode(texts)
    check(work.encode(texts[:7]), texts[:7])
    assert (server.stats()["embedded"], server.stats()["embedded_again"]) == (7, 0)


def test_a_text_too_long_for_the_model_says_what_to_set(tmp_path: Path, server: FaultServer) -> None:
    work = Embedding(tmp_path, server.url)
    with pytest.raises(InputError, match=r"set retrieve\.max_length below 512"):
        work.encode(["长⟦context_length⟧"])


def test_vectors_of_several_sizes_are_refused_and_all_asked_anew(tmp_path: Path, server: FaultServer) -> None:
    texts = [*TEXTS[:16], "走走走走走走走走走走⟦vectors_longer*1⟧"]
    work = Embedding(tmp_path, server.url)
    with pytest.raises(InputError, match=r"vectors of 8 and 9 numbers \(request"):
        work.encode(texts)
    check(work.encode(texts), texts)
    assert server.stats()["embedded"] == 34


# what it costs ------------------------------------------------------------------------------------------------------


def test_a_budget_of_tokens_counts_what_was_spent_before(tmp_path: Path, server: FaultServer) -> None:
    free = Embedding(tmp_path, server.url)
    free.encode(TEXTS[:8])
    spent = server.stats()["prompt_tokens"]
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.usage() == (1, spent, 0)
        assert ledger.typical("annotate") is None
        assert ledger.usage("annotate") == (0, 0, 0)
    work = Embedding(tmp_path, server.url, llm={"concurrency": 1}, annotate={"max_tokens": spent + 600})
    with pytest.raises(StoppedError, match="the budget is used up") as stopped:
        work.encode(TEXTS)
    assert "--reparse" not in str(stopped.value)
    assert spent < server.stats()["prompt_tokens"] <= spent + 600
    check(free.encode(TEXTS), TEXTS)
    assert (server.stats()["embedded"], server.stats()["embedded_again"]) == (50, 0)


def test_a_budget_of_money_wants_a_price(tmp_path: Path, server: FaultServer) -> None:
    with pytest.raises(InputError, match=r"no price is known for m at .*llm\.prices"):
        Embedding(tmp_path, server.url, annotate={"max_cost": "1USD"}).encode(TEXTS)
    assert server.stats()["calls"] == 0
    prices = tmp_path / "prices.yaml"
    entry = {"models": ["m"], "input": 1, "output": 0, "currency": "USD"}
    prices.write_text(json.dumps({"prices": [entry]}), encoding="utf-8")
    tokens = 580  # the server counts characters, and a line feed between texts
    work = Embedding(tmp_path, server.url, llm={"prices": str(prices)}, annotate={"max_cost": "1USD"})
    check(work.encode(TEXTS), TEXTS)
    assert server.stats()["prompt_tokens"] == tokens
    assert f"{tokens} tokens, $0.00058 so far" in work.said


def test_models_renamed_at_another_endpoint_keep_their_price(tmp_path: Path, server: FaultServer) -> None:
    from sinoner.llm.attempt import Attempt
    from sinoner.llm.request import make_request

    elsewhere = "http://127.0.0.1:9/v1"
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        (number,) = ledger.start([(make_request({"model": "big", "messages": []}, "e", "d#0"), elsewhere)])
        ledger.add([(number, Attempt(elsewhere, raw="{}", tokens=(1_000_000, 0, 0)), False)])
    prices = tmp_path / "prices.yaml"
    entries = [{"models": [name], "input": 1, "output": 0, "currency": "USD"} for name in ("m", "big-2026")]
    prices.write_text(json.dumps({"prices": entries}), encoding="utf-8")
    llm: dict[str, object] = {
        "base_url": None, "prices": str(prices), "endpoints": [{"base_url": elsewhere, "models": {"big": "big-2026"}}],
    }  # fmt: skip
    own = {"base_url": server.url}
    with pytest.raises(StoppedError, match=r"the budget is used up \(\$1\.00"):
        Embedding(tmp_path, "", llm=llm, retrieve=own, annotate={"max_cost": "1USD"}).encode(TEXTS)
    check(Embedding(tmp_path, "", llm=llm, retrieve=own, annotate={"max_cost": "2USD"}).encode(TEXTS), TEXTS)


def test_embedding_models_have_prices_but_label_nothing() -> None:
    price = load_prices().find("text-embedding-3-small", None)
    assert price is not None
    assert price.embeds
    assert price.cost(1_000_000, 0) == Decimal("0.02")
    assert not [p.model for p in load_prices().all() if p.embeds != p.model.startswith("text-embedding-")]


# which endpoint -----------------------------------------------------------------------------------------------------


def test_replicas_share_the_work(tmp_path: Path, server: FaultServer) -> None:
    server.configure(median=0.01)
    with FaultServer(median=0.01) as other:
        llm: dict[str, object] = {"base_url": None, "endpoints": [server.url, other.url]}
        work = Embedding(tmp_path, "", llm=llm, retrieve={"batch_size": 2})
        check(work.encode(TEXTS), TEXTS)
        counts = server.stats()["embedded"], other.stats()["embedded"]
        assert sum(counts) == 50
        assert min(counts) > 0
        other.configure(dead=True)
        more = [f"又{n}" for n in range(20)]
        check(work.encode(more), more)


def test_an_endpoint_of_its_own_gets_its_own_key(
    tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBED_KEY", "sk-other")
    retrieve = {"base_url": server.url, "api_key_env": "EMBED_KEY"}
    work = Embedding(tmp_path, "http://127.0.0.1:9/v1", retrieve=retrieve)
    check(work.encode(TEXTS), TEXTS)
    assert server.stats()["auth"] == ["Bearer sk-other"]


def test_the_endpoint_is_that_of_retrieve_else_that_of_llm() -> None:
    llm = LlmSettings.model_validate(
        {"model": "chat", "endpoints": [{"base_url": "http://a/v1", "api_key_file": "k"}, "http://b/v1"], "rpm": 7,
         "extra": {"x": 1}, "name": "n"}
    )  # fmt: skip
    settings = RetrieveSettings(embedder="openai")
    same = embedding_llm(settings, llm, "zh")
    assert (same.model, same.endpoints, same.name, same.rpm, same.extra) == (
        "text-embedding-3-small", llm.endpoints, "n", 7, {},
    )  # fmt: skip
    keyed = embedding_llm(settings.model_copy(update={"api_key_env": "K"}), llm, "en")
    assert [(e.base_url, e.api_key_env, e.api_key_file) for e in keyed.endpoints] == [
        ("http://a/v1", "K", None), ("http://b/v1", "K", None),
    ]  # fmt: skip
    own = embedding_llm(settings.model_copy(update={"base_url": "http://c/v1"}), llm, "en")
    assert (own.base_url, own.endpoints, own.name, own.api_key_env) == (
        "http://c/v1", (), None, "OPENAI_API_KEY",
    )  # fmt: skip


def test_a_key_file_in_the_run_folder_is_refused(tmp_path: Path, server: FaultServer) -> None:
    (tmp_path / "key").write_text(KEY, encoding="utf-8")
    with pytest.raises(InputError, match="would be shared"):
        Embedding(tmp_path, server.url, llm={"api_key_file": str(tmp_path / "key")}).encode(TEXTS)


# long texts ---------------------------------------------------------------------------------------------------------

ENCODING = bpe_openai.get_encoding("cl100k_base")


def test_a_long_text_is_cut_and_flagged(tmp_path: Path, server: FaultServer) -> None:
    server.configure(record=True)
    long = "王明在上海的街上走。" * 40
    texts = ["短", long, "a b c d e f g h", "a b c d e f g h i"]
    encoded = Embedding(tmp_path, server.url, retrieve={"max_length": 8}).encode(texts)
    assert encoded.cut.tolist() == [False, True, False, True]
    sent = [text for body in server.requests() for text in body["input"]]
    assert sorted(sent, key=len)[0] == "短"
    assert sent.count("a b c d e f g h") == 1  # cut, the last text is the one before it
    (shorter,) = [t for t in sent if t.startswith("王明")]
    assert long.startswith(shorter)
    assert len(ENCODING.encode_ordinary(shorter)) <= 8
    np.testing.assert_allclose(encoded.vectors, right(["短", shorter, texts[2], texts[2]]), atol=1e-6)


@given(st.text(), st.integers(8, 20))
def test_what_is_cut_is_the_longest_whole_beginning(text: str, limit: int) -> None:
    whole = text.encode("utf-8", "replace").decode()
    shorter = Cutting(limit).cut(text)
    if len(ENCODING.encode_ordinary(whole)) <= limit:
        assert shorter == text
        return
    assert whole.startswith(shorter)
    assert 0 < len(shorter) < len(whole)
    assert len(ENCODING.encode_ordinary(shorter)) <= limit
    first = ENCODING.decode_bytes(ENCODING.encode_ordinary(whole)[:limit])
    assert (
        len(first) - len(shorter.encode()) <= 12
    )  # nothing but a character in two, or a token that fell apart


@pytest.mark.parametrize(
    "text",
    ["🏳️‍🌈" * 30, "𠮷野家" * 30, "é́́́" * 40, "　" * 100, "\r\n\t " * 60],
    ids=["joined emoji", "beyond the first plane", "combining", "wide spaces", "white space"],
)
def test_no_character_is_cut_through(text: str) -> None:
    for limit in range(8, 30):
        shorter = Cutting(limit).cut(text)
        assert text.startswith(shorter)
        assert shorter
        assert len(ENCODING.encode_ordinary(shorter)) <= limit


# reading ------------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.lists(st.floats(-1e300, 1e300, allow_nan=False), min_size=3, max_size=3).filter(
            lambda v: any(abs(x) > 1e-300 for x in v)
        ),
        min_size=1,
        max_size=5,
    ),
    st.randoms(use_true_random=False),
)
def test_any_finite_vectors_are_read_with_length_one(vectors: list[list[float]], draw: object) -> None:
    items = [{"index": i, "embedding": v} for i, v in enumerate(vectors)]
    draw.shuffle(items)  # type: ignore[attr-defined]
    read = read_embeddings(json.dumps({"data": items, "usage": {"total_tokens": 3}}), len(vectors))
    assert read.tokens == 3
    for row, vector in zip(read.vectors, vectors, strict=True):
        scaled = np.array(vector) / max(map(abs, vector))
        np.testing.assert_allclose(row, scaled / np.sqrt((scaled * scaled).sum()), atol=1e-6)


@pytest.mark.parametrize(
    "data",
    [
        [], None, "x", [1], [{"index": 0}], [{"index": 0, "embedding": None}], [{"index": 0, "embedding": []}],
        [{"index": 0, "embedding": [[1.0]]}], [{"index": 0, "embedding": "AAA"}], [{"index": 0, "embedding": "!!!!"}],
        [{"index": 0, "embedding": [1.0, None]}], [{"index": 1, "embedding": [1.0]}],
        [{"index": "0", "embedding": [1.0]}], [{"index": 0, "embedding": [10**400]}],
        [{"index": 0, "embedding": ""}], [{"index": 0, "embedding": {"a": 1}}],
    ],
)  # fmt: skip
def test_what_is_no_vector_is_transient(data: object) -> None:
    with pytest.raises(CallError) as error:
        read_embeddings(json.dumps({"data": data}), 1)
    assert error.value.kind == "transient"


def test_an_error_with_status_200_keeps_its_kind() -> None:
    raw = json.dumps({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}})
    with pytest.raises(CallError) as error:
        read_embeddings(raw, 1)
    assert error.value.kind == "auth"


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_the_texts_of_a_request_are_found_in_its_body(texts: list[str]) -> None:
    request = embedding_request("m", texts, "e")
    assert texts_of(request.payload) == tuple(t.encode("utf-8", "replace").decode() for t in texts)
    assert request.path == "/embeddings"
    assert request.max_tokens == 0
    raw = json.dumps({"data": vectors_for(tuple(texts), "base64", None), "usage": {"prompt_tokens": 5}})
    assert request.reply(raw).prompt_tokens == 5
