"""Scoring predictions against gold: the score record of one setting, and the table of all settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sinoner.measurements import Score
from sinoner.records import Annotation, Prediction
from sinoner.score.bootstrap import interval
from sinoner.score.f1 import Counts, Query, count, percent


def score(
    gold: Sequence[Annotation],
    types: Sequence[str],
    predictions: Mapping[Query, Prediction],
    *,
    benchmark: str,
    model: str,
    examples: bool,
    resamples: int,
    seed: int,
) -> Score:
    """The micro scores of one model on one benchmark in one setting."""
    scored = count(gold, types, predictions)
    total = sum(scored.reference, Counts(0, 0, 0))
    precision, recall, f1 = percent(total)
    strict = percent(sum(scored.strict, Counts(0, 0, 0)))
    bounds = interval(scored.reference, resamples, seed)
    langs = sorted({a.passage.lang for a in gold})
    return Score(
        benchmark=benchmark,
        lang="+".join(langs),
        model=model,
        examples=examples,
        passages=len(gold),
        queries=len(gold) * len(types),
        gold=total.gold,
        predicted=total.predicted,
        correct=total.correct,
        unparsed=sum(p.reason is not None for p in predictions.values()),
        precision=precision,
        recall=recall,
        f1=f1,
        low=bounds[0] if bounds else None,
        high=bounds[1] if bounds else None,
        strict_precision=strict[0],
        strict_recall=strict[1],
        strict_f1=strict[2],
    )


def markdown(scores: Sequence[Score]) -> str:
    """The score table as Markdown."""
    lines = [
        "| benchmark | lang | model | examples | P | R | F1 | 95 % | strict F1 | unparsed |",
        "|---|---|---|---|---:|---:|---:|---|---:|---:|",
    ]
    for s in scores:
        bounds = f"{s.low:.1f}–{s.high:.1f}" if s.low is not None and s.high is not None else ""
        lines.append(
            f"| {s.benchmark} | {s.lang} | {s.model} | {'with' if s.examples else 'without'} | {s.precision:.2f} |"
            f" {s.recall:.2f} | {s.f1:.2f} | {bounds} | {s.strict_f1:.2f} | {s.unparsed}/{s.queries} |"
        )
    return "\n".join(lines) + "\n"
