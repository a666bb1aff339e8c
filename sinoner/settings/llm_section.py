"""The settings of the endpoints that annotate, and what they refuse: keys, logins, fields that are ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from sinoner.settings.recipe_path import PathInRecipe
from sinoner.settings.section import Mark, Section, listed, named


def _addressed(value: Any) -> Any:
    """Accept bare addresses for endpoints."""
    several = listed(value)
    if not isinstance(several, Sequence):
        return several
    return [{"base_url": x} if isinstance(x, str) else x for x in several]


def _literal_login(url: str | None) -> str | None:
    """Refuse an address that carries a login: it would end up in files. ``${NAME}`` is filled in when it is used."""
    login = r"//(?:[^/@]*|[^/@]*:(?!\d+/)[^@]*)@"  # a password may have slashes, a path may have an @
    if url is not None and re.search(login, url) and not re.search(r"//\$\{\w+\}@", url):
        raise ValueError(
            "the address carries a login; put USER:PASSWORD into an environment variable, say GATEWAY_LOGIN, and write"
            " http://${GATEWAY_LOGIN}@HOST/v1"
        )
    return url


Url = Annotated[str | None, AfterValidator(_literal_login)]


def _no_key(name: str) -> str:
    """Reject a key in place of the name of its environment variable."""
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*|[A-Za-z_]+|(?!.{20})[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(
            "is the name of an environment variable, never the key itself; export it and name it here"
        )
    return name


KeyName = Annotated[str, AfterValidator(_no_key)]


def _our_fields(extra: dict[str, Any]) -> dict[str, Any]:
    """Refuse the fields of a request that are ours, or that would be paid for and thrown away."""
    said = {
        "model": "set llm.model",
        "messages": "write a prompt of your own (annotate.prompt)",
        "n": "set annotate.samples",
        "stream": "answers are read whole",
    }
    for name in extra:
        if name in said:
            raise ValueError(f"{name} cannot be given here: {said[name]}")
    return extra


class EndpointSettings(Section):
    """One of several endpoints that answer the same questions."""

    base_url: Url = Field(description="address, for example http://gpu1:8000/v1")
    api_key_env: KeyName | None = Field(
        None, description="environment variable with its key; default llm.api_key_env"
    )
    api_key_file: PathInRecipe | None = Field(None, description="file with its key, outside the run folder")
    models: Annotated[dict[str, str], BeforeValidator(named)] = Field(
        {}, description="models it serves, as a list, or as model: its name there; default all"
    )
    concurrency: int | None = Field(
        None, ge=1, description="requests in flight here; default llm.concurrency"
    )
    rpm: int | None = Field(None, ge=1, description="requests per minute here; default llm.rpm")
    tpm: int | None = Field(None, ge=1, description="tokens per minute here; default llm.tpm")


class LlmSettings(Section):
    """The OpenAI-compatible endpoint that annotates. The key stays in the environment."""

    model: str | None = Field(None, description="model name at the endpoint")
    more_models: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        (), description="additional models that label every passage, for agreement"
    )
    base_url: Url = Field(None, description="endpoint, for example http://localhost:8000/v1")
    endpoints: Annotated[tuple[EndpointSettings, ...], BeforeValidator(_addressed)] = Field(
        (), description="several endpoints (replicas, providers) instead of base_url"
    )
    name: str | None = Field(
        None,
        description="the endpoint's name in the ledger; default its (first) address. Keep it when a server moves",
    )
    api_key_env: Annotated[KeyName, Mark.ONLY_HOW] = Field(
        "OPENAI_API_KEY", description="environment variable that holds the key"
    )
    api_key_file: Annotated[PathInRecipe | None, Mark.ONLY_HOW] = Field(
        None, description="file that contains the key, outside the run folder"
    )
    temperature: float = Field(0.0, ge=0, le=2, description="sampling temperature")
    max_tokens: int = Field(1024, ge=1, description="maximum number of tokens in an answer")
    output: Literal["auto", "json_schema", "json_object", "text"] = Field(
        "auto",
        description="answer format; auto asks the endpoint what it supports; text is the paper's prompt",
    )
    extra: Annotated[dict[str, Any], AfterValidator(_our_fields)] = Field(
        {},
        description="further fields of the request body, for example {enable_thinking: false}; null removes one",
    )
    concurrency: Annotated[int | None, Mark.ONLY_HOW] = Field(
        None, ge=1, description="fixed number of requests in flight; default: adapts to the endpoint"
    )
    start: Annotated[int, Mark.ONLY_HOW] = Field(
        8, ge=1, description="initial number of requests in flight when adaptive"
    )
    most: Annotated[int, Mark.ONLY_HOW] = Field(
        256, ge=1, description="maximum number of requests in flight when adaptive"
    )
    rpm: Annotated[int | None, Mark.ONLY_HOW] = Field(
        None, ge=1, description="requests per minute; none = as the endpoint's headers say"
    )
    tpm: Annotated[int | None, Mark.ONLY_HOW] = Field(
        None, ge=1, description="tokens per minute; none = as the endpoint's headers say"
    )
    timeout: Annotated[float, Mark.ONLY_HOW] = Field(
        120.0, gt=0, description="time-out of a request, in seconds"
    )
    max_attempts: Annotated[int, Mark.ONLY_HOW] = Field(
        6, ge=1, le=6, description="attempts per request before the passage is a reject"
    )
    give_up: Annotated[float, Mark.ONLY_HOW] = Field(
        300.0, gt=0, description="stop the run after this many seconds without a successful request (exit 75)"
    )
    prices: Annotated[PathInRecipe | None, Mark.ONLY_HOW] = Field(
        None, description="YAML file with your own prices, which override the shipped ones"
    )

    def identity(self) -> dict[str, Any]:
        """As for every section; an endpoint is known by its name, without one by its (first) address."""
        made = super().identity()
        del made["endpoints"]
        address = self.endpoints[0].base_url if self.endpoints else self.base_url
        return made | {"base_url": address if self.name is None else None}
