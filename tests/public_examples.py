"""The environment of the documentation's examples: a folder, a loopback endpoint, and a model in ``runs/news``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from chat_server import ChatServer, answer

# The address in the examples; it is replaced by that of the loopback server.
ENDPOINT = "http://localhost:8000/v1"
ANSWER = '{"entities": [{"mention": "张伟", "type": "人名"}, {"mention": "北京大学", "type": "组织机构"}]}'


@contextmanager
def endpoint(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[ChatServer]:
    """Change to this folder and run an endpoint that finds a person and a university."""
    monkeypatch.chdir(folder)
    with ChatServer(default=answer(ANSWER)) as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        yield server


def add_model(folder: Path, model: Path) -> None:
    """Put a model where examples look for the run folder of a fine-tuned one."""
    shutil.copytree(model, folder / "runs/news")
