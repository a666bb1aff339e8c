"""Foreign text in Markdown: text from a corpus, a model or a user is escaped, so it stays plain text.

``text`` and ``code`` escape; ``bullets``, ``listed`` and ``table`` combine text that is already escaped.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath, PureWindowsPath

# Control characters, and marks that change the reading direction.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_PLAIN = re.compile(r"[\w./:#+ -]+")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
# The form of OWNER/NAME that the Hub accepts (huggingface_hub's validate_repo_id), the owner optional.
_REPO = re.compile(r"(?!.*(--|\.\.|\.git$))[A-Za-z0-9]([\w.-]*\w)?(/[A-Za-z0-9_]([\w.-]*\w)?)?", re.ASCII)


def flat(value: str) -> str:
    """The text in one line, without control characters."""
    return " ".join(_CONTROLS.sub(" ", value).split())


def public(value: str) -> str:
    """A name that is safe to publish: of an absolute path on this machine only the last part."""
    line = flat(value)
    if _WINDOWS.match(line):
        return PureWindowsPath(line).name or line
    return PurePosixPath(line).name or line if line.startswith(("/", "~", "file:")) else line


def text(value: str) -> str:
    """Text escaped so that Markdown shows it as it is, without markup, HTML, table cells or links."""
    safe = _MARKUP.sub(r"\\\1", html.escape(flat(value), quote=False)).replace("://", "&#58;//")
    return re.sub(r"(?i)(www)\.", r"\1&#46;", safe).replace("@", "&#64;")


def code(value: str) -> str:
    """A name as a code span where that is safe, else as escaped text; paths are shortened."""
    line = public(value)
    return f"`{line}`" if _PLAIN.fullmatch(line) else text(line)


def repo_id(value: str | None) -> str | None:
    """The name when it has the form of a Hub repository, None otherwise."""
    return value if value and len(value) <= 96 and _REPO.fullmatch(value) else None


def listed(items: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(part for part in (", ".join(items[:-1]), *items[-1:]) if part)


def bullets(points: Iterable[str]) -> str:
    """A list, one point per line."""
    return "\n".join(f"- {point}" for point in points)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every row has as many cells as the head."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
