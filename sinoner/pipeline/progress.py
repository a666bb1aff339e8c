"""What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere, all on stderr."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# Seconds between two lines of a long stage when there is no terminal.
_EVERY = 15.0


class Screen:
    """Where a run talks to the person who started it."""

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._quiet = quiet

    def say(self, line: str) -> None:
        """Print one line; what stands in it is text, never mark-up."""
        if not self._quiet:
            self.console.print(escape(line), soft_wrap=True)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[tuple[Callable[[int], None], Callable[[int, str], None]]]:
        """Show a stage at work.

        Yields:
            ``tick(n)``, which counts finished records, and ``at(total, note)``, which sets how many there are
            and a short note.
        """
        if self._quiet:
            yield (lambda n: None), (lambda total, note: None)
        elif self.console.is_terminal:
            yield from self._bar(name)
        else:
            yield from self._lines(name)

    def _bar(self, name: str) -> Iterator[tuple[Callable[[int], None], Callable[[int, str], None]]]:
        columns = (
            TextColumn("{task.description:<13}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(name, total=None, note="")
            yield (
                lambda n: progress.advance(task, n),
                lambda total, note: progress.update(task, total=total, note=escape(note)),
            )

    def _lines(self, name: str) -> Iterator[tuple[Callable[[int], None], Callable[[int, str], None]]]:
        done, total, note, said = 0, 0, "", time.monotonic()

        def tick(n: int) -> None:
            nonlocal done, said
            done += n
            if time.monotonic() - said >= _EVERY:
                said = time.monotonic()
                self.say(f"{name}: {done}{f' of {total}' if total else ''} {note}".rstrip())

        def at(of: int, what: str) -> None:
            nonlocal total, note
            total, note = of, what

        yield tick, at
