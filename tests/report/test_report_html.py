"""The report shows what it is given, survives hostile text, and needs nothing from outside."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from report_page import HOSTILE, SCRIPT, Page, annotation, full, score

from sinoner import measurements
from sinoner.clip import clip
from sinoner.records import Annotation, Annotator, Entity, Passage, Reject
from sinoner.report import data as shown
from sinoner.report import highlight, html, labels, plots, svg


@pytest.mark.parametrize("word", HOSTILE)
def test_data_never_becomes_an_element_an_attribute_or_a_script(word: str) -> None:
    harmless, hostile = Page(html.render(full())), Page(html.render(full(word)))
    assert hostile.elements == harmless.elements
    assert hostile.comments == []
    assert hostile.text("style") == harmless.text("style")
    scripts, others = hostile.text("script"), harmless.text("script")
    assert scripts[0] == others[0] == SCRIPT
    assert len(scripts) == len(others) == 2


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_text_is_shown_as_it_stands(word: str) -> None:
    page = Page(html.render(full(word)))
    assert "".join(page.text("p", "text", without="tag")) == f"前{word}后"
    places = (
        ("h1", ""),
        ("pre", ""),
        ("title", ""),
        ("code", ""),
        ("p", "says"),
        ("p", "covered"),
        ("tr", ""),
        ("small", ""),
    )
    for tag, kind in places:
        assert word in "".join(page.text(tag, kind)), tag


@pytest.mark.parametrize("word", HOSTILE)
def test_the_rows_of_the_table_are_json_that_cannot_leave_its_element(word: str) -> None:
    written = Page(html.render(full(word))).text("script")[1]
    assert not set(written) & set("<>&\u2028\u2029")
    row = json.loads(written)["rows"][0]
    assert (row[0], row[4], row[5], row[8]) == (f"{word}0", [clip(word, 32), "x"], [[word, 1]], [word])


def test_the_page_runs_one_script_without_data_and_the_policy_names_its_hash() -> None:
    page = Page(html.render(full("资料")))
    kinds = [a.get("type") for t, a in page.elements if t == "script"]
    assert kinds == [None, "application/json"]
    assert page.text("script")[0] == SCRIPT
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert re.search(r"default-src 'none'.*script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_nothing_is_loaded_from_anywhere() -> None:
    source = html.render(full("https://example.org/x.js"))
    page = Page(source)
    for _, attributes in page.elements:
        assert "src" not in attributes
        assert all(not (name.startswith("on") or name == "srcset") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert all("http:" not in (v or "") and "https:" not in (v or "") for v in attributes.values())
    assert not re.search(r"url\(|@import|https?:", "".join(page.text("style") + page.text("script")[:1]))
    assert {t for t, _ in page.elements}.isdisjoint(
        {"link", "img", "iframe", "object", "embed", "base", "form"}
    )


def test_links_inside_the_page_lead_somewhere_and_ids_are_unique() -> None:
    page = Page(html.render(full()))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for t, a in page.elements if t == "a"} <= {f"#{i}" for i in ids}


def test_offsets_count_code_points() -> None:
    text = "👨‍👩‍👧𠮷田小姐在臺北👍🏽買了蘋果。"
    start = text.index("𠮷")
    a = annotation(
        text,
        ("𠮷田小姐", "人物", start),
        ("臺北", "地点", text.index("臺")),
        ("蘋果", "商品", text.index("蘋")),
    )
    page = Page(html.render(shown.ReportData(name="n", version="1", created="c", annotations=(a,))))
    assert [s.text for s in highlight.segments(a) if s.tags] == ["𠮷田小姐", "臺北", "蘋果"]
    assert page.directly("mark", ("p", "text")) == ["𠮷田小姐", "臺北", "蘋果"]
    assert "".join(page.text("p", "text", without="tag")) == text


def nesting(pieces: tuple[highlight.Segment, ...]) -> list[object]:
    """The segments as nested lists of texts; a mention is a pair of its types and what it holds."""
    return [
        ("/".join(t.type for t in p.tags), nesting(p.parts) or p.text) if p.tags else p.text for p in pieces
    ]


def test_nested_mentions_are_marked_inside_each_other() -> None:
    a = annotation(
        "上海复旦大学图书馆", ("复旦大学", "组织", 2), ("上海复旦大学", "学校", 0), ("上海", "地点", 0)
    )
    inner = [("地点", "上海"), ("组织", "复旦大学")]
    assert nesting(highlight.segments(a)) == [("学校", inner), "图书馆"]
    assert highlight.crossing(a) == []
    page = Page(html.render(shown.ReportData(name="n", version="1", created="c", annotations=(a,))))
    inside = [path for path, t in page.texts if t in ("上海", "复旦大学") and ("p", "text") in path]
    assert [[name for name, _ in path].count("mark") for path in inside] == [2, 2]
    assert "".join(page.text("p", "text", without="tag")) == a.passage.text


def test_of_crossing_mentions_the_first_is_marked_and_the_other_listed_below() -> None:
    a = annotation("南京市长江大桥", ("南京市长", "职务", 0), ("市长江大桥", "地点", 2), ("南京", "地点", 0))
    assert nesting(highlight.segments(a)) == [("职务", [("地点", "南京"), "市长"]), "江大桥"]
    assert [s.text for s in highlight.crossing(a)] == ["市长江大桥"]
    page = Page(html.render(shown.ReportData(name="n", version="1", created="c", annotations=(a,))))
    assert page.directly("mark", ("p", "covered")) == ["市长江大桥"]


def test_a_mention_with_two_types_shows_both_and_touching_mentions_stay_apart() -> None:
    a = annotation("鲁迅绍兴人", ("鲁迅", "人物", 0), ("鲁迅", "作家", 0), ("绍兴", "地点", 2))
    assert nesting(highlight.segments(a)) == [("人物/作家", "鲁迅"), ("地点", "绍兴"), "人"]
    assert highlight.crossing(a) == []


def test_a_merged_type_names_what_the_annotator_called_it() -> None:
    passage = Passage(id="p#0", text="联想在北京", source="s", lang="zh")
    entities = (
        Entity(surface="联想", type="公司", starts=(0,), original_type="企业"),
        Entity(surface="北京", type="地点", starts=(3,), original_type="地点"),
    )
    a = Annotation(passage=passage, entities=entities, by=Annotator(source="model", model="m"))
    assert [t.original for s in highlight.segments(a) for t in s.tags] == [("企业",), ()]
    page = Page(html.render(shown.ReportData(name="n", version="1", created="c", annotations=(a,))))
    assert [t.strip() for t in page.text("span", "was")] == ["← 企业"]


def test_mentions_nested_too_deep_for_the_eye_are_listed() -> None:
    a = annotation("a" * 12, *(("a" * n, f"t{n}", 0) for n in range(1, 13)))
    assert len(highlight.crossing(a)) == 12 - highlight.DEPTH
    assert html.render(shown.ReportData(name="n", version="1", created="c", annotations=(a,)))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_segments_rejoin_to_the_passage_and_no_mention_is_lost(data: st.DataObject) -> None:
    text = data.draw(st.text(alphabet="ab<>&'\"中𠮷👍🏽\n ", min_size=1, max_size=30))
    ranges = data.draw(st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(1, 8)), max_size=8))
    a = annotation(text, *((text[i : i + n], f"t{k % 3}", i) for k, (i, n) in enumerate(ranges)))
    pieces = highlight.segments(a)
    assert "".join(p.text for p in pieces) == text
    found: list[highlight.Segment] = list(highlight.crossing(a))
    waiting = list(pieces)
    while waiting:
        piece = waiting.pop()
        assert not piece.parts or "".join(p.text for p in piece.parts) == piece.text
        waiting.extend(piece.parts)
        found += [piece] if piece.tags else []
    told = {(p.text, p.tags) for p in found}
    assert told == {(text[s:e], tags) for (s, e), tags in highlight.spans(a).items()}


def test_control_characters_become_visible_pictures() -> None:
    page = html.render(full("a\x00b\x1b[31m\x7f"))
    assert "a␀b␛[31m␡" in page
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", page)


def test_an_empty_run_says_so_in_sentences() -> None:
    page = Page(html.render(shown.ReportData(name="n", version="1", created="c")))
    english = page.text("p", "empty")
    assert len([1 for t, a in page.elements if t == "p" and a.get("class") == "empty"]) == 9
    assert "No model was scored in this run." in english
    assert "没有剔除任何内容。" in english
    assert {t for t, _ in page.elements}.isdisjoint({"svg", "table", "mark", "details"})


def test_a_full_run_has_no_empty_sentence() -> None:
    page = Page(html.render(full()))
    assert page.text("p", "empty") == []
    assert len([1 for t, _ in page.elements if t == "svg"]) == 13


def test_every_label_has_both_languages() -> None:
    page = Page(html.render(full()))
    kinds = [a.get("class") for _, a in page.elements]
    assert kinds.count("en") == kinds.count("zh") > 60


def test_an_annotation_without_entities_and_a_type_without_mentions() -> None:
    row = measurements.TypeCount(lang="zh", type="人物", mentions=0, passages=0)
    data = shown.ReportData(
        name="n",
        version="1",
        created="c",
        annotations=(annotation("雨停了。"),),
        inventory=measurements.TypeInventory(types=(row,)),
    )
    page = Page(html.render(data))
    assert "".join(page.text("p", "text")) == "雨停了。"
    assert "The annotator found no entity here." in page.text("p", "none")


def test_only_the_turns_that_learn_are_marked() -> None:
    page = Page(html.render(full()))
    turns = [
        a["class"] for t, a in page.elements if t == "div" and (a.get("class") or "").startswith("turn ")
    ]
    assert turns == ["turn system", "turn user", "turn assistant learn"]


def test_headline_takes_the_given_numbers_or_the_largest_count() -> None:
    rows = (
        ("chunk", "document", 20, 20),
        ("annotate", "passage", 12, 11),
        ("finetune", "conversation", 9, 8),
    )
    stages = tuple(
        shown.StageRow(name=n, unit=u, in_=i, out=o, rejected=i - o, seconds=1) for n, u, i, o in rows
    )
    counts = (("zh", "人物", 3), ("en", "Person", 4))
    types = tuple(
        measurements.TypeCount(lang=lang, type=kind, mentions=n, passages=1) for lang, kind, n in counts
    )
    data = shown.ReportData(
        name="n", version="1", created="c", stages=stages, inventory=measurements.TypeInventory(types=types)
    )
    assert shown.headline(data).model_dump() == {
        "passages": 12,
        "entities": 7,
        "types": 2,
        "conversations": 9,
    }
    given_ = shown.headline(data.model_copy(update={"passages": 0, "conversations": 30}))
    assert (given_.passages, given_.conversations) == (0, 30)


def test_a_stage_that_counts_two_units_is_named_once() -> None:
    rows = (("line", 5, 2.5), ("document", 4, None))
    stages = tuple(
        shown.StageRow(name="mine", unit=u, in_=n, out=n, rejected=0, seconds=s) for u, n, s in rows
    )
    page = Page(html.render(shown.ReportData(name="n", version="1", created="c", stages=stages)))
    assert page.text("table").count("mine") == 2  # one English, one Chinese label
    assert [t for t in page.text("td", "num") if "." in t] == ["2.5", "2.5"]  # the stage and the total


def test_headline_does_not_invent_numbers() -> None:
    found = shown.headline(shown.ReportData(name="n", version="1", created="c"))
    assert set(found.model_dump().values()) == {None}


def test_colours_run_out_gracefully() -> None:
    types = [f"t{i:02}" for i in range(15)]
    a = annotation("x" * 15, *(("x", t, i) for i, t in enumerate(types)))
    assert list(highlight.colours([a])["zh"].values()) == [*range(12), 12, 12, 12]
    assert "3 more" in html.render(shown.ReportData(name="n", version="1", created="c", annotations=(a,)))


def test_scores_are_grouped_base_first_and_the_best_is_bold() -> None:
    scores = (
        score("tuned", True, 9.5),
        score("tuned", False, 7),
        score("base", True, 0),
        score("base", False, 1.5),
    )
    (group,) = html.score_groups(scores)
    assert [(s.model, s.examples) for s in group.scores] == [
        ("base", False), ("base", True), ("tuned", False), ("tuned", True),
    ]  # fmt: skip
    assert (group.base, group.tuned) == (1.5, 9.5)
    page = Page(html.render(shown.ReportData(name="n", version="1", created="c", scores=scores)))
    assert page.directly("b", ("td", "num")) == ["9.50", "9.50"]


def test_no_best_among_zeros() -> None:
    page = Page(
        html.render(shown.ReportData(name="n", version="1", created="c", scores=(score("base", False, 0),)))
    )
    assert page.directly("b", ("td", "num")) == []
    assert "0.00" in page.directly("td", ("td", "num"))


def test_reasons_are_explained_in_both_languages_or_stand_for_themselves() -> None:
    assert labels.reason("strip_quotes") == labels.REASONS["strip"]
    assert labels.reason("stripe") is None
    assert all(english and chinese for english, chinese in labels.REASONS.values())
    groups = tuple(
        shown.RejectGroup(stage="filter", unit="entity", reason=r, count=1) for r in ("too_long", "brand_new")
    )
    page = Page(html.render(shown.ReportData(name="n", version="1", created="c", rejects=groups)))
    assert page.text("code") == ["brand_new", "too_long"]
    assert {"The mention is longer than the limit.", "提及超过长度上限。"} <= set(page.text("summary"))


def test_more_than_three_samples_are_refused() -> None:
    reject = Reject(id="x", stage="filter", reason="too_long")
    assert shown.RejectGroup(stage="filter", unit="entity", reason="too_long", count=4, samples=(reject,) * 3)
    with pytest.raises(ValidationError):
        shown.RejectGroup(stage="filter", unit="entity", reason="too_long", count=4, samples=(reject,) * 4)


def test_same_data_same_bytes() -> None:
    assert html.render(full()) == html.render(full())


def test_loss_curve_draws_both_lines_inside_the_box_and_has_a_title() -> None:
    drawn = plots.loss_curve([(i, 3.0 / i) for i in range(1, 1001)], [(500, 0.1), (1000, 0.05)])
    page = Page(drawn)
    assert "Training and validation loss by step" in page.text("title")[0]
    lines = {a["class"]: a["points"] or "" for t, a in page.elements if t == "polyline"}
    assert len(lines["train"].split()) <= 400
    assert len(lines["validation"].split()) == 2
    for point in " ".join(lines.values()).split():
        x, y = map(float, point.split(","))
        assert 0 <= x <= svg.WIDTH
        assert 0 <= y <= 330
    assert {"step", "步数", "loss", "损失"} <= set(page.text("text"))


@pytest.mark.parametrize(
    "losses", [[(1, 0.5)], [(1, 0.0), (2, 0.0)], [(1, float("nan")), (2, 1.0)], [(7, 2.0), (7, 1.0)]]
)
def test_odd_losses_still_make_a_chart(losses: list[tuple[int, float]]) -> None:
    drawn = plots.loss_curve(losses, [])
    assert drawn.startswith("<svg")
    assert "nan" not in drawn


def test_without_finite_losses_there_is_no_chart() -> None:
    assert plots.loss_curve([(1, float("inf"))], []) == ""
    assert plots.score_bars([]) == ""
    page = html.render(shown.ReportData(name="n", version="1", created="c", losses=((1, float("nan")),)))
    assert "No model was trained in this run." not in page
    assert "The loss cannot be plotted" in page


def test_score_bars_are_in_proportion_and_carry_the_interval() -> None:
    page = Page(plots.score_bars([score("base", False, 10), score("tuned", True, 40, low=30.0, high=50.0)]))
    base, tuned = (float(a["width"] or 0) for t, a in page.elements if t == "rect")
    assert tuned == pytest.approx(4 * base, rel=0.01)
    assert len([1 for t, a in page.elements if t == "line" and a["class"] == "whisker"]) == 3
    assert {"tuned + examples", "微调 + 示例", "40.0"} <= set(page.text("text"))


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_ticks_cover_the_range_in_a_handful_of_steps(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    found = svg.ticks(low, high)
    assert found[0] <= low + 1e-6
    assert found[-1] >= high - 1e-6
    assert found == sorted(set(found))
    assert 2 <= len(found) <= 9


def test_ticks_are_round_and_inside_ones_stay_inside() -> None:
    assert svg.ticks(0, 2.3) == [0, 0.5, 1, 1.5, 2, 2.5]
    assert svg.ticks(7, 121, inside=True) == [25, 50, 75, 100]
    assert svg.ticks(3, 3, inside=True) == [3]
    assert svg.ticks(0, 0) == [-0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6]
