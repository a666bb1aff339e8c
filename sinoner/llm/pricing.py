"""What an answer costs: a dated price table, the user's own on top of it, and sums of money as text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sinoner import resources, yamlfile
from sinoner.errors import InputError

Currency = Literal["CNY", "USD"]
Pair = Literal["USD_CNY", "CNY_USD"]

OPENAI_HOST = "api.openai.com"  # where the OpenAI client goes when it is given no base URL
_SHIPPED = Path("data_recipes") / "prices" / "prices.yaml"
_SIGNS: dict[Currency, str] = {"CNY": "¥", "USD": "$"}
_UNITS: dict[str, Currency] = {"¥": "CNY", "元": "CNY", "CNY": "CNY", "$": "USD", "USD": "USD"}
_MONEY = re.compile(
    r"(?P<sign>[¥$]?)\s*(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>元|CNY|USD|)", re.IGNORECASE
)

# Pydantic takes the digits of a YAML number, not the value of its float. Six decimals, so that a sum over a
# whole run stays exact within the 28 digits of a Decimal.
Rate = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=6)]
Factor = Annotated[Decimal, Field(gt=0, le=1, decimal_places=4)]
Exchange = Annotated[Decimal, Field(gt=0, max_digits=12)]


class Price(BaseModel):
    """What one model costs at one provider.

    Attributes:
        models: names the entry is for; one with ``*`` or ``?`` is a pattern. The first is its title.
        provider: who sells it, for people.
        host: host name of the API; None = any (only in the user's file).
        input: price of a million prompt tokens, in ``currency``.
        output: price of a million completion tokens.
        cached_input: price of a million prompt tokens read from the provider's cache; None = ``input``.
        currency: of the three prices.
        as_of: the day the price was checked.
        source: where it was read.
        batch: factor on the price in batch mode; 1 = no discount, 0.5 = half the price.
        embeds: it is an embedding model, which answers no questions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    models: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    provider: str = ""
    host: str | None = None
    input: Rate
    output: Rate
    cached_input: Rate | None = None
    currency: Currency
    as_of: date | None = None
    source: str = ""
    batch: Factor = Decimal(1)
    embeds: bool = False

    @model_validator(mode="after")
    def _cached_is_no_dearer(self) -> Price:
        # A reservation counts every prompt token at the input price; this keeps it an upper bound.
        if self.cached_input is not None and self.cached_input > self.input:
            raise ValueError("cached_input is above input")
        return self

    @property
    def model(self) -> str:
        """The title of the entry: its first name."""
        return self.models[0]

    def cost(
        self, prompt_tokens: int, completion_tokens: int, cached: int = 0, batch: bool = False
    ) -> Decimal:
        """What a request costs, exactly, in ``currency``.

        Args:
            prompt_tokens: all tokens of the prompt, the cached ones too (as APIs report them).
            completion_tokens: tokens of the answer, with its reasoning.
            cached: how many of the prompt tokens came from the provider's cache.
            batch: the request went through the batch API.
        """
        cached = min(cached, prompt_tokens)
        rate = self.input if self.cached_input is None else self.cached_input
        total = (prompt_tokens - cached) * self.input + cached * rate + completion_tokens * self.output
        return (total * self.batch if batch else total).scaleb(-6)


class _PriceFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    prices: tuple[Price, ...] = ()
    exchange: dict[Pair, Exchange] = {}

    @model_validator(mode="after")
    def _each_once(self) -> _PriceFile:
        seen: set[tuple[str | None, str]] = set()
        for price in self.prices:
            for name in price.models:
                key = (price.host.lower() if price.host else None, name.lower())
                if key in seen:
                    raise ValueError(f"prices: {name} at {price.host or 'any host'} is there twice")
                seen.add(key)
        return self


class PriceTable:
    """The prices of a run: the shipped ones, and before them those of the user's file."""

    def __init__(
        self, shipped: Iterable[Price], own: Iterable[Price] = (), exchange: dict[Pair, Decimal] | None = None
    ) -> None:
        self._shipped = tuple(shipped)
        self._own = tuple(own)
        self._exchange = dict(exchange or {})

    def all(self) -> tuple[Price, ...]:
        """Every entry, the user's first."""
        return self._own + self._shipped

    def find(self, model: str, base_url: str | None) -> Price | None:
        """The price of a model at an endpoint.

        The user's file is searched to its end before the shipped one, so that any entry of it wins. In
        each: the exact name at this host, then the most specific pattern at this host; then the same
        among the entries without a host. Case does not matter.

        Args:
            model: name as sent in the request.
            base_url: URL of the endpoint; None = OpenAI's own.

        Returns:
            The entry, or None where nothing is known: a self-hosted model, a proxy, a new name.
        """
        host = OPENAI_HOST if base_url is None else _host(base_url)
        for entries in (self._own, self._shipped):
            for where in (host, None):
                found = _match(model.lower(), [p for p in entries if _same(p.host, where)])
                if found is not None:
                    return found
        return None

    def convert(self, amount: Decimal, have: Currency | None, want: Currency) -> Decimal:
        """A sum in another currency, at the rate of the user's price file and at no other.

        Args:
            amount: the sum.
            have: its currency; None = the person named none, so it is in the currency wanted.
            want: the currency of the price.

        Raises:
            InputError: the price file gives no rate.
        """
        if have is None or have == want:
            return amount
        pairs: dict[tuple[Currency, Currency], tuple[Pair, Pair]] = {
            ("USD", "CNY"): ("USD_CNY", "CNY_USD"),
            ("CNY", "USD"): ("CNY_USD", "USD_CNY"),
        }
        direct, inverse = pairs[have, want]
        if direct in self._exchange:
            return amount * self._exchange[direct]
        if inverse in self._exchange:
            return amount / self._exchange[inverse]
        raise InputError(
            f"the budget is in {have} but the model is priced in {want}: give the budget in {want}, "
            "or a rate in your price file (llm.prices), for example exchange: {USD_CNY: 7.1}"
        )


def load_prices(own: Path | None = None) -> PriceTable:
    """The shipped price table with the user's file, of the same form, on top of it.

    Args:
        own: YAML file with ``prices`` and/or ``exchange``; None = the shipped prices alone.

    Raises:
        InputError: a file cannot be read, or an entry is wrong; says file, key and mistake.
    """
    shipped = _read(resources.data_root() / _SHIPPED)
    if own is None:
        return PriceTable(shipped.prices)
    mine = _read(own)
    return PriceTable(shipped.prices, mine.prices, mine.exchange)


def parse_money(text: str) -> tuple[Decimal, Currency | None]:
    """A sum as a person writes it: ``5``, ``5CNY``, ``¥5``, ``￥5``, ``5 元``, ``$5``, ``5 USD``.

    Returns:
        The sum, and its currency where one is written.

    Raises:
        InputError: it is not a sum of money, or names a currency twice.
    """
    # Folds the full-width yen sign, dollar sign and digits of a Chinese keyboard.
    match = _MONEY.fullmatch(unicodedata.normalize("NFKC", text).strip())
    if match is None or (match["sign"] and match["unit"]):
        raise InputError(f"{text!r} is not a sum of money; write for example 5, 5 CNY, ¥5, 5 元, $5 or 5 USD")
    unit = match["sign"] or match["unit"].upper()
    return Decimal(match["number"]), _UNITS[unit] if unit else None


def format_money(amount: Decimal, currency: Currency | None = None) -> str:
    """A sum for people: two decimals from 1 up, below 1 four significant digits (``¥1.23``, ``$0.0042``)."""
    size = abs(amount)
    places = 2 if size >= 1 or not size else 3 - size.adjusted()
    rounded = size.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    whole, _, decimals = f"{rounded:f}".partition(".")
    decimals = decimals[:2] + decimals[2:].rstrip("0")
    sign = "" if currency is None else _SIGNS[currency]
    return f"{'-' if amount < 0 else ''}{sign}{whole}.{decimals}"


def _same(host: str | None, where: str | None) -> bool:
    return where is None if host is None else host.lower() == where


def _host(url: str) -> str:
    """The host name of a URL, lower case; empty where there is none to be read."""
    try:
        return (urlsplit(url if "//" in url else f"//{url}").hostname or "").rstrip(".")
    except ValueError:  # brackets that enclose no IPv6 address
        return ""


def _match(model: str, entries: list[Price]) -> Price | None:
    named = [(name.lower(), price) for price in entries for name in price.models]
    for name, price in named:
        if name == model:
            return price
    fitting = [
        (len(name.replace("*", "")), price)
        for name, price in named
        if ("*" in name or "?" in name) and fnmatchcase(model, name.replace("[", "[[]"))
    ]
    # More literal characters = more specific; max keeps the first of equals, the order of the file.
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def _read(path: Path) -> _PriceFile:
    return yamlfile.load(path, _PriceFile, "a price file")
