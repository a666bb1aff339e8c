"""Every setting either changes the identity of a stage or is marked as one that changes only how it works."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from sinoner import recipe as recipes
from sinoner.settings import SECTIONS, Recipe
from sinoner.settings.section import Mark
from sinoner.stages.flow import OWN, STAGES, stages_of, stages_up_to

# Recipes in which between them every setting has something to do.
BASES = [
    recipes.build(tree)
    for tree in (
        {},
        {"annotate": {"by": "table", "table": "zh"}},
        {"it_set": {"hard": 0.5, "max_tokens": 500}, "filter": {"gold": "somewhere", "verify": True}},
        {"evaluate": {"benchmarks": ["weibo"]}, "retrieve": {"pools": ["train", "msra"]}},
    )
]


def keys() -> Iterator[tuple[str, FieldInfo]]:
    for name, field in Recipe.model_fields.items():
        if name in SECTIONS:
            yield from ((f"{name}.{key}", inner) for key, inner in SECTIONS[name].model_fields.items())
        else:
            yield name, field


FIELDS = dict(keys())


def others(kind: Any, value: Any) -> Iterator[Any]:
    """Values that a setting of this type may have beside the one it has."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        yield from others(arguments[0], value)
    elif origin is Literal:
        yield from arguments
    elif origin in (typing.Union, types.UnionType):
        for argument in arguments:
            yield from others(argument, value)
    elif origin is tuple:
        yield from ([x] for x in others(arguments[0], None))
        yield [{"base_url": "http://other:1/v1"}]
        yield [{"path": "other.txt"}]
    elif origin is dict:
        for key in others(arguments[0], None):
            yield from ({key: x} for x in others(arguments[1], None))
    elif kind is bool:
        yield not value
    elif kind in (int, float):
        number = value or 0
        yield from (number + 1, number + 100, number / 2, 0.25, 1, 2)
    elif kind is str:
        yield from ("other", "cl100k_base", "20CNY", "http://other:1/v1", "OTHER_KEY")
    elif kind is not type(None):
        yield {"key": "value"}


def changed(base: Recipe, key: str) -> Iterator[Recipe]:
    """The recipe with another value of one setting, for every value that is valid."""
    section, _, name = key.partition(".")
    now = getattr(getattr(base, section), name) if name else getattr(base, section)
    for value in others(FIELDS[key].annotation, now):
        tree = base.model_dump(mode="json")
        (tree[section] if name else tree)[name or section] = value
        try:
            recipe = Recipe.model_validate(tree)
        except ValidationError:
            continue
        after = getattr(getattr(recipe, section), name) if name else getattr(recipe, section)
        if after != now:
            yield recipe


def identities(recipe: Recipe) -> dict[str, Any]:
    """What every stage of a recipe depends on; a stage that is not wanted depends on nothing."""
    return {stage.name: stage.settings(recipe) for stage in STAGES if stage.wanted(recipe)}


@pytest.mark.parametrize("key", FIELDS)
def test_a_setting_changes_a_stage_or_is_marked(key: str) -> None:
    tried = [(base, recipe) for base in BASES for recipe in changed(base, key)]
    assert tried, "no other valid value was found: extend others()"
    noticed = any(identities(base) != identities(recipe) for base, recipe in tried)
    assert noticed != (Mark.ONLY_HOW in FIELDS[key].metadata)


def test_a_setting_that_nobody_reads_would_be_found() -> None:
    left = tuple(s for s in STAGES if s.name not in ("retrieve", "build-it-set", "evaluate"))
    tried = [(base, recipe) for base in BASES for recipe in changed(base, "retrieve.k")]
    assert tried
    assert all(s.settings(base) == s.settings(recipe) for s in left for base, recipe in tried)


@pytest.mark.parametrize(
    "key", ["it_set.validation", "it_set.size", "it_set.mix", "it_set.keep_empty", "it_set.misc"]
)
def test_what_decides_the_examples_is_noticed_by_evaluation(key: str) -> None:
    """Directly, or by the stage whose file evaluation reads."""
    base = recipes.build({"evaluate": {"benchmarks": ["weibo"]}})
    after = next(changed(base, key))
    noticed = {name for name, read in identities(base).items() if read != identities(after)[name]}
    assert noticed & {"split", "evaluate"}
    assert "chunk" not in noticed


def test_a_file_counts_by_its_content_not_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    read = []
    for folder in ("a", "b"):
        table = tmp_path / folder / "words.tsv"
        table.write_text("北京\t地点\n", encoding="utf-8")
        recipe = recipes.build({"annotate": {"by": "table", "table": str(table)}})
        read.append(identities(recipe)["annotate"])
    assert read[0] == read[1]
    assert read[0]["annotate.table"] == "words.tsv"


def test_an_endpoint_is_known_by_its_name() -> None:
    here = {"model": "m", "base_url": "http://a:1/v1", "name": "x"}
    there = {**here, "base_url": "http://b:1/v1"}
    same = [identities(recipes.build({"llm": llm}))["annotate"] for llm in (here, there)]
    assert same[0] == same[1]
    unnamed = [identities(recipes.build({"llm": {**llm, "name": None}}))["annotate"] for llm in (here, there)]
    assert unnamed[0] != unnamed[1]


def test_every_stage_describes_itself() -> None:
    names = [stage.name for stage in STAGES]
    assert len(set(names)) == len(names)
    written: set[str] = set()
    for stage in STAGES:
        assert stage.version >= 1
        assert not written & set(stage.outputs)
        written |= set(stage.outputs)
        for base in BASES:
            assert stage.settings(base) is not None  # every key it names is one


def test_the_stages_of_verbs() -> None:
    assert stages_of("run") == STAGES == stages_up_to("run")
    assert [s.name for s in stages_up_to("annotate")] == ["chunk", "annotate"]
    assert stages_up_to("estimate") == stages_up_to("report") == ()
    for verb, own in OWN.items():
        assert list(own) == [s for s in STAGES if s in own], verb
