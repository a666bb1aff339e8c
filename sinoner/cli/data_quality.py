"""The verbs about data quality: types, agreement, rules."""

from __future__ import annotations

import json as json_
from typing import Annotated, Literal

import typer

from sinoner.cli.options import Json, Overrides


def add_to(app: typer.Typer) -> None:
    """Register the verbs of this module."""
    app.command()(types)
    app.command()(agreement)
    app.command()(rules)


def types(
    given: Annotated[str, typer.Argument(metavar="RUN", help="run folder")],
    overrides: Overrides = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            min=0.0,
            max=2.0,
            help="maximum cosine distance of types to merge; default: 0.6 of the mean distance between unlike types",
        ),
    ] = None,
    no_embed: Annotated[
        bool,
        typer.Option("--no-embed", help="use only the table of synonyms and the spelling, no embeddings"),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="start from scratch and overwrite types.yaml")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON on stdout")] = False,
) -> None:
    """Propose merges of types that mean the same.

    The proposals are written to RUN/types.yaml, for you to edit; sinoner filter applies them. Types are compared by a
    table of synonyms, by spelling, and by embeddings (retrieve.embedder: bge, sentence-transformers, openai, or
    e5-mini, which works offline). Your edits of the file are kept; proposals that you removed are not made again.
    """
    from pathlib import Path

    from sinoner.cli.invocation import plain_errors

    with plain_errors() as interrupts:
        from sinoner.commands import propose_types
        from sinoner.commands.run_recipe import of_folder
        from sinoner.run.screen import Screen

        folder = Path(given)
        recipe = of_folder(folder, overrides or [])
        report = propose_types.propose(
            folder,
            recipe,
            threshold=threshold,
            embed=not no_embed,
            force=force,
            screen=Screen(interrupts=interrupts),
        )
        typer.echo(propose_types.as_text(report, folder), err=True)
        if json:
            typer.echo(report.model_dump_json())


def agreement(
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="one run with several samples per passage; or several run folders, annotation files or gold files",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option("--out", help="folder for the result; default: quality/ in the first run folder"),
    ] = None,
    layer: Annotated[
        str,
        typer.Option(
            "--layer", help="which annotations to compare: annotations (before the filter) or filtered"
        ),
    ] = "annotations",
    align_types: Annotated[
        bool, typer.Option("--align-types", help="treat synonymous types as equal (table of synonyms)")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON on stdout")] = False,
) -> None:
    """Measure how well annotators agree with each other.

    Prints pairwise F1, F1 by type, and Krippendorff's alpha on characters. Writes agreement.json, and every
    disagreement to disagreements.jsonl and disagreements.csv for review.
    """
    from pathlib import Path

    from sinoner.cli.invocation import plain_errors
    from sinoner.errors import InputError

    with plain_errors():
        from sinoner.commands.agreement_table import print_agreement
        from sinoner.quality.types import synonyms
        from sinoner.run.screen import Screen
        from sinoner.stages.annotator_agreement import agree, folder_of

        if layer not in ("annotations", "filtered"):
            raise InputError(f"--layer {layer}: must be annotations or filtered")
        canonical = synonyms().canonical if align_types else None
        which: Literal["annotations", "filtered"] = "filtered" if layer == "filtered" else "annotations"
        result = agree(given, Path(out) if out else None, which, canonical)
        if json:
            typer.echo(result.model_dump_json())
        print_agreement(Screen().console, result, Path(out) if out else folder_of(given))


def rules(
    json: Json = False,
    zh: Annotated[bool, typer.Option("--zh", help="print the descriptions in Chinese")] = False,
) -> None:
    """List the filter rules with an example of each.

    Shows what each rule does, an example it applies to, and the presets that switch it on.
    """
    from sinoner.quality.catalogue import CATALOGUE
    from sinoner.quality.rules import PRESETS

    rows = [
        {
            "rule": entry.name,
            "level": entry.level,
            "presets": [name for name, on in PRESETS.items() if entry.name in on],
            "english": entry.english,
            "chinese": entry.chinese,
            "accepts": entry.accepts._asdict(),
            "rejects": entry.rejects._asdict(),
        }
        for entry in CATALOGUE
    ]
    if json:
        typer.echo(json_.dumps(rows, ensure_ascii=False))
        return
    for entry, row in zip(CATALOGUE, rows, strict=True):
        typer.echo(f"{entry.name}  ({entry.level}; {', '.join(row['presets']) or 'no preset'})")
        typer.echo(f"  {entry.chinese if zh else entry.english}")
        example = entry.rejects
        mentions = "; ".join(f"{surface} ({kind})" for surface, kind in example.mentions)
        typer.echo(f"  e.g. {example.text}" + (f"  [{mentions}]" if mentions else ""))
    typer.echo(
        "To switch one rule off: filter.rules={NAME: false}; to use exactly these rules: filter.rules=[NAME, …]"
    )
