"""Finding out which answer format an endpoint supports: asked once, kept in the ledger, never guessed."""

from __future__ import annotations

import pytest
from asking import Annotating, numbered
from fault_server import FaultServer

from sinoner.errors import EndpointError, StoppedError
from sinoner.records import Annotation

PROBE = "王明在上海工作。"
# Options of a server → the format to use, and the formats that the probe asks for on the way.
ABILITIES = {
    "json_schema": ({}, "json_schema", ["json_schema"]),
    "only json_object": ({"formats": ["json_object", "text"]}, "json_object", ["json_schema", "json_object"]),
    "neither": ({"formats": ["text"]}, "text", ["json_schema", "json_object"]),
    "ignores the format without a word": ({"ignore_formats": True}, "text", ["json_schema", "json_object"]),
}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def one():
    with FaultServer() as server:
        yield server


@pytest.fixture(scope="module")
def two():
    with FaultServer() as server:
        yield server


@pytest.fixture
def server(one):
    return one.fresh(record=True)


@pytest.fixture
def other(two):
    return two.fresh(record=True)


def formats(server: FaultServer, *, probe: bool) -> list[str]:
    """The answer formats that were asked for, of the probe or of the passages."""
    return [
        body.get("response_format", {"type": "text"})["type"]
        for body in server.requests()
        if (body["messages"][-1]["content"].endswith(PROBE)) is probe
    ]


@pytest.mark.parametrize(("options", "expected", "probes"), ABILITIES.values(), ids=ABILITIES)
def test_the_best_format_that_works_is_used(options, expected, probes, server, tmp_path):
    server.configure(**options)
    work = Annotating(server.url, tmp_path, output="auto")
    out = work.run(numbered(3))
    assert work.asking.output("m") == expected
    assert formats(server, probe=True) == probes
    assert formats(server, probe=False) == [expected] * 3
    assert [type(x) for x in out] == [Annotation] * 3
    assert all(len(x.entities) == 2 for x in out)
    assert {x.by.label for x in out} == {f"m@{'extract' if expected == 'text' else 'extract_json'}.zh.v1"}


@pytest.mark.parametrize(("options", "expected", "probes"), ABILITIES.values(), ids=ABILITIES)
def test_what_was_found_out_is_not_asked_again(options, expected, probes, server, tmp_path):
    server.configure(**options)
    work = Annotating(server.url, tmp_path, output="auto")
    first = work.run(numbered(2))
    calls = server.stats()["calls"]
    again = Annotating(server.url, tmp_path, output="auto")
    assert again.run(numbered(2)) == first
    assert again.asking.output("m") == expected
    assert server.stats()["calls"] == calls
    again.run(numbered(3))
    assert server.stats()["calls"] == calls + 1


@pytest.mark.parametrize(
    ("weaker", "expected"),
    [
        ({}, "json_schema"),
        ({"formats": ["json_object", "text"]}, "json_object"),
        ({"formats": ["text"]}, "text"),
        ({"ignore_formats": True}, "text"),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_of_two_endpoints_the_weaker_decides(weaker, expected, last, server, other, tmp_path):
    other.configure(**weaker)
    urls = [other.url, server.url] if last else [server.url, other.url]
    work = Annotating("", tmp_path, output="auto", endpoints=urls, concurrency=2)
    out = work.run(numbered(40))
    assert work.asking.output("m") == expected
    assert all(isinstance(x, Annotation) for x in out)
    assert {*formats(server, probe=False), *formats(other, probe=False)} == {expected}
    assert min(server.stats()["ok"], other.stats()["ok"]) > 5  # both of them work


def test_two_models_have_a_format_each(server, other, tmp_path):
    other.configure(formats=["text"])
    endpoints = [{"base_url": server.url, "models": ["m"]}, {"base_url": other.url, "models": ["n"]}]
    work = Annotating("", tmp_path, output="auto", endpoints=endpoints, more_models=["n"])
    work.collect(numbered(2))
    assert {m: work.asking.output(m) for m in ("m", "n")} == {"m": "json_schema", "n": "text"}
    assert formats(server, probe=False) == ["json_schema"] * 2
    assert formats(other, probe=False) == ["text"] * 2
    samples = [[s.by.label for s in r.samples] for r in work.readings(numbered(2))]
    assert samples == [["m@extract_json.zh.v1", "n@extract.zh.v1"]] * 2


@pytest.mark.parametrize("output", ["json_schema", "json_object", "text"])
def test_a_format_that_is_set_is_not_probed(output, server, tmp_path):
    Annotating(server.url, tmp_path, output=output).run(numbered(1))
    assert formats(server, probe=True) == []
    assert formats(server, probe=False) == [output]


def test_a_prompt_of_ones_own_is_answered_in_text_and_not_probed(server, tmp_path):
    prompt = tmp_path / "mine.yaml"
    prompt.write_text("id: mine\nlang: zh\nsystem: s\nuser: '找实体。文本：{text}'\n", encoding="utf-8")
    work = Annotating(server.url, tmp_path, output="auto", prompt=str(prompt))
    out = work.run(numbered(2))
    assert formats(server, probe=True) == []
    assert formats(server, probe=False) == ["text"] * 2
    assert [x.by.label for x in out] == ["m@mine"] * 2


@pytest.mark.parametrize(("fault", "reason"), [("hang", "timeout"), ("http_500", "transient")])
def test_trouble_says_nothing_about_formats_and_is_asked_again_next_time(fault, reason, server, tmp_path):
    server.configure(faults={fault: 1.0}, fault_attempts=0)
    work = Annotating(server.url, tmp_path, output="auto", timeout=0.3, max_attempts=1)
    with pytest.raises(StoppedError, match=f"{server.url}: {reason}: .*run the same command again") as caught:
        work.collect(numbered(2))
    assert caught.value.exit_code == 75
    assert formats(server, probe=True) == ["json_schema"]
    assert formats(server, probe=False) == []
    with pytest.raises(StoppedError):  # still so
        work.collect(numbered(2))
    assert formats(server, probe=True) == ["json_schema"] * 2
    server.configure(faults={})
    out = work.run(numbered(2))
    assert formats(server, probe=True) == ["json_schema"] * 3
    assert work.asking.output("m") == "json_schema"
    assert all(isinstance(x, Annotation) for x in out)


def test_trouble_that_passes_is_got_over(server, tmp_path):
    server.configure(faults={"http_500": 1.0}, fault_attempts=1)
    work = Annotating(server.url, tmp_path, output="auto", max_attempts=3)
    assert all(isinstance(x, Annotation) for x in work.run(numbered(2)))
    assert formats(server, probe=True) == ["json_schema"] * 2
    assert work.asking.output("m") == "json_schema"


def test_a_wrong_key_stops_the_probe(server, tmp_path):
    server.configure(faults={"auth": 1.0})
    with pytest.raises(EndpointError, match="auth: .*check the key in OPENAI_API_KEY"):
        Annotating(server.url, tmp_path, output="auto").collect(numbered(2))
    assert formats(server, probe=False) == []


def test_when_no_endpoint_answers_the_probe_all_are_asked_again_next_time(server, other, tmp_path):
    for slow in (server, other):
        slow.configure(faults={"hang": 1.0})
    urls = [server.url, other.url]
    work = Annotating("", tmp_path, output="auto", endpoints=urls, timeout=0.3, max_attempts=1)
    with pytest.raises(StoppedError, match="timeout"):
        work.collect(numbered(2))
    for slow in (server, other):
        slow.configure(faults={})
    assert len(work.run(numbered(2))) == 2
    assert work.asking.output("m") == "json_schema"


@pytest.mark.parametrize("dead", ["closed", "resets"])
def test_a_replica_that_is_down_does_not_keep_the_others_from_being_asked(dead, tmp_path):
    with FaultServer() as alive, FaultServer(dead=True) as resets:
        url = resets.url if dead == "resets" else "http://127.0.0.1:9/v1"
        work = Annotating(alive.url, tmp_path, endpoints=[alive.url, url], output="auto")
        out = work.run(numbered(10))
        assert all(isinstance(x, Annotation) for x in out)
        assert work.asking.outputs == {"m": "json_schema"}


def test_the_format_stays_when_a_weaker_endpoint_comes_back(tmp_path):
    with FaultServer() as strong, FaultServer(formats=["text"], dead=True) as weak:
        work = Annotating(strong.url, tmp_path, endpoints=[strong.url, weak.url], output="auto")
        work.run(numbered(3))
        calls = strong.stats()["calls"]
        weak.configure(dead=False)
        work.run(numbered(3))
        assert strong.stats()["calls"] == calls
