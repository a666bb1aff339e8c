"""Asking an OpenAI-compatible endpoint, with retries by kind of error."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from sinoner.errors import EndpointError
from sinoner.llm.errors import RETRY, CallError, classify
from sinoner.records import Message
from sinoner.settings import LlmSettings


class Reply(NamedTuple):
    """An answer as it came: the raw body, and what is read from it."""

    raw: str
    content: str
    finish: str
    prompt_tokens: int
    completion_tokens: int


def request_body(messages: Sequence[Message], settings: LlmSettings) -> dict[str, Any]:
    """The final body of a chat completion request."""
    return {
        "model": settings.model,
        "messages": [{"role": m.role, "content": m.content} for m in messages],
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
    }


def read_reply(raw: str) -> Reply:
    """Read a chat completion body.

    Raises:
        CallError: it is not one (kind ``transient``).
    """
    try:
        tree = json.loads(raw)
        choice = tree["choices"][0]
        usage = tree.get("usage") or {}
        return Reply(
            raw,
            _text(choice["message"].get("content")),
            str(choice.get("finish_reason") or "stop"),
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or 0),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError):
        raise CallError("transient", f"the answer is not a chat completion: {raw[:80]!r}") from None


def _text(content: Any) -> str:
    """The content of a message: a text, nothing, or a list of text parts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] for part in content)


class Client:
    """One endpoint. Use as an async context manager.

    Raises:
        EndpointError: the model or the key is missing.
    """

    def __init__(self, settings: LlmSettings, environ: Mapping[str, str] = os.environ) -> None:
        if not settings.model:
            raise EndpointError(
                "llm.model is not set: give --model NAME (and --base-url URL for your own server),"
                " or label without a model: --by jieba or lac"
            )
        key = environ.get(settings.api_key_env, "").strip()
        if not key:
            raise EndpointError(
                f"no API key: set the environment variable {settings.api_key_env}"
                " (any text will do for a server of your own), or name another one with llm.api_key_env"
            )
        if not (key.isascii() and key.isprintable()):
            raise EndpointError(
                f"the API key in {settings.api_key_env} has characters that no key has; set it again"
            )
        from openai import AsyncOpenAI

        self._settings = settings
        self._key = key
        try:
            self._openai = AsyncOpenAI(
                api_key=key, base_url=settings.base_url or None, timeout=settings.timeout, max_retries=0
            )
            self.endpoint = _public(str(self._openai.base_url))
        except (ValueError, _invalid_url()) as error:
            raise EndpointError(
                f"--base-url is not an address ({error}); write http://HOST:PORT/v1"
            ) from None

    async def ask(self, body: Mapping[str, Any]) -> Reply:
        """Send one request, again while that is worth it.

        Raises:
            CallError: no attempt succeeded; the kind is the last one's.
        """
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._settings.max_attempts),
            wait=_wait,
            retry=retry_if_exception(lambda e: isinstance(e, CallError) and e.kind in RETRY),
            reraise=True,
        )
        return await retrying(self._once, body)

    async def _once(self, body: Mapping[str, Any]) -> Reply:
        import openai

        try:
            async with asyncio.timeout(self._settings.timeout):
                response = await self._openai.chat.completions.with_raw_response.create(**body)
        except (openai.APITimeoutError, TimeoutError):
            raise CallError("timeout", f"no answer within {self._settings.timeout:g} s") from None
        except openai.APIConnectionError as error:
            raise CallError("unreachable", self._without_key(str(error.__cause__ or error))) from None
        except openai.APIStatusError as error:
            text = error.response.text
            wait = _seconds(error.response.headers.get("retry-after", ""))
            raise CallError(
                classify(error.status_code, text), _message(self._without_key(text)), wait
            ) from None
        return read_reply(self._without_key(response.text))

    def _without_key(self, text: str) -> str:
        """Some gateways repeat the key they were sent; it must not reach an error or a file."""
        return text.replace(self._key, "***") if len(self._key) >= 8 else text

    async def close(self) -> None:
        """Close the connections."""
        await self._openai.close()


# Seconds a server may make a passage wait; who asks for more is asked again sooner.
_LONGEST_WAIT = 300.0


def _seconds(header: str) -> float | None:
    """A Retry-After header in seconds, when it is a plain number of them."""
    return float(header) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", header) else None


def _public(url: str) -> str:
    """An address without user and password.

    Raises:
        ValueError: it is none, or its port cannot be.
    """
    parts = urlsplit(url)
    _ = parts.port
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _invalid_url() -> type[Exception]:
    from httpx2 import InvalidURL

    return InvalidURL


def _wait(state: Any) -> float:
    """Seconds before the next attempt: what the server asked for, else exponential with jitter."""
    from tenacity import wait_random_exponential

    error = state.outcome.exception()
    back_off = float(wait_random_exponential(multiplier=0.5, max=30)(state))
    asked = error.retry_after if isinstance(error, CallError) else None
    return max(back_off, min(asked, _LONGEST_WAIT)) if asked is not None else back_off


def _message(body: str) -> str:
    """The human message of an error body, short."""
    try:
        tree = json.loads(body)
        inner = tree.get("error", tree)
        text = inner if isinstance(inner, str) else inner.get("message", body)
    except (ValueError, AttributeError):
        text = body
    return " ".join(str(text).split())[:200]
