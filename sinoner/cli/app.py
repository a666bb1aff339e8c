"""The verbs."""

from __future__ import annotations

from typing import Annotated

import typer

from sinoner.cli import build_it_set, data_quality, standalone
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
    help="From a corpus and an LLM to a trusted open-NER dataset and a fine-tuned model, in Chinese and English.",
    epilog="Start: sinoner run quickstart. Every setting can be given as section.key=value; sinoner VERB --help lists them.",
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
    """Run all stages of a recipe; what did not change is skipped."""
    options = annotate_options(new_run)
    work("run", recipe, overrides or [], out=out, force=force, as_json=json, options=options)


@app.command(cls=VerbCommand)
def check(recipe: Input, overrides: Overrides = None) -> None:
    """List all mistakes of a recipe at once; run nothing."""
    with plain_errors():
        standalone.check(recipe, overrides or [])


@app.command(cls=VerbCommand)
def chunk(
    corpus: Corpus, overrides: Overrides = None, out: Out = None, lang: Lang = None, limit: Limit = None,
    force: Force = False, json: Json = False,
) -> None:  # fmt: skip
    """Read a corpus and cut it into passages."""
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
        str | None, typer.Option("--by", help="llm, or without a model: jieba, lac (Chinese), table")
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            "--table", metavar="FILE", help="table of words and patterns (implies --by table); zh = shipped"
        ),
    ] = None,
    lang: Lang = None,
    limit: Limit = None,
    concurrency: Concurrency = None,
    max_cost: Annotated[
        str | None, typer.Option("--max-cost", help="money the run may cost, for example 20CNY or 5USD")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", help="tokens the run may use, questions and answers together"),
    ] = None,
    max_failure_rate: Annotated[
        float | None,
        typer.Option(
            "--max-failure-rate", help="share of failures in the last 200 passages that stops the run"
        ),
    ] = None,
    types: Annotated[
        str | None, typer.Option("--types", help="closed list of types, separated by commas")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", help="answers per passage, for agreement; needs llm.temperature"),
    ] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", help="online, or batch (OpenAI Batches API: cheaper, slower)")
    ] = None,
    retry_failed: Annotated[
        list[str] | None,
        typer.Option("--retry-failed", help="ask failed passages again: a reason, or all; may be repeated"),
    ] = None,
    reparse: Annotated[
        bool,
        typer.Option("--reparse", help="read the kept answers again and write what there is; ask nobody"),
    ] = False,
    new_run: NewRun = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Label a corpus. The API key is read from the environment (OPENAI_API_KEY).

    Every answer is kept in ledger.sqlite before it is read; the same command asks only for what is missing.
    """
    if table and by not in (None, "table"):
        raise typer.BadParameter("--table goes with --by table, not with another annotator")
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
        typer.Option("--latency", min=0.001, help="seconds per answer; default as measured, else 5"),
    ] = None,
    answer_tokens: Annotated[
        int | None,
        typer.Option("--answer-tokens", min=1, help="tokens per answer; default as measured, else guessed"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print the estimate as JSON on stdout")] = False,
) -> None:
    """Say what annotating would take and cost.

    Passages, tokens, requests, time, and the cost for every model of the price table. Nothing is sent.

    Prices come from a dated table; your own go into a YAML file (llm.prices=FILE): prices: [{models: [NAME], host:
    HOST, input: 1.0, output: 2.0, currency: CNY}], per million tokens, and exchange: {USD_CNY: 7.1} if --max-cost
    shall be in another currency than the price.
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
    """Clean the annotations; every drop is counted by reason."""
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
        typer.Option("--benchmark", help="gold JSONL file or folder, or a name; may be repeated"),
    ] = None,
    base: Annotated[str | None, typer.Option("--base", help="base model: hub id, folder, or smollm2")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="passages per benchmark")] = None,
    annotations: Annotations = None,
    gold: GoldFile = None,
    raw_types: RawTypes = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Score the base and the tuned model on gold, with and without examples; or annotations against gold."""
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="write the folders, upload nothing")] = False,
    dataset_repo: Annotated[
        str | None, typer.Option("--dataset-repo", help="OWNER/NAME of the data set")
    ] = None,
    model_repo: Annotated[str | None, typer.Option("--model-repo", help="OWNER/NAME of the model")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the data set and the model as Hub folders, and upload them (token: hf auth login or HF_TOKEN)."""
    flags = {"publish.dataset_repo": dataset_repo, "publish.model_repo": model_repo}
    words = [*flags_to_overrides(flags), *(overrides or [])]
    work("publish", given, words, force=force, as_json=json, upload=not dry_run)


@app.command(cls=VerbCommand)
def report(given: Annotated[str, typer.Argument(metavar="RUN", help="run folder")]) -> None:
    """Write report.html of a run anew and print the summary."""
    work("report", given, [])


data_quality.add_to(app)


@app.command()
def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="run folder, adapter folder, model folder or hub id")
    ],
    text: Annotated[str | None, typer.Argument(help="a text; without it, one text per line of stdin")] = None,
    types: Annotated[str, typer.Option("--types", help="types to look for, separated by commas")] = "",
    base: Annotated[str | None, typer.Option("--base", help="base model of an adapter, if another")] = None,
) -> None:
    """Extract entities with a tuned model: JSON lines on stdout."""
    with plain_errors():
        standalone.predict(model, text, types, base)


@app.command()
def doctor(json: Json = False) -> None:
    """Say what is installed, what is missing and how to get it."""
    with plain_errors():
        standalone.doctor(json)


benchmarks = typer.Typer(
    help="Gold data sets: list, fetch, convert.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(benchmarks, name="benchmarks")


@benchmarks.command("list")
def benchmarks_list(json: Json = False) -> None:
    """List the benchmarks that can be fetched, with language, licence and whether they are here."""
    with plain_errors():
        standalone.list_benchmarks(json)


@benchmarks.command("fetch")
def benchmarks_fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="names of the list")],
) -> None:
    """Download benchmarks from their sources and convert them to gold JSONL."""
    with plain_errors():
        standalone.fetch_benchmarks(names)


@benchmarks.command("convert")
def benchmarks_convert(
    source: Annotated[str, typer.Argument(metavar="FILE", help="file in a native format")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="gold JSONL file to write")],
    format: Annotated[str, typer.Option("--format", help="native format; a wrong name lists them all")],
    lang: Annotated[str | None, typer.Option("--lang", help="zh or en; default: decided per text")] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="JSON file: native tag to natural name")
    ] = None,
) -> None:
    """Convert a file of native annotations to gold JSONL."""
    with plain_errors():
        standalone.convert_benchmark(source, target, format, lang, labels)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        from sinoner import __version__

        typer.echo(f"sinoner {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()
