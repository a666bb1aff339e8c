"""Annotating through an endpoint inside a test, with the real engine and ledger."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from fault_server import FaultServer

from sinoner.annotate.answer_format import known_outputs
from sinoner.annotate.asking import Asking
from sinoner.annotate.by_llm import Reading, collect, collect_tasks, read_back
from sinoner.annotate.demonstrations import Demonstrations
from sinoner.annotate.judge import BetterTypes, Judged, judge_of, read_verdicts, tasks
from sinoner.llm.client import clients, identity
from sinoner.llm.costs import account
from sinoner.llm.ledger import Ledger
from sinoner.llm.meter import Meter
from sinoner.llm.service import Service
from sinoner.records import Annotation, Passage, Reject
from sinoner.settings import AnnotateSettings, LlmSettings

CANARY = "sk-canary-8d1f0000"
ENVIRON = {"OPENAI_API_KEY": CANARY}
KILLS = int(
    os.environ.get("SINONER_TEST_KILLS", "30")
)  # kills per run in the tests that kill one; 8 in ``make check``


def passage(text: str = "王明在上海。", n: int = 0, lang: str = "zh") -> Passage:
    return Passage(id=f"d{n}#0", text=text, source="s", lang=lang)  # type: ignore[arg-type]


def numbered(count: int) -> list[Passage]:
    return [passage(f"王明在第{n}街。", n) for n in range(count)]


class Annotating:
    """Settings and a ledger; each ``collect`` is a separate run. Attributes of the last one: ``meter``, ``asking``."""

    def __init__(
        self, url: str, folder: Path, *, gold: Sequence[Annotation] = (), **settings: object
    ) -> None:
        of_llm = {k: v for k, v in settings.items() if k in LlmSettings.model_fields and k != "max_tokens"}
        if "answer_tokens" in settings:
            of_llm["max_tokens"] = settings["answer_tokens"]
        of_annotate = {k: v for k, v in settings.items() if k in AnnotateSettings.model_fields}
        where = {} if "endpoints" in of_llm else {"base_url": url}
        self.llm = LlmSettings.model_validate(
            {"model": "m", **where, "output": "text", "timeout": 10, "max_attempts": 2, **of_llm}
        )
        self.settings = AnnotateSettings.model_validate({"max_failure_rate": 1, **of_annotate})
        self.path = folder / "ledger.sqlite"
        self.gold = gold
        self.meter = Meter()

    def asked(self) -> Asking:
        shown = Demonstrations(self.gold, self.settings.shots) if self.gold else None
        return Asking(self.settings, self.llm, identity(self.llm, ENVIRON), demonstrations=shown)

    def collect(self, passages: Iterable[Passage], retry: Sequence[str] = ()) -> Asking:
        """Send the questions; returns them with their answer formats."""
        with Ledger(self.path) as ledger:
            ledger.recover()
            found = clients(self.llm, ENVIRON)
            self.meter = Meter()
            spending = account(self.settings, self.llm, found, ledger.spent())
            self.account = spending
            self.asking = collect(passages, self.asked(), Service(found, ledger, spending, self.meter), retry)
        return self.asking

    def readings(self, passages: Iterable[Passage]) -> list[Reading]:
        """The readings from the ledger, without sending anything."""
        with Ledger(self.path) as ledger:
            asking = known_outputs(self.asked(), ledger)
            return list(read_back(passages, asking, ledger))

    def run(self, passages: Sequence[Passage], retry: Sequence[str] = ()) -> list[Annotation | Reject]:
        """Send the questions and read the answers back."""
        self.collect(passages, retry)
        return [x for r in self.readings(passages) for x in (r.outcome, *r.rejects)]


class Verifying(Annotating):
    """Settings and a ledger, as for annotating; ``judge_all`` sends and reads back."""

    def judging(self, model: str = "judge") -> Asking:
        return judge_of(self.settings, self.llm, model, identity(self.llm, ENVIRON))

    def ask(self, annotations: Sequence[Annotation], model: str = "judge") -> Asking:
        with Ledger(self.path) as ledger:
            ledger.recover()
            asking = self.judging(model)
            found = clients(asking.llm, ENVIRON)
            self.meter = Meter()
            spending = account(self.settings, asking.llm, found, ledger.spent())
            service = Service(found, ledger, spending, self.meter)
            return collect_tasks(lambda known: tasks(annotations, known, ledger), asking, service)

    def read(
        self,
        annotations: Sequence[Annotation],
        better: BetterTypes | None = None,
        model: str = "judge",
    ) -> list[Judged]:
        with Ledger(self.path) as ledger:
            asking = known_outputs(self.judging(model), ledger)
            return list(read_verdicts(annotations, asking, ledger, better or BetterTypes()))

    def judge_all(self, *annotations: Annotation) -> list[Judged]:
        self.ask(annotations)
        return self.read(annotations)


def held(folder: Path) -> int:
    """The number of accepted answers in the ledger."""
    with Ledger(folder / "ledger.sqlite") as ledger:
        return ledger.usage()[0]


def attempts(ledger: Ledger) -> int:
    """The number of attempts in the ledger."""
    return int(ledger.connection.execute("SELECT COUNT(*) FROM attempts").fetchone()[0])


def files(folder: Path) -> bytes:
    """All bytes of the ledger, including its journal."""
    return b"".join(p.read_bytes() for p in sorted(folder.glob("ledger.sqlite*")))


def command(server: FaultServer, source: Path, run: Path, *more: object) -> subprocess.Popen[str]:
    """Annotate from the command line, in a separate process, with the paper's prompt."""
    words = [
        "annotate",
        source,
        "--out",
        run,
        "--model",
        "m",
        "--base-url",
        server.url,
        "llm.output=text",
        *more,
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "sinoner", *map(str, words)],
        env={**os.environ, **server.env()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str], seconds: float = 60) -> tuple[int, str]:
    """Exit code and stderr of a process, which is killed after ``seconds``."""
    try:
        _, complaints = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, complaints
