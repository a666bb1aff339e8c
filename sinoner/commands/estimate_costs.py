"""What requests would cost, model by model of the price table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from sinoner.settings import LlmSettings

if TYPE_CHECKING:
    from sinoner.llm.client import Client
    from sinoner.llm.pricing import Currency


@dataclass(frozen=True)
class ModelCost:
    """The cost with one model of the price table, in its currency; ``batch`` = in batch mode.

    A model that is ``chosen`` has the cost of its own requests, any other that of all requests.
    """

    model: str
    provider: str
    currency: Currency
    online: Decimal
    batch: Decimal | None
    as_of: str
    chosen: bool


@dataclass
class Share:
    """Requests of one model, and their prompt and answer tokens."""

    requests: float = 0.0
    prompt: float = 0.0
    answer: float = 0.0

    def add(self, requests: int, prompt: float, answer: float) -> None:
        """Count further requests with so many tokens each."""
        self.requests += requests
        self.prompt += requests * prompt
        self.answer += requests * answer


def model_costs(
    llm: LlmSettings, found: Sequence[Client], shares: Mapping[str, Share]
) -> Iterator[ModelCost]:
    """The chosen models first, if they have a price; then the table from cheap to dear, by currency."""
    from sinoner.llm.pricing import load_prices

    table = load_prices(Path(llm.prices).expanduser() if llm.prices else None)
    own: dict[int, Share] = {}
    for model, share in shares.items():
        # Endpoints that serve the same model share its requests; each price has its part of them.
        prices = [table.find(c.name_of(model), c.endpoint) for c in found if c.serves(model)]
        for price in prices:
            mine = own.setdefault(id(price), Share())
            mine.prompt += share.prompt / len(prices)
            mine.answer += share.answer / len(prices)
    every = Share(0, sum(x.prompt for x in shares.values()), sum(x.answer for x in shares.values()))
    rows = []
    for price in table.all():
        if price.embeds:
            continue
        share = own.get(id(price), every)
        totals = round(share.prompt), round(share.answer)
        rows.append(
            ModelCost(
                model=price.model,
                provider=price.provider,
                currency=price.currency,
                online=price.cost(*totals),
                batch=price.cost(*totals, batch=True) if price.batch != 1 else None,
                as_of=str(price.as_of or ""),
                chosen=id(price) in own,
            )
        )
    yield from sorted(rows, key=lambda r: (not r.chosen, r.currency, r.online, r.model))


def totals(costs: Sequence[ModelCost]) -> dict[Currency, Decimal]:
    """What the chosen models cost together, per currency."""
    found: dict[Currency, Decimal] = {}
    for row in costs:
        if row.chosen:
            found[row.currency] = found.get(row.currency, Decimal(0)) + row.online
    return found
