"""One try at a request, and what all of them cost, as the ledger keeps them."""

from __future__ import annotations

from typing import NamedTuple

from sinoner.llm.failures import CallError, Kind
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

    def bounded(self, bound: tuple[int, int]) -> Attempt:
        """The same; what it cost is the most it can have been when the endpoint does not tell and it may be paid.

        Args:
            bound: the most prompt and completion tokens of its request.
        """
        paid = self.error is None or not self.measured
        if not paid or any(self.tokens) or not any(bound):
            return self
        return self._replace(tokens=(*bound, 0), measured=False)


def answered(reply: Reply, endpoint: str, seconds: float = 0.0, batch: str | None = None) -> Attempt:
    """The attempt of an answer that can be used."""
    tokens = (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens)
    return Attempt(endpoint, seconds, 200, None, "", reply.raw, reply.finish, tokens, True, batch)


# Status codes of a gateway that gave up waiting (the second is Cloudflare's): the server behind it may have answered.
_GATEWAY_TIMEOUTS = (504, 524)


def failed(
    error: CallError, endpoint: str, seconds: float = 0.0, raw: str | None = None, batch: str | None = None
) -> Attempt:
    """The attempt of a failure. What the endpoint may have worked for is not measured, and may be paid.

    Args:
        error: what went wrong.
        endpoint: address without credentials.
        seconds: how long it took.
        raw: the body of an answer with status 200 that could not be read.
        batch: the batch it came with, if any.
    """
    # Without a status there was no answer at all, or one with status 200 that could not be read.
    unseen = error.kind == "transient" and error.status in (None, *_GATEWAY_TIMEOUTS)
    return Attempt(
        endpoint=endpoint,
        seconds=seconds,
        status=200 if raw is not None else error.status,
        error=error.kind,
        detail=error.detail,
        raw=raw if raw is not None else error.raw,
        measured=error.kind != "timeout" and not unseen,
        batch=batch,
    )


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
