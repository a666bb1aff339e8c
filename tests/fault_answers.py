"""The answers of the fault server: its options, the content of correct answers, and every fault as a reply."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import statistics
import struct
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

KEY = "sk-stand-in-0123456789"
MARKER = re.compile("文本：|Passage: ")
MARK = re.compile(r"⟦(\w+)(?:\*(\d+))?⟧")
MENTION = re.compile(r"王明|上海|第\d+街|Marie Curie|Warsaw")
TYPES = {"王明": "人名", "上海": "地点", "Marie Curie": "person", "Warsaw": "city"}
NORMAL = statistics.NormalDist()
# In a question to the judge, numbered lines follow the passage: mention and type, in quotes.
ENTITIES = re.compile("\n(?:实体：|Entities:)\n")
ENTITY = re.compile(r'^(\d+)\. ("(?:[^"\\]|\\.)*") → ("(?:[^"\\]|\\.)*")$', re.MULTILINE)
WRONG_TYPES = ("街道",)  # types that the judge rejects, and those it replaces
BETTER_TYPES = {"地点": "城市", "地名": "城市"}


@dataclass(frozen=True)
class Options:
    """The options of the server; all but ``life`` can be changed while it runs."""

    seed: int = 0
    life: float = 1800.0  # seconds until the process ends
    models: tuple[str, ...] = ("m",)
    median: float = 0.0  # median latency in seconds, lognormal
    sigma: float = 0.5
    cap: int = 0  # maximum requests in flight; 0: no limit
    rpm: int = 0  # maximum requests in ``minute`` seconds; 0: no limit
    tpm: int = 0
    minute: float = 60.0
    retry_after: str = "1"  # with every rate limit; "": no such header
    faults: Mapping[str, float] = field(default_factory=dict)  # name -> probability
    fault_attempts: int = 1  # number of first attempts with random faults; 0: any attempt
    length_limit: int = 1024
    formats: tuple[str, ...] = ("json_schema", "json_object", "text")
    ignore_formats: bool = False
    dead: bool = False  # connections of /v1 are reset
    down_until: float = 0.0  # the same until this time.time()
    record: bool = False
    batch_delay: float = 0.2  # seconds until a batch is complete
    batch_fraction: float = 1.0  # share of the lines completed before the batch expires
    batch_bad: int = -1  # number of first batches that expire; -1: all
    batch_max_requests: int = 0
    batch_no_metadata: bool = False
    batch_duplicate: bool = False  # every third line is returned twice
    drop_after_create: bool = False  # once: the batch is created, but the response is lost
    drop_after_upload: bool = False
    no_usage: bool = False  # answers have no usage
    embeds_floats: bool = False  # encoding_format is ignored: vectors are lists of numbers
    embeds_most: int = 0  # maximum texts in a request for vectors; 0: no limit

    def __post_init__(self) -> None:
        if unknown := set(self.faults) - FAULTS - VECTOR_FAULTS:
            raise ValueError(f"unknown faults: {sorted(unknown)}")


@dataclass(frozen=True)
class Reply:
    """One answer before it is sent. ``usage``: prompt and completion tokens."""

    status: int
    body: bytes
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    usage: tuple[int, int] | None = None
    healthy: bool = False


def error(status: int, message: str, code: str | None = None, kind: str | None = None, **more: Any) -> Reply:
    """An error response in the format of OpenAI."""
    return Reply(status, _json({"error": {"message": message, "type": kind or code, "code": code, **more}}))


def completion(
    content: str | None,
    finish: str,
    usage: tuple[int, int],
    model: str = "m",
    number: int = 1,
    created: int = 1,
) -> dict[str, Any]:
    """A chat completion in the format of OpenAI. ``usage``: prompt and completion tokens."""
    message = {"role": "assistant", "content": content}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)},
    }


def _json(tree: object) -> bytes:
    return json.dumps(tree, ensure_ascii=False).encode()


PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr>nginx</body></html>"
ERRORS: dict[str, tuple[Reply, ...]] = {  # one of several is chosen by the passage
    "http_500": (error(500, "The server had an error while processing your request.", None, "server_error"),),
    "http_502": (Reply(502, PAGE.format("502 Bad Gateway").encode(), "text/html"),),
    "http_504": (Reply(504, PAGE.format("504 Gateway Time-out").encode(), "text/html"),),
    "http_503": (error(503, "The engine is currently overloaded.", "overloaded", "server_error"),),
    "rate_limit": (error(429, "Rate limit reached for requests", "rate_limit_exceeded", "requests"),),
    "rate_limit_zh": (
        error(429, "您当前使用该API的并发数过高，请降低并发，或联系客服增加限额。", "1302"),
        error(400, "您当前使用该API的并发数过高，请降低并发，或联系客服增加限额。", "1302"),
    ),
    "wrong_type": (Reply(200, PAGE.format("Sign in to the network").encode(), "text/html"),),
    "content_filter_en": (
        error(
            400,
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            "content_filter",
            param="prompt",
            innererror={"code": "ResponsibleAIPolicyViolation"},
        ),
    ),
    "content_filter_zh": (error(400, "输入数据可能包含不当内容。", "data_inspection_failed"),),
    "quota_en": (error(429, "You exceeded your current quota.", "insufficient_quota"),),
    "quota_zh": (
        error(402, "账户余额不足，请充值后重试。"),
        error(403, "账户余额不足，请充值后重试。", "1113"),
    ),
    "auth": (error(401, "Incorrect API key provided: {key}.", "invalid_api_key", "invalid_request_error"),),
    "context_length": (
        error(400, "This model's maximum context length is 4096 tokens.", "context_length_exceeded"),
    ),
}
CONTENTS = {  # fault -> content and finish_reason
    "content_filter_finish": ("", "content_filter"),
    "unparsed": ("好的，我来看看这段文本。", "stop"),
    "refused": ("很抱歉，我不能协助处理这个请求。", "stop"),
    "whitespace": ("\n" * 2000, "length"),
    "empty": ("", "stop"),
}
BROKEN = {"reset_midway", "drip", "truncated_json"}  # a correct answer that arrives incomplete
LINE_FAULTS = {*BROKEN, "hang", "reset", "wrong_type", "slow"}  # connection faults, so not in batches
FAULTS = {*ERRORS, *CONTENTS, *LINE_FAULTS, "length", "think", "fenced", "echo_key"}
# For requests for vectors only; ``vectors_shuffled`` and ``vectors_unnumbered`` can still be read.
VECTOR_FAULTS = {
    "vectors_missing", "vectors_twice", "vectors_nan", "vectors_zero", "vectors_ragged", "vectors_longer",
    "vectors_shuffled", "vectors_unnumbered",
}  # fmt: skip
AT_ONCE = {"rate_limit", "rate_limit_zh", "quota_en", "quota_zh", "auth", "hang"}  # sent without latency


def answer_for(passage: str) -> list[tuple[str, str]]:
    """The correct answer for a passage: mentions and types in the order of the text, each once."""
    return [(m, TYPES.get(m, "街道")) for m in dict.fromkeys(MENTION.findall(passage))]


def verdicts_for(lines: str) -> list[dict[str, object]]:
    """The judge's verdicts on numbered entities: correct, unless their type is in one of the two lists."""
    verdicts: list[dict[str, object]] = []
    for number, _, quoted in ENTITY.findall(lines):
        kind = json.loads(quoted)
        better = BETTER_TYPES.get(kind, "")
        word = "no" if kind in WRONG_TYPES else "retype" if better else "yes"
        verdicts.append({"n": int(number), "verdict": word, "type": better})
    return verdicts


@lru_cache(100_000)
def content_for(passage: str, form: str) -> str:
    """``answer_for`` in the response format; for a question to the judge, ``verdicts_for``."""
    if len(asked := ENTITIES.split(passage)) > 1:
        return json.dumps({"verdicts": verdicts_for(asked[-1])}, ensure_ascii=False)
    pairs = answer_for(passage)
    if form == "text":
        return json.dumps([{mention: kind} for mention, kind in pairs], ensure_ascii=False)
    return json.dumps({"entities": [{"mention": m, "type": t} for m, t in pairs]}, ensure_ascii=False)


@dataclass(frozen=True)
class Asked:
    """The contents of a request that the server uses."""

    passage: str
    again: bool  # the client repeats the question with an earlier answer
    characters: int
    limit: float  # max_tokens
    form: str
    model: str
    texts: tuple[str, ...] = ()  # for a request for vectors

    @classmethod
    def for_vectors(cls, body: dict[str, Any]) -> Asked:
        """Read the body of a request for vectors; the joined texts are its passage."""
        texts = tuple(body["input"])
        joined = "\n".join(texts)
        return cls(
            joined, False, len(joined), math.inf, body.get("encoding_format", "float"), body["model"], texts
        )

    @classmethod
    def of(cls, body: dict[str, Any]) -> Asked:
        """Read the body of a request; the passage follows the first marker of the last user message with one."""
        messages = [(m["role"], m.get("content") or "") for m in body["messages"]]
        users = [i for i, (role, _) in enumerate(messages) if role == "user"]
        at = next((i for i in reversed(users) if MARKER.search(messages[i][1])), users[-1])
        return cls(
            MARKER.split(messages[at][1], maxsplit=1)[-1],
            any(role == "assistant" for role, _ in messages[at + 1 :]),
            sum(len(content) for _, content in messages),
            body.get("max_tokens") or body.get("max_completion_tokens") or math.inf,
            (body.get("response_format") or {}).get("type", "text"),
            body.get("model", "m"),
        )


def vector_for(text: str) -> list[float]:
    """The correct vector for a text: eight numbers between -1 and 1 that are exact in float32."""
    return [(byte - 127.5) / 128 for byte in hashlib.blake2b(text.encode(), digest_size=8).digest()]


def vectors_for(texts: tuple[str, ...], form: str, fault: str | None) -> list[dict[str, Any]]:
    """The items of a response with vectors."""
    vectors = [vector_for(text) for text in texts]
    places: list[int | None] = list(range(len(texts)))
    if fault == "vectors_nan":
        vectors[-1][0] = math.nan
    elif fault == "vectors_zero":
        vectors[-1] = [0.0] * 8
    elif fault == "vectors_ragged":
        vectors[-1].append(0.5)
    elif fault == "vectors_longer":
        vectors = [[*vector, 0.5] for vector in vectors]
    elif fault == "vectors_twice":
        places[-1] = 0 if len(texts) > 1 else 1
    elif fault == "vectors_unnumbered":
        places = [None] * len(texts)
    items = [
        {
            "object": "embedding",
            "index": place,
            "embedding": base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() if form == "base64" else v,
        }
        for place, v in zip(places, vectors, strict=True)
    ]
    if fault == "vectors_missing":
        items.pop()
    return items[::-1] if fault == "vectors_shuffled" else items


def clock(seconds: float) -> str:
    """A time in the format of OpenAI: 20ms, 7.25s, 1m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 1000), 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"


class Window:
    """The amount received within a sliding window of seconds."""

    def __init__(self) -> None:
        self.entries: deque[tuple[float, int]] = deque()
        self.total = 0

    def add(self, amount: int) -> None:
        self.entries.append((time.monotonic(), amount))
        self.total += amount

    def full(self, limit: int, amount: int, minute: float) -> bool:
        while self.entries and self.entries[0][0] <= time.monotonic() - minute:
            self.total -= self.entries.popleft()[1]
        return bool(limit and self.entries and self.total + amount > limit)

    def headers(self, name: str, limit: int, minute: float) -> dict[str, str]:
        left = self.entries[-1][0] + minute - time.monotonic() if self.entries else 0.0
        values = {"limit": limit, "remaining": max(0, limit - self.total), "reset": clock(left)}
        return {f"x-ratelimit-{key}-{name}": str(value) for key, value in values.items()}
