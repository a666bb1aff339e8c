"""Where the package finds its own files: ``prompts/`` and ``data_recipes/``, in a checkout or in a wheel."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_root() -> Path:
    """The folder that holds ``prompts/`` and ``data_recipes/``."""
    bundled = _PACKAGE / "_data"
    return bundled if bundled.is_dir() else _PACKAGE.parent


def cache_root() -> Path:
    """The folder for converted models: ``SINONER_CACHE``, else ``sinoner`` in the user's cache folder."""
    if own := os.environ.get("SINONER_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sinoner"


def find(path: str | Path, near: Path | None = None) -> Path | None:
    """Resolve a path a person wrote: as it stands, then beside the recipe, then among the shipped files.

    Args:
        path: the path as written; may be absolute.
        near: the folder of the recipe that names it.

    Returns:
        The first existing candidate, or None.
    """
    written = Path(path).expanduser()
    candidates = [written]
    if not written.is_absolute():
        if near is not None:
            candidates.insert(0, near / written)
        candidates.append(data_root() / written)
    return next((c for c in candidates if c.exists()), None)
