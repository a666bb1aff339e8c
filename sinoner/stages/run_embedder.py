"""The embedder of a run (a model on this machine, or an API with the run's ledger and budget) and the vectors it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sinoner.records import Lang
from sinoner.run.layout import LEDGER, VECTORS
from sinoner.run.screen import Progress
from sinoner.run.stage import Run
from sinoner.stages.llm_session import Collecting, key_files_elsewhere, readable

if TYPE_CHECKING:
    from sinoner.llm.client import Client
    from sinoner.retrieve.api_embedder import Work
    from sinoner.retrieve.embedder import Embedder
    from sinoner.store.vectors import VectorStore

# Texts that an API is asked about at a time: it is fast when asked for many, and the ledger keeps its answers.
_API_BLOCK = 16_384


@contextmanager
def embedder_of(
    run: Run, lang: Lang, progress: Progress = lambda total, note, done=None: None, stage: str = "retrieve"
) -> Iterator[Embedder]:
    """The embedder that the settings name, for a language; an API's ledger is open as long as it is used.

    A key is needed only once something is asked: what the ledger or the vectors on disk have needs none.

    Args:
        run: settings, folder and screen.
        lang: of the texts.
        progress: shows the texts that an API is asked about: how many, speeds and cost, how many are done.
        stage: the stage that embeds, for the screen.

    Raises:
        InputError: the model cannot be loaded, or the ledger cannot be read.
        EndpointError: the address of the API is not valid.
        MissingExtraError: the library of the embedder is not installed.
    """
    settings = run.recipe.retrieve
    if settings.embedder != "openai":
        from sinoner.retrieve.embedders import embedder

        yield embedder(settings, lang)
        return
    from sinoner.llm.client import clients
    from sinoner.llm.ledger import Ledger
    from sinoner.retrieve.api_embedder import ApiEmbedder, embedding_llm

    key_files_elsewhere(run)
    llm = embedding_llm(settings, run.recipe.llm, lang)
    found: list[Client] = []
    with readable(run.folder / LEDGER), Ledger(run.folder / LEDGER) as ledger:

        def ask(total: int, work: Work) -> None:
            if not found:
                found.extend(clients(llm))
            again = "the same command asks for them again"
            Collecting(run, stage, total, progress, again).ask(llm, found, ledger, work)

        yield ApiEmbedder(settings, llm, lang, ledger, ask)


@contextmanager
def vectors_of(run: Run, lang: Lang, progress: Progress, what: str) -> Iterator[VectorStore]:
    """The vectors of a run for a language.

    Args:
        run: its folder and settings.
        lang: language of the texts.
        progress: shows how many texts are embedded.
        what: what the texts are, for the screen.

    Raises:
        InputError, EndpointError, MissingExtraError: the embedder cannot be used.
    """
    from sinoner.store.vectors import BLOCK, VectorStore

    settings = run.recipe.retrieve
    api = settings.embedder == "openai"
    with embedder_of(run, lang, progress) as embedder:

        def embedded(total: int, done: int) -> None:
            if not api:  # which reports more itself
                progress(total, f"embedding {what} ({embedder.name})", done)

        def converted(n: int) -> None:
            run.screen.say(
                f"{what}: {n} float16 vectors converted from the float32 ones kept here, not embedded again"
            )

        folder, block = run.folder / VECTORS, _API_BLOCK if api else BLOCK
        yield VectorStore(folder, embedder, settings.vectors, embedded, block, converted)
