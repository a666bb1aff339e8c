import re
from pathlib import Path

import pytest

from sinoner import recipe as recipes
from sinoner.errors import InputError
from sinoner.settings import SECTIONS, EndpointSettings, Recipe, Source


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


def test_types_and_endpoints_may_be_written_short() -> None:
    words = [
        "annotate.types=人名，地点、机构, 时间",
        "llm.endpoints=[http://a/v1, {base_url: http://b/v1, models: [m]}]",
    ]
    recipe = recipes.build({}, words)
    assert list(recipe.annotate.types) == ["人名", "地点", "机构", "时间"]
    assert [e.base_url for e in recipe.llm.endpoints] == ["http://a/v1", "http://b/v1"]
    assert recipe.llm.endpoints[1].models == {"m": "m"}
    defined = recipes.build({"annotate": {"types": {"人名": "真实的人", "地点": ""}}})
    assert defined.annotate.types == {"人名": "真实的人", "地点": ""}


def test_files_of_annotating_are_found_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "gold.jsonl").write_text("{}")
    (tmp_path / "prices.yaml").write_text("prices: []")
    (tmp_path / "key.txt").write_text("x")
    (tmp_path / "mine.yaml").write_text("id: x")
    path = write(
        tmp_path,
        "annotate: {demonstrations: gold.jsonl, prompt: mine.yaml}\nllm: {prices: prices.yaml, api_key_file: key.txt}\n",
    )
    recipe = recipes.load(path)
    assert recipe.annotate.demonstrations == str(tmp_path / "gold.jsonl")
    assert recipe.annotate.prompt == str(tmp_path / "mine.yaml")
    assert recipe.llm.prices == str(tmp_path / "prices.yaml")
    assert recipe.llm.api_key_file == str(tmp_path / "key.txt")


NESTED = """
corpus: {tokenizer: words.json}
llm:
  endpoints:
    - {base_url: http://a/v1, api_key_file: keys/a.txt}
    - {base_url: http://b/v1, api_key_file: keys/missing.txt}
train: {base: models/base}
retrieve: {model_zh: ./models/base, model_en: BAAI/bge-large-en-v1.5, pools: [train, gold], stop_words: stop.txt}
evaluate: {pools: [train, gold], benchmarks: gold}
filter: {test_sets: [gold], gold: gold, types: names.yaml}
annotate: {table: terms.tsv}
"""


def test_every_path_of_a_recipe_is_found_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "recipes"
    for folder in ("keys", "models/base", "gold"):
        (home / folder).mkdir(parents=True)
    for file in ("words.json", "keys/a.txt", "stop.txt", "names.yaml", "terms.tsv"):
        (home / file).touch()
    write(home, NESTED)
    monkeypatch.chdir(tmp_path)
    recipe = recipes.load("recipes/job.yaml")
    beside = {name: str(home / name) for name in ("words.json", "models/base", "gold", "stop.txt")}
    assert recipe.corpus.tokenizer == beside["words.json"]
    assert [e.api_key_file for e in recipe.llm.endpoints] == [str(home / "keys/a.txt"), "keys/missing.txt"]
    assert recipe.train.base == recipe.retrieve.model_zh == beside["models/base"]
    assert recipe.retrieve.model_en == "BAAI/bge-large-en-v1.5"
    assert recipe.retrieve.pools == recipe.evaluate.pools == ("train", beside["gold"])
    assert recipe.retrieve.stop_words == beside["stop.txt"]
    assert recipe.evaluate.benchmarks == recipe.filter.test_sets == (beside["gold"],)
    assert recipe.filter.gold == beside["gold"]
    assert recipe.filter.types == str(home / "names.yaml")
    assert recipe.annotate.table == str(home / "terms.tsv")


def test_every_setting_that_may_name_a_file_is_marked_as_a_path() -> None:
    words = re.compile(r"\b(file|files|folder|folders|path|YAML)\b|\.yaml")
    # These speak of files that are written.
    others = {"it_set.formats", "retrieve.vectors"}
    for name, section in {**SECTIONS, "llm.endpoints": EndpointSettings, "corpus.sources": Source}.items():
        for key, field in section.model_fields.items():
            marked = "RecipePath(" in f"{field.annotation} {field.metadata}"
            assert marked or not words.search(field.description or "") or f"{name}.{key}" in others, key


def test_names_stay_names_though_something_is_called_like_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is a path only beside the recipe; in the current folder it has to be written as one."""
    (tmp_path / "home").mkdir()
    for name in ("smollm2", "train", "shipped", "o200k_base"):
        (tmp_path / name).mkdir()
        (tmp_path / "home" / name).mkdir() if name != "smollm2" else None
    write(tmp_path / "home", "train: {base: smollm2}\nretrieve: {pools: train}\n")
    monkeypatch.chdir(tmp_path)
    recipe = recipes.load("home/job.yaml")
    assert recipe.train.base == "smollm2"
    assert (recipe.retrieve.pools, recipe.retrieve.stop_words) == (("train",), "shipped")
    assert recipe.corpus.tokenizer == "o200k_base"
    assert recipes.load("home/job.yaml", ["train.base=./smollm2"]).train.base == str(tmp_path / "smollm2")


def test_the_nearest_key_is_one_of_the_section_with_the_mistake(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "llm:\n  endpoints:\n    - base_url: http://a\n      modls: [m]\n    - {base_url: http://b, zzz: 1}\n"
        "corpus: {sources: {path: a, lnag: zh}}\nseed: 1\nseed: 2\n",
    )
    with pytest.raises(InputError) as caught:
        recipes.load(path)
    assert str(caught.value).splitlines() == [
        f"{path}:8: seed: is given twice, first in line 7",
        f"{path}:6: corpus.sources.0.lnag: unknown key; did you mean 'lang'?",
        f"{path}:4: llm.endpoints.0.modls: unknown key; did you mean 'models'?",
        f"{path}:5: llm.endpoints.1.zzz: unknown key; known: base_url, api_key_env, api_key_file, models, concurrency,"
        " rpm, tpm",
    ]


def test_a_recipe_that_holds_itself_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"job\.yaml: is nested too deeply, or holds itself$"):
        recipes.load(write(tmp_path, "llm: {extra: &a {x: *a}}"))


def test_money_may_be_a_number() -> None:
    assert recipes.build({}, ["annotate.max_cost=5"]).annotate.max_cost == "5"
    assert recipes.build({}, ["annotate.max_cost=5.50CNY"]).annotate.max_cost == "5.50CNY"


@pytest.mark.parametrize(
    "word", ["llm.extra.api_key=sk-canary", "sk-canary-5f0c2d9b7a1e", "llm.api_key=canary: ["]
)
def test_an_override_that_cannot_be_read_is_not_repeated(word: str) -> None:
    with pytest.raises(InputError) as caught:
        recipes.build({}, [word])
    assert "canary" not in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_a_key_is_found_among_other_mistakes() -> None:
    tree = {"llm": {"api_key": "x", "endpoints": [{"base_url": "http://a", "token": "y"}]}}
    with pytest.raises(InputError) as caught:
        recipes.build(tree, ["nonsense"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "llm.api_key: a recipe must not contain a key" in lines[1]
    assert "llm.endpoints.0.token: a recipe must not contain a key" in lines[2]


def test_a_misspelt_key_of_a_mapping_is_told_like_any_other() -> None:
    with pytest.raises(InputError) as error:
        recipes.build({"filter": {"require": {"gold_f": 0.5}}}, ["filter.rules={pronoum: false}"])
    text = str(error.value)
    assert "command line: filter.rules.pronoum: unknown key; did you mean 'pronoun'?" in text
    assert "settings: filter.require.gold_f: unknown key; did you mean 'gold_f1'?" in text
    with pytest.raises(
        InputError, match=r"filter\.rules\.zzz: unknown key; known: too_short, wrong_language"
    ):
        recipes.build({"filter": {"rules": ["zzz"]}})


def test_a_key_of_the_top_level_in_a_section_is_recognised() -> None:
    with pytest.raises(
        InputError, match=r"filter\.workers: unknown key; workers is a key at the top of the file"
    ):
        recipes.build({"filter": {"workers": 2}})
    with pytest.raises(InputError, match=r"filter\.presett: unknown key; did you mean 'preset'\?"):
        recipes.build({"filter": {"presett": "strict"}})
