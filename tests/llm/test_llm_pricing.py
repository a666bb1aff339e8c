"""Prices are exact, dated and sourced; the user's file wins; money is read and written as people do."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sinoner.errors import InputError
from sinoner.llm.pricing import Price, PriceTable, format_money, load_prices, parse_money

QWEN = "https://dashscope.aliyuncs.com/compatible-mode/v1"
NAMES = {"models": ["m"], "input": 1, "output": 2, "currency": "CNY"}


def price(*models: str, host: str | None = "api.example.com", **more: object) -> Price:
    given = {"models": models, "host": host, "input": 1, "output": 2, "currency": "CNY", **more}
    return Price.model_validate(given)


def own(tmp_path, text: str):
    path = tmp_path / "my-prices.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# The shipped table


def test_every_shipped_price_is_dated_and_sourced():
    entries = load_prices().all()
    assert 25 <= len(entries) <= 60
    for entry in entries:
        assert entry.source.startswith("https://"), entry.model
        assert entry.as_of is not None and date(2024, 1, 1) <= entry.as_of <= date(2026, 11, 25), entry.model
        assert entry.provider and entry.host and "/" not in entry.host and entry.host == entry.host.lower()
        assert entry.output == 0 < entry.input if entry.embeds else entry.output >= entry.input >= 0
        assert entry.batch in (Decimal("0.5"), Decimal(1))


def test_no_shipped_model_is_priced_twice():
    names = [(p.host, name.lower()) for p in load_prices().all() for name in p.models]
    assert len(set(names)) == len(names)


def test_every_shipped_name_finds_its_own_entry():
    table = load_prices()
    for entry in table.all():
        for name in entry.models:
            filled = name.replace("?", "0").replace("*", "0")
            assert table.find(filled, f"https://{entry.host}/v1") == entry, name


@pytest.mark.parametrize(
    ("model", "url", "title"),
    [
        ("gpt-4o-mini", None, "gpt-4o-mini"),
        ("GPT-4o-Mini-2024-07-18", "https://API.OpenAI.com/v1/", "gpt-4o-mini"),
        ("gpt-4o-audio-preview", None, None),
        ("qwen-plus", QWEN, "qwen-plus"),
        ("qwen-plus-2025-07-28", QWEN, "qwen-plus"),
        ("qwen-plus", None, None),
        ("qwen-plus", "http://127.0.0.1:8000/v1", None),
        ("qwen-plus", "https://dashscope.aliyuncs.com.example.org/v1", None),
        ("doubao-seed-1-6-flash-250615", "https://ark.cn-beijing.volces.com/api/v3", "doubao-seed-1.6-flash"),
        ("glm-4-flash", "https://open.bigmodel.cn/api/paas/v4", "glm-4-flash"),
        ("qwen/qwen3-8b", "https://api.siliconflow.cn/v1", "Qwen/Qwen3-8B"),
    ],
)
def test_a_price_holds_for_its_host_only(model, url, title):
    found = load_prices().find(model, url)
    assert (found and found.model) == title


# Cost


def test_the_cost_of_a_request():
    entry = price("m", input=0.15, output="0.6", cached_input=0.075, batch=0.5)
    assert entry.cost(1_000_000, 0) == Decimal("0.15")
    assert entry.cost(1000, 100) == Decimal("0.00021")
    assert entry.cost(1000, 100, cached=1000) == Decimal("0.000135")
    assert entry.cost(1000, 100, cached=9999) == Decimal("0.000135")  # never more cached than sent
    assert entry.cost(1000, 100, batch=True) == Decimal("0.000105")
    assert price("m").cost(10, 0, cached=10) == price("m").cost(10, 0)
    assert price("free", input=0, output=0).cost(10**9, 10**9) == 0


def test_yaml_numbers_keep_their_digits(tmp_path):
    table = load_prices(
        own(
            tmp_path,
            "prices: [{models: [m], input: 0.1, output: 0.3, currency: USD}]\nexchange: {USD_CNY: 7.1}",
        )
    )
    entry = table.find("m", None)
    assert (entry.input, entry.output) == (Decimal("0.1"), Decimal("0.3"))
    assert sum((entry.cost(1, 1) for _ in range(10_000)), Decimal(0)) == Decimal("0.004")
    assert table.convert(Decimal(1), "USD", "CNY") == Decimal("7.1")


rates = st.decimals(0, 100_000, places=6)
counts = st.integers(0, 10**9)


@given(rates, rates, rates, counts, counts, counts, st.booleans())
def test_costs_are_exact_and_bounded_by_the_uncached_price(
    one, other, output, prompt, completion, cached, batch
):
    low, high = sorted((one, other))
    entry = price("m", input=high, output=output, cached_input=low, batch="0.5")
    used = entry.cost(prompt, completion, cached, batch)
    cached = min(cached, prompt)
    exact = Fraction(high) * (prompt - cached) + Fraction(low) * cached + Fraction(output) * completion
    assert Fraction(used) == exact / 10**6 * (Fraction(1, 2) if batch else 1)
    assert 0 <= used <= entry.cost(prompt, completion)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": -1}, {"output": True}, {"output": float("nan")}, {"output": float("inf")}, {"input": "0.0000001"},
        {"cached_input": 1.5}, {"batch": 0}, {"batch": 1.5}, {"currency": "EUR"}, {"models": []}, {"models": [""]},
        {"source": 1}, {"as_of": "soon"}, {"inptu": 1},
    ],
)  # fmt: skip
def test_a_wrong_entry_is_refused(wrong):
    with pytest.raises(ValidationError):
        Price.model_validate({**NAMES, **wrong})


def test_an_entry_cannot_be_changed():
    with pytest.raises(ValidationError):
        price("m").input = Decimal(0)


# Finding


def test_exact_names_come_before_patterns_and_long_patterns_before_short_ones():
    wide, narrow, exact = price("m*"), price("m-mini*"), price("M-mini-2")
    table = PriceTable([wide, narrow, exact])
    url = "https://api.example.com/v1"
    assert table.find("m-mini-2", url) == exact
    assert table.find("M-MINI-3", url) == narrow
    assert table.find("m", url) == wide
    assert table.find("n", url) is None
    assert table.find("m", "https://other.example.com/v1") is None


def test_a_name_with_brackets_is_no_character_class():
    table = PriceTable([price("m[1]*")])
    assert table.find("m[1]-a", "https://api.example.com") is not None
    assert table.find("m1-a", "https://api.example.com") is None


@pytest.mark.parametrize(
    "url", ["https://api.example.com", "api.example.com/v1", "HTTP://u:p@API.example.com.:8443/v1?x=1"]
)
def test_only_the_host_of_the_url_counts(url):
    assert PriceTable([price("m")]).find("m", url) is not None


@pytest.mark.parametrize("url", ["", "/v1", "http://[x", "https:///v1"])
def test_a_url_without_a_host_finds_only_entries_for_any_host(url):
    assert PriceTable([price("m")]).find("m", url) is None
    assert PriceTable([], [price("m", host=None)]).find("m", url) is not None


def test_the_users_entries_win(tmp_path):
    path = own(
        tmp_path,
        """
prices:
  - {models: [qwen-plus], host: DashScope.aliyuncs.com, input: 9, output: 9, currency: CNY}
  - {models: ["gpt-4*"], host: api.openai.com, input: 8, output: 8, currency: USD}
  - {models: [my-model, glm-4-plus], input: 7, output: 7, currency: CNY, as_of: 2026-11-01}
""",
    )
    table = load_prices(path)
    assert table.find("qwen-plus", QWEN).input == 9
    assert table.find("qwen-plus-latest", QWEN).input == Decimal("0.8")  # the shipped one still stands
    assert table.find("gpt-4o", None).input == 8  # also a pattern of the user before a shipped name
    assert table.find("my-model", "http://localhost:1/v1").input == 7
    assert table.find("glm-4-plus", "https://open.bigmodel.cn/api/paas/v4").input == 7
    assert [p.input for p in table.all()[:3]] == [9, 8, 7]
    assert len(table.all()) == 3 + len(load_prices().all())


# Currencies


def test_nothing_is_converted_without_a_rate(tmp_path):
    table = load_prices()
    assert table.convert(Decimal(5), None, "CNY") == 5
    assert table.convert(Decimal(5), "USD", "USD") == 5
    for have, want in (("USD", "CNY"), ("CNY", "USD")):
        with pytest.raises(InputError, match=f"budget is in {have}.*priced in {want}.*exchange") as caught:
            table.convert(Decimal(5), have, want)
        assert "\n" not in str(caught.value)
    table = load_prices(own(tmp_path, "exchange: {USD_CNY: 8}"))
    assert table.convert(Decimal(5), "USD", "CNY") == 40
    assert table.convert(Decimal(40), "CNY", "USD") == 5
    table = load_prices(own(tmp_path, "exchange: {USD_CNY: 8, CNY_USD: 0.2}"))
    assert table.convert(Decimal(40), "CNY", "USD") == 8


# Mistakes in the user's file


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "prices: [{models: [m], input: -1, output: 2, currency: CNY}]",
            "my-prices.yaml:1: prices.0.input: ",
        ),
        ("prices: [{models: [m], input: 1, output: 2}]", "my-prices.yaml:1: prices.0.currency: "),
        (
            "prices: [{models: [m], input: 1, output: 2, currency: CNY, pirce: 1}]",
            "my-prices.yaml:1: prices.0.pirce: ",
        ),
        (
            "prices: [{models: [m], input: 1, output: 2, cached_input: 3, currency: CNY}]",
            "cached_input is above",
        ),
        ("prices: [{input: 1, output: 2, currency: CNY}]", "my-prices.yaml:1: prices.0.models: "),
        ("prices: [1]", "my-prices.yaml:1: prices.0: "),
        ("prices: {models: [m]}", "my-prices.yaml:1: prices: "),
        ("price: []", "my-prices.yaml:1: price: unknown key; did you mean 'prices'?"),
        ("exchange: {EUR_CNY: 8}", "exchange.EUR_CNY"),
        ("exchange: {USD_CNY: 0}", "my-prices.yaml:1: exchange.USD_CNY: "),
        ("prices:\n - [", "my-prices.yaml:2: is not YAML"),
        ("", "a price file is a mapping"),
        ("- 1", "a price file is a mapping"),
        (
            "prices: [{models: [m, n], input: 1, output: 2, currency: CNY}, {models: [N], input: 1, output: 2, currency: CNY}]",
            "N at any host is there twice",
        ),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path, text, words):
    path = own(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_prices(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        load_prices(tmp_path / "none.yaml")
    path = tmp_path / "gbk.yaml"
    path.write_bytes("prices: [] # 价格".encode("gbk"))
    with pytest.raises(InputError, match="is not UTF-8"):
        load_prices(path)


# Money as text


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("5", "5", None), ("0", "0", None), ("5CNY", "5", "CNY"), ("5 cny", "5", "CNY"), ("¥5", "5", "CNY"),
        ("￥5", "5", "CNY"), ("¥ 0.50", "0.5", "CNY"), ("5 元", "5", "CNY"), ("5元", "5", "CNY"), ("$5", "5", "USD"),
        ("＄5", "5", "USD"), ("5 USD", "5", "USD"), (" 1.25usd ", "1.25", "USD"), ("１２", "12", None),
    ],
)  # fmt: skip
def test_money_is_read_as_people_write_it(text, amount, currency):
    assert parse_money(text) == (Decimal(amount), currency)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-5",
        "5 EUR",
        "five",
        "5,5",
        "1e3",
        "nan",
        "inf",
        ".5",
        "5.",
        "$5 USD",
        "¥5元",
        "$5元",
        "5 5",
        "元5",
        "٥",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(InputError, match="is not a sum of money"):
        parse_money(text)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"), ("1.234", "$1.23"), ("1.235", "$1.24"), ("12345.678", "$12345.68"), ("0.5", "$0.50"),
        ("0.0042", "$0.0042"), ("0.00021", "$0.00021"), ("0.123456", "$0.1235"), ("0.99996", "$1.00"),
        ("0.00000012345", "$0.0000001235"), ("-0.25", "-$0.25"),
    ],
)  # fmt: skip
def test_money_is_written_short(amount, text):
    assert format_money(Decimal(amount), "USD") == text
    assert format_money(Decimal(amount)) == text.replace("$", "")
    assert format_money(Decimal(amount), "CNY") == text.replace("$", "¥")


@given(st.decimals(0, 10**9, places=9), st.sampled_from(["CNY", "USD", None]))
def test_what_is_written_can_be_read_and_is_close(amount, currency):
    again, unit = parse_money(format_money(amount, currency))
    assert unit == currency
    assert abs(again - amount) <= max(Decimal("0.005") if amount >= 1 else amount / 1999, Decimal(0))
