from pathlib import Path

import pytest

from sinoner import recipe as recipes
from sinoner.errors import InputError
from sinoner.settings import Recipe


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_the_papers() -> None:
    train = Recipe().train
    assert (train.rank, train.alpha, train.dropout, train.lr, train.epochs, train.batch_size) == (
        8,
        16,
        0.0,
        5e-5,
        3,
        8,
    )
    assert (train.warmup, train.cutoff) == (0.03, 2048)
    assert Recipe().retrieve.k == 2
    assert Recipe().it_set.negatives == 0.5


def test_all_mistakes_are_told_at_once_with_line_and_nearest_name(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "corpus:\n  sources: a.jsonl\n  max_tokns: 3\nannotate:\n  by: gpt\ntrain:\n  lr: fast\n  epochs: -1\nretreive:\n  k: 2\n",
    )
    with pytest.raises(InputError) as caught:
        recipes.load(path, ["it_set.stile=rait", "seed=-1", "nonsense"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 8
    text = "\n".join(lines)
    assert f"{path}:3: corpus.max_tokns: unknown key; did you mean 'max_tokens'?" in text
    assert f"{path}:5: annotate.by:" in text
    assert f"{path}:7: train.lr:" in text
    assert "'fast'" in text
    assert f"{path}:8: train.epochs:" in text
    assert f"{path}:9: retreive: unknown key; did you mean 'retrieve'?" in text
    assert "command line: it_set.stile: unknown key; did you mean 'style'?" in text
    assert "command line: seed:" in text
    assert "'nonsense': an override is written section.key=value" in text


def test_overrides_win_and_are_read_as_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, "retrieve: {k: 3}\n")
    recipe = recipes.load(
        path, ["retrieve.k=1", "evaluate.models=[base]", "corpus.sources=x.txt", "it_set.size=null"]
    )
    assert recipe.retrieve.k == 1
    assert recipe.evaluate.models == ("base",)
    assert recipe.corpus.sources[0].path == "x.txt"
    assert recipe.it_set.size is None


def test_paths_are_found_beside_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "data.jsonl").write_text("{}")
    path = tmp_path / "recipes" / "r.yaml"
    path.write_text("corpus: {sources: data.jsonl}\nevaluate: {benchmarks: [nowhere, data.jsonl]}\n")
    monkeypatch.chdir(tmp_path)
    recipe = recipes.load("recipes/r.yaml")
    assert recipe.corpus.sources[0].path == str(tmp_path / "recipes" / "data.jsonl")
    assert recipe.evaluate.benchmarks == ("nowhere", str(tmp_path / "recipes" / "data.jsonl"))
    assert recipe.name == "r"
    assert recipe.folder == Path("runs/r")


def test_shipped_recipe_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "quickstart" in recipes.shipped()
    by_name = recipes.load("quickstart")
    assert by_name == recipes.load("data_recipes/quickstart.yaml")
    assert all(Path(s.path).is_file() for s in by_name.corpus.sources)
    assert all(Path(b).is_dir() for b in by_name.evaluate.benchmarks)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1\n", "is not YAML"),
        (b"- 1\n", "a recipe is a mapping of sections"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"corpus: 3\n", "corpus"),
    ],
)
def test_unreadable_recipes_are_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        recipes.load(path)
    assert str(caught.value).count("\n") == 0
    assert "bad.yaml" in str(caught.value)


def test_missing_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(InputError, match="no such recipe.*quickstart"):
        recipes.load("nowhere.yaml")


def test_an_empty_recipe_is_the_defaults(tmp_path: Path) -> None:
    assert recipes.load(write(tmp_path, "")) == Recipe(name="job")


def test_yaml_cannot_execute(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        recipes.load(write(tmp_path, "name: !!python/object/apply:os.system ['true']\n"))


def test_dump_is_read_back_as_the_same_recipe(tmp_path: Path) -> None:
    recipe = recipes.build(
        {"name": "x", "corpus": {"sources": [{"path": "a", "lang": "zh"}]}, "train": {"lr": 1e-4}}, ["seed=7"]
    )
    assert recipes.load(write(tmp_path, recipes.dump(recipe))) == recipe
