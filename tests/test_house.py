"""The shape of the project: what ships, what the quickstart data promise, how long files may be."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data_recipes" / "quickstart"


def rows(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def test_no_module_is_too_long() -> None:
    long = {
        str(p.relative_to(ROOT)): n
        for p in ROOT.glob("sinoner/**/*.py")
        if (n := len(p.read_text().splitlines())) > 350
    }
    assert not long


def test_quickstart_has_enough_passages() -> None:
    zh, en = rows("train.zh.jsonl"), rows("train.en.jsonl")
    gold_zh, gold_en = rows("gold-zh/test.jsonl"), rows("gold-en/test.jsonl")
    assert len(zh) + len(gold_zh) >= 80
    assert len(en) + len(gold_en) >= 40
    assert len(gold_zh) >= 40
    assert len(gold_en) >= 20
    assert all(80 <= len(str(r["text"])) <= 400 for r in zh + gold_zh)
    domains = {"news", "finance", "law", "medicine", "ecommerce", "science", "history", "social"}
    assert {str(r["domain"]) for r in zh} == {str(r["domain"]) for r in gold_zh} == domains
    ids = [r["id"] for r in zh + en + gold_zh + gold_en]
    assert len(set(ids)) == len(ids)


def test_quickstart_gold_is_held_back() -> None:
    train = {str(r["text"]) for r in rows("train.zh.jsonl") + rows("train.en.jsonl")}
    gold = {str(r["text"]) for r in rows("gold-zh/test.jsonl") + rows("gold-en/test.jsonl")}
    assert not train & gold
    grams = {t[i : i + 13] for t in train for i in range(len(t) - 12)}
    shared = [
        t[:30]
        for t in gold
        if re.search(r"[\u4e00-\u9fff]", t) and any(t[i : i + 13] in grams for i in range(len(t) - 12))
    ]
    assert not shared


@pytest.mark.parametrize("name", ["gold-zh/test.jsonl", "gold-en/test.jsonl", "train.en.jsonl"])
def test_quickstart_annotations_are_grounded_and_complete(name: str) -> None:
    types: Counter[str] = Counter()
    for row in rows(name):
        text = str(row["text"])
        covered: set[int] = set()
        surfaces: dict[str, str] = {}
        for entity in row["entities"]:  # type: ignore[attr-defined]
            assert text[entity["start"] : entity["end"]] == entity["text"]
            span = set(range(entity["start"], entity["end"]))
            assert not span & covered, "annotations overlap"
            covered |= span
            surfaces[entity["text"]] = entity["type"]
            types[entity["type"]] += 1
        for surface in surfaces:
            if len(surface) < 3:
                continue
            for match in re.finditer(re.escape(surface), text):
                assert covered & set(range(*match.span())), f"{row['id']}: {surface} is left out once"
    labels = DATA / Path(name).parent / "labels.json"
    if labels.exists():
        assert list(types.keys()) and set(types) == set(json.loads(labels.read_text(encoding="utf-8")))
    assert min(types.values()) >= 15


def test_quickstart_data_have_the_hard_cases() -> None:
    text = "".join(str(r["text"]) for r in rows("train.zh.jsonl") + rows("gold-zh/test.jsonl"))
    for needed in ("“", "「", "（", "《", "【", "２", "𠮷", "👨‍👩‍👧", '"'):
        assert needed in text, needed


def test_versions_are_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert pins["torch"] == "2.13.0"
    for name in (
        "openai",
        "jieba",
        "datasets",
        "transformers",
        "peft",
        "FlagEmbedding",
        "tenacity",
        "jsonlines",
    ):
        assert name in pins


def test_readmes_begin_with_the_two_commands() -> None:
    for name in ("README.md", "README.zh.md"):
        first_screen = "\n".join((ROOT / name).read_text(encoding="utf-8").splitlines()[:40])
        assert "make quickstart" in first_screen
        assert "make test" in first_screen


def test_documentation_exists_in_both_languages() -> None:
    english = {p.name for p in (ROOT / "docs/en").glob("*.md")}
    assert english
    assert english == {p.name for p in (ROOT / "docs/zh").glob("*.md")}


def headings(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(r"^#+(?= )", text, flags=re.M)


@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "docs/en").glob("*.md")))
def test_both_languages_have_the_same_sections(name: str) -> None:
    assert headings(ROOT / "docs/en" / name) == headings(ROOT / "docs/zh" / name)


def test_both_readmes_have_the_same_sections() -> None:
    assert headings(ROOT / "README.md") == headings(ROOT / "README.zh.md")


# Lines that end a paragraph or begin one: blank, list item, table row, heading, quotation, indented code.
BLOCK = re.compile(r"\s*$|\s*(?:[-*+]|\d+\.)\s|\||#|>| {4}|\t")
CHINESE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")


def soft_wraps(text: str) -> list[int]:
    """Return the numbers of lines that continue a Chinese paragraph or list item."""
    found: list[int] = []
    code, before = False, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            code, before = not code, ""
            continue
        follows = before.strip() and not re.match(r"\||#| {4}|\t", before) and not BLOCK.match(line)
        if not code and follows and CHINESE.search(before + line):
            found.append(number)
        before = "" if code else line
    return found


@pytest.mark.parametrize(
    "text",
    [
        "第一行\n\n第二行",
        "- 第一项\n- 第二项",
        "1. 第一项\n2. 第二项",
        "| 表 |\n|---|\n| 行 |",
        "# 标题\n正文",
        "```\n代码\n第二行\n```\n正文",
        "正文\n```\n代码\n```",
        "    代码\n      第二行",
        "An English line\nmay go on.",
    ],
)
def test_a_line_per_paragraph_is_no_soft_wrap(text: str) -> None:
    assert not soft_wraps(text)


@pytest.mark.parametrize(
    "text", ["第一行\n第二行", "- 第一项\n  接着写", "文字，\nEnglish", "正文 A\nB 正文"]
)
def test_a_soft_wrapped_chinese_line_is_found(text: str) -> None:
    assert soft_wraps(text) == [2]


@pytest.mark.parametrize(
    "name", ["README.zh.md", *sorted(f"docs/zh/{p.name}" for p in (ROOT / "docs/zh").glob("*.md"))]
)
def test_chinese_paragraphs_are_one_line(name: str) -> None:
    assert not soft_wraps((ROOT / name).read_text(encoding="utf-8"))


def test_chinese_pages_use_the_terms_of_the_glossary() -> None:
    for page in [ROOT / "README.zh.md", *(ROOT / "docs/zh").glob("*.md")]:
        text = page.read_text(encoding="utf-8")
        assert not re.findall("黄金|金标|处理器时间|准确率|类别名|拒绝记录", text), page.name


# Words that have a standard technical equivalent: see "Language" in CONTRIBUTING.md.
PLAIN = re.compile(
    r"\b(?:anew|processors?|(?:is|are|was|were|be) (?:told|said)|wanted|stands? in|stands? (?:beside|there|first)|looked for|"
    r"to the byte|nobody|of equal texts)\b",
    re.I,
)


@pytest.mark.parametrize(
    "text", ["measured anew", "the processor build", "The recall is said", "all stand in a file"]
)
def test_the_words_to_avoid_are_found(text: str) -> None:
    assert PLAIN.search(text)


@pytest.mark.parametrize(
    "text", ["run it again", "CPU build", "processing", "`train` stands for the passages"]
)
def test_ordinary_words_are_not_forbidden(text: str) -> None:
    assert not PLAIN.search(text)


def test_english_pages_use_standard_terms() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs/en").glob("*.md")]:
        text = " ".join(page.read_text(encoding="utf-8").split())
        assert not PLAIN.findall(text), page.name


def test_links_of_the_documentation_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_citation_credits_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert "2406.17305" in json.dumps(citation["preferred-citation"])


def test_every_shipped_prompt_loads() -> None:
    from sinoner.prompts import conversation_prompt, extract_prompt

    for lang in ("zh", "en"):
        assert extract_prompt("extract", lang).lang == lang  # type: ignore[arg-type]
        assert conversation_prompt(lang).id.startswith(f"conversation.{lang}.v")  # type: ignore[arg-type]
