"""Error answers and what they mean, in English and in Chinese."""

from __future__ import annotations

import pytest

from sinoner.llm.errors import RETRY, STOP, CallError, classify


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, "Incorrect API key provided", "auth"),
        (403, "forbidden", "auth"),
        (402, "Payment required", "quota"),
        (429, '{"error": {"code": "insufficient_quota"}}', "quota"),
        (429, "账户余额不足", "quota"),
        (403, "您的账户已欠费", "quota"),
        (400, '{"code": "Arrearage"}', "quota"),
        (402, "Insufficient Balance", "quota"),
        (429, "Too many requests", "rate_limit"),
        (400, "您的并发数过高", "rate_limit"),
        (403, "请求频率超限", "rate_limit"),
        (404, "no such path", "model_not_found"),
        (400, '{"code": "model_not_found"}', "model_not_found"),
        (400, "模型不存在", "model_not_found"),
        (400, '{"code": "data_inspection_failed"}', "content_filter"),
        (400, "输入包含敏感信息", "content_filter"),
        (400, "内容安全审核未通过", "content_filter"),
        (400, "This model's maximum context length is 10 tokens", "context_length"),
        (400, "the request exceeds the available context size", "context_length"),
        (400, "messages: field required", "bad_request"),
        (422, "", "bad_request"),
        (408, "", "timeout"),
        (500, "", "transient"),
        (503, "rate limit", "transient"),  # the server's own trouble, whatever it says
        (529, "overloaded", "transient"),
        (None, "", "transient"),
    ],
)
def test_kind_of_an_error_answer(status, body, kind):
    assert classify(status, body) == kind


def test_what_costs_another_attempt_and_what_ends_the_run():
    assert {"rate_limit", "transient", "timeout", "unreachable"} == RETRY
    assert {"quota", "auth", "model_not_found", "unreachable"} == STOP


def test_a_call_error_says_kind_and_detail():
    error = CallError("rate_limit", "slow down", 2.5)
    assert str(error) == "rate_limit: slow down"
    assert (error.kind, error.detail, error.retry_after) == ("rate_limit", "slow down", 2.5)
