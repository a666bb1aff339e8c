"""What annotating would take, without sending anything: passages, tokens, requests, time, and cost per model."""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from sinoner import disk
from sinoner.commands.estimate_costs import ModelCost, Share, model_costs, totals
from sinoner.errors import InputError
from sinoner.records import Annotation, Passage, Reject
from sinoner.run.layout import HUMAN, LEDGER, PASSAGES
from sinoner.run.manifest import Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Run
from sinoner.settings import EndpointSettings, LlmSettings, Recipe
from sinoner.stages.annotate import asking_of
from sinoner.stages.chunk import CHUNK
from sinoner.stages.llm_session import readable
from sinoner.stages.verify import asking_of as judge_asking

if TYPE_CHECKING:
    from sinoner.annotate.asking import Asking, Output
    from sinoner.llm.ledger import Ledger
    from sinoner.llm.pricing import Currency

# Passages whose tokens are counted; the rest are taken to be like them.
SAMPLE = 100
# Tokens of an answer per token of its passage: 133 to 183 in the answers published with the paper's code.
_ANSWER_SHARE = 0.72
_LATENCY = 5.0
_CONCURRENCY = 64
# Of an answer about a passage, the tokens of one entity; and of a verdict on it.
_ENTITY, _VERDICT = 10, 16
# Tokens of a message's frame and of the answer's beginning, as OpenAI's cookbook counts them.
_MESSAGE, _BEGINNING = 4, 3


@dataclass(frozen=True)
class Estimate:
    """What annotating would take.

    Attributes:
        passages: to be labelled by the model.
        answered: of these, how many the ledger has an answer about already.
        requests: still to be sent about them.
        prompt_tokens: of one of these, on average.
        answer_tokens: of one answer, on average.
        judge_requests: of the judge (``filter.verify``), still to be sent.
        judge_tokens: of the question and the answer of one of these, on average.
        measured: whether answers and latency come from this run's ledger.
        latency: seconds per answer.
        concurrency: requests in flight.
        seconds: wall time.
        limit: what the time depends on: ``concurrency``, ``rpm`` or ``tpm``.
        costs: per model of the price table.
        totals: of the chosen models together, per currency.
    """

    passages: int
    answered: int
    requests: int
    prompt_tokens: float
    answer_tokens: float
    judge_requests: int
    judge_tokens: tuple[float, float]
    measured: bool
    latency: float
    concurrency: int
    seconds: float
    limit: str
    costs: tuple[ModelCost, ...]
    totals: dict[Currency, Decimal]


def estimate(recipe: Recipe, latency: float | None, answer_tokens: int | None) -> Estimate:
    """Estimate the stage annotate of a recipe.

    Args:
        recipe: corpus, prompt and model.
        latency: seconds per answer; None = as measured in the run's ledger, else 5.
        answer_tokens: tokens per answer; None = as measured, else from the length of the passages.

    Raises:
        InputError: no corpus, or nothing in it.
    """
    from sinoner.corpus.chunker import counter
    from sinoner.llm.client import clients

    llm = _without_keys(recipe.llm)
    recipe = recipe.model_copy(update={"llm": llm})
    found = clients(llm, {**os.environ, llm.api_key_env: "-"})
    asking, seen = _look(recipe)
    till = counter(recipe.corpus.tokenizer)

    def tokens(text: str) -> int:
        return till(text, 10**9) or 0

    guess = _ANSWER_SHARE * sum(tokens(p.text) for p in seen.sample) / len(seen.sample)
    answer = float(answer_tokens or (seen.typical[0] if seen.typical else guess))
    shares = {model: Share() for model in seen.missing}
    prompts = {model: _prompt(seen.sample, asking, model, tokens) for model in seen.missing}
    for model, requests in seen.missing.items():
        shares[model].add(requests, prompts[model], answer)
    requests = sum(seen.missing.values())
    asked = sum(share.prompt for share in shares.values())
    to_judge, judge_tokens = 0, (0.0, 0.0)
    if recipe.filter.verify:
        judge = _with_formats(judge_asking(recipe), None)
        to_judge = max(0, seen.passages - seen.judged)
        # The question lists the entities that the annotator's answer names.
        judge_tokens = (
            _judge_prompt(seen.sample, judge, tokens) + answer,
            seen.verdicts[0] if seen.verdicts else answer / _ENTITY * _VERDICT,
        )
        shares.setdefault(judge.llm.model or "", Share()).add(to_judge, *judge_tokens)
    latency = latency or (seen.typical[1] if seen.typical else _LATENCY)
    concurrency = llm.concurrency or _CONCURRENCY
    seconds, limit = _time(llm, shares.values(), latency, concurrency)
    costs = tuple(model_costs(llm, found, shares))
    return Estimate(
        passages=seen.passages,
        answered=seen.answered,
        requests=requests,
        prompt_tokens=round(asked / requests if requests else prompts[llm.model or ""], 1),
        answer_tokens=round(answer, 1),
        judge_requests=to_judge,
        judge_tokens=(round(judge_tokens[0], 1), round(judge_tokens[1], 1)),
        measured=seen.typical is not None,
        latency=round(latency, 2),
        concurrency=concurrency,
        seconds=round(seconds, 1),
        limit=limit,
        costs=costs,
        totals=totals(costs),
    )


class _Seen(NamedTuple):
    """What corpus and ledger say.

    Attributes:
        passages: how many there are.
        answered: those of them that need no request.
        missing: requests per model.
        sample: some passages.
        typical: mean tokens and seconds of an answer of the annotator.
        verdicts: the same of the judge.
        judged: answers of the judge.
    """

    passages: int
    answered: int
    missing: dict[str, int]
    sample: list[Passage]
    typical: tuple[float, float] | None = None
    verdicts: tuple[float, float] | None = None
    judged: int = 0


def _look(recipe: Recipe) -> tuple[Asking, _Seen]:
    """The questions of a recipe, and how many of them are left."""
    with _ledger(recipe) as ledger:
        asking = _with_formats(asking_of(recipe), ledger)
        seen = _Seen(*_gone_through(_passages(recipe), asking, ledger, recipe.seed))
        if ledger is not None:
            seen = seen._replace(
                typical=ledger.typical("annotate"),
                verdicts=ledger.typical("verify"),
                judged=ledger.usage("verify")[0],
            )
    if not seen.sample:
        raise InputError(
            "no passage to annotate: the corpus is empty, or all of it brings its own annotations"
            " (annotate.keep_human=false labels it all the same)"
        )
    return asking, seen


def _with_formats(asking: Asking, ledger: Ledger | None) -> Asking:
    """The questions in the formats that settings or ledger have; what is not found out yet is taken to be JSON."""
    from sinoner.annotate.answer_format import known_outputs

    known = known_outputs(asking, ledger)
    unknown: dict[str, Output] = {
        model: "json_object" for model, _ in asking.rounds if model not in known.outputs
    }
    return replace(known, outputs={**known.outputs, **unknown})


def _prompt(sample: Sequence[Passage], asking: Asking, model: str, tokens: Callable[[str], int]) -> float:
    """Tokens of a question about a passage, on average; a schema is part of what is read."""
    from sinoner.annotate.asking import response_format

    asked = [sum(tokens(m.content) + _MESSAGE for m in asking.messages(p, model)) for p in sample]
    schema = 0
    if asking.output(model) == "json_schema":
        schema = tokens(json.dumps(response_format("json_schema", asking.settings.types), ensure_ascii=False))
    return sum(asked) / len(asked) + _BEGINNING + schema


def _judge_prompt(sample: Sequence[Passage], judge: Asking, tokens: Callable[[str], int]) -> float:
    """Tokens of the judge's question about a passage without its entities, on average."""
    from sinoner.annotate.judge import messages

    asked = [sum(tokens(m.content) + _MESSAGE for m in messages(p, (), judge)) for p in sample]
    return sum(asked) / len(asked) + _BEGINNING


def _time(llm: LlmSettings, shares: Iterable[Share], latency: float, concurrency: int) -> tuple[float, str]:
    """Seconds that the requests take, and what they depend on: the requests in flight, or a pace per minute."""
    requests = tokens = 0.0
    for share in shares:
        requests += share.requests
        tokens += share.prompt + share.answer
    if not requests:
        return 0.0, "concurrency"
    endpoints: Sequence[EndpointSettings | None] = llm.endpoints or (None,)
    rpm = [(own.rpm if own else None) or llm.rpm for own in endpoints]
    tpm = [(own.tpm if own else None) or llm.tpm for own in endpoints]
    times = [(max(latency, requests * latency / concurrency), "concurrency")]
    for name, amount, pace in (("rpm", requests, rpm), ("tpm", tokens, tpm)):
        if all(pace):
            times.append((amount / sum(x or 0 for x in pace) * 60, name))
    return max(times, key=lambda x: x[0])


def _without_keys(llm: LlmSettings) -> LlmSettings:
    """The settings for saying what would be asked, for which no key is needed, nor a model."""
    bare = {"api_key_file": None, "api_key_env": None}
    endpoints = tuple(e.model_copy(update=bare) for e in llm.endpoints)
    named = next((name for e in endpoints for name in e.models), "MODEL")
    return llm.model_copy(update={"api_key_file": None, "endpoints": endpoints, "model": llm.model or named})


@contextlib.contextmanager
def _ledger(recipe: Recipe) -> Iterator[Ledger | None]:
    """The ledger of the run folder, if there is one."""
    from sinoner.llm.ledger import Ledger

    path = recipe.folder / LEDGER
    if not path.is_file():
        yield None
        return
    with readable(path), Ledger(path) as ledger:
        yield ledger


def _passages(recipe: Recipe) -> Iterator[Passage]:
    """The passages that a model would label: those of the run folder if they are current, else freshly cut ones."""
    from sinoner.corpus.chunker import chunk
    from sinoner.corpus.read import read

    folder = recipe.folder
    if folder.is_dir():
        manifest = Manifest(folder)
        run = Run(folder, recipe, manifest, Screen(quiet=True))
        if manifest.is_fresh("chunk", CHUNK.identity(run)):
            human = _labelled(recipe)
            yield from (p for p in disk.read_records(folder / PASSAGES, Passage) if p.id not in human)
            return
    if not recipe.corpus.sources:
        raise InputError("no corpus: give a file or folder, or set corpus.sources in the recipe")
    for item in chunk(read(recipe.corpus), recipe.corpus):
        if isinstance(item, Passage):
            yield item
        elif not isinstance(item, Reject) and not recipe.annotate.keep_human:
            yield item.passage


def _labelled(recipe: Recipe) -> frozenset[str]:
    """Ids of the passages that bring their annotations along."""
    if not recipe.annotate.keep_human:
        return frozenset()
    return frozenset(a.passage.id for a in disk.read_records(recipe.folder / HUMAN, Annotation))


def _gone_through(
    passages: Iterable[Passage], asking: Asking, ledger: Ledger | None, seed: int
) -> tuple[int, int, dict[str, int], list[Passage]]:
    """How many passages there are and are answered, the requests missing per model, and 100 passages at random."""
    from sinoner.annotate.interview import interview
    from sinoner.llm.ledger import Done

    draw = random.Random(seed)
    sample: list[Passage] = []
    count = answered = 0
    missing = dict.fromkeys((model for model, _ in asking.rounds), 0)
    for passage in passages:
        left = [
            model
            for model, number in asking.rounds
            if ledger is None or not isinstance(ledger.play(interview(passage, asking, model, number)), Done)
        ]
        for model in left:
            missing[model] += 1
        count += 1
        answered += not left
        if len(sample) < SAMPLE:
            sample.append(passage)
        elif (place := draw.randrange(count)) < SAMPLE:
            sample[place] = passage
    return count, answered, missing, sample
