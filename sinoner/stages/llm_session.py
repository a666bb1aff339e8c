"""Asking an LLM in a stage: the ledger that is recovered first, the live line, Ctrl-C, and the closing line."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sinoner.errors import InputError
from sinoner.run.layout import LEDGER
from sinoner.run.screen import Progress
from sinoner.run.stage import Run
from sinoner.run.tally import Tally
from sinoner.settings import LlmSettings

if TYPE_CHECKING:
    from sinoner.llm.client import Client
    from sinoner.llm.ledger import Ledger
    from sinoner.llm.meter import Meter
    from sinoner.llm.request import RequestKind
    from sinoner.llm.service import Service

T = TypeVar("T")


@dataclass(frozen=True)
class Collecting:
    """A stage that asks.

    Attributes:
        run: whose ledger and screen.
        stage: its name.
        total: passages, for the bar.
        progress: the bar.
        failed_again: how a person has failed passages asked again, for the closing line.
    """

    run: Run
    stage: str
    total: int
    progress: Progress
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
        interrupts = self.run.screen.interrupts
        service = Service(
            found, ledger, spending, meter, self._teller(meter), lambda: interrupts.requested, recipe.seed
        )
        stopping = f"{self.stage}: stopping; waiting for the requests in flight (once more: stop at once)"
        try:
            with interrupts.heeded(lambda: say(stopping)):
                result = ask(service)
            if interrupts.requested:  # in the last moment, when all was answered
                raise KeyboardInterrupt
            return result
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
            self.progress(self.total, meter.line(), meter.ended)

        return tell


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


def same_questions(run: Run, ledger: Ledger, kind: RequestKind, fields: dict[str, Any]) -> None:
    """Refuse to ask everything again because a setting changed unnoticed; else note the settings.

    Args:
        run: its options say whether to ask under new settings, or not at all.
        ledger: of the run folder.
        kind: of the requests.
        fields: the settings that requests of this kind depend on.

    Raises:
        InputError: the answers in the ledger were given under other settings, each of which is listed.
    """
    changed = changed_settings(ledger, kind, fields)
    if changed and not run.options.new_run:
        lines = "\n".join(f"  {line}" for line in changed)
        moved, before = "", ledger.runs(kind)[-1].get("endpoint")
        if before != fields["endpoint"]:
            moved = f"; if only the address changed, add llm.name={before}"
        what = "verdicts" if kind == "verify" else "answers"
        raise InputError(
            f"{run.folder / LEDGER}: its {ledger.usage(kind)[0]} {what} were given under other settings:\n{lines}\n"
            f"go back to those, or ask again with --new-run (the old {what} stay in the ledger){moved}"
        )
    if not run.options.reparse and fields not in ledger.runs(kind):
        ledger.add_run(kind, fields)


def changed_settings(ledger: Ledger, kind: RequestKind, fields: dict[str, Any]) -> list[str]:
    """What differs from the settings of the last run, one line each; empty when its answers were given under these."""
    earlier = ledger.runs(kind)
    if fields in earlier or not earlier or not any(ledger.usage(kind)):
        return []
    before = earlier[-1]
    return [
        f"{name}: {before.get(name)!r} → {fields.get(name)!r}"
        for name in dict.fromkeys([*before, *fields])
        if before.get(name) != fields.get(name)
    ]


def tell_usage(ledger: Ledger, tally: Tally) -> None:
    """Count what the ledger holds by now, whichever stage asked for it."""
    answers, prompt, completion = ledger.usage()
    tally.make("ledger_answer", answers)
    tally.make("prompt_token", prompt)
    tally.make("completion_token", completion)
