"""The instruction-tuning set of a run: its files, in every format, and what is counted."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_runs import split

from sinoner import disk
from sinoner import recipe as recipes
from sinoner.engine import engine_of
from sinoner.errors import InputError
from sinoner.formats.benchmarks import load_gold
from sinoner.records import Annotation, Annotator, Conversation, Entity, Neighbours, Passage
from sinoner.run.manifest import Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Run, perform
from sinoner.stages.build import BUILD

TYPES = ("人名", "地点", "组织", "时间", "产品", "其他")


def annotation(number: int, kinds: int) -> Annotation:
    pieces, entities, at = [], [], 0
    for k in range(kinds):
        kind = TYPES[(number + k) % len(TYPES)]
        surface = f"{kind[0]}实体{number % 7}{k}"
        pieces.append(f"{surface}出现了。")
        entities.append(Entity(surface=surface, type=kind, starts=(at,)))
        at += len(pieces[-1])
    text = "".join(pieces) or "这里什么也没有。"
    passage = Passage(id=f"d{number:03d}#0", text=f"{text}第{number}段。", source="s", lang="zh")
    return Annotation(passage=passage, entities=tuple(entities), by=Annotator(source="model", model="x"))


RECORDS = [annotation(i, i % 4) for i in range(40)]


def start(folder: Path, examples: int = 1, **given: Any) -> Run:
    disk.write_records(folder / "decontaminated.jsonl", RECORDS)
    near = (
        Neighbours(
            id=a.passage.id, neighbours=tuple(f"d{(i + 4 * n + 4) % 40:03d}#0" for n in range(examples))
        )
        for i, a in enumerate(RECORDS)
    )
    disk.write_records(folder / "neighbours.jsonl", near)
    tree = {
        "out": str(folder),
        "name": "mine",
        "it_set": {"validation": 0, **given.pop("it_set", {})},
        **given,
    }
    recipe = recipes.build(tree)
    screen = Screen(Console(file=io.StringIO(), width=300))
    run = Run(folder, recipe, Manifest(folder), screen, engine=engine_of(recipe.workers))
    split(run)
    return run


def built(folder: Path, examples: int = 1, **given: Any) -> Manifest:
    run = start(folder, examples, **given)
    perform(run, BUILD)
    return run.manifest


def train(folder: Path, part: str = "train") -> list[Conversation]:
    return list(disk.read_records(folder / f"it_set/{part}.conversations.jsonl", Conversation))


def test_all_formats_tell_the_same(tmp_path: Path) -> None:
    from datasets import load_dataset

    built(tmp_path, it_set={"formats": "all"})
    waist = train(tmp_path)
    folder, cache = tmp_path / "it_set", str(tmp_path / "cache")
    sharegpt = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    assert (folder / "train.json").read_text(encoding="utf-8") == json.dumps(
        sharegpt, ensure_ascii=False, indent=4
    )
    assert [[t["value"] for t in c["conversations"]] for c in sharegpt] == [
        [m.content for m in c.messages] for c in waist
    ]
    for data in (
        load_dataset("json", data_files=str(folder / "train.messages.jsonl"), split="train", cache_dir=cache),
        load_dataset("parquet", data_files=str(folder / "train.parquet"), split="train", cache_dir=cache),
    ):
        assert [r["id"] for r in data] == [c.id for c in waist]
        assert [[(m["role"], m["content"]) for m in r["messages"]] for r in data] == [
            [(m.role, m.content) for m in c.messages] for c in waist
        ]
    spans = load_gold(str(folder / "train.spans.jsonl"))
    kept = [a for a in RECORDS if a.entities]
    assert [(a.passage.id, a.passage.text, a.entities) for a in spans.annotations] == [
        (a.passage.id, a.passage.text, a.entities) for a in kept
    ]
    gliner = json.loads((folder / "train.gliner.json").read_text(encoding="utf-8"))
    assert len(gliner) == len(kept)
    for row, about in zip(gliner, kept, strict=True):
        told = {("".join(row["tokenized_text"][a : b + 1]), kind) for a, b, kind in row["ner"]}
        assert told == {(e.surface, e.type) for e in about.entities}
    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    assert info["mine"]["file_name"] == "train.json"


def test_files_of_formats_no_longer_wanted_go(tmp_path: Path) -> None:
    built(tmp_path, 0, it_set={"formats": "all", "validation": 0.2})
    assert {p.name for p in (tmp_path / "it_set").iterdir()} == {
        f"{part}{end}"
        for part in ("train", "validation")
        for end in (
            ".conversations.jsonl",
            ".json",
            ".messages.jsonl",
            ".parquet",
            ".gliner.json",
            ".spans.jsonl",
        )
    } | {"dataset_info.json", "type2freq.json"}
    built(tmp_path, it_set={"formats": "messages"})
    assert {p.name for p in (tmp_path / "it_set").iterdir()} == {
        "train.conversations.jsonl", "validation.conversations.jsonl", "train.messages.jsonl", "type2freq.json",
    }  # fmt: skip


def test_a_file_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    built(tmp_path)
    assert not perform(start(tmp_path), BUILD)
    (tmp_path / "it_set/train.json").unlink()
    assert perform(start(tmp_path), BUILD)
    assert (tmp_path / "it_set/train.json").is_file()


def test_everything_is_counted(tmp_path: Path) -> None:
    entry = built(tmp_path, examples=2, it_set={"negatives": 1.0}).entries["build-it-set"]
    waist = train(tmp_path)
    positives = {a.passage.id: {e.type for e in a.entities} for a in RECORDS}
    assert entry.counts["passage"].model_dump() == {"in_": 40, "out": 30, "rejected": 10}
    assert entry.reasons == {"no_entities": 10}
    assert entry.made["conversation"] == len(waist) == 30
    assert entry.made["negative_type"] == sum(len(set(c.types) - positives[c.passage]) for c in waist)
    assert entry.made["shown_example"] == sum(len(c.examples) for c in waist) == 60
    assert "hard_negative_type" not in entry.made


def test_types_are_counted_over_training_only(tmp_path: Path) -> None:
    built(tmp_path, 0, it_set={"validation": 0.3})
    about = {c.passage for c in train(tmp_path)}
    expected = Counter(e.type for a in RECORDS if a.passage.id in about for e in a.entities)
    told = json.loads((tmp_path / "it_set/type2freq.json").read_text(encoding="utf-8"))
    assert told == dict(expected)
    assert list(told.values()) == sorted(told.values(), reverse=True)


def test_memory_holds_no_corpus_but_every_id_is_found(tmp_path: Path) -> None:
    """Examples are read from the file by id; their order is that of the neighbours."""
    built(tmp_path, examples=2)
    texts = {a.passage.id: a.passage.text for a in RECORDS}
    for conversation in train(tmp_path):
        number = int(conversation.passage[1:4])
        assert conversation.examples == (f"d{(number + 4) % 40:03d}#0", f"d{(number + 8) % 40:03d}#0")
        shown = conversation.messages[0].content
        first, second = (shown.index(texts[i]) for i in conversation.examples)
        assert first < second


@pytest.mark.parametrize("how", ["shorten", "drop"])
def test_a_token_budget(tmp_path: Path, how: str) -> None:
    from sinoner.corpus.chunker import counter

    plain = built(tmp_path / "plain", examples=2).entries["build-it-set"]
    entry = built(tmp_path / "tight", examples=2, it_set={"max_tokens": 160, "fit": how}).entries[
        "build-it-set"
    ]
    till = counter("o200k_base")
    over = 0
    for wide, tight in zip(train(tmp_path / "plain"), train(tmp_path / "tight"), strict=True):
        cost = sum((till(m.content, 10**6) or 0) + 4 for m in tight.messages)
        over += cost > 160
        queries = 2 * len(tight.types)
        assert tight.messages[-queries:] == wide.messages[-queries:]
        assert tight.examples == wide.examples[: len(tight.examples)]
        assert cost <= 160 or not tight.examples
    assert entry.made.get("too_long_conversation", 0) == over
    lost = entry.made.get("dropped_example", 0)
    assert lost == plain.made["shown_example"] - entry.made.get("shown_example", 0) > 0
    assert ("shortened_example" in entry.made) == (how == "shorten")


@pytest.mark.model
def test_hard_negatives_through_the_embedder(tmp_path: Path) -> None:
    settings = {"negatives": 1.0, "hard": 1.0, "hard_neighbours": 2}
    entry = built(tmp_path, it_set=settings, retrieve={"embedder": "e5-mini"}).entries["build-it-set"]
    assert entry.made["hard_negative_type"] > 10
    assert (tmp_path / "retrieval/vectors").is_dir()
    elsewhere: dict[str, set[str]] = {}
    for a in RECORDS:
        for e in a.entities:
            elsewhere.setdefault(e.surface, set()).add(e.type)
    assert entry.made["hard_negative_type"] <= entry.made["negative_type"]
    run = start(tmp_path, it_set={**settings, "hard_neighbours": 3}, retrieve={"embedder": "e5-mini"})
    assert perform(run, BUILD)


def test_without_hard_negatives_the_embedder_does_not_matter(tmp_path: Path) -> None:
    built(tmp_path)
    assert not perform(start(tmp_path, retrieve={"embedder": "e5-mini"}), BUILD)
    assert not perform(start(tmp_path, corpus={"tokenizer": "cl100k_base"}), BUILD)
    assert perform(start(tmp_path, corpus={"tokenizer": "cl100k_base"}, it_set={"max_tokens": 9999}), BUILD)


def test_misc_types_leave_no_trace(tmp_path: Path) -> None:
    built(tmp_path, it_set={"misc": "drop", "negatives": 1.0, "keep_empty": True, "formats": "all"})
    for name in (
        "train.conversations.jsonl",
        "train.json",
        "train.gliner.json",
        "train.spans.jsonl",
        "type2freq.json",
    ):
        assert "其他" not in (tmp_path / "it_set" / name).read_text(encoding="utf-8"), name


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        built(tmp_path / name, 0, seed=seed, it_set={"formats": "all", "size": 20, "validation": 0.2})
    files = sorted(p.name for p in (tmp_path / "a/it_set").iterdir())
    for name in files:
        assert (tmp_path / "a/it_set" / name).read_bytes() == (tmp_path / "b/it_set" / name).read_bytes(), (
            name
        )
    assert (tmp_path / "a/it_set/train.json").read_bytes() != (tmp_path / "c/it_set/train.json").read_bytes()


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize(
    ("examples", "given"), [(2, {}), (2, {"mode": "type", "max_tokens": 200}), (0, {"validation": 0.2})]
)
def test_several_processes_make_the_same_files(tmp_path: Path, examples: int, given: dict[str, Any]) -> None:
    more = {"formats": "all", "keep_empty": False, **given}
    entries = []
    for workers in (1, 2):
        manifest = built(tmp_path / str(workers), examples, it_set=more, workers=workers)
        entries.append(manifest.entries["build-it-set"])
        again = start(tmp_path / str(workers), examples, it_set=more, workers=3 - workers)
        perform(again, BUILD)
        assert again.manifest.entries["build-it-set"] == entries[-1]  # the number is no reason to run again
    assert entries[0].made == entries[1].made
    assert bool(entries[0].made.get("shown_example")) == bool(examples)
    files = [
        p.relative_to(tmp_path / "1")
        for p in (tmp_path / "1").rglob("*")
        if p.is_file() and "it_set" in p.parts
    ]
    assert len(files) >= 8
    for name in [*files, Path("rejects/build-it-set.jsonl")]:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_line_that_is_no_annotation(tmp_path: Path, workers: int) -> None:
    run = start(tmp_path, workers=workers)
    line = disk.line(RECORDS[3]).replace(b'"model":"x"', b'"model":""')  # what splitting does not look at
    with (tmp_path / "decontaminated.jsonl").open("ab") as file:
        file.write(line.replace(b"d003#0", b"d999#0"))
    split(run)
    with pytest.raises(
        InputError, match="decontaminated.jsonl: not an Annotation record: model must not be empty"
    ):
        perform(run, BUILD)
    assert not (tmp_path / "it_set").exists() or not list((tmp_path / "it_set").iterdir())


def test_a_stop_in_the_middle_leaves_the_files_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sinoner.stages import build

    built(tmp_path)
    before = {p.name: p.read_bytes() for p in (tmp_path / "it_set").iterdir()}
    real = build._Part.add

    def stop(self: Any, item: Any) -> None:
        real(self, item)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build._Part, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            perform(start(tmp_path, it_set={"style": "rait"}), BUILD)
    assert {p.name: p.read_bytes() for p in (tmp_path / "it_set").iterdir()} == before


def test_an_example_that_is_in_no_pool(tmp_path: Path) -> None:
    run = start(tmp_path, it_set={"validation": 0.3})
    with pytest.raises(
        InputError, match=r"neighbours.jsonl: d\d+#0 has the example d\d+#0, which is in no pool"
    ):
        perform(run, BUILD)
    assert not (tmp_path / "it_set").exists() or not list((tmp_path / "it_set").iterdir())
