"""Requests have one identity, their bound is above what any tokenizer counts, and replies are read whatever they hold."""

from __future__ import annotations

import json

import bpe_openai
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sinoner.llm import request as module
from sinoner.llm.failures import RETRY, STOP, CallError
from sinoner.llm.request import Reply, make_request, message_of, read_reply, request_body
from sinoner.records import Message
from sinoner.settings import LlmSettings

URL = "http://127.0.0.1:8000/v1"
BODY = {"model": "m", "messages": [{"role": "user", "content": "王明在上海"}], "temperature": 0.0}
ENCODINGS = [bpe_openai.get_encoding(name) for name in ("cl100k_base", "o200k_base")]


def key(body: dict, identity: str = URL, **more) -> str:
    return make_request(body, identity, **more).key


# --- body and key ------------------------------------------------------------------------------------------------


def test_the_body_of_a_question():
    settings = LlmSettings(model="m", temperature=0.5, max_tokens=9)
    messages = (Message(role="system", content="规则"), Message(role="user", content="王明"))
    assert request_body("n", messages, settings) == {
        "model": "n",
        "messages": [{"role": "system", "content": "规则"}, {"role": "user", "content": "王明"}],
        "temperature": 0.5,
        "max_tokens": 9,
    }
    form = {"type": "json_object"}
    assert request_body("n", messages, settings, form)["response_format"] == form


def test_further_fields_win_and_nulls_take_fields_away():
    extra = {
        "enable_thinking": False,
        "temperature": None,
        "max_tokens": None,
        "max_completion_tokens": 70,
        "response_format": None,
        "chat_template_kwargs": {"a": None},
    }
    body = request_body("m", (), LlmSettings(model="m", extra=extra), response_format={"type": "json_object"})
    assert body == {
        "model": "m",
        "messages": [],
        "enable_thinking": False,
        "max_completion_tokens": 70,
        "chat_template_kwargs": {"a": None},  # nulls further down are the endpoint's business
    }
    assert make_request(body, URL).bound[1] == 70


def test_the_payload_is_canonical():
    asked = make_request({"b": [1, 2.5, None], "a": {"z": "实体", "y": True}, "model": "m"}, URL)
    assert asked.payload == '{"a":{"y":true,"z":"实体"},"b":[1,2.5,null],"model":"m"}'
    assert (asked.model, asked.passage, asked.pin, asked.max_tokens) == ("m", "", None, 0)
    assert len(asked.key) == 64


def test_the_order_of_the_fields_is_no_difference():
    assert make_request(BODY, URL) == make_request(dict(reversed(BODY.items())), URL)


def test_the_key_covers_body_identity_and_sample_and_nothing_else(monkeypatch):
    first = key(BODY)
    others = [
        {**BODY, "model": "n"},
        {**BODY, "temperature": 0.1},
        {**BODY, "max_tokens": 5},
        {**BODY, "messages": [{"role": "user", "content": "王明在上海 "}]},
        {**BODY, "messages": [{"role": "system", "content": "王明在上海"}]},
        {**BODY, "messages": [*BODY["messages"], *BODY["messages"]]},
        {**BODY, "response_format": {"type": "json_object"}},
    ]
    keys = {first, key(BODY, URL + "x"), key(BODY, sample=1), key(BODY, sample=2), *map(key, others)}
    assert len(keys) == 4 + len(others)
    assert key(BODY, passage="d1#0") == key(BODY, pin=URL) == first
    monkeypatch.setattr(module, "KEY_VERSION", 99)
    assert key(BODY) not in keys


def test_identity_and_sample_do_not_run_into_each_other():
    assert key(BODY, "e\n1", sample=1) != key(BODY, "e", sample=11)
    assert key(BODY, "e1", sample=1) != key(BODY, "e", sample=11)


def test_the_sample_is_not_in_the_body():
    assert make_request(BODY, URL, sample=3).payload == make_request(BODY, URL).payload


whole = st.text(st.characters(exclude_categories=["Cs"]))


@given(whole, whole)
def test_keys_differ_when_texts_differ(one, other):
    keys = [key({"model": "m", "messages": [{"content": text}]}) for text in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


@given(whole)
@example('\x00\x1f\x7f\u2028\ufeff𠮷"\\</script>')
def test_the_payload_says_what_the_body_said(text):
    asked = make_request({"model": "m", "messages": [{"content": text}]}, URL)
    assert json.loads(asked.payload)["messages"][0]["content"] == text


@pytest.mark.parametrize("text", ["\ud800", "a\udfff\ud83d"])
def test_half_a_character_can_be_hashed_sent_and_bound(text):
    asked = make_request({"model": "m", "messages": [{"content": text}]}, "\ud800")
    assert asked.payload.encode().decode() == asked.payload
    assert asked.bound[0] > len(asked.payload)


# --- the bound ---------------------------------------------------------------------------------------------------

HARD = [
    "",
    "王明在上海的ABC公司工作。𠮷野家 ﷺ e\u0301 👩‍👩‍👧 \x00\t\n",
    "的" * 1000,
    "a" * 1000,
    "\U0010ffff" * 200,
    "龘靐齉" * 100,
    "\x00\x01\x1b" * 100,
    '"\\\n\r\t' * 200,
    "<|im_start|>" * 100,
]


def counted(messages: list[dict[str, str]]) -> int:
    """Tokens of messages in a ChatML template, with eight more for each and for the start of the answer."""
    return max(
        sum(8 + len(e.encode(m["content"])) + len(e.encode(m["role"])) for m in messages) + 8
        for e in ENCODINGS
    )


turns = st.lists(
    st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=200)), max_size=6
)


@given(turns)
@example([("user", text) for text in HARD])
def test_the_bound_is_above_what_openai_tokenizers_count(turns):
    messages = [{"role": role, "content": text.encode("utf-8", "replace").decode()} for role, text in turns]
    prompt, completion = make_request({"model": "m", "messages": messages, "max_tokens": 64}, URL).bound
    assert completion == 64
    assert counted(messages) <= prompt
    # No byte-level tokenizer makes more tokens than there are bytes.
    assert sum(8 + len(m["content"].encode()) + len(m["role"]) for m in messages) + 8 <= prompt


@pytest.mark.parametrize("text", HARD)
def test_the_bound_on_hard_texts(text):
    messages = [{"role": "user", "content": text}]
    prompt, _ = make_request({"model": "m", "messages": messages}, URL).bound
    assert counted(messages) <= prompt
    # And it is no more than the bytes with JSON's own signs and the template.
    assert prompt <= len(json.dumps(text, ensure_ascii=False).encode()) + 64 + 64


def test_a_schema_is_counted_by_its_bytes():
    schema = {"type": "object", "properties": {"实体": {"type": "array"}}}
    more = make_request({**BODY, "response_format": schema}, URL).bound[0]
    assert more - make_request(BODY, URL).bound[0] >= len(json.dumps(schema, separators=(",", ":")))


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 5}, 7),  # which of them counts is the endpoint's choice
    ],
)
def test_an_answer_has_no_more_tokens_than_the_larger_limit(fields, most):
    assert make_request({**BODY, **fields}, URL).bound[1] == most


# --- reading replies ---------------------------------------------------------------------------------------------


def choice(**message: object) -> dict:
    return {"choices": [{"message": message, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("tree", "read"),
    [
        ({"choices": [{"message": {"content": "好"}, "finish_reason": "length"}]}, ("好", "length", 0, 0, 0)),
        ({"choices": [{"message": {"content": None}}], "usage": None}, ("", "stop", 0, 0, 0)),
        ({"choices": [{"message": {}}], "usage": {"prompt_tokens": 3}}, ("", "stop", 3, 0, 0)),
        (choice(content="a") | {"error": None}, ("a", "stop", 0, 0, 0)),
        (choice(content="a") | {"error": {"message": "late"}}, ("a", "stop", 0, 0, 0)),
        (
            choice(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
            ("ab", "stop", 0, 0, 0),
        ),
        (choice(content="a", reasoning_content="hm"), ("a", "stop", 0, 0, 0)),
        (choice(content=None, refusal="I cannot"), ("I cannot", "refused", 0, 0, 0)),
        (
            choice(content="")
            | {
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 2,
                    "prompt_tokens_details": {"cached_tokens": 4},
                }
            },
            ("", "stop", 9, 2, 4),
        ),
        (
            choice(content="")
            | {
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 2.0,
                    "prompt_cache_hit_tokens": 5,
                    "prompt_tokens_details": None,
                }
            },
            ("", "stop", 9, 2, 5),
        ),
        (
            choice(content="") | {"usage": {"prompt_tokens": -1, "completion_tokens": 10**30}},
            ("", "stop", 0, 10**9, 0),
        ),
    ],
)
def test_chat_completions_are_read(tree, read):
    raw = json.dumps(tree, ensure_ascii=False)
    assert read_reply(raw) == Reply(raw, *read)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "<html>",
        "null",
        "5",
        "[]",
        "{}",
        '{"choices": []}',
        '{"choices": null}',
        '{"choices": {"0": {}}}',
        '{"choices": [{"message": null}]}',
        '{"choices": [{"text": "a"}]}',
        '{"choices": [{"message": {"content": [{"type": "image"}]}}]}',
        '{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1e999}}',
        '{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": "many"}}',
        '{"choices": [{"message": {"content": "x"}}], "usage": [1]}',
        '{"choices": [{"message": {"content": 5}}]}',
        '{"choices": [{"message": {"content": "x"}}], "u": ' + "1" * 5000 + "}",
        "[" * 100_000,
        '{"choices": [{"message": {"content": "cut off',
        '{"error": "busy"}',
    ],
)
def test_what_is_no_chat_completion_is_a_passing_trouble(raw):
    with pytest.raises(CallError) as caught:
        read_reply(raw)
    assert caught.value.kind == "transient"
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) < 250
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("raw", "kind", "detail"),
    [
        ('{"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}', "rate_limit", "Rate limit reached"),
        ('{"error": {"message": "余额不足", "code": "1113"}}', "quota", "余额不足"),
        ('{"error": {"message": "slow down"}, "choices": null}', "transient", "slow down"),
        ('{"object": "error", "message": "context length exceeded", "code": 400}', "context_length", "context length exceeded"),
    ],
)  # fmt: skip
def test_an_error_with_status_200_is_an_error(raw, kind, detail):
    with pytest.raises(CallError) as caught:
        read_reply(raw)
    assert (caught.value.kind, caught.value.detail) == (kind, detail)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "choices": json_values | st.lists(st.fixed_dictionaries({"message": json_values}), max_size=2),
            "usage": json_values
            | st.fixed_dictionaries({"prompt_tokens": json_values, "prompt_tokens_details": json_values}),
            "error": json_values,
            "code": json_values,
            "message": json_values,
        },
    )
    | json_values
)
def test_any_json_is_a_reply_or_an_error_of_a_kind(tree):
    try:
        reply = read_reply(json.dumps(tree))
    except CallError as error:
        kind = error.kind
    else:
        kind = None
        assert isinstance(reply.content, str)
        assert min(reply[3:]) >= 0
    assert kind in {None, *RETRY, *STOP, "context_length", "content_filter", "bad_request"}


# --- messages of errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error": {"message": "slow\\n  down"}}', "slow down"),
        ('{"error": "plain"}', "plain"),
        ('{"message": "余额"}', "余额"),
        ("<html>\nbad gateway</html>", "<html> bad gateway</html>"),
        ("x" * 500, "x" * 200),
        ('{"error": ["a"]}', '{"error": ["a"]}'),
        ('{"error": {"message": "a\\u001b[31mred"}}', "a[31mred"),
        ("", ""),
        ("[" * 100_000, "[" * 200),
    ],
)
def test_the_message_of_an_error_is_one_short_line(body, message):
    assert message_of(body) == message


@given(st.text())
def test_any_body_has_a_message_that_can_be_shown(body):
    message = message_of(body)
    assert len(message) <= 200
    assert message.isprintable()
    message.encode()
