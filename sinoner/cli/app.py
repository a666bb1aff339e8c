"""The verbs."""

from __future__ import annotations

from typing import Annotated

import typer

from sinoner.cli import benchmark_verbs, build_it_set, data_quality, standalone
from sinoner.cli import evaluate_annotations as against_gold
from sinoner.cli.invocation import VerbCommand, annotate_options, flags_to_overrides, plain_errors, work
from sinoner.cli.options import (
    Annotations,
    BaseUrl,
    Concurrency,
    Corpus,
    Force,
    GoldFile,
    Input,
    Json,
    Lang,
    Limit,
    Model,
    NewRun,
    OptionalInput,
    Out,
    Overrides,
    RawTypes,
)  # fmt: skip

app = typer.Typer(
    name="sinoner",
    help="Build a trusted open-NER dataset from a corpus with an LLM, and fine-tune a model on it (Chinese and English).",
    epilog="To start: sinoner run quickstart. Any setting can be given as section.key=value; sinoner COMMAND --help lists them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _corpus_flags(lang: str | None, limit: int | None) -> list[str]:
    return flags_to_overrides({"corpus.limit": limit, "corpus.lang": lang})


@app.command(cls=VerbCommand)
def run(
    recipe: Input,
    overrides: Overrides = None,
    out: Out = None,
    new_run: NewRun = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Run all stages of a recipe; unchanged stages are skipped."""
    options = annotate_options(new_run)
    work("run", recipe, overrides or [], out=out, force=force, as_json=json, options=options)


@app.command(cls=VerbCommand)
def check(recipe: Input, overrides: Overrides = None) -> None:
    """Check a recipe and list all its mistakes; run nothing."""
    with plain_errors():
        standalone.check(recipe, overrides or [])


@app.command(cls=VerbCommand)
def chunk(
    corpus: Corpus, overrides: Overrides = None, out: Out = None, lang: Lang = None, limit: Limit = None,
    force: Force = False, json: Json = False,
) -> None:  # fmt: skip
    """Read a corpus and split it into passages."""
    work(
        "chunk", corpus, [*_corpus_flags(lang, limit), *(overrides or [])], out=out, force=force, as_json=json
    )


@app.command(cls=VerbCommand)
def annotate(
    corpus: Corpus,
    overrides: Overrides = None,
    out: Out = None,
    model: Model = None,
    base_url: BaseUrl = None,
    by: Annotated[
        str | None,
        typer.Option("--by", help="annotator: llm, or an embedded one: jieba, lac (Chinese), table"),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            "--table",
            metavar="FILE",
            help="table of words and patterns (implies --by table); zh = the shipped table",
        ),
    ] = None,
    lang: Lang = None,
    limit: Limit = None,
    concurrency: Concurrency = None,
    max_cost: Annotated[
        str | None, typer.Option("--max-cost", help="maximum cost of the run, for example 20CNY or 5USD")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", help="maximum tokens of the run, prompts and answers together"),
    ] = None,
    max_failure_rate: Annotated[
        float | None,
        typer.Option(
            "--max-failure-rate", help="stop the run at this share of failures in the last 200 passages"
        ),
    ] = None,
    types: Annotated[
        str | None, typer.Option("--types", help="closed list of entity types, separated by commas")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", help="answers per passage, for agreement; needs llm.temperature > 0"),
    ] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", help="online, or batch (OpenAI Batches API: cheaper but slower)")
    ] = None,
    retry_failed: Annotated[
        list[str] | None,
        typer.Option(
            "--retry-failed", help="retry passages that failed for this reason, or all; may be repeated"
        ),
    ] = None,
    reparse: Annotated[
        bool,
        typer.Option(
            "--reparse", help="parse the stored answers again and write the result; send no requests"
        ),
    ] = False,
    new_run: NewRun = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Annotate a corpus with an LLM or an embedded annotator.

    The API key is read from the environment (OPENAI_API_KEY). Every answer is stored in ledger.sqlite before it is
    parsed; running the same command again requests only the missing answers.
    """
    if table and by not in (None, "table"):
        raise typer.BadParameter("--table requires --by table, not another annotator")
    flags = {
        "llm.model": model,
        "llm.base_url": base_url,
        "annotate.by": by or ("table" if table else None),
        "annotate.table": table,
        "llm.concurrency": concurrency,
        "annotate.max_cost": max_cost,
        "annotate.max_tokens": max_tokens,
        "annotate.max_failure_rate": max_failure_rate,
        "annotate.types": types,
        "annotate.samples": samples,
        "annotate.mode": mode,
    }
    words = [*_corpus_flags(lang, limit), *flags_to_overrides(flags), *(overrides or [])]
    options = annotate_options(new_run, reparse, retry_failed or [])
    work("annotate", corpus, words, out=out, force=force, as_json=json, options=options)


@app.command(cls=VerbCommand)
def estimate(
    corpus: Corpus,
    overrides: Overrides = None,
    out: Out = None,
    model: Model = None,
    base_url: BaseUrl = None,
    lang: Lang = None,
    limit: Limit = None,
    concurrency: Concurrency = None,
    latency: Annotated[
        float | None,
        typer.Option("--latency", min=0.001, help="seconds per answer; default: as measured, else 5"),
    ] = None,
    answer_tokens: Annotated[
        int | None,
        typer.Option(
            "--answer-tokens", min=1, help="tokens per answer; default: as measured, else estimated"
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print the estimate as JSON on stdout")] = False,
) -> None:
    """Estimate the requests, time and cost of annotating a corpus.

    Prints passages, tokens, requests, time, and the cost with every model of the price table. Nothing is sent.

    Prices come from a dated table. Put your own into a YAML file (llm.prices=FILE): prices: [{models: [NAME], host:
    HOST, input: 1.0, output: 2.0, currency: CNY}], per million tokens, and exchange: {USD_CNY: 7.1} if --max-cost
    is in another currency than the price.
    """
    flags = {"llm.model": model, "llm.base_url": base_url, "llm.concurrency": concurrency}
    words = [*_corpus_flags(lang, limit), *flags_to_overrides(flags), *(overrides or [])]
    with plain_errors():
        standalone.estimate(corpus, words, out, latency, answer_tokens, json)


@app.command(cls=VerbCommand, name="filter")
def filter_(
    given: Input,
    overrides: Overrides = None,
    new_run: NewRun = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Clean the annotations; every reject is counted by reason."""
    options = annotate_options(new_run)
    work("filter", given, overrides or [], force=force, as_json=json, options=options)


build_it_set.add_to(app)


@app.command(cls=VerbCommand)
def finetune(
    given: Input,
    overrides: Overrides = None,
    base: Annotated[str | None, typer.Option("--base", help="base model: hub id, folder, or smollm2")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a LoRA adapter on the instruction-tuning set."""
    work(
        "finetune",
        given,
        [*flags_to_overrides({"train.base": base}), *(overrides or [])],
        force=force,
        as_json=json,
    )


@app.command(cls=VerbCommand)
def evaluate(
    given: OptionalInput = None,
    overrides: Overrides = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark", help="gold JSONL file or folder, or the name of a benchmark; may be repeated"
        ),
    ] = None,
    base: Annotated[str | None, typer.Option("--base", help="base model: hub id, folder, or smollm2")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="maximum passages per benchmark")] = None,
    annotations: Annotations = None,
    gold: GoldFile = None,
    raw_types: RawTypes = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Score models, or existing annotations, against gold.

    By default the base and the tuned model are scored, with and without examples. With --annotations and --gold,
    existing annotations are scored and no model is needed.
    """
    of_models = {"--benchmark": benchmark, "--base": base, "--limit": limit, "--force": force}
    with plain_errors():
        if annotations is not None or gold is not None or raw_types:
            words = [*([given] if given else []), *(overrides or [])]
            return against_gold.compare(annotations, gold, words, of_models, raw_types, json)
        given = against_gold.named(given)
    flags = {"evaluate.benchmarks": benchmark, "train.base": base, "evaluate.limit": limit}
    work("evaluate", given, [*flags_to_overrides(flags), *(overrides or [])], force=force, as_json=json)


@app.command(cls=VerbCommand)
def publish(
    given: Input,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="write the folders but upload nothing")] = False,
    dataset_repo: Annotated[
        str | None, typer.Option("--dataset-repo", help="OWNER/NAME of the dataset repository")
    ] = None,
    model_repo: Annotated[
        str | None, typer.Option("--model-repo", help="OWNER/NAME of the model repository")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write dataset and model as Hub folders and upload them.

    Uploading needs a Hugging Face token: hf auth login, or HF_TOKEN in the environment.
    """
    flags = {"publish.dataset_repo": dataset_repo, "publish.model_repo": model_repo}
    words = [*flags_to_overrides(flags), *(overrides or [])]
    work("publish", given, words, force=force, as_json=json, upload=not dry_run)


@app.command(cls=VerbCommand)
def report(given: Annotated[str, typer.Argument(metavar="RUN", help="run folder")]) -> None:
    """Rewrite report.html of a run and print the summary."""
    work("report", given, [])


data_quality.add_to(app)


@app.command()
def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="run folder, adapter folder, model folder or hub id")
    ],
    text: Annotated[
        str | None, typer.Argument(help="the text; without it, stdin is read, one text per line")
    ] = None,
    types: Annotated[str, typer.Option("--types", help="entity types to extract, separated by commas")] = "",
    base: Annotated[
        str | None, typer.Option("--base", help="base model, if not the one the adapter names")
    ] = None,
) -> None:
    """Extract entities with a tuned model; JSON lines on stdout."""
    with plain_errors():
        standalone.predict(model, text, types, base)


@app.command()
def doctor(json: Json = False) -> None:
    """Show what is installed and how to install what is missing."""
    with plain_errors():
        standalone.doctor(json)


benchmark_verbs.add_to(app)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from sinoner import __version__

        typer.echo(f"sinoner {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()
