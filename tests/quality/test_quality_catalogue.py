"""Every rule has a sentence in both languages, and its two examples do what they say."""

from __future__ import annotations

import pytest

from sinoner.quality.catalogue import CATALOGUE, Example, RuleEntry
from sinoner.quality.duplicates import Duplicates
from sinoner.quality.rules import clean
from sinoner.records import Annotation, Annotator, Entity, Passage
from sinoner.report.labels import CHANGES, REASONS
from sinoner.settings import RULE_NAMES, FilterSettings
from sinoner.text.ground import occurrences


def acted(entry: RuleEntry, example: Example) -> bool:
    """Whether the rule dropped or changed something of the example, with no other rule switched on."""
    entities = tuple(
        Entity(surface=s, type=t, starts=occurrences(example.text, s)) for s, t in example.mentions
    )
    passage = Passage(id="d#0", text=example.text, source="s", lang=example.lang)
    before = Annotation(passage=passage, entities=entities, by=Annotator(source="llm", model="m", prompt="p"))
    settings = FilterSettings(rules=[entry.name])
    (result,) = clean([before], settings)
    for reject in result.rejects:
        assert reject.reason == entry.name
    for name in result.changed:
        assert name == entry.name
    earlier = Duplicates(
        settings.near_duplicate if entry.name == "near_duplicate" else None, entry.name == "duplicate_passage"
    )
    again = [
        earlier.check(Passage(id=f"e#{i}", text=text, source="s", lang=example.lang))
        for i, text in enumerate((*example.before, example.text))
    ]
    assert all(found is None for found in again[:-1])
    return bool(result.rejects or result.changed or again[-1])


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.name)
def test_the_examples_of_a_rule_do_what_they_say(entry: RuleEntry) -> None:
    assert not acted(entry, entry.accepts)
    assert acted(entry, entry.rejects)


def test_every_rule_is_in_the_catalogue_once_and_in_order() -> None:
    assert tuple(entry.name for entry in CATALOGUE) == RULE_NAMES


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.name)
def test_every_rule_has_words_for_the_report(entry: RuleEntry) -> None:
    assert entry.name in REASONS or entry.name in CHANGES
    assert entry.english.endswith(".")
    assert entry.chinese.endswith("。")
    assert entry.english.count(". ") == 0
