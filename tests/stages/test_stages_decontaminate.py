"""A test passage in the corpus never reaches training, and evaluation says what was not compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_runs import TEXTS, execute, recipe, skipped

from sinoner import disk
from sinoner.commands.check import problems
from sinoner.errors import InputError
from sinoner.formats.benchmarks import load_gold
from sinoner.measurements import Decontamination
from sinoner.records import Annotation, Neighbours, Reject
from sinoner.run.layout import CONTAMINATION, TRAIN
from sinoner.run.manifest import Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Run
from sinoner.stages.decontaminate import unchecked
from sinoner.stages.evaluate import EVALUATE

LEAKED = "陈静说：“杭州的西湖很美！”《红楼梦》是曹雪芹写的。"
FILES = (
    "decontaminated.jsonl",
    "neighbours.jsonl",
    "it_set/train.json",
    "it_set/validation.conversations.jsonl",
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    rows = [{"id": f"d{i}", "text": t} for i, t in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def gold(path: Path, *texts: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    rows = [
        {"id": f"g{n}", "text": t, "entities": [{"start": 0, "end": 2, "type": "人名", "text": t[:2]}]}
        for n, t in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def found(out: Path) -> Decontamination:
    return Decontamination.model_validate_json((out / "quality/decontamination.json").read_bytes())


def kept(out: Path) -> list[str]:
    return [a.passage.id for a in disk.read_records(out / "decontaminated.jsonl", Annotation)]


@pytest.mark.parametrize("setting", ["evaluate.benchmarks", "filter.test_sets"])
def test_a_leaked_passage_reaches_no_file_that_is_trained_on(
    corpus: Path, tmp_path: Path, setting: str
) -> None:
    test = gold(tmp_path / "hand/test.jsonl", "无关的一句话", LEAKED.replace("，", " ").replace("！", "。"))
    out = tmp_path / "run"
    execute(recipe(corpus, out, f"{setting}=[{test}]", "retrieve.k=3"))
    before = [a.passage.id for a in disk.read_records(out / "filtered.jsonl", Annotation)]
    assert "d3#0" in before
    assert kept(out) == [i for i in before if i != "d3#0"]
    for name in FILES:
        text = (out / name).read_text(encoding="utf-8")
        assert text
        assert "曹雪芹" not in text, name
        assert '"d3#0"' not in text, name
    assert any(n.neighbours for n in disk.read_records(out / "neighbours.jsonl", Neighbours))
    assert "曹雪芹" in (out / "filtered.jsonl").read_text(encoding="utf-8")


def test_what_was_dropped_is_counted_and_told(corpus: Path, tmp_path: Path) -> None:
    test = gold(tmp_path / "hand/test.jsonl", "无关的一句话", LEAKED)
    other = gold(tmp_path / "other/test.jsonl", "别的话")
    out = tmp_path / "run"
    execute(recipe(corpus, out, f"evaluate.benchmarks=[{test}]", f"filter.test_sets=[{other}, {test}]"))
    (reject,) = disk.read_records(out / "rejects/decontaminate.jsonl", Reject)
    assert (reject.id, reject.reason, reject.unit) == ("d3#0", "shared_ngram", "passage")
    assert reject.detail.startswith("hand g1: ")
    counts = Manifest(out).entries["decontaminate"].counts
    assert (counts["passage"].in_, counts["passage"].out, counts["passage"].rejected) == (6, 5, 1)
    assert all(c.in_ == c.out + c.rejected for c in counts.values())
    (lost,) = (a for a in disk.read_records(out / "filtered.jsonl", Annotation) if a.passage.id == "d3#0")
    assert counts["entity"].rejected == len(lost.entities) > 0
    result = found(out)
    assert (result.checked, result.dropped) == (6, 1)
    assert [(leak.benchmark, leak.digest, leak.passages) for leak in result.leaks] == [
        ("hand", disk.sha256(test), 2),
        ("other", disk.sha256(other), 1),
    ]
    assert [(leak.shared_ngram, leak.near_duplicate, leak.touched) for leak in result.leaks] == [
        (1, 0, 1),
        (0, 0, 0),
    ]


def test_an_unchanged_test_set_is_skipped_and_a_changed_one_is_not(corpus: Path, tmp_path: Path) -> None:
    test = gold(tmp_path / "hand/test.jsonl", "无关的一句话")
    out = tmp_path / "run"
    settings = recipe(corpus, out, f"evaluate.benchmarks=[{test}]")
    execute(settings)
    assert len(kept(out)) == 6
    assert "decontaminate" in skipped(execute(settings))
    gold(test, "无关的一句话", LEAKED)
    again = skipped(execute(settings))
    assert {"chunk", "annotate", "filter"} <= again
    assert not {"decontaminate", "retrieve", "build-it-set"} & again
    assert len(kept(out)) == 5
    assert found(out).leaks[0].digest == disk.sha256(test)


def test_a_test_set_that_is_added_runs_the_stage_again(corpus: Path, tmp_path: Path) -> None:
    test = gold(tmp_path / "hand/test.jsonl", LEAKED)
    out = tmp_path / "run"
    execute(recipe(corpus, out))
    assert "filter" in skipped(said := execute(recipe(corpus, out, f"filter.test_sets=[{test}]")))
    assert "decontaminate" not in skipped(said)
    assert len(kept(out)) == 5


def test_switched_off_everything_passes(corpus: Path, tmp_path: Path) -> None:
    test = gold(tmp_path / "hand/test.jsonl", LEAKED)
    out = tmp_path / "run"
    said = execute(recipe(corpus, out, f"evaluate.benchmarks=[{test}]", "filter.decontaminate=false"))
    assert "compared with no test set (filter.decontaminate is off)" in said
    assert (out / "decontaminated.jsonl").read_bytes() == (out / "filtered.jsonl").read_bytes()
    assert found(out).leaks == ()
    assert unchecked(out, {"hand": disk.sha256(test)}) == ["hand"]


def test_without_a_benchmark_everything_passes_and_it_is_said(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert "compared with no test set (no benchmark" in execute(recipe(corpus, out))
    assert (out / "decontaminated.jsonl").read_bytes() == (out / "filtered.jsonl").read_bytes()


def test_a_benchmark_that_was_not_compared_is_named(corpus: Path, tmp_path: Path) -> None:
    test = gold(tmp_path / "hand/test.jsonl", "无关的一句话")
    late = gold(tmp_path / "late/test.jsonl", "后来的一句话")
    out = tmp_path / "run"
    execute(recipe(corpus, out, f"filter.test_sets=[{test.parent}]"))
    digests = {g.name: g.digest for g in (load_gold(str(test)), load_gold(str(late)))}
    assert unchecked(out, digests) == ["late"]
    gold(test, "无关的一句话", "改了")
    changed = load_gold(str(test))
    assert unchecked(out, {changed.name: changed.digest}) == ["hand"]
    assert unchecked(tmp_path / "no-run", digests) == ["hand", "late"]


def test_the_same_test_set_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    test = gold(tmp_path / "hand/test.jsonl", LEAKED, "今天的天气很好适合散步")
    files = ("decontaminated.jsonl", "quality/decontamination.json", "rejects/decontaminate.jsonl")
    for name in ("a", "b"):
        execute(recipe(corpus, tmp_path / name, f"evaluate.benchmarks=[{test}]"))
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_corpus_that_is_the_test_set_leaves_nothing(corpus: Path, tmp_path: Path) -> None:
    test = gold(tmp_path / "hand/test.jsonl", *TEXTS)
    with pytest.raises(InputError, match="decontaminate: all 6 passages were rejected"):
        execute(recipe(corpus, tmp_path / "run", f"evaluate.benchmarks=[{test}]"))
    assert kept(tmp_path / "run") == []


def test_a_missing_test_set_is_one_line_before_anything_is_annotated(corpus: Path, tmp_path: Path) -> None:
    settings = recipe(corpus, tmp_path / "run", f"filter.test_sets=[{tmp_path / 'none.jsonl'}]")
    with pytest.raises(InputError, match=r"no such gold file, folder or benchmark"):
        execute(settings)
    assert not (tmp_path / "run/annotations.jsonl").exists()
    assert any("none.jsonl: no such gold file" in p for p in problems(settings))
    assert not any("gold" in p for p in problems(recipe(corpus, tmp_path / "run")))


def test_conversations_made_before_the_comparison_count_as_not_compared(corpus: Path, tmp_path: Path) -> None:
    test = gold(tmp_path / "hand/test.jsonl", LEAKED)
    digests = {"hand": disk.sha256(test)}
    out = tmp_path / "run"
    execute(recipe(corpus, out))
    compared = recipe(corpus, out, f"filter.test_sets=[{test}]")
    execute(compared, ("filter", "decontaminate"))  # the conversations still hold the leaked passage
    assert found(out).leaks[0].digest == digests["hand"]
    assert unchecked(out, digests) == ["hand"]
    execute(compared)
    assert unchecked(out, digests) == []


def test_an_adapter_trained_on_other_conversations_counts_as_not_compared(
    corpus: Path, tmp_path: Path
) -> None:
    test = gold(tmp_path / "hand/test.jsonl", LEAKED)
    digests = {"hand": disk.sha256(test)}
    out = tmp_path / "run"
    execute(recipe(corpus, out, f"filter.test_sets=[{test}]"))
    manifest = Manifest(out)
    built = manifest.entries["build-it-set"]
    for trained_on, expected in ((built.outputs[TRAIN], []), ("another", ["hand"])):
        manifest.add("finetune", built.model_copy(update={"inputs": {TRAIN: trained_on}, "outputs": {}}))
        assert unchecked(out, digests) == expected


def test_evaluation_runs_again_when_other_test_sets_were_compared(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    test = gold(tmp_path / "hand/test.jsonl", "无关的一句话")
    settings = recipe(corpus, out, f"evaluate.benchmarks=[{test}]", "evaluate.models=[base]")
    run = Run(out, settings, Manifest(out), Screen(quiet=True))
    assert out / CONTAMINATION not in EVALUATE.inputs(run)  # of a folder that has none, nothing is asked
    execute(settings)
    assert out / CONTAMINATION in EVALUATE.inputs(run)
