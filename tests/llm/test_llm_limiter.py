"""The limit and the pace under a clock of our own: simulated endpoints refuse, fail, queue and come back; nobody sleeps."""

from __future__ import annotations

import heapq
import itertools
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinoner.llm.limiter import COOL_DOWN, CUT, FLOOR, LONGEST_WAIT, Limiter, Pace, Rates, Ticket, duration

TICK = 0.25


class Run:
    """Sends through a limiter whenever that is free. ``server`` says of each request how long it takes and how it ends.

    Attributes:
        now: the time.
        holding: requests that the server has taken and not answered yet.
        sent, answered: the times of both.
    """

    def __init__(self, limiter: Limiter, server: Callable[[Run], tuple[float, str]], seed: int = 0) -> None:
        self.limiter, self.server, self.random = limiter, server, random.Random(seed)
        self.now, self.holding, self.number = 0.0, 0, 0
        self.flying: list[tuple[float, int, Ticket, str]] = []
        self.sent: list[float] = []
        self.answered: list[float] = []
        self.ends: Counter[str] = Counter()
        self.limits: list[tuple[float, float]] = []
        self.after: float | None = None  # Retry-After of every refusal

    def until(self, end: float) -> Run:
        while self.now < end:
            while self.limiter.free(self.now):
                ticket = self.limiter.take(self.now)
                seconds, outcome = self.server(self)
                self.holding += outcome != "refused"
                self.number += 1
                heapq.heappush(self.flying, (self.now + seconds, self.number, ticket, outcome))
                self.sent.append(self.now)
            if self.flying and self.flying[0][0] <= self.now + TICK:
                self.now, _, ticket, outcome = heapq.heappop(self.flying)
                self.end(ticket, outcome)
            else:
                self.now += TICK
            self.limits.append((self.now, self.limiter.limit))
            assert 0 <= self.limiter.in_flight == len(self.flying)
        return self

    def end(self, ticket: Ticket, outcome: str) -> None:
        self.ends[outcome] += 1
        self.holding -= outcome != "refused"
        if outcome == "ok":
            self.answered.append(self.now)
            self.limiter.succeeded(ticket, self.now)
        elif outcome == "refused":
            self.limiter.refused_at(ticket, self.now, self.after)
        elif outcome == "failed":
            self.limiter.failed(ticket, self.now)
        else:
            self.limiter.unreachable(ticket, self.now)

    def limit_at(self, when: float) -> float:
        return self.limits[bisect_right(self.limits, when, key=lambda pair: pair[0]) - 1][1]

    def most(self, begin: float = 0.0) -> float:
        return max(limit for when, limit in self.limits if when >= begin)

    def least(self, begin: float = 0.0) -> float:
        return min(limit for when, limit in self.limits if when >= begin)


def about(run: Run, seconds: float) -> float:
    return seconds * run.random.lognormvariate(0, 0.3)


def steady(seconds: float) -> Callable[[Run], tuple[float, str]]:
    """Answers any number at once."""
    return lambda run: (about(run, seconds), "ok")


def holds(cap: int, seconds: float) -> Callable[[Run], tuple[float, str]]:
    """Holds that many and refuses the others at once."""
    return lambda run: (0.01, "refused") if run.holding >= cap else (about(run, seconds), "ok")


def queues(places: int, seconds: float) -> Callable[[Run], tuple[float, str]]:
    """Works on that many at a time and lets the others wait; never refuses."""
    free = [0.0] * places

    def serve(run: Run) -> tuple[float, str]:
        begins = max(run.now, heapq.heappop(free))
        ends = begins + about(run, seconds)
        heapq.heappush(free, ends)
        return ends - run.now, "ok"

    return serve


def between(
    begin: float, end: float, outcome: str, server: Callable[[Run], tuple[float, str]], wait: float = 0.02
) -> Callable[[Run], tuple[float, str]]:
    """As ``server``, but from ``begin`` to ``end`` everything ends like that, what is under way included."""

    def serve(run: Run) -> tuple[float, str]:
        if begin <= run.now < end:
            return wait, outcome
        seconds, usual = server(run)
        return (begin - run.now + wait, outcome) if run.now < begin < run.now + seconds else (seconds, usual)

    return serve


# --- growing -----------------------------------------------------------------------------------------------------


def test_it_starts_at_eight_and_doubles_while_that_pays():
    limiter = Limiter()
    assert limiter.limit == 8
    run = Run(limiter, steady(1.0)).until(40)
    seen = list(dict.fromkeys(limit for _, limit in run.limits))
    assert seen == [8, 16, 32, 64, 128, 256]
    assert run.limit_at(12) == 256


@pytest.mark.parametrize("most", [1, 3, 8, 20, 64])
def test_it_is_never_above_the_most(most):
    run = Run(Limiter(8, most), steady(0.5)).until(60)
    assert run.most() == most


def test_a_limit_that_is_not_used_does_not_grow():
    limiter = Limiter()
    for n in range(1000):  # two at a time
        tickets = [limiter.take(n), limiter.take(n)]
        for ticket in tickets:
            limiter.succeeded(ticket, n + 0.5)
    assert limiter.limit == 8


def test_a_fixed_limit_stays():
    run = Run(Limiter(5, 5, fixed=True), steady(0.2)).until(60)
    assert {limit for _, limit in run.limits} == {5}


def test_no_more_are_sent_than_the_limit_has_room_for():
    limiter = Limiter(3)
    for _ in range(3):
        assert limiter.free(0.0)
        limiter.take(0.0)
    assert not limiter.free(0.0)
    assert limiter.load == 1
    limiter.released()  # ended without saying anything about the endpoint
    assert limiter.free(0.0)
    assert limiter.limit == 3


# --- refusals ----------------------------------------------------------------------------------------------------


def full(limit: int, now: float = 0.0) -> tuple[Limiter, list[Ticket]]:
    limiter = Limiter(limit)
    return limiter, [limiter.take(now) for _ in range(limit)]


def test_a_refusal_cuts_by_a_quarter():
    limiter, tickets = full(64)
    limiter.refused_at(tickets[0], 1.0, None)
    assert limiter.limit == 64 * CUT == 48


def test_refusals_of_requests_sent_before_the_cut_cut_once_and_then_down_to_what_is_held():
    limiter, tickets = full(64)
    for ticket in tickets[:40]:
        limiter.refused_at(ticket, 1.0, None)
    assert limiter.limit == limiter.in_flight == 24


def test_a_burst_in_which_all_are_refused_leaves_an_eighth():
    limiter, tickets = full(64)
    for ticket in tickets:
        limiter.refused_at(ticket, 1.0, None)
    assert limiter.limit == 8
    assert limiter.refused == 64


def test_a_refusal_of_a_request_sent_after_the_cut_cuts_again():
    limiter, tickets = full(64)
    limiter.refused_at(tickets[0], 1.0, 0.0)
    late = limiter.take(1.5)
    limiter.refused_at(late, 2.0, 0.0)
    assert limiter.limit == 48 * CUT


@pytest.mark.parametrize(
    ("limiter", "floor"), [(Limiter(), FLOOR), (Limiter(1, 1, fixed=True), 1), (Limiter(8, 2), 2)]
)
def test_whatever_is_refused_it_is_never_below_the_floor(limiter, floor):
    run = Run(limiter, lambda run: (0.05, "refused")).until(60)
    assert run.least() == floor
    assert run.ends["refused"] > 10  # and it is still tried


@pytest.mark.parametrize(("cap", "seconds"), [(5, 0.3), (16, 0.5), (40, 2.0), (100, 1.0)])
@pytest.mark.parametrize("start", [8, 64])
def test_after_the_storm_the_limit_is_about_what_the_server_holds(cap, seconds, start):
    run = Run(Limiter(start), holds(cap, seconds)).until(150)
    late = [limit for when, limit in run.limits if when > 30]
    assert max(late) <= 1.3 * cap + 1
    assert min(late) >= 0.6 * cap - 1
    assert run.ends["refused"] <= 0.05 * run.ends["ok"] + 60
    rate = sum(when > 50 for when in run.answered) / 100
    assert rate > 0.7 * cap / seconds / 1.046  # the mean of the latency is a little above its median


def test_a_refusal_ends_the_doubling_and_nothing_grows_for_a_while():
    refused_at = 5.0
    run = Run(Limiter(), between(refused_at, refused_at + 0.03, "refused", steady(0.5), wait=0.01)).until(60)
    after = run.limit_at(refused_at + 0.5)
    assert run.most(refused_at + 0.1) >= after
    quiet = [limit for when, limit in run.limits if refused_at + 0.1 < when < refused_at + COOL_DOWN]
    assert len(set(quiet)) == 1
    grown = [limit for when, limit in run.limits if when > refused_at + COOL_DOWN]
    assert all(b <= max(1.06 * a, a + 1) for a, b in itertools.pairwise(grown))
    assert grown[-1] > after


def test_a_bad_minute_does_not_leave_the_run_crawling():
    run = Run(Limiter(), between(10, 70, "refused", steady(0.5))).until(400)
    assert run.limit_at(69) == FLOOR
    assert run.limit_at(200) > 20
    assert run.limit_at(399) > 150


@pytest.mark.parametrize("asked", [0.5, 5.0, 60.0])
def test_nothing_is_sent_before_the_time_the_endpoint_asked_for(asked):
    limiter, tickets = full(8)
    for n, ticket in enumerate(tickets):
        limiter.refused_at(ticket, 10.0 + n / 100, asked)
    assert not limiter.free(10.0 + asked)
    assert not limiter.free(10.0 + asked + 0.06)
    assert limiter.free(10.0 + asked + 0.08)


def test_without_a_time_a_second_is_waited():
    limiter, tickets = full(8)
    limiter.refused_at(tickets[0], 10.0, None)
    for _ in tickets[1:]:
        limiter.released()
    assert not limiter.free(10.9)
    assert limiter.free(11.0)


def test_a_success_of_what_was_sent_after_a_hold_ends_it():
    limiter, tickets = full(8)
    limiter.refused_at(tickets[0], 10.0, 60.0)
    for _ in tickets[1:]:
        limiter.released()
    later = limiter.take(10.0)
    assert not limiter.free(11.0)
    limiter.succeeded(later, 11.0)
    assert limiter.free(11.0)


def test_an_old_success_does_not_end_the_hold_that_was_asked_for():
    limiter, tickets = full(8)
    limiter.refused_at(tickets[0], 10.0, 60.0)
    for ticket in tickets[1:]:
        limiter.succeeded(ticket, 11.0)
    assert not limiter.free(69.9)
    assert limiter.free(70.0)


def test_an_old_success_ends_a_pause_that_nobody_asked_for():
    limiter, tickets = full(8)
    limiter.refused_at(tickets[0], 10.0, None)
    assert not limiter.free(10.5)
    for ticket in tickets[1:]:
        limiter.succeeded(ticket, 10.5)
    assert limiter.free(10.5)


def test_a_pause_of_a_day_is_cut_short():
    limiter, tickets = full(8)
    for ticket in tickets:
        limiter.refused_at(ticket, 10.0, 86400.0)
    assert not limiter.free(10.0 + LONGEST_WAIT - 1)
    assert limiter.free(10.0 + LONGEST_WAIT)


def test_a_fixed_limit_comes_back_after_refusals():
    run = Run(Limiter(20, 20, fixed=True), between(5, 7, "refused", steady(0.3))).until(120)
    assert run.limit_at(8) < 10
    assert run.limit_at(119) == 20


# --- failures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["failed", "gone"])
def test_failures_never_cut_the_limit(outcome):
    run = Run(Limiter(), between(20, 50, outcome, steady(0.5))).until(120)
    assert run.limit_at(19) == 256
    assert run.least(20) == 256


def test_some_failures_among_answers_change_nothing():
    def serve(run: Run) -> tuple[float, str]:
        return about(run, 0.5), "failed" if run.random.random() < 0.3 else "ok"

    run = Run(Limiter(), serve).until(60)
    assert run.limit_at(59) == 256
    assert not run.limiter.down
    assert len(run.sent) > 60 * 256 / 0.5 / 1.5 * 0.7


@pytest.mark.parametrize("outcome", ["failed", "gone"])
def test_a_dead_endpoint_is_left_alone_with_growing_pauses_and_tried_by_one_request(outcome):
    run = Run(Limiter(), between(20, 10**9, outcome, steady(0.5))).until(400)
    assert run.limiter.down
    died = [when for when in run.sent if when > 20]
    first = sum(when < 20.3 for when in died)
    assert first <= 2 * 256  # what was in flight gave its place up until ten had failed
    probes = [when for when in died if when > 20.3]
    pauses = [b - a for a, b in itertools.pairwise(probes)]
    assert len(set(probes)) == len(probes)  # one at a time
    assert all(b >= a - TICK for a, b in itertools.pairwise(pauses))
    assert pauses[0] < 3
    assert 29 < pauses[-1] < 31
    assert len(probes) < 25


def test_many_failures_at_once_are_one_reason_for_a_pause():
    limiter, tickets = full(64)
    for ticket in tickets:
        limiter.failed(ticket, 1.0)
    assert limiter.down
    assert limiter.free(1.5)
    limiter.take(1.5)
    assert not limiter.free(1.5)  # one tries it, the others wait
    assert not limiter.free(60.0)


def test_nine_failures_are_no_death_and_ten_in_a_row_are():
    limiter, tickets = full(32)
    for ticket in tickets[:9]:
        limiter.failed(ticket, 1.0)
    assert not limiter.down
    limiter.succeeded(tickets[9], 1.0)
    for ticket in tickets[10:19]:
        limiter.failed(ticket, 1.0)
    assert not limiter.down
    limiter.failed(tickets[19], 1.0)
    assert limiter.down


def test_one_miss_is_enough_when_nobody_is_there():
    limiter, (ticket, *_) = full(8)
    limiter.unreachable(ticket, 1.0)
    assert limiter.down


@pytest.mark.parametrize("outcome", ["failed", "gone"])
@pytest.mark.parametrize("pause", [2.0, 20.0, 100.0])
def test_an_endpoint_that_is_back_is_used_as_before(outcome, pause):
    run = Run(Limiter(), between(20, 20 + pause, outcome, steady(0.5))).until(20 + pause + 60)
    back = next(when for when in run.answered if when > 20 + pause)
    assert back < 20 + 2.2 * pause + 2  # the pause is never longer than the time it was away
    assert not run.limiter.down
    rate = sum(back + 2 < when < back + 12 for when in run.answered) / 10
    assert rate > 0.7 * 256 / 0.5 / 1.05


# --- endpoints that queue ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("places", "seconds"), [(4, 0.5), (16, 0.5), (32, 1.0), (64, 2.0)])
@pytest.mark.parametrize("seed", range(4))
def test_an_endpoint_that_queues_without_refusing_is_not_filled_up(places, seconds, seed):
    run = Run(Limiter(), queues(places, seconds), seed).until(200)
    late = sorted(limit for when, limit in run.limits if when > 50)
    assert late[len(late) // 2] <= max(3 * places, 32)
    assert late[-1] < 200
    rate = sum(when > 50 for when in run.answered) / 150
    assert rate > 0.9 * places / seconds / 1.05  # and it is kept busy


# --- in any order ------------------------------------------------------------------------------------------------

outcomes = st.sampled_from(["ok", "ok", "ok", "refused", "failed", "gone", "released"])


@given(
    st.integers(1, 64),
    st.integers(1, 300),
    st.booleans(),
    st.lists(
        st.tuples(st.floats(0, 20), outcomes, st.none() | st.floats(0, 400), st.integers(0, 5)), max_size=200
    ),
)
@settings(max_examples=60)
def test_whatever_comes_the_limit_stays_between_its_bounds(start, most, fixed, events):
    limiter = Limiter(start, most, fixed=fixed)
    top = start if fixed else most
    now, flying = 0.0, []
    for step, outcome, asked, more in events:
        now += step
        for _ in range(more):
            if limiter.free(now):
                flying.append(limiter.take(now))
        if flying:
            ticket = flying.pop(0)
            if outcome == "ok":
                limiter.succeeded(ticket, now)
            elif outcome == "refused":
                limiter.refused_at(ticket, now, asked)
            elif outcome == "failed":
                limiter.failed(ticket, now)
            elif outcome == "gone":
                limiter.unreachable(ticket, now)
            else:
                limiter.released()
        assert min(FLOOR, top, start) <= limiter.limit <= top
        assert 0 <= limiter.in_flight == len(flying) <= top
    assert flying or limiter.free(now + LONGEST_WAIT + 1)  # nothing is ever stuck


# --- pace --------------------------------------------------------------------------------------------------------


def most_in_a_minute(used: list[tuple[float, float]]) -> float:
    best = total = 0.0
    begin = 0
    for when, amount in used:
        total += amount
        while used[begin][0] <= when - 60:
            total -= used[begin][1]
            begin += 1
        best = max(best, total)
    return best


steps = st.lists(st.tuples(st.floats(0, 3), st.floats(0.1, 50)), max_size=150)


@given(st.integers(1, 600), steps)
def test_the_requests_of_a_minute_are_never_more_than_allowed_beyond_the_first_burst(per_minute, steps):
    pace, now, used = Pace(per_minute), 0.0, []
    for step, _ in steps:
        now += step
        while pace.wait(1, now) <= 0 and len(used) < 20_000:
            pace.use(1, now)
            used.append((now, 1.0))
    burst = max(1, per_minute / 12)
    assert most_in_a_minute(used) <= per_minute + burst + 1e-6
    assert not used or len([u for u in used if u[0] == used[0][0]]) <= burst + 1e-6


@given(st.integers(10, 1000), steps)
def test_the_tokens_of_a_minute_are_never_more_than_allowed(per_minute, steps):
    pace, now, used = Pace(per_minute), 0.0, []
    for step, amount in steps:
        now += step
        if pace.wait(amount, now) <= 0:
            pace.use(amount, now)
            used.append((now, amount))
    burst = max(1, per_minute / 12)
    largest = max((amount for _, amount in used), default=0)
    assert most_in_a_minute(used) <= per_minute + burst + max(0, largest - burst) + 1e-6


@given(st.integers(1, 600), st.floats(0.1, 500))
def test_who_waits_as_long_as_told_may_go(per_minute, amount):
    pace, now = Pace(per_minute), 0.0
    for _ in range(5):
        wait = pace.wait(amount, now)
        assert wait <= 60 * max(amount, per_minute) / per_minute + 61
        now += wait + 1e-6
        assert pace.wait(amount, now) == 0
        pace.use(amount, now)


def test_a_steady_pace_is_the_pace():
    pace, now, sent = Pace(120), 0.0, 0
    while now < 600:
        now += max(pace.wait(1, now), 1e-9)
        if pace.wait(1, now) <= 0:
            pace.use(1, now)
            sent += 1
    assert 1195 <= sent <= 1212


def test_without_a_limit_nothing_waits():
    pace = Pace()
    for _ in range(1000):
        pace.use(10**9, 0.0)
    assert pace.wait(10**9, 0.0) == 0


def test_a_limit_is_learned_from_the_headers():
    pace = Pace()
    pace.learn("60", "2", "58s", 0.0)
    for _ in range(2):
        assert pace.wait(1, 0.0) == 0
        pace.use(1, 0.0)
    assert pace.wait(1, 0.0) == pytest.approx(1.0)
    pace.learn("60", "50", "1s", 0.5)  # told by an answer that overtook others: no more than was counted
    assert pace.wait(1, 0.5) == pytest.approx(0.5)
    pace.learn("600", "500", "1s", 0.6)
    assert pace.wait(1, 0.7) == 0


def test_a_limit_that_is_used_up_blocks_until_it_is_renewed():
    pace = Pace()
    pace.learn("600", "0", "6m0s", 10.0)
    assert pace.wait(1, 10.0) == pytest.approx(300.0)  # no wait is longer than five minutes
    pace.learn("600", "0", "20ms", 1000.0)
    assert pace.wait(1, 1000.0) == pytest.approx(0.1)  # one of six hundred a minute
    pace.learn("600", "0", "12s", 1000.0)
    assert pace.wait(1, 1000.0) == pytest.approx(12.0)
    assert pace.wait(1, 1012.0) == 0


def test_being_blocked_holds_also_where_no_limit_is_told():
    pace = Pace()
    pace.learn(None, "0", "30s", 0.0)
    assert pace.wait(1, 0.0) == 30
    assert pace.wait(1, 30.0) == 0


def test_what_the_person_sets_goes_before_what_the_headers_say():
    pace = Pace(60)
    pace.learn("6000", "5999", "10ms", 0.0)
    assert pace.per_minute == 60
    for _ in range(5):
        pace.use(1, 0.0)
    assert pace.wait(1, 0.0) == pytest.approx(1.0)
    pace.learn("6000", "0", "20s", 0.0)  # but a limit that is used up is one
    assert pace.wait(1, 0.0) == pytest.approx(20.0)


GARBAGE = ["", "many", "-1", "0", "1.5", "1e9", "²", "٣", "9" * 500, "nan", "inf", " 5", "1,000", "\x00"]


@pytest.mark.parametrize("reset", [None, "soon", "9" * 500 + "s", "-5s"])
def test_garbage_in_the_headers_does_no_harm(reset):
    for limit, remaining, own in itertools.product([None, *GARBAGE], [None, *GARBAGE], [None, 60]):
        pace = Pace(own)
        pace.learn(limit, remaining, reset, 0.0)
        wait = pace.wait(1, 0.0)
        assert 0 <= wait <= LONGEST_WAIT, (limit, remaining)
        pace.use(1, wait)
        assert 0 <= pace.wait(1, wait) <= 61, (limit, remaining)


@given(st.none() | st.text(max_size=12), st.none() | st.text(max_size=12), st.none() | st.text(max_size=12))
def test_any_headers_leave_a_pace_that_lets_go(limit, remaining, reset):
    pace = Pace()
    pace.learn(limit, remaining, reset, 0.0)
    now = 0.0
    for _ in range(3):
        now += pace.wait(1, now) + 1e-6
        assert pace.wait(1, now) == 0


def test_requests_and_tokens_are_learned_side_by_side():
    rates = Rates(None, None)
    assert rates.wait(10**9, 0.0) == 0
    rates.learn(
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-limit-tokens": "6000",
            "x-ratelimit-remaining-tokens": "100",
            "x-ratelimit-reset-tokens": "59s",
            "retry-after": "7",
        },
        0.0,
    )
    assert rates.wait(100, 0.0) == 0
    assert rates.wait(300, 0.0) == pytest.approx(2.0)  # two hundred tokens, a hundred a second
    rates.use(100, 0.0)
    assert rates.wait(100, 0.0) == pytest.approx(1.0)
    rates.learn({}, 0.0)
    assert rates.wait(100, 0.0) == pytest.approx(1.0)


def test_the_paces_of_the_settings_hold_together():
    rates = Rates(60, 600)
    rates.use(10, 0.0)
    assert rates.wait(10, 0.0) == 0
    rates.use(40, 0.0)
    assert rates.wait(10, 0.0) == pytest.approx(1.0)  # tokens: ten a second
    for _ in range(3):
        rates.use(0, 0.0)
    assert rates.wait(0, 0.0) == pytest.approx(1.0)  # requests: one a second


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("1m30.951s", 90.951),
        ("12", 12.0),
        (" 0.5 ", 0.5),
        ("0s", 0.0),
        ("1d", None),
        ("", None),
        ("s", None),
        ("1s garbage", None),
        ("-1s", None),
        ("1 s", None),
        ("2026-11-25T00:00:00Z", None),
    ],
)
def test_durations_are_read_as_headers_write_them(text, seconds):
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_none(text):
    found = duration(text)
    assert found is None or found >= 0
