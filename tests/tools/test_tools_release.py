"""What a release must hold, and that the version is the same everywhere."""

import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from release import changelog_version, sdist_faults, wheel_faults  # noqa: E402

TRACKED = [
    "sinoner/__init__.py",
    "sinoner/py.typed",
    "prompts/a.yaml",
    "data_recipes/q/x.jsonl",
    "tests/test_x.py",
    "README.md",
]
WHEEL = [
    "sinoner/__init__.py", "sinoner/py.typed", "sinoner/_data/prompts/a.yaml", "sinoner/_data/data_recipes/q/x.jsonl",
    "sinoner-0.1.0.dist-info/METADATA",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("## [Unreleased]\n\n## [0.2.0] - 2027-01-02\n\n## [0.1.0] - 2026-12-01\n", "0.2.0"),
        ("## [1.0.0rc1] - 2027-01-02\n", "1.0.0rc1"),
        ("## [Unreleased]\n\n- 0.1.0\n", None),
        ("## [0.2.0]\n", None),
    ],
)
def test_the_newest_version_of_a_changelog(text: str, version: str | None) -> None:
    assert changelog_version(text) == version


def test_a_complete_wheel_has_no_fault() -> None:
    assert list(wheel_faults(WHEEL, TRACKED)) == []


@pytest.mark.parametrize("missing", WHEEL[:-1])
def test_a_file_that_a_wheel_lacks_is_named(missing: str) -> None:
    assert list(wheel_faults(set(WHEEL) - {missing}, TRACKED)) == [f"wheel: {missing} is missing"]


@pytest.mark.parametrize(
    ("stray", "said"),
    [
        (
            "tests/test_x.py",
            ["wheel: tests does not belong in it", "wheel: tests/test_x.py does not belong in it"],
        ),
        ("sinoner/tests/test_x.py", ["wheel: sinoner/tests/test_x.py does not belong in it"]),
        ("prompts/a.yaml", ["wheel: prompts does not belong in it"]),
    ],
)
def test_a_file_that_does_not_belong_in_a_wheel_is_named(stray: str, said: list[str]) -> None:
    assert list(wheel_faults([*WHEEL, stray], TRACKED)) == said


def test_an_sdist_holds_what_is_tracked_and_nothing_else() -> None:
    assert list(sdist_faults([*TRACKED, "PKG-INFO"], [*TRACKED, ".gitignore"])) == []
    assert list(sdist_faults(TRACKED[1:], TRACKED)) == ["sdist: sinoner/__init__.py is missing"]
    assert list(sdist_faults([*TRACKED, "runs/x.jsonl"], TRACKED)) == [
        "sdist: runs/x.jsonl is not under version control"
    ]


def test_the_addresses_of_the_project_are_the_same_everywhere() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    urls = project["urls"]
    assert {"Homepage", "Repository", "Documentation", "Changelog", "Issues"} <= set(urls)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == urls["Repository"]
    assert all(url.startswith(urls["Repository"]) for name, url in urls.items() if name != "Paper")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert changelog_version(changelog) == project["version"] == citation["version"]
    assert f"{urls['Repository']}/releases/tag/v{project['version']}" in changelog


def test_every_supported_python_is_tested() -> None:
    import tomllib

    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "classifiers"
    ]
    named = [
        c.rpartition(" ")[2] for c in classifiers if c.startswith("Programming Language :: Python :: 3.")
    ]
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    assert job["strategy"]["matrix"]["python-version"] == named == ["3.11", "3.12", "3.13"]
    assert job["steps"][-1]["run"] == "make test PYTHON=python"
