"""Hard negatives: near the passage's own types, never one of them, never one that a mention has elsewhere."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sinoner.itset.hard_negatives import Drawn, HardNegatives, Labels
from sinoner.itset.negatives import EMPTY_NEGATIVES, NegativeSampler
from sinoner.records import Annotation, Annotator, Entity, Passage
from sinoner.settings.itset_section import MISC_TYPES

RARE = {f"生僻{i}": 1 for i in range(30)}
FREQUENCY = {"公司": 50, "企业": 20, "人名": 40, "城市": 25, "品牌": 10, "机构": 9, **RARE}


def annotation(*pairs: tuple[str, str], id: str = "p#0") -> Annotation:
    surfaces = list(dict.fromkeys(s for s, _ in pairs))
    text = "，".join(surfaces) or "无"
    entities = tuple(Entity(surface=s, type=t, starts=(text.index(s),)) for s, t in pairs)
    return Annotation(
        passage=Passage(id=id, text=text, source="s", lang="zh"),
        entities=entities,
        by=Annotator(source="llm", model="m", prompt="p"),
    )


def hard(
    similar: dict[str, list[str]], labels: Labels | None = None, chance: float = 1.0, **sampler: object
) -> HardNegatives:
    made = NegativeSampler(FREQUENCY, 1.0, **sampler)  # type: ignore[arg-type]
    return HardNegatives(made, chance, similar, labels or Labels(), 42)


def draws(source: HardNegatives, of: Annotation, examples: Sequence[Annotation] = ()) -> list[Drawn]:
    """What is drawn for the same entities in sixty passages."""
    passages = [replace(of.passage, id=f"p{i}#0") for i in range(60)]
    return [source.draw(replace(of, passage=p), examples, Random(f"42:{p.id}")) for p in passages]


def types(drawn: Sequence[Drawn]) -> set[str]:
    return {t for d in drawn for t in d.types}


def test_a_similar_type_takes_the_place() -> None:
    of = annotation(("华为", "公司"))
    drawn = draws(hard({"公司": ["品牌", "机构"], "人名": ["城市"]}), of)
    assert types(drawn) == {"品牌", "机构"}
    assert all(d == Drawn(d.types, 1, 0, 0) and len(d.types) == 1 for d in drawn)


def test_a_type_of_the_examples_takes_the_place() -> None:
    of = annotation(("华为", "公司"))
    examples = (annotation(("深圳", "城市"), ("中兴", "公司")), annotation(("任正非", "人名")))
    drawn = draws(hard({}), of, examples)
    assert types(drawn) == {"城市", "人名"}
    assert all((d.hard_similar, d.hard_examples, d.hard_missing) == (0, 1, 0) for d in drawn)


def test_both_sources_have_the_same_chance() -> None:
    of = annotation(("华为", "公司"))
    source = hard({"公司": list(RARE)})
    drawn = [d for i in range(20) for d in draws(source, of, (annotation(("深圳", "城市")),))][:60]
    assert 15 < sum(d.hard_similar for d in drawn) < 45  # binomial(60, 1/2): standard deviation 3.9
    assert sum(d.hard_similar + d.hard_examples for d in drawn) == 60


def test_every_type_of_a_source_has_the_same_chance() -> None:
    names = list(RARE)[:5]
    source = hard({"公司": names})
    of = annotation(("华为", "公司"))
    counts = Counter(
        source.draw(replace(of, passage=replace(of.passage, id=f"q{i}")), (), Random(i)).types[0]
        for i in range(2000)
    )
    assert sum((counts[t] - 400) ** 2 / 400 for t in names) < 18.47  # chi-square, 4 d.f., p = 0.001


def test_falls_back_to_frequency_when_none_is_left() -> None:
    of = annotation(("华为", "公司"), ("深圳", "城市"), ("任正非", "人名"))
    by_frequency = NegativeSampler(FREQUENCY, 1.0)
    source = hard({"公司": ["品牌", "城市"]})
    for drawn in draws(source, of):
        assert (drawn.hard_similar, drawn.hard_examples, drawn.hard_missing) == (1, 0, 2)
    drawn = source.draw(of, (), Random("x"))
    assert set(drawn.types) - {"品牌"} < set(by_frequency.draw(["公司", "城市", "人名"], Random("x")))


def test_what_is_not_replaced_stays() -> None:
    of = annotation(*((f"名{i}", f"生僻{i}") for i in range(8)))
    source = hard({"生僻0": ["品牌"], "生僻3": ["机构"]}, chance=0.3)
    unlike = 0
    for i in range(40):
        passage = replace(of.passage, id=f"p{i}")
        plain = NegativeSampler(FREQUENCY, 1.0).draw([e.type for e in of.entities], Random(i))
        drawn = source.draw(replace(of, passage=passage), (), Random(i))
        assert len(drawn.types) == len(plain)
        assert set(drawn.types) - set(plain) <= {"品牌", "机构"}
        assert drawn.hard_similar <= 2
        unlike += set(drawn.types) != set(plain)
    assert unlike > 10


@given(st.integers(), st.integers(0, 6))
def test_without_hard_ones_it_is_the_sampler(seed: int, positives: int) -> None:
    of = annotation(*((f"名{i}", f"生僻{i}") for i in range(positives)))
    source = hard({f"生僻{i}": ["品牌"] for i in range(6)}, chance=0.0)
    mine, its = Random(seed), Random(seed)
    drawn = source.draw(of, (annotation(("深圳", "城市")),), mine)
    assert drawn == Drawn(tuple(NegativeSampler(FREQUENCY, 1.0).draw([e.type for e in of.entities], its)))
    assert mine.random() == its.random()


def test_the_limit_holds() -> None:
    of = annotation(("华为", "公司"), ("深圳", "城市"), ("任正非", "人名"))
    source = hard({"公司": ["品牌", "机构", "企业"]}, max_negatives=2)
    assert all(len(d.types) == 2 == d.hard_similar for d in draws(source, of))
    assert draws(hard({"公司": ["品牌"]}, max_negatives=0), of) == [Drawn(())] * 60


def test_neither_own_nor_misc_nor_unknown_types() -> None:
    of = annotation(("华为", "公司"), ("深圳", "城市"))
    similar = {"公司": ["城市", "公司", "公司 ", "其他", "外星", "品牌"], "城市": ["Ｃity"]}
    made = NegativeSampler({**FREQUENCY, "公司 ": 9, "其他": 9, "Ｃity": 9}, 1.0, misc_types=MISC_TYPES)
    drawn = draws(HardNegatives(made, 1.0, similar, Labels(), 1), of)
    assert {t for d in drawn for t in d.types[: d.hard_similar] if d.hard_similar == 2} == {"品牌", "Ｃity"}
    of = annotation(("Paris", "city"))
    assert types(draws(HardNegatives(made, 1.0, {"city": ["Ｃity", "品牌"]}, Labels(), 1), of)) == {"品牌"}


def test_not_a_type_that_the_mention_has_elsewhere() -> None:
    """Huawei is a 公司 here and an 企业 there: asking for 企业 here would teach a wrong answer."""
    elsewhere = annotation(("华为", "企业"), ("海尔", "企业"), ("长虹", "企业"), ("格力", "企业"))
    of = annotation(("华为", "公司"), ("中兴", "公司"), ("小米", "公司"))
    similar = {"公司": ["企业", "品牌"]}
    assert types(draws(hard(similar, Labels([elsewhere, of])), of)) == {"品牌"}
    assert types(draws(hard({}, Labels([elsewhere, of])), of, (elsewhere, annotation(("x", "品牌"))))) == {
        "品牌"
    }
    other = annotation(("中兴", "公司"))
    assert types(draws(hard(similar, Labels([elsewhere, of])), other)) == {"企业", "品牌"}
    # A passage set aside is not among the labels; what its mention is called in training counts all the same.
    assert types(draws(hard(similar, Labels([elsewhere])), of)) == {"品牌"}


def test_not_another_name_of_an_own_type() -> None:
    """Half of the surfaces of 企业 are 公司, too: it is the same thing in every passage."""
    labels = Labels(
        [
            annotation(("华为", "公司"), ("中兴", "公司"), ("小米", "公司")),
            annotation(("华为", "企业"), ("海尔", "企业")),
        ]
    )
    of = annotation(("小米", "公司"))
    assert types(draws(hard({"公司": ["企业", "品牌"]}, labels), of)) == {"品牌"}
    assert labels.same("公司", "企业")
    labels.add(annotation(("长虹", "企业")))  # a third of them is less than half
    assert not labels.same("公司", "企业")
    assert types(draws(hard({"公司": ["企业", "品牌"]}, labels), of)) == {"企业", "品牌"}


def test_a_passage_without_entities() -> None:
    nothing = annotation()
    drawn = draws(hard({"公司": ["品牌"]}), nothing, (annotation(("深圳", "城市"), ("任正非", "人名")),))
    for d in drawn:
        assert len(d.types) == len(set(d.types)) == EMPTY_NEGATIVES
        assert {"城市", "人名"} < set(d.types)
        assert (d.hard_similar, d.hard_examples, d.hard_missing) == (0, 2, 1)


def test_labels_know_a_surface_in_every_writing() -> None:
    labels = Labels([annotation(("GPT-4", "产品"), ("深圳", "城市")), annotation(("ｇｐｔ－４", "模型"))])
    assert labels.of("gpt-4") == {"产品", "模型"}
    assert labels.of("深圳") == {"城市"}
    assert labels.of("广州") == frozenset()
    assert len(labels) == 2
    assert not Labels().same("公司", "企业")
    assert Labels().same("Company", "company ")


_PAIRS = st.lists(
    st.lists(st.tuples(st.sampled_from("甲乙丙丁戊己"), st.sampled_from(list(FREQUENCY)[:6])), max_size=6),
    max_size=8,
)


def _same(data: list[list[tuple[str, str]]], a: str, b: str) -> bool:
    """Sets of surfaces by type, compared directly."""
    of_a, of_b = ({s for pairs in data for s, t in pairs if t == x} for x in (a, b))
    return a == b or (bool(of_a and of_b) and 2 * len(of_a & of_b) >= min(len(of_a), len(of_b)))


@given(_PAIRS)
def test_labels_against_plain_sets(data: list[list[tuple[str, str]]]) -> None:
    labels = Labels(annotation(*pairs) for pairs in data)
    for surface in "甲乙丙丁戊己":
        assert labels.of(surface) == {t for pairs in data for s, t in pairs if s == surface}
    for a, b in combinations(list(FREQUENCY)[:6], 2):
        assert labels.same(a, b) == labels.same(b, a) == _same(data, a, b)


@given(
    _PAIRS,
    st.dictionaries(st.sampled_from(list(FREQUENCY)[:6]), st.lists(st.sampled_from(list(FREQUENCY)[:6]))),
)
def test_a_hard_negative_is_never_a_possible_type(
    data: list[list[tuple[str, str]]], similar: dict[str, list[str]]
) -> None:
    """Whatever stands in the place of a drawn type has come through every rule, checked with plain sets."""
    labels = Labels(annotation(*pairs) for pairs in data)
    sampler = NegativeSampler(FREQUENCY, 1.0)
    for i, pairs in enumerate(data):
        of = annotation(*pairs, id=f"p{i}")
        example = annotation(*data[i - 1])
        own = [t for _, t in dict.fromkeys(pairs)]
        plain = sampler.draw(list(dict.fromkeys(own)), Random(i))
        drawn = HardNegatives(sampler, 1.0, similar, labels, 7).draw(of, (example,), Random(i))
        assert len(drawn.types) == len(set(drawn.types)) == len(plain)
        assert drawn.hard_similar + drawn.hard_examples + drawn.hard_missing == len(plain)
        sources = {t for p in own for t in similar.get(p, ())} | {t for _, t in data[i - 1]}
        carried = {t for row in data for s, t in row if s in {x for x, _ in pairs}}
        for new in drawn.types[: drawn.hard_similar + drawn.hard_examples]:
            assert new in sources - carried
            assert not any(_same(data, new, p) for p in own)
        assert set(drawn.types[drawn.hard_similar + drawn.hard_examples :]) <= set(plain)


def test_the_same_in_every_order_and_process() -> None:
    """Pinned: neither the order of the annotations nor the process's string hashes have a say."""
    rows = [
        annotation((f"名{i}", f"生僻{i % 7}"), (f"名{i + 1}", f"生僻{i % 5}"), id=f"p{i}") for i in range(20)
    ]
    similar = {f"生僻{i}": [f"生僻{(i + j) % 30}" for j in range(1, 8)] for i in range(7)}
    made = []
    for order in (rows, rows[::-1]):
        source = hard(similar, Labels(order), chance=0.5)
        found = {x.passage.id: source.draw(x, (rows[3],), Random(x.passage.id)).types for x in order}
        made.append([found[x.passage.id] for x in rows])
    assert made[0] == made[1]
    assert made[0][:8] == [
        ("生僻7",),
        ("生僻3",),
        ("生僻5",),
        ("生僻9",),
        ("生僻8",),
        ("品牌", "公司"),
        ("生僻12", "城市"),
        ("生僻9", "生僻8"),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_the_seed_decides(seed: int) -> None:
    of = annotation(*((f"名{i}", f"生僻{i}") for i in range(6)))
    similar = {f"生僻{i}": [f"生僻{i + j}" for j in range(6, 20)] for i in range(6)}
    sampler = NegativeSampler(FREQUENCY, 1.0)
    one, again, other = (
        HardNegatives(sampler, 1.0, similar, Labels(), s).draw(of, (), Random(1))
        for s in (seed, seed, seed + 1)
    )
    assert one == again != other
