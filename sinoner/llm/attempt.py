"""One try at a request, and what all of them cost, as the ledger keeps them."""

from __future__ import annotations

from typing import NamedTuple

from sinoner.llm.failures import Kind
from sinoner.llm.request import Reply


class Attempt(NamedTuple):
    """One try at a request, as it is kept.

    Attributes:
        endpoint: address without credentials.
        seconds: how long it took.
        status: HTTP status, if there was one.
        error: the kind of failure; None for a usable answer.
        detail: the failure in words.
        raw: the body as it came, if one came.
        finish: the finish reason of an answer.
        tokens: prompt, completion and cached tokens.
        measured: whether the endpoint told the tokens; else they are the most it can have been.
        batch: the batch it came with, if any.
    """

    endpoint: str
    seconds: float = 0.0
    status: int | None = None
    error: Kind | None = None
    detail: str = ""
    raw: str | None = None
    finish: str | None = None
    tokens: tuple[int, int, int] = (0, 0, 0)
    measured: bool = True
    batch: str | None = None


def answered(
    reply: Reply,
    endpoint: str,
    seconds: float = 0.0,
    batch: str | None = None,
    bound: tuple[int, int] = (0, 0),
) -> Attempt:
    """The attempt of an answer that can be used; ``bound`` is what it cost when the endpoint does not tell."""
    if not reply.prompt_tokens and not reply.completion_tokens and any(bound):
        return Attempt(endpoint, seconds, 200, None, "", reply.raw, reply.finish, (*bound, 0), False, batch)
    tokens = (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens)
    return Attempt(endpoint, seconds, 200, None, "", reply.raw, reply.finish, tokens, True, batch)


class Spent(NamedTuple):
    """Tokens of all attempts of one model at one endpoint.

    ``batch`` says whether they came with a batch; ``measured`` is False for what may have been paid unseen.
    """

    model: str
    endpoint: str
    batch: bool
    measured: bool
    attempts: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
