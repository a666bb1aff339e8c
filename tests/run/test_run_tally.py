"""What a stage rejects adds up for somebody who has the files alone and sums their lines."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
from rich.console import Console

from sinoner import disk
from sinoner import recipe as recipes
from sinoner.counted import Counted, plural
from sinoner.records import Annotation, Annotator, Entity, Passage, Reject, Unit
from sinoner.run.manifest import Count, Entry, Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Run, perform
from sinoner.run.tally import Tally
from sinoner.stages.decontaminate import DECONTAMINATE
from sinoner.stages.filter import FILTER

BY = Annotator(source="llm", model="m", prompt="extract.zh.v1")
SENTENCES = (
    "《王明》在上海大学附属中学教书，王明住在上海。",
    "他的电话是13812345678，李娜去年在深圳工作。",
    "请联系zhang.wei@example.com，张伟会回复。",
    "我们在2023年参观了北京故宫博物院。",
    "版权所有 转载请注明出处 首页 上一页 下一页",
    "短。",
    "锟斤拷烫烫烫屯屯屯锟斤拷",
    "抱歉，我无法回答这个问题。",
    "The quick brown fox jumps over the lazy dog.",
)
SURFACES = (
    "《王明》", "王明", "上海大学附属中学", "上海大学", "上海", "大学附属", "13812345678", "李娜", "深圳", "zhang.wei@example.com",
    "张伟", "2023", "我们", "他", "北京故宫博物院", "故宫", "明在上", "博物院。", "example",
)  # fmt: skip
TYPES = ("人名", "地点", "组织", "电话", "其他", "实体", "名词", "这是一个很长的类型，它是一句话而不是名称。")


def occurrences(text: str, surface: str) -> tuple[int, ...]:
    return tuple(i for i in range(len(text)) if text.startswith(surface, i))


def annotation(random: Random, number: int, text: str) -> Annotation:
    entities = []
    for surface in SURFACES:
        if starts := occurrences(text, surface):
            kinds = random.sample(TYPES, random.randint(0, 2))
            entities += [Entity(surface=surface, type=kind, starts=starts) for kind in kinds]
    random.shuffle(entities)
    repeated = entities[:1] if entities and random.random() < 0.3 else []
    passage = Passage(id=f"d{number}#0", text=text, source="s", lang="zh", document=f"d{number}")
    return Annotation(passage=passage, entities=(*entities, *repeated), by=BY)


def corpus(seed: int, passages: int = 60) -> list[Annotation]:
    random = Random(seed)
    made = []
    for number in range(passages):
        text = "".join(random.choices(SENTENCES, k=random.randint(1, 4)))
        made.append(annotation(random, number, text))
    return made


def start(folder: Path, annotations: list[Annotation], **given: Any) -> Run:
    disk.write_records(folder / "annotations.jsonl", annotations)
    manifest = Manifest(folder)
    n = len(annotations)
    counts: dict[Unit, Count] = {"passage": Count.model_validate({"in": n, "out": n, "rejected": 0})}
    manifest.add(
        "annotate",
        Entry(
            fingerprint="",
            version="",
            stage_version=1,
            inputs={},
            settings={},
            counts=counts,
            seconds=0,
            outputs={},
        ),
    )
    recipe = recipes.build({"out": str(folder), "name": "r", "filter": given})
    return Run(folder, recipe, manifest, Screen(Console(file=io.StringIO(), width=300)))


# Everything below reads files as an outsider does.


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def entities(path: Path) -> int:
    return sum(len(row["entities"]) for row in rows(path))


def rejected(folder: Path, stage: str) -> Counter[str]:
    """Passages and entities that a stage rejected, and single occurrences."""
    lines = rows(folder / "rejects" / f"{stage}.jsonl")
    found = Counter(line["unit"] for line in lines)
    found["entity"] += sum(line["entities"] for line in lines)
    return found


def counts(folder: Path, stage: str) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = json.loads((folder / "manifest.json").read_bytes())["stages"][stage]
    return entry


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "settings",
    [
        {"preset": "default", "overlap": "outermost"},
        {"preset": "strict", "near_duplicate": 0.5},
        {"preset": "default", "personal": "drop", "rules": {"near_duplicate": True}},
        {"preset": "reference", "overlap": "innermost", "personal": "mask"},
    ],
    ids=["default", "strict", "drop", "reference"],
)
def test_the_files_of_filter_and_decontaminate_add_up(
    seed: int, settings: dict[str, Any], tmp_path: Path
) -> None:
    annotations = corpus(seed)
    hand = [
        {"id": a.passage.id, "text": a.passage.text, "entities": [], "lang": "zh"} for a in annotations[:20]
    ]
    disk.write_rows(tmp_path / "gold" / "test.jsonl", hand)
    disk.write_json(tmp_path / "gold" / "labels.json", {"人名": "人名"})
    run = start(tmp_path, annotations, test_sets=[str(tmp_path / "gold")], **settings)
    for stage, before, after in (
        (FILTER, "annotations.jsonl", "filtered.jsonl"),
        (DECONTAMINATE, "filtered.jsonl", "decontaminated.jsonl"),
    ):
        perform(run, stage)
        lost = rejected(tmp_path, stage.name)
        assert entities(tmp_path / before) == entities(tmp_path / after) + lost["entity"]
        assert len(rows(tmp_path / before)) == len(rows(tmp_path / after)) + lost["passage"]
        entry = counts(tmp_path, stage.name)
        assert entry["counts"]["entity"]["rejected"] == lost["entity"]
        assert entry["counts"]["passage"]["rejected"] == lost["passage"]
        assert entry["made"].get("dropped_occurrence", 0) == lost["occurrence"]
    lines = rows(tmp_path / "rejects" / "filter.jsonl")
    if settings["preset"] != "reference":  # which drops no passage
        assert any(line["unit"] == "passage" and line["entities"] for line in lines)
    assert any(line["entities"] for line in rows(tmp_path / "rejects" / "decontaminate.jsonl"))
    if settings.get("overlap") == "outermost":
        assert any(line["unit"] == "occurrence" and line["reason"] == "overlap" for line in lines)
    assert len({line["reason"] for line in lines}) >= 3


@pytest.mark.parametrize("seed", range(4))
def test_the_files_of_a_vote_add_up(seed: int, tmp_path: Path) -> None:
    """What votes is in the samples: every mention that any of them names goes in."""
    first, random = corpus(seed), Random(seed)
    others = [annotation(random, n, a.passage.text) for n, a in enumerate(first)]
    disk.write_records(
        tmp_path / "samples.jsonl", [s for both in zip(first, others, strict=True) for s in both]
    )
    run = start(tmp_path, first, preset="default", min_votes=2)
    perform(run, FILTER)
    named = {
        (row["passage"]["id"], e["surface"], e["type"])
        for row in rows(tmp_path / "samples.jsonl")
        for e in row["entities"]
    }
    lost = rejected(tmp_path, "filter")
    assert len(named) == entities(tmp_path / "filtered.jsonl") + lost["entity"]
    assert len(first) == len(rows(tmp_path / "filtered.jsonl")) + lost["passage"]


def test_a_tally_counts_what_went_with_a_passage_and_no_occurrence(tmp_path: Path) -> None:
    with Tally(tmp_path, "filter", lambda n: None) as tally:
        tally.take("passage")
        tally.take("entity", 3)
        tally.reject(Reject(id="a", stage="filter", reason="too_short", entities=2))
        tally.reject(Reject(id="b", stage="filter", reason="number", unit="entity"))
        tally.reject(Reject(id="b", stage="filter", reason="overlap", unit="occurrence"))
    assert {unit: count.rejected for unit, count in tally.counts().items()} == {"passage": 1, "entity": 3}
    assert tally.made == {"dropped_occurrence": 1}
    assert rejected(tmp_path, "filter") == {"passage": 1, "entity": 3, "occurrence": 1}
    with (
        pytest.raises(RuntimeError, match="entity: 1 in, 0 out, 2 rejected"),
        Tally(tmp_path, "filter", lambda n: None) as tally,
    ):
        tally.take("passage")
        tally.take("entity")
        tally.reject(Reject(id="a", stage="filter", reason="too_short", entities=2))


def test_everything_counted_has_a_word_for_people() -> None:
    for word in (*get_args(Unit), *get_args(Counted)):
        assert plural(word)
        assert word.isascii()
        assert " " not in word
