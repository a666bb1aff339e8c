"""One OpenAI-compatible endpoint over HTTP: a request out, an answer or a kind of failure back.

aiohttp and not the openai client: building and checking typed objects for every answer costs that client about five
times the CPU time, and the raw body is what is stored anyway (``benchmarks/annotate.py`` compares them).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sinoner import __version__
from sinoner.errors import EndpointError
from sinoner.llm.failures import CallError, classify, retry_after
from sinoner.llm.keys import address, proxy, read_key, secrets, with_path
from sinoner.llm.request import Request, message_of
from sinoner.settings import EndpointSettings, LlmSettings

if TYPE_CHECKING:
    import aiohttp


class Answer:
    """A response with status 200 as it came: ``raw`` body, ``headers``."""

    __slots__ = ("headers", "raw")

    def __init__(self, raw: str, headers: Mapping[str, str]) -> None:
        self.raw = raw
        self.headers = headers


class Client:
    """One endpoint. Close it when done.

    Attributes:
        endpoint: its address without login, as it is shown and kept.
        models: the models it serves: name in the settings → name there; empty means all under their own names.

    Raises:
        EndpointError: the key is missing, or the address is none.
    """

    def __init__(
        self,
        llm: LlmSettings,
        settings: EndpointSettings | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        own = settings or EndpointSettings(base_url=llm.base_url)
        variable = own.api_key_env or llm.api_key_env
        file = own.api_key_file if own.api_key_file or own.api_key_env else llm.api_key_file
        self.key = read_key(variable, file, environ)
        self.key_place = file or variable
        self.url, self.endpoint = address(own.base_url, environ)
        self.models = own.models
        self._timeout = llm.timeout
        self._secrets = secrets(self.key, self.url)
        self._proxy = proxy(self.url)
        self._session: aiohttp.ClientSession | None = None

    def serves(self, model: str) -> bool:
        """Whether requests for this model may go here."""
        return not self.models or model in self.models

    def name_of(self, model: str) -> str:
        """What the model is called here."""
        return self.models.get(model, model)

    async def ask(self, request: Request) -> Answer:
        """Send one request once.

        Raises:
            CallError: with the kind of failure, and what came of it.
        """
        payload = request.payload
        if self.name_of(request.model) != request.model:
            payload = json.dumps(
                {**json.loads(payload), "model": self.name_of(request.model)}, ensure_ascii=False
            )
        return await self.post(request.path, payload.encode("utf-8", "replace"))

    async def post(self, path: str, payload: bytes) -> Answer:
        """Send a body; the whole exchange must end within the time-out.

        Raises:
            CallError: as for ``ask``.
        """
        import aiohttp

        try:
            # A redirect would take the passages to a server that nobody named.
            async with self._open().post(
                with_path(self.url, path), data=payload, proxy=self._proxy, allow_redirects=False
            ) as response:
                data = await response.read()
                status, headers = response.status, response.headers
        except aiohttp.ConnectionTimeoutError:
            raise CallError("unreachable", "no connection within the time-out") from None
        except TimeoutError:
            raise CallError("timeout", f"no answer within {self._timeout:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise CallError("unreachable", self.hide(str(error.os_error or error))) from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            raise CallError("transient", f"the connection broke off ({type(error).__name__})") from None
        except aiohttp.ClientPayloadError:
            raise CallError("transient", "the answer broke off half-way") from None
        except aiohttp.InvalidURL:
            raise CallError("unreachable", "is not an address that can be called") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise CallError("transient", self.hide(f"{type(error).__name__}: {error}")[:200]) from None
        raw = self.hide(data.decode("utf-8", "replace"))
        if status == 200:
            return Answer(raw, headers)
        if 300 <= status < 400:
            where = self.hide(headers.get("Location", "elsewhere"))[:200]
            raise CallError(
                "model_not_found", f"it redirects to {where}, and is not followed", status=status, raw=raw
            )
        raise CallError(
            classify(status, raw), message_of(raw), retry_after(headers, time.time()), status=status, raw=raw
        )

    def hide(self, text: str) -> str:
        """A text without the key: some gateways repeat the key they were sent."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
                timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=min(self._timeout, 30)),
                headers={
                    # A login in the address goes out in this header as well, and aiohttp refuses to choose.
                    **({} if urlsplit(self.url).username else {"Authorization": f"Bearer {self.key}"}),
                    "Content-Type": "application/json",
                    "User-Agent": f"sinoner/{__version__}",
                },
            )
        return self._session

    async def close(self) -> None:
        """Close the connections; a later question opens new ones."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()
            await asyncio.sleep(0)  # lets the transports go before the loop does

    def openai(self) -> Any:
        """The openai client for this endpoint, for its files and batches."""
        from openai import OpenAI

        return OpenAI(api_key=self.key, base_url=self.url, timeout=max(self._timeout, 600), max_retries=5)


def clients(llm: LlmSettings, environ: Mapping[str, str] = os.environ) -> list[Client]:
    """The clients of all endpoints of the settings.

    Raises:
        EndpointError: no model, a missing key, no address, or nobody serves a model.
    """
    if not llm.model:
        raise EndpointError(
            "llm.model is not set: give --model NAME (and --base-url URL for your own server),"
            " or label without a model: --by jieba or lac"
        )
    if llm.endpoints and llm.base_url:
        raise EndpointError("llm.base_url and llm.endpoints are both set; keep one of them")
    found = [Client(llm, e, environ) for e in llm.endpoints or (EndpointSettings(base_url=llm.base_url),)]
    for model in (llm.model, *llm.more_models):
        if not any(c.serves(model) for c in found):
            raise EndpointError(f"llm.endpoints: none of them serves {model}; add it to the models of one")
    if twice := next(
        (c.endpoint for i, c in enumerate(found) if c.endpoint in [x.endpoint for x in found[:i]]), None
    ):
        raise EndpointError(f"llm.endpoints: {twice} is listed twice")
    return found


def renamed(llm: LlmSettings, environ: Mapping[str, str] = os.environ) -> dict[str, Mapping[str, str]]:
    """What the models are called at the endpoints of the settings, by address; no key is needed for that.

    An endpoint whose address cannot be told now is left out.
    """
    found: dict[str, Mapping[str, str]] = {}
    for endpoint in llm.endpoints:
        with contextlib.suppress(EndpointError):
            found[address(endpoint.base_url, environ)[1]] = endpoint.models
    return found


def identity(llm: LlmSettings, environ: Mapping[str, str] = os.environ) -> str:
    """The name of the endpoint in request keys: ``llm.name``, else its first address. Replicas share it."""
    if llm.name:
        return llm.name
    return address(llm.endpoints[0].base_url if llm.endpoints else llm.base_url, environ)[1]
