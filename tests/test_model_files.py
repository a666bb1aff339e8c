"""Where models come from: folders, the cache and a hub that answers, refuses, is slow or silent; each told in one line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from hub_server import HubServer, Repo

from sinoner import model_files
from sinoner.errors import InputError
from sinoner.model_files import NamedModel, folder, located

ROOT = Path(__file__).resolve().parents[1]
ANSWERS = {
    "here/model": (200, ""),
    "busy/model": (503, ""),
    "gated/model": (403, "GatedRepo"),
    "empty/model": (404, "EntryNotFound"),
}


class Hub:
    """A hub that knows a few models, and answers when it feels like it."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                time.sleep(hub.delay)
                hub.asked.append(self.path)
                status, code = ANSWERS.get(self.path[1:].partition("/resolve/")[0], (404, "RepoNotFound"))
                self.send_response(status)
                if code:
                    self.send_header("X-Error-Code", code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def ask_at(monkeypatch: pytest.MonkeyPatch, url: str, seconds: int = 10, offline: bool = False) -> None:
    from huggingface_hub import constants, file_download

    template = url + constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    for module in (constants, file_download):
        if hasattr(module, "HUGGINGFACE_CO_URL_TEMPLATE"):
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", seconds)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    threading.Thread(target=hub.server.serve_forever, daemon=True).start()
    ask_at(monkeypatch, hub.url)
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


def asked(model: str, cache: Path, **more: object) -> NamedModel:
    return NamedModel(model, "train.base", "do something else", cache=str(cache), **more)  # type: ignore[arg-type]


def keep(cache: Path, model: str, file: str = "config.json") -> str:
    """A model in the cache, as the hub's client lays it there."""
    place = cache / f"models--{model.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs/main").write_text("a" * 40)
    snapshot = place / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / file).write_text("{}")
    return str(snapshot)


def refused(model: NamedModel, said: str) -> None:
    with pytest.raises(InputError) as caught:
        located(model)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"train.base: {model.model!r}: ")
    assert str(caught.value).endswith("; do something else")
    assert "\n" not in str(caught.value)


# folders and names --------------------------------------------------------------------------------------------------


def test_a_folder_that_holds_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/modules.json").write_text("[]")
    refused(
        asked(str(tmp_path / "mine"), tmp_path),
        "this folder contains no config.json, so it is not a model folder",
    )
    files = ("config.json", "modules.json")
    assert located(asked(str(tmp_path / "mine"), tmp_path, files=files)) == str(tmp_path / "mine")
    (tmp_path / "mine/config.json").write_text("{}")
    assert located(asked(str(tmp_path / "mine"), tmp_path)) == str(tmp_path / "mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert located(asked("~/mine", tmp_path)) == str(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert located(asked("mine", tmp_path)) == "mine"


@pytest.mark.parametrize(
    "model", ["./none", "/none/at/all", "~/none", "a/b/c", "not a name!!", "", "C:\\m", "x" * 300]
)
def test_what_is_neither_folder_nor_id(model: str, tmp_path: Path) -> None:
    refused(
        asked(model, tmp_path), "there is no such folder, and it is not a valid hub id (owner/name) either"
    )
    with pytest.raises(InputError):
        folder(asked(model, tmp_path))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text("x")
    refused(asked(str(tmp_path / "model.gguf"), tmp_path), "this is a file, not a model folder")


def test_an_id_is_not_asked_for_before_it_is_needed(hub: Hub, tmp_path: Path) -> None:
    assert folder(asked("nobody/model", tmp_path)) is None
    assert hub.asked == []


# a hub that answers -------------------------------------------------------------------------------------------------


def test_a_model_that_the_hub_has(hub: Hub, tmp_path: Path) -> None:
    assert located(asked("here/model", tmp_path)) == "here/model"
    assert hub.asked == ["/here/model/resolve/main/config.json"]
    assert located(asked("busy/model", tmp_path)) == "busy/model"  # the libraries try again
    keep(tmp_path, "here/model")
    assert located(asked("here/model", tmp_path)) == "here/model"  # there may be a newer one


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nobody/model", "there is no such folder, and http://127.0.0.1"),
        ("nofolder", "has no such model, or it is private (run hf auth login)"),
        (
            "gated/model",
            "/gated/model requires accepting its terms: accept them on that page, then run hf auth login",
        ),
        ("empty/model", "/empty/model has no config.json, so it is not a model"),
    ],
)
def test_a_model_that_the_hub_does_not_give(hub: Hub, tmp_path: Path, model: str, said: str) -> None:
    refused(asked(model, tmp_path), said)
    place = keep(tmp_path, model)
    assert located(asked(model, tmp_path)) == place  # was had once


def test_a_name_that_may_stand_for_several_ids(hub: Hub, tmp_path: Path) -> None:
    assert located(asked("model", tmp_path, ids=("nobody/model", "here/model"))) == "here/model"
    refused(asked("model", tmp_path, ids=("nobody/model", "no/model")), "has no such model")
    files = ("config.json", "modules.json")
    assert located(asked("model", tmp_path, ids=("empty/model",), files=files)) == "empty/model"


# a hub that does not ------------------------------------------------------------------------------------------------


def test_a_slow_hub_is_waited_for(hub: Hub, tmp_path: Path) -> None:
    hub.delay = 1.5
    assert located(asked("here/model", tmp_path)) == "here/model"


def test_a_hub_that_refuses_connections_is_given_up_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    ask_at(monkeypatch, url)
    environment = dict(os.environ)
    begin = time.monotonic()
    refused(asked("here/model", tmp_path), f"the model is not in the hub cache, and {url} cannot be reached")
    assert time.monotonic() - begin < 5
    place = keep(tmp_path, "here/model")
    assert located(asked("here/model", tmp_path)) == place
    assert dict(os.environ) == environment


def test_a_connection_that_failed_once_is_tried_again(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub comes up while the first try fails."""
    port = hub.server.server_port
    hub.server.shutdown()
    hub.server.server_close()
    late = Hub()
    late.server.server_close()

    def come_up(seconds: float) -> None:
        late.server = ThreadingHTTPServer(("127.0.0.1", port), late.server.RequestHandlerClass)
        threading.Thread(target=late.server.serve_forever, daemon=True).start()

    monkeypatch.setattr(model_files, "time", SimpleNamespace(sleep=come_up))
    try:
        assert located(asked("here/model", tmp_path)) == "here/model"
    finally:
        late.server.shutdown()
        late.server.server_close()


@pytest.mark.parametrize(
    ("grace", "first"), [(5.0, httpx2.TimeoutException), (-0.8, TimeoutError)], ids=["client", "future"]
)
def test_a_hub_that_never_answers_has_so_many_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grace: float, first: type[Exception]
) -> None:
    """Whichever time-out comes first, that of the client or that of the one who waits for it, the advice is the same."""
    monkeypatch.setattr(model_files, "_GRACE", grace)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hub = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ask_at(monkeypatch, hub, seconds=1)
        with pytest.raises(first):
            model_files._request_metadata(f"{hub}/here/model/resolve/main/config.json", 1)
        begin = time.monotonic()
        refused(
            asked("here/model", tmp_path), "set the environment variable HF_HUB_ETAG_TIMEOUT to wait longer"
        )
        place = keep(tmp_path, "here/model")
        assert located(asked("here/model", tmp_path)) == place
        assert time.monotonic() - begin < 8


def test_offline_nobody_is_asked(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_at(monkeypatch, hub.url, offline=True)
    refused(asked("here/model", tmp_path), "the model is not in the hub cache; HF_HUB_OFFLINE is set")
    place = keep(tmp_path, "here/model")
    assert located(asked("here/model", tmp_path)) == place
    assert hub.asked == []


# with the libraries -------------------------------------------------------------------------------------------------

EMBED = """
import sys, time
from sinoner.retrieve.embedders import embedder
from sinoner.settings import RetrieveSettings
for kind in ("bge", "sentence-transformers"):
    begin = time.monotonic()
    made = embedder(RetrieveSettings(embedder=kind, model_zh=sys.argv[1], dtype="float32"), "zh")
    vectors = made.encode(["今天天气很好", "明日上海有雨。"]).vectors
    assert time.monotonic() - begin < 60
    print(made.name, made.identity, vectors.round(4).tolist())
"""


@pytest.mark.model
def test_a_model_of_the_hub_is_the_same_when_the_hub_is_gone(tiny_bert: Path, tmp_path: Path) -> None:
    def embedded(environment: dict[str, str]) -> list[str]:
        env = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
        env |= environment | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", EMBED, "someone/tiny-e5"],
            env=env,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    with HubServer() as hub:
        repo = hub.repos["model", "someone/tiny-e5"] = Repo("model", "someone/tiny-e5", False)
        repo.files = {p.name: p.read_bytes() for p in tiny_bert.iterdir()}
        repo.commit("all of it")
        environment = hub.env(tmp_path)
        online = embedded(environment)
    offline = embedded(environment)
    assert online == offline
    assert all("someone/tiny-e5@" in line for line in online)
