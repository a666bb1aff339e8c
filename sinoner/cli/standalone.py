"""The verbs that work on no run folder: check, predict, doctor, benchmarks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from sinoner.errors import InputError

if TYPE_CHECKING:
    from sinoner.records import Annotation, Lang


def check(given: str, overrides: list[str]) -> None:
    """Check a recipe and everything it names; report all mistakes, or that there are none."""
    from sinoner import recipe as recipes
    from sinoner.commands.check import problems

    recipe = recipes.load(given, overrides)
    found = problems(recipe)
    if found:
        raise InputError("\n".join(f"{given}: {problem}" for problem in found))
    typer.echo(f"{given}: no mistakes found", err=True)


def estimate(
    given: str,
    overrides: list[str],
    out: str | None,
    latency: float | None,
    answer_tokens: int | None,
    as_json: bool,
) -> None:
    """Print the estimate of what annotating would take."""
    from dataclasses import asdict

    from sinoner.cli.invocation import plan
    from sinoner.commands.estimate import estimate as estimated

    recipe, _ = plan("estimate", given, overrides, out)
    found = estimated(recipe, latency, answer_tokens)
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False, default=float))
        return
    whence = (
        "measured in this run" if found.measured else "assumed; set --latency and --answer-tokens if known"
    )
    lines = [
        f"passages           {found.passages:,}"
        + (f" ({found.answered:,} already answered)" if found.answered else ""),
        f"requests to send   {found.requests:,}",
        f"tokens             {found.prompt_tokens:g} per prompt, {found.answer_tokens:g} per answer"
        f" ({found.requests * (found.prompt_tokens + found.answer_tokens):,.0f} in total; counted with o200k on a sample)",
    ]
    if found.judge_requests:
        question, verdicts = found.judge_tokens
        lines.append(
            f"judge              {found.judge_requests:,} requests (filter.verify), about {question:g} tokens per prompt,"
            f" {verdicts:g} per answer"
        )
    lines += [
        f"time               {_hours(found.seconds)} with {found.concurrency} in flight, {found.latency:g} s per answer"
        f" ({whence})" + ("" if found.limit == "concurrency" else f"; limited by llm.{found.limit}"),
        "",
        f"{'model':<36} {'provider':<22} {'online':>10} {'batch':>10}  price of",
    ]
    from sinoner.llm.pricing import format_money

    for row in found.costs:
        batch = format_money(row.batch, row.currency) if row.batch is not None else "-"
        mark = "→ " if row.chosen else "  "
        lines.append(
            f"{mark}{row.model:<34} {row.provider:<22} {format_money(row.online, row.currency):>10} {batch:>10}"
            f"  {row.as_of}"
        )
    if sum(row.chosen for row in found.costs) > 1:
        together = " + ".join(format_money(sum_, currency) for currency, sum_ in found.totals.items())
        lines.append(f"→ total {together}; each model above shows the cost of its own requests")
    if not any(row.chosen for row in found.costs):
        lines.append(
            f"no price is known for {recipe.llm.model or 'the model (give --model)'} at this endpoint"
        )
    lines.append("Nothing was sent. Prices change: check them before you rely on them.")
    typer.echo("\n".join(lines))


def _hours(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def predict(model: str, text: str | None, types: str, base: str | None) -> None:
    """Print one JSON line per text."""
    wanted = [t.strip() for t in types.replace("，", ",").split(",") if t.strip()]
    if not wanted:
        raise InputError("no entity types given: set --types, for example --types 人名,地点")
    from sinoner.recognizer import Recognizer
    from sinoner.text.mentions import mention_rows

    recognizer = Recognizer.from_pretrained(model, base=base)
    for line in [text] if text is not None else (x.rstrip("\n") for x in sys.stdin):
        if line.strip():
            found = recognizer.extract(line, wanted)
            row = {"text": found.passage.text, "entities": mention_rows(found)}
            typer.echo(json.dumps(row, ensure_ascii=False))


def doctor(as_json: bool) -> None:
    """Print what is installed, by extra."""
    from sinoner.commands.doctor import health

    rows = health()
    if as_json:
        typer.echo(json.dumps([r._asdict() for r in rows], ensure_ascii=False))
        return
    for row in rows:
        mark = "ok     " if row.ok else "missing"
        typer.echo(f"{mark}  {row.what:<28} {row.found}{'' if row.ok else '  → ' + row.remedy}")


def list_benchmarks(as_json: bool) -> None:
    """Print the benchmarks that recipes can name."""
    from sinoner import resources
    from sinoner.formats import benchmarks

    rows = []
    for name in benchmarks.names():
        described = benchmarks.spec(name)
        folder = resources.cache_root() / "benchmarks" / name
        here = (folder / f"{described.split}.jsonl").is_file()
        rows.append(
            {
                "name": name,
                "lang": described.lang,
                "types": len(described.labels),
                "licence": described.licence,
                "fetched": here,
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        state = "fetched" if row["fetched"] else "-"
        typer.echo(f"{row['name']:<20} {row['lang']}  {row['types']:>3} types  {state:<8} {row['licence']}")


def fetch_benchmarks(names: list[str]) -> None:
    """Fetch benchmarks into the cache."""
    from sinoner import resources
    from sinoner.formats import benchmarks

    for name in names:
        folder = benchmarks.fetch(name, resources.cache_root() / "benchmarks")
        typer.echo(f"{name}: {folder}", err=True)


def convert_benchmark(source: str, target: str, format: str, lang: str | None, labels: str | None) -> None:
    """Convert a native file; rejects are reported on stderr."""
    from sinoner.formats import benchmarks
    from sinoner.records import Reject

    if lang not in (None, "zh", "en"):
        raise InputError(f"--lang {lang}: must be zh or en")
    names = _labels(labels)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{source}: no such file")
    rejects: list[Reject] = []

    def kept() -> Iterator[Annotation]:
        for item in benchmarks.convert(path, format, labels=names, lang=cast("Lang | None", lang)):
            if isinstance(item, Reject):
                rejects.append(item)
            else:
                yield item

    types = list(dict.fromkeys(names.values())) if names else None
    n = benchmarks.write_gold(Path(target), kept(), types)
    for reject in rejects[:10]:
        typer.echo(f"rejected: {reject.reason}: {reject.detail}", err=True)
    typer.echo(f"{target}: {n} passages, {len(rejects)} rejected", err=True)


def _labels(path: str | None) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(tree, dict) or not all(isinstance(v, str) for v in tree.values()):
        raise InputError(f"{path}: must be a JSON object that maps native tags to type names")
    return tree
