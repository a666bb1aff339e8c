"""A folder under its name is always complete: the old one or the new one, whenever the process dies."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sinoner import atomic_folder
from sinoner.atomic_folder import AtomicFolder
from sinoner.errors import InputError, StoppedError


def dying_writer(target: Path, stop: int, after: bool, exchange: bool) -> int:
    """Write the folder in a process that dies at the n-th call that reaches the disk; 0 when there are fewer."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls = 0

    def dies(function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            mine = calls
            if mine == stop and not after:
                os._exit(9)
            try:
                return function(*arguments, **options)
            finally:
                if mine == stop:
                    os._exit(9)

        return wrapped

    try:
        if not exchange:
            atomic_folder._exchanged = lambda one, other: False
        steps = ((os, "rename fsync mkdir unlink rmdir"), (shutil, "rmtree"), (atomic_folder, "_exchanged"))
        for module, names in steps:
            for name in names.split():
                setattr(module, name, dies(getattr(module, name)))
        with AtomicFolder(target) as part:
            fill(part, "new")
    except BaseException:
        os._exit(1)
    os._exit(0)


def fill(folder: Path, word: str) -> None:
    for name in ("a", "b"):
        (folder / name).write_text(word)


def holds(folder: Path) -> set[str]:
    assert sorted(p.name for p in folder.iterdir()) == ["a", "b"]
    return {p.read_text() for p in folder.iterdir()}


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("older", [True, False])
def test_killed_at_every_step_the_name_holds_the_old_or_the_new(
    tmp_path: Path, older: bool, exchange: bool, after: bool
) -> None:
    seen: set[str] = set()
    for stop in range(1, 40):
        home = tmp_path / str(stop)
        target = home / "model"
        if older:
            target.mkdir(parents=True)
            fill(target, "old")
        code = dying_writer(target, stop, after, exchange)
        assert code in (0, 9)
        if older and exchange:
            assert target.is_dir()
        with pytest.raises(KeyboardInterrupt), AtomicFolder(target):
            raise KeyboardInterrupt  # the next use clears up, and puts an old folder back
        assert [p.name for p in home.iterdir()] == (["model"] if target.exists() else [])
        if target.exists():
            (word,) = holds(target)
            seen.add(word)
        else:
            assert not older
            seen.add("none")
        if code == 0:
            break
    else:
        pytest.fail("the writer never came to its end")
    assert stop > 5
    assert seen == ({"old", "new"} if older else {"none", "new"})


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_takes_the_place_of_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(atomic_folder, "_exchanged", lambda one, other: False)
    target = tmp_path / "deep" / "model"
    for word in ("one", "two"):
        with AtomicFolder(target) as part:
            fill(part, word)
            assert not target.exists() or holds(target) == {"one"}
        assert holds(target) == {word}
    assert [p.name for p in target.parent.iterdir()] == ["model"]


def test_a_reader_of_the_old_folder_reads_on(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with AtomicFolder(target) as part:
        fill(part, "old")
    with (target / "a").open() as file:
        with AtomicFolder(target) as part:
            fill(part, "new")
        assert file.read() == "old"
    assert holds(target) == {"new"}


def test_a_mistake_inside_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with AtomicFolder(target) as part:
        fill(part, "old")
    with pytest.raises(ValueError, match="no"), AtomicFolder(target) as part:
        fill(part, "new")
        raise ValueError("no")
    assert holds(target) == {"old"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_two_writers_leave_each_other_alone(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with AtomicFolder(target) as part:
        fill(part, "slow")
        assert dying_writer(target, 0, after=True, exchange=True) == 0
        assert holds(target) == {"new"}
        assert part.is_dir()
    assert holds(target) == {"slow"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_what_is_not_a_leftover_stays(tmp_path: Path) -> None:
    for name in (".model.part", ".model.x.old", ".models.1.part", "model.1.part"):
        (tmp_path / name).mkdir()
    with AtomicFolder(tmp_path / "model") as part:
        fill(part, "new")
    assert len(list(tmp_path.iterdir())) == 5


def test_a_full_disk_and_no_permission_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoppedError, match="disk full; free some space"), AtomicFolder(tmp_path / "model"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(InputError, match="no permission to write there"), AtomicFolder(tmp_path / "model"):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "model"))
    assert list(tmp_path.iterdir()) == []

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(InputError, match="no permission"), AtomicFolder(tmp_path / "model") as part:
        fill(part, "new")
    assert list(tmp_path.iterdir()) == []
