"""Which answer format the endpoints of a run support: asked once, kept in the ledger, and never changed by itself."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

from sinoner.annotate.asking import Asking, Output
from sinoner.annotate.interview import Finding, probe
from sinoner.errors import StoppedError
from sinoner.llm.client import Client
from sinoner.llm.drive import driving
from sinoner.llm.ledger import Ledger
from sinoner.llm.request import Heard, Request
from sinoner.llm.service import Service

# Answer formats, the most demanding first: several endpoints use the one that all of them support.
_DEMANDING: tuple[Output, ...] = ("json_schema", "json_object", "text")
Found = dict[tuple[str, str], Output | Finding]


async def with_outputs(asking: Asking, service: Service) -> Asking:
    """Find out the answer format of each model, unless settings or ledger say.

    An endpoint that cannot be asked now does not count if another can: it may come back and will do what the others
    do. The format is kept, so that it does not change when an endpoint comes, goes, or learns something.

    Raises:
        EndpointError: no endpoint can be used.
        StoppedError: no endpoint could be asked now.
    """
    known = known_outputs(asking, service.ledger)
    unknown = [model for model in _models(asking) if model not in known.outputs]
    if not unknown:
        return known
    async with driving(service, asking.llm) as dispatcher:
        probes = iter(_probes(asking, unknown, service.clients))
        found: Found = {owner: output async for owner, output, _ in dispatcher.results(probes)}
    for finding in found.values():
        if isinstance(finding, Finding):  # to be asked again next time
            service.ledger.reopen(finding.keys)
    outputs = dict(known.outputs)
    for model in unknown:
        said = {endpoint: x for (m, endpoint), x in found.items() if m == model}
        formats: list[Output] = [x for x in said.values() if isinstance(x, str)]
        for endpoint, finding in said.items():
            if isinstance(finding, Finding) and not formats:
                raise StoppedError(
                    f"{endpoint}: {finding.reason}: {finding.detail}, while finding out the answer format; run the same"
                    " command again, or set llm.output"
                )
        outputs[model] = max(formats, key=_DEMANDING.index, default="text")
        service.ledger.keep_format(asking.identity, model, outputs[model])
    return replace(asking, outputs=outputs)


def known_outputs(asking: Asking, ledger: Ledger | None) -> Asking:
    """The answer formats as the settings and the ledger, if there is one, have them, without asking."""
    outputs: dict[str, Output] = {}
    for model in _models(asking):
        if asking.llm.output != "auto":
            outputs[model] = asking.llm.output
        elif asking.settings.prompt != "extract":  # a prompt of the person's own is answered in text
            outputs[model] = "text"
        elif ledger is not None:
            kept = ledger.format(asking.identity, model)
            if kept in _DEMANDING:
                outputs[model] = kept
    return replace(asking, outputs=outputs)


def _models(asking: Asking) -> list[str]:
    return list(dict.fromkeys(model for model, _ in asking.rounds))


def _probes(
    asking: Asking, models: Sequence[str], clients: Sequence[Client]
) -> list[tuple[tuple[str, str], Generator[Request, Heard, Output | Finding]]]:
    return [
        ((model, client.endpoint), probe(asking, model, client.endpoint))
        for model in models
        for client in clients
        if client.serves(model)
    ]
