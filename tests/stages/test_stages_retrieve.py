"""Examples for the passages of a run: pools, strategies, what is kept and what is said."""

import io
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console
from small_runs import split

from sinoner import disk
from sinoner import recipe as recipes
from sinoner.errors import InputError
from sinoner.measurements import Examples, ExampleUse
from sinoner.records import Annotation, Annotator, Conversation, Entity, Lang, Neighbours, Passage
from sinoner.retrieve import local_encoder
from sinoner.run.manifest import Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Run, perform
from sinoner.stages.evaluate import _examples, retrieval
from sinoner.stages.retrieve import RETRIEVE

ZH = [
    "央行宣布下调存款准备金率零点五个百分点。",
    "中国人民银行决定将存款准备金率下调0.5个百分点。",
    "昨晚主队在加时赛中以三比二战胜对手。",
    "主队昨天夜里在加时赛里三比二赢了对手。",
    "患者服用阿司匹林后胃部出现不适。",
    "病人吃了阿司匹林以后觉得胃不舒服。",
    "这款手机的电池可以使用两天。",
]
EN = [
    "The central bank cut its main interest rate by half a point.",
    "Policymakers at the central bank lowered the key rate by 0.5 percent.",
    "The home team won the match in extra time.",
]


@pytest.fixture(autouse=True, scope="module")
def loaded_once() -> Iterator[None]:
    """Loading the real model takes seconds, so the tests of this file share it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_encoder, "_load", lru_cache(maxsize=2)(local_encoder._load))
        yield


def annotation(identifier: str, text: str, lang: Lang, kind: str = "类") -> Annotation:
    document = identifier.rpartition("#")[0]
    passage = Passage(id=identifier, text=text, source="s", lang=lang, document=document)
    return Annotation(
        passage=passage,
        entities=(Entity(surface=text[:2], type=kind, starts=(0,)),),
        by=Annotator(source="model", model="x"),
    )


RECORDS = [annotation(f"zh{i}#0", t, "zh", f"类{i % 3}") for i, t in enumerate(ZH)]
RECORDS += [annotation(f"en{i}#0", t, "en") for i, t in enumerate(EN)]


def start(folder: Path, records: list[Annotation] = RECORDS, **given: Any) -> tuple[Run, io.StringIO]:
    disk.write_records(folder / "decontaminated.jsonl", records)
    tree = {
        "out": str(folder),
        "it_set": {"validation": 0},
        "retrieve": {"embedder": "e5-mini", **given.pop("retrieve", {})},
        **given,
    }
    said = io.StringIO()
    screen = Screen(Console(file=said, width=300))
    run = Run(folder, recipes.build(tree), Manifest(folder), screen)
    split(run)
    return run, said


def retrieved(
    folder: Path, records: list[Annotation] = RECORDS, **given: Any
) -> tuple[dict[str, Neighbours], str]:
    run, said = start(folder, records, **given)
    perform(run, RETRIEVE)
    found = list(disk.read_records(folder / "neighbours.jsonl", Neighbours))
    return {n.id: n for n in found}, said.getvalue()


def use(folder: Path) -> dict[str, Any]:
    told = Examples.model_validate_json((folder / "quality/examples.json").read_bytes())
    return {u.lang: u for u in told.languages}


def test_the_same_said_otherwise_is_the_example(tmp_path: Path) -> None:
    found, _ = retrieved(tmp_path, retrieve={"k": 1})
    assert list(found) == [a.passage.id for a in RECORDS]
    for a, b in (("zh0", "zh1"), ("zh2", "zh3"), ("zh4", "zh5"), ("en0", "en1")):
        assert found[f"{a}#0"].neighbours == (f"{b}#0",)
        assert found[f"{b}#0"].neighbours == (f"{a}#0",)
        assert found[f"{a}#0"].cosine[0] > 0.85
    told = use(tmp_path)
    assert (told["zh"].queries, told["zh"].pool, told["zh"].by_number) == (7, 7, (0, 7))
    assert told["zh"].embedder.startswith("e5-mini")
    assert told["zh"].method == "exact"
    assert told["en"].queries == 3
    entry = Manifest(tmp_path).entries["retrieve"]
    assert entry.made == {"example": 10}


@pytest.mark.parametrize(
    "strategy",
    ["none", "random", "nn_bm25", "diverse_nn", "diverse_nn_bm25", "diverse_nn_bm25_rank", "mixed", "mmr", "type_aware",
     "hybrid"],
)  # fmt: skip
def test_every_strategy_runs_and_keeps_languages_apart(strategy: str, tmp_path: Path) -> None:
    settings = {"strategy": strategy, "k": 2, "candidates": 4, "threshold": -10}
    found, _ = retrieved(tmp_path, retrieve=settings)
    for identifier, neighbours in found.items():
        assert len(neighbours.neighbours) == (0 if strategy == "none" else 2)
        assert identifier not in neighbours.neighbours
        assert {i[:2] for i in neighbours.neighbours} <= {identifier[:2]}
    again, _ = retrieved(tmp_path / "again", retrieve=settings)
    assert again == found
    assert use(tmp_path)["zh"].strategy == strategy
    has_vectors = (tmp_path / "retrieval/vectors").exists()
    assert has_vectors == (strategy not in ("none", "random"))


def test_vectors_are_kept_for_the_next_strategy(tmp_path: Path) -> None:
    retrieved(tmp_path)
    (store,) = (tmp_path / "retrieval/vectors").iterdir()
    before = (store / "vectors.bin").read_bytes()
    assert len(before) == 10 * 384 * 4
    retrieved(tmp_path, retrieve={"strategy": "mmr"})
    assert (store / "vectors.bin").read_bytes() == before


def test_float16_after_float32_embeds_nothing_and_says_so(tmp_path: Path) -> None:
    first, said = retrieved(tmp_path)
    assert "float16" not in said
    found, said = retrieved(tmp_path, retrieve={"vectors": "float16"})
    assert "zh: 7 float16 vectors converted from the float32 ones kept here, not embedded again" in said
    assert "en: 3 float16 vectors converted from the float32 ones kept here" in said
    assert {i: n.neighbours for i, n in found.items()} == {i: n.neighbours for i, n in first.items()}
    sizes = sorted(file.stat().st_size for file in (tmp_path / "retrieval/vectors").glob("*/vectors.bin"))
    assert sizes == [10 * 384 * 2, 10 * 384 * 4]
    _, said = retrieved(tmp_path / "other", retrieve={"vectors": "float16"})
    assert "float16" not in said


def test_validation_passages_ask_and_never_serve(tmp_path: Path) -> None:
    found, _ = retrieved(tmp_path, it_set={"validation": 0.4}, retrieve={"k": 3})

    run, _ = start(tmp_path, it_set={"validation": 0.4})
    parts = split(run)
    assert parts.validation
    assert set(found) == {*parts.train, *parts.validation}
    assert not {i for n in found.values() for i in n.neighbours} & set(parts.validation)


def test_more_examples_wanted_than_there_are(tmp_path: Path) -> None:
    found, said = retrieved(tmp_path, retrieve={"k": 5})
    assert len(found["en0#0"].neighbours) == 2
    assert len(found["zh0#0"].neighbours) == 5
    assert (
        "retrieve: en: passages that may be examples: 3; some passages get fewer than 5 (retrieve.k)" in said
    )
    assert "retrieve: zh" not in said


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    settings = {"strategy": "nn_bm25", "threshold": 1000, "k": 1}
    found, said = retrieved(tmp_path / "c", RECORDS[:3], retrieve=settings)
    assert all(n.neighbours == () for n in found.values())
    assert "retrieve: zh: 3 examples left out, their BM25 score is below 1000 (retrieve.threshold)" in said
    _, said = retrieved(tmp_path / "d", retrieve={"strategy": "random"})
    assert "left out" not in said


def test_passages_of_the_same_document_are_examples_unless_told_otherwise(tmp_path: Path) -> None:
    """zh0 and zh1, which say the same, are chunks of one document here; so are all of English."""
    chunks = [annotation(f"doc#{i}", t, "zh") for i, t in enumerate(ZH[:2])]
    records = [*chunks, *RECORDS[2:7], *(annotation(f"en#{i}", t, "en") for i, t in enumerate(EN))]
    found, said = retrieved(tmp_path / "a", records, retrieve={"k": 1})
    assert found["doc#0"].neighbours == ("doc#1",)
    assert "same_document" not in said
    assert [use(tmp_path / "a")[lang].short for lang in ("zh", "en")] == [0, 0]
    found, said = retrieved(tmp_path / "b", records, retrieve={"k": 1, "same_document": False})
    assert len(found["doc#0"].neighbours) == len(found["doc#1"].neighbours) == 1
    assert not {*found["doc#0"].neighbours, *found["doc#1"].neighbours} & {"doc#0", "doc#1"}
    assert found["zh2#0"].neighbours == ("zh3#0",)
    assert all(found[f"en#{i}"].neighbours == () for i in range(3))
    assert (
        "retrieve: en: 3 passages get fewer than 1 examples, because those of their own document are left out"
        " (retrieve.same_document=false)" in said
    )
    assert "retrieve: zh" not in said
    assert [use(tmp_path / "b")[lang].short for lang in ("zh", "en")] == [0, 3]
    run, _ = start(tmp_path / "b", records, retrieve={"k": 1})
    assert perform(run, RETRIEVE)  # the setting counts


def test_one_passage(tmp_path: Path) -> None:
    found, said = retrieved(tmp_path, RECORDS[:1])
    assert found == {"zh0#0": Neighbours(id="zh0#0")}
    assert "passages that may be examples: 1; some passages get fewer than 2 (retrieve.k)" in said


def test_an_empty_pool(tmp_path: Path) -> None:
    gold = tmp_path / "gold.jsonl"
    row = {
        "id": "g",
        "text": "Anna moved.",
        "lang": "en",
        "entities": [{"start": 0, "end": 4, "type": "person", "text": "Anna"}],
    }
    disk.write_rows(gold, [row])
    found, said = retrieved(tmp_path / "run", retrieve={"pools": str(gold), "k": 1})
    assert all(n.neighbours == () for i, n in found.items() if i.startswith("zh"))
    assert all(n.neighbours == ("gold/g",) for i, n in found.items() if i.startswith("en"))
    assert "retrieve: zh: no passage may be an example (retrieve.pools), so none is shown" in said


def test_identical_passages(tmp_path: Path) -> None:
    same = [annotation(f"s{i}#0", "同一句话。", "zh") for i in range(4)]
    found, said = retrieved(tmp_path, same)
    assert all(n.neighbours == () for n in found.values())
    assert "passages that may be examples: 1; some passages get fewer than 2 (retrieve.k)" in said
    assert use(tmp_path)["zh"].duplicates == 3


def test_texts_longer_than_the_embedder_reads_are_counted(tmp_path: Path) -> None:
    long = [*RECORDS, annotation("long#0", "很长的一句话，" * 40, "zh")]
    _, said = retrieved(tmp_path, long, retrieve={"max_length": 32})
    told = use(tmp_path)["zh"]
    assert told.cut >= 1
    assert f"of {told.cut} texts only the first 32 tokens were embedded" in said


def test_words_are_kept_and_a_changed_list_of_stop_words_counts(tmp_path: Path) -> None:
    stops = tmp_path / "stops.txt"
    stops.write_text("的\n", encoding="utf-8")
    settings = {"strategy": "nn_bm25", "stop_words": str(stops), "threshold": -99}
    first, _ = retrieved(tmp_path / "run", retrieve=settings)
    assert (tmp_path / "run/retrieval/words.zh.jsonl").is_file()
    run, _ = start(tmp_path / "run", retrieve=settings)
    assert not perform(run, RETRIEVE)
    stops.write_text("的\n存款\n准备金\n准备金率\n", encoding="utf-8")
    assert perform(run, RETRIEVE)
    second = {n.id: n for n in disk.read_records(tmp_path / "run/neighbours.jsonl", Neighbours)}
    assert second["zh0#0"].bm25 != first["zh0#0"].bm25


def test_what_makes_no_difference_does_not_run_it_again(tmp_path: Path) -> None:
    retrieved(tmp_path)
    for same in ({"batch_size": 3}, {"devices": "cpu"}, {"api_key_env": "OTHER_KEY"}):
        run, _ = start(tmp_path, retrieve=same)
        assert not perform(run, RETRIEVE), same
    run, _ = start(tmp_path, retrieve={"k": 1})
    assert perform(run, RETRIEVE)


def test_an_embedder_that_fails_half_way_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sinoner.store import vectors

    monkeypatch.setattr(vectors, "BLOCK", 2)
    calls = 0
    real = vectors.VectorStore._check

    def full(self: Any, made: Any, wanted: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise InputError("the device is gone")
        real(self, made, wanted)

    with monkeypatch.context() as patch:
        patch.setattr(vectors.VectorStore, "_check", full)
        with pytest.raises(InputError, match="the device is gone"):
            retrieved(tmp_path)
    assert not (tmp_path / "neighbours.jsonl").exists()
    assert not list(tmp_path.rglob("*.part"))
    (store,) = (tmp_path / "retrieval/vectors").iterdir()
    kept = (store / "vectors.bin").read_bytes()
    assert len(kept) == 4 * 384 * 4
    found, _ = retrieved(tmp_path)
    assert (store / "vectors.bin").read_bytes().startswith(kept)
    assert found == retrieved(tmp_path / "other")[0]


def test_a_passage_that_is_not_trained_on_is_no_example(tmp_path: Path) -> None:
    bare = replace(RECORDS[1], entities=())
    only_misc = replace(RECORDS[3], entities=tuple(replace(e, type="其他") for e in RECORDS[3].entities))
    some = [RECORDS[0], bare, RECORDS[2], only_misc, *RECORDS[4:7]]
    found, _ = retrieved(tmp_path / "a", some, retrieve={"k": 6})
    assert {i for n in found.values() for i in n.neighbours} == {a.passage.id for a in some} - {"zh1#0"}
    assert found["zh1#0"].neighbours  # it asks all the same
    found, _ = retrieved(
        tmp_path / "b", some, retrieve={"k": 6}, it_set={"validation": 0, "keep_empty": True}
    )
    assert {i for n in found.values() for i in n.neighbours} == {a.passage.id for a in some}
    found, _ = retrieved(tmp_path / "c", some, retrieve={"k": 6}, it_set={"validation": 0, "misc": "drop"})
    assert not {i for n in found.values() for i in n.neighbours} & {"zh1#0", "zh3#0"}


def test_what_is_set_aside_here_is_no_example_of_another_pool_either(tmp_path: Path) -> None:

    gold(tmp_path / "bench", "train", [*ZH, "又一句别处没有的话。"])
    settings: dict[str, Any] = {
        "it_set": {"validation": 0.4},
        "retrieve": {"k": 8, "pools": str(tmp_path / "bench")},
    }
    found, said = retrieved(tmp_path / "run", **settings)
    parts = split(start(tmp_path / "run", **settings)[0])
    held_out = [int(i[2]) for i in parts.validation if i.startswith("zh")]
    assert held_out
    shown = {i for n in found.values() for i in n.neighbours}
    assert shown == {f"bench/train{i}" for i in range(8) if i not in held_out}
    assert f"{len(held_out)} passages of other pools are set aside for validation here" in said


def test_a_changed_test_set_is_compared_with_other_pools_anew(tmp_path: Path) -> None:
    gold(tmp_path / "bench", "train", ZH)
    gold(tmp_path / "bench", "test", ["人民银行下调了存款准备金率，这一句只在这里。"])
    test = tmp_path / "bench/test.jsonl"
    settings: dict[str, Any] = {
        "retrieve": {"k": 3, "pools": ["train", str(tmp_path / "bench")]},
        "evaluate": {"benchmarks": [str(test)]},
    }
    retrieved(tmp_path / "run", **settings)
    run, _ = start(tmp_path / "run", **settings)
    assert not perform(run, RETRIEVE)
    gold(tmp_path / "bench", "test", [ZH[2]])
    found, said = retrieved(tmp_path / "run", **settings)
    assert "retrieve.pools: bench: 1 of 7 passages share text with a test set" in said
    assert "bench/train2" not in {i for n in found.values() for i in n.neighbours}


# evaluation ---------------------------------------------------------------------------------------------------------


def gold(folder: Path, name: str, texts: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "id": f"{name}{i}",
            "text": t,
            "lang": "zh",
            "entities": [{"start": 0, "end": 2, "type": "词", "text": t[:2]}],
        }
        for i, t in enumerate(texts)
    ]
    disk.write_rows(folder / f"{name}.jsonl", rows)


def examples_for(run: Run, folder: Path) -> dict[str, list[Annotation]]:
    from sinoner.formats.benchmarks import load_gold

    benchmark = load_gold(str(folder))
    (found,) = _examples(run, [benchmark], [list(benchmark.annotations)], lambda total, note, done=None: None)
    return found


def shown_in_evaluation(folder: Path) -> tuple[ExampleUse, ...]:
    return Examples.model_validate_json((folder / "eval/examples.json").read_bytes()).languages


def test_evaluation_takes_examples_from_training(tmp_path: Path) -> None:
    gold(tmp_path / "bench", "test", ["人民银行下调了存款准备金率。", "老人吃了阿司匹林以后胃疼。"])
    run, _ = start(tmp_path / "run", retrieve={"k": 2})
    found = examples_for(run, tmp_path / "bench")
    assert {a.passage.id for a in found["test0"]} == {"zh0#0", "zh1#0"}
    assert {a.passage.id for a in found["test1"]} == {"zh4#0", "zh5#0"}
    (told,) = shown_in_evaluation(tmp_path / "run")
    assert (told.benchmark, told.lang, told.queries, told.pool, told.by_number) == (
        "bench",
        "zh",
        2,
        7,
        (0, 0, 2),
    )
    assert told.first is not None
    assert told.first > told.cosine > 0.8
    assert sorted(i for i, _ in told.most_used) == ["zh0#0", "zh1#0", "zh4#0", "zh5#0"]
    assert told.most_used_texts[0] == ZH[0]


def test_evaluation_keeps_a_line_for_each_benchmark_and_language(tmp_path: Path) -> None:
    from sinoner.formats.benchmarks import load_gold

    gold(tmp_path / "b", "test", ["人民银行下调了存款准备金率。", "主队昨晚在加时赛中赢了。"])
    gold(tmp_path / "a", "test", ["老人吃了阿司匹林以后胃疼。", "The home team won the game."])
    rows = [json.loads(line) for line in (tmp_path / "a/test.jsonl").read_text().splitlines()]
    rows[1].update(lang="en", entities=[{"start": 0, "end": 3, "type": "类", "text": "The"}])
    disk.write_rows(tmp_path / "a/test.jsonl", rows)
    run, _ = start(tmp_path / "run", retrieve={"k": 3})
    golds = [load_gold(str(tmp_path / name)) for name in "ba"]
    found = _examples(run, golds, [g.annotations for g in golds], lambda total, note, done=None: None)
    assert [list(of_one) for of_one in found] == [["test0", "test1"]] * 2  # the same ids in both benchmarks
    assert [a.passage.id for a in found[0]["test0"]] != [a.passage.id for a in found[1]["test0"]]
    told = shown_in_evaluation(tmp_path / "run")
    assert [(u.benchmark, u.lang, u.queries) for u in told] == [
        ("b", "zh", 2),
        ("a", "zh", 1),
        ("a", "en", 1),
    ]
    assert [sum(u.by_number[:3]) for u in told] == [0, 0, 0]
    assert told[0].shared_types == 0  # no passage of the run has the type 词
    assert told[2].shared_types == 50


def test_evaluation_without_a_strategy_keeps_no_statistics(tmp_path: Path) -> None:
    gold(tmp_path / "bench", "test", ["人民银行下调了存款准备金率。"])
    run, _ = start(tmp_path / "run", evaluate={"strategy": "none"})
    assert examples_for(run, tmp_path / "bench") == {"test0": []}
    assert not (tmp_path / "run/eval/examples.json").exists()


def test_evaluation_with_an_in_domain_pool_or_another_strategy(tmp_path: Path) -> None:
    gold(tmp_path / "bench", "test", ["人民银行下调了存款准备金率。"])
    gold(tmp_path / "bench", "train", ["央行下调准备金率。", "球队赢了比赛。", "手机很好用。"])
    settings = {"evaluate": {"pools": str(tmp_path / "bench")}, "retrieve": {"k": 1}}
    run, _ = start(tmp_path / "run", **settings)
    assert retrieval(run.recipe).pools == (str(tmp_path / "bench"),)
    assert run.recipe.retrieve.pools == ("train",)
    found = examples_for(run, tmp_path / "bench")
    assert [a.passage.id for a in found["test0"]] == ["bench/train0"]
    run, _ = start(tmp_path / "run", evaluate={"strategy": "nn_bm25"}, retrieve={"k": 1, "threshold": 1000})
    assert examples_for(run, tmp_path / "bench")["test0"] == []


def test_evaluation_covers_the_label_set(tmp_path: Path) -> None:
    """The types asked are those of the benchmark, not those of the passage's entities, which nobody knows."""
    folder = tmp_path / "bench"
    gold(folder, "test", ["人民银行下调了存款准备金率。"])
    (folder / "labels.json").write_text(
        json.dumps({"词": "词", "a": "类0", "b": "类1", "c": "类2"}, ensure_ascii=False)
    )
    run, _ = start(tmp_path / "run", retrieve={"strategy": "type_aware", "k": 3})
    found = examples_for(run, folder)["test0"]
    assert {e.type for a in found for e in a.entities} == {"类0", "类1", "类2"}


def test_conversations_with_examples_of_another_pool(tmp_path: Path) -> None:
    from sinoner.stages.build import BUILD

    gold(tmp_path / "bench", "train", ["央行下调准备金率。", "球队赢了比赛。"])
    run, _ = start(tmp_path / "run", retrieve={"k": 3, "pools": ["train", str(tmp_path / "bench")]})
    perform(run, RETRIEVE)
    perform(run, BUILD)
    made = {
        c.passage: c
        for c in disk.read_records(tmp_path / "run/it_set/train.conversations.jsonl", Conversation)
    }
    neighbours = {n.id: n for n in disk.read_records(tmp_path / "run/neighbours.jsonl", Neighbours)}
    assert any(i.startswith("bench/") for n in neighbours.values() for i in n.neighbours)
    for identifier, conversation in made.items():
        assert conversation.examples == neighbours[identifier].neighbours
        texts = {"bench/train0": "央行下调准备金率。", "bench/train1": "球队赢了比赛。"}
        for example in conversation.examples:
            assert texts.get(example, "") in conversation.messages[0].content
