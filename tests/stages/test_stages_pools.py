"""Where examples come from."""

import io
import random
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_runs import split

from sinoner import disk
from sinoner import recipe as recipes
from sinoner.errors import InputError
from sinoner.records import Annotation, Annotator, Entity, Passage
from sinoner.run.manifest import Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Run
from sinoner.stages import pools as sources
from sinoner.stages.pools import Pools


def annotation(identifier: str, text: str) -> Annotation:
    passage = Passage(id=identifier, text=text, source="s", lang="zh")
    return Annotation(
        passage=passage,
        entities=(Entity(surface=text[0], type="字", starts=(0,)),),
        by=Annotator(source="model", model="x"),
    )


def gold(folder: Path, name: str, rows: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "id": f"{name}{i}",
            "text": f"金{i}",
            "entities": [{"start": 0, "end": 1, "type": "字", "text": "金"}],
            "lang": "zh",
        }
        for i in range(rows)
    ]
    disk.write_rows(folder / f"{name}.jsonl", lines)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    disk.write_records(path / "decontaminated.jsonl", [annotation(f"d{i}#0", f"文{i}") for i in range(10)])
    gold(tmp_path / "bench", "train", 30)
    gold(tmp_path / "bench", "test", 5)
    return path


def pools(folder: Path, **retrieve: Any) -> Pools:
    recipe = recipes.build({"out": str(folder), "retrieve": retrieve, "it_set": {"validation": 0.2}})
    run = Run(folder, recipe, Manifest(folder), Screen(quiet=True))
    return Pools(run, split(run), recipe.retrieve)


def test_the_own_training_passages(folder: Path) -> None:
    with pools(folder) as found:
        assert len(found) == 8  # not those set aside
        assert all(found[i].passage.id == i for i in found)
        assert list(found.of("zh")) == []


def test_a_benchmark_gives_its_training_part(folder: Path, tmp_path: Path) -> None:
    with pools(folder, pools=["train", str(tmp_path / "bench")]) as found:
        foreign = list(found.of("zh"))
        assert [a.passage.id for a in foreign] == [f"bench/train{i}" for i in range(30)]
        assert found["bench/train3"] == foreign[3]
        assert len(found) == 38
        assert list(found.of("en")) == []


def test_without_the_own(folder: Path, tmp_path: Path) -> None:
    with pools(folder, pools=str(tmp_path / "bench/test.jsonl")) as found:
        assert list(found) == [f"bench/test{i}" for i in range(5)]
        with pytest.raises(KeyError):
            found["d0#0"]


def test_a_sample_as_the_paper_draws_it(folder: Path, tmp_path: Path) -> None:
    random.seed(42)
    expected = random.sample([f"bench/train{i}" for i in range(30)], 8)
    with pools(folder, pools=str(tmp_path / "bench"), pool_size=8) as found:
        assert list(found) == expected
    with pools(folder, pools=str(tmp_path / "bench"), pool_size=8, pool_seed=7) as found:
        assert list(found) != expected
    with pools(folder, pools=str(tmp_path / "bench"), pool_size=99) as found:
        assert len(found) == 30


def test_another_run(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    disk.write_records(other / "decontaminated.jsonl", [annotation("x#0", "他人")])
    (other / "recipe.yaml").write_text("name: other\n", encoding="utf-8")
    with pools(folder, pools=str(other)) as found:
        assert list(found) == ["other/x#0"]
        assert found["other/x#0"].passage.text == "他人"


def test_two_of_one_name(folder: Path, tmp_path: Path) -> None:
    gold(tmp_path / "elsewhere/bench", "train", 3)
    with pytest.raises(InputError, match="both called 'bench'"):
        pools(folder, pools=[str(tmp_path / "bench"), str(tmp_path / "elsewhere/bench")])


def test_no_such_pool(folder: Path) -> None:
    with pytest.raises(InputError, match="no such gold file, folder or benchmark"):
        pools(folder, pools="nowhere")


def test_files_and_names(tmp_path: Path, folder: Path) -> None:
    settings = recipes.build({"retrieve": {"pools": ["train", str(tmp_path / "bench"), "nowhere"]}}).retrieve
    assert sources.files(settings) == [tmp_path / "bench/train.jsonl"]
    assert sources.names(settings) == ["train", "bench", "nowhere"]


def test_the_run_itself_is_no_pool_beside_train(folder: Path) -> None:
    (folder / "recipe.yaml").write_text("name: run\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"retrieve\.pools: .*run is this run itself.*write train instead"):
        pools(folder, pools=str(folder))


def test_another_run_that_is_not_filtered(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/recipe.yaml").write_text("name: other\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"other: is not filtered yet; run sinoner filter .*other first"):
        pools(folder, pools=str(tmp_path / "other"))


def test_a_folder_that_holds_no_gold(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    with pytest.raises(InputError, match=r"texts: holds neither train\.jsonl, test\.jsonl nor dev\.jsonl"):
        pools(folder, pools=str(tmp_path / "texts"))
    settings = recipes.build({"retrieve": {"stop_words": str(tmp_path)}}).retrieve
    assert sources.files(settings) == []  # a folder is refused later; it is not read to the end before


SENTENCES = [
    f"{place}市人民政府今天上午在{place}召开新闻发布会，介绍了{n}年经济运行的主要情况和下一步工作安排。"
    for n, place in enumerate(["南京", "武汉", "成都", "西安", "长沙"], 2015)
]


def sentences(folder: Path, name: str, texts: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    entity = {"start": 0, "end": 2, "type": "地点"}
    rows = [
        {"id": f"{name}{i}", "text": t, "entities": [{**entity, "text": t[:2]}], "lang": "zh"}
        for i, t in enumerate(texts)
    ]
    disk.write_rows(folder / f"{name}.jsonl", rows)


def compared(folder: Path, test: Path, pool: Path, **filter: Any) -> tuple[list[str], str]:
    tree = {
        "out": str(folder),
        "retrieve": {"pools": str(pool)},
        "filter": filter,
        "evaluate": {"benchmarks": [str(test)]},
    }
    said = io.StringIO()
    recipe = recipes.build(tree)
    run = Run(folder, recipe, Manifest(folder), Screen(Console(file=said, width=300)))
    with Pools(run, split(run), recipe.retrieve) as found:
        return [a.passage.id for a in found.of("zh")], said.getvalue()


def test_what_shares_text_with_a_test_set_is_no_example(folder: Path, tmp_path: Path) -> None:
    """What stands in the pool and in the test set would show the answers that are scored."""
    sentences(tmp_path / "city", "test", [SENTENCES[0]])
    sentences(
        tmp_path / "city", "train", ["后来" + SENTENCES[0], "与此无关的一句话，说的是天气。", "又一句。"]
    )
    found, said = compared(folder, tmp_path / "city/test.jsonl", tmp_path / "city")
    assert found == ["city/train1", "city/train2"]
    assert "retrieve.pools: city: 1 of 3 passages share text with a test set and are no examples" in said
    found, said = compared(folder, tmp_path / "city/test.jsonl", tmp_path / "city", decontaminate=False)
    assert found == ["city/train0", "city/train1", "city/train2"]
    assert said == ""


def test_the_test_set_is_no_pool(folder: Path, tmp_path: Path) -> None:
    test = tmp_path / "city/test.jsonl"
    sentences(tmp_path / "city", "test", SENTENCES)
    with pytest.raises(
        InputError, match="city: 5 of 5 passages share text with a test set; give what is not"
    ):
        compared(folder, test, test)


def test_the_test_sets_count_only_where_other_pools_are_compared(tmp_path: Path) -> None:
    sentences(tmp_path, "test", SENTENCES)
    tree = {"evaluate": {"benchmarks": [str(tmp_path / "test.jsonl")]}}

    def files_of(tree: dict[str, Any]) -> list[Path]:
        recipe = recipes.build(tree)
        return sources.test_files(recipe, recipe.retrieve)

    assert files_of(tree) == []
    other = {**tree, "retrieve": {"pools": ["train", "elsewhere"]}}
    assert files_of(other) == [tmp_path / "test.jsonl"]
    assert files_of({**other, "filter": {"decontaminate": False}}) == []
