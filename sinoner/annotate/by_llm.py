"""Annotation by an LLM in two movements: collect answers into the ledger, then read them back in the order of the corpus.

Collecting takes answers as they come and forgets them once they are committed, so memory does not grow with the corpus
and nothing waits for a slow passage. Reading back asks nobody.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sinoner.annotate.answer_format import with_outputs
from sinoner.annotate.asking import Asking
from sinoner.annotate.interview import Finding, Readable, interview
from sinoner.annotate.outcome import STAGE, build, writable
from sinoner.errors import InputError, StoppedError
from sinoner.llm.batch_records import BatchBook
from sinoner.llm.dispatch import Dispatcher, Hooks
from sinoner.llm.endpoints import Task, lanes
from sinoner.llm.ledger import Done, Ledger
from sinoner.llm.service import Service
from sinoner.prompts import extract_prompt, guidance_prompt
from sinoner.records import Annotation, Lang, Passage, Reject
from sinoner.settings import LlmSettings

# Failures are judged over this many passages.
LAST = 200
# The reason of a passage that nobody was asked about yet.
NOT_ASKED = "not_asked"


@dataclass(slots=True)
class Progress:
    """How far a passage is while it is asked: answers still to come, whether one can be used, whether any was asked for."""

    left: int
    good: bool = False
    asked: bool = False


def collect(
    passages: Iterable[Passage], asking: Asking, service: Service, retry: Collection[str] = ()
) -> Asking:
    """Ask whatever the ledger cannot answer yet, until every passage is done or failed.

    Args:
        passages: in the order of the corpus; taken as there is room.
        asking: what they are asked with.
        service: who is asked.
        retry: failures of earlier runs (reasons, or ``all``) that are asked for again.

    Returns:
        The same questions with the answer formats that were found out.

    Raises:
        EndpointError: no endpoint can be used.
        StoppedError: too many failures, no success for too long, or the budget is used up.
        KeyboardInterrupt: it was asked to stop.
    """
    return collect_tasks(lambda known: tasks(passages, known, service.ledger, retry), asking, service)


Tasks = Callable[[Asking], Iterator[tuple[Progress, Task]]]


def collect_tasks(tasks: Tasks, asking: Asking, service: Service) -> Asking:
    """Drive tasks of any kind to their end, as ``collect`` does with its interviews.

    Args:
        tasks: given the questions with their answer formats, the tasks, each with the state of its passage. A task's
            result says in ``reason`` why it failed, if it did.
        asking: endpoint, models and limits of failure.
        service: who is asked.

    Returns:
        The same questions with the answer formats that were found out.

    Raises:
        EndpointError, StoppedError, KeyboardInterrupt: as for ``collect``.
    """
    return asyncio.run(_collect(tasks, asking, service))


async def _collect(tasks: Tasks, asking: Asking, service: Service) -> Asking:
    llm = asking.llm
    loop = asyncio.get_running_loop()
    if on_their_way := BatchBook(service.ledger).abandon():
        one = on_their_way[0]
        raise InputError(
            f"{sum(b.requests for b in on_their_way)} requests are on their way in a batch ({one.remote or one.mark} at"
            f" {one.endpoint}) and would be paid twice; collect them first with --mode batch"
        )
    try:
        asking = await with_outputs(asking, service)
        failures: deque[bool] = deque(maxlen=LAST)
        kinds: Counter[str] = Counter()
        meter = service.meter

        def done(passage: Progress, finding: Readable, asked: bool) -> None:
            passage.left -= 1
            passage.good |= finding.reason is None
            passage.asked |= asked
            if finding.reason is not None and asked:
                kinds[finding.reason] += 1
            if passage.left:
                return
            meter.done += passage.good
            meter.failed += not passage.good
            meter.known += not passage.asked
            if passage.asked:
                failures.append(not passage.good)
                _watch(failures, kinds, asking.settings.max_failure_rate)

        def tell() -> None:
            meter.sample()
            service.tell()

        dispatcher = Dispatcher(
            lanes(llm, service.clients), service.ledger, llm, Hooks(done, tell), service.account, meter
        )
        service.on_start(lambda: _soon(loop, dispatcher))
        await dispatcher.run(tasks(asking))
    finally:
        for client in service.clients:
            await client.close()
    return asking


def _soon(loop: asyncio.AbstractEventLoop, dispatcher: Dispatcher) -> None:
    loop.call_soon_threadsafe(dispatcher.stop, KeyboardInterrupt())


def _watch(failures: Collection[bool], kinds: Counter[str], most: float) -> None:
    """Stop when more than ``most`` of the last 200 passages failed.

    Raises:
        StoppedError: they did.
    """
    failed = sum(failures)
    if failed > most * LAST:
        why = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(3))
        raise StoppedError(
            f"{failed} of the last {len(failures)} passages failed ({why}), more than --max-failure-rate {most:g}"
            " allows; everything answered is kept, the same command goes on, with --retry-failed KIND for the failed"
        )


def tasks(
    passages: Iterable[Passage], asking: Asking, ledger: Ledger, retry: Collection[str]
) -> Iterator[tuple[Progress, Task]]:
    """The interviews of all passages, with the state that those of one passage share."""
    reopened: set[str] = set()
    for passage in passages:
        state = Progress(len(asking.rounds))
        for model, sample in asking.rounds:
            if retry:
                reopen(interview(passage, asking, model, sample), ledger, retry, reopened)
            yield state, interview(passage, asking, model, sample)


def reopen(task: Task, ledger: Ledger, retry: Collection[str], reopened: set[str]) -> None:
    """Have the requests of a task asked again if it failed in an earlier run.

    Args:
        task: plays what the ledger knows; its result has ``reason`` and ``keys``.
        ledger: where its answers are.
        retry: the reasons that are retried, or ``all``.
        reopened: what was reopened in this run, so that the same question of another passage is asked again once.
    """
    known: Any = ledger.play(task)
    if isinstance(known, Done) and (known.value.reason in retry or ("all" in retry and known.value.reason)):
        ledger.reopen(key for key in known.value.keys if key not in reopened)
        reopened.update(known.value.keys)


# reading back --------------------------------------------------------------------------------------------------


class Reading(NamedTuple):
    """What the ledger says about one passage.

    Attributes:
        outcome: the annotation of the first round that has one, or the passage's reject.
        rejects: mentions of that annotation that were not let through.
        samples: the annotations of all rounds that have one, in order; for agreement.
    """

    outcome: Annotation | Reject
    rejects: list[Reject]
    samples: tuple[Annotation, ...]


def read_back(passages: Iterable[Passage], asking: Asking, ledger: Ledger) -> Iterator[Reading]:
    """What the ledger says about every passage, in their order. A passage that was not asked is ``not_asked``."""
    types = {name.strip().lower(): name for name in asking.settings.types}
    for passage in passages:
        samples: list[Annotation] = []
        rejects: list[Reject] = []
        failure: Finding | None = None
        for model, sample in asking.rounds:
            result: Any = ledger.play(interview(passage, asking, model, sample))
            finding = result.value if isinstance(result, Done) else Finding(reason=NOT_ASKED)
            if finding.reason is not None:
                failure = failure or finding
                continue
            by = asking.by(passage, model, sample, truncated=finding.truncated)
            annotation, lost = build(passage, finding.pairs, by, asking.settings.grounding, types)
            assert isinstance(annotation, Annotation)
            rejects = rejects if samples else lost
            samples.append(annotation)
        if samples:
            yield Reading(samples[0], rejects, tuple(samples))
            continue
        assert failure is not None
        assert failure.reason is not None
        detail = writable(failure.detail)
        yield Reading(Reject(id=passage.id, stage=STAGE, reason=failure.reason, detail=detail), [], ())


def annotate_llm(
    passages: Callable[[], Iterable[Passage]], asking: Asking, service: Service
) -> Iterator[Annotation | Reject]:
    """Collect and read back: one ``Annotation`` or one ``Reject`` of unit ``passage`` per passage, in input order.

    Args:
        passages: gives the passages from the beginning; called twice.
        asking: what they are asked with.
        service: who is asked.

    Raises:
        EndpointError: no endpoint can be used.
        StoppedError: as for ``collect``.
    """
    asking = collect(passages(), asking, service)
    for reading in read_back(passages(), asking, service.ledger):
        yield reading.outcome
        yield from reading.rejects


def settings_changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two runs' settings, a line each; empty when nothing does."""
    return [
        f"{name}: {before.get(name)!r} → {now.get(name)!r}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def asked_with(asking: Asking, llm: LlmSettings) -> dict[str, Any]:
    """The settings that requests depend on, for comparing a run with an earlier one."""
    from hashlib import sha256

    settings = asking.settings
    fields: dict[str, Any] = {
        "endpoint": asking.identity,
        "llm.model": llm.model,
        "llm.more_models": list(llm.more_models),
        "llm.temperature": llm.temperature,
        "llm.max_tokens": llm.max_tokens,
        "llm.output": llm.output,
        "llm.extra": llm.extra,
        "annotate.types": [t if d in ("", t) else f"{t}: {d}" for t, d in settings.types.items()],
        "annotate.domain": settings.domain,
    }
    langs: list[Lang] = ["zh", "en"]
    for lang in langs:
        names = asking.prompts_used()
        texts = [(p.id, f"{p.system}\n{p.user}") for p in (extract_prompt(name, lang) for name in names)]
        fields[f"annotate.prompt ({lang})"] = ", ".join(
            f"{name} {sha256(text.encode()).hexdigest()[:8]}" for name, text in texts
        )
        words = guidance_prompt(lang)  # for types, domain and asking again
        fields[f"guidance ({lang})"] = (
            f"{words.id} {sha256(words.model_dump_json().encode()).hexdigest()[:8]}"
        )
    shown = asking.demonstrations
    fields["annotate.demonstrations"] = None if shown is None else f"{shown.digest} × {settings.shots}"
    return fields
