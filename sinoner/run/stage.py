"""A stage of a run as data: what it reads, writes and depends on, and the function that does its work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sinoner import __version__
from sinoner.counted import plural
from sinoner.engine import Engine, InProcess
from sinoner.errors import InputError
from sinoner.run.manifest import Entry, Manifest, fingerprint, hash_inputs
from sinoner.run.screen import Progress, Screen
from sinoner.run.tally import Tally
from sinoner.settings import SECTIONS, Recipe, Section


@dataclass(frozen=True)
class Options:
    """What a command asks of the stages that send requests, for this one time.

    Attributes:
        new_run: send all requests again although the ledger was filled under other settings.
        reparse: read the answers in the ledger again, send nothing.
        retry_failed: failures to ask for again, by reason, or ``all``.
        thorough: report also what is required only if requests are sent (``sinoner check``): a model, a key, prices.
    """

    new_run: bool = False
    reparse: bool = False
    retry_failed: tuple[str, ...] = ()
    thorough: bool = False


@dataclass(frozen=True)
class Run:
    """What every stage needs: the folder, the settings, the manifest, the screen and where shards run."""

    folder: Path
    recipe: Recipe
    manifest: Manifest
    screen: Screen
    options: Options = Options()
    engine: Engine = field(default_factory=InProcess)


Reads = tuple[str, ...]


def keys(section: str, but: Iterable[str] = ()) -> Reads:
    """The keys of a section of settings, all but some, as ``Stage.reads`` takes them."""
    left_out = frozenset(but)
    assert left_out <= SECTIONS[section].model_fields.keys(), left_out
    return tuple(f"{section}.{key}" for key in SECTIONS[section].model_fields if key not in left_out)


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: its verb, or a word of its own.
        version: raised when the same inputs and settings would give other bytes.
        reads: the settings its result depends on (``seed``, ``section`` or ``section.key``), or a function that names
            them for a recipe. What only changes how it works is marked in the settings themselves (``Mark.ONLY_HOW``).
        inputs: the paths it reads, of which those in the run folder must exist.
        outputs: paths it writes, relative to the run folder.
        work: does it.
        after: the verb that makes its inputs, for messages.
        wanted: whether a recipe has this stage at all.
        required: the message when the stage is requested by name and the recipe has nothing for it; empty for a stage
            that is always left out in silence.
        preflight: the mistakes that can be seen before anything is paid for, one line each.
        gate: called when the stage is done or unchanged; raises when the run must not go on.
        repeat: whether the options of a command have it run although nothing changed.
        sends: whether it sends requests under settings that it may refuse; a refused recipe is not kept in the folder.
    """

    name: str
    version: int
    reads: Reads | Callable[[Recipe], Reads]
    inputs: Callable[[Run], Sequence[Path]]
    outputs: Sequence[str]
    work: Callable[[Run, Tally, Progress], None]
    after: str = ""
    wanted: Callable[[Recipe], bool] = lambda recipe: True
    required: str = ""
    preflight: Callable[[Recipe, Options], Iterable[str]] = lambda recipe, options: ()
    gate: Callable[[Run], None] = lambda run: None
    repeat: Callable[[Options], bool] = lambda options: False
    sends: bool = False

    def settings(self, recipe: Recipe) -> dict[str, Any]:
        """The settings that the result depends on, by dotted key."""
        reads = self.reads(recipe) if callable(self.reads) else self.reads
        return settings_of(recipe, reads)

    def identity(self, run: Run, inputs: dict[str, str] | None = None) -> str:
        """The fingerprint of the stage's work on what is there now.

        Args:
            run: the run.
            inputs: the hashes of its inputs, when they are known already.
        """
        hashes = hash_inputs(self.inputs(run)) if inputs is None else inputs
        return fingerprint(self.name, self.version, hashes, self.settings(run.recipe))


def settings_of(recipe: Recipe, reads: Iterable[str]) -> dict[str, Any]:
    """The values of settings by dotted key, without those that only change how a result is made."""
    values: dict[str, Any] = {}
    for key in reads:
        section, _, rest = key.partition(".")
        value = getattr(recipe, section)
        if not isinstance(value, Section):
            values[key] = value
            continue
        identity = value.identity()
        assert not rest or rest in type(value).model_fields, key
        values |= {f"{section}.{name}": v for name, v in identity.items() if rest in ("", name)}
    return values


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
    identity = stage.identity(run, inputs)
    if not force and run.manifest.is_fresh(stage.name, identity):
        run.screen.say(f"{stage.name}: unchanged, skipped")
        return False
    begin = time.perf_counter()
    with run.screen.stage(stage.name) as (tick, progress), Tally(run.folder, stage.name, tick) as tally:
        stage.work(run, tally, progress)
    seconds = time.perf_counter() - begin
    outputs = hash_inputs(run.folder / name for name in stage.outputs if (run.folder / name).exists())
    entry = Entry(
        fingerprint=f"incomplete {identity}" if tally.incomplete else identity,
        version=__version__,
        stage_version=stage.version,
        inputs={_shown(p, run.folder): digest for p, digest in inputs.items()},
        settings=stage.settings(run.recipe),
        counts=tally.counts(),
        made=tally.made,
        reasons=tally.reasons,
        seconds=round(seconds, 2),
        outputs={_shown(p, run.folder): digest for p, digest in outputs.items()},
    )
    run.manifest.add(stage.name, entry)
    run.screen.say(f"{stage.name}: {summary_line(entry)}")
    return True


def summary_line(entry: Entry) -> str:
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


def _shown(path: str, folder: Path) -> str:
    """A path as the manifest shows it: relative to the run folder when it lies there."""
    try:
        return str(Path(path).relative_to(folder))
    except ValueError:
        return path
