from typing import Any

import pytest
import yaml
from annotators import annotator
from huggingface_hub import DatasetCard, ModelCard, RepoCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sinoner.measurements import Score
from sinoner.publish import markdown as md
from sinoner.publish.card import CardFacts, dataset_card, model_card
from sinoner.records import Annotator

LOCAL = Annotator(source="llm", model="/home/me/models/qwen", prompt="/home/me/p.yaml")
EVIL = "a | <script>alert(1)</script> `x` \n---\nlicense: mit\n# [y](http://evil.example) **b** $z$ 类型"
EVIL_ONES = (
    Annotator(source="model", model=EVIL),
    Annotator(source="llm", model=EVIL, prompt=EVIL),
)


def score(model: str = "tuned", examples: bool = False, **changes: Any) -> Score:
    values: dict[str, Any] = {
        "benchmark": "boson", "lang": "zh", "model": model, "examples": examples,
        "passages": 20, "queries": 120, "gold": 40, "predicted": 30, "correct": 10, "unparsed": 3,
        "precision": 33.33, "recall": 25.0, "f1": 28.57, "low": 20.1, "high": 36.9,
        "strict_precision": 30.0, "strict_recall": 22.5, "strict_f1": 25.71,
    }  # fmt: skip
    return Score(**(values | changes))


def facts(**changes: Any) -> CardFacts:
    values: dict[str, Any] = {
        "name": "Quick NER", "languages": ("zh", "en"), "licence": "cc-by-4.0", "annotators": (annotator("lac"),),
        "counts": {"train": 90, "validation": 10}, "passages": 100, "entities": 321, "types": 7,
        "top_types": (("地点", 200), ("person", 121)), "style": "sinoner", "prompt": None, "seed": 42,
        "sources": ("news", "hf://datasets/a/b"), "base_model": "owner/base-135M",
        "lora": {"rank": 8, "alpha": 16}, "scores": (), "version": "0.1.0",
    }  # fmt: skip
    return CardFacts(**(values | changes))


def front(card: str) -> dict[str, Any]:
    head, _, _ = card.removeprefix("---\n").partition("\n---\n")
    meta = yaml.safe_load(head)
    assert isinstance(meta, dict)
    return meta


def parsed(kind: type[RepoCard], card: str) -> Any:
    """The metadata as the Hub's own client reads it."""
    return kind(card).data


def tokens(card: str) -> list[Any]:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return parser.parse(card.split("\n---\n", 1)[1])


def tables(card: str) -> list[list[list[str]]]:
    """The tables of a card as a reader sees them: the plain text of every cell."""
    found: list[list[list[str]]] = []
    for token in tokens(card):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 4:
            found[-1][-1].append("".join(part.content for part in token.children))
    return found


def kinds(card: str) -> set[str]:
    """The Markdown constructs in a card."""
    found = set()
    for token in tokens(card):
        found |= {token.type} | {child.type for child in token.children or ()}
    return found


def test_dataset_front_matter() -> None:
    card = dataset_card(facts(), "someone/quick")
    meta = front(card)
    assert meta["language"] == ["zh", "en"]
    assert meta["license"] == "cc-by-4.0"
    assert meta["pretty_name"] == "Quick NER"
    assert meta["size_categories"] == ["n<1K"]
    assert {"named-entity-recognition", "open-ner", "instruction-tuning"} <= set(meta["tags"])
    assert meta["task_categories"] == ["token-classification", "text-generation"]
    assert meta["configs"] == [
        {
            "config_name": "default",
            "data_files": [
                {"split": "train", "path": "data/train-*"},
                {"split": "validation", "path": "data/validation-*"},
            ],
        },
        {"config_name": "annotations", "data_files": [{"split": "full", "path": "annotations/full-*"}]},
    ]
    assert parsed(DatasetCard, card).to_dict() == meta


def test_configs_name_only_what_has_rows() -> None:
    meta = front(dataset_card(facts(counts={"train": 3, "validation": 0}, with_annotations=False)))
    assert meta["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}
    ]
    assert front(dataset_card(facts(counts={}, passages=0)))["configs"] == []


@pytest.mark.parametrize(
    ("rows", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**12, "n>1T")],
)
def test_size_categories(rows: int, category: str) -> None:
    assert front(dataset_card(facts(counts={"train": rows})))["size_categories"] == [category]


def test_model_front_matter() -> None:
    scores = (score("base"), score(), score(examples=True, f1=30.0))
    card = model_card(facts(scores=scores), "someone/quick", "someone/model")
    meta = front(card)
    assert meta["base_model"] == "owner/base-135M"
    assert meta["datasets"] == ["someone/quick"]
    assert (meta["library_name"], meta["pipeline_tag"]) == ("peft", "text-generation")
    data = parsed(ModelCard, card)
    assert data.model_name == "Quick NER"
    found = {(r.dataset_name, r.dataset_config, r.metric_name): r.metric_value for r in data.eval_results}
    assert len(found) == len(data.eval_results) == 12  # tuned: 2 settings, 2 metrics, 3 values
    assert found["boson", "zh, with examples", "micro-F1 (%)"] == 30.0
    assert found["boson", "zh, without examples", "strict span micro-F1 (%)"] == 25.71


def test_model_card_without_scores_or_hub_base() -> None:
    card = model_card(facts(base_model="/home/me/models/secret-base"), None)
    meta = front(card)
    assert not {"base_model", "datasets", "model-index"} & set(meta)
    assert "Not evaluated." in card
    assert "secret-base" in card
    assert parsed(ModelCard, card).library_name == "peft"


def test_scores_show_both_metrics() -> None:
    for card in (
        dataset_card(facts(scores=(score(), score("base", low=None, high=None)))),
        model_card(facts(scores=(score(), score("base", low=None, high=None))), None),
    ):
        table = next(t for t in tables(card) if t[0][0] == "Benchmark")
        row = dict(zip(table[0], table[1], strict=True))
        assert (row["F1"], row["F1 95 %"], row["Strict F1"]) == ("28.57", "20.10 – 36.90", "25.71")
        assert dict(zip(table[0], table[2], strict=True))["F1 95 %"] == "–"
        assert "Not evaluated." not in card


@pytest.mark.parametrize(
    ("annotators", "told", "not_told"),
    [
        (("lac",), "produced by `lac`, not by humans; they were not checked individually", "language model"),
        (("human", "lac"), "not by humans; only the passages marked `human`", "not checked"),
        (("human",), "human annotations (`human`)", "not by humans"),
        (
            ("qwen-max@extract.zh.v1",),
            "the language model `qwen-max` (prompt `extract.zh.v1`), not by humans",
            "@",
        ),
        ((), "none are recorded", "human"),
    ],
)
def test_cards_are_honest_about_the_annotator(annotators: tuple[str, ...], told: str, not_told: str) -> None:
    told_of = facts(annotators=tuple(map(annotator, annotators)))
    for card in (dataset_card(told_of), model_card(told_of, None)):
        labels = next(line for line in card.splitlines() if line.startswith("- Labels:"))
        assert told in labels
        assert not_told not in labels


@pytest.mark.parametrize(
    ("annotators", "creators"),
    [(("lac",), ["machine-generated"]), (("human",), ["other"]), (("human", "lac"), ["machine-generated", "other"]),
     ((), ["no-annotation"])],
)  # fmt: skip
def test_annotation_creators(annotators: tuple[str, ...], creators: list[str]) -> None:
    made = facts(annotators=tuple(map(annotator, annotators)))
    assert front(dataset_card(made))["annotations_creators"] == creators


def test_cards_credit_the_method_and_speak_chinese() -> None:
    for card in (dataset_card(facts()), model_card(facts(), "a/b")):
        assert "RA-IT" in card
        assert "https://arxiv.org/abs/2406.17305" in card
        assert "标注由 `lac` 自动产生，并非人工标注。" in card


def test_loading_code_is_python() -> None:
    for card, names in (
        (dataset_card(facts(), "someone/quick"), ["someone/quick"]),
        (model_card(facts(), "someone/quick", "someone/model"), ["someone/quick", "someone/model"]),
        (dataset_card(facts(), 'x"); evil("'), ["OWNER/NAME"]),
    ):
        code = next(t.content for t in tokens(card) if t.type == "fence")
        compile(code, "card", "exec")
        assert all(f'"{name}"' in code for name in names)
        assert "evil" not in code


def test_injected_text_stays_inert() -> None:
    evil = facts(
        name=EVIL, licence=EVIL, annotators=EVIL_ONES, top_types=((EVIL, 1),), style=EVIL, prompt=EVIL,
        sources=(EVIL,), base_model=EVIL, lora={EVIL: EVIL}, scores=(score(EVIL, benchmark=EVIL),), version=EVIL,
    )  # fmt: skip
    clean = facts(
        annotators=(annotator("lac"), annotator("m@p")), top_types=(("x", 1),), prompt="p", scores=(score(),), sources=("news",),
    )  # fmt: skip
    one_line = " ".join(EVIL.split())
    for render in (dataset_card, lambda f: model_card(f, EVIL, EVIL)):
        card = render(evil)
        assert kinds(card) - {"text_special", "code_inline"} == kinds(render(clean)) - {
            "text_special",
            "code_inline",
        }
        assert "<script" not in card.split("\n---\n", 1)[1]
        assert set(front(card)) <= set(front(render(clean)))
        assert front(card)["license"] == one_line
        assert any(one_line in cell for table in tables(card) for row in table for cell in row)
    assert parsed(DatasetCard, dataset_card(evil)).pretty_name == one_line
    assert parsed(ModelCard, model_card(evil, EVIL)).model_name == one_line


def test_paths_of_this_machine_do_not_show() -> None:
    local = facts(
        name="/home/me/run", sources=("/home/me/corpus.jsonl", "C:\\Users\\me\\b.txt", "~me/c.txt"),
        annotators=(LOCAL,), prompt="/home/me/p.yaml", base_model="/home/me/base",
        scores=(score(benchmark="/home/me/gold.jsonl", model="/home/me/run/adapter"),), lora={"base": "/home/me/base"},
    )  # fmt: skip
    for card in (dataset_card(local), model_card(local, "/home/me/data")):
        assert "/home" not in card
        assert "Users" not in card
        for name in ("corpus.jsonl", "b.txt", "c.txt", "qwen", "p.yaml", "gold.jsonl"):
            assert name in card.replace("\\", "")
    assert "/组织" in dataset_card(facts(top_types=(("/组织", 1),)))  # a type is no path


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_type_name_reads_as_it_is(name: str) -> None:
    card = dataset_card(facts(top_types=((name, 1), ("next", 2))))
    table = next(t for t in tables(card) if t[0] == ["Type", "Entities"])
    assert table[1:] == [[md.flat(name), "1"], ["next", "2"]]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("/a/b.txt", "b.txt"), ("/a/b/", "b"), ("C:\\a\\b", "b"), ("\\\\host\\share\\b", "b"), ("/", "/"), ("n:/", "n:/"),
     ("runs/a", "runs/a"), ("hf://datasets/a/b", "hf://datasets/a/b"), ("file:///a/b", "b"), ("a: /b", "a: /b")],
)  # fmt: skip
def test_public_names(name: str, shown: str) -> None:
    assert md.public(name) == shown


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_title_survives_the_front_matter(name: str) -> None:
    assert (
        parsed(DatasetCard, dataset_card(facts(name=f"n{name}"))).pretty_name == md.public(f"n{name}") != ""
    )


@pytest.mark.parametrize("name", ["a", "a/b", "Foo-BAR_foo.bar123", "a/_b"])
def test_repository_names(name: str) -> None:
    assert md.repo_id(name) == name


@pytest.mark.parametrize(
    "name", [None, "", "/a/b", "a/b/c", "a--b", "a..b", "a.git", ".a", "a/b ", "a\n", "名/b", "a" * 97]
)
def test_other_names_are_no_repository(name: str | None) -> None:
    assert md.repo_id(name) is None
