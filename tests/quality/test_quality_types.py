"""The inventory against brute force, maps of names, the shipped table, and what is proposed to be merged."""

from __future__ import annotations

import json
import pickle
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner import disk
from sinoner.measurements import TypeCount
from sinoner.quality.proposals import Merge, is_uninformative, propose
from sinoner.quality.synonyms import key, table
from sinoner.quality.types import EXAMPLES, Inventory, TypeMap, synonyms
from sinoner.records import Annotation, Annotator, Entity, Passage

SHARED = Path(__file__).resolve().parents[3] / "shared"


def annotation(number: int, *entities: tuple[str, ...], lang: str = "zh") -> Annotation:
    """A passage of the surfaces; an entity is (surface, type) or (surface, type, original type)."""
    parts: list[Entity] = []
    text = ""
    for surface, kind, *said in entities:
        original = said[0] if said else None
        parts.append(Entity(surface=surface, type=kind, starts=(len(text),), original_type=original))
        text += surface + "，"
    passage = Passage(id=f"p#{number}", text=text or "无", source="s", lang=lang)  # type: ignore[arg-type]
    return Annotation(
        passage=passage, entities=tuple(parts), by=Annotator(source="llm", model="m", prompt="p")
    )


def count(name: str, mentions: int, *examples: str, lang: str = "zh") -> TypeCount:
    return TypeCount(lang=lang, type=name, mentions=mentions, passages=mentions, examples=examples)


# the inventory -------------------------------------------------------------------------------------------------

ENTITY = st.tuples(
    st.sampled_from(["北京", "上海", "张伟", "Apple", "苹果"]),
    st.sampled_from(["人名", "地点", "公司", "水果"]),
    st.sampled_from([(), ("人物",), ("地名",)]),
).map(lambda e: (e[0], e[1], *e[2]))
PASSAGES = st.lists(st.tuples(st.lists(ENTITY, max_size=6), st.sampled_from(["zh", "en"])), max_size=12)


@given(PASSAGES)
def test_inventory_equals_brute_force(passages: list[tuple[list[tuple[str, ...]], str]]) -> None:
    given_ = [annotation(i, *entities, lang=lang) for i, (entities, lang) in enumerate(passages)]
    inventory = Inventory()
    for a in given_:
        inventory.add(a)
    result = inventory.result()

    carried: dict[tuple[str, str], set[str]] = defaultdict(set)
    mentions: dict[tuple[str, str], list[tuple[int, str, str | None]]] = defaultdict(list)
    for i, a in enumerate(given_):
        for e in a.entities:
            place = (a.passage.lang, e.type)
            carried[a.passage.lang, e.surface].add(e.type)
            if not any(n == i and s == e.surface for n, s, _ in mentions[place]):
                mentions[place].append((i, e.surface, e.original_type))
    assert {(t.lang, t.type) for t in result.types} == set(mentions)
    for t in result.types:
        mine = mentions[t.lang, t.type]
        surfaces = list(dict.fromkeys(s for _, s, _ in mine))
        shaky = [s for s in surfaces if len(carried[t.lang, s]) > 1]
        others = Counter(o for s in shaky for o in carried[t.lang, s] - {t.type})
        assert t.mentions == len(mine)
        assert t.passages == len({n for n, _, _ in mine})
        assert list(t.examples) == surfaces[:EXAMPLES]
        assert dict(t.variants) == Counter(o for _, _, o in mine if o is not None)
        assert t.unstable == len(shaky) / len(surfaces)
        assert list(t.others) == sorted(others, key=lambda o: (-others[o], o))
    assert result.surfaces == len(carried)
    for lang in ("zh", "en"):
        names = [k for k in mentions if k[0] == lang]
        assert result.after.get(lang, 0) == len(names)
        assert result.singletons.get(lang, 0) == sum(len(mentions[k]) == 1 for k in names)
        said = {o or k[1] for k in names for _, _, o in mentions[k]}
        assert result.before.get(lang, 0) == len(said)


def test_inventory_is_ordered_by_mentions_and_counts_every_mention() -> None:
    passages = [annotation(i, ("北京", "地点"), (f"人{i}", "人名"), ("京东", "公司")) for i in range(3)]
    passages.append(annotation(3, ("上海", "地点")))
    inventory = Inventory()
    for a in passages:
        inventory.add(a)
    result = inventory.result()
    assert {t.type: t.mentions for t in result.types} == Counter(e.type for a in passages for e in a.entities)
    assert [t.type for t in result.types] == ["地点", "人名", "公司"]


def many(n: int) -> list[Annotation]:
    rng = random.Random(5)
    kinds = [f"类{k}" for k in range(6)]
    return [
        annotation(i, *((f"面{rng.randrange(n)}", rng.choice(kinds)) for _ in range(5))) for i in range(n)
    ]


def test_sample_is_bounded_and_does_not_depend_on_the_order() -> None:
    passages = many(3000)
    results = []
    for order in (passages, passages[::-1]):
        inventory = Inventory(sample=500)
        for a in order:
            inventory.add(a)
            held = inventory._langs["zh"].held
            assert sum(1 if isinstance(k, str) else len(k) for k in held.values()) <= 500
        results.append(inventory.result())
    assert 0 < results[0].surfaces <= 500
    unstable = [{t.type: (t.unstable, t.others) for t in r.types} for r in results]
    assert unstable[0] == unstable[1]


def test_sampled_instability_estimates_the_true_one() -> None:
    full, sampled = Inventory(), Inventory(sample=2000)
    for a in many(3000):
        full.add(a)
        sampled.add(a)
    assert sampled.result().surfaces < full.result().surfaces / 3
    true = {t.type: t.unstable for t in full.result().types}
    for t in sampled.result().types:
        assert t.unstable == pytest.approx(true[t.type], abs=0.07)


def test_an_empty_run_has_an_empty_inventory() -> None:
    inventory = Inventory()
    inventory.add(annotation(0))
    assert inventory.result().types == ()
    assert inventory.result().before == {}


# maps of names -------------------------------------------------------------------------------------------------

NAMES = TypeMap({"zh": {"人物": "人名", "PERSON": "人名"}, "en": {"人名": "person"}})


@pytest.mark.parametrize(
    "said", ["人物", " 人物", "人 物", "PERSON", "person", "Ｐｅｒｓｏｎ", "per-son", "人名"]
)
def test_names_are_found_whatever_case_width_and_spaces(said: str) -> None:
    assert NAMES.canonical(said, "zh") == "人名"


def test_unknown_names_stay_and_languages_are_apart() -> None:
    assert NAMES.canonical("地点", "zh") == "地点"
    assert NAMES.find("地点", "zh") is None
    assert NAMES.canonical("人物", "en") == "人物"
    assert NAMES.canonical("人名", "en") == "person"


def test_apply_renames_and_remembers_what_was_said() -> None:
    given_ = annotation(0, ("张伟", "人物"), ("北京", "地点"), ("李娜", "PERSON", "human"))
    for _ in range(2):  # the second time from memory
        renamed = NAMES.apply(given_)
        assert [(e.type, e.original_type) for e in renamed.entities] == [
            ("人名", "人物"),
            ("地点", None),
            ("人名", "human"),
        ]
        assert renamed.entities[1] is given_.entities[1]
        assert disk.parse(disk.line(renamed), Annotation) == renamed


def test_apply_gives_back_the_same_object_when_nothing_changes() -> None:
    for given_ in (annotation(0, ("张伟", "人名"), ("北京", "地点")), annotation(1)):
        assert NAMES.apply(given_) is given_
        assert NAMES.apply(given_) is given_


def test_a_map_can_be_sent_to_another_process() -> None:
    again = pickle.loads(pickle.dumps(NAMES.apply))
    assert again(annotation(0, ("张伟", "人物"))).entities[0].type == "人名"


# the shipped table ---------------------------------------------------------------------------------------------


def test_every_name_stands_under_one_type_only() -> None:
    owners: dict[str, list[str]] = defaultdict(list)
    for name, entry in table().items():
        for said in entry.names:
            assert said == said.strip()
            owners[key(said)].append(f"{name}: {said}")
    assert not [where for where in owners.values() if len(where) > 1]
    assert not any(is_uninformative(said, ()) for entry in table().values() for said in entry.names)
    assert len(table()) >= 100


def test_table_gives_each_language_its_name() -> None:
    assert synonyms().canonical("PERSON", "zh") == "人名"
    assert synonyms().canonical("人物", "en") == "person"
    assert {synonyms().canonical(name, "zh") for name in ("人物", "姓名", "Person Name", "PER")} == {"人名"}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("公司", "组织机构"),
        ("地点", "国家"),
        ("地点", "城市"),
        ("人名", "人物泛称"),
        ("日期", "时间"),
        ("战争", "战役"),
    ],
)
def test_table_keeps_apart_what_differs(a: str, b: str) -> None:
    assert synonyms().canonical(a, "zh") != synonyms().canonical(b, "zh")


def test_table_keeps_the_types_of_a_benchmark_apart() -> None:
    """Aligning types must not join two types that one and the same benchmark tells apart."""
    files = sorted((SHARED / "data" / "benchmarks").glob("*/labels.json"))
    if not files:
        pytest.skip("no shared data")
    for file in files:
        labels = json.loads(file.read_text(encoding="utf-8"))
        for lang in ("zh", "en"):
            canonical = {synonyms().canonical(name, lang) for name in labels.values()}
            assert len(canonical) == len(set(labels.values())), file


# proposals -----------------------------------------------------------------------------------------------------

NONE = TypeMap({})
PLACES = {"人名": (1.0, 0.0), "人物": (0.999, 0.045), "姓名": (0.995, 0.1), "地点": (0.0, 1.0)}


def encode(texts: Sequence[str]) -> np.ndarray:
    """Vectors of known texts; whatever else is asked for lies on a third axis."""
    rows = [(*PLACES[t], 0.0) if t in PLACES else (0.0, 0.0, 1.0) for t in texts]
    vectors = np.array(rows, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pairs(merges: Sequence[Merge]) -> list[tuple[str, str, str]]:
    return [(m.variant, m.canonical, m.by) for m in merges]


def test_table_merges_whatever_is_most_frequent() -> None:
    counts = [count("人物", 9, "张伟"), count("PERSON", 2), count("地点", 3), count("person", 5, lang="en")]
    proposals = propose(counts, "zh", synonyms())
    assert pairs(proposals.merges) == [("人物", "人名", "table"), ("PERSON", "人名", "table")]
    assert proposals.merges[0].examples == ("张伟",)
    assert proposals.threshold is None
    assert pairs(propose(counts, "en", synonyms()).merges) == []


def test_spelling_goes_to_the_most_frequent_writing() -> None:
    counts = [count("widget_kind", 2), count("Widget Kind", 5), count("widget-kind", 1), count("gadget", 3)]
    assert pairs(propose(counts, "zh", NONE).merges) == [
        ("widget_kind", "Widget Kind", "spelling"),
        ("widget-kind", "Widget Kind", "spelling"),
    ]


def test_embeddings_merge_what_is_near_and_nothing_else() -> None:
    counts = [count("人物", 9), count("姓名", 5), count("人名", 2), count("地点", 4)]
    proposals = propose(counts, "zh", NONE, encode=encode, threshold=0.05)
    assert pairs(proposals.merges) == [("姓名", "人物", "cosine"), ("人名", "人物", "cosine")]
    assert proposals.threshold == 0.05
    assert proposals.merges[1].cosine == pytest.approx(0.6 * 0.999 + 0.4, abs=0.002)
    assert propose(counts, "zh", NONE, encode=encode, threshold=0.0001).merges == ()


def test_the_name_of_the_table_heads_a_cluster_though_it_is_rarer() -> None:
    known = TypeMap({"zh": {"人名": "人名"}})
    counts = [count("人物", 9), count("人名", 2), count("地点", 4)]
    assert pairs(propose(counts, "zh", known, encode=encode, threshold=0.05).merges) == [
        ("人物", "人名", "cosine")
    ]


def test_names_that_are_known_to_differ_are_never_clustered() -> None:
    known = TypeMap({"zh": {"人名": "人名", "姓名": "姓名"}})
    counts = [count("人名", 9), count("姓名", 5), count("人物", 4)]
    merges = propose(counts, "zh", known, encode=encode, threshold=1.9).merges
    assert [m.variant for m in merges] == ["人物"]


def test_spellings_follow_their_name_into_a_cluster() -> None:
    counts = [count("人名", 9), count("人物", 5), count("人 物", 2), count("地点", 1)]
    assert pairs(propose(counts, "zh", NONE, encode=encode, threshold=0.05).merges) == [
        ("人物", "人名", "cosine"),
        ("人 物", "人名", "spelling"),
    ]


def test_what_a_person_decided_stands() -> None:
    counts = [count("人名", 9), count("人物", 5), count("姓名", 2), count("PER", 1), count("PERS", 1)]
    given_ = {"角色人物": "角色人物", "人物": "角色人物", "人名": "名儿"}
    proposals = propose(counts, "zh", synonyms(), given=given_, apart=["PERS"])
    assert pairs(proposals.merges) == [("姓名", "名儿", "table"), ("PER", "名儿", "table")]


def test_what_is_apart_is_neither_a_variant_nor_gets_any() -> None:
    counts = [count("公司", 9), count("企业", 5), count("人名", 1)]
    assert pairs(propose(counts, "zh", synonyms()).merges) == [("企业", "公司", "table")]
    assert propose(counts, "zh", synonyms(), apart=["公司"]).merges == ()


@pytest.mark.parametrize("name", ["其他", " Entity ", "概念", "这是一个句子。", "-", "term"])
def test_types_that_say_nothing_take_no_part(name: str) -> None:
    assert is_uninformative(name, ["其他", "entity"])
    twice = [count(name, 9), count(f"{name} ", 2)]
    assert propose(twice, "zh", NONE, stop_types=["其他", "entity"]).merges == ()


def test_real_types_take_part() -> None:
    assert not any(is_uninformative(name, ["其他"]) for name in ("人名", "person", "其他专有名词"))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "人名",
                    "人物",
                    "姓名",
                    "PER",
                    "p e r",
                    "地点",
                    "地名",
                    "widget",
                    "Widget",
                    "W-idget",
                    "其他",
                ]
            ),
            st.integers(1, 9),
        ),
        unique_by=lambda pair: pair[0],
    ),
    st.floats(0.001, 1.5),
)
def test_proposals_are_consistent(rows: list[tuple[str, int]], threshold: float) -> None:
    counts = [count(name, mentions) for name, mentions in rows]
    merges = propose(counts, "zh", synonyms(), encode=encode, threshold=threshold, stop_types=["其他"]).merges
    variants = [m.variant for m in merges]
    assert len(set(variants)) == len(variants)
    assert not {m.canonical for m in merges} & set(variants)
    assert set(variants) <= {name for name, _ in rows}
    assert (
        propose(
            counts[::-1], "zh", synonyms(), encode=encode, threshold=threshold, stop_types=["其他"]
        ).merges
        == merges
    )
