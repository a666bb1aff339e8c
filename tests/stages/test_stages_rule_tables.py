"""annotate.by=table on a run folder: where the table is found, what runs again, and what is said of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sinoner import disk
from sinoner import recipe as recipes
from sinoner.cli.app import app
from sinoner.errors import InputError
from sinoner.records import Annotation
from sinoner.settings import AnnotateSettings
from sinoner.stages.rule_tables import table_of


def sinoner(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "my.jsonl"
    rows = [{"id": "a", "text": "阿司匹林在上海上市。"}, {"id": "b", "text": "Aspirin is sold in Oslo."}]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def labelled(run: Path) -> list[tuple[str, str, str]]:
    rows = disk.read_records(run / "annotations.jsonl", Annotation)
    return [(a.by.label, e.surface, e.type) for a in rows for e in a.entities]


def test_a_changed_table_runs_the_stage_again_and_the_same_does_not(corpus: Path, tmp_path: Path) -> None:
    run, table = tmp_path / "run", tmp_path / "drugs.tsv"
    table.write_text("\ufeff阿司匹林\t药品\nAspirin\tdrug\n", encoding="utf-8")
    said = sinoner("annotate", corpus, "--out", run, "--table", table)
    assert said.exit_code == 0, said.output
    assert labelled(run) == [("table", "阿司匹林", "药品"), ("table", "Aspirin", "drug")]
    said = sinoner("annotate", corpus, "--out", run, "--by", "table", "--table", table)
    assert "annotate: unchanged, skipped" in said.stderr
    table.write_text("Oslo\tplace\n", encoding="utf-8")
    said = sinoner("annotate", run)
    assert said.exit_code == 0, said.output
    assert labelled(run) == [("table", "Oslo", "place")]


def test_the_shipped_table_goes_by_its_name(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zh").mkdir()  # a folder of that name is not meant
    said = sinoner("annotate", corpus, "--out", "run", "--table", "zh")
    assert said.exit_code == 0, said.output
    assert labelled(tmp_path / "run") == [("table", "上海", "地点")]


def test_a_table_is_found_beside_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("terms: {a: [b]}\n", encoding="utf-8")
    path = tmp_path / "recipe.yaml"
    path.write_text("annotate: {by: table, table: my.yaml}\n", encoding="utf-8")
    assert recipes.load(path).annotate.table == str(tmp_path / "my.yaml")
    assert [t.word for t in table_of(recipes.load(path).annotate).terms] == ["b"]


def test_mistakes_are_told_in_one_line_before_anything_is_written(corpus: Path, tmp_path: Path) -> None:
    run, table = tmp_path / "run", tmp_path / "t.yaml"
    table.write_text("patterns:\n  a: ['(']\n", encoding="utf-8")
    said = sinoner("annotate", corpus, "--out", run, "--table", table)
    assert said.exit_code == 2
    assert f"sinoner: {table}:2: '(' is no regular expression" in said.stderr
    assert not (run / "annotations.jsonl").exists()


def test_another_annotator_and_a_table_do_not_go_together(corpus: Path, tmp_path: Path) -> None:
    said = sinoner("annotate", corpus, "--out", tmp_path / "run", "--by", "jieba", "--table", "zh")
    assert said.exit_code == 2
    assert "--table requires --by table" in said.stderr


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (None, b"", r"annotate\.by=table needs annotate\.table: a file, or a shipped table \(zh\)"),
        ("none.tsv", None, r"none\.tsv: no such file; shipped tables: zh"),
        ("t.tsv", "阿司匹林\t药品".encode("gb18030"), r"t\.tsv: is not UTF-8 \(byte \d+\)"),
        (".", None, r"cannot be read: Is a directory"),
    ],
)
def test_tables_that_cannot_be_read(
    tmp_path: Path, name: str | None, content: bytes | None, said: str
) -> None:
    if name and content:
        (tmp_path / name).write_bytes(content)
    settings = AnnotateSettings(by="table", table=name and str(tmp_path / name))
    with pytest.raises(InputError, match=said):
        table_of(settings)


def test_check_reads_the_table(tmp_path: Path, corpus: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"corpus: {{sources: {corpus}}}\nannotate: {{by: table}}\n", encoding="utf-8")
    said = sinoner("check", path)
    assert said.exit_code == 2
    assert "annotate.by=table needs annotate.table" in said.stderr


def test_a_missing_table_is_told_even_when_all_labels_come_with_the_corpus(tmp_path: Path) -> None:
    corpus = tmp_path / "labelled.jsonl"
    corpus.write_text(json.dumps({"id": "a", "text": "He is in Oslo.", "entities": []}) + "\n")
    said = sinoner("annotate", corpus, "--out", tmp_path / "run", "--table", tmp_path / "nope.tsv")
    assert said.exit_code == 2
    assert "nope.tsv: no such file; shipped tables: zh" in said.stderr
    assert not (tmp_path / "run/annotations.jsonl").exists()
