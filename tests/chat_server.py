"""A small OpenAI-compatible chat server on the loopback that answers as its script says, for the real client.

The script maps a text that the question must contain (usually the passage) to a reply, or to several replies
that are given one after the other, the last one for ever. The longest text that fits wins; a question that fits
none gets ``default``. Every chat request is kept in ``requests``.

    script = {"王明在上海。": answer('[{"王明": "人名"}]'), "李红": [server_error(), answer("[]")]}
    with ChatServer(script) as server:
        subprocess.run(["sinoner", "annotate", …, "--base-url", server.url], env={**os.environ, **server.env()})
    assert len(server.requests) == 3
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-stand-in-0123456789"


@dataclass(frozen=True)
class Reply:
    """One answer: status, body (``{key}`` in it becomes the key the client sent), headers, and how slowly."""

    body: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0  # seconds before the answer
    drip: float = 0.0  # seconds between the bytes of the answer; it never ends


@dataclass(frozen=True)
class Asked:
    """One chat request as it came in."""

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
    tree = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
        ],
        "usage": {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        },
    }
    return Reply(json.dumps(tree, ensure_ascii=False), wait=wait)


def cut_off(content: str = '[{"王明": "人') -> Reply:
    """An answer that ran into the token limit."""
    return answer(content, "length")


def filtered(content: str = "") -> Reply:
    """An answer withheld by the provider's content filter, with status 200."""
    return answer(content, "content_filter")


def error(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """An error answer in the usual JSON shape; header names are written with ``_`` for ``-``."""
    body = json.dumps({"error": {"message": message, "code": code, "type": code}}, ensure_ascii=False)
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def wrong_key(*, echo: bool = False) -> Reply:
    """401; with ``echo`` the message repeats the key that was sent, as some gateways do."""
    return error(401, "Incorrect API key provided: {key}" if echo else "Incorrect API key provided")


def no_balance(status: int = 402) -> Reply:
    """The account is empty, said in Chinese, by default with status 402."""
    return error(status, "账户余额不足，请充值后重试")


def unknown_model() -> Reply:
    """404: there is no such model."""
    return error(404, "The model `m` does not exist", "model_not_found")


def rate_limited(after: str = "0.1") -> Reply:
    """429 with ``Retry-After`` seconds."""
    return error(429, "Too many requests", Retry_After=after)


def server_error(status: int = 500) -> Reply:
    """A passing trouble of the server."""
    return error(status, "Internal error")


def too_long() -> Reply:
    """400: the question does not fit the context window."""
    return error(400, "This model's maximum context length is 10 tokens", "context_length_exceeded")


def sensitive() -> Reply:
    """400: refused by a Chinese content filter."""
    return error(400, "输入文本可能包含敏感信息")


def not_json() -> Reply:
    """200, but the body is a page of some gateway."""
    return Reply("<html>gateway</html>", headers={"Content-Type": "text/html"})


def hang(seconds: float = 60.0) -> Reply:
    """Says nothing for that long; the server's end cuts it short."""
    return replace(answer("[]"), wait=seconds)


def dripping(seconds: float = 0.1) -> Reply:
    """Sends one byte every so many seconds and never comes to an end."""
    return replace(answer("[]"), drip=seconds)


class ChatServer:
    """Runs in threads between ``__enter__`` and ``__exit__``.

    Attributes:
        url: base URL for the client.
        requests: the chat requests so far, in the order they came.
        peak: the most requests that were in flight at once.
    """

    def __init__(self, script: Script | None = None, *, default: Reply | None = None) -> None:
        self.script = {text: (r,) if isinstance(r, Reply) else tuple(r) for text, r in (script or {}).items()}
        self.default = default or answer("[]")
        self.requests: list[Asked] = []
        self.peak = 0
        self._running = 0
        self._turns: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.chat = self
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> ChatServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def env(self) -> dict[str, str]:
        """The environment a client needs: some key, and no proxy on the way."""
        return {"OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

    def asked(self, text: str) -> int:
        """How many requests had this text in their question."""
        return sum(text in request.question for request in list(self.requests))

    def begin(self, body: dict[str, Any], headers: Mapping[str, str]) -> Reply:
        """Note a request and choose its reply."""
        request = Asked(body, headers, time.monotonic())
        with self._lock:
            self.requests.append(request)
            self._running += 1
            self.peak = max(self.peak, self._running)
            text = max((t for t in self.script if t in request.question), key=len, default=None)
            if text is None:
                return self.default
            turn = min(self._turns[text], len(self.script[text]) - 1)
            self._turns[text] += 1
            return self.script[text][turn]

    def end(self) -> None:
        """A request has got its answer."""
        with self._lock:
            self._running -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    chat: ChatServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        chat = self.server.chat
        data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path != "/v1/chat/completions":
            self._send(error(404, f"no such path: {self.path}"))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = chat.begin(json.loads(data), headers)
        try:
            if reply.wait and chat.stopping.wait(reply.wait):
                self.close_connection = True
                return
            self._send(reply)
        finally:
            chat.end()

    def do_GET(self) -> None:
        known = self.path == "/v1/models"
        body = json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]})
        self._send(Reply(body) if known else error(404, f"no such path: {self.path}"))

    def _send(self, reply: Reply) -> None:
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        data = reply.body.replace("{key}", key).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(10**9 if reply.drip else len(data)))
        self.end_headers()
        if not reply.drip:
            self.wfile.write(data)
            return
        self.close_connection = True
        while not self.server.chat.stopping.wait(reply.drip):
            self.wfile.write(b" ")

    def log_message(self, format: str, *args: object) -> None:
        """Tests keep their output clean."""
