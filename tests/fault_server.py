"""An OpenAI-compatible server on the loopback, in a process of its own, that produces any fault on request.

Each passage gets the answer of ``answer_for``. Which attempts at a passage fail, how, and the latency of each answer
depend on the seed, the passage and the number of earlier attempts at it; attempts refused because of a limit
(``cap``, ``rpm``, ``tpm``) do not count. A passage may name its own fault: ``⟦hang⟧`` always,
``⟦http_500*2⟧`` for the first two attempts; several marks take effect one after the other.

    with FaultServer(median=0.2, faults={"http_500": 0.05}) as server:
        subprocess.run(["sinoner", "annotate", …, "--base-url", server.url], env={**os.environ, **server.env()})
        assert server.stats()["repeated"] == 0

From a shell: ``python tests/fault_server.py --port 8000 '{"cap": 16}'``; it ends when its stdin is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import hashlib
import http.client
import json
import math
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web
from fault_answers import (
    AT_ONCE,
    BROKEN,
    CONTENTS,
    ERRORS,
    FAULTS,
    KEY,
    LINE_FAULTS,
    MARK,
    NORMAL,
    VECTOR_FAULTS,
    Asked,
    Options,
    Reply,
    Window,
    _json,
    completion,
    content_for,
    error,
    vectors_for,
)
from fault_batches import Batches


class Server:
    """The state of the server and its handlers."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.requests: dict[int, web.Request] = {}  # in flight, by identity
        self.batches = Batches(self)
        self.asked, self.abort = Asked.of, abort  # for the batches
        self.clear()

    def clear(self) -> None:
        """Clear the recorded events; the options are kept."""
        self.counts: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()
        self.by_fault: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.embedded: Counter[str] = Counter()
        self.auth: dict[str, None] = {}
        self.recorded: list[Any] = []
        self.windows = {"requests": Window(), "tokens": Window()}
        self.peak, self.first, self.last = len(self.requests), 0.0, 0.0
        self.batches.clear()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**30, middlewares=[self.gate])
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/v1/embeddings", self.embed)
        app.router.add_get("/v1/models", self.list_models)
        app.router.add_get("/stats", self.show_stats)
        app.router.add_get("/requests", self.show_requests)
        app.router.add_post("/configure", self.configure)
        app.router.add_post("/reset", self.reset)
        self.batches.add_routes(app.router)
        return app

    @property
    def down(self) -> bool:
        return self.options.dead or time.time() < self.options.down_until

    @web.middleware
    async def gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Reset connections to /v1 while the server is down; count the chat requests in flight."""
        if not request.path.startswith("/v1"):
            return await handler(request)
        self.auth[request.headers.get("Authorization", "")] = None
        if request.path not in ("/v1/chat/completions", "/v1/embeddings"):
            return abort(request) if self.down else await handler(request)
        self.counts["calls"] += 1
        self.last = time.time()
        self.first = self.first or self.last
        self.requests[id(request)] = request
        try:
            if self.down:
                self.by_fault["dead"] += 1
                return abort(request)
            return await handler(request)
        except asyncio.CancelledError:
            self.counts["abandoned"] += 1
            raise
        finally:
            self.requests.pop(id(request), None)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer a passage."""
        return await self.answer(request, Asked.of)

    async def embed(self, request: web.Request) -> web.StreamResponse:
        """Respond with the vectors of texts."""
        return await self.answer(request, Asked.for_vectors)

    async def answer(
        self, request: web.Request, read: Callable[[dict[str, Any]], Asked]
    ) -> web.StreamResponse:
        o = self.options
        try:
            body = json.loads(await request.read())
            asked = read(body)
        except (ValueError, LookupError, TypeError, AttributeError) as trouble:
            return self.send(error(400, f"not a chat request: {trouble!r}", "invalid_request_error"))
        if o.record:
            self.recorded.append(body)
        windows, full = self.windows, 0 < o.cap < len(self.requests)
        full |= windows["requests"].full(o.rpm, 1, o.minute)
        full |= windows["tokens"].full(o.tpm, asked.characters, o.minute)
        if full:
            return self.send(self.error("rate_limit", asked.passage))
        windows["requests"].add(1)
        windows["tokens"].add(asked.characters)
        self.peak = max(self.peak, len(self.requests))
        if refused := self.refuse_form(asked):
            return self.send(refused)
        attempt, fault = self.strike(asked)
        wait = o.median * math.exp(o.sigma * NORMAL.inv_cdf(self.draw(asked.passage, attempt, "latency")))
        wait = (10 * o.median or 1.0) if fault == "slow" else wait
        if wait and fault not in AT_ONCE:
            await asyncio.sleep(wait)
        if fault == "hang":
            await asyncio.sleep(o.life)
        if fault == "reset":
            return abort(request)
        reply = self.reply(asked, fault, request.headers.get("Authorization", ""))
        if reply.usage:
            windows["tokens"].add(reply.usage[1])
        self.count(reply, asked.passage)
        if reply.healthy:
            self.embedded.update(asked.texts)
        return await self.deliver(request, reply, fault)

    def refuse_form(self, asked: Asked) -> Reply | None:
        """The error response to an unsupported response format, too many texts or an unknown model."""
        if asked.texts:
            if asked.model not in self.options.models:
                return error(404, f"The model {asked.model} does not exist.", "model_not_found")
            if 0 < self.options.embeds_most < len(asked.texts):
                return error(400, f"batch size is invalid: {len(asked.texts)}", "invalid_parameter")
            return None
        if asked.form in self.options.formats or self.options.ignore_formats:
            return None
        return error(400, f"response_format {asked.form} is not supported", "invalid_parameter")

    def line(self, body: dict[str, Any], auth: str) -> Reply:
        """Answer one request of a batch."""
        asked = Asked.of(body)
        reply = self.refuse_form(asked) or self.reply(asked, self.strike(asked, batch=True)[1], auth)
        self.counts["batch_lines"] += 1
        self.count(reply, asked.passage)
        return reply

    def strike(self, asked: Asked, *, batch: bool = False) -> tuple[int, str | None]:
        """Count an attempt at a passage; returns its number, from 0, and its fault if any."""
        o, attempt = self.options, self.attempts[asked.passage]
        known = VECTOR_FAULTS | FAULTS if asked.texts else FAULTS
        self.attempts[asked.passage] += 1
        fault, until = None, 0.0
        for name, times in MARK.findall(asked.passage):
            until += (int(times) if times else math.inf) if name in known else 0
            if fault is None and name in known and attempt < until:
                fault = name
        if fault is None and o.faults and (not o.fault_attempts or attempt < o.fault_attempts):
            drawn = self.draw(asked.passage, attempt, "fault")
            for name, chance in o.faults.items():
                drawn -= chance
                if drawn < 0:
                    fault = name
                    break
        enough = fault == "length" and 1.5 * o.length_limit < asked.limit < math.inf
        if enough or (fault == "unparsed" and asked.again) or (batch and fault in LINE_FAULTS):
            fault = None
        if fault:
            self.by_fault[fault] += 1
        return attempt, fault

    def draw(self, passage: str, attempt: int, what: str) -> float:
        """A number between 0 and 1 (exclusive) that depends only on the arguments and the seed."""
        text = f"{self.options.seed}|{attempt}|{what}|{passage}"
        return (int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest()) + 0.5) / 2**48

    def error(self, fault: str, passage: str, auth: str = "") -> Reply:
        """The error response of a fault; ``{key}`` in it is replaced by the key that was sent."""
        kinds = ERRORS[fault]
        reply = kinds[int(self.draw(passage, 0, "kind") * len(kinds))]
        headers = {"Retry-After": self.options.retry_after} if fault.startswith("rate_limit") else {}
        body = reply.body.replace(b"{key}", auth.removeprefix("Bearer ").encode())
        return dataclasses.replace(reply, body=body, headers={k: v for k, v in headers.items() if v})

    def reply(self, asked: Asked, fault: str | None, auth: str) -> Reply:
        """The answer to a request under a fault."""
        if fault in ERRORS:
            return self.error(fault, asked.passage, auth)
        if asked.texts:
            return self.vectors(asked, fault)
        form = "text" if self.options.ignore_formats else asked.form
        content, finish = CONTENTS.get(fault or "", (content_for(asked.passage, form), "stop"))
        healthy = fault not in CONTENTS and fault not in BROKEN
        if fault == "think":
            content = f"<think>\n找出文本中的实体……\n</think>\n\n{content}"
        elif fault == "fenced":
            content = f"```json\n{content}\n```"
        elif fault == "length":
            content, finish, healthy = content[: len(content) // 2], "length", False
        if len(content) > asked.limit:
            content, finish, healthy = content[: asked.limit], "length", False
        usage = asked.characters, max(1, len(content))
        tree = completion(content, finish, usage, asked.model, self.counts["paid"], int(time.time()))
        if self.options.no_usage:
            del tree["usage"]
        if fault == "echo_key":
            tree["debug"] = {"authorization": auth}
        return Reply(200, _json(tree), usage=usage, healthy=healthy)

    def vectors(self, asked: Asked, fault: str | None) -> Reply:
        """The response to a request for vectors."""
        form = "float" if self.options.embeds_floats else asked.form
        tree = {
            "object": "list",
            "data": vectors_for(asked.texts, form, fault),
            "model": asked.model,
            "usage": {"prompt_tokens": asked.characters, "total_tokens": asked.characters},
        }
        readable = {"vectors_shuffled", "vectors_unnumbered", "vectors_longer"}
        healthy = fault not in (VECTOR_FAULTS | BROKEN) - readable
        return Reply(200, _json(tree), usage=(asked.characters, 0), healthy=healthy)

    def count(self, reply: Reply, passage: str) -> None:
        """Record a produced answer."""
        if reply.usage:
            self.counts["paid"] += 1
            self.counts["prompt_tokens"] += reply.usage[0]
            self.counts["completion_tokens"] += reply.usage[1]
        if reply.healthy:
            self.counts["ok"] += 1
            self.answered[passage] += 1

    def send(self, reply: Reply) -> web.Response:
        """A complete response with the headers of the rate limits."""
        headers = {"Content-Type": reply.kind, **reply.headers, **self.limits()}
        self.by_status[str(reply.status)] += 1
        self.last = time.time()
        return web.Response(body=reply.body, status=reply.status, headers=headers)

    def limits(self) -> dict[str, str]:
        o = self.options
        headers: dict[str, str] = {}
        for name, limit in (("requests", o.rpm), ("tokens", o.tpm)):
            if limit:
                self.windows[name].full(limit, 0, o.minute)
                headers |= self.windows[name].headers(name, limit, o.minute)
        return headers

    async def deliver(self, request: web.Request, reply: Reply, fault: str | None) -> web.StreamResponse:
        """Send a response, complete or broken by the fault."""
        if fault not in BROKEN:
            return self.send(reply)
        half = reply.body[: len(reply.body) // 2]
        if fault == "truncated_json":
            return self.send(dataclasses.replace(reply, body=half))
        self.by_status[str(reply.status)] += 1
        response = web.StreamResponse(headers={"Content-Type": reply.kind, **self.limits()})
        response.content_length = len(reply.body) + (10**6 if fault == "drip" else 0)
        await response.prepare(request)
        if fault == "reset_midway":
            await response.write(half)
            await asyncio.sleep(0.02)  # so that the written bytes are sent before the reset
            return abort(request, response)
        for at in range(10**6):
            await response.write(reply.body[at : at + 1] or b" ")
            await asyncio.sleep(0.05)
        return response

    async def list_models(self, _: web.Request) -> web.Response:
        models = [{"id": m, "object": "model", "created": 1, "owned_by": "m"} for m in self.options.models]
        return web.json_response({"object": "list", "data": models})

    async def show_requests(self, _: web.Request) -> web.Response:
        return web.json_response(self.recorded)

    async def show_stats(self, _: web.Request) -> web.Response:
        self.batches.advance()
        names = ("calls", "ok", "paid", "prompt_tokens", "completion_tokens", "abandoned", "batch_lines")
        stats = {name: self.counts[name] for name in names} | {
            "r429": self.by_status["429"],
            "by_status": self.by_status,
            "by_fault": self.by_fault,
            "in_flight": len(self.requests),
            "peak": self.peak,
            "passages": len(self.answered),
            "repeated": self.counts["ok"] - len(self.answered),
            "embedded": self.embedded.total(),  # texts whose vectors were returned, and those returned again
            "embedded_again": self.embedded.total() - len(self.embedded),
            "first": self.first,
            "last": self.last,
            "auth": list(self.auth),
        }
        return web.json_response(stats)

    def change(self, **options: Any) -> None:
        self.options = dataclasses.replace(self.options, **options)

    async def configure(self, request: web.Request) -> web.Response:
        try:
            self.change(**await request.json())
        except (TypeError, ValueError) as trouble:
            return web.json_response({"error": {"message": str(trouble)}}, status=400)
        if self.down:
            for waiting in list(self.requests.values()):
                abort(waiting)
        return web.json_response(dataclasses.asdict(self.options))

    async def reset(self, _: web.Request) -> web.Response:
        self.clear()
        return web.json_response({})


def abort(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Reset the connection; the returned response only satisfies aiohttp."""
    if request.transport is not None:
        # Without lingering, close() sends RST and not FIN.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(_descriptor(request))) as copy:
            copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return response or web.Response()


def _descriptor(request: web.Request) -> int:
    return request.get_extra_info("socket").fileno()


async def opened(app: web.Application, port: int = 0) -> tuple[web.AppRunner, str]:
    """Listen on the loopback; returns the runner and the base URL for clients."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/v1"


def client_environment() -> dict[str, str]:
    """The environment a client needs: a key, and no proxy."""
    return {"OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


async def serve(options: Options, port: int) -> None:
    """Serve until stdin is closed or ``life`` has passed."""
    runner, url = await opened(Server(options).app(), port)
    print(url, flush=True)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch, daemon=True).start()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), options.life)
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description="An OpenAI-compatible server that fails on request.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("options", nargs="?", default="{}", help="JSON object")
    arguments = parser.parse_args()
    loop_factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve(Options(**json.loads(arguments.options)), arguments.port))


class FaultServer:
    """The server in a separate process between ``__enter__`` and ``__exit__``; ``url`` is its base URL."""

    def __init__(self, *, port: int = 0, **options: Any) -> None:
        self.options = dataclasses.asdict(Options(**options))
        self.port = port

    def __enter__(self) -> FaultServer:
        command = [sys.executable, __file__, "--port", str(self.port), json.dumps(self.options)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            self.__exit__()
            raise RuntimeError("the fault server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def env(self) -> dict[str, str]:
        """The environment a client needs: a key, and no proxy."""
        return client_environment()

    def stats(self) -> dict[str, Any]:
        """The statistics since the start or the last ``reset``."""
        return self._control("GET", "/stats")

    def requests(self) -> list[dict[str, Any]]:
        """The bodies of the chat requests; needs ``record``."""
        return self._control("GET", "/requests")

    def configure(self, **options: Any) -> None:
        """Change options while the server runs."""
        self._control("POST", "/configure", options)

    def fresh(self, **options: Any) -> FaultServer:
        """Clear everything and restore the default options, except these."""
        self.reset()
        defaults = dataclasses.asdict(Options())
        del defaults["life"]
        self.configure(**{**defaults, **options})
        return self

    def reset(self) -> None:
        """Clear the recorded events, files and batches; the options are kept."""
        self._control("POST", "/reset")

    def _control(self, method: str, path: str, tree: object = None) -> Any:
        connection = http.client.HTTPConnection(self.url.split("/")[2], timeout=30)
        try:
            connection.request(method, path, json.dumps(tree), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(data["error"]["message"])
        return data


if __name__ == "__main__":
    main()
