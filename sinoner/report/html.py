"""A run as one self-contained HTML page that opens from disk.

Texts of the corpus and of models reach the page only as escaped text nodes, never inside attributes or scripts;
a content security policy forbids every script but the page's own and every request.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import Field

from sinoner.records import Annotation, Conversation, Record, Reject, Score
from sinoner.report import plots, words

TOP_TYPES = 20
COLOURS = 12
TILES = 4
CLIP = 400  # code points shown of a reject's id and detail
# Controls have no glyph, and a browser replaces NUL: show their Unicode pictures instead.
PICTURES = {**{c: 0x2400 + c for c in range(32) if chr(c) not in "\t\n\r"}, 0x7F: 0x2421}
SCRIPT = """(function () {
  var root = document.documentElement, button = document.getElementById("ui"), asked = location.hash.slice(1);
  function show(language) {
    root.setAttribute("data-ui", language);
    root.lang = language === "zh" ? "zh-Hans" : "en";
  }
  show(asked === "zh" || asked === "en" ? asked : /^zh/i.test(navigator.language || "") ? "zh" : "en");
  button.hidden = false;
  button.addEventListener("click", function () {
    show(root.getAttribute("data-ui") === "zh" ? "en" : "zh");
  });
})();"""


class StageRow(Record):
    """One line of the stage table.

    Attributes:
        name: the stage; the following lines of the same stage show only their unit.
        unit: what is counted.
        in_: how many went in.
        out: how many came out.
        rejected: how many were set aside.
        seconds: wall time; None on the further lines of a stage.
        note: a remark (``skipped`` …).
    """

    name: str
    unit: str
    in_: int
    out: int
    rejected: int
    seconds: float | None
    note: str = ""

    @property
    def kept(self) -> float:
        """Share of the input that was not rejected, in percent."""
        return 100.0 * max(self.in_ - self.rejected, 0) / self.in_ if self.in_ else 0.0


class RejectGroup(Record):
    """All rejects of one stage with one reason, and up to three of them as samples."""

    stage: str
    unit: str
    reason: str
    count: int
    samples: tuple[Reject, ...] = Field((), max_length=3)


class TypeRow(Record):
    """How often a type occurs in one language, and some of its mentions."""

    lang: str
    type: str
    mentions: int
    examples: tuple[str, ...] = ()


class ReportData(Record):
    """Everything the report shows.

    Attributes:
        name: name of the run.
        version: version of the package.
        created: date and time, as it shall be read.
        stages: the stage table.
        passages: how many passages there are; None = the largest count of passages in the stage table.
        conversations: how many conversations there are; None = likewise.
        rejects: rejects by stage and reason.
        types: every type of the data set, not only the frequent ones: the headline sums them up.
        annotations: passages to highlight.
        examples: training conversations to show.
        losses: (step, training loss).
        validation_losses: (step, validation loss).
        scores: the scores of all models on all benchmarks.
        settings: the recipe as YAML.
        annotators: who labelled the passages.
    """

    name: str
    version: str
    created: str
    stages: tuple[StageRow, ...] = ()
    passages: int | None = None
    conversations: int | None = None
    rejects: tuple[RejectGroup, ...] = ()
    types: tuple[TypeRow, ...] = ()
    annotations: tuple[Annotation, ...] = Field((), max_length=24)
    examples: tuple[Conversation, ...] = Field((), max_length=3)
    losses: tuple[tuple[int, float], ...] = ()
    validation_losses: tuple[tuple[int, float], ...] = ()
    scores: tuple[Score, ...] = ()
    settings: str = ""
    annotators: tuple[str, ...] = ()


class Segment(Record):
    """A stretch of a passage: plain text, or a mention with its types."""

    text: str
    types: tuple[str, ...] = ()


class TypeGroup(Record):
    """The types of one language: the most frequent ones, and what the others add up to."""

    lang: str
    top: tuple[TypeRow, ...]
    most: int
    mentions: int
    tail: int
    tail_mentions: int


class ScoreGroup(Record):
    """The scores on one benchmark, base before tuned, without examples before with."""

    benchmark: str
    scores: tuple[Score, ...]
    base: float | None
    tuned: float | None
    best: float
    best_strict: float


class Headline(Record):
    """The numbers at the top; None when the run has not come that far."""

    passages: int | None
    entities: int | None
    types: int | None
    conversations: int | None


def render(data: ReportData) -> str:
    """Render the report.

    Returns:
        A whole HTML document that needs no network and no other file.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def readable(value: object) -> object:
        return value.translate(PICTURES) if type(value) is str else value

    environment = Environment(
        loader=PackageLoader("sinoner", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=readable,
    )
    environment.filters["clip"] = plots.clip
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    groups = score_groups(data.scores)
    in_order = [score for group in groups for score in group.scores]
    seconds = [s.seconds for s in data.stages if s.seconds is not None]
    page = environment.get_template("report.html.jinja").render(
        data=data,
        headline=headline(data),
        seconds=sum(seconds),
        tiles=[g for g in groups if g.base is not None or g.tuned is not None][:TILES],
        score_groups=groups,
        type_groups=type_groups(data.types),
        rejects=reject_groups(data.rejects),
        colours=colours(data.annotations),
        segments=segments,
        hidden=hidden,
        loss=loss_words(data),
        # The charts are element trees written out by the XML library: their texts are escaped already.
        loss_chart=Markup(plots.loss_curve(data.losses, data.validation_losses).translate(PICTURES)),  # noqa: S704
        score_chart=Markup(plots.score_bars(in_order).translate(PICTURES)),  # noqa: S704
        script=Markup(SCRIPT),  # noqa: S704 (a constant of this module)
        colour_count=COLOURS,
        script_hash=digest,
        words=words,
        clip_at=CLIP,
    )
    return page + "\n"


def headline(data: ReportData) -> Headline:
    """The numbers at the top of the page, derived from the stages and types."""
    return Headline(
        passages=data.passages if data.passages is not None else _most(data.stages, "passage"),
        entities=sum(t.mentions for t in data.types) if data.types else None,
        types=len({t.type for t in data.types}) if data.types else None,
        conversations=(
            data.conversations if data.conversations is not None else _most(data.stages, "conversation")
        ),
    )


def spans(annotation: Annotation) -> dict[tuple[int, int], tuple[str, ...]]:
    """The half-open code-point ranges of all mentions, by start, the longer first, each with its types."""
    found: dict[tuple[int, int], list[str]] = {}
    for entity in annotation.entities:
        for start in entity.starts:
            types = found.setdefault((start, start + len(entity.surface)), [])
            if entity.type not in types:
                types.append(entity.type)
    return {span: tuple(found[span]) for span in sorted(found, key=lambda s: (s[0], -s[1]))}


def segments(annotation: Annotation) -> list[Segment]:
    """Cut a passage into plain stretches and mentions; joined again they are the passage.

    Of nested mentions the outermost is shown, of crossing ones the first; see ``hidden`` for the rest.
    """
    text, pieces, at = annotation.passage.text, [], 0
    for (start, end), types in spans(annotation).items():
        if start < at:
            continue
        if start > at:
            pieces.append(Segment(text=text[at:start]))
        pieces.append(Segment(text=text[start:end], types=types))
        at = end
    if at < len(text):
        pieces.append(Segment(text=text[at:]))
    return pieces


def hidden(annotation: Annotation) -> list[Segment]:
    """The mentions that ``segments`` cannot show because another one covers their beginning."""
    text, at = annotation.passage.text, 0
    covered: dict[Segment, None] = {}
    for (start, end), types in spans(annotation).items():
        if start < at:
            covered[Segment(text=text[start:end], types=types)] = None
        else:
            at = end
    return list(covered)


def colours(annotations: Iterable[Annotation]) -> dict[str, dict[str, int]]:
    """A colour number per language and type, the most frequent first; the rest share the number ``COLOURS``."""
    counts: dict[str, Counter[str]] = {}
    for annotation in annotations:
        counter = counts.setdefault(annotation.passage.lang, Counter())
        for entity in annotation.entities:
            counter[entity.type] += len(entity.starts)
    return {
        lang: {t: min(i, COLOURS) for i, t in enumerate(sorted(counter, key=lambda t: (-counter[t], t)))}
        for lang, counter in counts.items()
    }


def type_groups(types: Sequence[TypeRow]) -> list[TypeGroup]:
    """The types by language, as they first occur, each with its most frequent ones."""
    groups = []
    for lang in dict.fromkeys(t.lang for t in types):
        rows = sorted((t for t in types if t.lang == lang), key=lambda t: (-t.mentions, t.type))
        top, tail = rows[:TOP_TYPES], rows[TOP_TYPES:]
        groups.append(
            TypeGroup(
                lang=lang,
                top=tuple(top),
                most=max(top[0].mentions, 1),
                mentions=max(sum(t.mentions for t in rows), 1),
                tail=len(tail),
                tail_mentions=sum(t.mentions for t in tail),
            )
        )
    return groups


def reject_groups(rejects: Sequence[RejectGroup]) -> dict[str, list[RejectGroup]]:
    """The reject groups by stage, as they first occur, the largest first."""
    return {
        stage: sorted((r for r in rejects if r.stage == stage), key=lambda r: (-r.count, r.reason))
        for stage in dict.fromkeys(r.stage for r in rejects)
    }


def score_groups(scores: Sequence[Score]) -> list[ScoreGroup]:
    """The scores by benchmark, as they first occur."""
    rank = {name: i for i, name in enumerate(words.MODELS)}
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


def _most(stages: Sequence[StageRow], unit: str) -> int | None:
    """The largest count of a unit in any stage."""
    return max((n for s in stages if s.unit == unit for n in (s.in_, s.out)), default=None)
