"""The endpoints of a run with their limits, and what is on its way to them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from sinoner.errors import EndpointError, StoppedError
from sinoner.llm.client import Client
from sinoner.llm.failures import CallError
from sinoner.llm.limiter import Limiter, Rates, Ticket
from sinoner.llm.request import Heard, Request
from sinoner.llm.retries import Retries
from sinoner.settings import EndpointSettings, LlmSettings

Task = Generator[Request, Heard, Any]


@dataclass(slots=True)
class Job:
    """A task on its way.

    Attributes:
        owner: who asked.
        task: the generator.
        request: what it waits for.
        retries: its attempts, once one has failed.
        misses: how often nobody answered at the address.
        number: its row in the ledger.
        failed_at: the endpoint where it failed last; another one is tried next.
    """

    owner: Any
    task: Task
    request: Request
    retries: Retries | None = None
    misses: int = 0
    number: int = 0
    failed_at: str | None = None


@dataclass
class Lane:
    """One endpoint with its limits, and what it cannot serve any more."""

    client: Client
    limiter: Limiter
    rates: Rates
    closed: dict[str, CallError] = field(default_factory=dict)
    misses: int = 0

    def serves(self, request: Request) -> bool:
        """Whether a request may go here."""
        if request.pin is not None:  # whatever has come of others, it must come to an end
            return request.pin == self.client.endpoint and self.client.serves(request.model)
        return self.open_for(request.model)

    def open_for(self, model: str) -> bool:
        """Whether it still serves a model."""
        return self.client.serves(model) and model not in self.closed


class Sent(NamedTuple):
    """A request on its way: whose, where, since when, and what was reserved for it (money, tokens)."""

    job: Job
    lane: Lane
    ticket: Ticket
    reserved: tuple[Decimal, int]


class Words(NamedTuple):
    """How a person changes what is asked, for messages.

    Attributes:
        model: the setting that names the model.
        address: the setting that names the endpoint.
        partly: what else helps when the budget is used up.
    """

    model: str = "--model"
    address: str = "--base-url"
    partly: str = ", or add --reparse to write what is answered so far"


def lanes(llm: LlmSettings, clients: Sequence[Client]) -> list[Lane]:
    """The endpoints of the settings with their limits."""
    found = []
    every: Sequence[EndpointSettings | None] = llm.endpoints or (None,)
    for client, own in zip(clients, every, strict=True):
        fixed = (own.concurrency if own else None) or llm.concurrency
        limiter = Limiter(fixed, fixed, fixed=True) if fixed else Limiter(llm.start, llm.most)
        rpm, tpm = (own.rpm if own else None) or llm.rpm, (own.tpm if own else None) or llm.tpm
        found.append(Lane(client, limiter, Rates(rpm, tpm)))
    return found


def choose(lanes: Sequence[Lane], job: Job, tokens: float, now: float) -> Lane | None:
    """The least loaded endpoint that may take a request now; None when there is none.

    A request does not go where it just failed while another endpoint lives; any other request may be the one that
    finds out whether a dead endpoint is back.

    Args:
        lanes: the endpoints.
        job: whose request.
        tokens: about how many it will use.
        now: the time.
    """
    serving = [lane for lane in lanes if lane.serves(job.request)]
    if job.failed_at is not None:
        alive = [x for x in serving if x.client.endpoint != job.failed_at and not x.limiter.down]
        serving = alive or serving
    free = [x for x in serving if x.limiter.free(now) and x.rates.wait(tokens, now) <= 0]
    return min(free, key=lambda x: x.limiter.load, default=None)


def unusable(lane: Lane, error: CallError, model: str | None, words: Words) -> EndpointError:
    """What is said when no endpoint can be used any more."""
    advice = {
        "auth": f"check the key in {lane.client.key_place}",
        "quota": "top up the account",
        "model_not_found": f"check {words.model} {model} and {words.address}",
        "unreachable": f"check {words.address} and that the server is up",
    }[error.kind]
    told = f"{lane.client.endpoint}: {error.kind}: {error.detail}; {advice}, then run the same command again"
    return EndpointError(told)


def given_up(endpoint: str, error: CallError, seconds: float) -> StoppedError:
    """What is reported when nothing has succeeded for so long."""
    return StoppedError(
        f"{endpoint}: no answer for {seconds:g} s (last: {error}); all answers are kept;"
        " run the same command again to continue"
    )
