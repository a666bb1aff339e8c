"""What a run costs: prices of the person's own, spent sums of earlier runs, two currencies, and no budget without a price."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from sinoner.errors import InputError
from sinoner.llm.attempt import Spent
from sinoner.llm.client import clients
from sinoner.llm.costs import Account, Costs, account
from sinoner.llm.pricing import load_prices
from sinoner.settings import AnnotateSettings, LlmSettings

HOME, QWEN, OPENAI = "http://127.0.0.1:8000/v1", "https://dashscope.aliyuncs.com/compatible-mode/v1", "https://api.openai.com/v1"  # fmt: skip
MINE = """
prices:
- {models: [m, org/M], host: 127.0.0.1, input: 2, cached_input: 0.5, output: 8, currency: CNY, batch: 0.5}
- {models: [d], input: 1, output: 3, currency: USD}
"""


def llm(*endpoints: object, tmp_path: Path | None = None, own: str = MINE, **more) -> LlmSettings:
    if tmp_path is not None:
        path = tmp_path / "prices.yaml"
        path.write_text(own, encoding="utf-8")
        more["prices"] = str(path)
    return LlmSettings.model_validate({"model": "m", "endpoints": list(endpoints) or [HOME], **more})


def booked(settings: LlmSettings, *spent: Spent, **annotate) -> Account:
    found = clients(settings, {"OPENAI_API_KEY": "sk-any"})
    return account(AnnotateSettings.model_validate(annotate), settings, found, spent)


def used(model: str, endpoint: str, tokens: tuple[int, int, int], *, batch: bool = False) -> Spent:
    return Spent(model, endpoint, batch, True, 1, *tokens)


# --- prices ------------------------------------------------------------------------------------------------------


def test_a_model_without_a_price_cannot_be_held_to_a_sum():
    line = r"--max-cost: no price is known for m at http://127\.0\.0\.1:8000/v1; put it into a price file \(llm\.prices="
    with pytest.raises(InputError, match=line) as caught:
        booked(llm(), max_cost="5 CNY")
    assert "--max-tokens" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_one_of_several_models_or_endpoints_without_a_price_is_enough_to_refuse(tmp_path):
    with pytest.raises(InputError, match="no price is known for unpriced"):
        booked(llm(tmp_path=tmp_path, more_models=["unpriced"]), max_cost="5 CNY")
    with pytest.raises(InputError, match="no price is known for m at http://gpu1/v1"):
        booked(llm(HOME, "http://gpu1/v1", tmp_path=tmp_path), max_cost="5 CNY")
    elsewhere = [HOME, {"base_url": "http://gpu1/v1", "models": ["d"]}]
    booked(llm(*elsewhere, tmp_path=tmp_path, more_models=["d"], own=f"{MINE}exchange: {{USD_CNY: 7}}"), max_cost="5 CNY")  # fmt: skip


def test_a_model_without_a_price_costs_nothing_when_there_is_no_budget_to_keep():
    book = booked(llm(), used("m", HOME, (1000, 1000, 0)), max_tokens=5000)
    assert book.costs.currency is None
    assert book.costs.of(HOME, "m", 10**6, 10**6) == book.spent == 0
    assert not book.costs.knows(HOME, "m")
    assert book.budget.spent_tokens == 2000
    assert "(2,000 tokens spent; the next request may need more than is left)" in str(book.used_up(""))


def test_a_price_of_ones_own_is_used_in_full(tmp_path):
    costs = booked(llm(tmp_path=tmp_path), max_cost="5 CNY").costs
    assert costs.currency == "CNY"
    assert costs.of(HOME, "m", 1000, 100) == Decimal("0.0028")
    assert costs.of(HOME, "m", 1000, 100, 400) == Decimal("0.0022")
    assert costs.of(HOME, "m", 1000, 100, batch=True) == Decimal("0.0014")
    assert costs.of("http://gpu1/v1", "m", 1000, 100) == 0  # another host has another price


def test_a_model_costs_what_its_name_at_the_endpoint_costs(tmp_path):
    settings = llm({"base_url": HOME, "models": {"qwen": "org/M"}}, tmp_path=tmp_path, model="qwen")
    book = booked(settings, used("qwen", HOME, (1000, 100, 0)), max_cost="5 CNY")
    assert book.spent == Decimal("0.0028")


def test_a_price_file_that_is_not_there_is_a_persons_mistake(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        booked(llm(prices=str(tmp_path / "none.yaml")))


def test_the_price_file_may_be_in_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    llm(tmp_path=tmp_path)
    assert booked(llm(prices="~/prices.yaml"), max_cost="5 CNY").costs.knows(HOME, "m")


@pytest.mark.parametrize("sum_", ["much", "-5", "5 EUR"])
def test_what_is_no_sum_of_money_is_refused(sum_, tmp_path):
    with pytest.raises(InputError, match="is not a sum of money"):
        booked(llm(tmp_path=tmp_path), max_cost=sum_)


def test_shipped_prices_are_known_by_their_host():
    settings = llm({"base_url": QWEN, "models": ["qwen-plus"]}, {"base_url": HOME, "models": ["m"]}, more_models=["qwen-plus"])  # fmt: skip
    book = booked(settings)
    assert book.costs.currency == "CNY"
    assert book.costs.knows(QWEN, "qwen-plus")
    assert not book.costs.knows(HOME, "qwen-plus")


# --- what was spent ----------------------------------------------------------------------------------------------


def test_what_earlier_runs_spent_counts(tmp_path):
    spent = [
        used("m", HOME, (1000, 100, 400)),
        used("m", HOME, (1000, 100, 0), batch=True),
        Spent("m", HOME, False, False, 2, 500, 500, 0),  # perhaps paid counts as paid
        used("gone", "http://gone/v1", (7, 7, 0)),  # no longer among the endpoints, and without a price
    ]
    book = booked(llm(tmp_path=tmp_path), *spent, max_cost="1", max_tokens=10_000)
    assert book.spent == Decimal("0.0022") + Decimal("0.0014") + Decimal("0.005")
    assert (book.budget.spent_cost, book.budget.spent_tokens) == (book.spent, 1100 + 1100 + 1000 + 14)
    used_up = str(book.used_up(", or stop"))
    assert "(¥0.0086, 3,214 tokens spent; the next request may need more than is left)" in used_up
    assert used_up.endswith("raise it and run the same command to go on, or stop")
    assert book.budget.reserve(1 - book.spent, 10_000 - 3214)
    assert not book.budget.reserve(Decimal("0.000001"), 0)
    assert not book.budget.reserve(Decimal(0), 1)


def test_the_sum_of_many_small_costs_is_exact():
    costs = Costs(load_prices())
    spent = [used("qwen-plus", QWEN, (1, 1, 0))] * 10_000
    assert costs.total(spent, []) == 10_000 * costs.of(QWEN, "qwen-plus", 1, 1)


def test_without_limits_everything_fits(tmp_path):
    assert booked(llm(tmp_path=tmp_path)).budget.reserve(Decimal(10**6), 10**12)


# --- two currencies ----------------------------------------------------------------------------------------------

TWO = [{"base_url": HOME, "models": ["m"]}, {"base_url": "http://gpu1/v1", "models": ["d"]}]


def test_two_currencies_are_added_up_at_the_persons_rate(tmp_path):
    own = f"{MINE}exchange: {{USD_CNY: 7}}"
    spent = [used("m", HOME, (1000, 100, 0)), used("d", "http://gpu1/v1", (1000, 1000, 0))]
    in_yuan = booked(llm(*TWO, tmp_path=tmp_path, own=own, more_models=["d"]), *spent, max_cost="5 CNY")
    assert (in_yuan.costs.currency, in_yuan.spent) == ("CNY", Decimal("0.0028") + 7 * Decimal("0.004"))
    in_dollars = booked(llm(*TWO, tmp_path=tmp_path, own=own, more_models=["d"]), *spent, max_cost="$5")
    assert in_dollars.costs.currency == "USD"
    assert in_dollars.spent == pytest.approx(Decimal("0.0004") + Decimal("0.004"))


def test_a_budget_in_another_currency_than_the_price_needs_a_rate(tmp_path):
    line = (
        r"^m at http://127\.0\.0\.1:8000/v1 is priced in CNY, but the cost is counted in USD: give --max-cost in CNY,"
        r" or a rate in your price file \(llm\.prices\), for example exchange: \{USD_CNY: 7\.1\}$"
    )
    with pytest.raises(InputError, match=line):
        booked(llm(tmp_path=tmp_path), max_cost="5 USD")
    own = f"{MINE}exchange: {{CNY_USD: 0.14}}"
    assert booked(llm(tmp_path=tmp_path, own=own), max_cost="5 USD").costs.of(HOME, "m", 10**6, 0) == Decimal(
        "0.28"
    )


def test_a_sum_without_a_currency_is_in_that_of_the_price(tmp_path):
    book = booked(llm(tmp_path=tmp_path), max_cost="5")
    assert book.costs.currency == "CNY"
    assert book.budget.reserve(Decimal(5), 0)
    assert not book.budget.reserve(Decimal("0.01"), 0)


def test_without_a_budget_a_price_in_another_currency_is_no_reason_to_stop(tmp_path):
    both = llm(HOME, more_models=["d"], tmp_path=tmp_path)
    book = booked(both)
    assert book.costs.currency == "CNY"
    assert book.costs.of(HOME, "d", 10**6, 0) == 0  # not known in this currency
    with pytest.raises(InputError, match="is priced in USD"):
        booked(both, max_cost="5CNY")


@pytest.mark.parametrize("budget", [{"max_cost": "5CNY"}, {"max_tokens": 1000}])
def test_a_budget_needs_a_limit_on_the_answers(budget, tmp_path):
    with pytest.raises(InputError, match="a budget needs a limit on answer length"):
        booked(llm(HOME, extra={"max_tokens": None}, tmp_path=tmp_path), **budget)
    booked(llm(HOME, extra={"max_tokens": None, "max_completion_tokens": 9}, tmp_path=tmp_path), **budget)
    booked(llm(HOME, extra={"max_tokens": None}, tmp_path=tmp_path))


@pytest.mark.parametrize("field", ["n", "stream", "model", "messages"])
def test_fields_of_a_request_that_are_ours_are_refused(field):
    with pytest.raises(ValueError, match=f"{field} cannot be given here"):
        llm(HOME, extra={field: 2})
    assert llm(HOME, extra={"top_p": 0.5}).extra == {"top_p": 0.5}
