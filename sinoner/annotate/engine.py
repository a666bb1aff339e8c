"""Annotation by an LLM: passages → requests → answers → grounded entities."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice

from sinoner.answers import parse_mentions
from sinoner.errors import EndpointError
from sinoner.llm.client import Client, read_reply, request_body
from sinoner.llm.errors import STOP, CallError
from sinoner.llm.ledger import Ledger, request_key
from sinoner.prompts import ExtractPrompt, extract_prompt
from sinoner.records import Annotation, Entity, Lang, Passage, Reject
from sinoner.settings import AnnotateSettings, LlmSettings
from sinoner.text.ground import Fold, ground

STAGE = "annotate"
Outcome = tuple[Annotation | Reject, list[Reject]]


def annotate_llm(
    passages: Iterable[Passage], settings: AnnotateSettings, llm: LlmSettings, client: Client, ledger: Ledger
) -> Iterator[Annotation | Reject]:
    """Ask an LLM for the entities of every passage, in input order, ``llm.concurrency`` requests in flight.

    Each passage gives one ``Annotation`` or one ``Reject`` of unit ``passage``; mentions that are not in the
    passage are rejects of unit ``entity``. Answers already in the ledger are not asked for again.

    Raises:
        EndpointError: the endpoint cannot be used at all (key, model, balance, address).
    """
    prompt = cache(lambda lang: extract_prompt(settings.prompt, lang))
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        slots = asyncio.Semaphore(llm.concurrency)
        waiting: deque[asyncio.Task[Outcome]] = deque()
        source = iter(passages)
        try:
            while True:
                for passage in islice(source, 4 * llm.concurrency - len(waiting)):
                    waiting.append(
                        loop.create_task(
                            _one(passage, prompt, settings.grounding, llm, client, ledger, slots)
                        )
                    )
                if not waiting:
                    break
                outcome, mentions = loop.run_until_complete(waiting[0])
                waiting.popleft()
                yield outcome
                yield from mentions
        finally:
            for task in waiting:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
            loop.run_until_complete(client.close())


async def _one(
    passage: Passage,
    prompt: Callable[[Lang], ExtractPrompt],
    fold: Fold,
    llm: LlmSettings,
    client: Client,
    ledger: Ledger,
    slots: asyncio.Semaphore,
) -> Outcome:
    template = prompt(passage.lang)
    body = request_body(template.messages(passage.text), llm)
    key = request_key(body, client.endpoint)
    raw = ledger.find(key)
    if raw is None:
        try:
            async with slots:
                reply = await client.ask(body)
        except CallError as error:
            if error.kind in STOP:
                raise EndpointError(_explain(error, llm, client)) from None
            return Reject(id=passage.id, stage=STAGE, reason=error.kind, detail=error.detail), []
        usage = (reply.prompt_tokens, reply.completion_tokens)
        ledger.add(key, passage.id, client.endpoint, body, reply.raw, reply.finish, usage)
        raw = reply.raw
    by = f"{llm.model}@{template.id}"
    return read(passage, raw, by, fold)


def read(passage: Passage, raw: str, by: str, fold: Fold) -> Outcome:
    """What a raw answer says about a passage: an annotation, or the reason it cannot be read."""
    try:
        answer = read_reply(raw)
    except CallError as error:
        return _unread(passage, "unparsed", error.detail)
    parsed = parse_mentions(answer.content)
    if answer.finish == "content_filter":
        return _unread(passage, "content_filter", answer.content)
    if answer.finish == "length" or parsed.reason == "truncated":
        return _unread(passage, "truncated", answer.content)
    if parsed.reason is not None:
        return _unread(passage, parsed.reason, answer.content)
    return build(passage, parsed.pairs, by, fold)


def _unread(passage: Passage, reason: str, content: str) -> Outcome:
    return Reject(id=passage.id, stage=STAGE, reason=reason, detail=_writable(content[:200])), []


def _writable(text: str) -> str:
    """The text with halves of surrogate pairs shown as escapes; they cannot be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def build(passage: Passage, pairs: Iterable[tuple[str, str]], by: str, fold: Fold = "folded") -> Outcome:
    """Ground (mention, type) pairs in a passage.

    Returns:
        The annotation, and a reject of unit ``entity`` for every pair that is not in the passage
        (``not_in_passage``), has no type (``no_type``), or repeats another (``repeated``).
    """
    entities: dict[tuple[str, str], Entity] = {}
    rejects: list[Reject] = []
    for mention, written in pairs:
        kind = _writable(written.strip())
        found = ground(passage.text, mention, fold)
        reason = "no_type" if not kind else "not_in_passage" if found is None else None
        if found is not None and (found[0], kind) in entities:
            reason = "repeated"
        if reason is not None or found is None:
            detail = _writable(f"{mention} ({kind})")
            rejects.append(
                Reject(id=passage.id, stage=STAGE, reason=reason or "", detail=detail, unit="entity")
            )
            continue
        entities[found[0], kind] = Entity(surface=found[0], type=kind, starts=found[1])
    return Annotation(passage=passage, entities=tuple(entities.values()), by=by), rejects


def _explain(error: CallError, llm: LlmSettings, client: Client) -> str:
    advice = {
        "auth": f"check the key in {llm.api_key_env}",
        "quota": "top up the account",
        "model_not_found": f"check --model {llm.model}",
        "unreachable": "check --base-url and that the server is up",
    }[error.kind]
    return f"{client.endpoint}: {error.kind}: {error.detail}; {advice}, then run the same command again"
