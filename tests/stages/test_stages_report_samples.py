"""What is taken from large files is spread over them, the same every time, and little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from annotators import annotator
from hypothesis import given
from hypothesis import strategies as st

from sinoner import disk
from sinoner.records import Annotation, Annotator, Conversation, Entity, Message, Passage, Reject
from sinoner.stages.report_samples import Look, Spread, conversations, one_per_language, rejects


def annotations(n: int, lang: str = "zh", by: str = "m") -> Iterator[Annotation]:
    for i in range(n):
        passage = Passage(id=f"{lang}{i}#0", text=f"甲{i}乙", source="s", lang=lang)  # type: ignore[arg-type]
        entities = (
            Entity(surface="甲", type="人名", starts=(0,)),
            Entity(surface=str(i), type="数", starts=(1,)),
        )
        yield Annotation(passage=passage, entities=entities if i % 2 == 0 else (), by=annotator(by))


@given(st.integers(0, 3000), st.integers(1, 24))
def test_a_spread_is_small_ordered_and_reaches_over_the_whole(n: int, most: int) -> None:
    spread: Spread[int] = Spread(most)
    for i in range(n):
        spread.add(i)
    chosen = spread.chosen()
    assert len(chosen) == min(n, most)
    assert chosen == sorted(set(chosen))
    if n:
        assert chosen[0] == 0
        gaps = [b - a for a, b in zip(chosen, [*chosen[1:], n], strict=True)]
        assert max(gaps) <= 4 * n / most + 1  # nowhere is a large part left out


def test_a_spread_of_fewer_takes_fewer() -> None:
    spread: Spread[int] = Spread(8)
    for i in range(100):
        spread.add(i)
    assert len(spread.chosen(3)) == 3
    assert spread.chosen(0) == []


def test_passages_shown_have_entities_and_share_the_place_between_languages() -> None:
    def source() -> Iterator[Annotation]:
        yield from annotations(500)
        yield from annotations(60, "en", by="n")

    look = Look(24, ["zh3#0", "en4#0", "gone"], count_types=True).over(source())
    shown = look.passages()
    assert [sum(a.passage.lang == lang for a in shown) for lang in ("zh", "en")] == [12, 12]
    assert all(a.entities for a in shown)
    assert look.annotators == {annotator("m"): 500, annotator("n"): 60}
    assert look.langs == {"zh3#0": "zh", "en4#0": "en"}


def test_types_are_counted_by_distinct_surface_of_a_passage() -> None:
    passage = Passage(id="p#0", text="甲甲乙", source="s", lang="zh")
    entities = (
        Entity(surface="甲", type="人名", starts=(0,)),
        Entity(surface="甲", type="人名", starts=(1,)),
        Entity(surface="乙", type="人名", starts=(2,)),
    )
    look = Look(24, (), count_types=True)
    look.over(
        [
            Annotation(passage=passage, entities=entities, by=Annotator(source="model", model="m")),
            *annotations(4),
        ]
    )
    found = {(t.lang, t.type): (t.mentions, t.passages, t.examples) for t in look.inventory().types}
    assert found == {("zh", "人名"): (4, 3, ("甲", "乙")), ("zh", "数"): (2, 2, ("0", "2"))}
    assert Look(24, (), count_types=False).over(annotations(4)).inventory().types == ()


def test_rejects_are_counted_and_sampled_over_the_file(tmp_path: Path) -> None:
    found = [Reject(id=f"p{i}#0", stage="filter", reason="number", unit="entity") for i in range(100)]
    found.append(Reject(id="q#0", stage="filter", reason="garbled"))
    disk.write_records(tmp_path / "rejects/filter.jsonl", found)
    groups = rejects(tmp_path, ["chunk", "filter"], 3)
    count, samples = groups["filter", "entity", "number"]
    assert (count, samples[0].id, len(samples)) == (100, "p0#0", 3)
    assert int(samples[-1].id[1:-2]) > 50
    assert groups["filter", "passage", "garbled"] == (1, [found[-1]])


def conversation(passage: str, *examples: str) -> Conversation:
    message = Message(role="user", content="x")
    return Conversation(
        id=passage, first_query=0, passage=passage, types=(), messages=(message,), examples=examples
    )


def test_one_conversation_of_each_language_with_examples_where_there_are_any(tmp_path: Path) -> None:
    made = [conversation(f"zh{i}", *(["e"] if i == 7 else [])) for i in range(5000)]
    made += [conversation(f"en{i}") for i in range(100)]
    disk.write_records(tmp_path / "train.jsonl", made)
    found = conversations(tmp_path / "train.jsonl")
    assert len(found) <= 400
    langs = {c.passage: c.passage[:2] for c in found}
    assert {c.passage[:2] for c in one_per_language(found, langs)} == {"zh", "en"}
    few = one_per_language(made[:10], {c.passage: "zh" for c in made})
    assert [c.passage for c in few] == ["zh7"]
    assert conversations(tmp_path / "missing.jsonl") == []
