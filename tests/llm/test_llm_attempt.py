"""What an attempt may have cost where the endpoint does not say."""

from __future__ import annotations

import pytest
from chat_server import answer

from sinoner.llm.attempt import Attempt, answered, failed
from sinoner.llm.failures import CallError, Kind
from sinoner.llm.request import read_reply

URL = "http://127.0.0.1:8000/v1"


def test_an_answer_costs_what_its_usage_says() -> None:
    attempt = answered(read_reply(answer("[]", usage=(11, 7)).body), URL).bounded((100, 50))
    assert (attempt.tokens, attempt.measured) == ((11, 7, 0), True)


def test_an_answer_without_usage_costs_the_most_it_can() -> None:
    attempt = answered(read_reply(answer("[]", usage=(0, 0)).body), URL).bounded((100, 50))
    assert (attempt.tokens, attempt.measured) == ((100, 50, 0), False)


@pytest.mark.parametrize(
    ("kind", "status", "paid"),
    [
        ("timeout", None, True),
        ("timeout", 408, True),
        ("transient", None, True),  # the connection broke off, or status 200 and no answer
        ("transient", 504, True),
        ("transient", 524, True),
        ("transient", 500, False),
        ("transient", 502, False),
        ("transient", 503, False),
        ("rate_limit", 429, False),
        ("unreachable", None, False),
        ("bad_request", 400, False),
    ],
)
def test_a_failure_may_be_paid_when_the_endpoint_may_have_worked_for_it(
    kind: Kind, status: int | None, paid: bool
) -> None:
    attempt = failed(CallError(kind, "", status=status), URL, 1.5).bounded((100, 50))
    assert attempt.tokens == ((100, 50, 0) if paid else (0, 0, 0))
    assert attempt.measured is not paid
    assert (attempt.error, attempt.status, attempt.seconds) == (kind, status, 1.5)


def test_a_body_with_status_200_that_is_no_answer_is_kept() -> None:
    attempt = failed(CallError("transient", "no answer"), URL, raw="<html>", batch="b")
    assert (attempt.status, attempt.raw, attempt.batch) == (200, "<html>", "b")
    assert attempt == Attempt(URL, 0.0, 200, "transient", "no answer", "<html>", measured=False, batch="b")
