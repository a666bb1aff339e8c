"""What asks: the endpoints, where answers are kept, what may be spent, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sinoner.llm.client import Client
from sinoner.llm.costs import Account
from sinoner.llm.ledger import Ledger
from sinoner.llm.meter import Meter


@dataclass
class Service:
    """What the engine works with.

    Attributes:
        clients: the endpoints.
        ledger: of the run folder.
        account: prices and budget.
        meter: counts for a person; updated while it runs.
        tell: called several times a second.
        on_start: is given a function that asks the run to stop; calling that twice waits for nothing.
    """

    clients: Sequence[Client]
    ledger: Ledger
    account: Account
    meter: Meter
    tell: Callable[[], None] = lambda: None
    on_start: Callable[[Callable[[], None]], None] = lambda stop: None
