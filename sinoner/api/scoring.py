"""Scoring annotations against gold from Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from sinoner.errors import InputError
from sinoner.measurements import Score, SpanScore, TypeScore
from sinoner.records import Annotation, Facts, Prediction, Reject

if TYPE_CHECKING:
    from sinoner.score.spans import Canonical

Pair = tuple[Annotation, Annotation]


class SpanScores(Facts):
    """Scores of annotations against gold under four schemes of what a match is.

    Attributes:
        passages: gold texts.
        scored: those that have an annotation; only these are compared.
        strict: same span and same type.
        span: same span, whatever the type.
        type: same type, and the spans overlap.
        relaxed: the spans overlap, whatever the type; an equal span counts 1, another one 0.5.
        types: strict scores of each type, by gold mentions, the most first.

    Example:
        >>> from sinoner import annotate_texts, score_spans
        >>> gold = list(annotate_texts(["张伟在北京。"], by="jieba"))
        >>> scores = score_spans(gold, gold)
        >>> scores.strict.f1, scores.relaxed.f1, [score.type for score in scores.types]
        (100.0, 100.0, ['人名', '地点'])
    """

    passages: int
    scored: int
    strict: SpanScore
    span: SpanScore
    type: SpanScore
    relaxed: SpanScore
    types: tuple[TypeScore, ...]


def score_spans(
    gold: Iterable[Annotation | Reject],
    predicted: Iterable[Annotation | Reject],
    *,
    align_types: bool = True,
    resamples: int = 1000,
    seed: int = 42,
) -> SpanScores:
    """Compare annotations with gold on spans, under four schemes.

    Annotations are paired by text; of equal texts the first counts. Rejects are skipped, so a text whose annotation
    failed is not scored: compare ``scored`` with ``passages``.

    Args:
        gold: the correct annotations.
        predicted: the annotations to score, in any order.
        align_types: compare type names through the shipped table of synonyms (``PERSON`` is ``人名``).
        resamples: bootstrap resamples of the texts for the 95 % interval of F1; 0 computes none.
        seed: seed of the resamples.

    Raises:
        InputError: no gold text is among the annotated texts.

    Example:
        >>> from sinoner import annotate_texts, chunk, Document, Entity, score_spans
        >>> document = Document(id="a", text="张伟在北京。", source="hand", lang="zh", entities=(
        ...     Entity(surface="张伟", type="PERSON", starts=(0,)), Entity(surface="在北京", type="地点", starts=(2,)),
        ... ))
        >>> scores = score_spans(chunk([document]), annotate_texts([document.text], by="jieba"))
        >>> scores.strict.f1, scores.span.f1, scores.type.f1, scores.relaxed.f1
        (50.0, 50.0, 100.0, 75.0)
    """
    from sinoner.score.spans import SpanCounts, spans

    counts = SpanCounts(_synonyms() if align_types else None)
    texts = _by_text(gold)
    pairs = list(_pairs(texts, predicted))
    for right, annotation in pairs:
        counts.add(spans(right.entities), spans(annotation.entities), right.passage.lang)
    by_scheme = {score.scheme: score for score in counts.scores(resamples, seed)}
    return SpanScores(
        passages=len(texts),
        scored=len(pairs),
        strict=by_scheme["strict"],
        span=by_scheme["span"],
        type=by_scheme["type"],
        relaxed=by_scheme["relaxed"],
        types=counts.types(),
    )


def micro_f1(
    gold: Iterable[Annotation | Reject],
    predicted: Iterable[Annotation | Reject],
    *,
    types: Sequence[str] | None = None,
    name: str = "",
    model: str = "",
    resamples: int = 1000,
    seed: int = 42,
) -> Score:
    """The micro-F1 of the paper: UniversalNER's metric, on distinct normalised mentions of each text and type.

    Texts are paired as in ``score_spans``. Type names are compared as written; mentions of other types than ``types``
    are not counted.

    Args:
        gold: the correct annotations.
        predicted: the annotations to score, in any order.
        types: the types to score; None takes those of the gold, in order of first appearance.
        name: name of the gold, for ``Score.benchmark``.
        model: name of the annotator, for ``Score.model``.
        resamples: bootstrap resamples of the texts for the 95 % interval of F1; 0 computes none.
        seed: seed of the resamples.

    Raises:
        InputError: no gold text is among the annotated texts, or two gold texts have the same passage id.

    Example:
        >>> from sinoner import annotate_texts, chunk, Document, Entity, micro_f1
        >>> document = Document(id="a", text="张伟在北京。", source="hand", lang="zh", entities=(
        ...     Entity(surface="张伟", type="人名", starts=(0,)), Entity(surface="在北京", type="地点", starts=(2,)),
        ... ))
        >>> score = micro_f1(chunk([document]), annotate_texts([document.text], by="jieba"))
        >>> score.precision, score.recall, score.f1
        (50.0, 50.0, 50.0)
    """
    from sinoner.score.score_record import score

    pairs = list(_pairs(_by_text(gold), predicted))
    right = [annotation for annotation, _ in pairs]
    if len({annotation.passage.id for annotation in right}) < len(right):
        raise InputError("micro_f1: two gold texts have the same passage id; give each its own")
    asked = types if types is not None else [e.type for annotation in right for e in annotation.entities]
    asked = list(dict.fromkeys(asked))
    predictions = {
        (annotation.passage.id, kind): Prediction(
            id=f"{annotation.passage.id}|{kind}",
            passage=annotation.passage.id,
            type=kind,
            raw="",
            surfaces=tuple(e.surface for e in given.entities if e.type == kind),
        )
        for annotation, given in pairs
        for kind in asked
    }
    return score(
        right, asked, predictions, benchmark=name, model=model, examples=False, resamples=resamples, seed=seed
    )


def _synonyms() -> Canonical:
    from sinoner.quality.types import synonyms

    return synonyms().canonical


def _by_text(items: Iterable[Annotation | Reject]) -> dict[str, Annotation]:
    """The annotations by text, in order of first appearance."""
    found: dict[str, Annotation] = {}
    for item in items:
        if isinstance(item, Annotation):
            found.setdefault(item.passage.text, item)
    return found


def _pairs(gold: dict[str, Annotation], predicted: Iterable[Annotation | Reject]) -> Iterator[Pair]:
    """Each gold annotation that has one with it, in the order of the gold.

    Raises:
        InputError: none has.
    """
    given = _by_text(predicted)
    both = [text for text in gold if text in given]
    if not both:
        raise InputError(
            f"none of the {len(gold)} gold texts is among the {len(given)} annotated ones; annotate the texts of the gold"
        )
    for text in both:
        yield gold[text], given[text]
