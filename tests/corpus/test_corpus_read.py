"""Reading the corpus: every format, every bad input, one record at a time."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import logging
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sinoner import disk
from sinoner.corpus.read import read
from sinoner.corpus.rows import parse_hub_path
from sinoner.errors import InputError
from sinoner.records import Document, Entity, Reject
from sinoner.settings import CorpusSettings

NEWS = "上海的春天来得很早，公园里的玉兰花已经开了。"
LAW = "法院认为，双方签订的合同有效，被告应当支付货款。"
TRADITIONAL = "臺灣的圖書館舉辦講座，邀請歷史學者介紹東亞貿易的發展，並開放讀者參觀古籍書庫。"
MB = 1 << 20


def corpus(*paths: Path | str, **more: Any) -> CorpusSettings:
    return CorpusSettings(sources=[str(path) for path in paths], **more)


def items(*paths: Path | str, **more: Any) -> list[Document | Reject]:
    return list(read(corpus(*paths, **more)))


def split(found: Iterable[Document | Reject]) -> tuple[list[Document], list[Reject]]:
    found = list(found)
    return [x for x in found if isinstance(x, Document)], [x for x in found if isinstance(x, Reject)]


def texts(*paths: Path | str, **more: Any) -> list[str]:
    documents, rejects = split(items(*paths, **more))
    assert rejects == []
    return [document.text for document in documents]


def write(path: Path, *rows: object) -> Path:
    """JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def only_reject(path: Path, **more: Any) -> Reject:
    """The one reject of a file that holds one good document as well."""
    documents, rejects = split(items(path, **more))
    assert len(documents) == 1
    assert len(rejects) == 1
    assert rejects[0].stage == "chunk"
    assert disk.parse(disk.line(rejects[0]), Reject) == rejects[0]
    return rejects[0]


def mistake(*paths: Path | str, **more: Any) -> str:
    """The message of the InputError, which is one line."""
    with pytest.raises(InputError) as caught:
        items(*paths, **more)
    message = str(caught.value)
    assert "\n" not in message
    return message


# formats


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson"])
def test_json_lines_give_objects_and_texts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"news{suffix}"
    path.write_text(f'{{"text": "{NEWS}", "extra": 1}}\n\n   \r\n"{LAW}"\r\n', encoding="utf-8")
    assert items(path) == [
        Document(id="news:1", text=NEWS, source=path.name, lang="zh"),
        Document(id="news:4", text=LAW, source=path.name, lang="zh"),
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (json.dumps([{"text": NEWS}, LAW]), [NEWS, LAW]),
        (json.dumps([{"text": NEWS}], ensure_ascii=False, indent=4), [NEWS]),
        (json.dumps({"text": NEWS, "n": 12}), [NEWS]),
        (f'{{"text": "{NEWS}"}}\n{{"text": "{LAW}"}}\n', [NEWS, LAW]),
    ],
)
def test_json_gives_items_or_one_object(tmp_path: Path, body: str, expected: list[str]) -> None:
    path = tmp_path / "a.json"
    path.write_text(body, encoding="utf-8")
    assert texts(path) == expected


def test_json_items_that_are_no_objects_are_rejects(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([12, {"text": NEWS}, None, [1], True]), encoding="utf-8")
    documents, rejects = split(items(path))
    assert [d.id for d in documents] == ["a:2"]
    assert [(r.id, r.reason, r.unit) for r in rejects] == [
        (f"a.json:{n}", "not_an_object", "line") for n in (1, 3, 4, 5)
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=1
    )
)
def test_json_array_survives_any_cut_between_pieces(tmp_path: Path, parts: list[str]) -> None:
    """Long enough that the pieces of the stream end inside values, numbers and escapes."""
    rows = [{"text": f"文{part}", "n": 10**40, "pad": "字" * 30_000} for part in parts]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    assert texts(path) == [row["text"] for row in rows]


@pytest.mark.parametrize(("suffix", "dialect"), [(".csv", "excel"), (".tsv", "excel-tab")])
def test_csv_quotes_and_line_ends_in_fields(tmp_path: Path, suffix: str, dialect: str) -> None:
    path = tmp_path / f"a{suffix}"
    several = '第一行，有"引号"。\r\n\r\n第三行,\t完。'
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, dialect).writerows([["id", "text", "lang"], ["x", several, "en"], [], ["", LAW, ""]])
    assert items(path) == [
        Document(id="x", text=several, source=path.name, lang="en"),
        Document(id="a:6", text=LAW, source=path.name, lang="zh"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('"quoted" and then not,1', "not_csv"),
        (f"{LAW},1,2,3", "not_csv"),
        ('"never closed,1', "not_csv"),
        ("", None),
    ],
)
def test_csv_records_that_are_none(tmp_path: Path, line: str, reason: str | None) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"text,n\n{NEWS},1\n{line}\n", encoding="utf-8")
    if reason is None:
        assert texts(path) == [NEWS]
        return
    reject = only_reject(path)
    assert (reject.id, reject.reason, reject.unit) == ("a.csv:3", reason, "line")
    assert reject.detail.startswith(f"{path}:3: ")


def test_csv_goes_on_after_a_bad_record(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f'text,n\n"a"b,1\n{NEWS},2\n'.encode() + b"\xe4\xb8,3\n" + f"{LAW},4\n".encode())
    documents, rejects = split(items(path))
    assert [d.id for d in documents] == ["a:3", "a:5"]
    assert [(r.id, r.reason) for r in rejects] == [("a.csv:2", "not_csv"), ("a.csv:4", "invalid_utf8")]


def test_csv_limit_is_given_back(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "字" * 200_000 + "\n", encoding="utf-8")
    assert [len(text) for text in texts(path)] == [200_000]
    assert csv.field_size_limit() == before


def test_parquet_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    mark = {"start": 0, "end": 2, "type": "地点", "text": "上海"}
    rows = [{"id": 7, "text": NEWS, "entities": [mark]}, {"id": None, "text": LAW, "entities": None}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    entity = Entity(surface="上海", type="地点", starts=(0,))
    assert items(path) == [
        Document(id="7", text=NEWS, source="a.parquet", lang="zh", entities=(entity,)),
        Document(id="a:2", text=LAW, source="a.parquet", lang="zh"),
    ]


def test_text_gives_one_document_per_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{NEWS}\n\n \u3000\n  {LAW}\u2028续\r\n", encoding="utf-8", newline="")
    documents, _ = split(items(path))
    assert [(d.id, d.text) for d in documents] == [("a:1", NEWS), ("a:4", f"  {LAW}\u2028续")]


@pytest.mark.parametrize("compression", [".gz", ".zst"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.txt"])
def test_every_format_compressed(tmp_path: Path, name: str, compression: str) -> None:
    plain = tmp_path / name
    if name.endswith("parquet"):
        pyarrow.parquet.write_table(pyarrow.table({"text": [NEWS]}), plain)
    else:
        row = json.dumps({"text": NEWS})
        body = {"a.jsonl": row, "a.json": f"[{row}]", "a.csv": f"text\n{NEWS}\n", "a.txt": NEWS}[name]
        plain.write_text(body, encoding="utf-8")
    packed = tmp_path / f"{name}{compression}"
    pack = gzip.compress if compression == ".gz" else zstandard.ZstdCompressor().compress
    packed.write_bytes(pack(plain.read_bytes()))
    (document,), _ = split(items(packed))
    assert (document.text, document.id.split(":")[0], document.source) == (NEWS, "a", packed.name)


def test_compressed_files_of_several_parts(tmp_path: Path) -> None:
    first, second = f"{NEWS}\n".encode() * 5000, LAW.encode()
    zst, gz = tmp_path / "a.txt.zst", tmp_path / "a.txt.gz"
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    pack = zstandard.ZstdCompressor().compress
    zst.write_bytes(skippable + pack(first) + pack(b"") + skippable + pack(second) + skippable)
    gz.write_bytes(gzip.compress(first) + gzip.compress(second))
    for path in (zst, gz):
        assert texts(path) == [NEWS] * 5000 + [LAW]


def test_folder_is_read_sorted_without_hidden_and_unknown_files(tmp_path: Path) -> None:
    for name in (
        "b.txt",
        "a/2.txt",
        "a/1.txt",
        ".hidden.txt",
        ".cache/c.txt",
        "a/x.pdf",
        "README.md",
        "a/1.txt.bak",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{NEWS}{name}", encoding="utf-8")
    documents, _ = split(items(tmp_path))
    assert [(d.source, d.id) for d in documents] == [
        ("a/1.txt", "a/1:1"),
        ("a/2.txt", "a/2:1"),
        ("b.txt", "b:1"),
    ]


# ids, languages, limit


def test_ids_are_kept_or_made_and_never_repeated(tmp_path: Path) -> None:
    rows = [{"text": NEWS, "id": id} for id in ("x#1", 5, "5", "", None, 1.5, True, "a:4", "b:1", "a:04")]
    a = write(tmp_path / "a.jsonl", *rows)
    b = write(tmp_path / "b.jsonl", LAW, LAW)
    documents, rejects = split(items(a, b))
    assert [d.id for d in documents] == ["x#1", "5", "a:4", "a:5", "a:6", "a:7", "b:1", "a:04", "b:2"]
    assert [(r.id, r.reason, r.unit) for r in rejects] == [
        ("5", "duplicate_id", "document"),
        ("a:4", "duplicate_id", "document"),
        ("b.jsonl:1", "duplicate_id", "document"),
    ]
    assert rejects[0].detail.startswith(f"{a}:3: ")


def test_a_rejected_record_leaves_its_id_free(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"id": "x", "text": " "}, {"id": "x", "text": NEWS})
    reject = only_reject(path)
    assert (reject.id, reject.reason) == ("x", "empty_text")


def test_files_of_one_stem_do_not_share_made_ids(tmp_path: Path) -> None:
    for name in ("a.txt", "a.jsonl", "x/a.txt", "y/a.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(NEWS), encoding="utf-8")
    documents, _ = split(items(tmp_path, tmp_path / "x/a.txt"))
    assert [d.id for d in documents] == ["a:1", "a~2:1", "x/a:1", "y/a:1", "a~3:1"]


@pytest.mark.parametrize(
    ("wanted", "said", "text", "lang"),
    [
        ("auto", None, NEWS, "zh"),
        ("auto", None, "The court held that the contract was valid.", "en"),
        ("auto", None, "他在 OpenStreetMap 上编辑地图数据", "zh"),
        ("auto", None, "The word 上海 means Shanghai, a port on the coast.", "en"),
        ("auto", None, "1984！", "en"),
        ("auto", "en", NEWS, "en"),
        ("auto", "fr", NEWS, "zh"),
        ("auto", ["en"], NEWS, "zh"),
        ("zh", "en", "Said to be Chinese.", "zh"),
    ],
)
def test_language(tmp_path: Path, wanted: str, said: object, text: str, lang: str) -> None:
    path = write(tmp_path / "a.jsonl", {"text": text, "lang": said})
    (document,) = read(CorpusSettings.model_validate({"sources": [{"path": str(path), "lang": wanted}]}))
    assert isinstance(document, Document)
    assert document.lang == lang


def test_limit_counts_documents_over_all_sources_in_order(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", NEWS, {"no": 1}, LAW)
    b = write(tmp_path / "b.jsonl", NEWS, LAW)
    documents, rejects = split(items(b, a, limit=4))
    assert [d.id for d in documents] == ["b:1", "b:2", "a:1", "a:3"]
    assert len(rejects) == 1
    assert [d.id for d in split(items(b, a, limit=1))[0]] == ["b:1"]


def test_the_text_field_can_have_another_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"content": NEWS, "text": 1})
    assert texts(path, text_field="content") == [NEWS]


# entities


def entity_of(tmp_path: Path, entities: object, text: str = "😀上海到上海") -> Document | Reject:
    path = write(tmp_path / "a.jsonl", {"id": "x", "text": text, "entities": entities}, NEWS)
    return items(path)[0]


def mark(start: object, end: object, kind: object = "地点", text: object = "上海") -> dict[str, object]:
    return {"start": start, "end": end, "type": kind, "text": text}


def test_entities_are_grouped_by_surface_and_type(tmp_path: Path) -> None:
    marks = [mark(4, 6), mark(1, 3, "城市"), mark(1, 3), mark(1, 3), mark(3, 4, "动作", "到")]
    document = entity_of(tmp_path, marks)
    assert isinstance(document, Document)
    assert document.entities == (
        Entity(surface="上海", type="地点", starts=(1, 4)),
        Entity(surface="上海", type="城市", starts=(1,)),
        Entity(surface="到", type="动作", starts=(3,)),
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], ()),
        (None, None),
        ("", None),
        ("[]", ()),
        (
            [{"surface": "上海", "start": 1, "end": 3, "type": "地点"}],
            (Entity(surface="上海", type="地点", starts=(1,)),),
        ),
        (json.dumps([mark(1, 3)]), (Entity(surface="上海", type="地点", starts=(1,)),)),
    ],
)
def test_annotated_empty_and_absent_entities(tmp_path: Path, value: object, expected: object) -> None:
    document = entity_of(tmp_path, value)
    assert isinstance(document, Document)
    assert document.entities == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([{"text": "上海", "type": "地点"}], "entity_without_offsets"),
        ([{"surface": "上海", "type": "地点"}], "entity_without_offsets"),
        ([mark(1, 3), mark(None, 3)], "entity_without_offsets"),
        ([mark(2, 4)], "entity_mismatch"),
        ([mark(0, 2)], "entity_mismatch"),
        ([mark(100, 102)], "entity_mismatch"),
        ([mark(-2, 6)], "entity_malformed"),
        ([mark(1.0, 3)], "entity_malformed"),
        ([mark(True, 3)], "entity_malformed"),
        ([mark(3, 1)], "entity_malformed"),
        ([mark(1, 3, " ")], "entity_malformed"),
        ([mark(1, 3, None)], "entity_malformed"),
        ([mark(1, 3, "地点", "")], "entity_malformed"),
        ([mark(1, 3, "地点", None)], "entity_malformed"),
        (["上海"], "entity_malformed"),
        ({"上海": "地点"}, "entity_malformed"),
        ("上海", "entity_malformed"),
    ],
)
def test_entities_that_cannot_be_trusted_reject_the_record(
    tmp_path: Path, value: object, reason: str
) -> None:
    reject = entity_of(tmp_path, value)
    assert isinstance(reject, Reject)
    assert (reject.id, reject.reason, reject.unit) == ("x", reason, "document")


def test_half_a_surrogate_in_a_type_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        json.dumps({"text": "上海", "entities": [mark(0, 2, "\ud800")]}) + f'\n"{NEWS}"', encoding="utf-8"
    )
    assert only_reject(path).reason == "invalid_unicode"


# bad lines and records: a reject each, and the rest goes on


@pytest.mark.parametrize(
    ("line", "reason", "unit"),
    [
        (b'{"text": "cut', "not_json", "line"),
        (b"{'text': 'python'}", "not_json", "line"),
        (b"[" * 200_000, "not_json", "line"),
        (b"[1]", "not_an_object", "line"),
        (b"12", "not_an_object", "line"),
        (b"null", "not_an_object", "line"),
        (b'{"body": "x"}', "no_text", "line"),
        (b'{"text": null}', "no_text", "line"),
        (b'{"text": ""}', "empty_text", "document"),
        ('{"text": " \u3000\\n"}'.encode(), "empty_text", "document"),
        (b'""', "empty_text", "document"),
        (b'{"text": 12}', "text_not_string", "document"),
        (b'{"text": ["x"]}', "text_not_string", "document"),
        (b'{"text": "a\0b"}', "nul_byte", "document"),
        (rb'{"text": "a\u0000b"}', "nul_byte", "document"),
        (rb'{"text": "a\ud800b"}', "invalid_unicode", "document"),
        (rb'{"text": "x", "id": "\ud800"}', "invalid_unicode", "document"),
        ('{"text": "上'.encode()[:-1] + b'"}', "invalid_utf8", "line"),
        (b'{"text": "\xed\xa0\x80"}', "invalid_utf8", "line"),
    ],
)
@pytest.mark.parametrize("bad_first", [True, False])
def test_bad_json_lines(tmp_path: Path, line: bytes, reason: str, unit: str, bad_first: bool) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps({"text": NEWS}, ensure_ascii=False).encode()
    path.write_bytes(b"\n".join([line, good] if bad_first else [good, line]))
    reject = only_reject(path)
    number = 1 if bad_first else 2
    assert (reject.id, reject.reason, reject.unit) == (f"a.jsonl:{number}", reason, unit)
    assert reject.detail.startswith(f"{path}:{number}: ")
    assert len(reject.detail) > len(f"{path}:{number}: ")


def test_a_whole_surrogate_pair_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(r'{"text": "\ud83d\ude00"}', encoding="utf-8")
    assert texts(path) == ["😀"]


def test_a_nul_byte_in_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{NEWS}\na\0b\n", encoding="utf-8")
    assert only_reject(path).reason == "nul_byte"


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.csv"])
def test_a_line_over_the_limit_is_a_reject_and_not_held(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(b"text\n" if name == "a.csv" else b"")
        for _ in range(32):
            file.write(b"x" * MB)
        file.write(b'\n"y"\n')
    tracemalloc.start()
    reject = only_reject(path, max_line_mb=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (reject.reason, reject.unit) == ("line_too_long", "line")
    assert peak < 8 * MB


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_limit_counts_the_bytes_of_the_line_itself(tmp_path: Path, extra: int, end: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(f"{NEWS}\n".encode() + b"x" * (MB + extra) + end)
    documents, rejects = split(items(path, max_line_mb=1))
    assert [len(d.text) for d in documents[1:]] == [MB] * (1 - extra)
    assert [r.reason for r in rejects] == ["line_too_long"] * extra


def test_an_unclosed_quote_does_not_swallow_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'text\n{NEWS}\n"open\n' + f"{'x' * 1000}\n" * 2500 + f"{LAW}\n", encoding="utf-8")
    documents, rejects = split(items(path, max_line_mb=1))
    assert {r.reason for r in rejects} == {"line_too_long"}
    assert documents[0].text == NEWS
    assert documents[-1].text == LAW


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt", "a.csv"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "gb18030"])
def test_a_single_line_of_ten_megabytes(tmp_path: Path, name: str, codec: str) -> None:
    text = NEWS * (10 * MB // len(NEWS.encode()))
    quoted = f'"{text}"'
    body = {"a.jsonl": quoted, "a.json": f"[{quoted}]", "a.txt": text, "a.csv": f"text\n{quoted}"}[name]
    path = tmp_path / name
    path.write_bytes(body.encode(codec))
    assert texts(path) == [text]


# encodings


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
@pytest.mark.parametrize("text", [NEWS, TRADITIONAL], ids=["simplified", "traditional"])
def test_encodings_are_recognised(tmp_path: Path, codec: str, name: str, text: str) -> None:
    path = tmp_path / name
    quoted = f'"{text}"'
    lines = {
        "a.jsonl": f"{quoted}\n{quoted}",
        "a.json": f"[{quoted},\n{quoted}]",
        "a.csv": f"text\n{text}\n{text}",
    }
    path.write_bytes(lines.get(name, f"{text}\n{text}\n").encode(codec))
    assert texts(path) == [text, text]


@pytest.mark.parametrize("mark", ["utf-16-le", "utf-16-be"])
def test_both_byte_orders_of_utf16(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(f"\ufeff{NEWS}\r\n\u0a0a\n".encode(mark))
    assert texts(path) == [NEWS, "\u0a0a"]


def test_gb18030_is_logged_once_and_a_later_bad_line_is_a_reject(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.txt"
    line = f"{NEWS}{LAW}\n".encode("gb18030")
    path.write_bytes(line * (2 * MB // len(line)) + b"\xff\xff\n" + line)
    with caplog.at_level(logging.WARNING, logger="sinoner"):
        documents, rejects = split(items(path))
    assert {d.text for d in documents} == {NEWS + LAW}
    assert [(r.reason, r.unit) for r in rejects] == [("invalid_encoding", "line")]
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("text", [NEWS, TRADITIONAL])
@pytest.mark.parametrize("bad", [b"\xff", b"\xe4\xb8", b"\x80\x80"])
def test_utf8_with_a_bad_line_is_not_taken_for_gb18030(tmp_path: Path, text: str, bad: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(f"{text}\n".encode() + text[:2].encode() + bad + text[2:].encode() + b"\n")
    reject = only_reject(path)
    assert (reject.reason, reject.unit) == ("invalid_utf8", "line")
    assert reject.detail.startswith(f"{path}:2: ")


def test_ascii_with_a_bad_line_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"plain\n\xff\xfe\n")
    assert only_reject(path).reason == "invalid_utf8"


def test_utf8_that_turns_bad_after_the_first_megabyte(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    line = f"{NEWS}\n".encode()
    path.write_bytes(line * (2 * MB // len(line)) + LAW.encode("gb18030") + b"\n" + line)
    documents, rejects = split(items(path))
    assert [r.reason for r in rejects] == ["invalid_utf8"]
    assert {d.text for d in documents} == {NEWS}


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_a_character_across_the_first_megabyte_is_no_mistake(tmp_path: Path, shift: int) -> None:
    path = tmp_path / "a.txt"
    text = "x" * shift + "海" * (MB // 2)
    path.write_text(text, encoding="utf-8")
    assert texts(path) == [text]
    path.write_text(text, encoding="gb18030")
    assert texts(path) == [text]


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        ("déjà vu à l'été, où les élèves étaient fâchés\nl'élève dégoûté\n".encode("latin-1"), 1),
        (f"{TRADITIONAL}\n".encode("big5") * 3, 0),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x80\x81\x82\xff\xff\xfe\xfd\n\xff", 0),
    ],
    ids=["latin-1", "big5", "binary"],
)
def test_an_encoding_nobody_can_tell(tmp_path: Path, data: bytes, offset: int) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    message = mistake(path)
    assert message.startswith(f"{path}: byte {offset} ")
    assert "corpus.encoding" in message


@pytest.mark.parametrize("codec", ["big5", "latin-1", "utf-16-le", "cp037", "utf-8-sig"])
def test_a_named_encoding_is_used(tmp_path: Path, codec: str) -> None:
    text = TRADITIONAL if codec == "big5" else "café" if codec in ("latin-1", "cp037") else NEWS
    path = tmp_path / "a.txt"
    path.write_bytes(f"{text}\n{text}\n".encode(codec))
    assert texts(path, encoding=codec) == [text, text]


def test_a_named_encoding_rejects_the_lines_it_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(TRADITIONAL.encode("big5") + b"\n\xff\xff\n")
    assert only_reject(path, encoding="big5").reason == "invalid_encoding"


@pytest.mark.parametrize("name", ["utf-9", "hex", "rot13", "", "undefined", "a\0b"])
def test_an_unknown_encoding(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.jsonl", NEWS)
    assert mistake(path, encoding=name).startswith("corpus.encoding: unknown encoding")


@pytest.mark.parametrize("name", ["a.txt", "a.json"])
def test_text_that_cannot_be_cut_before_decoding_must_decode(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(codecs.BOM_UTF16_LE + b'"\0' + b"x\0" * 40_000 + b"\x00\xd8\x00\x00")
    assert mistake(path).startswith(f"{path}: byte 80004 is not utf-16; set corpus.encoding")


def test_utf16_by_name_without_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(NEWS.encode("utf-16-be"))
    assert "is not utf-16" in mistake(path, encoding="utf-16")


# what stops the reading: one clear line


def test_no_sources() -> None:
    assert "corpus.sources" in mistake()


@pytest.mark.parametrize("name", ["a.jsonl", "folder", "hf.parquet"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    assert mistake(tmp_path / name) == f"{tmp_path / name}: no such file or folder"


def test_a_name_no_file_can_have(tmp_path: Path) -> None:
    assert "cannot be read" in mistake(tmp_path / ("a" * 5000 + ".txt"))
    assert "no such file" in mistake(f"{tmp_path}/a\0.txt")


def test_a_missing_source_is_found_before_anything_is_read(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", NEWS)
    with pytest.raises(InputError, match="no such file"):
        next(read(corpus(a, tmp_path / "b.jsonl")))


def test_an_unknown_kind_names_the_known_ones(tmp_path: Path) -> None:
    for name in ("a.pdf", "a.gz", "a", "a.jsonl.bz2"):
        path = tmp_path / name
        path.write_text(NEWS, encoding="utf-8")
        assert all(kind in mistake(path) for kind in (str(path), ".jsonl", ".parquet", ".gz", ".zst"))


def test_a_folder_without_readable_files(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_text("x", encoding="utf-8")
    message = mistake(tmp_path)
    assert message.startswith(f"{tmp_path}: no readable file")
    assert ".jsonl" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("locked", ["x/a.txt", "x"])
@pytest.mark.parametrize("whole_folder", [True, False])
def test_a_file_nobody_may_read(tmp_path: Path, locked: str, whole_folder: bool) -> None:
    path = tmp_path / "x" / "a.txt"
    path.parent.mkdir()
    path.write_text(NEWS, encoding="utf-8")
    (tmp_path / locked).chmod(0)
    try:
        message = mistake(tmp_path if whole_folder else path)
    finally:
        (tmp_path / locked).chmod(0o700)
    assert message == f"{tmp_path / locked if whole_folder else path}: cannot be read: Permission denied"


@pytest.mark.parametrize("body", ["", "\n\n \n"])
def test_an_empty_corpus(tmp_path: Path, body: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(body, encoding="utf-8")
    assert mistake(path) == f"{path}: contains no documents; 0 lines were rejected"


def test_a_corpus_of_rejects(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", {"text": ""}, 1, {"text": " "})
    b = write(tmp_path / "b.json")
    found = read(corpus(a, b))
    assert [next(found).id for _ in range(3)] == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3"]
    with pytest.raises(InputError) as caught:
        next(found)
    assert str(caught.value) == (
        f"{a}, {b}: contains no documents; 3 lines were rejected (empty_text 2, not_an_object 1)"
    )


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_text_field_that_no_record_has(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        pyarrow.parquet.write_table(pyarrow.table({"content": [NEWS], "title": ["x"]}), path)
    elif name.endswith("csv"):
        path.write_text(f"content,title\n{NEWS},x\n", encoding="utf-8")
    else:
        write(path, {"content": NEWS, "title": "x"})
    assert mistake(path) == (
        f"{path}: no record has a field 'text'; the fields are content, title; set corpus.text_field"
    )


def test_a_text_field_that_some_file_of_the_folder_has(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"content": LAW})
    write(tmp_path / "b.jsonl", {"text": NEWS})
    reject = only_reject(tmp_path)
    assert (reject.id, reject.reason) == ("a.jsonl:1", "no_text")


@pytest.mark.parametrize(
    "body",
    [
        '[{"text": "x"}',
        '[{"text": "x"} {"text": "y"}]',
        '[{"text": "x"}] 1',
        '[{"text": "x"}, {',
        "{",
        "[,]",
        "[1,]",
    ],
)
def test_json_that_is_none(tmp_path: Path, body: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(body, encoding="utf-8")
    message = mistake(path)
    assert message.startswith(f"{path}: item ")
    assert "is not JSON" in message


def test_a_json_value_without_end_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'["' + b"x" * (32 * MB))
    tracemalloc.start()
    assert "corpus.max_line_mb" in mistake(path, max_line_mb=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * MB


@pytest.mark.parametrize("keep", [0.3, 0.999])
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.parquet.gz"])
def test_a_file_that_was_cut_off(tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    if "parquet" in name:
        pyarrow.parquet.write_table(pyarrow.table({"text": [f"{NEWS}{n}" for n in range(2000)]}), path)
        data = path.read_bytes()
    else:
        data = "".join(json.dumps(f"{NEWS}{n * n}") + "\n" for n in range(2000)).encode()
    data = gzip.compress(data) if name.endswith(".gz") else data
    data = zstandard.ZstdCompressor().compress(data) if name.endswith(".zst") else data
    path.write_bytes(data[: int(len(data) * keep)])
    assert mistake(path).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"something quite different" * 100)
    assert mistake(path).startswith(f"{path}: ")


def test_a_csv_header_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"text"x\nabc\n', encoding="utf-8")
    assert mistake(path).startswith(f"{path}:1: the header cannot be read")


# streaming


def test_memory_is_that_of_one_record(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    line = json.dumps(NEWS * 100, ensure_ascii=False).encode() + b"\n"
    path.write_bytes(line * (40 * MB // len(line)))
    tracemalloc.start()
    count = sum(1 for _ in read(corpus(path)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 40 * MB // len(line)
    assert peak < 6 * MB


def test_reading_stops_where_the_reader_stops(tmp_path: Path) -> None:
    """The file turns bad after the documents that are asked for."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps([NEWS] * 5)[:-1] + "," + "]" * 9 + " " * MB, encoding="utf-8")
    found: Iterator[Document | Reject] = read(corpus(path))
    assert [next(found).id for _ in range(5)] == [f"a:{n}" for n in range(1, 6)]
    with pytest.raises(InputError):
        next(found)
    assert len(items(path, limit=5)) == 5


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=2 * settings.default.max_examples,
    deadline=None,
)
@given(
    data=st.binary(max_size=200), name=st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.txt", "a.txt.zst"])
)
def test_any_bytes_give_records_or_one_clear_line(tmp_path: Path, data: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    try:
        found = items(path)
    except InputError as error:
        found = []
        if str(path) not in str(error) or "\n" in str(error):
            raise
    for item in found:
        assert disk.parse(disk.line(item), type(item)) == item


def test_a_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"\xff.txt")
    try:
        with open(path, "wb") as file:
            file.write(f"{NEWS}\n\0\n".encode())
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    written = [json.loads(disk.line(item)) for item in items(tmp_path)]
    assert [item["id"] for item in written] == ["\ufffd:1", "\ufffd.txt:2"]


# the Hub


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("hf://datasets/owner/name", ("owner/name", "train")),
        ("hf://datasets/owner/name@test", ("owner/name", "test")),
        ("hf://datasets/owner/name@train[:10]", ("owner/name", "train[:10]")),
        ("hf://datasets/name", ("name", "train")),
    ],
)
def test_hub_paths(path: str, expected: tuple[str, str]) -> None:
    assert parse_hub_path(path) == expected


@pytest.mark.parametrize(
    "path", ["hf://owner/name", "hf://datasets/a/b/c.jsonl", "hf://datasets/", "hf://datasets/a/b@"]
)
def test_hub_paths_that_are_none(path: str) -> None:
    assert "hf://datasets/OWNER/NAME" in mistake(path)


def test_a_hub_that_cannot_be_reached() -> None:
    code = (
        "from sinoner.corpus.read import read\n"
        "from sinoner.errors import InputError\n"
        "from sinoner.settings import CorpusSettings\n"
        "try:\n"
        "    list(read(CorpusSettings(sources='hf://datasets/owner/name')))\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("hf://datasets/owner/name: cannot be read from the Hub: ")
    assert done.stdout.count("\n") == 1
