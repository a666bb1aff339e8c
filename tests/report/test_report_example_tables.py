"""Examples and the instruction-tuning set as the page shows them."""

from __future__ import annotations

import pytest
from report_page import HOSTILE, Page, examples

from sinoner.bins import Histogram
from sinoner.measurements import Examples, ExampleUse
from sinoner.report import data as shown
from sinoner.report import example_tables as arranged
from sinoner.report import html, labels
from sinoner.settings import RetrieveSettings


def use(**more: object) -> ExampleUse:
    given: dict[str, object] = {"lang": "zh", "strategy": "nn", "k": 2, "queries": 9, "pool": 8, **more}
    return ExampleUse.model_validate(given)


def page(**more: object) -> Page:
    return Page(html.render(shown.ReportData(name="n", version="1", created="c", **more)))  # type: ignore[arg-type]


def said(found: Page, language: str = "en") -> str:
    other = {"en": "zh", "zh": "en"}[language]
    parts = [t for path, t in found.texts if ("section", "") in path and not any(c == other for _, c in path)]
    return " ".join(" ".join(parts).split())


def test_a_run_without_any_of_it_has_no_section() -> None:
    found = page()
    assert not any(a.get("id") == "examples" or a.get("href") == "#examples" for _, a in found.elements)


@pytest.mark.parametrize("more", [{"strategy": "none"}, {"k": 0}])
def test_no_examples_wanted_is_a_sentence(more: dict[str, object]) -> None:
    found = page(use=Examples(languages=(use(**more),)))
    assert any(t.startswith("No examples: ") for t in found.text("p", "empty"))
    assert any(t.startswith("不带示例") for t in found.text("p", "empty"))
    assert not found.text("table", "facts")


def test_examples_wanted_of_an_empty_pool_are_no_such_sentence() -> None:
    told = use(pool=0, by_number=(9,))
    assert not arranged.none_wanted(Examples(languages=(told,)))
    assert (arranged.fewer(told), arranged.without(told)) == (9, 9)
    assert "with fewer than k examples 9 100.0 % 9 without any" in said(page(use=Examples(languages=(told,))))


def test_passages_with_fewer_examples_than_wanted() -> None:
    told = use(by_number=(1, 2, 6))
    assert (arranged.fewer(told), arranged.without(told)) == (3, 1)
    assert arranged.fewer(use(k=1, by_number=(0, 9))) == 0
    assert arranged.without(use()) == 0


def test_the_table_has_a_column_for_each_language_and_no_row_without_figures() -> None:
    zh = use(
        cosine=0.5, first=0.6, bm25=21.0, below=4, shared_types=40.0, used=4, half=2, by_number=(0, 0, 9)
    )
    en = use(lang="en", strategy="random", by_number=(0, 0, 9), used=4)
    found = page(use=Examples(languages=(zh, en)))
    text = said(found)
    for line in (
        "Chinese English",
        "random uniformly at random",
        "mean share of a passage's types that occur in its examples 40.0 % –",
        "mean cosine similarity of passage and example 0.500 –",
        "mean cosine similarity of the first example 0.600 –",
        "mean BM25 score of passage and example 21.0 –",
        "examples dropped below the BM25 threshold 4 0",
        "pool passages used at least once 4 50.0 % 4 50.0 %",
        "passages that account for half of all examples 2 25.0 % 0",
    ):
        assert line in text
    alone = said(page(use=Examples(languages=(use(k=1, cosine=0.5, first=0.5),))))
    for word in ("BM25", "first example", "account for half", "embedder"):
        assert word not in alone
    assert "段落与示例的平均余弦相似度 0.500 –" in said(found, "zh")


def test_a_search_that_missed_some_and_texts_that_were_cut_are_pointed_out() -> None:
    found = page(use=Examples(languages=(use(embedder="e5", method="ivf", recall=0.98, cut=3),)))
    assert {"truncated 3 texts", " 0.9800"} <= set(found.text("small", "warm"))
    exact = page(use=Examples(languages=(use(embedder="e5", method="exact"),)))
    assert not exact.text("small", "warm")


def test_charts_of_what_was_counted() -> None:
    near = Histogram(low=-1, width=0.02, counts=(0,) * 90 + (1, 3) + (0,) * 8)
    times = Histogram(width=1, counts=(4, 3, 1))
    charts = arranged.charts(Examples(languages=(use(cosines=near, uses=times),)))
    assert [c.title for c in charts] == [labels.EXAMPLES["cosines"][0], labels.EXAMPLES["uses"][0]]
    assert Page(charts[0].drawn).text("rect") == ["0.8–0.82: 1", "0.82–0.84: 3"]
    first, _ = (float(a["x"] or 0) for t, a in Page(charts[0].drawn).elements if t == "rect")
    assert first > 200  # the empty bins before it are there, but not all ninety
    two = arranged.charts(Examples(languages=(use(uses=times), use(lang="en", uses=times))))
    assert [c.title[0] for c in two] == ["Pool usage, Chinese", "Pool usage, English"]
    assert not any("Similarity" in t for t in page(use=Examples(languages=(use(),))).text("h3"))


def test_wide_cosines_are_not_cut() -> None:
    wide = Histogram(low=-1, width=0.02, counts=(1,) * 100)
    (chart,) = arranged.charts(Examples(languages=(use(cosines=wide),)))
    assert len(Page(chart.drawn).text("rect")) == 100


def test_most_used_passages_with_their_texts_or_without() -> None:
    used = (("a#0", 7), ("b#0", 2))
    found = page(use=Examples(languages=(use(most_used=used, most_used_texts=("甲文", "乙文")),)))
    text = said(found)
    assert "7 甲文 a#0 2 乙文 b#0" in text
    older = said(page(use=Examples(languages=(use(most_used=used),))))
    assert "7 a#0 2 b#0" in older


def test_the_set_in_figures() -> None:
    built = shown.BuiltSet(
        passages=9,
        rejects=(("no_entities", 2), ("brand_new", 1)),
        conversations=6,
        negatives=7,
        hard=3,
        shown=5,
    )
    text = said(page(built=built))
    for line in (
        "input passages 9",
        "no_entities The passage has no entities left. 2",
        "brand_new 1",
        "conversations built from the rest 6",
        "negative types (queried, not in the passage) 7 sampled by frequency 4 hard: similar names, or from the examples 3",
        "examples shown 5",
    ):
        assert line in text
    assert "fit" not in text.split("examples shown")[1].split("Training conversations")[0]


def test_a_token_budget_has_its_figures() -> None:
    built = shown.BuiltSet(passages=9, conversations=9, budget=2048, shortened=3, dropped=4, too_long=1)
    text = said(page(built=built))
    assert "examples shortened to fit 2,048 tokens 3" in text
    assert "examples dropped to fit 4 conversations still too long 1" in text
    assert "sampled by frequency" not in text


def test_evaluation_has_a_line_for_each_benchmark() -> None:
    told = Examples(
        languages=(
            use(benchmark="msra", first=0.8123, shared_types=66.0, by_number=(0, 3, 6)),
            use(benchmark="weibo", strategy="random", by_number=(0, 0, 9)),
        )
    )
    text = said(page(shown=told))
    assert "msra Chinese nn 2 9 3 33.3 % 0.812 66.0 %" in text
    assert "weibo Chinese random 2 9 0 – –" in text


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_ids_texts_and_names_are_text(word: str) -> None:
    found, harmless = page(**examples(word)), page(**examples("plain"))
    assert found.elements == harmless.elements
    for tag, kind in (("small", "id"), ("span", "data"), ("td", "data"), ("code", "")):
        assert any(word in t for t in found.text(tag, kind)), (tag, kind)


def test_every_strategy_has_words() -> None:
    from typing import get_args

    strategies = set(get_args(RetrieveSettings.model_fields["strategy"].annotation)) - {"none"}
    assert strategies == set(labels.STRATEGIES)
