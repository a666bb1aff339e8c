"""Counting what a stage does, and keeping what it rejects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from sinoner.counted import Counted
from sinoner.disk import AtomicFile
from sinoner.records import Reject, Unit
from sinoner.run.manifest import Count

T = TypeVar("T")


class Tally:
    """Counts of one stage. Use as a context manager: it writes ``rejects/<stage>.jsonl``.

    At the end ``in == out + rejected`` must hold for every unit; anything else is a bug of the stage.
    """

    def __init__(self, folder: Path, stage: str, tick: Callable[[int], None]) -> None:
        self.made: dict[Counted, int] = {}
        self.reasons: dict[str, int] = {}
        self.incomplete = False  # some input is still to be worked on: the stage runs again next time
        self._in: dict[Unit, int] = {}
        self._out: dict[Unit, int] = {}
        self._rejected: dict[Unit, int] = {}
        self.tick = tick
        self._stage = stage
        self._rejects = AtomicFile(folder / "rejects" / f"{stage}.jsonl")

    def __enter__(self) -> Tally:
        self._rejects.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rejects.__exit__(kind, value, trace)
        if kind is None:
            for unit, count in self.counts().items():
                if count.in_ != count.out + count.rejected:
                    raise RuntimeError(
                        f"{self._stage}: {unit}: {count.in_} in, {count.out} out, {count.rejected} rejected"
                    )

    def watch(self, records: Iterable[T], unit: Unit) -> Iterator[T]:
        """Pass records on, counting them as input."""
        for record in records:
            self.take(unit)
            yield record

    def take(self, unit: Unit, n: int = 1) -> None:
        """Count input."""
        self._in[unit] = self._in.get(unit, 0) + n

    def give(self, unit: Unit, n: int = 1, *, shown: bool = True) -> None:
        """Count output; ``shown=False`` when the stage told its progress otherwise."""
        self._out[unit] = self._out.get(unit, 0) + n
        if shown and unit == next(iter(self._in), unit):  # progress counts the stage's own unit only
            self.tick(n)

    def reject(self, reject: Reject, unit: Unit | None = None) -> None:
        """Count and keep a reject, under its own unit or another that it stands for, and the entities that went with it.

        An occurrence of an entity that stays is no input of any stage: it has a count of its own.
        """
        counted = unit or reject.unit
        if counted == "occurrence":
            self.make("dropped_occurrence")
        else:
            self._rejected[counted] = self._rejected.get(counted, 0) + 1
        if reject.entities:
            self._rejected["entity"] = self._rejected.get("entity", 0) + reject.entities
        self._rejects.record(reject)
        self.reasons[reject.reason] = self.reasons.get(reject.reason, 0) + 1

    def make(self, word: Counted, n: int = 1) -> None:
        """Count something else that was made."""
        self.made[word] = self.made.get(word, 0) + n

    def counts(self) -> dict[Unit, Count]:
        """The counts by unit, the stage's own first."""
        units: list[Unit] = list(dict.fromkeys([*self._in, *self._out, *self._rejected]))
        return {
            u: Count.model_validate(
                {"in": self._in.get(u, 0), "out": self._out.get(u, 0), "rejected": self._rejected.get(u, 0)}
            )
            for u in units
        }
