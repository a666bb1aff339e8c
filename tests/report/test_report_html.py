"""The report shows what it is given, survives hostile text, and needs nothing from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sinoner.records import Annotation, Conversation, Entity, Message, Passage, Reject, Score
from sinoner.report import html, plots, words

VOID = {"meta", "br", "line", "rect", "circle", "polyline"}
HOSTILE = (
    "<script>evil()</script>",
    "</script><script>evil()</script>",
    "</style><style>evil{}</style>",
    "</title></text></svg><img src=x onerror=evil()>",
    '" onmouseover="evil()" evil=\'1',
    "' onfocus='evil()' autofocus x='",
    "<a href='javascript:evil()'>evil</a>",
    "--><!-- evil <![CDATA[ evil ]]>",
    "{{ evil }}{% evil %}",
    "&lt;evil&gt; &amp;evil;",
)


class Page(HTMLParser):
    """The tree as a browser would build it: elements, attributes, and the text of each class."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[tuple[str, str], ...], str]] = []
        self.comments: list[str] = []
        self._open: list[tuple[str, str]] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("class") or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop()[0] == tag

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self._open), data))

    def text(self, tag: str, kind: str = "", without: str = "") -> list[str]:
        """The texts of each run inside ``tag`` with class word ``kind`` and not inside class ``without``."""
        return [
            t
            for path, t in self.texts
            if any(name == tag and (not kind or kind in cls.split()) for name, cls in path)
            and not (without and any(without in cls.split() for _, cls in path))
        ]

    def directly(self, tag: str, parent: tuple[str, str]) -> list[str]:
        """The texts that stand in a ``tag`` somewhere below ``parent``, a (tag, class) pair."""
        return [t for path, t in self.texts if path and path[-1][0] == tag and parent in path]


def annotation(text: str, *entities: tuple[str, str, int], id: str = "p#0", by: str = "test") -> Annotation:
    made = tuple(Entity(surface=s, type=t, starts=(i,)) for s, t, i in entities)
    return Annotation(passage=Passage(id=id, text=text, source="s", lang="zh"), entities=made, by=by)


def score(model: str, examples: bool, f1: float, benchmark: str = "gold", **more: float) -> Score:
    return Score(
        benchmark=benchmark, lang="zh", model=model, examples=examples, passages=4, queries=8, gold=5, predicted=6,
        correct=2, unparsed=1, precision=f1, recall=f1, f1=f1, strict_precision=f1, strict_recall=f1, strict_f1=f1,
        **more,
    )  # fmt: skip


def full(word: str = "plain") -> html.ReportData:
    """A report with ``word`` in every place that data can reach."""
    passage = Passage(id=word, text=f"前{word}后", source=word, lang="zh")
    entity = Entity(surface=word, type=word, starts=(1,))
    outer = Entity(surface=f"前{word}", type=word, starts=(0,))
    reject = Reject(id=word, stage=word, reason="too_long", detail=word)
    roles = (("system", False), ("user", False), ("assistant", True))
    return html.ReportData(
        name=word,
        version=word,
        created=word,
        stages=(html.StageRow(name=word, unit=word, in_=9, out=8, rejected=1, seconds=0.5, note=word),),
        rejects=(html.RejectGroup(stage=word, unit=word, reason=word, count=1, samples=(reject,)),),
        types=(html.TypeRow(lang=word, type=word, mentions=3, examples=(word,)),),
        annotations=(Annotation(passage=passage, entities=(outer, entity), by=word),),
        examples=(
            Conversation(
                id=word, passage=word, types=(word,), examples=(word,),
                messages=tuple(Message(role=r, content=word, learn=x) for r, x in roles),  # type: ignore[arg-type]
            ),
        ),
        losses=((1, 2.0), (2, 1.0)),
        validation_losses=((2, 1.5),),
        scores=(score(word, True, 3.0, word), score("base", False, 1.0, word), score("tuned", False, 2.0, word)),
        settings=word,
        annotators=(word,),
    )  # fmt: skip


@pytest.mark.parametrize("word", HOSTILE)
def test_data_never_becomes_an_element_an_attribute_or_a_script(word: str) -> None:
    harmless, hostile = Page(html.render(full())), Page(html.render(full(word)))
    assert hostile.elements == harmless.elements
    assert hostile.comments == []
    for tag in ("script", "style"):
        assert hostile.text(tag) == harmless.text(tag)


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_text_is_shown_as_it_stands(word: str) -> None:
    page = Page(html.render(full(word)))
    assert "".join(page.text("p", "text", without="tag")) == f"前{word}后"
    for tag, kind in (("h1", ""), ("pre", ""), ("title", ""), ("code", ""), ("p", "says"), ("p", "covered")):
        assert word in "".join(page.text(tag, kind)), tag


def test_the_page_has_one_script_without_data_and_the_policy_names_its_hash() -> None:
    page = Page(html.render(full("资料")))
    assert page.text("script") == [html.SCRIPT]
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
    assert not re.search(r"url\(|@import|https?:", "".join(page.text("style") + page.text("script")))
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
    page = Page(html.render(html.ReportData(name="n", version="1", created="c", annotations=(a,))))
    assert [s.text for s in html.segments(a) if s.types] == ["𠮷田小姐", "臺北", "蘋果"]
    assert page.directly("mark", ("p", "text")) == ["𠮷田小姐", "臺北", "蘋果"]
    assert "".join(page.text("p", "text", without="tag")) == text


def test_of_nested_mentions_the_outermost_is_coloured_and_all_are_listed() -> None:
    a = annotation(
        "上海复旦大学图书馆", ("复旦大学", "组织", 2), ("上海复旦大学", "组织", 0), ("上海", "地点", 0)
    )
    assert [(s.text, s.types) for s in html.segments(a)] == [("上海复旦大学", ("组织",)), ("图书馆", ())]
    assert [(s.text, s.types) for s in html.hidden(a)] == [("上海", ("地点",)), ("复旦大学", ("组织",))]
    page = Page(html.render(html.ReportData(name="n", version="1", created="c", annotations=(a,))))
    assert page.directly("mark", ("p", "covered")) == ["上海", "复旦大学"]
    assert [t for t in page.text("li") if t in ("上海", "复旦大学", "上海复旦大学")] == [
        "复旦大学",
        "上海复旦大学",
        "上海",
    ]


def test_of_crossing_mentions_the_first_is_coloured() -> None:
    a = annotation("南京市长江大桥", ("南京市长", "职务", 0), ("市长江大桥", "地点", 2))
    assert [s.text for s in html.segments(a)] == ["南京市长", "江大桥"]
    assert [s.text for s in html.hidden(a)] == ["市长江大桥"]


def test_a_mention_with_two_types_shows_both_and_touching_mentions_stay_apart() -> None:
    a = annotation("鲁迅绍兴人", ("鲁迅", "人物", 0), ("鲁迅", "作家", 0), ("绍兴", "地点", 2))
    assert [(s.text, s.types) for s in html.segments(a)] == [
        ("鲁迅", ("人物", "作家")),
        ("绍兴", ("地点",)),
        ("人", ()),
    ]
    assert html.hidden(a) == []


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_segments_rejoin_to_the_passage_and_no_mention_is_lost(data: st.DataObject) -> None:
    text = data.draw(st.text(alphabet="ab<>&'\"中𠮷👍🏽\n ", min_size=1, max_size=30))
    ranges = data.draw(st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(1, 8)), max_size=8))
    a = annotation(text, *((text[i : i + n], f"t{k % 3}", i) for k, (i, n) in enumerate(ranges)))
    pieces = html.segments(a)
    assert "".join(p.text for p in pieces) == text
    shown = {(p.text, p.types) for p in [*pieces, *html.hidden(a)] if p.types}
    assert shown == {(text[s:e], types) for (s, e), types in html.spans(a).items()}


def test_control_characters_become_visible_pictures() -> None:
    page = html.render(full("a\x00b\x1b[31m\x7f"))
    assert "a␀b␛[31m␡" in page
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", page)


def test_an_empty_run_says_so_in_sentences() -> None:
    page = Page(html.render(html.ReportData(name="n", version="1", created="c")))
    english = page.text("p", "empty")
    assert len([1 for t, a in page.elements if t == "p" and a.get("class") == "empty"]) == 8
    assert "No model was scored in this run." in english
    assert "没有剔除任何内容。" in english
    assert {t for t, _ in page.elements}.isdisjoint({"svg", "table", "mark", "details"})


def test_a_full_run_has_no_empty_sentence() -> None:
    page = Page(html.render(full()))
    assert page.text("p", "empty") == []
    assert len([1 for t, _ in page.elements if t == "svg"]) == 2


def test_every_label_has_both_languages() -> None:
    page = Page(html.render(full()))
    kinds = [a.get("class") for _, a in page.elements]
    assert kinds.count("en") == kinds.count("zh") > 60


def test_an_annotation_without_entities_and_a_type_without_mentions() -> None:
    row = html.TypeRow(lang="zh", type="人物", mentions=0)
    data = html.ReportData(
        name="n", version="1", created="c", annotations=(annotation("雨停了。"),), types=(row,)
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
        html.StageRow(name=n, unit=u, in_=i, out=o, rejected=i - o, seconds=1) for n, u, i, o in rows
    )
    counts = (("zh", "人物", 3), ("en", "Person", 4))
    types = tuple(html.TypeRow(lang=lang, type=kind, mentions=n) for lang, kind, n in counts)
    data = html.ReportData(name="n", version="1", created="c", stages=stages, types=types)
    assert html.headline(data).model_dump() == {"passages": 12, "entities": 7, "types": 2, "conversations": 9}
    given_ = html.headline(data.model_copy(update={"passages": 0, "conversations": 30}))
    assert (given_.passages, given_.conversations) == (0, 30)


def test_a_stage_that_counts_two_units_is_named_once() -> None:
    rows = (("line", 5, 2.5), ("document", 4, None))
    stages = tuple(
        html.StageRow(name="mine", unit=u, in_=n, out=n, rejected=0, seconds=s) for u, n, s in rows
    )
    page = Page(html.render(html.ReportData(name="n", version="1", created="c", stages=stages)))
    assert page.text("table").count("mine") == 2  # one English, one Chinese label
    assert [t for t in page.text("td", "num") if "." in t] == ["2.5", "2.5"]  # the stage and the total


def test_headline_does_not_invent_numbers() -> None:
    found = html.headline(html.ReportData(name="n", version="1", created="c"))
    assert set(found.model_dump().values()) == {None}


def test_types_beyond_the_top_are_summed_up() -> None:
    rows = [html.TypeRow(lang="zh", type=f"t{i:02}", mentions=i) for i in range(1, 24)]
    (group,) = html.type_groups(rows)
    assert [t.mentions for t in group.top] == list(range(23, 3, -1))
    assert (group.tail, group.tail_mentions, group.mentions) == (3, 6, 276)


def test_colours_run_out_gracefully() -> None:
    types = [f"t{i:02}" for i in range(15)]
    a = annotation("x" * 15, *(("x", t, i) for i, t in enumerate(types)))
    assert list(html.colours([a])["zh"].values()) == [*range(12), 12, 12, 12]
    assert "3 more" in html.render(html.ReportData(name="n", version="1", created="c", annotations=(a,)))


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
    page = Page(html.render(html.ReportData(name="n", version="1", created="c", scores=scores)))
    assert page.directly("b", ("td", "num")) == ["9.50", "9.50"]


def test_no_best_among_zeros() -> None:
    page = Page(
        html.render(html.ReportData(name="n", version="1", created="c", scores=(score("base", False, 0),)))
    )
    assert page.directly("b", ("td", "num")) == []
    assert "0.00" in page.directly("td", ("td", "num"))


def test_reasons_are_explained_in_both_languages_or_stand_for_themselves() -> None:
    assert words.reason("strip_quotes") == words.REASONS["strip"]
    assert words.reason("stripe") is None
    assert all(english and chinese for english, chinese in words.REASONS.values())
    groups = tuple(
        html.RejectGroup(stage="filter", unit="entity", reason=r, count=1) for r in ("too_long", "brand_new")
    )
    page = Page(html.render(html.ReportData(name="n", version="1", created="c", rejects=groups)))
    assert page.text("code") == ["brand_new", "too_long"]
    assert {"The mention is longer than the limit.", "提及超过长度上限。"} <= set(page.text("summary"))


def test_more_than_three_samples_are_refused() -> None:
    reject = Reject(id="x", stage="filter", reason="too_long")
    assert html.RejectGroup(stage="filter", unit="entity", reason="too_long", count=4, samples=(reject,) * 3)
    with pytest.raises(ValidationError):
        html.RejectGroup(stage="filter", unit="entity", reason="too_long", count=4, samples=(reject,) * 4)


def test_same_data_same_bytes() -> None:
    assert html.render(full()) == html.render(full())


def test_loss_curve_draws_both_lines_inside_the_box_and_has_a_title() -> None:
    svg = plots.loss_curve([(i, 3.0 / i) for i in range(1, 1001)], [(500, 0.1), (1000, 0.05)])
    page = Page(svg)
    assert "Training and validation loss by step" in page.text("title")[0]
    lines = {a["class"]: a["points"] or "" for t, a in page.elements if t == "polyline"}
    assert len(lines["train"].split()) <= 400
    assert len(lines["validation"].split()) == 2
    for point in " ".join(lines.values()).split():
        x, y = map(float, point.split(","))
        assert 0 <= x <= plots.WIDTH
        assert 0 <= y <= 330
    assert {"step", "步数", "loss", "损失"} <= set(page.text("text"))


@pytest.mark.parametrize(
    "losses", [[(1, 0.5)], [(1, 0.0), (2, 0.0)], [(1, float("nan")), (2, 1.0)], [(7, 2.0), (7, 1.0)]]
)
def test_odd_losses_still_make_a_chart(losses: list[tuple[int, float]]) -> None:
    svg = plots.loss_curve(losses, [])
    assert svg.startswith("<svg")
    assert "nan" not in svg


def test_without_finite_losses_there_is_no_chart() -> None:
    assert plots.loss_curve([(1, float("inf"))], []) == ""
    assert plots.score_bars([]) == ""
    page = html.render(html.ReportData(name="n", version="1", created="c", losses=((1, float("nan")),)))
    assert "No model was trained in this run." not in page
    assert "No loss could be drawn" in page


def test_score_bars_are_in_proportion_and_carry_the_interval() -> None:
    page = Page(plots.score_bars([score("base", False, 10), score("tuned", True, 40, low=30.0, high=50.0)]))
    base, tuned = (float(a["width"] or 0) for t, a in page.elements if t == "rect")
    assert tuned == pytest.approx(4 * base, rel=0.01)
    assert len([1 for t, a in page.elements if t == "line" and a["class"] == "whisker"]) == 3
    assert {"tuned + examples", "微调 + 示例", "40.0"} <= set(page.text("text"))


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_ticks_cover_the_range_in_a_handful_of_steps(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    found = plots.ticks(low, high)
    assert found[0] <= low + 1e-6
    assert found[-1] >= high - 1e-6
    assert found == sorted(set(found))
    assert 2 <= len(found) <= 9


def test_ticks_are_round_and_inside_ones_stay_inside() -> None:
    assert plots.ticks(0, 2.3) == [0, 0.5, 1, 1.5, 2, 2.5]
    assert plots.ticks(7, 121, inside=True) == [25, 50, 75, 100]
    assert plots.ticks(3, 3, inside=True) == [3]
    assert plots.ticks(0, 0) == [-0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6]
