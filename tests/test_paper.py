"""The claims of parity with the paper, on small files of our own, so that anybody can check them.

What is expected is made here from the description of the paper's files and algorithms, with none of the package's
code, and kept in ``golden/paper``. The same claims on the paper's own files: the tests that need ``../shared``.
"""

from __future__ import annotations

import json
import math
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import jieba
import numpy as np
import pytest
from annotators import annotator
from reference_metric import reference_parse

from sinoner.annotate.outcome import build
from sinoner.answers import parse_mentions
from sinoner.formats.benchmarks import convert
from sinoner.itset.export import sharegpt
from sinoner.itset.render import conversations, query_conversation
from sinoner.itset.writers import frame
from sinoner.quality.rules import clean
from sinoner.records import Annotation, Conversation, Passage, Reject
from sinoner.retrieve.bm25 import Bm25
from sinoner.retrieve.tokenize import cut, kept
from sinoner.score.f1 import Counts, percent, query_counts
from sinoner.settings import FilterSettings

DATA = Path(__file__).parent / "data/paper"
GOLDEN = Path(__file__).parent / "golden/paper"
TYPES: list[str] = json.loads((DATA / "types.json").read_text(encoding="utf-8"))
# Rows of the training file that stand before each test passage, nearest first.
NEIGHBOURS = {0: (3, 1), 1: (1, 2), 2: (4, 0)}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


# --- as the paper writes them, without the package ------------------------------------------------------------


def plain_answer(label: dict[str, str], kind: str) -> str:
    """A list in double quotes; nothing in it is escaped."""
    return "[" + ", ".join(f'"{surface}"' for surface, its in label.items() if its == kind) + "]"


def plain_examples(of: Iterable[dict[str, Any]]) -> str:
    """Examples with their entities as Python writes a list of dictionaries."""
    shown = (f"文本：{row['sentence']}\n实体：{[{s: t} for s, t in row['label'].items()]}" for row in of)
    return "以下是一些命名实体识别的例子：\n" + "\n".join(shown)


def plain_file(made: Iterable[tuple[int | str, Sequence[str]]]) -> bytes:
    """A ShareGPT file: turns of human and gpt, indent 4, no escapes for Chinese."""
    tree = [
        {
            "id": id,
            "conversations": [
                {"from": ("human", "gpt")[n % 2], "value": value} for n, value in enumerate(turns)
            ],
        }
        for id, turns in made
    ]
    return json.dumps(tree, ensure_ascii=False, indent=4).encode()


def plain_queries(with_examples: bool) -> Iterable[tuple[int, list[str]]]:
    """A conversation for each passage and type, types in the order of their file."""
    train = rows("train.jsonl")
    for row in rows("test.jsonl"):
        chosen = [train[n] for n in NEIGHBOURS[row["id"]]] if with_examples else []
        opening = [plain_examples(chosen), "我已读完这些例子。"] if chosen else []
        opening += [f"文本： {row['sentence']}", "我已读完这段文本。"]
        for kind in TYPES:
            yield row["id"], [*opening, f'文本中属于"{kind}"的实体有哪些？', plain_answer(row["label"], kind)]


def plain_bm25(pool: list[list[str]], query: list[str], row: int) -> float:
    """gensim 3.7 to 3.8: k1 1.5, b 0.75; an idf below 0 is a quarter of the mean idf."""
    idf = {}
    for word in {word for passage in pool for word in passage}:
        n = sum(word in passage for passage in pool)
        idf[word] = math.log(len(pool) - n + 0.5) - math.log(n + 0.5)
    floor = 0.25 * sum(idf.values()) / len(idf)
    length = len(pool[row]) / (sum(map(len, pool)) / len(pool))
    score = 0.0
    for word in query:
        if f := pool[row].count(word):
            weight = floor if idf[word] < 0 else idf[word]
            score += weight * f * 2.5 / (f + 1.5 * (0.25 + 0.75 * length))
    return score


def plain_normal(text: str) -> str:
    words = "".join(c for c in text.lower() if c not in string.punctuation).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


# --- and as we do -------------------------------------------------------------------------------------------------


def gold(name: str) -> list[Annotation]:
    made = list(convert(DATA / name, "rait", lang="zh"))
    assert not [row for row in made if isinstance(row, Reject)]
    return [row for row in made if isinstance(row, Annotation)]


def file(made: Iterable[Conversation], ids: Iterable[int]) -> bytes:
    """A file as the stage writes it, with the numbers of the paper for ids."""
    whole, pieces = frame("sharegpt"), []
    for conversation, number in zip(made, ids, strict=True):
        named = json.dumps(conversation.id, ensure_ascii=False).encode()
        pieces.append(whole.add(sharegpt(conversation).replace(b'"id": ' + named, b'"id": %d' % number, 1)))
    return b"".join([*pieces, whole.end()])


def queries(with_examples: bool) -> bytes:
    train, made, ids = gold("train.jsonl"), [], []
    for number, about in enumerate(gold("test.jsonl")):
        chosen = [train[n] for n in NEIGHBOURS[number]] if with_examples else []
        for kind in TYPES:
            made.append(query_conversation(about.passage, kind, chosen, "rait", about.entities))
            ids.append(number)
    return file(made, ids)


@pytest.mark.parametrize(
    ("name", "with_examples"),
    [("test_conversations.json", False), ("test_w_NN_2_train.json", True)],
)
def test_evaluation_files_to_the_byte(name: str, with_examples: bool) -> None:
    expected = (GOLDEN / name).read_bytes()
    assert plain_file(plain_queries(with_examples)) == expected
    assert queries(with_examples) == expected


def test_one_gold_answer_cannot_be_read_by_the_papers_parser() -> None:
    """The list ends at the first bracket; the metric of the paper leaves that query out."""
    answers = [turns[-1] for _, turns in plain_queries(False)]
    read = [reference_parse(answer) for answer in answers]
    assert [answer for answer, found in zip(answers, read, strict=True) if found is None] == [
        '["YD[2019]7号", "O\'Hara手机"]'
    ]
    assert sum(query_counts(found, ()).gold for found in read if found is not None) == 6


def test_a_training_conversation_of_each_style() -> None:
    text = "Ann's shop opened in Leeds."
    label = {"Ann's shop": "shop", "Leeds": "place"}
    passage = Passage(id="e#0", text=text, source="s", lang="en")
    about, _ = build(passage, list(label.items()), annotator("m"), "case")
    shown = f"Here are some examples of named entity recognition:\nText: {text}\nEntity: {[{s: t} for s, t in label.items()]}"
    for style, read, question in (
        ("rait", "I\u2019ve read this text", 'What describes "{}" in the text?'),
        ("uniner", "I've read this text.", "What describes {} in the text?"),
    ):
        (made,) = conversations(about, ["place", "fish", "shop"], [about], style, "passage")
        turns = [shown, "I've read these examples.", f"Text: {text}", read]
        for kind in ("place", "fish", "shop"):
            turns += [question.format(kind), plain_answer(label, kind)]
        assert file([made], [0]) == plain_file([(0, turns)])


def test_the_first_pool_of_eight_is_drawn_as_the_paper_draws_it() -> None:
    import random

    state = random.getstate()
    random.seed(42)
    paper = random.sample(range(100), 8)
    random.setstate(state)
    assert Random(42).sample(range(100), 8) == paper


def test_bm25_of_whole_sentences_is_gensims() -> None:
    texts = [row["sentence"] for row in rows("train.jsonl")]
    stops = frozenset("的了在。，")
    pool = [kept(tokens, stops) for tokens in cut(texts, "zh")]
    assert pool == [[t for t in jieba.lcut(text) if t not in stops and not t.isspace()] for text in texts]
    bm25, every = Bm25(pool, "gensim"), np.arange(len(pool), dtype=np.int64)
    for row in rows("test.jsonl"):
        (query,) = (kept(tokens, stops) for tokens in cut([row["sentence"]], "zh"))
        expected = [plain_bm25(pool, query, n) for n in range(len(pool))]
        np.testing.assert_allclose(bm25.scores(query, every), expected, atol=1e-9)


@pytest.mark.parametrize("row", rows("responses.jsonl"), ids=lambda row: row["text"][:4])
def test_the_filter_keeps_what_the_papers_rules_keep(row: dict[str, Any]) -> None:
    passage = Passage(id="r#0", text=row["text"], source="s", lang="zh")
    made, _ = build(passage, parse_mentions(row["response"]).pairs, annotator("m"), "case")
    (cleaned,) = clean([made], FilterSettings(preset="reference"))
    left = cleaned.annotation.entities if cleaned.annotation else ()
    assert [[e.surface, e.type] for e in left] == row["kept"]


def test_micro_f1_of_a_file_of_answers() -> None:
    """Right, wrong, missed, doubled, in other case and punctuation, and one that is no list."""
    answers = {
        ("人名", '["陈默"]'): '["陈默", "陈默"]',
        ("地点", '["成都"]'): '["成都", "重庆"]',
        ("时间", "[]"): "[]",
        ("公司名称", '["蓝桥书店", "星野公司"]'): '["蓝桥书店."]',
        ("产品名称", '["S-7 Light", "The Kite"]'): '答：["s7 light", "kite"]',
        ("作品", '["夜航"]'): "夜航",
    }
    total, true, found, wanted = Counts(0, 0, 0), 0, 0, 0
    for (_, right), said in answers.items():
        total += query_counts(reference_parse(right), reference_parse(said) or ())
        expected = {plain_normal(x) for x in json.loads(right)}
        given = {plain_normal(x) for x in json.loads(said[said.index("[") :])} if "[" in said else set()
        true, found, wanted = true + len(expected & given), found + len(given), wanted + len(expected)
    assert (true, found, wanted) == (5, 6, 7)
    precision, recall = true / found, true / wanted
    f1 = 2 * precision * recall / (precision + recall)
    assert percent(total) == tuple(round(100 * x, 2) for x in (precision, recall, f1))
