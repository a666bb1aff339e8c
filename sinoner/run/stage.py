"""The stages of a run as data: what each reads, writes and depends on, and the function that does it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sinoner import __version__
from sinoner.counted import plural
from sinoner.errors import InputError
from sinoner.run.manifest import Entry, Manifest, fingerprint, hash_inputs
from sinoner.run.screen import At, Screen
from sinoner.run.tally import Tally
from sinoner.settings import Recipe


@dataclass(frozen=True)
class Options:
    """What a command wants of the stage annotate this one time.

    Attributes:
        new_run: ask anew although the ledger was filled under other settings.
        reparse: read the answers of the ledger again, ask nobody.
        retry_failed: failures to ask for again, by reason, or ``all``.
    """

    new_run: bool = False
    reparse: bool = False
    retry_failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """What every stage needs: the folder, the settings, the manifest and the screen."""

    folder: Path
    recipe: Recipe
    manifest: Manifest
    screen: Screen
    options: Options = Options()


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: its verb, or a word of its own.
        inputs: the paths it reads, of which those in the run folder must exist.
        settings: the settings its result depends on.
        outputs: paths it writes, relative to the run folder.
        work: does it.
        after: the verb that makes its inputs, for messages.
        wanted: whether a recipe has this stage at all; one that is not wanted is left out without a word.
    """

    name: str
    inputs: Callable[[Run], Sequence[Path]]
    settings: Callable[[Recipe], dict[str, Any]]
    outputs: Sequence[str]
    work: Callable[[Run, Tally, At], None]
    after: str = ""
    wanted: Callable[[Recipe], bool] = lambda recipe: True


def perform(run: Run, stage: Stage, force: bool = False) -> bool:
    """Run a stage unless nothing changed since it last ran; returns whether it ran.

    Raises:
        InputError: an input that an earlier stage makes is missing.
    """
    paths = stage.inputs(run)
    for path in paths:
        if run.folder in path.parents and not path.exists():
            raise InputError(f"{path}: not there yet; run sinoner {stage.after} {run.folder} first")
    inputs = hash_inputs(paths)
    settings = stage.settings(run.recipe)
    identity = fingerprint(stage.name, inputs, settings, run.recipe.seed)
    if not force and run.manifest.is_fresh(stage.name, identity):
        run.screen.say(f"{stage.name}: unchanged, skipped")
        return False
    begin = time.perf_counter()
    with run.screen.stage(stage.name) as (tick, at), Tally(run.folder, stage.name, tick) as tally:
        stage.work(run, tally, at)
    seconds = time.perf_counter() - begin
    outputs = hash_inputs(run.folder / name for name in stage.outputs if (run.folder / name).exists())
    entry = Entry(
        fingerprint=f"incomplete {identity}" if tally.incomplete else identity,
        version=__version__,
        seed=run.recipe.seed,
        inputs={_shown(p, run.folder): digest for p, digest in inputs.items()},
        settings=settings,
        counts=tally.counts(),
        made=tally.made,
        reasons=tally.reasons,
        seconds=round(seconds, 2),
        outputs={_shown(p, run.folder): digest for p, digest in outputs.items()},
    )
    run.manifest.add(stage.name, entry)
    run.screen.say(f"{stage.name}: {told(entry)}")
    return True


def told(entry: Entry) -> str:
    """An entry in one line."""
    parts = [f"{plural(u)} {c.in_} in, {c.out} out, {c.rejected} rejected" for u, c in entry.counts.items()]
    parts += [f"{n} {plural(word)}" for word, n in entry.made.items()]
    if entry.reasons:
        parts.append("rejected: " + why(entry))
    return "; ".join(parts) + f" ({entry.seconds:.1f} s)"


def why(entry: Entry) -> str:
    """The reasons of an entry's rejects, the most frequent first."""
    return ", ".join(
        f"{n} {reason}" for reason, n in sorted(entry.reasons.items(), key=lambda x: (-x[1], x[0]))
    )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process, and clear away the half files of one that was killed.

    Raises:
        InputError: another process holds it (says which), or the folder cannot be made.
    """
    import fcntl
    import os

    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be used as a run folder ({error.strerror}); choose another --out"
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise InputError(
                f"{folder}: process {holder} is working on it; wait for it or choose another --out"
            ) from None
        handle.seek(0)
        handle.truncate()
        handle.write(str(os.getpid()))
        handle.flush()
        for part in folder.rglob(".*.part"):  # of a process that was killed while it wrote
            if part.is_file():
                part.unlink()
        yield


def _shown(path: str, folder: Path) -> str:
    """A path as the manifest shows it: relative to the run folder when it lies there."""
    try:
        return str(Path(path).relative_to(folder))
    except ValueError:
        return path
