"""Reading, chunking and grounding from Python: the options reach the settings, mistakes are one line."""

import inspect
import json
from pathlib import Path

import pytest

from sinoner import (
    Annotation,
    Document,
    Entity,
    Grounded,
    InputError,
    Passage,
    Reject,
    chunk,
    ground,
    read_corpus,
)
from sinoner.settings import CorpusSettings
from sinoner.text import ground as grounding


def corpus(folder: Path, *rows: object, name: str = "a.jsonl") -> Path:
    (folder / name).write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return folder / name


def test_a_file_a_folder_and_several_sources_are_read_in_order(tmp_path: Path) -> None:
    first = corpus(tmp_path, {"text": "甲在北京。"}, name="b.jsonl")
    second = corpus(tmp_path, {"text": "乙在上海。"}, name="a.jsonl")
    texts = [
        [d.text for d in read_corpus(p) if isinstance(d, Document)]
        for p in (str(first), [first, second], tmp_path)
    ]
    assert texts == [["甲在北京。"], ["甲在北京。", "乙在上海。"], ["乙在上海。", "甲在北京。"]]


def test_the_options_of_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("id,body\n1,张伟在北京。\n2,Anna in Oslo.\n3,王五。\n".encode("gb18030"))
    found = list(read_corpus(path, text_field="body", lang="en", encoding="gb18030", limit=2))
    assert found == [
        Document(id="1", text="张伟在北京。", source="a.csv", lang="en"),
        Document(id="2", text="Anna in Oslo.", source="a.csv", lang="en"),
    ]


def test_what_is_no_document_is_a_reject(tmp_path: Path) -> None:
    found = list(read_corpus(corpus(tmp_path, {"text": "甲在北京。"}, {"text": 5})))
    assert isinstance(found[1], Reject)
    assert found[1].reason == "text_not_string"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": 0}, "corpus.limit"),
        ({"encoding": "utf-99"}, "utf-99"),
        ({"text_field": "body"}, "text_field"),
        ({"lang": "fr"}, "corpus.lang"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: dict[str, object], said: str) -> None:
    path = corpus(tmp_path, {"text": "甲在北京。"})
    with pytest.raises(InputError, match=said):
        list(read_corpus(path, **options))  # type: ignore[arg-type]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.jsonl"):
        list(read_corpus(tmp_path / "missing.jsonl"))


def test_the_defaults_are_those_of_the_settings() -> None:
    settings = CorpusSettings()
    for function, names in (
        (read_corpus, ("text_field", "encoding", "limit")),
        (chunk, ("max_tokens", "tokenizer")),
    ):
        for name in names:
            assert inspect.signature(function).parameters[name].default == getattr(settings, name)


def test_chunking_keeps_the_text_the_entities_and_the_rejects() -> None:
    reject = Reject(id="x", stage="chunk", reason="no_text")
    entities = (Entity(surface="张伟", type="人名", starts=(0,)),)
    documents = [
        Document(id="a", text="张伟在北京。李娜在上海。", source="s", lang="zh"),
        reject,
        Document(id="b", text="张伟在北京。", source="s", lang="zh", entities=entities),
    ]
    first, second, passed, labelled = chunk(documents, max_tokens=8)
    assert isinstance(first, Passage)
    assert isinstance(second, Passage)
    assert (first.text + second.text, first.id, second.id) == (documents[0].text, "a#0", "a#1")
    assert passed is reject
    assert isinstance(labelled, Annotation)
    assert labelled.entities == entities


def test_a_wrong_chunk_option_is_named() -> None:
    with pytest.raises(InputError, match=r"chunk.*corpus\.max_tokens"):
        chunk([], max_tokens=1)
    with pytest.raises(InputError, match="tokenizer"):
        list(chunk([], tokenizer="gpt-2000"))


@pytest.mark.parametrize("mode", ["folded", "case"])
@pytest.mark.parametrize("mention", ["acme", "ＡＣＭＥ", " ACME ", "《ACME》", "北京", "", "Acme"])
def test_grounding_is_that_of_the_stages(mention: str, mode: grounding.Fold) -> None:
    text = "ＡＣＭＥ和acme，还有AcMe。"
    assert ground(text, mention, mode=mode) == grounding.ground(text, mention, mode)


def test_a_mention_is_found_or_the_reason_is_given() -> None:
    assert ground("ＡＣＭＥ公司", "acme公司") == Grounded("ＡＣＭＥ公司", (0,))
    assert ground("ＡＣＭＥ公司", "acme公司", mode="case") == "not_in_passage"
    assert ground("ＡＣＭＥ和AcMe。", "acme") == "ambiguous_mention"
