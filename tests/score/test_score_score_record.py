"""The score record and the table."""

import pytest

from sinoner.measurements import Score
from sinoner.records import HUMAN, Annotation, Entity, Lang, Passage, Prediction
from sinoner.score.score_record import markdown, score


def annotation(n: int, lang: Lang = "zh") -> Annotation:
    entity = Entity(surface="北京", type="地点", starts=(0,))
    passage = Passage(id=f"p{n}#0", text="北京。The", source="s", lang=lang)
    return Annotation(passage=passage, entities=(entity,), by=HUMAN)


def scored(gold: list[Annotation], resamples: int = 100, seed: int = 1) -> Score:
    surfaces = {"p0#0|地点": ("北京",), "p1#0|地点": ("The",), "p2#0|地点": ()}
    predictions = {
        (a.passage.id, t): Prediction(
            id=f"{a.passage.id}|{t}", passage=a.passage.id, type=t, raw="…", surfaces=surfaces.get(f"{a.passage.id}|{t}", ()),
            reason="unparsed" if (a.passage.id, t) == ("p2#0", "人名") else None,
        )
        for a in gold
        for t in ("地点", "人名")
    }  # fmt: skip
    return score(
        gold, ["地点", "人名"], predictions,
        benchmark="b", model="tuned", examples=True, resamples=resamples, seed=seed,
    )  # fmt: skip


def test_score() -> None:
    made = scored([annotation(n) for n in range(3)])
    assert made.model_dump(exclude={"low", "high"}) == {
        "benchmark": "b", "lang": "zh", "model": "tuned", "examples": True, "passages": 3, "queries": 6, "gold": 3,
        "predicted": 2, "correct": 1, "unparsed": 1, "precision": 50.0, "recall": 33.33, "f1": 40.0,
        "strict_precision": 50.0, "strict_recall": 33.33, "strict_f1": 40.0,
    }  # fmt: skip
    assert made.low is not None
    assert made.high is not None
    assert made.low <= made.f1 <= made.high
    assert Score.model_validate_json(made.model_dump_json()) == made


def test_score_without_interval_and_of_two_languages() -> None:
    made = scored([annotation(0), annotation(1, "en")], resamples=0)
    assert (made.low, made.high) == (None, None)
    assert made.lang == "en+zh"


def test_missing_predictions_are_not_scored_as_empty() -> None:
    with pytest.raises(KeyError):
        score([annotation(0)], ["地点"], {}, benchmark="b", model="m", examples=False, resamples=0, seed=0)


def test_markdown() -> None:
    one = scored([annotation(n) for n in range(3)]).model_copy(update={"low": 0.0, "high": 66.666})
    two = one.model_copy(update={"examples": False, "low": None, "high": None})
    assert markdown([one, two]).splitlines()[2:] == [
        "| b | zh | tuned | with | 50.00 | 33.33 | 40.00 | 0.0–66.7 | 40.00 | 1/6 |",
        "| b | zh | tuned | without | 50.00 | 33.33 | 40.00 |  | 40.00 | 1/6 |",
    ]
    head, rule = markdown([]).splitlines()
    assert head.count("|") == rule.count("|") == markdown([one]).splitlines()[2].count("|")
