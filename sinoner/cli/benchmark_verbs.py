"""The verbs of ``sinoner benchmarks``: list, fetch, convert."""

from __future__ import annotations

from typing import Annotated

import typer

from sinoner.cli import standalone
from sinoner.cli.invocation import plain_errors
from sinoner.cli.options import Json

benchmarks = typer.Typer(
    help="List, fetch and convert gold datasets.", no_args_is_help=True, rich_markup_mode=None
)


@benchmarks.command("list")
def benchmarks_list(json: Json = False) -> None:
    """List the available benchmarks with language, licence and whether they are fetched."""
    with plain_errors():
        standalone.list_benchmarks(json)


@benchmarks.command("fetch")
def benchmarks_fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="names as shown by benchmarks list")],
) -> None:
    """Download benchmarks and convert them to gold JSONL."""
    with plain_errors():
        standalone.fetch_benchmarks(names)


@benchmarks.command("convert")
def benchmarks_convert(
    source: Annotated[str, typer.Argument(metavar="FILE", help="file in a native format")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="gold JSONL file to write")],
    format: Annotated[str, typer.Option("--format", help="native format; an unknown name lists all formats")],
    lang: Annotated[str | None, typer.Option("--lang", help="zh or en; default: detected per text")] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="JSON file that maps native tags to type names")
    ] = None,
) -> None:
    """Convert annotations in a native format to gold JSONL."""
    with plain_errors():
        standalone.convert_benchmark(source, target, format, lang, labels)


def add_to(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.add_typer(benchmarks, name="benchmarks")
