"""What is measured about a run's data: made by the stages, kept in its folder as JSON, shown by the report.

All figures are over passages of one run; F1, precision and recall are in percent with two decimals, as in ``Score``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sinoner.bins import Histogram
from sinoner.records import Facts

Scheme = Literal["strict", "span", "type", "relaxed"]


class Score(Facts):
    """The micro scores of one model on one benchmark, in percent, two decimals.

    ``precision``, ``recall`` and ``f1`` follow the metric of UniversalNER (normalised strings per query);
    the ``strict_`` ones compare spans (passage, type, start, end) without any normalisation.

    Example:
        >>> from sinoner import annotate_texts, micro_f1
        >>> gold = list(annotate_texts(["张伟在北京。"], by="jieba"))
        >>> score = micro_f1(gold, gold, name="news")
        >>> score.benchmark, score.gold, score.correct, score.f1, score.strict_f1
        ('news', 2, 2, 100.0, 100.0)
    """

    benchmark: str
    lang: str
    model: str
    examples: bool
    passages: int
    queries: int
    gold: int
    predicted: int
    correct: int
    unparsed: int
    precision: float
    recall: float
    f1: float
    low: float | None = None
    high: float | None = None
    strict_precision: float
    strict_recall: float
    strict_f1: float


class TypeCount(Facts):
    """One type of the data set, as it stands after the filter.

    Attributes:
        lang: language of the passages.
        type: the name.
        mentions: distinct (passage, surface) pairs that carry it.
        passages: passages that hold it.
        examples: some of its surfaces, in order of first appearance.
        variants: original names that were merged into it, with their mentions; empty when only its own.
        unstable: share of its sampled distinct surfaces that carry another type as well somewhere in the run; None
            when no surface of it is in the sample.
        others: the types that those surfaces carry, the most frequent first.
    """

    lang: str
    type: str
    mentions: int
    passages: int
    examples: tuple[str, ...] = ()
    variants: tuple[tuple[str, int], ...] = ()
    unstable: float | None = None
    others: tuple[str, ...] = ()


class TypeInventory(Facts):
    """All types of a run, the most frequent first within each language, and how many there were before merging."""

    types: tuple[TypeCount, ...] = ()
    before: dict[str, int] = Field(default_factory=dict)  # by language
    after: dict[str, int] = Field(default_factory=dict)
    singletons: dict[str, int] = Field(default_factory=dict)  # types with one mention, after merging
    surfaces: int = 0  # distinct surfaces in the sample that ``unstable`` looks at


class Shape(Facts):
    """How long the passages are and how densely they are annotated, after the filter.

    Attributes:
        lengths: passage length in code points.
        mention_lengths: surface length in code points.
        densities: entities per 100 code points.
        entities: entities per passage.
    """

    lengths: Histogram
    mention_lengths: Histogram
    densities: Histogram
    entities: Histogram


class PairAgreement(Facts):
    """How far two annotators agree: ``f1`` on (span, type), ``span_f1`` on spans alone."""

    a: str
    b: str
    passages: int
    f1: float
    span_f1: float


class TypeAgreement(Facts):
    """How far the annotators agree on one type: mean pairwise F1 on (span, type).

    Attributes:
        type: the name.
        mentions: spans that at least one annotator gave it.
        unanimous: spans that all annotators gave it.
        f1: mean over the pairs.
    """

    type: str
    mentions: int
    unanimous: int
    f1: float


class Agreement(Facts):
    """Agreement of several annotators, or of several samples of one, on the passages that all of them annotated.

    Attributes:
        annotators: their names, in the order given.
        passages: passages that all of them annotated.
        left_out: passages that some of them did not annotate.
        characters: code points compared for alpha.
        pairs: every pair of annotators.
        types: every type, the most frequent first.
        alpha: Krippendorff's alpha, nominal, on the label of every character; None when it is not defined (all
            characters carry one and the same label).
        disagreements: (span, type) decisions that not all annotators share.
        annotations: SHA-256 of the annotations of the run folder that the figures are kept in; empty elsewhere.
        sheet: SHA-256 of the sheet for review as it was written; one with another is edited.
    """

    annotators: tuple[str, ...]
    passages: int
    left_out: int
    characters: int
    pairs: tuple[PairAgreement, ...]
    types: tuple[TypeAgreement, ...]
    alpha: float | None
    disagreements: int
    annotations: str = ""
    sheet: str = ""


class SpanScore(Facts):
    """Micro precision, recall and F1 under one scheme, with the 95 % bootstrap interval of F1 over passages.

    Attributes:
        scheme: ``strict`` (span and type), ``span`` (span alone), ``type`` (overlap and type), ``relaxed`` (overlap,
            a partial one counts half).
        correct: matches; a half one counts 0.5.

    Example:
        >>> from sinoner import annotate_texts, score_spans
        >>> gold = list(annotate_texts(["张伟在北京。"], by="jieba"))
        >>> strict = score_spans(gold, gold).strict
        >>> strict.scheme, strict.gold, strict.predicted, strict.correct, strict.low, strict.high
        ('strict', 2, 2, 2.0, 100.0, 100.0)
    """

    scheme: Scheme
    gold: int
    predicted: int
    correct: float
    precision: float
    recall: float
    f1: float
    low: float | None = None
    high: float | None = None


class TypeScore(Facts):
    """Strict scores of one type.

    Example:
        >>> from sinoner import annotate_texts, score_spans
        >>> gold = list(annotate_texts(["张伟在北京。"], by="jieba"))
        >>> [(score.type, score.gold, score.f1) for score in score_spans(gold, gold).types]
        [('人名', 1, 100.0), ('地点', 1, 100.0)]
    """

    type: str
    gold: int
    predicted: int
    correct: int
    precision: float
    recall: float
    f1: float


class GoldScores(Facts):
    """How well the annotations of a run match hand-made gold of the same texts.

    Attributes:
        layer: which annotations: ``annotations`` (as annotated), ``filtered``, ``verified``.
        gold: name of the gold.
        digest: SHA-256 of the gold file.
        passages: gold passages.
        scored: those that stand in the run and have annotations of this layer.
        missing: those whose text does not stand in the run.
        dropped: those that stand in the run and have no annotations of this layer (failed, or dropped by the filter).
        partly: scored ones of which only some chunks have annotations of this layer; gold mentions in the others do
            not count.
        aligned: whether types were compared through the table of synonyms.
        scores: one per scheme.
        types: strict scores per type, by gold mentions, the most first.
    """

    layer: Literal["annotations", "filtered", "verified"]
    gold: str
    digest: str
    passages: int
    scored: int
    missing: int
    dropped: int
    partly: int = 0
    aligned: bool
    scores: tuple[SpanScore, ...]
    types: tuple[TypeScore, ...]


class Leak(Facts):
    """What was dropped from the training data because of one test set.

    Attributes:
        benchmark: its name.
        digest: SHA-256 of its gold file.
        passages: its test passages.
        shared_ngram: training passages dropped because they share an n-gram with it.
        near_duplicate: training passages dropped because they are nearly the same as one of its passages.
        touched: test passages that at least one dropped passage had to do with.
    """

    benchmark: str
    digest: str
    passages: int
    shared_ngram: int
    near_duplicate: int
    touched: int


class Decontamination(Facts):
    """What the stage ``decontaminate`` did; ``checked`` training passages were compared with every test set."""

    checked: int
    dropped: int
    leaks: tuple[Leak, ...] = ()


class RuleHits(Facts):
    """How often a rule of the filter changed something without dropping it, by rule name."""

    changed: dict[str, int] = Field(default_factory=dict)


class ExampleUse(Facts):
    """How the passages of one language were served with examples.

    Attributes:
        lang: the language.
        benchmark: whose passages asked, in evaluation; empty in training.
        strategy: how examples were chosen.
        k: examples wanted per passage.
        embedder: what made the vectors; empty when none were needed.
        method: how the nearest were searched; empty when they were not.
        recall: share of the true nearest that the search found, measured; 1 for exact search.
        queries: passages that looked for examples.
        pool: passages that may be examples.
        duplicates: passages left out of the pool because their text stands there already.
        by_number: passages that got 0, 1, 2 … examples.
        below: examples left out because of their BM25 score.
        short: passages that got fewer than ``k`` because those of their own document were left out.
        cut: texts of which the embedder did not read the end.
        cosine: mean cosine of passage and example; None when it was not computed.
        first: the same of the first, best example of each passage alone.
        cosines: the cosines, in bins.
        bm25: mean BM25 score of passage and example; None when it was not computed.
        scores: the BM25 scores, in bins.
        used: passages of the pool that are an example of at least one passage.
        uses: of all passages of the pool, how many times they are an example, in bins.
        half: so few passages of the pool, those used most often, make up half of all examples.
        most_used: those used most often, with how often.
        most_used_texts: how their texts begin, in the same order.
        shared_types: mean share of a passage's types that its examples show, over passages with types and examples, in
            percent; None without any.
    """

    lang: str
    benchmark: str = ""
    strategy: str
    k: int
    embedder: str = ""
    method: str = ""
    recall: float = 1.0
    queries: int
    pool: int
    duplicates: int = 0
    by_number: tuple[int, ...] = ()
    below: int = 0
    short: int = 0
    cut: int = 0
    cosine: float | None = None
    first: float | None = None
    cosines: Histogram = Histogram(width=0.02)
    bm25: float | None = None
    scores: Histogram = Histogram(width=5.0)
    used: int = 0
    uses: Histogram = Histogram(width=1.0)
    half: int = 0
    most_used: tuple[tuple[str, int], ...] = ()
    most_used_texts: tuple[str, ...] = ()
    shared_types: float | None = None


class Examples(Facts):
    """The use of examples in a run, by language; in evaluation by benchmark and language."""

    languages: tuple[ExampleUse, ...] = ()
