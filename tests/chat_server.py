"""A small OpenAI-compatible chat server on the loopback that answers by a script, for the real client.

It shares its HTTP side and its answer format with the fault server, which answers by rule in a separate process. This
one runs in a thread of the test, which can read its requests and change its script at any time.

The script maps a text that the question must contain (usually the passage) to a reply, or to several replies
that are sent one after the other, the last one repeatedly. The longest matching text wins; a question without
a match gets ``default``. Every chat request is kept in ``requests``.

    script = {"王明在上海。": answer('[{"王明": "人名"}]'), "李红": [server_error(), answer("[]")]}
    with ChatServer(script) as server:
        subprocess.run(["sinoner", "annotate", …, "--base-url", server.url], env={**os.environ, **server.env()})
    assert len(server.requests) == 3
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import fault_answers
from aiohttp import web
from fault_answers import KEY as KEY
from fault_answers import completion
from fault_server import client_environment, opened


@dataclass(frozen=True)
class Reply:
    """One answer: status, body (``{key}`` in it is replaced by the key that the client sent), headers and delays."""

    body: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0  # seconds before the answer
    drip: float = 0.0  # seconds between the bytes of the answer; it never ends


@dataclass(frozen=True)
class Asked:
    """One chat request as it was received."""

    body: dict[str, Any]
    headers: Mapping[str, str]
    at: float  # time.monotonic()

    @property
    def question(self) -> str:
        """The last message of the request."""
        return self.body["messages"][-1]["content"]


Script = Mapping[str, Reply | Sequence[Reply]]


def answer(
    content: str | None, finish: str = "stop", *, wait: float = 0.0, usage: tuple[int, int] = (11, 7)
) -> Reply:
    """A chat completion. ``usage``: prompt and completion tokens."""
    tree = completion(content, finish, usage)
    return Reply(json.dumps(tree, ensure_ascii=False), wait=wait)


def cut_off(content: str = '[{"王明": "人') -> Reply:
    """An answer that ran into the token limit."""
    return answer(content, "length")


def filtered(content: str = "") -> Reply:
    """An answer withheld by the provider's content filter, with status 200."""
    return answer(content, "content_filter")


def error(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """An error response in the usual JSON format; header names are written with ``_`` for ``-``."""
    body = fault_answers.error(status, message, code).body.decode()
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def wrong_key(*, echo: bool = False) -> Reply:
    """401; with ``echo`` the message repeats the key that was sent, as some gateways do."""
    return error(401, "Incorrect API key provided: {key}" if echo else "Incorrect API key provided")


def no_balance(status: int = 402) -> Reply:
    """The account is empty, with a Chinese message, by default with status 402."""
    return error(status, "账户余额不足，请充值后重试")


def unknown_model() -> Reply:
    """404: there is no such model."""
    return error(404, "The model `m` does not exist", "model_not_found")


def rate_limited(after: str = "0.1") -> Reply:
    """429 with ``Retry-After`` seconds."""
    return error(429, "Too many requests", Retry_After=after)


def server_error(status: int = 500) -> Reply:
    """A temporary failure of the server."""
    return error(status, "Internal error")


def too_long() -> Reply:
    """400: the question does not fit the context window."""
    return error(400, "This model's maximum context length is 10 tokens", "context_length_exceeded")


def sensitive() -> Reply:
    """400: refused by a Chinese content filter."""
    return error(400, "输入文本可能包含敏感信息")


def not_json() -> Reply:
    """200, but the body is the HTML page of a gateway."""
    return Reply("<html>gateway</html>", headers={"Content-Type": "text/html"})


def hang(seconds: float = 60.0) -> Reply:
    """Sends nothing for that long, unless the server ends earlier."""
    return replace(answer("[]"), wait=seconds)


def dripping(seconds: float = 0.1) -> Reply:
    """Sends one byte every ``seconds`` seconds and never ends."""
    return replace(answer("[]"), drip=seconds)


class ChatServer:
    """Runs in a thread between ``__enter__`` and ``__exit__``.

    Attributes:
        url: base URL for the client.
        requests: the chat requests so far, in order of arrival.
        peak: the maximum number of requests in flight.
    """

    url: str

    def __init__(self, script: Script | None = None, *, default: Reply | None = None) -> None:
        self.script = {text: (r,) if isinstance(r, Reply) else tuple(r) for text, r in (script or {}).items()}
        self.default = default or answer("[]")
        self.requests: list[Asked] = []
        self.peak = 0
        self._running = 0
        self._turns: Counter[str] = Counter()
        self._started = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=[self._serve()], daemon=True)

    def __enter__(self) -> ChatServer:
        self._thread.start()
        assert self._started.wait(10), "the stand-in did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    def env(self) -> dict[str, str]:
        """The environment a client needs: a key, and no proxy."""
        return client_environment()

    def asked(self, text: str) -> int:
        """The number of requests with this text in their question."""
        return sum(text in request.question for request in list(self.requests))

    async def _serve(self) -> None:
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        runner, self.url = await opened(app)
        self._started.set()
        await self._ended.wait()
        await runner.cleanup()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        reply = self._begin(Asked(await request.json(), headers, time.monotonic()))
        try:
            await asyncio.sleep(reply.wait)
            return await self._send(request, reply)
        finally:
            self._running -= 1

    def _begin(self, request: Asked) -> Reply:
        """Record a request and choose its reply."""
        self.requests.append(request)
        self._running += 1
        self.peak = max(self.peak, self._running)
        script = dict(self.script)
        text = max((t for t in script if t in request.question), key=len, default=None)
        if text is None:
            return self.default
        turn = min(self._turns[text], len(script[text]) - 1)
        self._turns[text] += 1
        return script[text][turn]

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return await self._send(request, error(404, f"no such path: {request.path}"))

    async def _send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        headers = {"Content-Type": "application/json", **reply.headers}
        if not reply.drip:
            body = reply.body.replace("{key}", key).encode()
            return web.Response(status=reply.status, headers=headers, body=body)
        response = web.StreamResponse(status=reply.status, headers=headers)
        response.content_length = 10**9
        await response.prepare(request)
        while True:
            await asyncio.sleep(reply.drip)
            await response.write(b" ")
