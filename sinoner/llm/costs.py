"""What the requests of a run cost: the prices of its models at its endpoints, in one currency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from sinoner.errors import InputError, StoppedError
from sinoner.llm.attempt import Spent
from sinoner.llm.budget import Budget
from sinoner.llm.client import Client
from sinoner.llm.pricing import Currency, Price, PriceTable, format_money, load_prices, parse_money
from sinoner.settings import AnnotateSettings, LlmSettings


class Costs:
    """Prices of models at endpoints in the currency of the run. What has no price costs nothing here.

    Args:
        table: the price table.
        currency: of the run; None = that of the first price that is used.
        strict: a price in another currency and without a rate is an error; else it counts as unknown.
    """

    def __init__(self, table: PriceTable, currency: Currency | None = None, *, strict: bool = True) -> None:
        self._table = table
        self._strict = strict
        self.currency = currency
        self._known: dict[tuple[str, str], tuple[Price, Decimal] | None] = {}

    def knows(self, endpoint: str, model: str) -> bool:
        """Whether there is a price for a model (as the endpoint calls it)."""
        return self._find(endpoint, model) is not None

    def of(
        self, endpoint: str, model: str, prompt: int, completion: int, cached: int = 0, *, batch: bool = False
    ) -> Decimal:
        """The cost of so many tokens."""
        found = self._find(endpoint, model)
        return Decimal(0) if found is None else found[0].cost(prompt, completion, cached, batch) * found[1]

    def _find(self, endpoint: str, model: str) -> tuple[Price, Decimal] | None:
        """The price, and the factor that turns its currency into the run's."""
        key = (endpoint, model)
        if key not in self._known:
            price = self._table.find(model, endpoint)
            if price is not None and self.currency is None:
                self.currency = price.currency
            factor = Decimal(1)
            if price is not None and self.currency is not None:
                try:
                    factor = self._table.convert(Decimal(1), price.currency, self.currency)
                except InputError:
                    if not self._strict:
                        self._known[key] = None
                        return None
                    raise InputError(
                        f"{model} at {endpoint} is priced in {price.currency}, but the cost is counted in"
                        f" {self.currency}: give --max-cost in {price.currency}, or a rate in your price file"
                        " (llm.prices), for example exchange: {USD_CNY: 7.1}"
                    ) from None
            self._known[key] = None if price is None else (price, factor)
        return self._known[key]

    def total(
        self,
        spent: Iterable[Spent],
        clients: Sequence[Client],
        renamed: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Decimal:
        """The cost of what a ledger holds.

        Args:
            spent: tokens by model (as in the settings) and endpoint.
            clients: endpoints, which know what models are called there.
            renamed: the same of endpoints that are not among them, by address.
        """
        names = {**(renamed or {}), **{c.endpoint: c.models for c in clients}}
        return sum(
            (
                self.of(
                    s.endpoint, names.get(s.endpoint, {}).get(s.model, s.model),
                    s.prompt_tokens, s.completion_tokens, s.cached_tokens, batch=s.batch,
                )
                for s in spent
            ),
            Decimal(0),
        )  # fmt: skip


class Account(NamedTuple):
    """What a run may spend and what it costs; ``spent`` is what earlier runs spent."""

    costs: Costs
    budget: Budget
    spent: Decimal

    def cost(
        self,
        client: Client,
        model: str,
        prompt: int,
        completion: int,
        cached: int = 0,
        *,
        batch: bool = False,
    ) -> Decimal:
        """What so many tokens of a model (as in the settings) cost at an endpoint."""
        return self.costs.of(client.endpoint, client.name_of(model), prompt, completion, cached, batch=batch)

    def used_up(self, advice: str) -> StoppedError:
        """What is reported when no further request fits into the budget.

        Args:
            advice: what else helps than to raise it.
        """
        money = ""
        if self.costs.currency is not None:
            money = f"{format_money(self.budget.spent_cost, self.costs.currency)}, "
        return StoppedError(
            f"the budget is used up ({money}{self.budget.spent_tokens:,} tokens spent; the next request may need more"
            f" than is left); raise it and run the same command to go on{advice}"
        )


def _limited(llm: LlmSettings) -> bool:
    """Whether the answers have a limit once ``llm.extra`` is applied."""
    body = {"max_tokens": llm.max_tokens, **llm.extra}
    return bool(body.get("max_tokens") or body.get("max_completion_tokens"))


def account(
    annotate: AnnotateSettings,
    llm: LlmSettings,
    clients: Sequence[Client],
    spent: Sequence[Spent],
    renamed: Mapping[str, Mapping[str, str]] | None = None,
) -> Account:
    """The prices and the budget of a run, with what earlier runs in its ledger spent.

    Args:
        annotate: the limits.
        llm: the models that are asked now.
        clients: the endpoints that are asked now.
        spent: what the ledger holds, whoever was asked.
        renamed: what models are called at other endpoints, by address.

    Raises:
        InputError: ``max_cost`` is no sum of money, or a model has no price and so cannot be held to one.
    """
    table = load_prices(Path(llm.prices).expanduser() if llm.prices else None)
    limit, currency = parse_money(annotate.max_cost) if annotate.max_cost else (None, None)
    costs = Costs(table, currency, strict=limit is not None)
    if (limit is not None or annotate.max_tokens) and not _limited(llm):
        raise InputError(
            "a budget needs a limit on answer length: llm.extra removes max_tokens and does not set max_completion_tokens"
        )
    for client in clients:
        for model in (llm.model or "", *llm.more_models):
            name = client.name_of(model)
            if client.serves(model) and not costs.knows(client.endpoint, name) and limit is not None:
                raise InputError(
                    f"--max-cost: no price is known for {name} at {client.endpoint}; put it into a price file"
                    " (llm.prices=FILE.yaml, see sinoner estimate --help), or limit the run with --max-tokens"
                )
    total = costs.total(spent, clients, renamed)
    tokens = sum(s.prompt_tokens + s.completion_tokens for s in spent)
    return Account(costs, Budget(limit, annotate.max_tokens, total, tokens), total)
