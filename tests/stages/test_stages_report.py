"""The report of a run folder shows what its files hold, and only what this recipe wants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from report_page import Page, examples, inventory, measured, score

from sinoner import disk
from sinoner.errors import InputError
from sinoner.measurements import RuleHits
from sinoner.records import Annotation, Annotator, Entity, Passage, Reject
from sinoner.run import layout
from sinoner.run.manifest import Count, Entry, Manifest
from sinoner.settings import Recipe
from sinoner.stages.report import write_report


def entry(**counts: tuple[int, int]) -> Entry:
    made = {u: Count.model_validate({"in": i, "out": o, "rejected": i - o}) for u, (i, o) in counts.items()}
    return Entry(
        fingerprint="f",
        version="0",
        stage_version=1,
        inputs={},
        settings={},
        counts=made,
        seconds=1,
        outputs={},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    passage = Passage(id="p#0", text="鲁迅是绍兴人。", source="s", lang="zh")
    found = Annotation(
        passage=passage,
        entities=(Entity(surface="鲁迅", type="人名", starts=(0,)),),
        by=Annotator(source="jieba"),
    )
    judged = replace(found, by=Annotator(source="model", model="judged"))
    disk.write_records(tmp_path / layout.FILTERED, [found])
    disk.write_records(tmp_path / layout.VERIFIED, [judged])
    reject = Reject(id="p#0", stage="filter", reason="number", detail="12 (年)", unit="entity")
    disk.write_records(tmp_path / "rejects/filter.jsonl", [reject])
    more = measured("hand")
    for name, record in (
        (layout.INVENTORY, inventory("机构")),
        (layout.SHAPE, more["shape"]),
        (layout.HITS, RuleHits(changed={"strip_brackets": 4})),
        (layout.AGREEMENT, more["agreement"]),
        (layout.CONTAMINATION, more["decontamination"]),
        (layout.EXAMPLES, examples("zh")["use"]),
        (layout.SHOWN, examples("zh")["shown"]),
    ):
        disk.write_json(tmp_path / name, record.model_dump(mode="json"))
    gold = {"gold": "hand", "scores": [g.model_dump(mode="json") for g in more["gold"]]}
    disk.write_json(tmp_path / layout.GOLD, gold)
    benchmarks = {
        "hand": {"sha256": "x", "decontaminated": True},
        "boson": {"sha256": "x", "decontaminated": False},
    }
    scores = [score("base", True, 5, benchmark="boson").model_dump(mode="json")]
    disk.write_json(tmp_path / "eval/summary.json", {"benchmarks": benchmarks, "scores": scores})
    return tmp_path


def manifest(folder: Path) -> Manifest:
    made = Manifest(folder)
    made.entries = {
        "decontaminate": entry(passage=(1, 1)),
        "verify": entry(passage=(1, 1), entity=(1, 1)),
        "filter": entry(passage=(1, 1), entity=(2, 1)),
        "annotate": entry(passage=(1, 1), entity=(2, 2)),
    }
    return made


def report(folder: Path, **settings: object) -> Page:
    recipe = Recipe.model_validate({"name": "n", "filter": settings})
    return Page(write_report(folder, recipe, manifest(folder)).read_text(encoding="utf-8"))


def test_everything_that_was_measured_is_shown(folder: Path) -> None:
    page = report(folder, gold="hand.jsonl", verify=True)
    ids = {a["id"] for t, a in page.elements if t == "section"}
    assert {"funnel", "shape", "agreement", "gold", "decontamination", "examples"} <= ids
    assert {"number", "strip_brackets"} <= set(page.text("code"))
    assert json.loads(page.text("script")[1])["rows"][0][0] == "机构0"
    assert any("scored but not checked" in t for t in page.text("td", "warm"))
    assert " judged" in page.text("p", "meta")


def test_what_the_manifest_says_about_the_set_is_shown(folder: Path) -> None:
    for name in (layout.EXAMPLES, layout.SHOWN):
        (folder / name).unlink()
    recipe, found = Recipe.model_validate({"name": "n"}), manifest(folder)
    assert not Page(write_report(folder, recipe, found).read_text(encoding="utf-8")).text("table", "facts")
    made = {"conversation": 7, "negative_type": 5, "hard_negative_type": 2, "dropped_example": 3}
    counts = {"passage": Count.model_validate({"in": 9, "out": 7, "rejected": 2})}
    more = {
        "made": made,
        "counts": counts,
        "reasons": {"no_types": 2},
        "settings": {"it_set.max_tokens": 512},
    }
    found.entries["build-it-set"] = entry().model_copy(update=more)
    page = Page(write_report(folder, recipe, found).read_text(encoding="utf-8"))
    told = [t.strip() for t in page.text("table", "facts") if t.strip() and not t.isspace()]
    assert [t for t in told if t.isdigit()] == ["9", "2", "7", "5", "3", "2", "0", "0", "3", "0"]
    assert "no_types" in told
    assert "examples shortened to fit 512 tokens" in told


def test_stages_stand_in_the_order_of_the_flow(folder: Path) -> None:
    page = report(folder, verify=True)
    order = ["Annotate", "Filter", "Verify", "Decontaminate"]
    assert [t for t in page.text("table", "stages") if t in order] == order


def test_what_an_earlier_recipe_wanted_and_this_one_does_not_is_not_shown(folder: Path) -> None:
    page = report(folder, verify=False, decontaminate=False)
    ids = {a["id"] for t, a in page.elements if t == "section"}
    assert "gold" not in ids
    assert "Verify" not in page.text("table", "stages")
    assert " judged" not in page.text("p", "meta")
    assert " jieba" in page.text("p", "meta")


def test_without_measures_the_types_are_counted_from_the_passages(folder: Path) -> None:
    for name in (
        layout.INVENTORY,
        layout.SHAPE,
        layout.HITS,
        layout.AGREEMENT,
        layout.GOLD,
        layout.CONTAMINATION,
    ):
        (folder / name).unlink()
    page = report(folder)
    assert json.loads(page.text("script")[1])["rows"] == [["人名", 0, 1, 1, ["鲁迅"], [], 0, None, []]]
    assert any(t.startswith("Not measured in this run") for t in page.text("p", "empty"))


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        (layout.SHAPE, "filter"),
        (layout.AGREEMENT, "agreement"),
        (layout.GOLD, "filter"),
        (layout.INVENTORY, "filter"),
        (layout.EXAMPLES, "build-it-set"),
        (layout.SHOWN, "evaluate"),
    ],
)
def test_a_damaged_measure_is_one_line(folder: Path, name: str, verb: str) -> None:
    (folder / name).write_text('{"x": 1')
    with pytest.raises(InputError, match=f"{name}: cannot be read.*sinoner {verb} ") as told:
        report(folder, gold="hand.jsonl")
    assert "\n" not in str(told.value)


def test_an_empty_folder_has_a_report(tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"name": "n"})
    page = Page(write_report(tmp_path, recipe, Manifest(tmp_path)).read_text(encoding="utf-8"))
    assert "No stage has run yet." in page.text("p", "empty")
