import json
from dataclasses import replace
from pathlib import Path

import jsonlines
import pytest
from small_runs import DATA, TEXTS, execute, named, recipe, skipped

from sinoner import disk
from sinoner.commands import run_recipe as runs
from sinoner.errors import BelowRequirementError, InputError, StoppedError
from sinoner.records import Annotation, Conversation, Neighbours, Reject
from sinoner.run.folder import locked
from sinoner.run.manifest import Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Run
from sinoner.run.tally import Tally
from sinoner.stages.filter import FILTER


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    rows = [{"id": f"d{i}", "text": t} for i, t in enumerate(TEXTS)]
    english = "Anna moved to Paris."
    rows.append(
        {"id": "en", "text": english, "entities": [{"start": 0, "end": 4, "type": "person", "text": "Anna"}]}
    )
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def test_data_stages_end_to_end(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    execute(recipe(corpus, out))
    annotations = list(disk.read_records(out / "annotations.jsonl", Annotation))
    assert {a.by.label for a in annotations} == {"human", "jieba"}
    assert [a.passage.id for a in annotations if a.by.label == "human"] == ["en#0"]
    train = list(disk.read_records(out / "it_set/train.conversations.jsonl", Conversation))
    validation = list(disk.read_records(out / "it_set/validation.conversations.jsonl", Conversation))
    examples = {e for c in train + validation for e in c.examples}
    assert examples
    assert not examples & {c.passage for c in validation}
    assert all(c.passage not in c.examples for c in train)
    for entry in Manifest(out).entries.values():
        assert all(c.in_ == c.out + c.rejected for c in entry.counts.values())
    sharegpt = json.loads((out / "it_set/train.json").read_text(encoding="utf-8"))
    assert len(sharegpt) == len(train)
    assert sharegpt[0]["conversations"][0]["from"] == "human"
    messages = list(jsonlines.open(out / "it_set/train.messages.jsonl"))
    assert [m["id"] for m in messages] == [c.id for c in train]
    assert (out / "report.html").stat().st_size > 1000
    assert not list(out.rglob("*.part"))


def test_running_again_skips_everything(corpus: Path, tmp_path: Path) -> None:
    settings = recipe(corpus, tmp_path / "run")
    assert skipped(execute(settings)) == set()
    before = (tmp_path / "run/manifest.json").read_bytes()
    assert skipped(execute(settings)) == set(DATA)
    assert (tmp_path / "run/manifest.json").read_bytes() == before
    assert skipped(execute(settings, force=True)) == set()


@pytest.mark.parametrize(
    ("override", "first"),
    [
        ("corpus.max_tokens=64", "chunk"),
        ("annotate.keep_human=false", "annotate"),
        ("filter.max_chars=2", "filter"),
        ("retrieve.k=2", "retrieve"),
        ("it_set.style=rait", "build-it-set"),
    ],
)
def test_one_changed_setting_runs_again_from_its_stage_on(
    corpus: Path, tmp_path: Path, override: str, first: str
) -> None:
    out = tmp_path / "run"
    execute(recipe(corpus, out))
    again = skipped(execute(recipe(corpus, out, override)))
    before = set(DATA[: DATA.index(first)])
    assert before <= again
    assert first not in again


def test_a_changed_corpus_runs_again(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    execute(recipe(corpus, out))
    with corpus.open("a", encoding="utf-8") as file:
        file.write('{"id": "new", "text": "周杰在成都。"}\n')
    assert "chunk" not in skipped(execute(recipe(corpus, out)))


def test_a_file_somebody_changed_is_made_again(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    execute(recipe(corpus, out))
    (out / "filtered.jsonl").write_text("")
    assert "filter" not in skipped(execute(recipe(corpus, out)))
    assert (out / "filtered.jsonl").stat().st_size > 0


@pytest.mark.usefixtures("small_shards")
def test_same_inputs_and_seed_same_bytes(corpus: Path, tmp_path: Path) -> None:
    files = ["passages.jsonl", "annotations.jsonl", "filtered.jsonl", "neighbours.jsonl", "it_set/train.json"]
    execute(recipe(corpus, tmp_path / "a"))
    execute(recipe(corpus, tmp_path / "b", "workers=2"))
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    execute(recipe(corpus, tmp_path / "c", "seed=7"))
    assert (tmp_path / "a/it_set/train.json").read_bytes() != (tmp_path / "c/it_set/train.json").read_bytes()


def test_neighbours_of_strategy_none_are_empty(corpus: Path, tmp_path: Path) -> None:
    execute(recipe(corpus, tmp_path / "run", "retrieve.strategy=none"))
    found = list(disk.read_records(tmp_path / "run/neighbours.jsonl", Neighbours))
    assert found
    assert all(not n.neighbours for n in found)


def test_a_missing_earlier_stage_is_named(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(InputError, match="run sinoner annotate"):
        execute(recipe(corpus, tmp_path / "run"), ("filter",))


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    import os

    with (
        locked(tmp_path / "run"),
        pytest.raises(InputError, match=f"process {os.getpid()} is working on it"),
        locked(tmp_path / "run"),
    ):
        pass
    with locked(tmp_path / "run"):
        pass


def test_ctrl_c_keeps_what_is_done(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sinoner.quality import rules

    def interrupted(*arguments: object, **settings: object) -> object:
        raise KeyboardInterrupt

    settings = recipe(corpus, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(rules, "clean", interrupted)
        with pytest.raises(StoppedError, match="Run the same command again to continue"):
            execute(settings)
    assert not (tmp_path / "run/filtered.jsonl").exists()
    assert skipped(execute(settings)) == {"chunk", "annotate"}


def test_a_damaged_manifest_is_one_line(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    execute(recipe(corpus, out))
    (out / "manifest.json").write_text('{"stages": {"chunk": 3}}')
    with pytest.raises(
        InputError,
        match="manifest.json: cannot be read .damaged, or written by another version of sinoner.; delete it",
    ):
        execute(recipe(corpus, out))


def test_settings_of_a_run_folder_are_kept(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    execute(recipe(corpus, out, "filter.max_chars=7"))
    again = runs.of_folder(out, ["seed=1"])
    assert (again.filter.max_chars, again.seed, again.folder) == (7, 1, out)
    with pytest.raises(InputError, match="not a run folder"):
        runs.of_folder(tmp_path)


def test_settings_that_were_refused_are_not_kept(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    execute(recipe(corpus, out))
    before = (out / "recipe.yaml").read_bytes()
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    with pytest.raises(InputError, match="annotate.samples=2"):
        execute(recipe(corpus, out, "annotate.by=llm", "llm.model=m", "annotate.samples=2"))
    assert (out / "recipe.yaml").read_bytes() == before
    assert skipped(execute(runs.of_folder(out))) == set(DATA)


def test_rejects_are_kept_with_reason(corpus: Path, tmp_path: Path) -> None:
    with corpus.open("a", encoding="utf-8") as file:
        file.write('oops\n{"no": "text"}\n')
    out = tmp_path / "run"
    execute(recipe(corpus, out))
    rejects = list(disk.read_records(out / "rejects/chunk.jsonl", Reject))
    assert [r.reason for r in rejects] == ["not_json", "no_text"]
    assert Manifest(out).entries["chunk"].counts["document"].rejected == 2


def test_a_stage_that_loses_a_record_is_a_bug(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="2 in, 1 out, 0 rejected"),
        Tally(tmp_path, "x", lambda n: None) as tally,
    ):
        tally.take("passage", 2)
        tally.give("passage")


@pytest.mark.usefixtures("small_shards")
def test_the_filter_writes_the_same_bytes_whatever_the_number_of_workers(
    corpus: Path, tmp_path: Path
) -> None:
    written = []
    for workers in (1, 2):
        out = tmp_path / f"run{workers}"
        execute(
            recipe(corpus, out, "filter.preset=strict", f"workers={workers}"),
            ("chunk", "annotate", "filter"),
        )
        names = ("filtered.jsonl", "rejects/filter.jsonl", "quality/types.json", "quality/rules.json")
        written.append([(out / name).read_bytes() for name in names])
    assert written[0] == written[1]
    assert written[0][0]


def test_a_corpus_that_does_not_exist_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.jsonl: no such file or folder \(corpus.sources\)"):
        execute(recipe(tmp_path / "nowhere.jsonl", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_mistakes_of_later_stages_are_reported_together_before_anything_is_made(
    corpus: Path, tmp_path: Path
) -> None:
    mistakes = ("filter.types=no.yaml", "retrieve.pools=[nowhere.jsonl]", "filter.gold=none.jsonl")
    with pytest.raises(InputError) as caught:
        execute(recipe(corpus, tmp_path / "run", *mistakes), (*DATA, "gold"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert [name for name in ("no.yaml", "nowhere.jsonl", "none.jsonl") if any(name in x for x in lines)]
    assert not (tmp_path / "run").exists()


def test_the_embedder_of_evaluation_is_checked_before_labelling(corpus: Path, tmp_path: Path) -> None:
    gold = tmp_path / "gold.jsonl"
    entity = {"start": 0, "end": 2, "type": "人名", "text": "张伟"}
    gold.write_text(json.dumps({"id": "g", "text": "张伟在上海。", "entities": [entity]}), encoding="utf-8")
    words = (f"evaluate.benchmarks={gold}", "evaluate.strategy=nn", "retrieve.model_zh=no such/model/at/all")
    with pytest.raises(InputError, match="no such/model/at/all"):
        execute(recipe(corpus, tmp_path / "run", *words), (*DATA, "evaluate"))
    assert not (tmp_path / "run").exists()
    execute(recipe(corpus, tmp_path / "run", *words[:2]), DATA)


def test_settings_that_only_change_how_run_nothing_again(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    execute(recipe(corpus, out))
    same = (
        "workers=2",
        "train.device=cpu",
        "retrieve.batch_size=3",
        "llm.timeout=9",
        "annotate.max_cost=1CNY",
    )
    assert skipped(execute(recipe(corpus, out, *same))) == set(DATA)


def test_another_version_of_the_package_runs_nothing_again_another_version_of_a_stage_does(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    execute(recipe(corpus, out))
    monkeypatch.setattr("sinoner.run.stage.__version__", "99.0")
    assert skipped(execute(recipe(corpus, out))) == set(DATA)
    settings = recipe(corpus, out)
    newer = replace(FILTER, version=FILTER.version + 1)
    stages = tuple(newer if stage is FILTER else stage for stage in named(*DATA))
    runs.execute(settings, stages, Screen(quiet=True))
    entry = Manifest(out).entries["filter"]
    assert (entry.version, entry.stage_version) == ("99.0", FILTER.version + 1)


def test_a_deleted_manifest_runs_all_stages_again(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    execute(recipe(corpus, out))
    files = {p: p.read_bytes() for p in (out / "it_set").iterdir()}
    (out / "manifest.json").unlink()
    for stage in DATA[2:]:  # each verb alone, as the advice has it
        execute(recipe(corpus, out), (stage,))
    assert {p: p.read_bytes() for p in (out / "it_set").iterdir()} == files


def test_a_stage_without_work_is_named_alone_and_left_out_among_others(corpus: Path, tmp_path: Path) -> None:
    settings = recipe(corpus, tmp_path / "run")
    assert "evaluate: left out; no benchmark: give --benchmark PATH" in execute(
        settings, ("chunk", "evaluate")
    )
    with pytest.raises(InputError, match="^no benchmark: give --benchmark PATH"):
        execute(settings, ("evaluate",))


def test_a_gate_that_is_closed_stops_before_the_next_stage(corpus: Path, tmp_path: Path) -> None:
    def closed(run: Run) -> None:
        raise BelowRequirementError("too low")

    chunk, annotate, *_ = named(*DATA)
    settings = recipe(corpus, tmp_path / "run")
    for _ in range(2):  # also when the stage is unchanged
        with pytest.raises(BelowRequirementError, match="too low"):
            runs.execute(settings, (replace(chunk, gate=closed), annotate), Screen(quiet=True))
        assert (tmp_path / "run/report.html").exists()
    assert list(Manifest(tmp_path / "run").entries) == ["chunk"]
