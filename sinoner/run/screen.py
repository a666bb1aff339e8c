"""What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere, all on stderr."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Column

from sinoner.run.interrupts import Interrupts

# Seconds between two lines of a long stage when there is no terminal.
_EVERY = 15.0


class Progress(Protocol):
    """Updates the display: the total, a short note, and the number done (None: as counted)."""

    def __call__(self, total: int, note: str, done: int | None = None, /) -> None:
        """Update the display."""


class Screen:
    """Where a run talks to the person who started it, who may ask it to stop (``interrupts``)."""

    def __init__(
        self, console: Console | None = None, quiet: bool = False, interrupts: Interrupts | None = None
    ) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.interrupts = interrupts or Interrupts()
        self._quiet = quiet

    def say(self, line: str) -> None:
        """Print one line; what stands in it is text, never mark-up."""
        if not self._quiet:
            self.console.print(escape(line), soft_wrap=True)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[tuple[Callable[[int], None], Progress]]:
        """Show a stage at work.

        Yields:
            ``tick(n)``, which counts finished records, and ``progress(total, note, done)``, which sets how many there
            are, a short note, and how many are finished.
        """
        if self._quiet:
            yield (lambda n: None), (lambda total, note, done=None: None)
        elif self.console.is_terminal:
            yield from self._bar(name)
        else:
            yield from self._lines(name)

    def _bar(self, name: str) -> Iterator[tuple[Callable[[int], None], Progress]]:
        whole = Column(no_wrap=True)  # the note gives way on a narrow terminal, the numbers do not
        columns = (
            TextColumn("{task.description:<13}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(table_column=whole),
            TimeElapsedColumn(table_column=whole),
            TimeRemainingColumn(table_column=whole),
            TextColumn(
                "{task.fields[note]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
            ),
        )
        with Bar(*columns, console=self.console, transient=True, expand=True) as bar:
            task = bar.add_task(name, total=None, note="")
            yield (
                lambda n: bar.advance(task, n),
                lambda total, note, done=None: bar.update(
                    task, total=total, note=escape(note), completed=done
                ),
            )

    def _lines(self, name: str) -> Iterator[tuple[Callable[[int], None], Progress]]:
        done, total, note, said = 0, 0, "", time.monotonic()

        def tick(n: int) -> None:
            nonlocal done
            done += n
            tell()

        def progress(of: int, what: str, so_far: int | None = None, /) -> None:
            nonlocal total, note, done
            total, note = of, what
            if so_far is not None:
                done = so_far
                tell()

        def tell() -> None:
            nonlocal said
            if time.monotonic() - said >= _EVERY:
                said = time.monotonic()
                self.say(f"{name}: {done}{f' of {total}' if total else ''}{f' · {note}' if note else ''}")

        yield tick, progress
