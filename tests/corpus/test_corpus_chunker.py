"""Documents are cut into passages that fit and rejoin; what a cut goes through is said."""

from __future__ import annotations

import bpe_openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinoner.corpus.chunker import STAGE, chunk, counter, cut
from sinoner.errors import InputError
from sinoner.records import HUMAN, Annotation, Document, Entity, Passage, Reject
from sinoner.settings import CorpusSettings
from sinoner.text.ground import occurrences

TOKENIZERS = ["o200k_base", "cl100k_base"]
ENCODINGS = {name: bpe_openai.get_encoding(name) for name in TOKENIZERS}
# Runs of what tokenizers treat oddly: emoji and their joiners, astral Han, white space, and text without a break.
RUNS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "😀",
                "👨\u200d👩\u200d👧",
                "𠮷",
                "王",
                "a",
                "Z9",
                " ",
                "\n",
                "\t",
                "\u3000",
                "\r\n",
                "，",
                "。",
                ". ",
                "!",
                "é",
                "-",
                "0",
                "<|endoftext|>",
                "Warsaw ",
                "上海人",
                "\x00",
                "ﬁ",
            ]
        ),
        st.integers(1, 60),
    ),
    max_size=10,
).map(lambda runs: "".join(piece * n for piece, n in runs))


def tokens(text: str, tokenizer: str) -> int:
    """Token count by the library's own encoder, not by the function that the chunker counts with."""
    return len(ENCODINGS[tokenizer].encode_ordinary(text))


def document(text: str, *mentions: str, lang: str = "zh") -> Document:
    entities = tuple(Entity(surface=m, type="t", starts=occurrences(text, m)) for m in mentions)
    return Document(id="src:1", text=text, source="src", lang=lang, entities=entities if mentions else None)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@settings(max_examples=60)
@given(text=st.one_of(RUNS, st.text(max_size=200)), limit=st.integers(8, 40))
def test_pieces_fit_and_rejoin(tokenizer, text, limit):
    pieces = list(cut(text, counter(tokenizer), limit))
    assert "".join(pieces) == text
    assert all(pieces)
    assert max((tokens(p, tokenizer) for p in pieces), default=0) <= limit


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize(
    "text",
    [
        "😀" * 400,
        "𠮷" * 400,
        " " * 3000,
        "\n\t \u3000" * 300,
        "王" * 800,
        "a" * 3000,
        "，" * 500,
        "0" * 900,
        "-" * 3000,
    ],
    ids=["emoji", "astral", "spaces", "mixed-spaces", "han", "letters", "commas", "digits", "dashes"],
)
def test_text_without_a_sentence_is_cut_too(tokenizer, text):
    pieces = list(cut(text, counter(tokenizer), 16))
    assert "".join(pieces) == text
    assert len(pieces) > 1
    assert max(tokens(p, tokenizer) for p in pieces) <= 16


@pytest.mark.parametrize(
    ("tokenizer", "parts"),
    [("cl100k_base", ["e\t”王海 B？", ":h "]), ("o200k_base", ['n：,"？ \u3000', "的\u3000e   a"])],
)
def test_pieces_fit_where_the_whole_counts_more_than_its_parts(tokenizer, parts):
    text, limit = "".join(parts), sum(tokens(p, tokenizer) for p in parts)
    assert tokens(text, tokenizer) > limit
    assert list(cut(text, counter(tokenizer), limit)) == parts


def test_cuts_fall_between_sentences_where_they_can():
    text = "王明在上海工作。" * 20 + "李红，" * 30 + "张三。"
    pieces = list(cut(text, counter("o200k_base"), 24))
    assert "".join(pieces) == text
    assert len(pieces) > 4
    assert all(p.endswith(("。", "，")) for p in pieces)


def test_passages_are_as_full_as_they_can_be():
    sentence = "王明在上海工作。"
    size = tokens(sentence * 2, "o200k_base") - tokens(sentence, "o200k_base")
    pieces = list(cut(sentence * 40, counter("o200k_base"), 10 * size))
    assert [p.count("。") for p in pieces] == [10, 10, 10, 10]


def test_short_documents_stay_whole():
    (passage,) = chunk([document("王明在上海工作。他很忙。")], CorpusSettings(max_tokens=32))
    assert passage == Passage(
        id="src:1#0", text="王明在上海工作。他很忙。", source="src", lang="zh", document="src:1"
    )


@settings(max_examples=30)
@given(RUNS.filter(bool))
def test_ids_are_stable_and_numbered(text):
    setting = CorpusSettings(max_tokens=8)
    first, second = (list(chunk([document(text)], setting)) for _ in range(2))
    assert first == second
    assert [p.id for p in first] == [f"src:1#{n}" for n in range(len(first))]
    assert "".join(p.text for p in first) == text
    assert {p.document for p in first} == {"src:1"}


def test_documents_do_not_flow_together_and_rejects_pass_through():
    reject = Reject(id="bad", stage="read", reason="not_json", unit="line")
    out = list(chunk([document("王明。"), reject, document("李红。")], CorpusSettings()))
    assert [x.text if isinstance(x, Passage) else x for x in out] == ["王明。", reject, "李红。"]


def test_annotations_move_with_their_passage():
    text = "王明在上海工作，住在上海。" * 6
    out = list(chunk([document(text, "上海", "王明")], CorpusSettings(max_tokens=16)))
    assert len(out) > 2
    assert all(isinstance(a, Annotation) and a.by.label == "human" for a in out)
    assert "".join(a.passage.text for a in out) == text
    found, offset = [], 0
    for annotation in out:
        found += [(offset + s, e.surface) for e in annotation.entities for s in e.starts]
        offset += len(annotation.passage.text)
    assert sorted(found) == sorted((s, m) for m in ("上海", "王明") for s in occurrences(text, m))


def test_a_document_annotated_with_nothing_gives_annotations_with_nothing():
    empty = Document(id="d", text="王明。", source="s", lang="zh", entities=())
    (annotation,) = chunk([empty], CorpusSettings())
    assert annotation == Annotation(
        passage=Passage(id="d#0", text="王明。", source="s", lang="zh", document="d"), entities=(), by=HUMAN
    )


def test_an_entity_that_a_cut_goes_through_is_a_reject():
    name = "甲乙丙丁戊己。庚辛壬癸子丑"
    text = "王明来了。" * 8 + name
    out = list(chunk([document(text, name, "王明")], CorpusSettings(max_tokens=8)))
    rejects = [x for x in out if isinstance(x, Reject)]
    annotations = [x for x in out if isinstance(x, Annotation)]
    assert "".join(a.passage.text for a in annotations) == text
    assert sum(len(e.starts) for a in annotations for e in a.entities) == 8
    (cut_at,) = (a.passage.id for a in annotations if "甲" in a.passage.text)
    detail = f"{name} (t)"
    assert rejects == [Reject(id=cut_at, stage=STAGE, reason="cut_through", detail=detail, unit="entity")]


@settings(max_examples=60)
@given(RUNS.filter(bool), st.data())
def test_every_annotated_occurrence_is_kept_or_rejected(text, data):
    begin = data.draw(st.integers(0, len(text) - 1))
    surface = text[begin : begin + data.draw(st.integers(1, 12))]
    out = list(chunk([document(text, surface)], CorpusSettings(max_tokens=8)))
    kept = sum(len(e.starts) for a in out if isinstance(a, Annotation) for e in a.entities)
    rejected = sum(isinstance(x, Reject) for x in out)
    assert kept + rejected == len(occurrences(text, surface))


def test_a_tokenizer_file_counts(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_truncation(4)  # files often carry one; counting must not believe it
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    till = counter(str(path))
    assert till("a b  c", 3) == 3
    assert till("a b c d", 3) is None
    assert till("a b c d e f", 100) == 6
    setting = CorpusSettings(tokenizer=str(path), max_tokens=8)
    assert [p.text for p in chunk([document("a " * 20, lang="en")], setting)] == [
        "a " * 8,
        "a " * 8,
        "a " * 4,
    ]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_bundled_counters_say_none_above_the_limit(tokenizer):
    text = "王明在上海工作。<|endoftext|> 😀"
    n = tokens(text, tokenizer)
    assert counter(tokenizer)(text, n) == n
    assert counter(tokenizer)(text, n - 1) is None


def test_a_tokenizer_that_is_none_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match=r"corpus\.tokenizer: 'gpt9' is neither o200k_base nor cl100k_base"):
        counter("gpt9")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"tokenizer\.json is not a tokenizer\.json"):
        counter(str(tmp_path / "tokenizer.json"))
