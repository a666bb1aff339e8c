"""A second opinion: a model is asked, passage by passage, whether each entity is right, wrong, or of a better type.

The questions go the way of ``by_llm``: collected into the ledger first, read back afterwards. An entity is dropped or
renamed only because the model said so in an answer that could be read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec.structs import replace

from sinoner.annotate.asking import Asking, list_format, listed_types
from sinoner.annotate.by_llm import LANGS, NOT_ASKED, Progress, reopen, shared_fields, short_hash
from sinoner.annotate.interview import Last, exchange
from sinoner.annotate.outcome import writable
from sinoner.answers import Verdict, Verdicts, parse_verdicts
from sinoner.llm.endpoints import Task
from sinoner.llm.ledger import Done, Ledger
from sinoner.llm.request import Heard, Request, make_request
from sinoner.prompts import fill, guidance_prompt, verify_prompt
from sinoner.records import Annotation, Entity, Lang, Message, Passage, Reject
from sinoner.settings import AnnotateSettings, LlmSettings

STAGE = "verify"
# Entities per question: the verdicts on so many fit into the default llm.max_tokens.
PART = 40


def judge_of(annotate: AnnotateSettings, llm: LlmSettings, model: str, identity: str) -> Asking:
    """What entities are judged with: the endpoints and the closed list of annotating, one model, temperature 0.

    Args:
        annotate: types, domain and limits of failure.
        llm: the endpoints.
        model: who judges.
        identity: the endpoint's name in request keys.
    """
    alone = {"model": model, "more_models": (), "temperature": 0.0}
    plain = {
        "prompt": "extract",
        "samples": 1,
        "demonstrations": None,
    }  # of annotating; the judge has its own
    return Asking(annotate.model_copy(update=plain), llm.model_copy(update=alone), identity)


# asking ----------------------------------------------------------------------------------------------------------


class Opinion(NamedTuple):
    """What the judge said about the entities of a passage.

    Attributes:
        verdicts: one for each entity, in their order; None where there is none.
        reason: why a question failed, if one did.
        detail: the failure in words.
        keys: the requests to ask again if this failure is to be retried.
    """

    verdicts: tuple[Verdict | None, ...]
    reason: str | None = None
    detail: str = ""
    keys: tuple[str, ...] = ()


def examine(annotation: Annotation, asking: Asking) -> Generator[Request, Heard, Opinion]:
    """Ask about all entities of a passage, ``PART`` at a time, until there are verdicts or none can be had.

    A passage without entities asks nothing. When one part fails the others still count.
    """
    verdicts: list[Verdict | None] = []
    reason, detail = None, ""
    keys: list[str] = []
    for begin in range(0, len(annotation.entities), PART):
        part = annotation.entities[begin : begin + PART]
        last = yield from _ask(annotation.passage, part, asking)
        said = last.read or Verdicts((), last.failed)
        by_number = {verdict.n: verdict for verdict in said.verdicts}
        verdicts += [by_number.get(n) for n in range(1, len(part) + 1)]
        if not said.verdicts:  # of an answer that is cut off or broken, what reads is as good as any
            reason, detail = reason or said.reason, detail or last.detail
            keys += last.keys
    return Opinion(tuple(verdicts), reason, detail, tuple(keys))


def _ask(
    passage: Passage, part: Sequence[Entity], asking: Asking
) -> Generator[Request, Heard, Last[Verdicts]]:
    model = asking.llm.model or ""

    def request(said: tuple[Message, ...], more_tokens: bool) -> Request:
        body = asking.body(model, said, _format(asking, model), more_tokens=more_tokens)
        return make_request(body, asking.identity, kind="verify")

    def read(content: str, finish: str) -> Verdicts:
        if finish in ("content_filter", "refused"):
            return Verdicts((), finish)
        found = parse_verdicts(content, len(part))
        return Verdicts(found.verdicts, "truncated") if finish == "length" else found

    return (yield from exchange(passage, asking, messages(passage, part, asking), request, read, "verdicts"))


def messages(passage: Passage, entities: Sequence[Entity], asking: Asking) -> tuple[Message, ...]:
    """The messages of a question; mentions and types are quoted, so that none of them looks like a line of its own."""
    prompt, settings = verify_prompt(passage.lang), asking.settings
    system = [prompt.system]
    if settings.domain:
        system.append(fill(guidance_prompt(passage.lang).domain, {"domain": settings.domain}))
    if settings.types:
        system.append(fill(prompt.types, {"types": listed_types(settings, passage.lang)}))
    lines = [
        fill(prompt.entity, {"n": str(n), "surface": _quoted(entity.surface), "type": _quoted(entity.type)})
        for n, entity in enumerate(entities, 1)
    ]
    question = fill(prompt.user, {"text": passage.text, "entities": "\n".join(lines)})
    return (
        Message(role="system", content="\n".join(system)),
        Message(role="user", content=question),
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _format(asking: Asking, model: str) -> dict[str, Any] | None:
    better: dict[str, Any] = {"type": "string"}
    if names := list(asking.settings.types):
        better["enum"] = [*names, ""]
    verdict = {"type": "string", "enum": ["yes", "no", "retype"]}
    fields = {"n": {"type": "integer"}, "verdict": verdict, "type": better}
    return list_format(asking.output(model), "verdicts", fields)


def judged_with(asking: Asking) -> dict[str, Any]:
    """The settings that the judge's questions depend on, for comparing a run with an earlier one."""
    fields = {"filter.verify_model": asking.llm.model, **shared_fields(asking)}
    for lang in LANGS:
        prompt = verify_prompt(lang)
        fields[f"prompt verify ({lang})"] = f"{prompt.id} {short_hash(prompt.model_dump_json())}"
    return fields


def tasks(
    annotations: Iterable[Annotation], asking: Asking, ledger: Ledger
) -> Iterator[tuple[Progress, Task]]:
    """The questions of all passages. What failed in an earlier run is asked again."""
    reopened: set[str] = set()
    for annotation in annotations:
        reopen(examine(annotation, asking), ledger, ("all",), reopened)
        yield Progress(1), examine(annotation, asking)


# reading back ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BetterTypes:
    """Which better types of the judge are taken, and under which name.

    Attributes:
        listed: closed list: type, in lower case → its name; empty for open types.
        stop: types that say nothing, in lower case.
        canonical: the name that stands for a type in passages of a language.
    """

    listed: Mapping[str, str] = field(default_factory=dict)
    stop: frozenset[str] = frozenset()
    canonical: Callable[[str, Lang], str] = lambda name, lang: name

    def find(self, said: str, lang: Lang) -> str | None:
        """The name to use, or None when what the judge wrote is no type to use."""
        name = writable(said.strip())
        if self.listed:
            name = self.listed.get(name.lower(), "")
        if not name or name.lower() in self.stop:
            return None
        return self.canonical(name, lang)


class Judged(NamedTuple):
    """A passage after the judge.

    Attributes:
        annotation: with the entities that stay.
        rejects: those that do not, each of unit ``entity``: ``judged_wrong``, or ``duplicate`` where a better type
            made two entities the same.
        retyped: entities that got another type.
        unjudged: entities that stay without a verdict.
        reason: why nobody said anything about some of them, when a question failed; ``not_asked`` before it is asked.
    """

    annotation: Annotation
    rejects: tuple[Reject, ...] = ()
    retyped: int = 0
    unjudged: int = 0
    reason: str | None = None


def judge(annotation: Annotation, opinion: Opinion, model: str, better: BetterTypes | None = None) -> Judged:
    """Apply verdicts to the entities of a passage.

    Args:
        annotation: the passage with its entities.
        opinion: a verdict, or none, for each of them.
        model: who judged, for ``by``.
        better: which better types are taken; None: all.
    """
    if all(verdict is None for verdict in opinion.verdicts):
        return Judged(annotation, unjudged=len(annotation.entities), reason=opinion.reason)
    better = better or BetterTypes()
    passage = annotation.passage
    kept: list[Entity] = []
    rejects: list[Reject] = []
    renamed: set[int] = set()  # places in ``kept``
    places: dict[tuple[str, str], int] = {}
    retyped = unjudged = 0
    for entity, verdict in zip(annotation.entities, opinion.verdicts, strict=True):
        name: str | None = entity.type
        if verdict is not None and verdict.word == "no":
            rejects.append(_reject(passage, "judged_wrong", entity))
            continue
        if verdict is not None and verdict.word == "retype":
            name = better.find(verdict.type, passage.lang)
        if verdict is None or name is None:
            unjudged += 1
            name = entity.type
        changed = name != entity.type
        retyped += changed
        place = places.get((entity.surface, name))
        if place is not None and (changed or place in renamed):
            kept[place] = _merged(kept[place], _renamed(entity, name))
            rejects.append(_reject(passage, "duplicate", entity))
            continue
        places.setdefault((entity.surface, name), len(kept))
        if changed:
            renamed.add(len(kept))
        kept.append(_renamed(entity, name))
    judged = replace(annotation, entities=tuple(kept), by=replace(annotation.by, verified_by=model))
    return Judged(judged, tuple(rejects), retyped, unjudged, opinion.reason)


def _reject(passage: Passage, reason: str, entity: Entity) -> Reject:
    detail = f"{entity.surface} ({entity.type})"
    return Reject(id=passage.id, stage=STAGE, reason=reason, detail=detail, unit="entity")


def _renamed(entity: Entity, name: str) -> Entity:
    """The entity under another type; what its annotator called it is kept."""
    if name == entity.type:
        return entity
    said = entity.original_type or entity.type
    original = None if said == name else said
    return Entity(surface=entity.surface, type=name, starts=entity.starts, original_type=original)


def _merged(one: Entity, other: Entity) -> Entity:
    """One entity for two that became the same, with the places of both."""
    starts = tuple(sorted({*one.starts, *other.starts}))
    return replace(one, starts=starts)


def read_verdicts(
    annotations: Iterable[Annotation], asking: Asking, ledger: Ledger, better: BetterTypes
) -> Iterator[Judged]:
    """What the ledger says about every passage, in their order. One that was not asked about stays as it is."""
    model = asking.llm.model or ""
    for annotation in annotations:
        result: Any = ledger.play(examine(annotation, asking))
        if isinstance(result, Done):
            yield judge(annotation, result.value, model, better)
        else:
            yield Judged(annotation, unjudged=len(annotation.entities), reason=NOT_ASKED)
