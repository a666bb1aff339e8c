"""Keys come from where the person says, addresses are shown without logins, and no message ever holds a secret."""

from __future__ import annotations

import base64
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.errors import EndpointError
from sinoner.llm.keys import DEFAULT_URL, address, proxy, read_key, secrets, with_path

CANARY = "sk-canary-8d1f0000"


def told(call, *arguments) -> str:
    with pytest.raises(EndpointError) as caught:
        call(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.__cause__ is None  # the chain would tell the value
    return str(caught.value)


# --- keys --------------------------------------------------------------------------------------------------------


def test_a_key_comes_from_the_variable_that_is_named():
    environ = {"OPENAI_API_KEY": "sk-other", "MY_KEY": f" {CANARY}\n"}
    assert read_key("MY_KEY", None, environ) == CANARY


def test_a_key_comes_from_a_file_before_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "key"
    file.write_text(f"\n{CANARY}\r\n", encoding="utf-8")
    assert read_key("OPENAI_API_KEY", str(file), {"OPENAI_API_KEY": "sk-other"}) == CANARY
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_key("OPENAI_API_KEY", "~/key", {}) == CANARY


@pytest.mark.parametrize("environ", [{}, {"MY_KEY": ""}, {"MY_KEY": " \n"}, {"OPENAI_API_KEY": CANARY}])
def test_a_missing_key_is_named_by_its_variable(environ):
    line = told(read_key, "MY_KEY", None, environ)
    assert line.startswith("no API key: set the environment variable MY_KEY (any text will do for a server")
    assert CANARY not in line


def test_a_file_that_cannot_be_read_or_is_empty_is_named(tmp_path):
    line = told(read_key, "MY_KEY", str(tmp_path / "none"), {"MY_KEY": CANARY})
    assert line.endswith("none cannot be read (No such file or directory); check llm.api_key_file")
    assert "cannot be read (Is a directory)" in told(read_key, "MY_KEY", str(tmp_path), {})
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    assert told(read_key, "K", str(tmp_path / "empty"), {}).startswith("no API key: set the file ")


@pytest.mark.parametrize(
    "key", [f"{CANARY}密钥", f"{CANARY}\x00", f"{CANARY}\r\nX-Evil: 1", f"“{CANARY}”", f"{CANARY}\u200b"]
)
def test_a_key_with_characters_that_no_key_has_is_refused_and_not_shown(key, tmp_path):
    line = told(read_key, "MY_KEY", None, {"MY_KEY": key})
    assert line == (
        "the API key in the environment variable MY_KEY has characters that no key has; set it again"
    )
    file = tmp_path / "key"
    file.write_bytes(key.encode())
    assert CANARY not in told(read_key, "MY_KEY", str(file), {})
    file.write_bytes(CANARY.encode("utf-16"))
    assert CANARY not in told(read_key, "MY_KEY", str(file), {})


@given(st.text(min_size=1))
def test_a_key_is_taken_as_it_is_or_refused_without_being_shown(key):
    key = f"{CANARY}{key}"
    if key.strip().isascii() and key.strip().isprintable():
        assert read_key("K", None, {"K": key}) == key.strip()
    else:
        assert CANARY not in told(read_key, "K", None, {"K": key})


# --- addresses ---------------------------------------------------------------------------------------------------

ENVIRON = {
    "OPENAI_BASE_URL": "http://of-the-environment/v1/",
    "LOGIN": "reader:correct-horse",
    "HOST": "gpu1",
    "EMPTY": "",
}


@pytest.mark.parametrize(
    ("url", "used", "shown"),
    [
        ("http://h:8000/v1", "http://h:8000/v1", "http://h:8000/v1"),
        ("http://h:8000/v1/", "http://h:8000/v1", "http://h:8000/v1"),
        ("https://h", "https://h", "https://h"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://模型.中国/v1", "http://模型.中国/v1", "http://模型.中国/v1"),
        (None, "http://of-the-environment/v1", "http://of-the-environment/v1"),
        ("http://${HOST}:8000/v1", "http://gpu1:8000/v1", "http://gpu1:8000/v1"),
        ("http://${LOGIN}@h/v1", "http://reader:correct-horse@h/v1", "http://h/v1"),
        ("http://${LOGIN}@${HOST}/v1", "http://reader:correct-horse@gpu1/v1", "http://gpu1/v1"),
        ("http://h/v1?token=correct-horse#x", "http://h/v1?token=correct-horse#x", "http://h/v1"),
    ],
)
def test_an_address_is_used_as_given_and_shown_without_login(url, used, shown):
    assert address(url, ENVIRON) == (used, shown)


def test_without_any_address_it_is_openai():
    assert address(None, {}) == (DEFAULT_URL, DEFAULT_URL)
    assert address(None, {"OPENAI_BASE_URL": ""}) == (DEFAULT_URL, DEFAULT_URL)


def test_a_variable_that_is_not_set_is_named():
    line = told(address, "http://${GATEWAY_LOGIN}@h/v1", {})
    assert line == "llm.base_url names ${GATEWAY_LOGIN}: set that environment variable"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:99999/v1",
        "http://h:port/v1",
        "http://h:-1/v1",
        "http://[::1/v1",
        "ftp://h/v1",
        "h/v1",
        "localhost:8000/v1",
        "http://",
        "http:///v1",
        "http://${EMPTY}/v1",
        "/v1",
    ],
)
def test_what_is_no_address_is_said_with_an_example(url):
    line = told(address, url, ENVIRON)
    assert line.startswith("--base-url is not an address (")
    assert line.endswith("; write http://HOST:PORT/v1")


@pytest.mark.parametrize(
    "login",
    [
        "reader:correct-horse",
        "reader:correct/horse",  # the host ends at the slash: what comes after the colon is no port
        "reader:correct#horse",
        "reader:correct?horse",
        "reader:correct[horse",
        "reader:correct@horse",
        "correct-horse",
        "correct/horse",
        "correct#horse",
        "correct?horse",
        "correct\\horse",
        "correct@horse",
    ],
)
def test_no_part_of_a_login_is_ever_shown(login):
    for scheme, rest in product(("http", "ftp"), ("h/v1", "h:99999/v1", "h:port/v1", "", "/v1", "[::1/v1")):
        line = displayed(login, f"{scheme}://${{LOGIN}}@{rest}")
        assert "correct" not in line and "horse" not in line, (scheme, rest)


SIGNS = "/:#?[]@\\%&=+;,. \t\n中a1"


@given(
    st.text(SIGNS, max_size=4),
    st.text(SIGNS, max_size=4),
    st.text(SIGNS, max_size=4),
    st.text(SIGNS + "h", max_size=12),
)
def test_no_part_of_any_login_is_ever_shown(before, between, after, rest):
    line = displayed(f"{before}correct{between}horse{after}", f"http://${{LOGIN}}@{rest}")
    assert "correct" not in line and "horse" not in line


def displayed(login: str, url: str) -> str:
    """How an address is shown, or the message that refuses it."""
    try:
        return address(url, {"LOGIN": login})[1]
    except EndpointError as refused:
        return f"{refused} {refused.__cause__}"


# --- secrets -----------------------------------------------------------------------------------------------------


def test_secrets_are_the_key_and_the_login_in_every_form_but_nothing_short():
    sign = base64.b64encode(b"long-reader:correct horse").decode()
    url = "http://long-reader:correct%20horse@h/v1"
    assert set(secrets(CANARY, url)) == {
        CANARY,
        "long-reader",
        "correct%20horse",
        "correct horse",
        sign,
    }
    assert secrets(CANARY, "http://h/v1") == (CANARY,)
    assert "none" not in secrets("none", "http://h/v1")  # it would black out words of answers
    assert "me" not in secrets(CANARY, "http://me:you@h/v1")


# --- proxies -----------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_settings_there_is_no_proxy():
    assert proxy("http://h/v1") is None


@pytest.mark.parametrize("upper", [False, True])
def test_each_scheme_has_its_proxy(monkeypatch, upper):
    for name, value in (("http_proxy", "http://p:1"), ("https_proxy", "http://p:2")):
        monkeypatch.setenv(name.upper() if upper else name, value)
    assert proxy("http://h:8000/v1") == "http://p:1"
    assert proxy("https://h/v1") == "http://p:2"


@pytest.mark.parametrize(
    ("no_proxy", "url", "used"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/v1", False),
        ("127.0.0.1,localhost", "http://localhost/v1", False),
        (".example.com", "http://gpu.example.com/v1", False),
        ("example.com", "http://gpu.example.com/v1", False),
        ("*", "http://h/v1", False),
        ("example.com", "http://h/v1", True),
        ("example.com", "http://badexample.com/v1", True),
        ("", "http://h/v1", True),
    ],
)
def test_addresses_that_need_no_proxy_get_none(monkeypatch, no_proxy, url, used):
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy(url) == ("http://p:1" if used else None)


def test_a_proxy_without_a_scheme_is_an_http_proxy(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "p:3128")
    assert proxy("https://h/v1") == "http://p:3128"


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("http://h/v1", "http://h/v1/chat"),
        ("http://h/v1/", "http://h/v1/chat"),
        ("http://u:p@h:1/v1?api-version=2", "http://u:p@h:1/v1/chat?api-version=2"),
    ],
)
def test_a_path_is_added_before_the_query(url, whole):
    assert with_path(url, "/chat") == whole
