"""What is sent to an endpoint and what comes back, as values: requests with their identity, and read answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from sinoner.llm.failures import CallError, Kind, error_in_body
from sinoner.records import Message
from sinoner.settings import LlmSettings

# Part of every key: a change of the way keys are made must not find answers made under another way.
KEY_VERSION = 2
CHAT = "/chat/completions"
# What a request is for: the entities of a passage, a verdict on entities, vectors of texts, the answer format of a model.
RequestKind = Literal["annotate", "verify", "embed", "probe"]


class Request(NamedTuple):
    """One question to an endpoint: a chat completion, or what else lies under its address.

    Attributes:
        key: SHA-256 of body, endpoint identity and key version, as hex; the identity of the request.
        payload: the body as canonical JSON (sorted keys, no spaces): what is hashed is what is sent.
        model: the model of the settings that shall answer.
        passage: id of the passage that it asks to annotate; empty for any other question.
        kind: what it is for; kept in the ledger, no part of the key.
        pin: the one endpoint that may answer it; None for any.
        max_tokens: tokens the answer may have.
        path: where it is sent, below the endpoint's address.
        read: how its answer is read; raises ``CallError`` for any other response. None for a chat completion.
    """

    key: str
    payload: str
    model: str
    passage: str
    kind: RequestKind
    pin: str | None
    max_tokens: int
    path: str = CHAT
    read: Callable[[str], Reply] | None = None

    def reply(self, raw: str) -> Reply:
        """Read an answer to it.

        Raises:
            CallError: the response is not a chat completion.
        """
        return (self.read or read_reply)(raw)

    @property
    def bound(self) -> tuple[int, int]:
        """The most prompt and completion tokens this can cost: no tokenizer makes more tokens than UTF-8 bytes."""
        return len(self.payload.encode()) + 64, self.max_tokens


class Heard(NamedTuple):
    """What the ledger knows about a request: the accepted answer, or the failure that ended it."""

    raw: str
    failed: Kind | None = None
    detail: str = ""


class Reply(NamedTuple):
    """An answer as it came: the raw body, and what is read from it."""

    raw: str
    content: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


def request_body(
    model: str,
    messages: Sequence[Message],
    settings: LlmSettings,
    response_format: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The body of a chat completion request; ``llm.extra`` wins, and its nulls take fields away."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in messages],
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
    }
    if response_format is not None:
        body["response_format"] = response_format
    body.update(settings.extra)
    return {name: value for name, value in body.items() if value is not None}


def make_request(
    body: Mapping[str, Any],
    identity: str,
    passage: str = "",
    *,
    kind: RequestKind = "annotate",
    sample: int = 0,
    pin: str | None = None,
) -> Request:
    """A chat completion with its key; for anything else ``path`` and ``read`` are replaced.

    Args:
        body: the final body.
        identity: the endpoint's name, or its address without credentials.
        passage: id of the passage.
        kind: what it is for.
        sample: which of several answers to the same question; it is part of the key, not of the body.
        pin: the only endpoint that may answer.
    """
    written = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    payload = written.encode("utf-8", "replace").decode()  # half a character can be neither sent nor kept
    head = f"{KEY_VERSION}\n{identity}\n{sample}\n"
    key = hashlib.sha256((head + payload).encode("utf-8", "replace")).hexdigest()
    tokens = max(int(body.get(name) or 0) for name in ("max_completion_tokens", "max_tokens"))
    return Request(key, payload, str(body["model"]), passage, kind, pin, tokens)


@lru_cache(maxsize=32)  # an answer is read once for what it cost and, right after, for what it says
def read_reply(raw: str) -> Reply:
    """Read a chat completion body.

    Raises:
        CallError: it is not one (kind ``transient``), or it is an error in spite of its status.
    """
    try:
        tree = json.loads(raw)
        if (kind := error_in_body(tree)) is not None and not tree.get("choices"):
            raise CallError(kind, message_of(raw))
        choice = tree["choices"][0]
        usage = tree.get("usage") or {}
        cached = usage.get("prompt_tokens_details") or {}
        message = choice["message"]
        refusal = message.get(
            "refusal"
        )  # OpenAI's own field for what the model will not answer under a schema
        return Reply(
            raw,
            _text(message.get("content")) or (refusal if isinstance(refusal, str) else ""),
            "refused" if refusal else str(choice.get("finish_reason") or "stop"),
            token_count(usage.get("prompt_tokens")),
            token_count(usage.get("completion_tokens")),
            token_count(
                (cached.get("cached_tokens") if isinstance(cached, dict) else 0)
                or usage.get("prompt_cache_hit_tokens")
            ),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError):
        raise CallError("transient", f"the answer is not a chat completion: {raw[:80]!r}") from None


def token_count(tokens: Any) -> int:
    """A number of tokens that can be added up and kept, whatever the endpoint says."""
    return min(max(int(tokens or 0), 0), 10**9)


def _text(content: Any) -> str:
    """The content of a message: a text, nothing, or a list of text parts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] for part in content)


def message_of(body: str) -> str:
    """The human message of an error body, on one short line without control characters."""
    try:
        tree = json.loads(body)
        inner = tree.get("error", tree)
        text = inner if isinstance(inner, str) else inner.get("message", body)
    except (ValueError, AttributeError, RecursionError):
        text = body
    return "".join(c for c in " ".join(str(text).split()) if c.isprintable())[:200]
