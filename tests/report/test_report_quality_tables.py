"""Agreement, gold, decontamination and rules as the page shows them."""

from __future__ import annotations

import pytest
from report_page import Page, measured

from sinoner import measurements
from sinoner.report import data as shown
from sinoner.report import html, labels, quality_tables


def report(**more: object) -> shown.ReportData:
    return shown.ReportData(name="n", version="1", created="c", **more)  # type: ignore[arg-type]


def agreement(**more: object) -> measurements.Agreement:
    pairs = tuple(
        measurements.PairAgreement(a=a, b=b, passages=9, f1=f1, span_f1=f1 + 20)
        for a, b, f1 in (("x", "y", 10.0), ("z", "x", 20.0), ("y", "z", 30.0))
    )
    given: dict[str, object] = {
        "annotators": ("x", "y", "z"), "passages": 9, "left_out": 0, "characters": 90, "pairs": pairs, "types": (),
        "alpha": 0.85, "disagreements": 3, **more,
    }  # fmt: skip
    return measurements.Agreement.model_validate(given)


def test_the_matrix_is_strict_above_the_diagonal_and_spans_below_it() -> None:
    rows = quality_tables.matrix(agreement())
    assert [[c.f1 for c in row.cells] for row in rows] == [
        [None, 10.0, 20.0],
        [30.0, None, 30.0],
        [40.0, 50.0, None],
    ]
    page = Page(html.render(report(agreement=agreement())))
    assert [t for t in page.text("table", "matrix") if "." in t] == [
        "10.0",
        "20.0",
        "30.0",
        "30.0",
        "40.0",
        "50.0",
    ]


def test_a_pair_that_was_not_measured_is_a_dash() -> None:
    rows = quality_tables.matrix(agreement(pairs=()))
    assert {c.f1 for row in rows for c in row.cells} == {None}


@pytest.mark.parametrize(
    ("alpha", "said"),
    [(0.8, "reliable"), (0.667, "tentative"), (0.66, "too low"), (-0.2, "too low"), (None, "not defined")],
)
def test_alpha_is_put_into_words(alpha: float | None, said: str) -> None:
    page = Page(html.render(report(agreement=agreement(alpha=alpha))))
    assert said in " ".join(page.text("p"))
    if alpha is not None:
        assert said in labels.alpha(alpha)[0]


def test_rarer_types_of_a_long_table_are_counted_instead_of_shown() -> None:
    types = tuple(measurements.TypeAgreement(type=f"t{i}", mentions=i, unanimous=0, f1=1) for i in range(33))
    assert [t.mentions for t in quality_tables.agreed_types(agreement(types=types))][:2] == [32, 31]
    assert "3 rarer types are not shown." in html.render(report(agreement=agreement(types=types)))


def gold(layer: str, f1: float, *types: tuple[str, int, float]) -> measurements.GoldScores:
    score = measurements.SpanScore(
        scheme="strict",
        gold=9,
        predicted=9,
        correct=5,
        precision=f1,
        recall=f1,
        f1=f1,
        low=f1 - 5,
        high=f1 + 5,
    )
    rows = tuple(
        measurements.TypeScore(type=t, gold=n, predicted=1, correct=1, precision=1, recall=1, f1=f)
        for t, n, f in types
    )
    return measurements.GoldScores(
        layer=layer, gold="hand", digest="abcdef0123456789", passages=9, scored=7, missing=1, dropped=1, aligned=False,
        scores=(score,), types=rows,
    )  # type: ignore[arg-type]  # fmt: skip


def test_types_of_all_layers_stand_side_by_side() -> None:
    layers = (
        gold("annotations", 40, ("人名", 5, 10), ("地名", 7, 20)),
        gold("filtered", 50, ("人名", 5, 30), ("新", 1, 5)),
    )
    rows = [(r.type, r.gold, [x and x[2] for x in r.layers]) for r in quality_tables.gold_types(layers)]
    assert rows == [("地名", 7, [20, None]), ("人名", 5, [10, 30]), ("新", 1, [None, 5])]


def test_gold_shows_scores_intervals_and_what_was_not_scored() -> None:
    page = Page(html.render(report(gold=(gold("annotations", 40), gold("filtered", 50)))))
    said = " ".join(page.text("section"))
    for word in (
        "7 of 9 gold passages scored",
        "1 are not in the run",
        "35.0–45.0",
        "abcdef012345",
        "50.00",
    ):
        assert word in said
    whiskers = [a for t, a in page.elements if t == "line" and a["class"] == "whisker"]
    assert len(whiskers) == 6
    assert [t for t in page.text("text", "en") if t in ("as annotated", "after the filter")]


def test_benchmarks_that_were_scored_but_not_checked_are_marked() -> None:
    leak = measurements.Leak(
        benchmark="msra", digest="d" * 64, passages=9, shared_ngram=2, near_duplicate=1, touched=3
    )
    found = report(
        decontamination=measurements.Decontamination(checked=50, dropped=3, leaks=(leak,)),
        benchmarks=(
            shown.BenchmarkCheck(name="msra", checked=True),
            shown.BenchmarkCheck(name="weibo", checked=False),
        ),
    )
    assert [
        getattr(row, "benchmark", None) or getattr(row, "name", None) for row in quality_tables.leaks(found)
    ] == [
        "msra",
        "weibo",
    ]
    page = Page(html.render(found))
    assert page.text("td", "warm")[:2] == ["2", "1"]
    assert any("scored but not checked" in t for t in page.text("td", "warm"))
    assert "50 training passages were compared with 1 test set; 3 were dropped." in page.text("p", "soft")


def test_without_decontamination_a_scored_benchmark_is_still_marked() -> None:
    page = Page(html.render(report(benchmarks=(shown.BenchmarkCheck(name="weibo", checked=False),))))
    assert "The training data were not compared with any test set." in page.text("p", "soft")
    checked = Page(html.render(report(benchmarks=(shown.BenchmarkCheck(name="weibo", checked=True),))))
    assert not any(a.get("id") == "decontamination" for _, a in checked.elements)


def test_what_was_not_measured_is_one_line_and_shorter_the_more_there_is() -> None:
    def line(found: shown.ReportData) -> str:
        return " ".join(Page(html.render(found)).text("p", "empty"))

    assert "agreement (annotate with several models" in line(report())
    assert "agreement (annotate with several models" not in line(report(agreement=agreement()))
    assert "Not measured" not in line(report(**measured("x")))


def test_reject_shares_are_of_what_went_into_the_stage() -> None:
    stages = (shown.StageRow(name="filter", unit="entity", in_=200, out=150, rejected=50, seconds=1),)
    groups = tuple(
        shown.RejectGroup(stage="filter", unit=u, reason=r, count=n)
        for u, r, n in (("entity", "number", 10), ("entity", "too_long", 40), ("passage", "garbled", 7))
    )
    rows = quality_tables.reject_rows(report(stages=stages, rejects=groups))
    assert [(r.group.reason, r.share) for r in rows["filter"]] == [
        ("too_long", 20.0),
        ("number", 5.0),
        ("garbled", None),
    ]


def test_rules_that_changed_something_are_listed_with_their_meaning_if_there_is_one() -> None:
    found = report(hits=measurements.RuleHits(changed={"strip_brackets": 3, "brand_new": 9, "types": 0}))
    page = Page(html.render(found))
    assert page.text("code") == ["brand_new", "strip_brackets"]
    assert labels.CHANGES["strip_brackets"][1] in page.text("li", "reject")
    assert all(english and chinese for english, chinese in labels.CHANGES.values())
