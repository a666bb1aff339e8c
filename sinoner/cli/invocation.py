"""Shared by the verbs: what kind of INPUT was given, flags as overrides, and errors as plain messages."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from sinoner.errors import InputError, SinonerError, StoppedError

if TYPE_CHECKING:
    from sinoner.run.interrupts import Interrupts
    from sinoner.run.stage import Options, Stage
    from sinoner.settings import Recipe

# Sections of settings that a verb reads, for its help.
SECTIONS_OF = {
    "chunk": ("corpus",),
    "estimate": ("corpus", "annotate", "llm"),
    "annotate": ("corpus", "annotate", "llm"),
    "filter": ("filter", "llm"),
    "build-it-set": ("filter", "retrieve", "it_set"),
    "finetune": ("train",),
    "evaluate": ("evaluate", "retrieve"),
    "publish": ("publish",),
}


class VerbCommand(TyperCommand):
    """A command whose help ends with the settings it reads, generated from the recipe sections."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the settings after the options."""
        from sinoner.settings import SECTIONS, Recipe

        names = SECTIONS_OF.get(self.name or "", tuple(SECTIONS) if self.name in ("run", "check") else ())
        rows = []
        for key in ("seed", "workers") if names else ():
            field = Recipe.model_fields[key]
            rows.append((key, f"{field.description} [default: {field.default}]"))
        for name in names:
            for key, field in SECTIONS[name].model_fields.items():
                rows.append(
                    (f"{name}.{key}", f"{field.description} [default: {_default(field.get_default())}]")
                )
        if rows:
            with formatter.section("Settings (section.key=value)"):
                formatter.write_dl(rows)


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_default, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@contextlib.contextmanager
def plain_errors() -> Iterator[Interrupts]:
    """Print expected errors as one line (exit 2, or 75 for an early stop); bugs keep their traceback.

    Yields:
        The interrupts that Ctrl-C and SIGTERM are passed to, for the screen of a run. The previous handlers are
        restored at the end.
    """
    from sinoner.run.interrupts import Interrupts

    interrupts = Interrupts()

    def interrupt(signum: int, frame: FrameType | None) -> None:
        interrupts.request()

    in_main = threading.current_thread() is threading.main_thread()
    before = {s: signal.signal(s, interrupt) for s in (signal.SIGINT, signal.SIGTERM) if in_main}
    try:
        yield interrupts
    except SinonerError as error:
        _complain(str(error))
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        _complain("stopped; run the same command again to continue")
        raise typer.Exit(StoppedError.exit_code) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(0) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _complain(text: str) -> None:
    for line in text.splitlines():
        typer.echo(f"sinoner: {line}", err=True)


def is_recipe(given: str) -> bool:
    """Whether INPUT names a recipe file or a shipped recipe."""
    from sinoner.recipe import shipped

    return given.endswith((".yaml", ".yml")) or (not Path(given).exists() and given in shipped())


def is_run(given: str) -> bool:
    """Whether INPUT is a run folder."""
    from sinoner.run import layout

    return layout.is_run(Path(given))


def flags_to_overrides(flags: Mapping[str, object | None]) -> list[str]:
    """``section.key=value`` words for the flags that were given."""
    return [
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in flags.items() if value is not None
    ]


def annotate_options(
    new_run: bool = False, reparse: bool = False, retry_failed: Sequence[str] = ()
) -> Options:
    """The options of one command for the stages that send requests."""
    from sinoner.run.stage import Options

    return Options(new_run, reparse, tuple(retry_failed))


def work(
    verb: str,
    given: str,
    overrides: Sequence[str],
    *,
    out: str | None = None,
    force: bool = False,
    as_json: bool = False,
    upload: bool = False,
    options: Options | None = None,
) -> Path:
    """Run a verb on a recipe, a run folder or a corpus path; return the run folder."""
    from sinoner.commands import run_recipe
    from sinoner.run.layout import RECIPE
    from sinoner.run.screen import Screen

    with plain_errors() as interrupts:
        recipe, stages = plan(verb, given, list(overrides), out)
        screen = Screen(interrupts=interrupts)
        if not is_recipe(given) and (kept := _kept(recipe, verb, overrides)):
            screen.say(f"settings from {recipe.folder / RECIPE}: {kept}")
        report = run_recipe.execute(recipe, stages, screen, force=force, upload=upload, options=options)
        if as_json:
            print_json(recipe.folder, report)
    return recipe.folder


def _kept(recipe: Recipe, verb: str, overrides: Sequence[str]) -> str:
    """The settings of a verb that come from an earlier command, so that none applies unnoticed."""
    given = {word.partition("=")[0] for word in overrides} | {"corpus.sources"}
    return " ".join(
        f"{section}.{key}={json.dumps(value, ensure_ascii=False)}"
        for section in SECTIONS_OF.get(verb, ())
        for key, value in getattr(recipe, section).model_dump(mode="json", exclude_defaults=True).items()
        if f"{section}.{key}" not in given
    )


def plan(verb: str, given: str, overrides: list[str], out: str | None) -> tuple[Recipe, Sequence[Stage]]:
    """The settings for INPUT, and the stages that a verb runs on it."""
    from sinoner import recipe as recipes
    from sinoner.commands import run_recipe
    from sinoner.stages.flow import stages_of, stages_up_to

    if is_recipe(given):
        loaded = recipes.load(given, overrides)
        if out is not None:
            loaded = loaded.model_copy(update={"out": out})
        return loaded, stages_up_to(verb)
    if is_run(given):
        if out is not None and Path(out) != Path(given):
            raise InputError(f"--out {out}: {given} is already a run folder; omit --out")
        return run_recipe.of_folder(Path(given), overrides), stages_of(verb)
    if verb in ("chunk", "annotate", "estimate"):
        return run_recipe.of_corpus(given, out, overrides), stages_of(verb)
    if Path(given).exists():
        raise InputError(
            f"{given}: is neither a recipe (.yaml) nor a run folder; create one with sinoner annotate {given} --out runs/NAME"
        )
    raise InputError(f"{given}: no such recipe or run folder")


def print_json(folder: Path, report: Path) -> None:
    """The state of a run for a script, on stdout."""
    from sinoner.run.manifest import Manifest
    from sinoner.stages.evaluate import scores

    stages = {
        name: {
            "counts": {u: c.model_dump(by_alias=True) for u, c in e.counts.items()},
            "made": e.made,
            "seconds": e.seconds,
        }
        for name, e in Manifest(folder).entries.items()
    }
    result = {
        "run": str(folder),
        "stages": stages,
        "scores": [s.model_dump(mode="json") for s in scores(folder)],
        "report": str(report),
    }
    typer.echo(json.dumps(result, ensure_ascii=False))
