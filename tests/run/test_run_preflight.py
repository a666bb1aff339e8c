"""Mistakes as lines, without stopping at the first."""

import pytest

from sinoner.errors import InputError
from sinoner.run import preflight
from sinoner.run.preflight import missing, mistakes


def refuse() -> None:
    raise InputError("a.yaml: is wrong")


def test_mistakes_are_collected_and_bugs_are_not() -> None:
    assert list(mistakes(refuse, lambda: None, refuse)) == ["a.yaml: is wrong"] * 2
    with pytest.raises(ZeroDivisionError):
        list(mistakes(lambda: 1 // 0))


def test_what_is_not_installed_is_named_with_the_extra_that_provides_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(missing("annotate.by", ("json",))) == []
    monkeypatch.setattr(
        preflight, "EXTRAS", {"one": ("no_such_a", "no_such_b"), "two": ("json", "no_such_c")}
    )
    assert list(missing("some.setting", ("json", "no_such_a", "no_such_b", "no_such_c"))) == [
        "some.setting: no_such_a, no_such_b not installed: pip install 'sinoner[one]'",
        "some.setting: no_such_c not installed: pip install 'sinoner[two]'",
    ]
