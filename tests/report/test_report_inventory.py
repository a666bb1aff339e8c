"""The table of types: what is embedded, what is said about the rest, and that it stays small."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_page import Page

from sinoner.measurements import TypeCount, TypeInventory
from sinoner.report import data as shown
from sinoner.report import html
from sinoner.report.inventory import EMBEDDED, EMBEDDED_BYTES, FREQUENT, UNSTABLE, script_json, table


def count(name: str, mentions: int, lang: str = "zh", **more: object) -> TypeCount:
    return TypeCount(lang=lang, type=name, mentions=mentions, passages=1, **more)  # type: ignore[arg-type]


def rows_of(inventory: TypeInventory) -> list[list[object]]:
    rows: list[list[object]] = json.loads(table(inventory).data)["rows"]
    return rows


def test_types_beyond_the_top_are_summed_up() -> None:
    types = tuple(count(f"t{i:02}", i) for i in range(1, 24))
    (group,) = table(TypeInventory(types=types)).groups
    assert [t.mentions for t in group.top] == list(range(23, 3, -1))
    assert (group.tail, group.tail_mentions, group.mentions, group.once) == (3, 6, 276, 1)


def test_counts_of_the_inventory_go_before_what_the_rows_say() -> None:
    inventory = TypeInventory(types=(count("a", 3),), before={"zh": 9}, after={"zh": 5}, singletons={"zh": 4})
    (group,) = table(inventory).groups
    assert (group.before, group.types, group.once, group.embedded) == (9, 5, 4, 1)


def test_columns_without_anything_to_say_are_left_out() -> None:
    assert table(TypeInventory(types=(count("a", 3),))).columns == (
        "type",
        "mentions",
        "passages",
        "examples",
    )
    own = count("a", 3, variants=(("a", 3),))  # only its own name
    assert "variants" not in table(TypeInventory(types=(own,))).columns
    full = (count("a", 3, variants=(("b", 1),), unstable=0.0), count("b", 1, "en"))
    assert table(TypeInventory(types=full)).columns == (
        "type", "lang", "mentions", "passages", "examples", "variants", "unstable",
    )  # fmt: skip


def test_rows_are_clipped_and_variants_are_others() -> None:
    long = count(
        "t" * 200,
        5,
        examples=tuple("e" * 99 for _ in range(9)),
        variants=(("x", 1), ("y", 7)),
        unstable=1 / 3,
    )
    ((name, lang, mentions, passages, examples, variants, others, unstable, _),) = rows_of(
        TypeInventory(types=(long,))
    )
    assert (lang, mentions, passages, others, unstable) == (0, 5, 1, 2, 0.333)
    assert variants == [["y", 7], ["x", 1]]
    assert len(str(name)) == 60
    assert isinstance(examples, list)
    assert [len(e) for e in examples] == [32] * 5


def test_unstable_types_are_counted_when_they_are_frequent() -> None:
    types = (
        count("a", FREQUENT, unstable=UNSTABLE), count("b", FREQUENT, unstable=UNSTABLE - 0.01),
        count("c", FREQUENT - 1, unstable=1.0), count("d", FREQUENT),
    )  # fmt: skip
    (group,) = table(TypeInventory(types=types)).groups
    assert group.unstable == 1
    page = Page(html.render(report(TypeInventory(types=types))))
    assert "1 with 10 mentions or more share at least 30 % of their surfaces" in " ".join(page.text("p"))


def report(inventory: TypeInventory) -> shown.ReportData:
    return shown.ReportData(name="n", version="1", created="c", inventory=inventory)


def test_fifteen_thousand_types_make_a_small_page_that_says_what_it_holds() -> None:
    types = tuple(
        count(
            f"类型{i}", 15000 - i, lang, examples=("北京大学出版社",) * 8, variants=tuple((f"变体{i}-{k}", 3) for k in range(9)),
            unstable=0.4, others=("地点", "机构"),
        )
        for lang in ("zh", "en") for i in range(7500)
    )  # fmt: skip
    source = html.render(report(TypeInventory(types=types, after={"zh": 7500, "en": 7500})))
    assert len(source.encode()) < 5_000_000
    page = Page(source)
    assert len(json.loads(page.text("script")[1])["rows"]) == 2 * EMBEDDED
    assert [a for t, a in page.elements if t == "tbody" and a.get("id") == "type-rows"]
    lists = [t for t, a in page.elements if t == "ul" and a.get("class") == "types"]
    assert len(lists) == 2  # what a browser without scripts shows
    said = " ".join(page.text("p", "soft"))
    assert f"This page includes the {EMBEDDED:,} most frequent of the 7,500 types" in said


def test_names_of_any_size_stay_within_the_budget() -> None:
    types = tuple(
        count("😀" * 60 + str(i), 9, examples=("😀" * 60,) * 8, variants=tuple(("😀" * 59 + str(k), 1) for k in range(9)))
        for i in range(3000)
    )  # fmt: skip
    found = table(TypeInventory(types=types))
    assert len(found.data.encode()) < 1.1 * EMBEDDED_BYTES
    assert 0 < found.groups[0].embedded < 3000


@given(st.recursive(st.text() | st.integers() | st.none(), lambda x: st.lists(x, max_size=3), max_leaves=8))
def test_script_json_is_json_without_anything_that_html_or_a_line_could_end_at(value: object) -> None:
    written = script_json(value)
    assert json.loads(written) == value
    assert not set(written) & set("<>&\u2028\u2029\n\r")


@pytest.mark.parametrize("mentions", [0, 1])
def test_a_single_type(mentions: int) -> None:
    page = Page(html.render(report(TypeInventory(types=(count("a", mentions),)))))
    assert " ".join(page.text("p", "small")).count("1 type,") == 1
