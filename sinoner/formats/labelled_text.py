"""What the NER format parsers yield: texts with validated spans, and the reason for everything that is unusable.

Offsets count code points and ranges are half-open, whatever the format itself counts. Nothing is
dropped silently: a passage that cannot be read is a ``Bad``, a mention that cannot be placed is in ``Row.dropped``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jsonlines

from sinoner.clip import clip
from sinoner.errors import InputError
from sinoner.records import Lang
from sinoner.text.mentions import Claim, MentionError, Span, locate

_SHOWN_CHARS = 60


class Row(NamedTuple):
    """A text with its mentions, and the mentions that could not be placed as (reason, detail)."""

    where: str
    text: str
    spans: tuple[Span, ...]
    dropped: tuple[tuple[str, str], ...] = ()
    id: str | None = None
    lang: Lang | None = None


class Bad(NamedTuple):
    """A passage that cannot be read: its location, a snake_case reason and the detail."""

    where: str
    reason: str
    detail: str


Parser = Callable[[Path, Lang | None], Iterator[Row | Bad]]


def placed(
    where: str,
    text: Any,
    mentions: Any,
    claim: Callable[[Any], Claim] | None = None,
    *,
    ordered: bool = True,
) -> Row | Bad:
    """Validate a text and its mentions.

    Args:
        where: location in the file, for messages.
        text: the passage as it is in the file.
        mentions: a list; anything else means that the passage is not annotated.
        claim: converts one mention, or raises MentionError; None when the mentions are claims already.
        ordered: sort the mentions by position.
    """
    if not isinstance(text, str) or not text.strip():
        return Bad(where, "no_text", "the passage has no text")
    if not isinstance(mentions, list):
        return Bad(where, "no_labels", "the passage has no annotation (not even an empty one)")
    found: list[Span] = []
    dropped: list[tuple[str, str]] = []
    for mention in mentions:
        try:
            found.append(locate(claim(mention) if claim else mention, text))
        except MentionError as error:
            dropped.append((error.reason, f"{where}: {clip(repr(mention), _SHOWN_CHARS)}: {error}"))
    if ordered:
        found.sort(key=lambda span: (span.start, span.end))
    return Row(where, text, tuple(dict.fromkeys(found)), tuple(dropped))


def inclusive(place: Any, tag: Any, surface: Any = None) -> Claim:
    """A claim from (start, end) with an inclusive end."""
    if not isinstance(place, Sequence) or len(place) != 2:
        return Claim(place, place, tag, surface)
    start, end = place
    return Claim(start, end + 1 if type(end) is int else end, tag, surface)


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any] | Bad]]:
    """The JSON object of each line that is not blank, with its location."""
    number = 0

    def numbered() -> Iterator[str]:
        nonlocal number
        for number, line in enumerate(read(path).split("\n"), 1):  # noqa: B007 (read below)
            yield line

    with jsonlines.Reader(numbered(), loads=json.loads) as reader:
        while True:
            try:
                value = reader.read(type=dict, skip_empty=True)
            except EOFError:
                return
            except (jsonlines.InvalidLineError, RecursionError):
                yield f"{path}:{number}", Bad(f"{path}:{number}", "bad_json", "is not a JSON object")
                continue
            where = f"{path}:{number}"
            yield where, value if is_text(value) else Bad(where, "bad_json", "contains half a surrogate pair")


def is_text(value: Any) -> bool:
    """Whether every string in a JSON value is Unicode text; ``\\ud83d`` alone is valid JSON but not valid text."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines that are not blank, without their line ends, each with its location."""
    for number, line in enumerate(read(path).split("\n"), 1):
        if line.strip():
            yield f"{path}:{number}", line.removesuffix("\r")


def read(path: Path) -> str:
    """Read a whole file as UTF-8 and keep its line ends. Published gold files are a few megabytes.

    Universal newlines are off: a carriage return inside a line would split it, and every later line number in a
    message would be wrong.

    Raises:
        InputError: missing, a folder, unreadable, or not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, expected a file") from None
    except PermissionError:
        raise InputError(f"{path}: no permission to read it") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 ({error.reason} at byte {error.start}); convert it first"
        ) from None
