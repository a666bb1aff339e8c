"""Pieces of ``Stage.preflight``: mistakes as lines, without stopping at the first."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator

from sinoner.errors import SinonerError


def mistakes(*actions: Callable[[], object]) -> Iterator[str]:
    """The messages of the actions that raise an error meant for people."""
    for action in actions:
        try:
            action()
        except SinonerError as error:
            yield str(error)


def missing(setting: str, modules: Iterable[str]) -> Iterator[str]:
    """A line when modules that a setting needs are not installed."""
    if absent := [module for module in modules if importlib.util.find_spec(module) is None]:
        yield f"{setting}: {', '.join(absent)} not installed; sinoner doctor says how to get it"
