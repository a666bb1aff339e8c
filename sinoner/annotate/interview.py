"""The questions that one passage may need, as a generator: it yields requests and is sent what the ledger knows.

The same generator runs when passages are asked online, when they are asked in batches, and when answers are read back,
so all three end with the same outcome.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import NamedTuple, get_args

from sinoner.annotate.asking import Asking, Output, response_format
from sinoner.answers import Mentions, parse_mentions, repair_mentions
from sinoner.llm.errors import CallError, Kind
from sinoner.llm.request import Heard, Request, make_request, read_reply, request_body
from sinoner.prompts import extract_prompt
from sinoner.records import Passage

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
    """Ask about a passage until there is an answer to use or none can be had.

    An answer that was cut off is asked for once more with twice the tokens; one that cannot be read, even after
    repair, is asked for again at most ``reasks`` times with the error quoted.
    """
    first = messages = asking.messages(passage, model)
    more_tokens, reasks = False, 0
    keys: list[str] = []
    while True:
        request = asking.request(passage, model, sample, messages, more_tokens=more_tokens)
        keys.append(request.key)
        heard = yield request
        if heard.failed is not None:
            return Finding(reason=heard.failed, detail=heard.detail, keys=(request.key,))
        content, finish = _content(heard.raw)
        read = understand(content, finish, passage.text)
        if read.reason is None:
            return Finding(read.pairs, keys=tuple(keys))
        if read.reason == "truncated" and not more_tokens:
            more_tokens = True
            continue
        if read.reason in ("unparsed", "empty_answer") and reasks < asking.settings.reasks:
            reasks += 1
            messages = asking.ask_again(passage, first, content, complaint(content))
            continue
        if read.reason == "truncated" and read.pairs and asking.settings.keep_truncated:
            return Finding(read.pairs, keys=tuple(keys), truncated=True)
        return Finding(reason=read.reason, detail=content[:200], keys=tuple(keys))


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


def complaint(content: str) -> str:
    """What is wrong with an answer, in the words of the JSON reader where it has some."""
    if not content.strip():
        return "empty answer"
    try:
        json.loads(content)
    except (ValueError, RecursionError) as error:
        return str(error)
    return "no list of entities in it"


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
        request = make_request(body, endpoint, pin=endpoint)
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
