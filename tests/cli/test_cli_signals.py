"""Signals are the command line's: it passes them on to what is at work, and puts back the handlers that were there."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import warnings
from collections.abc import Iterator

import pytest
import typer
from asking import numbered
from chat_server import ChatServer, answer
from rich.console import Console

from sinoner import disk
from sinoner import recipe as recipes
from sinoner.cli.invocation import plain_errors
from sinoner.commands import run_recipe as runs
from sinoner.errors import StoppedError
from sinoner.run.interrupts import Interrupts
from sinoner.run.screen import Screen
from sinoner.stages.annotate import ANNOTATE
from sinoner.stages.chunk import CHUNK

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def mine(number: int, frame: object) -> None:
    """A handler of the caller."""


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    before = {s: signal.signal(s, mine) for s in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_command_line_ends_at_a_signal_and_puts_the_handlers_back(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, plain_errors():
        signal.raise_signal(number)
    assert ended.value.exit_code == 75
    assert capsys.readouterr().err == "sinoner: stopped; run the same command again to continue\n"
    assert [signal.getsignal(s) for s in SIGNALS] == [mine, mine]


def test_what_heeds_a_signal_is_told_once_and_the_second_ends_it() -> None:
    noticed: list[bool] = []
    with (
        pytest.raises(typer.Exit),
        plain_errors() as interrupts,
        interrupts.heeded(lambda: noticed.append(interrupts.requested)),
    ):
        signal.raise_signal(signal.SIGTERM)
        assert (interrupts.requested, noticed) == (True, [True])
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it went on")
    assert noticed == [True]


def test_a_request_that_nobody_heeds_interrupts() -> None:
    interrupts = Interrupts()
    with interrupts.heeded(lambda: None):
        pass
    with pytest.raises(KeyboardInterrupt):
        interrupts.request()
    assert not interrupts.requested


def test_a_run_of_a_library_caller_leaves_handlers_filters_and_levels_as_they_were(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-stand-in")
    source = tmp_path / "corpus.jsonl"
    disk.write_rows(source, [{"id": p.id, "text": p.text} for p in numbered(5)])
    seen: list[object] = []
    filters, levels = list(warnings.filters), _levels()
    with ChatServer(default=answer("[]")) as server:
        tree = {
            "corpus": {"sources": str(source)},
            "llm": {"base_url": server.url, "model": "m", "output": "text"},
            "out": str(tmp_path / "run"),
        }
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            screen = Screen(Console(file=nowhere))
            screen.interrupts = Watched(seen)
            runs.execute(recipes.build(tree, ()), (CHUNK, ANNOTATE), screen, summary=False)
        assert len(server.requests) == 5
    assert seen == [mine, mine]  # while it asked
    assert [signal.getsignal(s) for s in SIGNALS] == [mine, mine]
    assert warnings.filters == filters
    assert _levels() == levels


class Watched(Interrupts):
    """Notes the handlers at the moment when a stage begins to ask."""

    def __init__(self, seen: list[object]) -> None:
        super().__init__()
        self.seen = seen

    def heeded(self, noticed):
        self.seen += [signal.getsignal(s) for s in SIGNALS]
        return super().heeded(noticed)


def _levels() -> dict[str, int]:
    names = ["", "asyncio", "aiohttp.client", "openai", "sinoner"]
    return {name: logging.getLogger(name).level for name in names}


class Late(Interrupts):
    """Asks to stop when the last answer is there and nothing looks any more."""

    @contextlib.contextmanager
    def heeded(self, noticed):
        with super().heeded(noticed):
            yield
            self.request()


def test_a_request_in_the_last_moment_stops_before_anything_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-stand-in")
    source = tmp_path / "corpus.jsonl"
    disk.write_rows(source, [{"id": p.id, "text": p.text} for p in numbered(5)])
    with ChatServer(default=answer("[]")) as server:
        tree = {
            "corpus": {"sources": str(source)},
            "llm": {"base_url": server.url, "model": "m", "output": "text"},
            "out": str(tmp_path / "run"),
        }
        screen = Screen(quiet=True, interrupts=Late())
        with pytest.raises(StoppedError, match="Run the same command again to continue"):
            runs.execute(recipes.build(tree, ()), (CHUNK, ANNOTATE), screen, summary=False)
        assert not (tmp_path / "run" / "annotations.jsonl").exists()
        runs.execute(recipes.build(tree, ()), (CHUNK, ANNOTATE), Screen(quiet=True), summary=False)
        assert len(server.requests) == 5
    assert (tmp_path / "run" / "annotations.jsonl").exists()
