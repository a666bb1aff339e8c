"""The client against a real server on the loopback: what is sent, read, tried again, and never told."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from chat_server import (
    ChatServer,
    Reply,
    answer,
    dripping,
    error,
    hang,
    not_json,
    rate_limited,
    server_error,
    wrong_key,
)

from sinoner.errors import EndpointError
from sinoner.llm.client import Client, read_reply, request_body
from sinoner.llm.errors import CallError
from sinoner.records import Message
from sinoner.settings import LlmSettings

CANARY = "sk-canary-8d1f"
MESSAGES = (Message(role="system", content="规则"), Message(role="user", content="王明在上海"))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def settings(url: str, **more) -> LlmSettings:
    return LlmSettings(**{"model": "m", "base_url": url, "timeout": 10, "max_attempts": 3, **more})


def ask(url: str, key: str = CANARY, within: float = 30.0, **more):
    """One request through a client of its own."""

    async def once():
        llm = settings(url, **more)
        client = Client(llm, {"OPENAI_API_KEY": key})
        try:
            return await asyncio.wait_for(client.ask(request_body(MESSAGES, llm)), within)
        finally:
            await client.close()

    return asyncio.run(once())


def failure(url: str, key: str = CANARY, **more) -> CallError:
    with pytest.raises(CallError) as caught:
        ask(url, key, **more)
    return caught.value


def test_what_is_sent_and_what_is_read():
    with ChatServer(default=answer("[]", "stop", usage=(13, 2))) as server:
        reply = ask(server.url, temperature=0.5, max_tokens=9)
        (request,) = server.requests
    assert request.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "规则"}, {"role": "user", "content": "王明在上海"}],
        "temperature": 0.5,
        "max_tokens": 9,
    }
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    assert reply[1:] == ("[]", "stop", 13, 2)
    assert read_reply(reply.raw) == reply
    assert CANARY not in json.dumps(request.body)


@pytest.mark.parametrize(
    ("tree", "read"),
    [
        ({"choices": [{"message": {"content": "好"}, "finish_reason": "length"}]}, ("好", "length", 0, 0)),
        ({"choices": [{"message": {"content": None}}], "usage": None}, ("", "stop", 0, 0)),
        ({"choices": [{"message": {}}], "usage": {"prompt_tokens": 3}}, ("", "stop", 3, 0)),
    ],
)
def test_chat_completions_are_read(tree, read):
    assert read_reply(json.dumps(tree))[1:] == read


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "<html>",
        "null",
        "[]",
        "{}",
        '{"choices": []}',
        '{"choices": [{"message": null}]}',
        '{"error": "busy"}',
    ],
)
def test_what_is_no_chat_completion_is_a_passing_trouble(raw):
    with pytest.raises(CallError) as caught:
        read_reply(raw)
    assert caught.value.kind == "transient"


@pytest.mark.parametrize(
    "raw",
    [
        '{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1e999}}',
        '{"choices": [{"message": {"content": 5}}]}',
        '{"choices": [{"message": {"content": [{"type": "text", "text": "x"}]}}]}',
        "[" * 100_000,
    ],
    ids=["usage", "number", "parts", "deep"],
)
def test_odd_json_is_read_as_text_or_refused(raw):
    with contextlib.suppress(CallError):
        assert isinstance(read_reply(raw).content, str)


@pytest.mark.parametrize("trouble", [server_error(), server_error(503), rate_limited("0"), not_json()])
def test_a_passing_trouble_is_tried_again(trouble):
    with ChatServer({"王明": [trouble, answer("[]")]}) as server:
        assert ask(server.url).content == "[]"
        assert len(server.requests) == 2


def test_attempts_are_capped():
    with ChatServer(default=server_error()) as server:
        assert failure(server.url, max_attempts=2).kind == "transient"
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (wrong_key(), "auth"),
        (error(400, "unknown field"), "bad_request"),
        (error(400, "敏感内容"), "content_filter"),
        (error(404, "no such model"), "model_not_found"),
    ],
)
def test_what_another_attempt_cannot_mend_is_asked_once(trouble, kind):
    with ChatServer(default=trouble) as server:
        assert failure(server.url).kind == kind
        assert len(server.requests) == 1


def test_retry_after_is_honoured():
    # Without it the wait before the second attempt is at most half a second.
    with ChatServer({"王明": [rate_limited("0.8"), answer("[]")]}) as server:
        assert ask(server.url).content == "[]"
        first, second = server.requests
    assert second.at - first.at >= 0.8


@pytest.mark.parametrize("after", ["", "Wed, 21 Oct 2065 07:28:00 GMT", "-5", "nan", "inf", "1.2.3", "²"])
def test_a_retry_after_that_is_no_number_of_seconds_does_no_harm(after):
    with ChatServer({"王明": [rate_limited(after), answer("[]")]}) as server:
        assert ask(server.url, within=5).content == "[]"


def test_silence_is_a_timeout():
    with ChatServer(default=hang()) as server:
        failed = failure(server.url, timeout=0.2, max_attempts=1)
    assert (failed.kind, failed.detail) == ("timeout", "no answer within 0.2 s")


def test_an_answer_that_never_ends_is_a_timeout():
    with ChatServer(default=dripping(0.05)) as server:
        assert failure(server.url, timeout=0.3, max_attempts=1, within=2).kind == "timeout"


def test_nobody_at_the_address_is_unreachable():
    with ChatServer() as server:
        url = server.url
    assert failure(url, max_attempts=1).kind == "unreachable"


def test_an_impossible_port_is_a_persons_mistake():
    with pytest.raises(EndpointError, match="--base-url is not an address"):
        Client(settings("http://127.0.0.1:99999/v1"), {"OPENAI_API_KEY": CANARY})


def test_an_impossible_address_is_a_persons_mistake():
    with pytest.raises(EndpointError):
        Client(settings("http://[::1/v1"), {"OPENAI_API_KEY": CANARY})


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ('{"error": {"message": "slow\\n  down"}}', "slow down"),
        ('{"error": "plain"}', "plain"),
        ('{"message": "余额"}', "余额"),
        ("<html>\nbad gateway</html>", "<html> bad gateway</html>"),
        ("x" * 500, "x" * 200),
        ('{"error": ["a"]}', '{"error": ["a"]}'),
    ],
)
def test_the_detail_is_the_servers_message_on_one_short_line(body, detail):
    with ChatServer(default=Reply(body, 400)) as server:
        assert failure(server.url).detail == detail


def test_a_model_is_needed():
    with pytest.raises(EndpointError, match=r"llm\.model is not set: give --model"):
        Client(LlmSettings(), {"OPENAI_API_KEY": CANARY})


@pytest.mark.parametrize("environ", [{}, {"MY_KEY": ""}, {"OPENAI_API_KEY": CANARY}])
def test_a_key_is_needed_in_the_variable_that_the_settings_name(environ):
    with pytest.raises(EndpointError, match="set the environment variable MY_KEY") as caught:
        Client(LlmSettings(model="m", api_key_env="MY_KEY"), environ)
    assert CANARY not in str(caught.value)
    Client(LlmSettings(model="m", api_key_env="MY_KEY"), {"MY_KEY": CANARY})


@pytest.mark.parametrize("reply", [wrong_key(), server_error(), not_json(), error(400, "no")])
def test_the_key_is_in_no_error(reply):
    with ChatServer(default=reply) as server:
        failed = failure(server.url, max_attempts=1)
    assert CANARY not in f"{failed} {failed.detail} {failed.__cause__}"


def test_the_key_is_in_no_error_even_when_the_server_repeats_it():
    with ChatServer(default=wrong_key(echo=True)) as server:
        assert failure(server.url).detail == "Incorrect API key provided: ***"


def test_no_part_of_the_key_is_in_an_error_that_is_cut_short():
    message = "x" * 190 + " {key}"
    with ChatServer(default=error(400, message)) as server:
        assert CANARY[:6] not in failure(server.url).detail


def test_the_key_is_in_no_answer_even_when_the_server_repeats_it():
    with ChatServer(default=answer("you said {key}")) as server:
        reply = ask(server.url)
    assert reply.content == "you said ***"
    assert CANARY not in reply.raw


@pytest.mark.parametrize("key", [f"{CANARY}\n", f"{CANARY}\r", f"{CANARY} "])
def test_a_key_with_a_stray_end_is_in_no_error(key):
    told = ""
    with ChatServer() as server:
        try:
            ask(server.url, key, max_attempts=1)
        except (CallError, EndpointError) as failed:
            told = str(failed)
    assert CANARY not in told


def test_a_key_that_cannot_be_sent_is_a_persons_mistake():
    with ChatServer() as server, pytest.raises((CallError, EndpointError)):
        ask(server.url, "sk-密钥", max_attempts=1)


def test_the_endpoint_is_told_without_credentials():
    client = Client(settings("http://user:secret@127.0.0.1:8000/v1"), {"OPENAI_API_KEY": CANARY})
    assert "secret" not in client.endpoint
