"""What is trained on and what is set aside."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sinoner import disk
from sinoner import recipe as recipes
from sinoner.errors import InputError
from sinoner.records import Annotation, Annotator, Entity, Passage
from sinoner.run.manifest import Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Run, perform
from sinoner.stages.split import SPLIT, Parts, Placed, parts_of


def annotations(documents: int, chunks: int = 3) -> list[Annotation]:
    made = []
    for d in range(documents):
        for c in range(chunks):
            lang = "zh" if d % 3 else "en"
            passage = Passage(
                id=f"d{d:02d}#{c}", text=f"张伟{d}在北京{c}", source="s", lang=lang, document=f"d{d:02d}"
            )
            entities = [Entity(surface="张伟", type="人名", starts=(0,))]
            if c:
                entities.append(Entity(surface="北京", type=f"地点{c}", starts=(passage.text.index("北京"),)))
            made.append(
                Annotation(passage=passage, entities=tuple(entities), by=Annotator(source="model", model="x"))
            )
    return made


def parts(folder: Path, records: list[Annotation], **it_set: Any) -> tuple[Run, Parts]:
    disk.write_records(folder / "decontaminated.jsonl", records)
    recipe = recipes.build({"out": str(folder), "it_set": it_set})
    run = Run(folder, recipe, Manifest(folder), Screen(Console(record=True, width=200, file=io.StringIO())))
    perform(run, SPLIT)
    return run, parts_of(run)


def said(run: Run) -> str:
    return run.screen.console.export_text(clear=False)


def left_out(folder: Path) -> int:
    return sum(p.part == "left_out" for p in disk.read_records(folder / "split/passages.jsonl", Placed))


def test_every_passage_is_in_one_part_and_documents_stay_together(tmp_path: Path) -> None:
    records = annotations(20)
    _, found = parts(tmp_path, records, validation=0.25)
    assert sorted([*found.train, *found.validation]) == [a.passage.id for a in records]
    assert len(found.validation) == 15
    assert not {i.partition("#")[0] for i in found.train} & {i.partition("#")[0] for i in found.validation}
    assert left_out(tmp_path) == 0
    order = [a.passage.id for a in records]
    assert list(found.train) == [i for i in order if i in found.train]


def test_places_are_those_of_the_lines(tmp_path: Path) -> None:
    records = annotations(6)
    run, found = parts(tmp_path, records)
    by_id = {a.passage.id: a for a in records}
    with found.annotations(run) as lookup:
        assert len(lookup) == len(records)
        for identifier in reversed(list(lookup)):
            assert lookup[identifier] == by_id[identifier]
        assert "nobody" not in lookup


def test_frequency_counts_training_mentions_only(tmp_path: Path) -> None:
    records = annotations(12)
    run, found = parts(tmp_path, records, validation=0.3, size=14)
    for lang in ("zh", "en"):
        expected = Counter(
            e.type
            for a in records
            if a.passage.lang == lang and a.passage.id in found.train
            for e in a.entities
        )
        assert found.frequency[lang] == expected
    assert len(found.train) == 14
    left = len(records) - 14 - len(found.validation)
    assert left_out(tmp_path) == left > 0
    assert f"split: {left} passages are left out of training (it_set.size, it_set.mix)" in said(run)


def test_a_larger_size_contains_a_smaller_one(tmp_path: Path) -> None:
    records = annotations(20)
    _, small = parts(tmp_path, records, size=10)
    _, large = parts(tmp_path, records, size=20)
    assert set(small.train) < set(large.train)
    assert small.validation == large.validation


def test_languages_by_weight(tmp_path: Path) -> None:
    records = annotations(30, 1)  # 10 en, 20 zh
    run, found = parts(tmp_path, records, validation=0, mix={"zh": 1, "en": 1})
    langs = Counter(a.passage.lang for a in records if a.passage.id in found.train)
    assert langs == {"zh": 10, "en": 10}
    assert "fewer passages" not in said(run)
    run, _ = parts(tmp_path, records, validation=0, mix={"zh": 1, "en": 1}, size=24)
    line = "split: en: fewer passages than it_set.size and it_set.mix ask for, so the set is smaller"
    assert line in said(run)
    assert "split: zh: fewer" not in said(run)
    _, found = parts(tmp_path, records, validation=0, mix={"en": 1})
    assert len(found.train) == 10


def test_nothing_left(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no annotated passage is left"):
        parts(tmp_path, [])


def test_no_passage_of_a_language_that_is_wanted(tmp_path: Path) -> None:
    records = [a for a in annotations(9) if a.passage.lang == "zh"]
    with pytest.raises(InputError, match="en"):
        parts(tmp_path, records, mix={"zh": 1, "en": 1})


def test_a_damaged_file_of_types_is_one_line(tmp_path: Path) -> None:
    run, _ = parts(tmp_path, annotations(6))
    (tmp_path / "split/types.json").write_text("{", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"split/types.json: is missing or damaged; run sinoner build-it-set"
    ):
        parts_of(run)
