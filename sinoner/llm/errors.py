"""What went wrong at an endpoint, as a kind that says what to do about it."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "rate_limit", "transient", "timeout", "unreachable",  # worth another attempt
    "quota", "auth", "model_not_found",  # the run stops
    "context_length", "content_filter", "bad_request",  # this passage is a reject
]  # fmt: skip
RETRY: frozenset[Kind] = frozenset(("rate_limit", "transient", "timeout", "unreachable"))
STOP: frozenset[Kind] = frozenset(("quota", "auth", "model_not_found", "unreachable"))

# Words in the body of an error answer, in the order they are tried.
_WORDS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("quota", ("insufficient_quota", "insufficient balance", "余额不足", "欠费", "arrearage")),
    ("content_filter", ("content_filter", "data_inspection_failed", "content policy", "内容安全", "敏感")),
    (
        "context_length",
        (
            "context_length_exceeded",
            "maximum context length",
            "context size",
            "exceeds the available context",
        ),
    ),
    ("rate_limit", ("并发", "频率", "rate limit")),
    ("model_not_found", ("model_not_found", "model not found", "模型不存在")),
)


class CallError(Exception):
    """One attempt failed.

    Attributes:
        kind: what to do about it.
        retry_after: seconds the server asked to wait, if it did.
    """

    def __init__(self, kind: Kind, detail: str, retry_after: float | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind: Kind = kind
        self.detail = detail
        self.retry_after = retry_after


def classify(status: int | None, body: str) -> Kind:
    """The kind of an HTTP error answer, from its status and body."""
    lowered = body.lower()
    for kind, words in _WORDS:
        if status is not None and status < 500 and any(word in lowered for word in words):
            return kind
    if status in (401, 403):
        return "auth"
    if status == 402:
        return "quota"
    if status == 404:
        return "model_not_found"
    if status == 408:
        return "timeout"
    if status == 429:
        return "rate_limit"
    if status is None or status >= 500:
        return "transient"
    return "bad_request"
