"""Holding a run folder: one process at a time, without the half files of one that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from sinoner.errors import InputError


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process, and clear away the half files of one that was killed.

    Raises:
        InputError: another process holds it (says which), or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be used as a run folder ({error.strerror}); choose another --out"
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise InputError(
                f"{folder}: process {holder} is working on it; wait for it or choose another --out"
            ) from None
        handle.seek(0)
        handle.truncate()
        handle.write(str(os.getpid()))
        handle.flush()
        for part in folder.rglob(".*.part"):  # of a process that was killed while it wrote
            if part.is_file():
                part.unlink()
        yield
