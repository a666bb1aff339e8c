"""What went wrong at an endpoint, as a kind that says what to do about it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple

Kind = Literal[
    "rate_limit", "transient", "timeout", "unreachable",  # worth another attempt
    "quota", "auth", "model_not_found",  # the run stops
    "context_length", "bad_request", "content_filter", "refused",  # this passage is a reject
    "truncated", "unparsed",  # an answer came, but not all of it, or no list: the engine asks once more
]  # fmt: skip
RETRY: frozenset[Kind] = frozenset(("rate_limit", "transient", "timeout", "unreachable"))
STOP: frozenset[Kind] = frozenset(("quota", "auth", "model_not_found"))


class CallError(Exception):
    """One attempt failed.

    Attributes:
        kind: what to do about it.
        detail: what the endpoint said, on one short line.
        retry_after: seconds the server asked to wait, if it did.
        status: HTTP status, if there was an answer.
        raw: the body of that answer.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        retry_after: float | None = None,
        *,
        status: int | None = None,
        raw: str | None = None,
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind: Kind = kind
        self.detail = detail
        self.retry_after = retry_after
        self.status = status
        self.raw = raw


def classify(status: int | None, body: str) -> Kind:
    """The kind of an HTTP error answer, from its status and body.

    Machine codes count before the words of the message, and the words before the status. Only the fields for
    code, type and message are read, since others may repeat the passage; a body that is no JSON is read whole.
    """
    return _kind(status, _said(body))


def error_in_body(tree: Any) -> Kind | None:
    """The kind of the error that an answer with status 200 holds, or None when it holds none."""
    if not _is_error(tree):
        return None
    said = _said_in(tree)
    status = next((int(c) for c in said.codes if re.fullmatch(r"[45][0-9]{2}", c)), None)
    return _kind(status, said, worded=True)


# A server that asks for a longer pause than a day is not taken at its word.
_LONGEST_PAUSE = 86_400.0
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds the server asks to wait, from ``retry-after-ms`` or ``retry-after`` (a number, or an HTTP date).

    Args:
        headers: of the answer; names in any case.
        now: seconds since the epoch, to compare dates with.

    Returns:
        0 seconds to a day; None when nothing is asked, it cannot be read, or it is in the past.
    """
    lowered = {name.lower(): value.strip() for name, value in headers.items()}
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        asked = lowered.get(name, "")
        seconds = float(asked) / unit if _NUMBER.fullmatch(asked) else None
        if seconds is None and name == "retry-after":
            seconds = _until(asked, now)
        if seconds is not None and seconds <= _LONGEST_PAUSE:
            return seconds
    return None


def _until(date: str, now: float) -> float | None:
    """Seconds until an HTTP date; None when it is not a date, or has passed."""
    try:
        when = parsedate_to_datetime(date[:64])
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


class _Said(NamedTuple):
    """What an error body says: its machine codes, most specific first, and its messages."""

    codes: tuple[str, ...]
    words: str


# Machine codes in lower case without underscores and hyphens, and their sources:
# platform.openai.com/docs/guides/error-codes, help.aliyun.com/zh/model-studio/error-code,
# docs.bigmodel.cn/cn/api/api-code, platform.kimi.com/docs/api/errors, api-docs.deepseek.com/quick_start/error_codes,
# docs.siliconflow.cn (error codes), cloud.baidu.com/doc/qianfan-api/s/Om9b4yj3w,
# volcengine.com/docs/82379/1299023, platform.minimax.io/docs/api-reference/errorcode, and the servers' own code.
# A code with dots counts whole first, then without its last parts. Numbers carry their provider in front.
_CODES: dict[Kind, str] = {
    "rate_limit": """ratelimitexceeded ratelimiterror ratelimitreachederror ratelimitreached ratelimit throttling
        limitrequests toomanyrequests rpmratelimitexceeded tpmratelimitexceeded resourceexhausted
        ratelimittotalqps zhipu:1302 zhipu:1303 minimax:1002 minimax:1039 minimax:1041 minimax:2045
        baidu:4 baidu:18 baidu:336501 baidu:336502""",
    "transient": """engineoverloadederror overloadederror serveroverloaded serviceunavailable internalservererror
        internalerror internalserviceerror servererror unavailable zhipu:1120 zhipu:1230 zhipu:1234
        zhipu:1305 siliconflow:50501 siliconflow:50505 siliconflow:50603 minimax:1000 minimax:1013 minimax:1024
        minimax:1033 baidu:1 baidu:2 baidu:336000 baidu:336100""",
    "timeout": "requesttimeout timeouterror gatewaytimeout minimax:1001",
    "quota": """insufficientquota insufficientbalance insufficientuserquota insufficientcredits arrearage
        accountoverdueerror accountoverdue exceededcurrentquotaerror billinghardlimitreached billingnotactive
        billinginsufficientbalance quotaexceeded setlimitexceeded allocationquota usagelimitreached
        preconsumetokenquotafailed zhipu:1113 zhipu:1304 zhipu:1308 zhipu:1309 zhipu:1310 siliconflow:30001
        minimax:1008 minimax:1028 minimax:1030 minimax:2056 baidu:17 baidu:19""",
    "auth": """invalidapikey incorrectapikeyerror invalidauthenticationerror authenticationerror
        authenticationfailed permissiondenied permissiondeniederror permissionerror unauthorized unauthenticated
        accessdenied accountdeactivated unsupportedcountryregionterritory invalidiamtoken invalidappid
        accessterminatederror zhipu:1000 zhipu:1001 zhipu:1002 zhipu:1003 zhipu:1004 zhipu:1110 zhipu:1111
        zhipu:1112 zhipu:1121 zhipu:1220 zhipu:1313 minimax:1004 minimax:2049
        baidu:6 baidu:13 baidu:14 baidu:110 baidu:111""",
    "model_not_found": """modelnotfound modelnotfounderror modelnotexist modelnotopen invalidendpointormodel
        invalidendpoint deploymentnotfound resourcenotfounderror invalidmodel unsupportedmodel nosuchmodel
        model.accessdenied accessdenied.unpurchased zhipu:1211 zhipu:1221 zhipu:1222 siliconflow:20012
        siliconflow:30003 siliconflow:30011 minimax:2061""",
    "context_length": """contextlengthexceeded exceedcontextsizeerror tokenstoolong characterstoolong
        stringabovemaxlength requesttoolarge prompttoolong badrequest.toolarge zhipu:1261""",
    "content_filter": """contentfilter contentpolicyviolation datainspectionfailed datainspection
        responsibleaipolicyviolation sensitivecontentdetected inputtextsensitivecontentdetected
        outputtextsensitivecontentdetected inputtextriskdetection outputtextriskdetection unsaferequest
        sensitivewordsdetected promptblocked safetycheckfailed zhipu:1300 zhipu:1301 minimax:1026 minimax:1027""",
}
_BY_CODE: dict[str, Kind] = {code: kind for kind, codes in _CODES.items() for code in codes.split()}
# Of a server's own failure (5xx) only these codes are believed: asking again would not help.
_SURE: frozenset[Kind] = frozenset(("quota", "auth", "content_filter", "context_length"))
# Codes that say no more than that the request is wrong, so that the words of the message go before them.
_BAD_REQUEST = frozenset(("invalidrequesterror", "invalidparameter", "badrequesterror", "minimax:2013"))
# DashScope calls a limit per minute by the code of an empty account.
_PER_MINUTE = re.compile(r"allocated quota exceeded|current requests? list")

# Words of messages, in the order they are tried: 长度超限 is about length, 频率超限 about the rate, and advice
# to recharge (充值) or to come back (稍后重试) may follow any other cause.
_PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("quota", r"""insufficient[ _]?(quota|balance|credit|funds) | balance\ is\ insufficient
        | balance\ is\ too\ low | exceeded\ your\ current\ quota | in\ arrears | overdue\ balance
        | account\ is\ in\ good\ standing | not\ enough\ credits? | payment\ required | arrearage
        | 余额不足 | 欠费 | 额度(不足|已?用[尽完]|已?耗尽) | 账[户号].{0,6}(停用|禁用|锁定|冻结|封禁)"""),
    ("content_filter", r"""content[ _](filter|policy|management\ policy|exists\ risk) | inappropriate\ content
        | data_inspection_failed | sensitive\ (content|information|words?) | unsafe\ (content|or\ sensitive)
        | considered\ high\ risk | contentpolicyviolation | violat\w+\ (our|the)?\ ?(usage|content)
        | 内容安全 | 敏感 | 违规 | 不当内容 | 不安全 | 合规"""),
    ("context_length", r"""context[ _](length|size|window) | range\ of\ input\ length | max_(seq|model)_len
        | \b(prompt|input|request|tokens?|messages?|text|content|length)\b.{0,40}\btoo\ (long|large)\b
        | exceeded\ model\ token\ limit | max\w*\ input\ (characters|length|tokens) | input\ length\ exceed
        | (prompt|input)\ tokens?\ (limit|exceed) | 超长 | 过长 | 长度超 | 上下文"""),
    ("rate_limit", r"""rate[ _-]?limit | too\ many\ requests | (requests|tokens)\ per\ (minute|second|day)
        | \b[rt]p[md]\b | concurren | throttl | too\ frequent | qps
        | 并发 | 频率(?!惩罚) | 超限 | 限流 | 速率限制 | 过于频繁 | 过快"""),
    ("model_not_found", r"""model\b.{0,100}?\b(does\ not|doesn't|not)\ exist | model\b.{0,100}?not\ found
        | not\ found\ the\ model | (no\ such|unknown|unsupported|invalid)\ model | model_not_found
        | model\ disabled | deployment\b.{0,100}not\ exist | 模型.{0,40}不存在 | 未开通"""),
    ("auth", r"""api[ _-]?key\b.{0,40}(invalid|not\ valid|incorrect|expired|missing|disabled|revoked|required)
        | (invalid|incorrect|wrong|missing|no|expired)\ (api|access|auth)[\w -]{0,12}(key|token)
        | unauthorized | authentication\ (fail|error) | invalid\ authentication
        | 密钥 | 鉴权 | 身份验证 | 令牌(?!数|总数|长度|上限|限制)"""),
    ("quota", r"充值"),
    ("transient", r"""overload | try\ again\ later | temporarily\ unavailable | server\ (is\ )?busy | too\ busy
        | 服务繁忙 | 系统繁忙 | 过载 | 稍后[重再]试"""),
)  # fmt: skip
_WORDS = tuple((kind, re.compile(pattern, re.VERBOSE)) for kind, pattern in _PATTERNS)
_BY_STATUS: dict[int, Kind] = {
    401: "auth", 402: "quota", 403: "auth", 404: "model_not_found", 408: "timeout", 429: "rate_limit",
}  # fmt: skip


def _kind(status: int | None, said: _Said, worded: bool = False) -> Kind:
    """The kind by code, words or status; ``worded`` lets the words count although there is no client error."""
    if status == 413:
        return "context_length"
    failed = status is None or status >= 500  # the server's own trouble, whatever it says
    if _PER_MINUTE.search(said.words) and (not failed or worded):
        return "rate_limit"
    code = next((kind for c in said.codes if (kind := _by_code(c)) is not None), None)
    if code is not None and (not failed or worded or code in _SURE):
        return code
    if (not failed or worded) and status != 401:
        found = next((kind for kind, pattern in _WORDS if pattern.search(said.words)), None)
        if found is not None:
            return found
    if status is not None and status in _BY_STATUS:
        return _BY_STATUS[status]
    if worded and not _BAD_REQUEST.isdisjoint(said.codes):
        return "bad_request"
    return "transient" if failed else "bad_request"


def _by_code(code: str) -> Kind | None:
    """The kind of a code: whole, else without its last dotted parts."""
    while code:
        if code in _BY_CODE:
            return _BY_CODE[code]
        code = code.rpartition(".")[0]
    return None


# Where messages end and the request that a server repeats in them begins (pydantic, in vLLM and FastAPI).
_REPEATED = re.compile(r"""['"]input['"]\s*:|input_value\s*=""")
# What a message quotes may be the passage, to its end if it is long; an apostrophe inside a word quotes nothing.
_QUOTED = re.compile(r"""\"[^\"]*\"|“[^”]*”|`[^`]*`|(?<!\w)'[^']*'(?!\w)|(?<!\w)["“`'].{200,}""", re.DOTALL)
_LONGEST_MESSAGE = 2000


def _said(body: str, depth: int = 0) -> _Said:
    """The codes and messages of a body; all of it is a message when it is no JSON object."""
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        return _Said((), body[:_LONGEST_MESSAGE].lower())
    if isinstance(tree, str):
        return _Said((), _message(tree))
    return _said_in(tree, depth)


def _said_in(tree: Any, depth: int = 0) -> _Said:
    codes: list[str] = []
    words: list[str] = []
    for holder, fields in _holders(tree):
        for name in ("code", "type", "error_code", "errorCode", "status_code", "status"):
            codes.extend(_code(holder, name, fields.get(name)))
        for name in ("message", "msg", "error_msg", "status_msg", "errorMessage", "detail", "error"):
            text = fields.get(name)
            if isinstance(text, str) and text.lstrip().startswith("{") and depth < 2:
                inner = _said(text, depth + 1)  # a gateway passes on the body of another server as a message
                codes.extend(inner.codes)
                words.append(inner.words)
            elif isinstance(text, str):
                words.append(_message(text))
    return _Said(tuple(codes), "\n".join(words))


def _holders(tree: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a body that say what went wrong, the innermost first, with their names."""
    if isinstance(tree, list):
        tree = tree[0] if tree else None
    if not isinstance(tree, dict):
        return
    error = tree.get("error")
    if isinstance(error, dict):
        if isinstance(error.get("innererror"), dict):
            yield "innererror", error["innererror"]
        yield "error", error
    for name in ("base_resp", "detail"):
        if isinstance(tree.get(name), dict):
            yield name, tree[name]
    yield "", tree


def _code(holder: str, name: str, value: Any) -> list[str]:
    """A code as the table writes it. Which provider counts in numbers is told by field and length."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return []
    code = str(value).strip()[:80].lower().replace("_", "").replace("-", "")
    if not re.fullmatch(r"[0-9]+", code):
        return [code] if code and " " not in code else []
    if holder == "base_resp":
        return [f"minimax:{code}"]
    if name == "error_code":
        return [f"baidu:{code}"]
    return [code, f"siliconflow:{code}" if len(code) == 5 else f"zhipu:{code}"]


def _message(text: str) -> str:
    """The words of a message, without what it quotes."""
    own = _REPEATED.split(text[:_LONGEST_MESSAGE], maxsplit=1)[0]
    return _QUOTED.sub(" ", own).lower()


_FINE = ("", "0", "200", "success", "ok", "none")


def _is_error(tree: Any) -> bool:
    """Whether a body with status 200 holds an error."""
    if not isinstance(tree, dict):
        return False
    base = tree.get("base_resp")
    if isinstance(base, dict) and str(base.get("status_code") or 0) != "0":
        return True
    if tree.get("error") or tree.get("object") == "error":
        return True
    if tree.get("choices"):
        return False
    codes = (tree.get("code"), tree.get("error_code"))
    return any(isinstance(c, (str, int)) and str(c).lower() not in _FINE for c in codes)
