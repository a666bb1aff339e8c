"""The funnel follows the flow, counts what is left, and claims nothing that nobody counted."""

from __future__ import annotations

from report_page import Page

from sinoner.report import data as shown
from sinoner.report import html
from sinoner.report.funnel import funnel


def run(*rows: tuple[str, str, int, int], **more: int) -> shown.ReportData:
    stages = tuple(
        shown.StageRow(name=n, unit=u, in_=i, out=o, rejected=i - o, seconds=1) for n, u, i, o in rows
    )
    return shown.ReportData(name="n", version="1", created="c", stages=stages, **more)


WHOLE = (
    ("chunk", "document", 10, 9),
    ("chunk", "entity", 2, 0),  # cut through: not a level
    ("annotate", "passage", 40, 36),
    ("annotate", "entity", 210, 200),
    ("filter", "passage", 36, 30),
    ("filter", "entity", 200, 150),
    ("gold", "passage", 8, 7),
    ("verify", "passage", 30, 30),
    ("verify", "entity", 150, 120),
    ("decontaminate", "passage", 30, 27),
    ("build-it-set", "passage", 27, 27),
    ("finetune", "conversation", 27, 27),
)


def test_every_stage_of_the_flow_has_its_level() -> None:
    found = funnel(run(*WHOLE, passages=40, conversations=54))
    assert found is not None
    assert (found.documents, found.unread, found.conversations) == (10, 1, 54)
    levels = [
        (s.stage, s.passages and s.passages.count, s.entities and s.entities.count) for s in found.steps
    ]
    assert levels == [
        ("chunk", 40, None),
        ("annotate", 36, 200),
        ("filter", 30, 150),
        ("verify", 30, 120),
        ("gold", None, None),
        ("decontaminate", 27, None),
        ("build-it-set", 27, None),
    ]
    assert [s.watched for s in found.steps if s.stage == "gold"] == [7]


def test_losses_are_against_the_stage_before_and_bars_against_the_largest() -> None:
    found = funnel(run(*WHOLE, passages=40))
    assert found is not None
    by_name = {s.stage: s for s in found.steps}
    verify, last = by_name["verify"].entities, by_name["decontaminate"].passages
    assert verify is not None
    assert last is not None
    assert (verify.lost, verify.lost_share, verify.share) == (30, 20.0, 60.0)
    assert (last.lost, last.lost_share, last.share) == (3, 10.0, 67.5)


def test_a_run_of_one_stage_has_no_funnel_and_one_that_lost_everything_has() -> None:
    assert funnel(run(("chunk", "document", 3, 3), passages=4)) is None
    found = funnel(run(("annotate", "passage", 4, 0), ("filter", "passage", 0, 0)))
    assert found is not None
    assert [s.passages.share for s in found.steps if s.passages] == [0.0, 0.0]


def test_more_than_before_is_no_loss() -> None:
    found = funnel(run(("annotate", "entity", 4, 4), ("filter", "entity", 9, 9)))
    assert found is not None
    assert [s.entities.lost for s in found.steps if s.entities] == [0, 0]


def test_the_page_shows_numbers_and_losses() -> None:
    page = Page(html.render(run(*WHOLE, passages=40, conversations=54)))
    said = " ".join(page.text("table", "funnel"))
    for words in ("150", "−50 (25.0\xa0%)", "10", "54", "Compare with gold", "与标准标注对比"):
        assert words in said
    assert "funnel" not in " ".join(
        a.get("class") or "" for _, a in Page(html.render(run(("chunk", "document", 1, 1)))).elements
    )
