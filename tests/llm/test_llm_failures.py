"""Error answers and what they mean, in English and in Chinese, as the providers write them."""

from __future__ import annotations

import json
import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.llm.failures import RETRY, STOP, CallError, Kind, classify, error_in_body, retry_after


def openai(message: str, type_: str | None = "invalid_request_error", code: object = None) -> dict:
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


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
        (None, "", "transient"),
    ],
)
def test_kind_of_a_plain_error_answer(status, body, kind):
    assert classify(status, body) == kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # OpenAI
        (401, openai("Incorrect API key provided: sk-a***z.", code="invalid_api_key"), "auth"),
        (403, openai("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"), "auth"),
        (404, openai("The model `gpt-9` does not exist or you do not have access to it.", code="model_not_found"), "model_not_found"),
        (429, openai("Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM)", "tokens", "rate_limit_exceeded"), "rate_limit"),
        (429, openai("You exceeded your current quota, please check your plan and billing details.", "insufficient_quota", "insufficient_quota"), "quota"),
        (429, openai("You exceeded your current quota, please check your plan and billing details.", None), "quota"),
        (400, openai("This model's maximum context length is 8192 tokens.", code="context_length_exceeded"), "context_length"),
        (400, openai("Invalid prompt: it was flagged as violating our usage policy.", code="invalid_prompt"), "content_filter"),
        (400, openai("Your request was rejected as a result of our safety system.", "image", "content_policy_violation"), "content_filter"),
        (400, openai("Unsupported value: 'temperature' does not support 0 with this model.", code="unsupported_value"), "bad_request"),
        (400, openai("max_tokens is too large: 100000. This model supports at most 4096 completion tokens."), "bad_request"),
        # Azure OpenAI
        (400, {"error": {"message": "The response was filtered due to the prompt", "type": None, "code": "400", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, "content_filter"),
        (400, {"error": {"message": "Azure OpenAI's content management policy", "param": "prompt", "code": "content_filter", "status": 400}}, "content_filter"),
        (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}, "model_not_found"),
        (401, {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, audience is incorrect"}, "auth"),
        (401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint."}}, "auth"),
        (429, {"error": {"code": "429", "message": "Requests have exceeded token rate limit of your current OpenAI S0 pricing tier."}}, "rate_limit"),
        # DashScope, its own shape and the OpenAI-compatible one
        (400, {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing.", "request_id": "x"}, "quota"),
        (429, {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded, please try again later."}, "rate_limit"),
        (429, {"code": "Throttling.AllocationQuota", "message": "Allocated quota exceeded, please increase your quota limit."}, "rate_limit"),
        (429, openai("Allocated quota exceeded, please increase your quota limit.", "insufficient_quota", "insufficient_quota"), "rate_limit"),
        (429, openai("You exceeded your current requests list.", "limit_requests", "limit_requests"), "rate_limit"),
        (429, {"code": "Throttling", "message": "You exceeded your current requests list."}, "rate_limit"),
        (403, {"code": "AllocationQuota.FreeTierOnly", "message": "The free tier of the model has been exhausted."}, "quota"),
        (400, {"code": "DataInspectionFailed", "message": "Input or output data may contain inappropriate content."}, "content_filter"),
        (400, openai("<400> InternalError.Algo.DataInspectionFailed: Input data may contain inappropriate content.", "data_inspection_failed", "data_inspection_failed"), "content_filter"),
        (400, {"code": "InvalidParameter.DataInspection", "message": "The media format is not supported."}, "bad_request"),
        (401, {"code": "InvalidApiKey", "message": "Invalid API-key provided."}, "auth"),
        (404, {"code": "ModelNotFound", "message": "Model can not be found."}, "model_not_found"),
        (403, {"code": "Model.AccessDenied", "message": "Model access denied."}, "model_not_found"),
        (403, {"code": "AccessDenied.Unpurchased", "message": "Access to model denied."}, "model_not_found"),
        (400, {"code": "InvalidParameter", "message": "Range of input length should be [1, 30720]"}, "context_length"),
        (400, {"code": "InvalidParameter", "message": "Required parameter(s) missing or invalid, please check the request parameters."}, "bad_request"),
        (400, openai("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 98304]", code="invalid_parameter_error"), "context_length"),
        (408, {"code": "RequestTimeOut", "message": "Request timed out, please try again later."}, "timeout"),
        # Zhipu
        (401, {"error": {"code": "1000", "message": "身份验证失败"}}, "auth"),
        (401, {"error": {"code": "1002", "message": "Authorization Token非法，请确认Authorization Token正确传递。"}}, "auth"),
        (401, {"error": {"code": "1004", "message": "通过提供的Authorization Token身份验证失败"}}, "auth"),
        (429, {"error": {"code": "1113", "message": "您的账户已欠费，请充值后重试。"}}, "quota"),
        (429, {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}, "quota"),
        (400, {"error": {"code": "1211", "message": "模型不存在，请检查模型代码。"}}, "model_not_found"),
        (400, {"error": {"code": "1261", "message": "Prompt 超长"}}, "context_length"),
        (400, {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容，请您避免输入易产生敏感内容的提示语，感谢您的配合。"}}, "content_filter"),
        (429, {"error": {"code": "1302", "message": "您当前使用该API的并发数过高，请降低并发，或联系客服增加限额。"}}, "rate_limit"),
        (429, {"error": {"code": "1303", "message": "您当前使用该API的频率过高，请降低频率，或联系客服增加限额。"}}, "rate_limit"),
        (429, {"error": {"code": "1304", "message": "该API已达今日调用次数限额，如有更多请求，请联系客服购买。"}}, "quota"),
        (429, {"error": {"code": "1305", "message": "当前API请求过多，请稍后重试。"}}, "transient"),
        (429, {"error": {"code": "1308", "message": "已达到 5 小时的使用上限。您的限额将在 2026-01-01 07:41:44 重置。"}}, "quota"),
        (400, {"error": {"code": "1210", "message": "API 调用参数有误，请检查文档。"}}, "bad_request"),
        # Moonshot
        (429, openai("Your account is suspended, please check your plan and billing details", "exceeded_current_quota_error"), "quota"),
        (429, openai("Your account request reached max organization concurrency: 1, please try again after 1 seconds", "rate_limit_reached_error"), "rate_limit"),
        (429, openai("The engine is currently overloaded, please try again later", "engine_overloaded_error"), "transient"),
        (400, openai("The request was rejected because it was considered high risk", "content_filter"), "content_filter"),
        (401, openai("Invalid Authentication", "invalid_authentication_error"), "auth"),
        (404, openai("Not found the model moonshot-v9 or Permission denied", "resource_not_found_error"), "model_not_found"),
        (400, openai("Input token length too long"), "context_length"),
        (400, openai("Invalid request: Your request exceeded model token limit: 8192"), "context_length"),
        # DeepSeek
        (402, openai("Insufficient Balance", "unknown_error", "invalid_request_error"), "quota"),
        (400, openai("This model's maximum context length is 65536 tokens. However, you requested 70000 tokens", code="invalid_request_error"), "context_length"),
        (400, openai("Model Not Exist", code="invalid_request_error"), "model_not_found"),
        (400, openai("Content Exists Risk", code="invalid_request_error"), "content_filter"),
        (401, openai("Authentication Fails, Your api key: ****abcd is invalid", "authentication_error", "invalid_request_error"), "auth"),
        (503, openai("Service is too busy. We advise users to temporarily switch", "service_unavailable_error"), "transient"),
        # SiliconFlow
        (400, {"code": 20012, "message": "Model does not exist. Please check it carefully.", "data": None}, "model_not_found"),
        (403, {"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None}, "quota"),
        (403, {"code": 30003, "message": "Model disabled.", "data": None}, "model_not_found"),
        (403, {"code": 30011, "message": "Model disabled for free accounts.", "data": None}, "model_not_found"),
        (400, {"code": 20015, "message": "length of prompt_tokens (68957) must be less than max_seq_len (65536).", "data": None}, "context_length"),
        (400, {"code": 20015, "message": "Value error, current model does not support parameter `enable_thinking`.", "data": None}, "bad_request"),
        (429, {"message": "Request was rejected due to rate limiting. Details: TPM limit reached.", "data": None}, "rate_limit"),
        (429, {"message": "Request was rejected due to rate limiting. Details: RPM limit reached.", "data": None}, "rate_limit"),
        (503, {"code": 50505, "message": "Model service overloaded. Please try again later.", "data": None}, "transient"),
        (401, "Invalid token", "auth"),
        (401, '"Invalid token"', "auth"),
        # Baidu Qianfan, the OpenAI-compatible shape and the older one
        (400, {"error": {"code": "tokens_too_long", "message": "Prompt tokens too long", "type": "invalid_request_error"}, "id": "as-x"}, "context_length"),
        (400, {"error": {"code": "characters_too_long", "message": "the max input characters is 20000", "type": "invalid_request_error"}}, "context_length"),
        (401, {"error": {"code": "invalid_iam_token", "message": "IAM Certification failed", "type": "invalid_request_error"}}, "auth"),
        (400, {"error": {"code": "invalid_model", "message": "model is empty", "type": "invalid_request_error"}}, "model_not_found"),
        (429, {"error": {"code": "rpm_rate_limit_exceeded", "message": "Rate limit reached for RPM", "type": "rate_limit_exceeded"}}, "rate_limit"),
        (400, {"error": {"code": "prompt_refused", "message": "the input is unsafe", "type": "unsafe_request"}}, "content_filter"),
        (400, {"error": {"code": "malformed_json", "message": "Invalid Argument", "type": "invalid_request_error"}}, "bad_request"),
        (400, {"error_code": 110, "error_msg": "Access token invalid or no longer valid"}, "auth"),
        (400, {"error_code": 18, "error_msg": "Open api qps request limit reached"}, "rate_limit"),
        (400, {"error_code": 17, "error_msg": "Open api daily request limit reached"}, "quota"),
        # Volcengine Ark
        (403, {"error": {"code": "AccountOverdueError", "message": "The request failed because your account has an overdue balance.", "type": "Forbidden"}}, "quota"),
        (404, {"error": {"code": "ModelNotOpen", "message": "Your account 1 has not activated the model x.", "type": "NotFound"}}, "model_not_found"),
        (404, {"error": {"code": "InvalidEndpointOrModel.NotFound", "message": "The model or endpoint x does not exist or you do not have access to it.", "type": "NotFound"}}, "model_not_found"),
        (429, {"error": {"code": "RateLimitExceeded.EndpointRPMExceeded", "message": "The Requests Per Minute (RPM) limit of the associated endpoint has been exceeded.", "type": "TooManyRequests"}}, "rate_limit"),
        (429, {"error": {"code": "SetLimitExceeded", "message": "Your account has reached the set inference limit for the model.", "type": "TooManyRequests"}}, "quota"),
        (429, {"error": {"code": "ServerOverloaded", "message": "The service is currently unable to handle additional requests.", "type": "TooManyRequests"}}, "transient"),
        (400, {"error": {"code": "SensitiveContentDetected.Violence", "message": "The request failed because the input text may contain violence information.", "type": "BadRequest"}}, "content_filter"),
        (400, {"error": {"code": "InputTextSensitiveContentDetected", "message": "The input text may contain sensitive information.", "type": "BadRequest"}}, "content_filter"),
        (401, {"error": {"code": "AuthenticationError", "message": "The API key or AK/SK in the request is missing or invalid.", "type": "Unauthorized"}}, "auth"),
        # Google through its OpenAI-compatible address: a list
        (429, [{"error": {"code": 429, "message": "Resource has been exhausted.", "status": "RESOURCE_EXHAUSTED"}}], "rate_limit"),
        (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}], "auth"),
        # vLLM and llama.cpp
        (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens", "type": "BadRequestError", "param": None, "code": 400}, "context_length"),
        (404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "param": None, "code": 404}, "model_not_found"),
        (401, {"error": "Unauthorized"}, "auth"),
        (400, {"error": {"code": 400, "message": "the request exceeds the available context size, try increasing it", "type": "exceed_context_size_error", "n_prompt_tokens": 1407, "n_ctx": 256}}, "context_length"),
        (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, "transient"),
        (401, {"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}}, "auth"),
        # a gateway that passes on the body of another server as its message
        (400, openai(json.dumps(openai("x", "insufficient_quota", "insufficient_quota")), "upstream_error"), "quota"),
    ],
)  # fmt: skip
def test_kind_of_what_the_providers_answer(status, body, kind):
    for ascii_ in (False, True):
        assert (
            classify(status, body if isinstance(body, str) else json.dumps(body, ensure_ascii=ascii_)) == kind
        )


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("内容包含违规信息", "content_filter"),
        ("包含不当内容", "content_filter"),
        ("内容不合规", "content_filter"),
        ("余额不足，请充值", "quota"),
        ("请先充值", "quota"),
        ("该账户已停用", "quota"),
        ("该令牌额度已用尽", "quota"),
        ("请求过于频繁，请稍后重试", "rate_limit"),
        ("请求过快", "rate_limit"),
        ("已被限流，充值可提高频率", "rate_limit"),
        ("模型 qwen 不存在", "model_not_found"),
        ("该模型未开通", "model_not_found"),
        ("密钥无效", "auth"),
        ("鉴权失败", "auth"),
        ("无效的令牌", "auth"),
        ("输入长度超限", "context_length"),
        ("超出模型上下文", "context_length"),
        ("服务繁忙", "transient"),
        ("系统过载", "transient"),
        ("频率惩罚参数有误", "bad_request"),
        ("最大令牌数参数有误", "bad_request"),
        ("参数有误", "bad_request"),
    ],
)
def test_chinese_words_of_a_message(message, kind):
    assert classify(400, json.dumps({"error": {"message": message}})) == kind


PASSAGE = (
    "余额不足、敏感、并发频率超限、模型不存在、密钥、上下文超长，服务繁忙。insufficient_quota, rate limit"
)


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"type": "missing", "loc": ["body", "x"], "msg": "Field required", "input": {"content": PASSAGE}}]},
        {"error": {"message": "Invalid value", "type": "invalid_request_error", "param": PASSAGE, "code": None}},
        {"error": {"message": f'messages[1].content: "{PASSAGE}" is no object', "type": "invalid_request_error"}},
        {"error": {"message": f"messages[1].content: “{PASSAGE}” is no object"}},
        {"error": {"message": f"it's wrong: '{PASSAGE}'"}},
        {"error": {"message": f"wrong: '{PASSAGE * 40}'"}},
        {"object": "error", "type": "BadRequestError", "code": 400,
         "message": f"[{{'type': 'missing', 'msg': 'Field required', 'input': {{'content': it's {PASSAGE}}}}}]"},
        {"error": {"message": f"1 validation error [type=missing, input_value={PASSAGE}]"}},
        {"message": "Invalid request", "request": {"messages": [{"content": PASSAGE}]}, "data": PASSAGE},
    ],
)  # fmt: skip
def test_a_passage_repeated_in_the_error_is_not_read(body):
    assert classify(400, json.dumps(body, ensure_ascii=False)) == "bad_request"


@pytest.mark.parametrize(
    "body", ["", "404 page not found", '{"detail": "Not Found"}', "no such path", '{"error": "Not Found"}']
)
def test_a_wrong_path_stops_the_run_like_a_wrong_model(body):
    assert classify(404, body) == "model_not_found"


@pytest.mark.parametrize("body", ["", "<html><h1>413 Request Entity Too Large</h1></html>", '{"code": "rate_limit_exceeded"}'])  # fmt: skip
def test_a_body_too_large_is_a_passage_too_long(body):
    assert classify(413, body) == "context_length"


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 529, None])
@pytest.mark.parametrize("body", ["", "rate limit", "余额不足", '{"error": {"message": "敏感 invalid api key"}}', '{"code": "model_not_found"}'])  # fmt: skip
def test_the_trouble_of_a_server_is_transient_whatever_it_says(status, body):
    assert classify(status, body) == "transient"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": "insufficient_quota"}}, "quota"),
        ({"error": {"code": "1113", "message": "x"}}, "quota"),
        ({"code": "InvalidApiKey"}, "auth"),
        ({"code": "DataInspectionFailed"}, "content_filter"),
        ({"error": {"code": 500, "type": "exceed_context_size_error"}}, "context_length"),
    ],
)
def test_a_machine_code_goes_before_a_server_status(body, kind):
    assert classify(500, json.dumps(body)) == kind


@pytest.mark.parametrize(
    ("tree", "kind"),
    [
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, "rate_limit"),
        ({"choices": None, "base_resp": {"status_code": 1004, "status_msg": "login fail"}}, "auth"),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "quota"),
        ({"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}, "content_filter"),
        ({"base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}, "content_filter"),
        ({"base_resp": {"status_code": 1000, "status_msg": "unknown error"}}, "transient"),
        ({"base_resp": {"status_code": 9999, "status_msg": "?"}}, "transient"),
        ({"base_resp": {"status_code": 2013, "status_msg": "invalid params"}}, "bad_request"),
        (
            {"base_resp": {"status_code": 2013, "status_msg": "invalid params, context window exceeds limit"}},
            "context_length",
        ),
        ({"error": {"message": "Insufficient credits", "code": 402}}, "quota"),
        ({"error": {"message": "Provider returned error", "code": 502}}, "transient"),
        ({"error": {"message": "Provider returned error", "code": 429}}, "rate_limit"),
        ({"error": {"message": "odd", "code": 400}}, "bad_request"),
        ({"error": {"message": "odd", "type": "invalid_request_error"}}, "bad_request"),
        ({"error": "服务繁忙"}, "transient"),
        ({"error": "something"}, "transient"),
        ({"code": "DataInspectionFailed", "message": "x"}, "content_filter"),
        ({"code": 1302, "msg": "并发数过高", "success": False}, "rate_limit"),
        ({"error_code": 336501, "error_msg": "Rate limit reached for RPM"}, "rate_limit"),
        ({"object": "error", "message": "maximum context length", "code": 400}, "context_length"),
        ({"choices": [{"message": {"content": "[]"}}]}, None),
        ({"choices": [{"message": {"content": "敏感"}}], "base_resp": {"status_code": 0, "status_msg": ""}}, None),
        ({"choices": [{}], "error": None, "code": 200}, None),
        ({"choices": [{}], "code": "x"}, None),
        ({"code": 0, "message": "ok"}, None),
        ({"code": "200", "data": {}}, None),
        ({"code": None, "error": {}}, None),
        ([], None),
        ("error", None),
        (None, None),
    ],
)  # fmt: skip
def test_an_error_inside_a_successful_answer(tree, kind):
    assert error_in_body(tree) == kind


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["1002", "敏感", "x.y"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["error", "code", "type", "message", "detail", "base_resp", "status_code", "choices", "innererror", "object"]),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.one_of(st.none(), st.integers(200, 600)), TREES, st.text())
def test_no_body_raises(status, tree, text):
    assert classify(status, json.dumps(tree)) in get_args(Kind)
    assert classify(status, text) in get_args(Kind)
    assert error_in_body(tree) is None or error_in_body(tree) in get_args(Kind)


def test_a_deep_or_huge_body_is_read_all_the_same():
    assert classify(400, "[" * 100_000) == "bad_request"
    assert classify(400, '{"message":' * 50_000) == "bad_request"
    assert classify(429, '{"code": ' + "9" * 10_000 + "}") == "rate_limit"
    assert classify(400, json.dumps({"error": {"message": "'" * 500_000}})) == "bad_request"
    nested = "{}"
    for _ in range(10):
        nested = json.dumps({"message": nested})
    assert classify(400, nested) == "bad_request"


def test_what_costs_another_attempt_and_what_ends_the_run():
    assert {"rate_limit", "transient", "timeout", "unreachable"} == RETRY
    assert {"quota", "auth", "model_not_found"} == STOP
    terminal = {"context_length", "bad_request", "content_filter", "refused"}
    assert set(get_args(Kind)) == RETRY | STOP | terminal | {"truncated", "unparsed"}


def test_a_call_error_says_kind_and_detail():
    error = CallError("rate_limit", "slow down", 2.5)
    assert str(error) == "rate_limit: slow down"
    assert (error.kind, error.detail, error.retry_after) == ("rate_limit", "slow down", 2.5)


NOW = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"Retry-After": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 0.0),
        ({"Retry-After-Ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 08:00:30 +0800"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 -0000"}, 30.0),
        ({"retry-after": "Wed, 31 Dec 2025 23:59:59 GMT"}, None),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:00 GMT"}, None),
        ({"retry-after": "Fri, 01 Jan 2027 00:00:00 GMT"}, None),
        ({"retry-after": "86400"}, 86_400.0),
        ({"retry-after": "86401"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "２"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 99 Jan 2026 00:00:30 GMT"}, None),
        ({"retry-after": "Thu, 01 Jan 0001 00:00:30 +2359"}, None),
    ],
)
def test_seconds_a_server_asks_to_wait(headers, seconds):
    assert retry_after(headers, NOW) == seconds


@given(st.dictionaries(st.sampled_from(["retry-after", "Retry-After-Ms"]), st.text()), st.floats(0, 1e12))
def test_no_header_raises(headers, now):
    seconds = retry_after(headers, now)
    assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= 86_400)
