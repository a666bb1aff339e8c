"""What a run folder knows about itself: which stage made which files from which inputs and settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sinoner import disk
from sinoner.counted import Counted
from sinoner.errors import InputError
from sinoner.records import Unit

FILE = "manifest.json"


class Count(BaseModel):
    """How many of one unit went in, came out and were rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    in_: int = Field(alias="in")
    out: int
    rejected: int


class Entry(BaseModel):
    """One finished stage.

    Attributes:
        fingerprint: hash of the stage, its version, inputs and settings; equal means nothing changed.
        version: of the package that ran it, for the record.
        stage_version: of the stage.
        inputs: SHA-256 of the files read, by path.
        settings: the settings that its result depends on, by dotted key.
        counts: by unit; the first unit is the stage's own.
        made: other things made, by their word (``sinoner.counted``).
        reasons: rejects by reason.
        seconds: wall time.
        outputs: SHA-256 of the files written, by path relative to the run folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    fingerprint: str
    version: str
    stage_version: int
    inputs: dict[str, str]
    settings: dict[str, Any]
    counts: dict[Unit, Count]
    made: dict[Counted, int] = {}
    reasons: dict[str, int] = {}
    seconds: float
    outputs: dict[str, str]


class Manifest:
    """The manifest of a run folder, written after every stage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: dict[str, Entry] = {}
        path = folder / FILE
        if path.exists():
            try:
                tree = json.loads(path.read_text(encoding="utf-8"))
                self.entries = {name: Entry.model_validate(e) for name, e in tree["stages"].items()}
            except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
                raise InputError(
                    f"{path}: cannot be read (damaged, or written by another version of sinoner); delete it and run the"
                    " same command again: stages run again, answers in the ledger are kept"
                ) from None

    def is_fresh(self, stage: str, fingerprint: str) -> bool:
        """Whether a stage already ran on exactly this and its files are still what it wrote."""
        entry = self.entries.get(stage)
        if entry is None or entry.fingerprint != fingerprint:
            return False
        return all(
            (self.folder / name).exists() and disk.sha256(self.folder / name) == digest
            for name, digest in entry.outputs.items()
        )

    def made(self, stage: str, thing: Counted) -> int:
        """How many of a thing a stage made; 0 when that is not known."""
        entry = self.entries.get(stage)
        return entry.made.get(thing, 0) if entry is not None else 0

    def passages(self, stage: str) -> int:
        """How many passages a stage let through; 0 when that is not known, as after the manifest was deleted."""
        entry = self.entries.get(stage)
        return entry.counts["passage"].out if entry is not None and "passage" in entry.counts else 0

    def add(self, stage: str, entry: Entry) -> None:
        """Record a finished stage and write the manifest."""
        self.entries[stage] = entry
        stages = {name: e.model_dump(mode="json", by_alias=True) for name, e in self.entries.items()}
        disk.write_json(self.folder / FILE, {"stages": stages})


def hash_inputs(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each existing path; what does not exist (a hub name) stands for itself."""
    return {str(p): disk.sha256(p) if p.exists() else "" for p in paths}


def fingerprint(stage: str, version: int, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """The identity of a stage's work. Where inputs are located does not matter, what is in them does."""
    digests = [digest or path for path, digest in inputs.items()]
    canonical = json.dumps([stage, version, digests, settings], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
