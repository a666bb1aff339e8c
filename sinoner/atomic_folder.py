"""A folder that appears under its name only when it is complete."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from sinoner.disk import writing

_HERE = -100  # AT_FDCWD: paths are as the process sees them (linux/fcntl.h)
_EXCHANGE = 2  # RENAME_EXCHANGE (linux/fs.h)
# The file system or the system cannot exchange two names.
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)


class AtomicFolder:
    """A folder that takes its name, in the place of an older one, only when it is complete.

    Use as a context manager; its value is a new folder beside the final one, to be filled. An exception inside removes
    it and leaves the older folder as it was. A process that is killed leaves the old folder or the new one under the
    name, where the system can exchange names (Linux); elsewhere it may leave the old one beside it for a moment, and
    the next use puts it back. What a killed process left is removed by the next use. An old folder is renamed before it
    is removed, so whoever has files of it open goes on reading them.

    Raises:
        InputError: there is no permission to write.
        StoppedError: the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._part = self._beside("part")
        self._old = self._beside("old")
        self._lock = -1

    def __enter__(self) -> Path:
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._clear()
            self._lock = _locked_folder(self._part)
        return self._part

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with writing(self.path):
                if isinstance(value, OSError):
                    raise value
                if kind is None:
                    _sync(self._part)
                    self._take_the_name()
                    _sync_names(self.path.parent)
        finally:
            os.close(self._lock)
            for folder in (self._part, self._old):
                shutil.rmtree(folder, ignore_errors=True)

    def _beside(self, state: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{os.getpid()}.{state}")

    def _take_the_name(self) -> None:
        if not self.path.exists():
            os.rename(self._part, self.path)
            return
        if _exchanged(self._part, self.path):
            return  # the old folder has the name of the part now
        lock = _try_lock(self.path)  # so that no other process takes the old folder for a leftover
        try:
            os.rename(self.path, self._old)
            try:
                os.rename(self._part, self.path)
            except OSError:
                os.rename(self._old, self.path)
                raise
        finally:
            if lock is not None:
                os.close(lock)

    def _clear(self) -> None:
        """Remove what killed processes left; an old folder goes back to its name if nothing has it."""
        for state in ("old", "part"):
            for left in _left(self.path, state):
                lock = _try_lock(left)
                if lock is None:
                    continue  # somebody is writing it
                try:
                    if state == "old" and not self.path.exists():
                        os.rename(left, self.path)
                    else:
                        shutil.rmtree(left, ignore_errors=True)
                finally:
                    os.close(lock)


def _left(path: Path, state: str) -> list[Path]:
    start, end = f".{path.name}.", f".{state}"
    return sorted(
        p
        for p in path.parent.iterdir()
        if p.name.startswith(start) and p.name.endswith(end) and p.name[len(start) : -len(end)].isdecimal()
    )


def _locked_folder(path: Path) -> int:
    """Make a folder and hold a lock on it, by which others know that it is being written."""
    import fcntl

    while True:
        path.mkdir(exist_ok=True)
        lock = os.open(path, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        os.close(lock)  # removed by another process between the two calls


def _try_lock(path: Path) -> int | None:
    import fcntl

    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where that is not possible."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _sync(folder: Path) -> None:
    for path in _walk(folder):
        _sync_names(path)


def _walk(folder: Path) -> Iterator[Path]:
    for root, _, files in os.walk(folder):
        yield from (Path(root, file) for file in files if Path(root, file).is_file())
        yield Path(root)


def _sync_names(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
