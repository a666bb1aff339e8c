"""Annotations of a run against gold: finding the texts, scoring the layers, the stage and the gate."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from small_runs import named

from sinoner import disk
from sinoner import recipe as recipes
from sinoner.commands import run_recipe as runs
from sinoner.commands.check import problems
from sinoner.errors import BelowRequirementError, InputError
from sinoner.formats.gold_files import write_gold
from sinoner.measurements import GoldScores
from sinoner.quality.types import synonyms
from sinoner.records import HUMAN, Annotation, Annotator, Entity, Passage, Reject
from sinoner.run.manifest import Manifest
from sinoner.run.screen import Screen
from sinoner.score.places import Place, locate
from sinoner.settings import Recipe
from sinoner.stages import gold_scores

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "benchmarks" / "boson"

MODEL = Annotator(source="model", model="m")


def passage(id: str, text: str) -> Passage:
    return Passage(id=id, text=text, source="s", lang="zh", document=id.rpartition("#")[0])


def labelled(id: str, text: str, *mentions: tuple[str, str], by: Annotator = MODEL) -> Annotation:
    """A passage with all occurrences of some mentions."""
    entities = tuple(
        Entity(surface=s, type=t, starts=tuple(i for i in range(len(text)) if text.startswith(s, i)))
        for s, t in mentions
    )
    return Annotation(passage=passage(id, text), entities=entities, by=by)


def a_run(folder: Path, passages: Iterable[Passage], **layers: Iterable[Annotation]) -> Path:
    """A run folder with passages and layers of annotations."""
    disk.write_records(folder / "passages.jsonl", passages)
    for layer, annotations in layers.items():
        disk.write_records(folder / f"{layer}.jsonl", annotations)
    return folder


def gold_of(folder: Path, *annotations: Annotation) -> Any:
    write_gold(folder / "hand" / "test.jsonl", annotations)
    return gold_scores.load(str(folder / "hand"))


def score(given: Path, gold: Any, **more: Any) -> gold_scores.Compared:
    return gold_scores.score_layers(given, gold, more.pop("canonical", None), 50, 42, **more)


def figures(scores: GoldScores) -> dict[str, tuple[int, int, float]]:
    return {s.scheme: (s.gold, s.predicted, s.correct) for s in scores.scores}


def counts(scores: GoldScores) -> tuple[int, int, int, int, int]:
    return scores.passages, scores.scored, scores.missing, scores.dropped, scores.partly


# finding the texts -------------------------------------------------------------------------------------------------


@given(st.text("甲乙 \n。", min_size=1, max_size=30).filter(str.strip), st.data())
def test_a_document_is_found_however_it_was_cut(text: str, data: st.DataObject) -> None:
    """Wherever the cuts and whatever outer white space: the places hold the characters they point at."""
    before, after = data.draw(st.text(" \n", max_size=2)), data.draw(st.text(" \n", max_size=2))
    whole = before + text + after
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(whole) - 1)), max_size=4)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True) if whole[a:b]]
    run = [passage(f"d#{n}", chunk) for n, chunk in enumerate(chunks)]
    other = [passage("c#0", "丙"), passage("e#0", "丁")]
    places = locate([labelled("g", text)], [other[0], *run, other[1]])
    assert set(places.chunks) == {0}
    padded = dict(enumerate(text))
    for chunk in run:
        for number, begin, end in places.of.get(chunk.id, ()):
            assert number == 0
            assert end - begin == len(chunk.text)
            assert all(padded.get(begin + i, c) == c for i, c in enumerate(chunk.text))
    assert not places.repeated


def test_a_text_may_be_a_chunk_and_its_document_another_gold_text() -> None:
    gold = [labelled("whole", "甲乙。丙丁。"), labelled("half", "丙丁。")]
    places = locate(gold, [passage("d#0", "甲乙。"), passage("d#1", "丙丁。")])
    assert places.of == {"d#0": [Place(0, 0, 3)], "d#1": [Place(1, 0, 3), Place(0, 3, 6)]}
    assert places.chunks == {1: 1, 0: 2}


def test_chunks_of_different_documents_are_not_joined() -> None:
    assert not locate(
        [labelled("g", "甲乙。丙丁。")], [passage("a#0", "甲乙。"), passage("b#1", "丙丁。")]
    ).chunks
    assert not locate(
        [labelled("g", "甲乙。丙丁。")], [passage("a#0", "甲乙。"), passage("a#1", "丙。")]
    ).chunks


def test_of_equal_texts_in_the_run_the_first_counts() -> None:
    places = locate([labelled("g", "甲乙。")], [passage("a#0", "甲乙。"), passage("b#0", "甲乙。 ")])
    assert places.of == {"a#0": [Place(0, 0, 3)]}
    assert list(places.repeated) == [0]


# scoring -----------------------------------------------------------------------------------------------------------


def test_layers_missing_and_dropped(tmp_path: Path) -> None:
    texts = ["张伟在北京。", "李娜在上海。", "王强在广州。"]
    run = [passage(f"d{i}#0", t) for i, t in enumerate(texts)]
    gold = gold_of(
        tmp_path,
        labelled("g0", texts[0], ("张伟", "人名"), ("北京", "地点")),
        labelled("g1", texts[1], ("李娜", "人名"), ("上海", "地点")),
        labelled("g2", texts[2], ("王强", "人名")),
        labelled("g3", "赵敏在成都。", ("赵敏", "人名")),
    )
    annotated = [
        labelled("d0#0", texts[0], ("张伟", "人名"), ("北京", "组织")),
        labelled("d1#0", texts[1], ("李娜", "人名")),
    ]
    found = score(a_run(tmp_path / "run", run, annotations=annotated, filtered=annotated[:1]), gold)
    first, second = found.scores
    assert (first.layer, counts(first)) == ("annotations", (4, 2, 1, 1, 0))
    assert (second.layer, counts(second)) == ("filtered", (4, 1, 1, 2, 0))
    assert figures(first) == {"strict": (4, 3, 2), "span": (4, 3, 3), "type": (4, 3, 2), "relaxed": (4, 3, 3)}
    assert figures(second)["strict"] == (2, 2, 1)
    assert (first.gold, first.digest) == (gold.name, gold.digest) == ("hand", first.digest)
    assert [(r.id, r.reason) for r in found.rejects] == [
        ("g1", "not_annotated"), ("g2", "not_annotated"), ("g3", "not_in_run"),
    ]  # fmt: skip
    assert {t.type: (t.gold, t.predicted, t.correct) for t in first.types} == {
        "人名": (2, 2, 2), "地点": (2, 0, 0), "组织": (0, 1, 0),
    }  # fmt: skip


def test_a_failed_passage_is_not_one_without_entities(tmp_path: Path) -> None:
    run = [passage("a#0", "张伟在北京。"), passage("b#0", "李娜在上海。")]
    gold = gold_of(
        tmp_path, labelled("x", run[0].text, ("张伟", "人名")), labelled("y", run[1].text, ("李娜", "人名"))
    )
    empty = score(a_run(tmp_path / "empty", run, annotations=[labelled("a#0", run[0].text)]), gold)
    assert figures(empty.scores[0])["strict"] == (1, 0, 0)
    assert counts(empty.scores[0]) == (2, 1, 0, 1, 0)


def test_mentions_of_chunks_are_shifted_and_a_cut_gold_mention_still_counts(tmp_path: Path) -> None:
    chunks = ["张伟去了北京", "大学。张伟走了。"]
    gold = gold_of(
        tmp_path, labelled("g", "".join(chunks), ("张伟", "人名"), ("北京大学", "组织"))
    )  # fmt: skip
    run = [passage(f"d#{n}", t) for n, t in enumerate(chunks)]
    annotated = [
        labelled("d#1", chunks[1], ("张伟", "人名")),
        labelled("d#0", chunks[0], ("张伟", "人名"), ("北京", "组织")),
    ]
    found = score(a_run(tmp_path / "run", run, annotations=annotated), gold).scores[0]
    assert figures(found) == {
        "strict": (3, 3, 2),
        "span": (3, 3, 2),
        "type": (3, 3, 3),
        "relaxed": (3, 3, 2.5),
    }
    assert counts(found) == (1, 1, 0, 0, 0)


def test_of_a_document_with_a_dropped_chunk_only_the_rest_is_compared(tmp_path: Path) -> None:
    chunks = ["张伟去了北京", "大学。李娜走了。", "王强也走了。"]
    gold = gold_of(
        tmp_path,
        labelled(
            "g", "".join(chunks), ("张伟", "人名"), ("北京大学", "组织"), ("李娜", "人名"), ("王强", "人名")
        ),
    )
    run = [passage(f"d#{n}", t) for n, t in enumerate(chunks)]
    annotated = [labelled("d#1", chunks[1], ("李娜", "人名")), labelled("d#2", chunks[2])]
    found = score(a_run(tmp_path / "run", run, annotations=annotated), gold).scores[0]
    assert figures(found)["strict"] == (
        3,
        1,
        1,
    )  # the mention that the cut goes through counts, 张伟 does not
    assert counts(found) == (1, 1, 0, 0, 1)


def test_outer_white_space_shifts_the_mentions(tmp_path: Path) -> None:
    gold = gold_of(tmp_path, labelled("g", "  张伟在北京。", ("北京", "地点")))
    run = [passage("d#0", "\n张伟在北京。\n")]
    annotated = [labelled("d#0", run[0].text, ("北京", "地点"))]
    assert figures(score(a_run(tmp_path / "run", run, annotations=annotated), gold).scores[0])["strict"] == (
        1,
        1,
        1,
    )


def test_a_file_of_annotations_brings_its_own_passages(tmp_path: Path) -> None:
    gold = gold_of(tmp_path, labelled("g", "张伟在北京。李娜在上海。", ("张伟", "人名"), ("李娜", "人名")))
    annotated = [labelled("d#0", "张伟在北京。", ("张伟", "人名")), labelled("d#1", "李娜在上海。")]
    disk.write_records(tmp_path / "mine.jsonl", annotated)
    disk.write_records(tmp_path / "filtered.jsonl", annotated)
    (found,) = score(tmp_path / "mine.jsonl", gold).scores
    assert (found.layer, figures(found)["strict"]) == ("annotations", (2, 1, 1))
    assert score(tmp_path / "filtered.jsonl", gold).scores[0].layer == "filtered"


def test_types_through_the_table_of_synonyms(tmp_path: Path) -> None:
    gold = gold_of(tmp_path, labelled("g", "张伟在北京。", ("张伟", "人名"), ("北京", "地点名称")))
    run = [passage("d#0", "张伟在北京。")]
    folder = a_run(
        tmp_path / "run", run, annotations=[labelled("d#0", run[0].text, ("张伟", "人物"), ("北京", "地点"))]
    )
    raw = score(folder, gold).scores[0]
    assert (figures(raw)["strict"], raw.aligned) == ((2, 2, 0), False)
    aligned = score(folder, gold, canonical=synonyms().canonical).scores[0]
    assert (figures(aligned)["strict"], aligned.aligned) == ((2, 2, 2), True)
    assert [t.type for t in aligned.types] == ["人名", "地点名称"]


def test_what_the_judge_left_belongs_to_the_run_only_where_there_is_a_judge(tmp_path: Path) -> None:
    run = [passage("d#0", "张伟在北京。")]
    gold = gold_of(tmp_path, labelled("g", run[0].text, ("张伟", "人名")))
    annotated = [labelled("d#0", run[0].text, ("张伟", "人名"))]
    folder = a_run(tmp_path / "run", run, annotations=annotated, filtered=annotated, verified=annotated)
    assert [s.layer for s in score(folder, gold).scores] == ["annotations", "filtered", "verified"]
    assert [s.layer for s in score(folder, gold, verify=False).scores] == ["annotations", "filtered"]


def test_what_makes_the_figures_doubtful_is_told(tmp_path: Path) -> None:
    run = [passage("a#0", "张伟在北京。"), passage("b#0", "张伟在北京。"), passage("c#0", "李娜。")]
    write_gold(
        tmp_path / "hand/test.jsonl",
        [
            labelled("g0", "张伟在北京。", ("张伟", "人名"), ("北京", "地名")),
            labelled("g1", "张伟在北京。", ("张伟", "姓名")),
            labelled("g2", "李娜。", ("李娜", "人名")),
            labelled("g3", "上海。", ("上海", "地点")),
        ],
    )
    run.append(passage("d#0", "上海。"))
    annotated = [
        labelled("a#0", "张伟在北京。", ("张伟", "人名"), by=HUMAN),
        labelled("c#0", "李娜。"),
        labelled("d#0", "上海。"),
    ]
    folder = a_run(tmp_path / "run", run, annotations=annotated)
    found = score(folder, gold_scores.load(str(tmp_path / "hand")), canonical=synonyms().canonical)
    said = "\n".join(found.notes)
    assert "1 of the 3 scored passages carry hand-made labels" in said
    assert "1 texts of hand stand in it once more" in said
    assert "1 gold texts stand in the run several times" in said
    assert "takes 地名 and 地点 of gold for one type" in said
    assert counts(found.scores[0]) == (3, 3, 0, 0, 0)


def test_no_gold_text_in_the_run_names_an_example_of_each(tmp_path: Path) -> None:
    gold = gold_of(tmp_path, labelled("g", "张伟在北京。", ("张伟", "人名")))
    folder = a_run(
        tmp_path / "run", [passage("d#0", "李娜在上海。")], annotations=[labelled("d#0", "李娜在上海。")]
    )
    with pytest.raises(
        InputError, match="none of the 1 texts of hand .* begins with “张伟在北京。”.*“李娜在上海。”"
    ):
        score(folder, gold)
    with pytest.raises(InputError, match="holds no annotations.jsonl"):
        score(tmp_path, gold)


# the stage and the gate --------------------------------------------------------------------------------------------

TEXTS = [
    "张伟在北京大学教书。他一九九九年来到上海。",
    "李娜去年在深圳工作，王强在广州的中国银行上班。",
    "刘洋和赵敏一起去了南京，又到了苏州。",
]
STAGES = ("chunk", "annotate", "filter", "gold", "split", "retrieve", "build-it-set")


@pytest.fixture
def hand(tmp_path: Path) -> Path:
    """Gold of two texts of the corpus and one that is not in it."""
    path = tmp_path / "hand.jsonl"
    write_gold(
        path,
        [
            labelled("h0", TEXTS[0], ("张伟", "人名"), ("北京大学", "组织"), ("上海", "地点")),
            labelled("h1", TEXTS[1], ("李娜", "人名"), ("深圳", "地点"), ("王强", "人名"), ("广州", "地点")),
            labelled("h2", "周杰在杭州。", ("周杰", "人名")),
        ],
    )
    return path


def recipe(tmp_path: Path, *overrides: str) -> Recipe:
    corpus = tmp_path / "corpus.jsonl"
    rows = [{"id": f"d{i}", "text": t} for i, t in enumerate(TEXTS)]
    corpus.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    tree = {
        "corpus": {"sources": str(corpus)},
        "annotate": {"by": "jieba"},
        "retrieve": {"strategy": "none"},
        "it_set": {"validation": 0},
        "evaluate": {"bootstrap": 50},
        "out": str(tmp_path / "run"),
    }
    return recipes.build(tree, overrides)


def execute(settings: Recipe, stages: tuple[str, ...] = STAGES) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    try:
        runs.execute(settings, named(*stages, "decontaminate"), Screen(console))
    except InputError as error:
        console.print(f"raised {type(error).__name__}: {error}", soft_wrap=True, markup=False)
    return console.export_text()


def kept(tmp_path: Path) -> list[GoldScores]:
    tree = json.loads((tmp_path / "run/quality/gold.json").read_text(encoding="utf-8"))
    assert tree["gold"] == "hand"
    return [GoldScores.model_validate(s) for s in tree["scores"]]


def test_without_gold_there_is_no_such_stage(tmp_path: Path) -> None:
    assert "gold: " not in execute(recipe(tmp_path))
    assert not (tmp_path / "run/quality/gold.json").exists()


def test_the_gate_is_open(tmp_path: Path, hand: Path) -> None:
    said = execute(
        recipe(tmp_path, f"filter.gold={hand}", "filter.require={gold_f1: 0.1, gold_span_f1: 0.1}")
    )
    assert "raised" not in said
    assert "gold: passages 3 in, 2 out, 1 rejected; rejected: 1 not_in_run" in said
    assert "2 of 3 gold passages scored (1 not in the run)" in said
    assert (tmp_path / "run/it_set/train.conversations.jsonl").is_file()
    layers = kept(tmp_path)
    assert [s.layer for s in layers] == ["annotations", "filtered"]
    assert all(counts(s) == (3, 2, 1, 0, 0) and s.aligned for s in layers)
    assert all(s.low is not None for layer in layers for s in layer.scores)
    (reject,) = disk.read_records(tmp_path / "run/rejects/gold.jsonl", Reject)
    assert (reject.id, reject.reason, reject.detail) == ("h2", "not_in_run", "周杰在杭州。")


def test_the_gate_is_closed(tmp_path: Path, hand: Path) -> None:
    settings = recipe(tmp_path, f"filter.gold={hand}", "filter.require={gold_f1: 1, gold_recall: 0.01}")
    said = execute(settings)
    f1 = kept(tmp_path)[-1].scores[0]
    assert (
        f"raised BelowRequirementError: filter.require: gold_f1 is {f1.f1:.2f} % [{f1.low:.1f}–{f1.high:.1f}], 100 %"
        in said
    )
    assert "filtered.jsonl against hand, 2 of 3 gold passages scored" in said
    assert "gold_recall" not in said
    assert "types that cost most: " in said
    assert (tmp_path / "run/report.html").is_file()
    assert not (tmp_path / "run/neighbours.jsonl").exists()
    assert set(Manifest(tmp_path / "run").entries) == {"chunk", "annotate", "filter", "gold"}
    again = execute(runs.of_folder(tmp_path / "run"))  # checked again, although nothing is scored again
    assert "gold: unchanged, skipped" in again
    assert "BelowRequirementError" in again
    assert "BelowRequirementError" in execute(
        settings, ("gold", "finetune")
    )  # the verb alone is stopped as well
    lowered = execute(recipe(tmp_path, f"filter.gold={hand}", "filter.require={gold_f1: 0.1}"))
    assert "raised" not in lowered
    assert (tmp_path / "run/it_set/train.conversations.jsonl").is_file()


@pytest.mark.parametrize(
    ("figure", "scheme", "value"),
    [
        ("gold_f1", "strict", "f1"),
        ("gold_precision", "strict", "precision"),
        ("gold_recall", "strict", "recall"),
        ("gold_span_f1", "span", "f1"),
        ("gold_type_f1", "type", "f1"),
        ("gold_relaxed_f1", "relaxed", "f1"),
    ],
)
def test_each_figure_is_the_one_it_says(tmp_path: Path, figure: str, scheme: str, value: str) -> None:
    from sinoner.stages.gold import check_requirements

    chunks = ["张伟在北京大学。", "李娜在上海市浦东。"]
    gold = gold_of(
        tmp_path,
        labelled("g0", chunks[0], ("张伟", "人名"), ("北京大学", "组织")),
        labelled("g1", chunks[1], ("李娜", "人名"), ("上海市", "地点"), ("浦东", "地点")),
    )
    annotated = [
        labelled("d0#0", chunks[0], ("张伟", "职业"), ("大学", "组织")),
        labelled("d1#0", chunks[1], ("李娜", "人名"), ("上海", "地点"), ("在", "地点"), ("东", "方位")),
    ]
    folder = a_run(tmp_path / "run", [a.passage for a in annotated], annotations=annotated)
    scores = score(folder, gold).scores
    gold_scores.write(folder, scores)
    got = next(getattr(s, value) for s in scores[0].scores if s.scheme == scheme) / 100
    assert [s.correct for s in scores[0].scores] == [1, 2, 3, 3.5]  # the schemes can be told apart
    check_requirements(folder, recipe(tmp_path, "filter.gold=x", f"filter.require={{{figure}: {got}}}"))
    with pytest.raises(BelowRequirementError, match=f"{figure} is {100 * got:.2f} %"):
        check_requirements(
            folder, recipe(tmp_path, "filter.gold=x", f"filter.require={{{figure}: {got + 0.001}}}")
        )


def test_what_is_scored_again(tmp_path: Path, hand: Path) -> None:
    execute(recipe(tmp_path, f"filter.gold={hand}"))
    assert "gold: unchanged, skipped" in execute(recipe(tmp_path, f"filter.gold={hand}"))
    said = execute(recipe(tmp_path, f"filter.gold={hand}", "filter.align_types=false"))
    assert "filter: unchanged, skipped" in said
    assert "gold: unchanged" not in said
    assert not kept(tmp_path)[0].aligned
    write_gold(hand, [labelled("h0", TEXTS[0], ("张伟", "人名"))])
    assert "1 of 1 gold passages scored" in execute(recipe(tmp_path, f"filter.gold={hand}"))


def test_require_without_gold_is_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="command line: filter.require: needs filter.gold"):
        recipe(tmp_path, "filter.require={gold_f1: 0.5}")
    with pytest.raises(InputError, match=r"filter.require.gold_f1: .*less than or equal to 1"):
        recipe(tmp_path, "filter.gold=x", "filter.require={gold_f1: 60}")
    assert not recipe(tmp_path, "filter.require={}").filter.require


def test_a_mistake_in_gold_is_told_before_anything_is_annotated(tmp_path: Path, hand: Path) -> None:
    settings = recipe(tmp_path, f"filter.gold={tmp_path / 'nowhere.jsonl'}")
    assert "no such gold file" in execute(settings)
    assert any("nowhere.jsonl: no such gold file" in p for p in problems(settings))
    hand.write_text(
        '{"id": "x", "text": "张伟", "entities": [{"start": 0, "end": 1, "type": "人名", "text": "张伟"}]}\n'
    )
    assert "hand.jsonl:1" in execute(recipe(tmp_path, f"filter.gold={hand}"))
    assert not (tmp_path / "run").exists()


def test_paths_of_the_filter_are_found_beside_the_recipe(tmp_path: Path, hand: Path) -> None:
    (tmp_path / "types.yaml").write_text("{}")
    (tmp_path / "r.yaml").write_text(
        "filter: {gold: hand.jsonl, types: types.yaml, test_sets: [hand.jsonl, msra]}"
    )
    settings = recipes.load(tmp_path / "r.yaml").filter
    assert settings.gold == str(hand)
    assert settings.types == str(tmp_path / "types.yaml")
    assert settings.test_sets == (str(hand), "msra")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data")
def test_gold_against_itself_is_perfect_however_it_is_chunked(tmp_path: Path) -> None:
    """Real texts, cut into small passages: what is not cut through is found where gold has it."""
    from sinoner.corpus.chunker import chunk
    from sinoner.formats.benchmarks import load_gold
    from sinoner.records import Document
    from sinoner.settings import CorpusSettings

    gold = load_gold(str(SHARED))
    documents = (
        Document(id=a.passage.id, text=a.passage.text, source="s", lang="zh", entities=a.entities)
        for a in gold.annotations
    )
    chunked = list(chunk(documents, CorpusSettings(max_tokens=64)))
    annotated = [c for c in chunked if isinstance(c, Annotation)]
    cut = sum(isinstance(c, Reject) for c in chunked)
    assert len(annotated) > 2 * len(gold.annotations)
    folder = a_run(tmp_path / "run", (a.passage for a in annotated), annotations=annotated)
    found = score(folder, gold).scores[0]
    strict = found.scores[0]
    assert found.scored == found.passages == len({a.passage.text.strip() for a in gold.annotations})
    assert strict.predicted == strict.correct
    assert 0 <= strict.gold - strict.correct <= cut
