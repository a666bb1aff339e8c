"""Asking an LLM in a stage: the ledger that is recovered first, the live line, Ctrl-C, and the closing line."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from sinoner.errors import InputError
from sinoner.run.screen import At
from sinoner.run.stage import Run
from sinoner.run.tally import Tally
from sinoner.settings import LlmSettings, Recipe

if TYPE_CHECKING:
    from sinoner.llm.client import Client
    from sinoner.llm.ledger import Ledger
    from sinoner.llm.meter import Meter
    from sinoner.llm.service import Service

T = TypeVar("T")


@dataclass(frozen=True)
class Collecting:
    """A stage that asks.

    Attributes:
        run: whose ledger and screen.
        stage: its name.
        total: passages, for the bar.
        at: the bar.
        failed_again: how a person has failed passages asked again, for the closing line.
    """

    run: Run
    stage: str
    total: int
    at: At
    failed_again: str

    def ask(self, llm: LlmSettings, found: list[Client], ledger: Ledger, ask: Callable[[Service], T]) -> T:
        """Ask what the ledger does not have, and say what it costs.

        Args:
            llm: the models that are asked, for their prices.
            found: the endpoints.
            ledger: of the run folder.
            ask: does it.
        """
        from sinoner.llm.client import renamed
        from sinoner.llm.costs import account
        from sinoner.llm.meter import Meter
        from sinoner.llm.pricing import format_money
        from sinoner.llm.service import Service

        say = self.run.screen.say
        if lost := ledger.recover():
            say(
                f"{self.stage}: {lost} requests were in flight when the last run was killed; they may have been paid"
            )
        recipe = self.run.recipe
        spending = account(recipe.annotate, llm, found, ledger.spent(), renamed(recipe.llm))
        meter = Meter(
            total=self.total, cost=spending.spent, before=spending.spent, currency=spending.costs.currency
        )
        stop: list[Callable[[], None]] = []
        service = Service(found, ledger, spending, meter, self._teller(meter), stop.append)
        try:
            with self._graceful(lambda: [ask() for ask in stop[-1:]]):
                return ask(service)
        finally:
            cost = f", {format_money(meter.cost, meter.currency)} so far" if meter.currency else ""
            again = f"; {self.failed_again}" if meter.failed else ""
            say(
                f"{self.stage}: {meter.done} done, {meter.failed} failed, {meter.waiting} waiting"
                f" ({meter.answers} answers in this run, {meter.tokens:,} tokens{cost}){again}"
            )

    def _teller(self, meter: Meter) -> Callable[[], None]:
        """Shows the meter, the part of the passages that is done as the bar."""

        def tell() -> None:
            self.at(self.total, meter.line(), meter.ended)

        return tell

    @contextlib.contextmanager
    def _graceful(self, stop: Callable[[], object]) -> Iterator[None]:
        """Ctrl-C and SIGTERM let the requests in flight arrive; the second time nothing is waited for."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt(signum: int, frame: FrameType | None) -> None:
            if not stop():
                raise KeyboardInterrupt
            self.run.screen.say(
                f"{self.stage}: stopping; waiting for the requests in flight (once more: stop at once)"
            )

        before = {s: signal.signal(s, interrupt) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def readable(ledger: Path) -> Iterator[None]:
    """Say in one line that a ledger is damaged, wherever that is noticed."""
    import sqlite3

    from sinoner.llm.ledger_tables import explained

    try:
        yield
    except sqlite3.DatabaseError as error:
        raise explained(ledger, error) from None


def key_files_elsewhere(run: Run) -> None:
    """A key file belongs outside the run folder, which is kept, shared and published.

    Raises:
        InputError: one lies in it.
    """
    llm = run.recipe.llm
    for name in (llm.api_key_file, *(e.api_key_file for e in llm.endpoints)):
        if name and run.folder.resolve() in Path(name).expanduser().resolve().parents:
            raise InputError(
                f"{name}: a key file inside the run folder would be shared with it; move it elsewhere"
            )


def llm_identity(recipe: Recipe, kept: set[str]) -> dict[str, Any]:
    """The settings of ``llm`` that answers depend on: those named, and the address of an endpoint without a name."""
    settings = recipe.llm.model_dump(mode="json", include=kept)
    if recipe.llm.name is None:
        settings["base_url"] = (
            recipe.llm.endpoints[0].base_url if recipe.llm.endpoints else recipe.llm.base_url
        )
    return settings


def tell_usage(ledger: Ledger, tally: Tally) -> None:
    """Count what the ledger holds by now, whichever stage asked for it."""
    answers, prompt, completion = ledger.usage()
    tally.make("ledger_answer", answers)
    tally.make("prompt_token", prompt)
    tally.make("completion_token", completion)
