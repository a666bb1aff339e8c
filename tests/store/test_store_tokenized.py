"""Tokens kept in the run folder, and the stop words that the settings name."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sinoner import disk, resources
from sinoner.engine import InProcess, engine_of
from sinoner.errors import InputError, StoppedError
from sinoner.records import Lang
from sinoner.retrieve.tokenize import cut, kept
from sinoner.store.tokenized import Tokens, stop_words

TEXTS = ["我在北京大学读书。", "他住在上海市浦东新区。", "今天天气很好。"]


def kept_in(path: Path) -> list[tuple[str, list[str]]]:
    return [tuple(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def test_tokens_are_kept_and_not_cut_again(tmp_path: Path) -> None:
    path = tmp_path / "made" / "tokens.jsonl"
    assert Tokens(path, "zh", InProcess()).of(TEXTS) == list(cut(TEXTS, "zh"))
    rows = kept_in(path)
    assert [tokens for _, tokens in rows] == list(cut(TEXTS, "zh"))
    # What the file says is believed, so it was read and nothing was cut.
    rows[1] = (rows[1][0], ["what", "stands", "there"])
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    before = path.read_bytes()
    assert Tokens(path, "zh", InProcess()).of(TEXTS[::-1])[1] == ["what", "stands", "there"]
    assert path.read_bytes() == before


def test_only_new_texts_are_added_and_equal_ones_once(tmp_path: Path) -> None:
    path = tmp_path / "tokens.jsonl"
    tokens = Tokens(path, "zh", InProcess())
    tokens.of(TEXTS[:1])
    begin = path.read_bytes()
    found = tokens.of([TEXTS[1], TEXTS[0], TEXTS[1], ""])
    assert found == list(cut([TEXTS[1], TEXTS[0], TEXTS[1], ""], "zh"))
    assert path.read_bytes().startswith(begin)
    assert len(kept_in(path)) == 3
    assert tokens.of([]) == []
    assert tokens.of(TEXTS) == Tokens(path, "zh", InProcess()).of(TEXTS) == list(cut(TEXTS, "zh"))


@pytest.mark.parametrize("torn", [b'["', b'["0123', b'{"half', '["ab", ["北'.encode()[:-1]])
def test_a_torn_last_line_is_ignored_and_replaced(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "tokens.jsonl"
    Tokens(path, "zh", InProcess()).of(TEXTS[:2])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert Tokens(path, "zh", InProcess()).of(TEXTS) == list(cut(TEXTS, "zh"))
    assert path.read_bytes().startswith(whole)
    assert len(kept_in(path)) == 3  # every line can be read


@pytest.mark.parametrize("damage", [b"\0" * 40, b"[]", b'["x"]', b'["x", 3, 4]', b"5"])
def test_a_damaged_line_is_cut_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "tokens.jsonl"
    Tokens(path, "zh", InProcess()).of(TEXTS)
    lines = path.read_bytes().splitlines()
    key = lines[1][:36]
    for line in (damage, key + b"]", key + b',[1,"a"]]', key + b',"ab"]', key + b',["a"'):
        path.write_bytes(b"\n".join([lines[0], line, lines[2]]) + b"\n")
        assert Tokens(path, "zh", InProcess()).of(TEXTS) == list(cut(TEXTS, "zh"))
        assert Tokens(path, "zh", InProcess()).of(TEXTS[1:2]) == list(cut(TEXTS[1:2], "zh"))


def test_tokens_of_another_tokenizer_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokens.jsonl"
    Tokens(path, "zh", InProcess()).of(TEXTS)
    monkeypatch.setattr("sinoner.store.tokenized.tokenizer", lambda lang: "jieba 99")
    Tokens(path, "zh", InProcess()).of(TEXTS)
    keys = [key for key, _ in kept_in(path)]
    assert len(keys) == len(set(keys)) == 6


def test_english_needs_no_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.jsonl"
    assert Tokens(path, "en", engine_of(2)).of(["The  cat,", "a\ncat"]) == [["The", "cat,"], ["a", "cat"]]
    assert not path.exists()


def test_two_workers_write_what_one_writes(tmp_path: Path) -> None:
    texts = [f"第{i}篇：张伟在北京大学教书，李娜住在上海市。" for i in range(600)]
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    assert (
        Tokens(one, "zh", InProcess()).of(texts)
        == Tokens(two, "zh", engine_of(2)).of(texts)
        == list(cut(texts, "zh"))
    )
    assert one.read_bytes() == two.read_bytes()


KILLED = """
import sys
from pathlib import Path
from sinoner.engine import InProcess
from sinoner.store.tokenized import Tokens
Tokens(Path(sys.argv[1]), "zh", InProcess()).of([f"第{i}篇：" + "张伟在北京大学教书，李娜住在上海市。" * 9 for i in range(20000)])
"""


def test_a_killed_run_keeps_what_it_cut(tmp_path: Path) -> None:
    path = tmp_path / "tokens.jsonl"
    run = subprocess.Popen([sys.executable, "-c", KILLED, str(path)])
    end = time.monotonic() + 60
    first = 250_000  # bytes: the first 256 texts are whole then, and the next are being written
    while not (path.exists() and path.stat().st_size > first) and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    size = path.stat().st_size
    assert size
    texts = [f"第{i}篇：" + "张伟在北京大学教书，李娜住在上海市。" * 9 for i in range(256)]
    assert Tokens(path, "zh", InProcess()).of(texts) == list(cut(texts, "zh"))
    assert path.stat().st_size == size  # they were all there


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_said() -> None:
    with pytest.raises(StoppedError, match="disk full"):
        disk.append(Path("/dev/full"), b"x\n")


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_shipped_list_is_clean(lang: Lang) -> None:
    path = resources.data_root() / "data_recipes" / "stopwords" / f"{lang}.txt"
    lines = [x for x in path.read_text(encoding="utf-8").splitlines() if x and not x.startswith("# ")]
    assert len(lines) == len(set(lines)) > 500
    assert not [x for x in lines if x.split() != [x]]
    assert stop_words("shipped", lang) == set(lines)


def test_the_shipped_lists_take_function_words_and_leave_names_and_numbers() -> None:
    text = "他们在1998年和张伟、李娜一起来到了北京大学；3个人都住在“中关村”。"
    assert kept(next(cut((text,), "zh")), stop_words("shipped", "zh")) == [
        "1998", "年", "张伟", "李娜", "来到", "北京大学", "个人", "住", "中关村",
    ]  # fmt: skip
    text = "The bank isn’t in Paris , and it's been open since 1998 ."
    assert kept(next(cut((text,), "en")), stop_words("shipped", "en")) == ["bank", "Paris", "open", "1998"]


def test_no_stop_words_and_those_of_a_file(tmp_path: Path) -> None:
    assert stop_words("none", "zh") == frozenset()
    path = tmp_path / "own.txt"
    path.write_text("\ufeff的\n# a comment\n北京\n", encoding="utf-8")
    assert stop_words(str(path), "zh") == stop_words(str(path), "en") == {"的", "北京"}


def test_a_stop_word_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^retrieve\.stop_words: .*gone\.txt: no such file; give a file.*$"):
        stop_words(str(tmp_path / "gone.txt"), "zh")
    path = tmp_path / "gbk.txt"
    path.write_bytes("的\n".encode("gbk"))
    with pytest.raises(InputError, match=r"gbk\.txt: is not UTF-8 \(byte 0\)"):
        stop_words(str(path), "zh")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        stop_words(str(tmp_path), "zh")
