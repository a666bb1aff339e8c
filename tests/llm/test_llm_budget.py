"""A budget is never exceeded, whatever the order of requests and answers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from sinoner.llm.budget import Budget

NOTHING = (Decimal(0), 0)

# Limits of a few requests, so that most runs come up against them.
limits = st.tuples(st.none() | st.decimals(0, 3, places=9), st.none() | st.integers(0, 3000))
amounts = st.tuples(st.decimals(0, 1, places=9), st.integers(0, 1000))


class Requests(RuleBasedStateMachine):
    """Many requests that reserve and settle in any order, none of which uses more than it reserved."""

    flying = Bundle("flying")

    @initialize(limits=limits, spent=amounts)
    def start(self, limits, spent):
        self.limits = limits
        # An earlier run may have spent more than this one allows.
        self.started = spent
        self.budget = Budget(*limits, *spent)
        self.open: list[tuple[Decimal, int]] = []
        self.used: list[tuple[Decimal, int]] = []

    def totals(self):
        return tuple(sum(column) for column in zip(self.started, *self.used, *self.open, strict=True))

    @rule(target=flying, want=amounts)
    def reserve(self, want):
        before = self.totals()
        fits = all(
            limit is None or have + more <= limit
            for limit, have, more in zip(self.limits, before, want, strict=True)
        )
        assert self.budget.reserve(*want) == fits
        if fits:
            self.open.append(want)
            return want
        return None

    @rule(reserved=consumes(flying), share=st.fractions(0, 1))
    def settle(self, reserved, share):
        if reserved is None:
            return
        used = (
            (reserved[0] * share.numerator / share.denominator).quantize(
                Decimal("1e-9"), rounding="ROUND_DOWN"
            ),
            reserved[1] * share.numerator // share.denominator,
        )
        self.budget.settle(reserved, used)
        self.open.remove(reserved)
        self.used.append(used)

    @invariant()
    def books_are_right(self):
        if not hasattr(self, "budget"):
            return
        budget = self.budget
        assert (budget.reserved_cost, budget.reserved_tokens) == tuple(
            sum(column) for column in zip(NOTHING, *self.open, strict=True)
        )
        held = (budget.spent_cost + budget.reserved_cost, budget.spent_tokens + budget.reserved_tokens)
        assert held == self.totals()
        for limit, have, start in zip(self.limits, held, self.started, strict=True):
            assert limit is None or have <= max(limit, start)


TestRequests = Requests.TestCase


def test_what_does_not_fit_reserves_nothing():
    budget = Budget(Decimal(1), 100)
    assert not budget.reserve(Decimal("1.01"), 1)
    assert not budget.reserve(Decimal("0.01"), 101)
    assert (budget.reserved_cost, budget.reserved_tokens) == NOTHING
    assert budget.reserve(Decimal(1), 100)  # the limit itself may be spent
    assert not budget.reserve(Decimal(0), 1)
    assert not budget.reserve(Decimal("0.01"), 0)
    budget.settle((Decimal(1), 100), (Decimal("0.25"), 10))
    assert (budget.spent_cost, budget.spent_tokens) == (Decimal("0.25"), 10)
    assert budget.reserve(Decimal("0.75"), 90)


def test_a_request_that_cost_nothing_gives_everything_back():
    budget = Budget(Decimal(1), None)
    assert budget.reserve(Decimal(1), 10)
    budget.settle((Decimal(1), 10), NOTHING)
    assert budget.reserve(Decimal(1), 10**12)


def test_a_provider_that_bills_more_is_booked_honestly_and_stops_the_run():
    budget = Budget(Decimal(1), None)
    assert budget.reserve(Decimal("0.5"), 10)
    budget.settle((Decimal("0.5"), 10), (Decimal("1.5"), 30))
    assert (budget.spent_cost, budget.spent_tokens) == (Decimal("1.5"), 30)
    assert not budget.reserve(Decimal(0), 0)


def test_without_limits_everything_fits_and_is_counted():
    budget = Budget(None, None, Decimal(2), 7)
    assert budget.reserve(Decimal(10**6), 10**12)
    budget.settle((Decimal(10**6), 10**12), (Decimal(1), 1))
    assert (budget.spent_cost, budget.spent_tokens) == (Decimal(3), 8)


def test_what_is_on_its_way_already_is_set_aside_even_beyond_the_limit():
    budget = Budget(Decimal(1), 100)
    budget.force(Decimal("0.6"), 60)
    assert not budget.reserve(Decimal("0.5"), 1)
    assert budget.reserve(Decimal("0.4"), 40)
    budget.force(Decimal(2), 200)
    assert (budget.reserved_cost, budget.reserved_tokens) == (Decimal(3), 300)
    assert not budget.reserve(Decimal(0), 0)
    budget.settle((Decimal(2), 200), NOTHING)
    budget.settle((Decimal("0.6"), 60), (Decimal("0.1"), 10))
    assert (budget.spent_cost, budget.spent_tokens) == (Decimal("0.1"), 10)
    assert budget.reserve(Decimal("0.5"), 50)
    assert not budget.reserve(Decimal("0.01"), 0)


@pytest.mark.parametrize("wrong", [(Decimal("-0.1"), 0), (Decimal(0), -1)])
def test_negative_amounts_are_refused(wrong):
    budget = Budget(Decimal(1), 10)
    with pytest.raises(ValueError, match="negative"):
        budget.reserve(*wrong)
    with pytest.raises(ValueError, match="negative"):
        budget.force(*wrong)
    with pytest.raises(ValueError, match="negative"):
        budget.settle(NOTHING, wrong)
    with pytest.raises(ValueError, match="negative"):
        budget.settle(wrong, NOTHING)


def test_more_than_is_reserved_cannot_be_freed():
    budget = Budget(Decimal(1), 10)
    budget.reserve(Decimal("0.5"), 5)
    for wrong in ((Decimal("0.6"), 5), (Decimal("0.5"), 6)):
        with pytest.raises(ValueError, match="reserved"):
            budget.settle(wrong, NOTHING)
    assert (budget.reserved_cost, budget.reserved_tokens) == (Decimal("0.5"), 5)
