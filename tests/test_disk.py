import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sinoner import disk
from sinoner.errors import InputError, StoppedError
from sinoner.records import Passage

PASSAGE = Passage(id="a#0", text="北京。", source="s", lang="zh")


def test_records_come_back_unescaped(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.jsonl"
    assert disk.write_records(path, [PASSAGE, PASSAGE]) == 2
    assert "北京" in path.read_text(encoding="utf-8")
    assert list(disk.read_records(path, Passage)) == [PASSAGE, PASSAGE]


def test_a_failure_leaves_neither_half_a_file_nor_the_loss_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    disk.write_records(path, [PASSAGE])

    def broken() -> Iterator[Passage]:
        yield PASSAGE
        yield PASSAGE
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        disk.write_records(path, broken())
    assert [p.name for p in tmp_path.iterdir()] == ["x.jsonl"]
    assert len(list(disk.read_records(path, Passage))) == 1


def test_a_full_disk_stops_the_run_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoppedError, match="disk full.*run the same command again"):
        disk.write_records(tmp_path / "x.jsonl", [PASSAGE])
    assert list(tmp_path.iterdir()) == []


def test_a_really_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        with pytest.raises(StoppedError, match="disk full"):
            disk.write_records(small / "x.jsonl", [PASSAGE] * 10_000)
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(disk.line(PASSAGE).decode() + '{"id": 3}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.jsonl:2: not a Passage record"):
        list(disk.read_records(path, Passage))
    with pytest.raises(InputError, match="no such file"):
        list(disk.read_records(tmp_path / "none", Passage))


def test_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    assert disk.write_rows(path, [{"a": "中"}, {}]) == 2
    assert path.read_text(encoding="utf-8") == '{"a": "中"}\n{}\n'


def test_hash_of_a_folder_sees_names_and_contents(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("x")
    assert disk.sha256(tmp_path / "a") == disk.sha256(tmp_path / "b")
    (tmp_path / "b" / "f").rename(tmp_path / "b" / "g")
    assert disk.sha256(tmp_path / "a") != disk.sha256(tmp_path / "b")
    (tmp_path / "b" / "g").rename(tmp_path / "b" / "f")
    (tmp_path / "b" / "f").write_text("y")
    assert disk.sha256(tmp_path / "a") != disk.sha256(tmp_path / "b")


def test_lines_are_parsed_one_by_one_or_all_at_once() -> None:
    passages = [Passage(id=f"d#{n}", text="文", source="s", lang="zh") for n in range(3)]
    lines = [disk.line(p) for p in passages]
    assert [disk.parse(line, Passage) for line in lines] == passages
    assert disk.parse_lines(b"".join(lines), Passage) == passages
    assert disk.parse_lines(b"", Passage) == []


@pytest.mark.parametrize(
    "line", [b"", b"{", b'{"id":"d#0"}\n', b'{"id":"","text":"x","source":"s","lang":"zh"}\n']
)
def test_what_is_no_such_record_is_a_value_error(line: bytes) -> None:
    good = disk.line(Passage(id="d#0", text="文", source="s", lang="zh"))
    with pytest.raises(ValueError, match="."):
        disk.parse(line, Passage)
    if line:
        with pytest.raises(ValueError, match="."):
            disk.parse_lines(good + line, Passage)
