"""What annotating would take, without sending anything: passages, tokens, requests, time, and cost per model."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from sinoner import disk
from sinoner.errors import InputError
from sinoner.records import Annotation, Passage, Reject
from sinoner.run.layout import HUMAN, LEDGER, PASSAGES
from sinoner.run.manifest import Manifest, fingerprint, hash_inputs
from sinoner.run.screen import Screen
from sinoner.run.stage import Run
from sinoner.settings import LlmSettings, Recipe
from sinoner.stages.annotate import asking_of
from sinoner.stages.chunk import CHUNK
from sinoner.stages.llm_session import readable

if TYPE_CHECKING:
    from sinoner.annotate.asking import Asking
    from sinoner.llm.client import Client
    from sinoner.llm.ledger import Ledger
    from sinoner.llm.pricing import Currency

# Passages whose tokens are counted; the rest are taken to be like them.
SAMPLE = 100
# Tokens of an answer per token of its passage: 133 to 183 in the answers published with the paper's code.
_ANSWER_SHARE = 0.72
_LATENCY = 5.0
_CONCURRENCY = 64


@dataclass(frozen=True)
class ModelCost:
    """The cost of the requests with one model of the price table, in its currency; ``batch`` = in batch mode."""

    model: str
    provider: str
    currency: Currency
    online: Decimal
    batch: Decimal | None
    as_of: str
    chosen: bool


@dataclass(frozen=True)
class Estimate:
    """What annotating would take.

    Attributes:
        passages: to be labelled by the model.
        answered: of these, how many the ledger has an answer about already.
        requests: still to be sent.
        prompt_tokens: of one request, on average.
        answer_tokens: of one answer, on average.
        measured: whether answers and latency come from this run's ledger.
        latency: seconds per answer.
        concurrency: requests in flight.
        seconds: wall time.
        costs: per model of the price table.
    """

    passages: int
    answered: int
    requests: int
    prompt_tokens: float
    answer_tokens: float
    measured: bool
    latency: float
    concurrency: int
    seconds: float
    costs: tuple[ModelCost, ...]


def estimate(recipe: Recipe, latency: float | None, answer_tokens: int | None) -> Estimate:
    """Estimate the stage annotate of a recipe.

    Args:
        recipe: corpus, prompt and model.
        latency: seconds per answer; None = as measured in the run's ledger, else 5.
        answer_tokens: tokens per answer; None = as measured, else from the length of the passages.

    Raises:
        InputError: no corpus, or nothing in it.
    """
    from sinoner.annotate.answer_format import known_outputs
    from sinoner.corpus.chunker import counter
    from sinoner.llm.client import clients

    llm = _without_keys(recipe.llm)
    recipe = recipe.model_copy(update={"llm": llm})
    found = clients(llm, {**os.environ, llm.api_key_env: "-"})
    with _ledger(recipe) as ledger:
        asking = asking_of(recipe)
        asking = asking if ledger is None else known_outputs(asking, ledger)
        count, answered, requests, sample = _gone_through(_passages(recipe), asking, ledger, recipe.seed)
        typical = ledger.typical("annotate") if ledger is not None else None
    if not sample:
        raise InputError(
            "no passage to annotate: the corpus is empty, or all of it brings its own annotations"
            " (annotate.keep_human=false labels it all the same)"
        )
    till = counter(recipe.corpus.tokenizer)

    def tokens(text: str) -> int:
        return till(text, 10**9) or 0

    asked = [sum(tokens(m.content) + 4 for m in asking.messages(p, llm.model or "")) + 3 for p in sample]
    prompt = sum(asked) / len(asked)
    guess = _ANSWER_SHARE * sum(tokens(p.text) for p in sample) / len(sample)
    answer = float(answer_tokens or (typical[0] if typical else guess))
    seconds = latency or (typical[1] if typical else _LATENCY)
    concurrency = llm.concurrency or _CONCURRENCY
    return Estimate(
        passages=count,
        answered=answered,
        requests=requests,
        prompt_tokens=round(prompt, 1),
        answer_tokens=round(answer, 1),
        measured=typical is not None,
        latency=round(seconds, 2),
        concurrency=concurrency,
        seconds=round(max(seconds, requests * seconds / concurrency) if requests else 0.0, 1),
        costs=tuple(_costs(llm, found, requests, prompt, answer)),
    )


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
        identity = fingerprint("chunk", hash_inputs(CHUNK.inputs(run)), CHUNK.settings(recipe), recipe.seed)
        if manifest.is_fresh("chunk", identity):
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
) -> tuple[int, int, int, list[Passage]]:
    """How many passages there are and are answered, the requests that are missing, and 100 passages at random."""
    from sinoner.annotate.interview import interview
    from sinoner.llm.ledger import Done

    draw = random.Random(seed)
    sample: list[Passage] = []
    count = answered = requests = 0
    for passage in passages:
        missing = len(asking.rounds)
        if ledger is not None:
            missing -= sum(
                isinstance(ledger.play(interview(passage, asking, model, number)), Done)
                for model, number in asking.rounds
            )
        count += 1
        answered += not missing
        requests += missing
        if len(sample) < SAMPLE:
            sample.append(passage)
        elif (place := draw.randrange(count)) < SAMPLE:
            sample[place] = passage
    return count, answered, requests, sample


def _costs(
    llm: LlmSettings, found: Sequence[Client], requests: int, prompt: float, answer: float
) -> Iterator[ModelCost]:
    """The chosen model first, if it has a price; then the table from cheap to dear, by currency."""
    from pathlib import Path

    from sinoner.llm.pricing import load_prices

    table = load_prices(Path(llm.prices).expanduser() if llm.prices else None)
    totals = round(requests * prompt), round(requests * answer)
    models = (llm.model or "", *llm.more_models)
    chosen = {id(table.find(c.name_of(m), c.endpoint)) for c in found for m in models if c.serves(m)}
    rows = [
        ModelCost(
            model=price.model,
            provider=price.provider,
            currency=price.currency,
            online=price.cost(*totals),
            batch=price.cost(*totals, batch=True) if price.batch != 1 else None,
            as_of=str(price.as_of or ""),
            chosen=id(price) in chosen,
        )
        for price in table.all()
        if not price.embeds
    ]
    yield from sorted(rows, key=lambda r: (not r.chosen, r.currency, r.online, r.model))
