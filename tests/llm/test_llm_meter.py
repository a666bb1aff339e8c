"""What a person sees of a run: counts, speeds, cost and when it will end, on one line that never lies."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.llm.meter import Meter


def sampled(meter: Meter, *points: tuple[float, int, int]) -> Meter:
    """A meter that was looked at: at a time, with so many passages done and tokens used."""
    for when, meter.done, meter.tokens in points:
        meter.sample(when)
    return meter


def test_a_run_that_has_not_begun():
    assert Meter(total=100).line() == "100 waiting · 0/0 in flight"
    assert Meter().line() == "0 waiting · 0/0 in flight"


def test_everything_on_one_line():
    meter = Meter(total=1000, failed=3, cost=Decimal("1.5"), currency="CNY", in_flight=7, limit=16)
    sampled(meter, (100.0, 0, 0), (110.0, 97, 45_678))
    meter.note = "http://b/v1 left out: auth"
    meter.silent = ["http://c/v1", "http://d/v1"]
    assert meter.line() == (
        "3 failed · 900 waiting · ¥1.50 (→ ¥15.00) · 7/16 in flight · 9.7 passages/s · 4,568 tokens/s · ETA 1:33"
        " · no answer from http://c/v1, http://d/v1 · http://b/v1 left out: auth"
    )
    assert (meter.ended, meter.waiting) == (100, 900)


def test_failures_are_ended_passages_too():
    meter = Meter(total=10, done=4, failed=5)
    assert (meter.ended, meter.waiting) == (9, 1)
    assert meter.line().startswith("5 failed · 1 waiting")


@given(*[st.integers(0, 10**6)] * 4)
def test_what_waits_is_never_negative(total, done, failed, known):
    meter = Meter(total=total, done=done, failed=failed, currency="USD", cost=Decimal(1))
    meter.known = min(known, meter.ended)
    meter.sample(1.0)
    meter.sample(2.0)
    assert meter.waiting >= 0
    line = meter.line()
    assert f"{meter.waiting} waiting" in line
    assert "-" not in line
    assert len(line.splitlines()) == 1


def test_what_the_ledger_knew_already_is_no_speed():
    meter = Meter(total=1000)
    meter.sample(0.0)
    meter.done = meter.known = 500
    meter.sample(1.0)
    assert "passages/s" not in meter.line()
    assert "ETA" not in meter.line()
    meter.done += 20
    meter.sample(2.0)
    assert "10.0 passages/s" in meter.line()
    assert "ETA 0:48" in meter.line()  # 480 at ten a second


def test_the_speed_is_that_of_the_last_minute():
    meter = Meter(total=10**6)
    for quarter in range(4 * 300):  # five minutes at 100 a second, then two at 10
        sampled(meter, (quarter / 4, quarter * 25, quarter * 2500))
    assert "100.0 passages/s · 10,000 tokens/s" in meter.line()
    for quarter in range(1, 4 * 120):
        sampled(meter, (300 + quarter / 4, 30_000 + quarter * 5 // 2, 3_000_000 + quarter * 250))
    assert "10.0 passages/s · 1,000 tokens/s" in meter.line()
    assert 50 < meter._seen[-1][0] - meter._seen[0][0] <= 60


def test_two_looks_at_the_same_moment_are_no_speed():
    assert "passages/s" not in sampled(Meter(total=10), (1.0, 0, 0), (1.0, 5, 5)).line()
    assert "passages/s" not in sampled(Meter(total=10), (1.0, 5, 5)).line()


@pytest.mark.parametrize(
    ("waiting", "clock"),
    [(0, None), (1, "0:01"), (59, "0:59"), (60, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (100_000, "27:46:40")],
)  # fmt: skip
def test_the_time_left(waiting, clock):
    meter = sampled(Meter(total=waiting + 1), (0.0, 0, 0), (1.0, 1, 0))
    assert ("ETA" in meter.line()) == (clock is not None)
    if clock:
        assert meter.line().endswith(f"ETA {clock}")


# --- money -------------------------------------------------------------------------------------------------------


def test_without_a_price_no_cost_is_told():
    assert "¥" not in Meter(total=10, done=5, cost=Decimal(3)).line()


def test_the_cost_at_the_end_is_projected_from_the_passages_of_this_run():
    meter = Meter(total=100, done=60, known=50, cost=Decimal("7.00"), before=Decimal("5.00"), currency="USD")
    # Ten passages cost 2 dollars in this run; forty more are waiting.
    assert "$7.00 (→ $15.00)" in meter.line()


@pytest.mark.parametrize(
    "meter",
    [
        Meter(total=100, done=50, known=50, cost=Decimal(5), before=Decimal(5), currency="CNY"),
        Meter(total=100, done=51, known=50, cost=Decimal(5), before=Decimal(5), currency="CNY"),
        Meter(total=100, cost=Decimal(5), before=Decimal(0), currency="CNY"),
        Meter(total=100, done=100, cost=Decimal(5), currency="CNY"),
        Meter(total=0, done=7, cost=Decimal(5), currency="CNY"),
    ],
)
def test_nothing_is_projected_without_anything_to_go_by(meter):
    assert "¥5.00 · " in meter.line()
    assert "→" not in meter.line()
