"""A run as one self-contained HTML page that opens from disk.

Texts of the corpus and of models reach the page as escaped text nodes, never inside attributes; the searchable table
gets its rows as escaped JSON that the page's own script turns into text nodes. A content security policy forbids
every script but that one, and every request.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence

from sinoner.clip import clip
from sinoner.measurements import Score
from sinoner.records import Facts
from sinoner.report import example_tables, highlight, histograms, inventory, labels, plots, quality_tables
from sinoner.report.data import ReportData, headline
from sinoner.report.funnel import funnel
from sinoner.report.svg import PICTURES

TILES = 4
CLIP = 400  # code points shown of a reject's id and detail


class ScoreGroup(Facts):
    """The scores on one benchmark, base before tuned, without examples before with."""

    benchmark: str
    scores: tuple[Score, ...]
    base: float | None
    tuned: float | None
    best: float
    best_strict: float


def render(data: ReportData) -> str:
    """Render the report.

    Returns:
        A whole HTML document that needs no network and no other file.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def readable(value: object) -> object:
        return value.translate(PICTURES) if type(value) is str else value

    def own(markup: str) -> Markup:
        """Markup that this package made: charts (escaped by the XML library), and the page's script and JSON."""
        return Markup(markup.translate(PICTURES))  # noqa: S704

    loader = PackageLoader("sinoner", "report")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=readable,
    )
    environment.filters["clip"] = clip
    script = loader.get_source(environment, "page.js")[0].strip()
    groups = score_groups(data.scores)
    seconds = [s.seconds for s in data.stages if s.seconds is not None]
    table = inventory.table(data.inventory)
    page = environment.get_template("report.html.jinja").render(
        data=data,
        headline=headline(data),
        seconds=sum(seconds),
        tiles=[g for g in groups if g.base is not None or g.tuned is not None][:TILES],
        score_groups=groups,
        funnel=funnel(data),
        types=table,
        type_data=own(table.data),
        inventory=inventory,
        rejects=quality_tables.reject_rows(data),
        changes=sorted(((n, c) for n, c in data.hits.changed.items() if c), key=lambda x: (-x[1], x[0])),
        quality=quality_tables,
        leaks=quality_tables.leaks(data),
        unchecked={b.name for b in data.benchmarks if not b.checked},
        shape=[(c.title, own(c.drawn), c.median) for c in histograms.charts(data.shape)],
        examples=example_tables,
        example_charts=[(c.title, own(c.drawn), c.median) for c in example_tables.charts(data.use)]
        if data.use
        else [],
        unmeasured=[labels.UNMEASURED[name] for name in labels.UNMEASURED if not getattr(data, name)],
        colours=highlight.colours(data.annotations),
        passages=highlight,
        loss=loss_words(data),
        loss_chart=own(plots.loss_curve(data.losses, data.validation_losses)),
        score_chart=own(plots.score_bars([score for group in groups for score in group.scores])),
        gold_chart=own(plots.gold_bars(data.gold)),
        script=own(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        words=labels,
        clip_at=CLIP,
    )
    return page + "\n"


def score_groups(scores: Sequence[Score]) -> list[ScoreGroup]:
    """The scores by benchmark, as they first occur."""
    rank = {name: i for i, name in enumerate(labels.MODELS)}
    groups = []
    for benchmark in dict.fromkeys(s.benchmark for s in scores):
        rows = sorted(
            (s for s in scores if s.benchmark == benchmark),
            key=lambda s: (rank.get(s.model, len(rank)), s.model, s.examples),
        )
        groups.append(
            ScoreGroup(
                benchmark=benchmark,
                scores=tuple(rows),
                base=max((s.f1 for s in rows if s.model == "base"), default=None),
                tuned=max((s.f1 for s in rows if s.model == "tuned"), default=None),
                best=max(s.f1 for s in rows),
                best_strict=max(s.strict_f1 for s in rows),
            )
        )
    return groups


def loss_words(data: ReportData) -> dict[str, tuple[int, float]]:
    """The (step, loss) worth a sentence: ``first`` and ``last`` of training, ``best`` of validation."""
    train = sorted(p for p in data.losses if math.isfinite(p[1]))
    validation = [p for p in data.validation_losses if math.isfinite(p[1])]
    said = {"first": train[0], "last": train[-1]} if train else {}
    return {**said, "best": min(validation, key=lambda p: (p[1], p[0]))} if validation else said
