"""The verb that builds the instruction-tuning set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sinoner.cli.invocation import VerbCommand, flags_to_overrides, plain_errors, work
from sinoner.cli.options import Force, Input, Json, Overrides


def add_to(app: typer.Typer) -> None:
    """Add it to the command line."""
    app.command(cls=VerbCommand, name="build-it-set")(build_it_set)


def build_it_set(
    given: Input,
    overrides: Overrides = None,
    strategy: Annotated[
        str | None, typer.Option("--strategy", help="how examples are chosen: nn, random, none, nn_bm25 …")
    ] = None,
    k: Annotated[int | None, typer.Option("--k", "-k", help="examples per passage")] = None,
    style: Annotated[str | None, typer.Option("--style", help="sinoner, rait or uniner")] = None,
    mode: Annotated[str | None, typer.Option("--mode", help="passage, type, all or schema")] = None,
    size: Annotated[
        int | None, typer.Option("--size", help="train on a random subset of this many passages")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="seed of split, subset, examples and negative types")
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--formats", help="sharegpt, messages, parquet, gliner, spans (separated by commas), or all"
        ),
    ] = None,
    show: Annotated[
        int, typer.Option("--show", min=0, metavar="N", help="print the first N training conversations")
    ] = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Filter, find examples, write the instruction-tuning set."""
    if show and json:
        raise typer.BadParameter("--show and --json both write to stdout; give only one of them")
    flags = {
        "retrieve.strategy": strategy,
        "retrieve.k": k,
        "it_set.style": style,
        "it_set.mode": mode,
        "it_set.size": size,
        "seed": seed,
        "it_set.formats": formats,
    }
    words = [*flags_to_overrides(flags), *(overrides or [])]
    folder = work("build-it-set", given, words, force=force, as_json=json)
    if show:
        with plain_errors():
            _show(folder, show)


def _show(folder: Path, n: int) -> None:
    from rich.console import Console

    from sinoner import disk
    from sinoner.commands.preview import print_preview
    from sinoner.records import Conversation
    from sinoner.run.layout import TRAIN

    print_preview(Console(highlight=False), disk.read_records(folder / TRAIN, Conversation), n)
