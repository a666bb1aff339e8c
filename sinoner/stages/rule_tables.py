"""The rule table that a recipe names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sinoner import disk, resources
from sinoner.errors import InputError
from sinoner.settings import AnnotateSettings

if TYPE_CHECKING:
    from sinoner.annotate.rule_table_file import Table


def table_of(settings: AnnotateSettings) -> Table:
    """Read ``annotate.table``.

    Raises:
        InputError: it is not set, not there, not UTF-8, or has mistakes (one line each).
    """
    from sinoner.annotate.rule_table_file import parse_table

    shipped = ", ".join(
        sorted(p.stem for p in (resources.data_root() / "data_recipes/tables").glob("*.yaml"))
    )
    if settings.table is None:
        raise InputError(f"annotate.by=table needs annotate.table: a file, or a shipped table ({shipped})")
    path = Path(settings.table)
    text = disk.read_text(path, f"annotate.table: {path}: no such file; shipped tables: {shipped}")
    return parse_table(text, str(path))
