"""Annotation by an LLM in two movements: collect answers into the ledger, then read them back in the order of the corpus.

Collecting takes answers as they come and forgets them once they are committed, so memory does not grow with the corpus
and nothing waits for a slow passage. Reading back asks nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sinoner.annotate.answer_format import with_outputs
from sinoner.annotate.asking import Asking
from sinoner.annotate.interview import Finding, interview
from sinoner.annotate.outcome import STAGE, build, writable
from sinoner.errors import InputError, StoppedError
from sinoner.llm.batch_records import BatchBook
from sinoner.llm.drive import driving
from sinoner.llm.endpoints import Task
from sinoner.llm.ledger import Done, Ledger
from sinoner.llm.meter import Meter
from sinoner.llm.service import Service
from sinoner.prompts import extract_prompt, guidance_prompt
from sinoner.records import Annotation, Lang, Passage, Reject

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

    def count(self, reason: str | None, asked: bool, meter: Meter) -> bool:
        """Count the result of a question; returns whether it was the last, so that the passage has its outcome.

        Args:
            reason: why there is no answer to use, if there is none.
            asked: whether anything was asked for it in this run.
            meter: counts the passages.
        """
        self.left -= 1
        self.good |= reason is None
        self.asked |= asked
        if self.left:
            return False
        meter.done += self.good
        meter.failed += not self.good
        meter.known += not self.asked
        return True


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
    if on_their_way := BatchBook(service.ledger).abandon():
        one = on_their_way[0]
        raise InputError(
            f"{sum(b.requests for b in on_their_way)} requests are on their way in a batch ({one.remote or one.mark} at"
            f" {one.endpoint}) and would be paid twice; collect them first with --mode batch"
        )
    asking = await with_outputs(asking, service)
    failures: deque[bool] = deque(maxlen=LAST)
    kinds: Counter[str] = Counter()
    async with driving(service, asking.llm) as dispatcher:
        async for passage, finding, asked in dispatcher.results(tasks(asking)):
            if finding.reason is not None and asked:
                kinds[finding.reason] += 1
            if passage.count(finding.reason, asked, service.meter) and passage.asked:
                failures.append(not passage.good)
                trouble = too_many_failures(
                    sum(failures), len(failures), asking.settings.max_failure_rate, kinds
                )
                if trouble is not None:
                    dispatcher.stop(trouble)
    return asking


def too_many_failures(failed: int, of: int, most: float, kinds: Counter[str]) -> StoppedError | None:
    """The reason to stop when more than ``most`` of the passages failed, and of 200 if there are fewer; else None."""
    if failed <= most * max(of, LAST):
        return None
    why = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(3))
    return StoppedError(
        f"{failed} of the last {of} passages failed ({why}), more than --max-failure-rate {most:g} allows; everything"
        " answered is kept; run the same command again to continue, with --retry-failed KIND to retry the failed"
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


LANGS: tuple[Lang, ...] = ("zh", "en")


def shared_fields(asking: Asking) -> dict[str, Any]:
    """The settings that every kind of question about a passage depends on."""
    settings, llm = asking.settings, asking.llm
    fields: dict[str, Any] = {
        "endpoint": asking.identity,
        "llm.max_tokens": llm.max_tokens,
        "llm.output": llm.output,
        "llm.extra": llm.extra,
        "annotate.types": [t if d in ("", t) else f"{t}: {d}" for t, d in settings.types.items()],
        "annotate.domain": settings.domain,
    }
    for lang in LANGS:
        words = guidance_prompt(lang)  # for types, domain and asking again
        fields[f"guidance ({lang})"] = f"{words.id} {short_hash(words.model_dump_json())}"
    return fields


def short_hash(text: str) -> str:
    """Eight characters that change with a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def asked_with(asking: Asking) -> dict[str, Any]:
    """The settings that the questions of a run depend on, for comparing it with an earlier one."""
    llm, shown = asking.llm, asking.demonstrations
    fields = {
        "llm.model": llm.model,
        "llm.more_models": list(llm.more_models),
        "llm.temperature": llm.temperature,
        **shared_fields(asking),
        "annotate.demonstrations": None if shown is None else f"{shown.digest} × {asking.settings.shots}",
    }
    for lang in LANGS:
        prompts = [extract_prompt(name, lang) for name in asking.prompts_used()]
        texts = [(prompt.id, f"{prompt.system}\n{prompt.user}") for prompt in prompts]
        fields[f"annotate.prompt ({lang})"] = ", ".join(f"{name} {short_hash(text)}" for name, text in texts)
    return fields
