"""The embedder ``openai``: vectors from an embeddings API, through the ledger, the limits and the budget of annotating.

What was ever answered is looked up in the ledger text by text, so that neither another batch size nor another order, nor
a text more or less, has anything asked twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sinoner.errors import InputError, SinonerError, StoppedError
from sinoner.llm.client import identity
from sinoner.llm.drive import driving
from sinoner.llm.embeddings import embedding_request, read_embeddings, texts_of
from sinoner.llm.endpoints import Lane, Words, lanes
from sinoner.llm.failures import RETRY, CallError, Kind
from sinoner.llm.ledger import Ledger
from sinoner.llm.request import Heard, Request
from sinoner.llm.service import Service
from sinoner.records import Lang
from sinoner.retrieve.embedder import Encoded
from sinoner.retrieve.truncate import TOKENIZER, Cutting
from sinoner.settings import LlmSettings, RetrieveSettings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# So many requests may fail for good before nothing more is asked.
_MOST_FAILED = 10

Work = Callable[[Service], None]


class Failed(NamedTuple):
    """A request that ended without an answer: its key, its texts, what came of it and what was said."""

    key: str
    texts: tuple[str, ...]
    kind: Kind
    detail: str


class Outcome(NamedTuple):
    """What came of some texts: how many have a vector now, and what failed; the others were not asked about."""

    answered: int = 0
    failed: tuple[Failed, ...] = ()


class Place(NamedTuple):
    """Where the vector of a text is: key of the request, place in its answer, and how many texts that has."""

    key: str
    place: int
    of: int


def embedding_llm(settings: RetrieveSettings, llm: LlmSettings, lang: Lang) -> LlmSettings:
    """The settings of the endpoint that embeds: that of ``retrieve`` if one is set, else that of ``llm``.

    Its limits (requests and tokens per minute, concurrency, time-outs, attempts) are those of ``llm`` in any case.
    """
    changed: dict[str, object] = {
        "model": settings.model(lang), "more_models": (), "extra": {}, "max_tokens": 1, "output": "text",
    }  # fmt: skip
    own_key = {"api_key_env": settings.api_key_env, "api_key_file": None} if settings.api_key_env else {}
    if settings.base_url:
        changed |= {"base_url": settings.base_url, "endpoints": (), "name": None}
    elif own_key:
        changed["endpoints"] = tuple(e.model_copy(update=own_key) for e in llm.endpoints)
    return llm.model_copy(update=changed | own_key)


class ApiEmbedder:
    """An embeddings API. An embedder as in ``sinoner.retrieve.embedder``.

    Give ``encode`` many texts at once: then enough requests are on their way, and what is answered is in the ledger at
    once, so that nothing is lost when it stops.

    Args:
        settings: model, longest text, texts per request.
        llm: the endpoint as ``embedding_llm`` gives it.
        lang: of the texts.
        ledger: of the run folder; open as long as the embedder is used.
        ask: is given how many texts are missing and what asks for them; opens the endpoints and calls it.
        environ: for variables in the address.

    Attributes:
        name: for people, with the model.
        identity: what a vector depends on besides its text.

    Raises:
        EndpointError: the address is none.
    """

    def __init__(
        self,
        settings: RetrieveSettings,
        llm: LlmSettings,
        lang: Lang,
        ledger: Ledger,
        ask: Callable[[int, Work], None],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._model = llm.model or ""
        self._endpoint = identity(llm, environ)
        self._llm = llm
        self._ledger = ledger
        self._ask = ask
        self._limit = settings.max_length
        self._cutting = Cutting(self._limit)
        self._size = settings.batch_size
        self._setting = f"retrieve.model_{lang}"
        own = "llm.endpoints" if llm.endpoints else "llm.base_url"
        self._address = "retrieve.base_url" if settings.base_url else own
        self._lanes: list[Lane] = []
        self._places: dict[bytes, Place] | None = None
        self._reopened: set[str] = set()
        self._dim = 0
        self.name = f"openai:{self._model}"
        self.identity = f"{self._endpoint} {self._model} {TOKENIZER}:{self._limit}"

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Vectors of the texts, shape ``(len(texts), dim)``, each of length 1; without texts ``(0, dim)`` or ``(0, 0)``.

        Raises:
            EndpointError: no endpoint can be used.
            StoppedError: the budget is used up, or the endpoint failed too often; the same call asks for the rest.
            InputError: the endpoint refuses a text, or gives vectors of several sizes.
            KeyboardInterrupt: it was asked to stop.
        """
        import numpy as np

        sent = [self._cutting.cut(text) for text in texts]
        cut = np.array([text != shorter for text, shorter in zip(texts, sent, strict=True)], dtype=np.bool_)
        sent = [text.encode("utf-8", "replace").decode() for text in sent]  # as requests are written
        places = self._known()
        missing = sorted({t for t in sent if _digest(t) not in places}, key=lambda t: (-len(t), t))
        if missing:
            self._ask(len(missing), lambda service: asyncio.run(self._collect(missing, service)))
        return Encoded(self._read([places[_digest(text)] for text in sent]), cut)

    def _known(self) -> dict[bytes, Place]:
        """Where the vectors of all texts are that this model at this endpoint has ever answered."""
        if self._places is None:
            self._places = {}
            for key, body in self._ledger.answered("embed", self._model):
                texts = texts_of(body)
                if (
                    embedding_request(self._model, texts, self._endpoint).key == key
                ):  # not of another endpoint
                    self._note(key, texts)
        return self._places

    def _note(self, key: str, texts: Sequence[str]) -> None:
        assert self._places is not None
        for place, text in enumerate(texts):
            self._places.setdefault(_digest(text), Place(key, place, len(texts)))

    # asking --------------------------------------------------------------------------------------------------

    async def _collect(self, texts: Sequence[str], service: Service) -> None:
        """Ask for the vectors of texts until all have one, or it has to stop."""
        meter = service.meter
        failures: list[Failed] = []
        if [lane.client for lane in self._lanes] != list(
            service.clients
        ):  # else they know their limits already
            self._lanes = lanes(self._llm, service.clients)
        words = Words(self._setting, self._address, "")
        self._reopened.clear()
        async with driving(service, self._llm, self._lanes, words) as dispatcher:
            async for _, outcome, _ in dispatcher.results(self._tasks(texts)):
                failures.extend(outcome.failed)
                meter.done += outcome.answered
                meter.failed += sum(len(failed.texts) for failed in outcome.failed)
                if outcome.failed and (not self._places or len(failures) >= _MOST_FAILED):
                    dispatcher.stop(self._given_up(failures))
        if failures:
            raise self._given_up(failures)

    def _tasks(self, texts: Sequence[str]) -> Iterator[tuple[None, Generator[Request, Heard, Outcome]]]:
        """The requests for texts, made when there is room for them."""
        begin = 0
        while begin < len(texts):
            some = tuple(texts[begin : begin + self._size])
            begin += len(some)
            yield None, self._asking(some)

    def _asking(self, texts: tuple[str, ...]) -> Generator[Request, Heard, Outcome]:
        """Ask for the vectors of some texts, in halves if they are refused together."""
        request = embedding_request(self._model, texts, self._endpoint)
        self._reopen(request, texts)
        heard = yield request
        if heard.failed is None:
            self._note(request.key, texts)
            return Outcome(len(texts))
        if len(texts) == 1 or heard.failed in RETRY:
            return Outcome(failed=(Failed(request.key, texts, heard.failed, heard.detail),))
        half = (len(texts) + 1) // 2
        about_text = heard.failed in ("content_filter", "refused")
        answered, begin = 0, 0
        failed: tuple[Failed, ...] = ()
        while begin < len(texts) and (
            about_text or not failed
        ):  # what is wrong in general is not asked to the end
            size = half if about_text else min(half, self._size)
            part = yield from self._asking(texts[begin : begin + size])
            answered, failed = answered + part.answered, failed + part.failed
            begin += size
        if not (about_text or failed):  # so many together are too many for this endpoint
            self._size = min(self._size, half)
        return Outcome(answered, failed)

    def _reopen(self, request: Request, texts: tuple[str, ...]) -> None:
        """Have what failed in an earlier run asked again; that several texts were refused together still counts."""
        if request.key in self._reopened:
            return
        self._reopened.add(request.key)
        known = self._ledger.find(request.key)
        if known is not None and (known.failed in RETRY or (known.failed is not None and len(texts) == 1)):
            self._ledger.reopen([request.key])

    def _given_up(self, failures: Sequence[Failed]) -> SinonerError:
        """What is said of requests that failed for good."""
        worst = next((f for f in failures if f.kind not in RETRY), failures[0])
        begin = worst.texts[0][:30]
        texts = "a text" if len(worst.texts) == 1 else f"{len(worst.texts)} texts, the first"
        which = f"request {worst.key[:12]} ({texts} that begins {begin!r}): {worst.kind}: {worst.detail}"
        count = f"{len(failures)} embedding requests" if len(failures) > 1 else "an embedding request"
        kept = "everything answered is kept, the same command asks for the rest"
        if worst.kind in RETRY:
            return StoppedError(
                f"{self._endpoint}: {count} had no usable answer in {self._llm.max_attempts} attempts; {which}; {kept}"
            )
        advice = {
            "context_length": f"set retrieve.max_length below {self._limit}",
            "content_filter": "take the passage out, or embed on this machine (retrieve.embedder=e5-mini)",
            "refused": "take the passage out, or embed on this machine (retrieve.embedder=e5-mini)",
        }.get(worst.kind, f"check {self._setting} ({self._model}) and {self._address}")
        return InputError(f"{self._endpoint}: {count} was refused; {which}; {advice}; {kept}")

    # reading -------------------------------------------------------------------------------------------------

    def _read(self, places: Sequence[Place]) -> npt.NDArray[np.float32]:
        """The vectors at these places of the ledger, each answer read once.

        Raises:
            InputError: they have several sizes.
            StoppedError: an answer cannot be read any more.
        """
        import numpy as np

        rows: dict[str, list[tuple[int, Place]]] = {}
        for row, place in enumerate(places):
            rows.setdefault(place.key, []).append((row, place))
        vectors = np.empty((len(places), self._dim), dtype=np.float32)
        sizes: dict[str, int] = {}
        for key, wanted in rows.items():
            heard = self._ledger.find(key)
            try:
                answer = read_embeddings(heard.raw if heard is not None else "", wanted[0][1].of)
            except CallError as error:
                self._forget([key])
                raise StoppedError(
                    f"{self._ledger.path}: the answer to request {key[:12]} cannot be read any more ({error.detail});"
                    " the same command asks for it again"
                ) from None
            sizes[key] = answer.vectors.shape[1]
            if not self._dim:
                self._dim = sizes[key]
                vectors = np.empty((len(places), self._dim), dtype=np.float32)
            if sizes[key] == self._dim:
                at = [row for row, _ in wanted]
                vectors[at] = answer.vectors[[place.place for _, place in wanted]]
        self._same_size(sizes)
        return vectors

    def _same_size(self, sizes: Mapping[str, int]) -> None:
        """Refuse vectors of several sizes: which of them are of the right model, nobody can tell."""
        odd = next((key for key, size in sizes.items() if size != self._dim), None)
        if odd is None:
            return
        told = " and ".join(str(size) for size in sorted({self._dim, *sizes.values()}))
        self._dim = 0
        self._forget({place.key for place in self._known().values()})
        raise InputError(
            f"{self._endpoint}: {self._model} gave vectors of {told} numbers (request {odd[:12]} is one that differs): not"
            f" all are of the same model; check {self._setting} and {self._address}, then run the same command again,"
            " which requests all of them again"
        )

    def _forget(self, keys: Iterable[str]) -> None:
        """Have requests asked again."""
        self._ledger.reopen(keys)
        self._places = None


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
