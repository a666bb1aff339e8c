"""The types of a run: the frequent ones for the eye, and the rows of the searchable table as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sinoner.clip import clip
from sinoner.measurements import TypeCount, TypeInventory
from sinoner.records import Facts
from sinoner.report import labels
from sinoner.report.svg import PICTURES

TOP = 20
EMBEDDED = 3000  # types per language that the page carries
EMBEDDED_BYTES = 1_500_000  # per language: names and examples of any length still make a page that opens
UNSTABLE = 0.3  # share of surfaces with another type from which a type is pointed out
FREQUENT = 10  # mentions from which instability says something
_NAME, _EXAMPLE = 60, 32  # code points shown
_EXAMPLES, _VARIANTS, _OTHERS = 5, 6, 4


class TypeGroup(Facts):
    """The types of one language: the most frequent ones, and what the others add up to.

    Attributes:
        lang: the language.
        top: the most frequent types.
        most: mentions of the first.
        types: how many types there are.
        mentions: of all types.
        tail: types that are not among the top.
        tail_mentions: their mentions.
        once: types with a single mention.
        before: types before merging; None when nobody counted them.
        unstable: frequent types that share many of their surfaces with others.
        embedded: types in the searchable table.
    """

    lang: str
    top: tuple[TypeCount, ...]
    most: int
    types: int
    mentions: int
    tail: int
    tail_mentions: int
    once: int
    before: int | None
    unstable: int
    embedded: int


class Table(Facts):
    """The searchable table.

    Attributes:
        groups: the languages.
        columns: the columns that have something to say, in order.
        data: the rows and what is needed to show them, as JSON that is safe inside a script element.
    """

    groups: tuple[TypeGroup, ...]
    columns: tuple[str, ...]
    data: str


def table(inventory: TypeInventory) -> Table:
    """What the section on types shows."""
    by_lang: dict[str, list[TypeCount]] = {}
    for row in inventory.types:
        by_lang.setdefault(row.lang, []).append(row)
    columns = ["type"]
    columns += ["lang"] if len(by_lang) > 1 else []
    columns += ["mentions", "passages", "examples"]
    columns += ["variants"] if any(name != t.type for t in inventory.types for name, _ in t.variants) else []
    columns += ["unstable"] if any(t.unstable is not None for t in inventory.types) else []
    groups: list[TypeGroup] = []
    rows: list[list[object]] = []
    for number, (lang, types) in enumerate(by_lang.items()):
        types.sort(key=lambda t: (-t.mentions, t.type))
        room, start = EMBEDDED_BYTES, len(rows)
        for embedded in (_row(t, number) for t in types[:EMBEDDED]):
            room -= len(json.dumps(embedded, ensure_ascii=False).encode())
            if room < 0:
                break
            rows.append(embedded)
        groups.append(_group(lang, types, inventory, len(rows) - start))
    languages = [labels.LANGUAGES.get(lang, (_readable(lang, _NAME),) * 2) for lang in by_lang]
    data = {
        "columns": columns,
        "langs": languages,
        "unstable": UNSTABLE,
        "most": max((g.most for g in groups), default=1),
        "rows": rows,
    }
    return Table(groups=tuple(groups), columns=tuple(columns), data=script_json(data))


def script_json(value: object) -> str:
    """JSON that may stand inside a ``<script>`` element: no character in it can end the element or a line."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _group(lang: str, types: Sequence[TypeCount], inventory: TypeInventory, embedded: int) -> TypeGroup:
    top, tail = types[:TOP], types[TOP:]
    singles = sum(t.mentions == 1 for t in types)
    return TypeGroup(
        lang=lang,
        top=tuple(top),
        most=max(top[0].mentions, 1),
        types=inventory.after.get(lang, len(types)),
        mentions=max(sum(t.mentions for t in types), 1),
        tail=len(tail),
        tail_mentions=sum(t.mentions for t in tail),
        once=inventory.singletons.get(lang, singles),
        before=inventory.before.get(lang),
        unstable=sum(
            t.unstable is not None and t.unstable >= UNSTABLE and t.mentions >= FREQUENT for t in types
        ),
        embedded=embedded,
    )


def _row(t: TypeCount, lang: int) -> list[object]:
    variants = sorted((v for v in t.variants if v[0] != t.type), key=lambda v: (-v[1], v[0]))
    return [
        _readable(t.type, _NAME),
        lang,
        t.mentions,
        t.passages,
        [_readable(e, _EXAMPLE) for e in t.examples[:_EXAMPLES]],
        [[_readable(name, _NAME), n] for name, n in variants[:_VARIANTS]],
        len(variants),
        None if t.unstable is None else round(t.unstable, 3),
        [_readable(o, _NAME) for o in t.others[:_OTHERS]],
    ]


def _readable(text: str, most: int) -> str:
    return clip(text, most).translate(PICTURES)
