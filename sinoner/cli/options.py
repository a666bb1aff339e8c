"""Arguments and options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

Input = Annotated[
    str, typer.Argument(metavar="RECIPE|RUN", help="recipe (.yaml or a shipped name) or run folder")
]
OptionalInput = Annotated[
    str | None, typer.Argument(metavar="RECIPE|RUN", help="recipe (.yaml or a shipped name) or run folder")
]
Corpus = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE|CORPUS|RUN",
        help="recipe, corpus (file, folder, hf://datasets/OWNER/NAME) or run folder",
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[section.key=value]...", help="settings to override")
]
Out = Annotated[str | None, typer.Option("--out", help="run folder; default: runs/<name>")]
Force = Annotated[bool, typer.Option("--force", help="run the stages even if nothing changed")]
Json = Annotated[bool, typer.Option("--json", help="print counts and scores as JSON on stdout")]
Lang = Annotated[str | None, typer.Option("--lang", help="language of the corpus: zh, en or auto")]
NewRun = Annotated[
    bool,
    typer.Option(
        "--new-run", help="send all requests again although the ledger has answers from other settings"
    ),
]
Model = Annotated[str | None, typer.Option("--model", help="model name at the endpoint")]
BaseUrl = Annotated[str | None, typer.Option("--base-url", help="OpenAI-compatible endpoint")]
Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", help="fixed number of requests in flight; default: adapts to the endpoint"),
]
Limit = Annotated[int | None, typer.Option("--limit", help="read at most this many documents")]
Annotations = Annotated[
    str | None,
    typer.Option(
        "--annotations", metavar="RUN|FILE", help="score annotations instead of models; needs --gold"
    ),
]
GoldFile = Annotated[
    str | None,
    typer.Option("--gold", metavar="FILE", help="with --annotations: gold annotations of the same texts"),
]
RawTypes = Annotated[
    bool,
    typer.Option(
        "--raw-types", help="with --annotations: compare types exactly as written, without synonyms"
    ),
]
