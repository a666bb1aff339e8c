"""Scoring from Python: pairs by text, the schemes of the command line, the metric of the paper."""

import pytest

from sinoner import Annotation, Document, Entity, InputError, Reject, chunk, micro_f1, score_spans
from sinoner.score.f1 import query_counts


def annotated(text: str, *mentions: tuple[str, str], id: str = "d") -> Annotation:
    """A labelled text; each mention is at its first occurrence."""
    entities = tuple(Entity(surface=s, type=kind, starts=(text.index(s),)) for s, kind in mentions)
    lang = "en" if text.isascii() else "zh"
    (found,) = chunk([Document(id=id, text=text, source="s", lang=lang, entities=entities)])  # type: ignore[arg-type]
    assert isinstance(found, Annotation)
    return found


GOLD = [
    annotated("张伟在北京。", ("张伟", "人名"), ("北京", "地点"), id="a"),
    annotated("李娜住上海市。", ("李娜", "人名"), ("上海市", "地点"), id="b"),
]
PREDICTED = [
    annotated("李娜住上海市。", ("李娜", "地点"), ("上海", "地点"), id="text:0"),
    annotated("张伟在北京。", ("张伟", "人名"), id="text:1"),
]


def test_the_four_schemes() -> None:
    scores = score_spans(GOLD, PREDICTED, resamples=0)
    assert (scores.passages, scores.scored) == (2, 2)
    found = {name: getattr(scores, name) for name in ("strict", "span", "type", "relaxed")}
    assert {name: score.scheme for name, score in found.items()} == {name: name for name in found}
    assert {name: (s.gold, s.predicted, s.correct) for name, s in found.items()} == {
        "strict": (4, 3, 1.0), "span": (4, 3, 2.0), "type": (4, 3, 2.0), "relaxed": (4, 3, 2.5),
    }  # fmt: skip
    assert scores.strict.low is None
    assert [(t.type, t.gold, t.predicted, t.correct) for t in scores.types] == [
        ("地点", 2, 2, 0),
        ("人名", 2, 1, 1),
    ]


def test_the_interval_depends_on_the_seed_alone() -> None:
    gold = [annotated(f"{i}张伟在北京。", ("张伟", "人名"), ("北京", "地点")) for i in range(37)]
    given = [
        annotated(g.passage.text, ("张伟", "人名"), *([("北京", "地点")] if i % 3 and i % 7 else []))
        for i, g in enumerate(gold)
    ]
    strict = score_spans(gold, given).strict
    assert strict.low is not None
    assert strict.high is not None
    assert strict.low < strict.f1 < strict.high
    assert score_spans(gold, given).strict == strict
    assert score_spans(gold, given, resamples=7, seed=1) != score_spans(gold, given, resamples=7, seed=2)


def test_types_go_through_the_table_of_synonyms_unless_told_otherwise() -> None:
    given = [annotated("张伟在北京。", ("张伟", "PERSON"), ("北京", "地点"))]
    assert score_spans(GOLD[:1], given).strict.f1 == 100.0
    assert score_spans(GOLD[:1], given, align_types=False).strict.f1 == 50.0


def test_what_failed_is_not_scored_and_is_counted() -> None:
    scores = score_spans(GOLD, [PREDICTED[1], Reject(id="b#0", stage="annotate", reason="timeout")])
    assert (scores.passages, scores.scored, scores.strict.gold) == (2, 1, 2)


def test_of_equal_texts_the_first_counts() -> None:
    again = annotated("张伟在北京。", ("北京", "人名"))
    assert score_spans([*GOLD, again], [*PREDICTED, again]) == score_spans(GOLD, PREDICTED)


@pytest.mark.parametrize("function", [score_spans, micro_f1])
def test_texts_that_have_nothing_in_common_are_a_mistake(function: object) -> None:
    with pytest.raises(InputError, match="none of the 2 gold texts is among the 1 annotated ones"):
        function(GOLD, [annotated("别的文本。")])  # type: ignore[operator]


def by_hand(gold: list[Annotation], predicted: list[Annotation], types: list[str]) -> tuple[int, int, int]:
    """Gold, predicted and correct mentions by the metric of the paper, for texts in the same order."""
    total = (0, 0, 0)
    for right, given in zip(gold, predicted, strict=True):
        for kind in types:
            counts = query_counts(
                [e.surface for e in right.entities if e.type == kind],
                [e.surface for e in given.entities if e.type == kind],
            )
            total = (total[0] + counts.gold, total[1] + counts.predicted, total[2] + counts.correct)
    return total


def test_the_metric_of_the_paper() -> None:
    score = micro_f1(GOLD, PREDICTED, name="mine", model="jieba")
    assert (score.gold, score.predicted, score.correct) == by_hand(GOLD, PREDICTED[::-1], ["人名", "地点"])
    assert (score.gold, score.predicted, score.correct) == (4, 3, 1)
    assert (score.precision, score.recall, score.f1) == (33.33, 25.0, 28.57)
    assert (score.benchmark, score.model, score.lang, score.passages, score.queries) == (
        "mine",
        "jieba",
        "zh",
        2,
        4,
    )


def test_other_types_than_those_asked_do_not_count() -> None:
    assert micro_f1(GOLD, PREDICTED, types=["人名"], resamples=0).f1 == 66.67
    stranger = [annotated("张伟在北京。", ("张伟", "人名"), ("北京", "城市")), PREDICTED[0]]
    assert micro_f1(GOLD, stranger).predicted == 3


def test_mentions_are_normalised_as_the_paper_does() -> None:
    gold = [annotated("The Beatles in U.S.", ("The Beatles", "band"), ("U.S.", "place"))]
    given = [annotated("The Beatles in U.S.", ("Beatles", "band"), ("U.S", "place"))]
    score = micro_f1(gold, given)
    assert (score.f1, score.strict_f1) == (100.0, 0.0)


def test_two_gold_texts_with_one_id_are_a_mistake() -> None:
    gold = [annotated("张伟。", ("张伟", "人名")), annotated("李娜。", ("李娜", "人名"))]
    with pytest.raises(InputError, match="the same passage id"):
        micro_f1(gold, gold)
    assert score_spans(gold, gold).strict.f1 == 100.0
