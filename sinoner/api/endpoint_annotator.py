"""Annotation by an LLM without a run folder: a ledger, and the requests in a thread of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sinoner.errors import EndpointError, InputError

if TYPE_CHECKING:
    from sinoner.annotate.asking import Asking
    from sinoner.api.annotating import Outcomes
    from sinoner.llm.ledger import Ledger
    from sinoner.records import Annotation, Passage, Reject
    from sinoner.settings import Recipe

T = TypeVar("T")


class EndpointAnnotator:
    """Annotates passages with the endpoints of a recipe. One use.

    Raises:
        InputError: settings that contradict each other.
        EndpointError: no model, no key, or an address that cannot be used.
    """

    def __init__(
        self, recipe: Recipe, api_key: str | None, ledger: Path | None, *, new_run: bool, retry_failed: bool
    ) -> None:
        from sinoner.llm.client import clients
        from sinoner.stages.annotate import asking_of

        if recipe.annotate.mode != "online":
            raise InputError(
                "annotate_texts: annotate.mode=batch takes a run folder: sinoner annotate --mode batch"
            )
        llm = recipe.llm
        if not llm.model:
            raise EndpointError(
                "annotate_texts: no model: pass model=NAME (and base_url=URL for your own server), or annotate without"
                " an LLM: by='jieba'"
            )
        if api_key is not None and llm.api_key_file:
            raise InputError("annotate_texts: api_key and llm.api_key_file are both given; keep one of them")
        environ = dict(os.environ) if api_key is None else {**os.environ, llm.api_key_env: api_key}
        self._clients = clients(llm, environ)
        self._asking = asking_of(recipe)
        self._recipe = recipe
        self._ledger = ledger
        self._new_run = new_run
        self._retry = ("all",) if retry_failed else ()

    def __call__(self, passages: Iterable[Passage]) -> Outcomes:
        """The annotation or reject of each passage with the rejects of its mentions, in order.

        Raises:
            EndpointError, StoppedError, KeyboardInterrupt: as ``sinoner.annotate.by_llm.collect``. Where the ledger is
                a temporary one, a note of the exception names it.
        """
        several = list(passages)
        if not several:
            return
        if self._ledger is not None:
            yield from self._annotate(several, self._ledger)
            return
        folder = Path(tempfile.mkdtemp(prefix="sinoner-"))
        path = folder / "ledger.sqlite"
        try:
            outcomes = self._annotate(several, path)
        except BaseException as error:
            if _answers(path):
                error.add_note(f"The answers so far are kept: pass ledger={str(path)!r} to continue.")
            else:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
        yield from outcomes

    def _annotate(self, passages: Sequence[Passage], path: Path) -> list[Sequence[Annotation | Reject]]:
        """Send what the ledger has no answer for, then read all answers; in a thread, which may run an event loop."""
        from sinoner.annotate.by_llm import collect, read_back
        from sinoner.llm.client import renamed
        from sinoner.llm.costs import account
        from sinoner.llm.ledger import Ledger
        from sinoner.llm.meter import Meter
        from sinoner.llm.service import Service
        from sinoner.stages.llm_session import readable

        recipe, stop = self._recipe, threading.Event()

        def work() -> list[Sequence[Annotation | Reject]]:
            with readable(path), Ledger(path) as ledger:
                self._same_questions(self._asking, ledger)
                ledger.recover()
                spending = account(
                    recipe.annotate, recipe.llm, self._clients, ledger.spent(), renamed(recipe.llm)
                )
                meter = Meter(total=len(passages), cost=spending.spent, before=spending.spent)
                service = Service(
                    self._clients, ledger, spending, meter, stopped=stop.is_set, seed=recipe.seed
                )
                asking = collect(passages, self._asking, service, self._retry)
                return [(r.outcome, *r.rejects) for r in read_back(passages, asking, ledger)]

        return _in_thread(work, stop)

    def _same_questions(self, asking: Asking, ledger: Ledger) -> None:
        """Refuse to pay again for everything because a setting changed unnoticed.

        Raises:
            InputError: the ledger was filled under other settings; each difference is named.
        """
        from sinoner.annotate.by_llm import asked_with
        from sinoner.stages.llm_session import changed_settings

        fields = asked_with(asking)
        changed = changed_settings(ledger, "annotate", fields)
        if changed and not self._new_run:
            lines = "\n".join(f"  {line}" for line in changed)
            raise InputError(
                f"{ledger.path}: its {ledger.usage('annotate')[0]} answers were given under other settings:\n{lines}\n"
                "restore those, pass new_run=True to send all requests again (the old answers are kept), or choose"
                " another ledger"
            )
        if fields not in ledger.runs("annotate"):
            ledger.add_run("annotate", fields)


def _answers(path: Path) -> int:
    """How many answers a ledger holds; 0 where there is none."""
    from sinoner.llm.ledger import Ledger

    if not path.exists():
        return 0
    with Ledger(path) as ledger:
        return ledger.usage()[0]


def _in_thread(work: Callable[[], T], stop: threading.Event) -> T:
    """Run a function in a thread and wait for it; Ctrl-C asks it to stop, a second time it is not waited for.

    A thread of its own has no event loop, also where the caller has one (a notebook), and receives no signals.
    """
    running: Future[T] = Future()

    def run() -> None:
        try:
            running.set_result(work())
        except BaseException as error:
            running.set_exception(error)

    threading.Thread(target=run, name="sinoner", daemon=True).start()
    while True:
        try:
            result = running.result()
            break
        except KeyboardInterrupt:
            if running.done() or stop.is_set():
                raise
            stop.set()
    if stop.is_set():  # the last answer arrived before the request to stop
        raise KeyboardInterrupt
    return result
