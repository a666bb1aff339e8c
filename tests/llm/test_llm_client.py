"""The client against real servers on the loopback: what is sent, what each trouble becomes, and what is never told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import struct

import pytest
from chat_server import (
    ChatServer,
    Reply,
    answer,
    dripping,
    error,
    hang,
    no_balance,
    not_json,
    rate_limited,
    sensitive,
    server_error,
    too_long,
    unknown_model,
    wrong_key,
)

from sinoner.errors import EndpointError
from sinoner.llm.client import Answer, Client, clients, identity
from sinoner.llm.failures import CallError
from sinoner.llm.request import Request, make_request, read_reply, request_body
from sinoner.records import Message
from sinoner.settings import EndpointSettings, LlmSettings

CANARY = "sk-canary-8d1f0000"
ENVIRON = {"OPENAI_API_KEY": CANARY}
MESSAGES = (Message(role="system", content="规则"), Message(role="user", content="王明在上海"))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def settings(url: str | None, **more) -> LlmSettings:
    return LlmSettings.model_validate({"model": "m", "base_url": url, "timeout": 10, **more})


def question(llm: LlmSettings, model: str = "m") -> Request:
    return make_request(request_body(model, MESSAGES, llm), "e", "d#0")


def ask(
    url: str,
    key: str = CANARY,
    *,
    own: EndpointSettings | None = None,
    environ: dict[str, str] | None = None,
    **more,
) -> Answer:
    """One request through a client of its own."""

    async def once():
        llm = settings(url, **more)
        client = Client(llm, own, {"OPENAI_API_KEY": key, **(environ or {})})
        try:
            return await asyncio.wait_for(client.ask(question(llm)), 20)
        finally:
            await client.close()

    return asyncio.run(once())


def failure(url: str, key: str = CANARY, **more) -> CallError:
    with pytest.raises(CallError) as caught:
        ask(url, key, **more)
    return caught.value


class Line:
    """A server that keeps the bytes it gets and sends the bytes it is told to, then closes. One exchange at a time."""

    def __init__(self, sends: bytes, *, reset: bool = False) -> None:
        self.sends, self.reset, self.got = sends, reset, []

    async def __aenter__(self) -> Line:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(
                (int(x.split(b":")[1]) for x in head.split(b"\r\n") if x[:15].lower() == b"content-length:"),
                0,
            )
            self.got.append(head + await reader.readexactly(size))
            writer.write(self.sends)
            await writer.drain()
            if self.reset:
                linger = struct.pack("ii", 1, 0)  # close() sends RST and not FIN
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
        writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def http(body: str, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    data = body.encode()
    size = len(data) if length is None else length
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {size}", *headers, "", ""]).encode() + data


GOOD = http(answer("[]").body)


def over(line: Line, url: str | None = None, *, environ: dict[str, str] | None = None, **more):
    """What comes of one request over a line: the answer or the error, and the bytes that went out."""

    async def once():
        async with line:
            llm = settings(line.url if url is None else url.format(port=line.port), **more)
            client = Client(llm, environ={**ENVIRON, **(environ or {})})
            try:
                return await asyncio.wait_for(client.ask(question(llm)), 20)
            except CallError as failed:
                return failed
            finally:
                await client.close()

    return asyncio.run(once()), line.got


# --- what is sent and what comes back ----------------------------------------------------------------------------


def test_the_payload_goes_out_byte_by_byte_and_the_answer_comes_back_as_it_is():
    said, (sent,) = over(Line(GOOD), temperature=0.5, max_tokens=9, extra={"𠮷": "野家 \x00"})
    head, _, body = sent.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    assert f"Authorization: Bearer {CANARY}" in lines
    assert "Content-Type: application/json" in lines
    llm = settings("http://x/v1", temperature=0.5, max_tokens=9, extra={"𠮷": "野家 \x00"})
    assert body == question(llm).payload.encode()
    assert said.raw == answer("[]").body


def test_what_a_server_is_asked_and_what_is_read():
    with ChatServer(default=answer("好", "stop", usage=(13, 2))) as server:
        said = ask(server.url, temperature=0.5, max_tokens=9)
        (request,) = server.requests
    assert request.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "规则"}, {"role": "user", "content": "王明在上海"}],
        "temperature": 0.5,
        "max_tokens": 9,
    }
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    assert CANARY not in json.dumps(request.body)
    assert read_reply(said.raw)[1:5] == ("好", "stop", 13, 2)


def test_the_headers_of_an_answer_are_handed_on_in_any_case():
    said, _ = over(Line(http(answer("[]").body, "200 OK", "X-RateLimit-Remaining-Requests: 3")))
    assert said.headers["x-ratelimit-remaining-requests"] == "3"


def test_a_model_is_called_by_its_name_at_the_endpoint():
    own = {"models": {"m": "org/M-FP8", "n": "n"}}
    with ChatServer() as server:
        ask(server.url, own=EndpointSettings(base_url=server.url, **own))
        (request,) = server.requests
        client = Client(settings(None), EndpointSettings(base_url=server.url, **own), ENVIRON)
    assert request.body["model"] == "org/M-FP8"
    assert request.body | {"model": "m"} == json.loads(question(settings(server.url)).payload)
    assert [client.serves(m) for m in ("m", "n", "o")] == [True, True, False]
    assert [client.name_of(m) for m in ("m", "n", "o")] == ["org/M-FP8", "n", "o"]


def test_an_endpoint_that_names_no_models_serves_all_under_their_own_names():
    client = Client(settings("http://h/v1"), environ=ENVIRON)
    assert client.serves("anything")
    assert client.name_of("anything") == "anything"


def test_connections_are_used_again():
    async def twice(url):
        llm = settings(url)
        client = Client(llm, environ=ENVIRON)
        for _ in range(5):
            await client.ask(question(llm))
        kept = len(client._session.connector._conns)
        await client.close()
        return kept

    with ChatServer() as server:
        assert asyncio.run(twice(server.url)) == 1
        assert len(server.requests) == 5


def test_closing_what_was_never_used_does_nothing():
    asyncio.run(Client(settings("http://h/v1"), environ=ENVIRON).close())


# --- what each trouble becomes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "status", "kind"),
    [
        (server_error(), 500, "transient"),
        (server_error(503), 503, "transient"),
        (Reply("<html>bad gateway</html>", 502, {"Content-Type": "text/html"}), 502, "transient"),
        (error(408, "too slow"), 408, "timeout"),
        (rate_limited("7"), 429, "rate_limit"),
        (error(400, "您的并发数过高"), 400, "rate_limit"),
        (wrong_key(), 401, "auth"),
        (error(403, "forbidden"), 403, "auth"),
        (no_balance(), 402, "quota"),
        (no_balance(429), 429, "quota"),
        (unknown_model(), 404, "model_not_found"),
        (error(404, "Not Found"), 404, "model_not_found"),
        (too_long(), 400, "context_length"),
        (error(413, "too large"), 413, "context_length"),
        (sensitive(), 400, "content_filter"),
        (error(400, "unknown field"), 400, "bad_request"),
        (error(422, "unknown field"), 422, "bad_request"),
    ],
)
def test_an_error_answer_is_a_kind_with_its_status_and_body_and_is_asked_once(trouble, status, kind):
    with ChatServer(default=trouble) as server:
        failed = failure(server.url)
        assert len(server.requests) == 1  # trying again is not the client's
    assert (failed.kind, failed.status, failed.raw) == (kind, status, trouble.body)
    assert failed.retry_after == (7.0 if kind == "rate_limit" and status == 429 else None)


@pytest.mark.parametrize("reply", [not_json(), Reply(""), Reply("[]"), Reply(answer("[]").body[:40])])
def test_a_page_instead_of_an_answer_is_a_passing_trouble_when_it_is_read(reply):
    with ChatServer(default=reply) as server:
        said = ask(server.url)
    assert said.raw == reply.body
    with pytest.raises(CallError) as caught:
        read_reply(said.raw)
    assert (caught.value.kind, caught.value.status) == ("transient", None)


def test_silence_is_a_timeout():
    with ChatServer(default=hang()) as server:
        failed = failure(server.url, timeout=0.2)
    assert (failed.kind, failed.detail, failed.status) == ("timeout", "no answer within 0.2 s", None)


def test_an_answer_that_never_ends_is_a_timeout():
    with ChatServer(default=dripping(0.05)) as server:
        assert failure(server.url, timeout=0.3).kind == "timeout"


def test_nobody_at_the_address_is_unreachable():
    with ChatServer() as server:
        url = server.url
    failed = failure(url)
    assert (failed.kind, failed.status) == ("unreachable", None)
    assert failed.detail


@pytest.mark.parametrize(
    "line",
    [
        Line(b""),
        Line(b"", reset=True),
        Line(GOOD[:-5]),
        Line(GOOD[:-5], reset=True),
        Line(b"SSH-2.0-OpenSSH_9.6\r\n"),
        Line(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
        Line(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Line(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"),
        Line(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
    ],
    ids=["closed", "reset", "half", "half-reset", "no-http", "length", "chunk", "gzip", "header"],
)
def test_a_connection_that_goes_wrong_is_a_passing_trouble(line):
    failed, sent = over(line)
    assert isinstance(failed, CallError)
    assert (failed.kind, failed.status) == ("transient", None)
    assert len(failed.detail.splitlines()) == 1
    assert len(failed.detail) <= 200
    assert CANARY not in failed.detail
    assert len(sent) == 1  # nothing is sent twice behind the ledger's back


def test_an_answer_that_is_not_utf8_is_read_as_far_as_it_goes():
    said, _ = over(Line(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xffok"))
    assert said.raw == "\ufffdok"


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/v1", "http://[::1/v1", "ftp://h/v1", "h:8000/v1"])
def test_an_impossible_address_is_a_persons_mistake(url):
    with pytest.raises(EndpointError, match="--base-url is not an address"):
        Client(settings(url), environ=ENVIRON)


# --- what is never told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [wrong_key(), server_error(), rate_limited(), error(400, "no")])
def test_the_key_is_in_no_error(reply):
    with ChatServer(default=reply) as server:
        failed = failure(server.url)
    assert CANARY not in f"{failed} {failed.detail} {failed.raw} {failed.__cause__}"


def test_the_key_is_in_no_error_even_when_the_server_repeats_it():
    with ChatServer(default=wrong_key(echo=True)) as server:
        failed = failure(server.url)
    assert failed.detail == "Incorrect API key provided: ***"
    assert CANARY not in failed.raw


def test_no_part_of_the_key_is_in_an_error_that_is_cut_short():
    with ChatServer(default=error(400, "x" * 190 + " {key}")) as server:
        assert CANARY[:6] not in failure(server.url).detail


def test_the_key_is_in_no_answer_even_when_the_server_repeats_it():
    with ChatServer(default=answer("you said {key}")) as server:
        said = ask(server.url)
    assert read_reply(said.raw).content == "you said ***"
    assert CANARY not in said.raw


@pytest.mark.parametrize("key", [f"{CANARY}\n", f"{CANARY}\r\n", f" {CANARY} "])
def test_white_space_around_a_key_is_not_sent(key):
    with ChatServer() as server:
        ask(server.url, key)
        (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {CANARY}"


def test_a_login_in_the_address_is_used_and_neither_shown_nor_told():
    login, sign = "reader:correct-horse", base64.b64encode(b"reader:correct-horse").decode()
    environ = {"LOGIN": login}
    client = Client(settings("http://${LOGIN}@127.0.0.1:8000/v1"), environ={**ENVIRON, **environ})
    assert client.endpoint == "http://127.0.0.1:8000/v1"
    body = answer(f"correct-horse {CANARY} {sign}").body
    said, (sent,) = over(Line(http(body)), "http://${{LOGIN}}@127.0.0.1:{port}/v1", environ=environ)
    assert isinstance(said, Answer), said
    assert f"Authorization: Basic {sign}\r\n".encode() in sent  # there is one such header: the gateway's wins
    assert CANARY.encode() not in sent
    assert read_reply(said.raw).content == "*** *** ***"


def test_an_at_sign_in_the_path_is_no_login():
    _, (sent,) = over(Line(GOOD), "http://127.0.0.1:{port}/@cf/v1")
    assert f"Authorization: Bearer {CANARY}\r\n".encode() in sent


def test_a_redirect_carries_neither_key_nor_passage_to_another_place():
    async def once():
        async with Line(GOOD) as other, Line(b"") as first:
            where = f"Location: http://127.0.0.1:{other.port}/v1/chat/completions"
            first.sends = http("", "307 Temporary Redirect", where)
            llm = settings(first.url)
            client = Client(llm, environ=ENVIRON)
            with pytest.raises(CallError, match="it redirects to http://127.0.0.1") as caught:
                await client.ask(question(llm))
            await client.close()
            return other.got, caught.value.kind

    assert asyncio.run(once()) == ([], "model_not_found")  # the run stops: no passage can get past it


# --- proxies -----------------------------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_used(monkeypatch):
    line = Line(GOOD)

    async def once():
        async with line:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{line.port}")
            llm = settings("http://model.example/v1")
            client = Client(llm, environ=ENVIRON)
            try:
                return await client.ask(question(llm))
            finally:
                await client.close()

    assert asyncio.run(once()).raw == answer("[]").body
    assert line.got[0].startswith(b"POST http://model.example/v1/chat/completions HTTP/1.1\r\n")


def test_no_proxy_is_used_where_the_environment_says_so(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ChatServer() as server:
        assert ask(server.url).raw == answer("[]").body


def test_a_proxy_that_does_not_answer_is_unreachable(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with ChatServer() as server:
        assert failure(server.url).kind == "unreachable"
        assert not server.requests


# --- several endpoints -------------------------------------------------------------------------------------------


def several(*endpoints: object, **more) -> LlmSettings:
    return LlmSettings.model_validate({"model": "m", "endpoints": list(endpoints), **more})


def test_each_endpoint_has_its_client_with_its_key_and_models(tmp_path):
    file = tmp_path / "key"
    file.write_text("sk-of-the-file\n", encoding="utf-8")
    llm = several(
        {"base_url": "http://a/v1"},
        {"base_url": "http://b/v1/", "api_key_env": "B_KEY", "models": {"m": "M"}},
        {"base_url": "http://c/v1", "api_key_file": str(file), "models": ["n"]},
        more_models=["n"],
    )
    a, b, c = clients(llm, {**ENVIRON, "B_KEY": "sk-b"})
    assert [x.endpoint for x in (a, b, c)] == ["http://a/v1", "http://b/v1", "http://c/v1"]
    assert [x.key for x in (a, b, c)] == [CANARY, "sk-b", "sk-of-the-file"]
    assert [x.key_place for x in (a, b, c)] == ["OPENAI_API_KEY", "B_KEY", str(file)]
    assert [[x.serves(m) for m in ("m", "n")] for x in (a, b, c)] == [
        [True, True],
        [True, False],
        [False, True],
    ]


def test_an_endpoint_with_a_variable_of_its_own_does_not_take_the_common_file(tmp_path):
    file = tmp_path / "key"
    file.write_text("sk-of-the-file\n", encoding="utf-8")
    llm = several(
        {"base_url": "http://a/v1"},
        {"base_url": "http://b/v1", "api_key_env": "B_KEY"},
        api_key_file=str(file),
    )
    assert [c.key for c in clients(llm, {"B_KEY": "sk-b"})] == ["sk-of-the-file", "sk-b"]


def test_one_address_is_one_client():
    (client,) = clients(settings("http://a/v1"), ENVIRON)
    assert client.endpoint == "http://a/v1"


def test_without_an_address_it_is_the_one_of_the_environment():
    (client,) = clients(LlmSettings(model="m"), {**ENVIRON, "OPENAI_BASE_URL": "http://e/v1/"})
    assert client.endpoint == "http://e/v1"


def test_a_model_is_needed():
    with pytest.raises(EndpointError, match=r"llm\.model is not set: give --model"):
        clients(LlmSettings(), ENVIRON)


@pytest.mark.parametrize("environ", [{}, {"MY_KEY": ""}, {"OPENAI_API_KEY": CANARY}])
def test_a_key_is_needed_in_the_variable_that_the_settings_name(environ):
    llm = LlmSettings(model="m", base_url="http://a/v1", api_key_env="MY_KEY")
    with pytest.raises(EndpointError, match="set the environment variable MY_KEY") as caught:
        clients(llm, environ)
    assert CANARY not in str(caught.value)
    assert clients(llm, {"MY_KEY": CANARY})[0].key == CANARY


@pytest.mark.parametrize(
    ("llm", "words"),
    [
        (several({"base_url": "http://a/v1", "models": ["n"]}), "none of them serves m; add it"),
        (several({"base_url": "http://a/v1", "models": ["m"]}, more_models=["n"]), "none of them serves n"),
        (several("http://a/v1", "http://b/v1", "http://a/v1/"), "http://a/v1 is listed twice"),
        (several("http://a/v1", base_url="http://b/v1"), "are both set; keep one"),
    ],
)
def test_endpoints_that_do_not_fit_together_are_a_persons_mistake(llm, words):
    with pytest.raises(EndpointError, match=words):
        clients(llm, ENVIRON)


@pytest.mark.parametrize(
    ("llm", "name"),
    [
        (settings("http://a/v1/"), "http://a/v1"),
        (settings("http://${LOGIN}@a/v1?key=1"), "http://a/v1"),
        (several("http://a/v1", "http://b/v1"), "http://a/v1"),
        (several("http://a/v1", name="qwen"), "qwen"),
        (settings(None), "http://e/v1"),
    ],
)
def test_the_identity_is_the_name_or_the_first_address_without_login(llm, name):
    environ = {"LOGIN": "reader:correct-horse", "OPENAI_BASE_URL": "http://e/v1"}
    assert identity(llm, environ) == name  # no key is needed for it


def test_without_anything_the_identity_is_openai():
    assert identity(LlmSettings(model="m"), {}) == "https://api.openai.com/v1"
