"""Asking for answers from beginning to end: the one way in which passages, verdicts, vectors and formats are asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sinoner.llm.dispatch import Dispatcher
from sinoner.llm.endpoints import Lane, Words, lanes
from sinoner.llm.service import Service
from sinoner.settings import LlmSettings


@asynccontextmanager
async def driving(
    service: Service, llm: LlmSettings, at: Sequence[Lane] = (), words: Words | None = None
) -> AsyncIterator[Dispatcher]:
    """A dispatcher whose ``results`` are read inside; nothing is left in flight and no connection open afterwards.

    Args:
        service: what asks.
        llm: limits and models.
        at: endpoints that know their limits from an earlier call; else those of the settings are begun with.
        words: the settings that messages name.
    """
    dispatcher = Dispatcher(at or lanes(llm, service.clients), service, llm, words or Words())
    try:
        yield dispatcher
    finally:
        await dispatcher.close()
        for client in service.clients:
            await client.close()
