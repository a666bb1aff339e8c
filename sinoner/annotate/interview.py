"""The questions that one passage may need, as a generator: it yields requests and is sent what the ledger knows.

The same generator runs when passages are asked online, when they are asked in batches, and when answers are read back,
so all three end with the same outcome.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Generic, NamedTuple, Protocol, TypeVar, get_args

from sinoner.annotate.asking import Asking, Output, response_format
from sinoner.answers import Mentions, parse_mentions, repair_mentions
from sinoner.llm.failures import CallError, Kind
from sinoner.llm.request import Heard, Request, make_request, read_reply, request_body
from sinoner.prompts import extract_prompt
from sinoner.records import Message, Passage

# Every reason for which a passage can fail.
FAILURES: tuple[str, ...] = (*get_args(Kind), "empty_answer")


class Finding(NamedTuple):
    """What the answers about a passage say: (mention, type) pairs, or why there are none.

    Attributes:
        pairs: as the model wrote them; not yet looked up in the passage.
        reason: the failure, if there is no answer to use.
        detail: the failure in words.
        keys: the requests to ask again if this failure is to be retried.
        truncated: whether the pairs are what could be read of an answer that was cut off.
    """

    pairs: tuple[tuple[str, str], ...] = ()
    reason: str | None = None
    detail: str = ""
    keys: tuple[str, ...] = ()
    truncated: bool = False


def interview(
    passage: Passage, asking: Asking, model: str, sample: int = 0
) -> Generator[Request, Heard, Finding]:
    """Ask about a passage until there is an answer to use or none can be had."""
    messages = asking.messages(passage, model)

    def request(said: tuple[Message, ...], more_tokens: bool) -> Request:
        return asking.request(passage, model, sample, said, more_tokens=more_tokens)

    def read(content: str, finish: str) -> Mentions:
        return understand(content, finish, passage.text)

    last = yield from exchange(passage, asking, messages, request, read, "entities")
    if last.read is None:
        return Finding(reason=last.failed, detail=last.detail, keys=last.keys)
    reason = last.read.reason
    if reason is None:
        return Finding(last.read.pairs, keys=last.keys)
    if reason == "truncated" and last.read.pairs and asking.settings.keep_truncated:
        return Finding(last.read.pairs, keys=last.keys, truncated=True)
    return Finding(reason=reason, detail=last.detail, keys=last.keys)


class Readable(Protocol):
    """What an answer says, or the reason why it says nothing."""

    @property
    def reason(self) -> str | None:
        """The reason."""


R = TypeVar("R", bound=Readable)


class Last(NamedTuple, Generic[R]):
    """How an exchange ended.

    Attributes:
        read: what the last answer says; None when the question itself failed.
        failed: why the question failed.
        detail: the failure in words, or the beginning of an answer that says nothing.
        keys: the requests to ask again if this failure is to be retried.
    """

    read: R | None
    failed: str | None
    detail: str
    keys: tuple[str, ...]


def exchange(
    passage: Passage,
    asking: Asking,
    first: tuple[Message, ...],
    request: Callable[[tuple[Message, ...], bool], Request],
    read: Callable[[str, str], R],
    wanted: str,
) -> Generator[Request, Heard, Last[R]]:
    """Ask a question about a passage until there is an answer that reads or none can be had.

    An answer that was cut off is asked for once more with twice the tokens; one that cannot be read is asked for again
    at most ``annotate.reasks`` times with the error quoted.

    Args:
        passage: what it is about.
        asking: how an answer is asked for again.
        first: the messages of the question.
        request: makes the request of messages, on wish with twice the tokens for the answer.
        read: reads the content of an answer and its finish reason.
        wanted: what an answer lists, for saying that it does not.
    """
    messages = first
    more_tokens, reasks = False, 0
    keys: list[str] = []
    while True:
        asked = request(messages, more_tokens)
        keys.append(asked.key)
        heard = yield asked
        if heard.failed is not None:
            return Last(None, heard.failed, heard.detail, (asked.key,))
        content, finish = _content(heard.raw)
        said = read(content, finish)
        if said.reason == "truncated" and not more_tokens:
            more_tokens = True
        elif said.reason in ("unparsed", "empty_answer") and reasks < asking.settings.reasks:
            reasks += 1
            messages = asking.ask_again(passage, first, content, complaint(content, wanted))
        else:
            return Last(said, None, "" if said.reason is None else content[:200], tuple(keys))


def understand(content: str, finish: str, text: str) -> Mentions:
    """Read an answer about a text, after repair if need be.

    What the provider says about the answer's end counts before what it looks like. A repaired answer of which nothing
    stands in the text was repaired wrongly.
    """
    if finish in ("content_filter", "refused"):
        return Mentions((), finish)
    read = parse_mentions(content)
    if finish == "length":
        return Mentions(read.pairs, "truncated")
    if read.reason == "unparsed":
        repaired = repair_mentions(content)
        known = any(mention.strip().lower() in text.lower() for mention, _ in repaired.pairs)
        return repaired if repaired.reason is None and known else read
    return read


def complaint(content: str, wanted: str = "entities") -> str:
    """What is wrong with an answer, in the words of the JSON reader where it has some."""
    if not content.strip():
        return "empty answer"
    try:
        json.loads(content)
    except (ValueError, RecursionError) as error:
        return str(error)
    return f"no list of {wanted} in it"


def _content(raw: str) -> tuple[str, str]:
    try:
        reply = read_reply(raw)
    except CallError:  # an answer that another version accepted
        return "", "stop"
    return reply.content, reply.finish


# Text that every model can label; what it says is not used, only whether the answer has the form asked for.
_PROBE = "王明在上海工作。"
_FORMATS: tuple[Output, ...] = ("json_schema", "json_object")


def probe(asking: Asking, model: str, endpoint: str) -> Generator[Request, Heard, Output | Finding]:
    """Find out which answer format an endpoint supports: a JSON schema, else a JSON object, else text.

    A format counts as supported when the request is accepted and the answer has that form: some servers ignore
    ``response_format`` without a word.

    Returns:
        The format, or the failure that says nothing about formats (time-outs, refusals of any kind).
    """
    prompt = extract_prompt("extract_json", "zh")
    for output in _FORMATS:
        body = request_body(model, prompt.messages(_PROBE), asking.llm, response_format(output))
        request = make_request(body, endpoint, kind="probe", pin=endpoint)
        heard = yield request
        if heard.failed is not None and heard.failed != "bad_request":
            return Finding(reason=heard.failed, detail=heard.detail, keys=(request.key,))
        if heard.failed is None and _has_form(_content(heard.raw)[0]):
            return output
    return "text"


def _has_form(content: str) -> bool:
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(tree, dict) and isinstance(tree.get("entities"), list)
