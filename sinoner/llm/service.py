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
        stopped: whether a person asked to stop; called several times a second. What is in flight may still arrive.
        seed: of the jitter between attempts.
    """

    clients: Sequence[Client]
    ledger: Ledger
    account: Account
    meter: Meter
    tell: Callable[[], None] = lambda: None
    stopped: Callable[[], bool] = lambda: False
    seed: int = 0
