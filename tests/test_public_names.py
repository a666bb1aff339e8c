"""The public names: what they are, where they come from, what importing them costs, and that their examples work."""

import doctest
import importlib
import importlib.util
import inspect
import json
import pkgutil
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from public_examples import ENDPOINT, add_model, endpoint

import sinoner

ROOT = Path(__file__).resolve().parents[1]
OBJECTS = [name for name in sinoner.__all__ if name != "__version__"]
HEAVY = (
    "torch", "transformers", "peft", "faiss", "FlagEmbedding", "datasets", "numpy", "scipy", "jieba", "openai", "aiohttp",
    "huggingface_hub", "pydantic", "msgspec", "typer", "rich", "yaml",
)  # fmt: skip


def python(code: str, *words: str) -> str:
    done = subprocess.run([sys.executable, *words, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_public_name_can_be_imported() -> None:
    names: dict[str, object] = {}
    exec("from sinoner import *", names)
    assert set(sinoner.__all__) <= set(names)
    assert set(sinoner.__all__) <= set(dir(sinoner))
    assert sinoner.__all__[1:] == sorted(sinoner.__all__[1:])


def test_any_other_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'sinoner' has no attribute 'annotat_texts'"):
        _ = sinoner.annotat_texts  # type: ignore[attr-defined]


def test_no_public_name_is_hidden_by_a_submodule() -> None:
    assert not set(sinoner.__all__) & {module.name for module in pkgutil.iter_modules(sinoner.__path__)}


def test_type_checkers_see_the_same_names() -> None:
    stub = (ROOT / "sinoner/__init__.pyi").read_text(encoding="utf-8")
    listed = re.search(r"__all__ = (\[.*?\])", stub, re.DOTALL)
    assert listed is not None
    assert sorted(re.findall(r'"(\w+)"', listed[1])) == sorted(sinoner.__all__)
    for name in OBJECTS:
        home = importlib.import_module(sinoner._HOME[name])
        assert re.search(rf"from {home.__name__} import [^)]*?\b{name}\b", stub), name


def test_the_public_names_are_listed_in_the_documentation() -> None:
    for lang in ("en", "zh"):
        page = (ROOT / f"docs/{lang}/python.md").read_text(encoding="utf-8")
        assert [name for name in OBJECTS if not re.search(rf"\b{name}\b", page)] == []


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, sinoner; sinoner.__version__; print([m for m in {HEAVY} if m in sys.modules])"
    assert python(code).strip() == "[]"


@pytest.mark.parametrize("name", ["Recognizer", "annotate_texts", "read_corpus", "score_spans"])
def test_no_public_name_imports_a_model_library(name: str) -> None:
    heavy = (
        "torch",
        "transformers",
        "peft",
        "faiss",
        "FlagEmbedding",
        "datasets",
        "numpy",
        "openai",
        "jieba",
    )
    code = f"import sys; from sinoner import {name}; print([m for m in {heavy} if m in sys.modules])"
    assert python(code).strip() == "[]"


def test_the_command_line_answers_at_once() -> None:
    code = (
        "import sys, time; begin = time.perf_counter(); sys.argv = ['sinoner', '--help']\n"
        "from sinoner.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "import json; heavy = ('torch', 'transformers', 'datasets', 'numpy', 'openai', 'aiohttp', 'jieba')\n"
        "print(json.dumps([time.perf_counter() - begin, [m for m in heavy if m in sys.modules]]))"
    )
    seconds, heavy = json.loads(python(code).splitlines()[-1])
    assert heavy == []
    best = min([seconds, *(json.loads(python(code).splitlines()[-1])[0] for _ in range(2))])
    assert best < 0.5


# examples ---------------------------------------------------------------------------------------------------------


def examples(name: str) -> Iterator[doctest.DocTest]:
    """The examples of a public object and of its own public methods."""
    found = getattr(sinoner, name)
    own = [n for n in vars(found) if not n.startswith("_")] if inspect.isclass(found) else []
    methods = [m for n in own if inspect.isroutine(m := getattr(found, n))]
    for documented in (found, *methods):
        yield from doctest.DocTestFinder(recurse=False).find(documented, documented.__qualname__)


@pytest.mark.parametrize("name", [n for n in OBJECTS if n != "Recognizer"])
def test_the_examples_of_the_docstrings_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with endpoint(monkeypatch, tmp_path) as server:
        run_examples(name, server.url)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_examples_of_the_recognizer_work(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_model(tmp_path, tiny_llama)
    with endpoint(monkeypatch, tmp_path) as server:
        assert run_examples("Recognizer", server.url) == 3


def run_examples(name: str, url: str) -> int:
    """Run the examples of a public object; returns how many docstrings have some."""
    documented = 0
    for test in examples(name):
        if not test.examples:
            assert test.name != name, f"{name} has no example"
            continue
        documented += 1
        for example in test.examples:
            example.source = example.source.replace(ENDPOINT, url)
        said: list[str] = []
        flags = doctest.NORMALIZE_WHITESPACE
        assert doctest.DocTestRunner(optionflags=flags).run(test, out=said.append).failed == 0, "".join(said)
    assert documented
    return documented


def test_an_example_that_is_wrong_fails() -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner().run(test, out=lambda text: None).failed == 1


# types ------------------------------------------------------------------------------------------------------------

TYPED = """
from sinoner import (
    Annotation, Grounded, InputError, Recognizer, Reject, annotate_texts, chunk, ground, micro_f1, read_corpus, score_spans,
)

def label(path: str) -> list[Annotation]:
    try:
        found = list(annotate_texts(chunk(read_corpus(path, lang="zh"), max_tokens=128), by="jieba"))
    except InputError as error:
        raise SystemExit(str(error)) from None
    lost = [item.reason for item in found if isinstance(item, Reject)]
    print(lost)
    return [item for item in found if isinstance(item, Annotation)]

def place(text: str, mention: str) -> tuple[int, ...]:
    found = ground(text, mention)
    return found.starts if isinstance(found, Grounded) else ()

def compare(gold: list[Annotation], predicted: list[Annotation]) -> tuple[float, float]:
    return score_spans(gold, predicted).strict.f1, micro_f1(gold, predicted, types=["人名"]).f1

def use(model: str, text: str) -> str:
    return Recognizer.from_pretrained(model, device="cpu").extract(text, ["人名"]).passage.text
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which the package and the libraries of its public types are installed."""
    folder = tmp_path_factory.mktemp("typed")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    (packages,) = (folder / "env/lib").glob("python*/site-packages")
    (packages / "sinoner-checkout.pth").write_text(f"{ROOT}\n")
    # More would be read as well: torch alone takes the type checker a minute.
    for library in ("pydantic", "pydantic_core", "msgspec", "annotated_types", "typing_inspection"):
        found = importlib.util.find_spec(library)
        assert found is not None
        assert found.origin is not None
        (packages / library).symlink_to(Path(found.origin).parent)
    typing_extensions = importlib.import_module("typing_extensions").__file__
    assert typing_extensions is not None
    (packages / "typing_extensions.py").symlink_to(typing_extensions)
    return folder / "env/bin/python"


def strict(environment: Path, folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(code, encoding="utf-8")
    words = (
        "--strict",
        "--python-executable",
        environment,
        "--config-file",
        "",
        "--cache-dir",
        environment.parents[2] / "cache",
    )
    return subprocess.run(
        [sys.executable, "-m", "mypy", *map(str, words), "script.py"], cwd=folder, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip


def test_a_typed_script_passes_the_strict_type_checker(environment: Path, tmp_path: Path) -> None:
    done = strict(environment, tmp_path, TYPED)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("from sinoner import annotat_texts", 'Module "sinoner" has no attribute "annotat_texts"'),
        ("import sinoner\nsinoner.annotate_texts(['a'], by='gpt')", 'expected "Literal'),
        ("import sinoner\nfor d in sinoner.read_corpus('x'):\n    d.text", 'has no attribute "text"'),
    ],
)
def test_a_mistake_is_found_by_the_type_checker(
    environment: Path, tmp_path: Path, code: str, said: str
) -> None:
    done = strict(environment, tmp_path, code)
    assert done.returncode == 1
    assert said in done.stdout
