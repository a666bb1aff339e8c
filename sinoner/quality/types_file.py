"""Reading types.yaml, reporting every mistake, and extending it without losing manual edits.

Per language, or for both at once::

    zh:
      人名:
        - 人物
    separate: [公司]
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import Field

from sinoner import disk, yamlfile
from sinoner.clip import clip
from sinoner.errors import InputError
from sinoner.records import Facts, Lang

if TYPE_CHECKING:
    from sinoner.quality.proposals import Merge

LANGS: tuple[Lang, ...] = ("zh", "en")
BOTH = "both"  # names at the top of the file, which are for passages of either language
SEPARATE = "separate"
HEADER = """\
# Types with the same meaning: a canonical name, and below it the names that sinoner filter replaces with it. Case,
# width, spaces, hyphens and underscores are ignored. Edit it freely: rename, move, delete. Deleted names are not
# proposed again; list types that must not be merged under "separate: [name, …]".
"""
_EXAMPLES, _LONGEST = 3, 30  # mentions in a comment, and code points of each
# A comment on its own line, or after the title of a section.
_COMMENT_LINE = re.compile(r"^[ \t]*(?:(?:zh|en|separate):[ \t]*)?(#.*)$", re.MULTILINE)


class TypesFile(Facts):
    """The contents of a types.yaml.

    Attributes:
        names: per section (``zh``, ``en``, ``both``), the variants of each canonical name, in order.
        separate: types excluded from proposals.
    """

    names: dict[str, dict[str, tuple[str, ...]]] = Field(default_factory=dict)
    separate: tuple[str, ...] = ()

    def canonical_names(self, lang: str) -> dict[str, str]:
        """Canonical name by name, for passages of a language; canonical names stand for themselves."""
        sections = [self.names.get(BOTH, {}), self.names.get(lang, {})]
        canonical = {name: name for section in sections for name in section}
        return canonical | {
            v: name for section in sections for name, variants in section.items() for v in variants
        }


def read(path: Path) -> TypesFile:
    """Read a types.yaml.

    Raises:
        InputError: the file has mistakes; one line per mistake, each with its location.
    """
    return parse(disk.read_text(path, f"{path}: no such file"), str(path))


def parse(text: str, where: str) -> TypesFile:
    """Read the text of a types.yaml; ``where`` names it in messages.

    Raises:
        InputError: the text has mistakes; one line per mistake.
    """
    names = _names(text, where)
    sections: dict[str, dict[str, tuple[str, ...]]] = {}
    for entry in names:
        if entry.section != SEPARATE:
            sections.setdefault(entry.section, {})[entry.name] = tuple(v.name for v in entry.variants)
    separate = tuple(entry.name for entry in names if entry.section == SEPARATE)
    return TypesFile(names=sections, separate=separate)


@dataclass
class _Name:
    """A name in the file: its position, and the comments that belong to it."""

    name: str
    section: str
    start: int  # code points from the beginning of the file
    end: int
    line: int
    variants: list[_Name] = field(default_factory=list)
    above: list[str] = field(default_factory=list)
    behind: str = ""


def _names(text: str, where: str) -> list[_Name]:
    """The canonical names with their variants, and the separate types, in the file's order."""
    problems: list[str] = []
    found = list(_walk(yamlfile.compose(text, where), where, problems))
    for lang in LANGS:
        problems += [p for p in _contradictions(found, lang, where) if p not in problems]
    if problems:
        raise InputError("\n".join(problems))
    return found


def _walk(root: yaml.Node | None, where: str, problems: list[str]) -> Iterator[_Name]:
    if root is None or root.tag == yamlfile.NULL:
        return
    if not isinstance(root, yaml.MappingNode):
        problems.append(
            f"{_place(root, where)}: expected a mapping of canonical name: [variants], optionally grouped by language"
        )
        return
    for key_node, value in root.value:
        title = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
        if title in LANGS and isinstance(value, yaml.MappingNode):
            for inner, variants in value.value:
                yield from _entry(inner, variants, title, where, problems)
        elif title in LANGS and value.tag == yamlfile.NULL:
            continue
        elif title == SEPARATE:
            holder = _Name(title, SEPARATE, 0, 0, 0)
            _list(value, holder, where, problems)
            yield from holder.variants
        else:
            yield from _entry(key_node, value, BOTH, where, problems)


def _entry(
    node: yaml.Node, value: yaml.Node, section: str, where: str, problems: list[str]
) -> Iterator[_Name]:
    name = _scalar(node, section, where, problems)
    if name is not None:
        _list(value, name, where, problems)
        yield name


def _list(value: yaml.Node, owner: _Name, where: str, problems: list[str]) -> None:
    """The names of a list; a single name needs no list, and the value may be empty."""
    if value.tag == yamlfile.NULL:
        return
    if isinstance(value, yaml.MappingNode):
        problems.append(f"{_place(value, where)}: {owner.name!r} takes a list of names, not a mapping")
        return
    for node in value.value if isinstance(value, yaml.SequenceNode) else [value]:
        name = _scalar(node, owner.section, where, problems)
        if name is not None:
            owner.variants.append(name)


def _scalar(node: yaml.Node, section: str, where: str, problems: list[str]) -> _Name | None:
    if not isinstance(node, yaml.ScalarNode):
        problems.append(f"{_place(node, where)}: a name is expected here, not a list or a mapping")
        return None
    if not node.value.strip():
        problems.append(f"{_place(node, where)}: a name is empty")
        return None
    return _Name(node.value, section, node.start_mark.index, node.end_mark.index, yamlfile.line_of(node))


def _place(node: yaml.Node, where: str) -> str:
    return f"{where}:{yamlfile.line_of(node)}"


def _contradictions(found: Sequence[_Name], lang: str, where: str) -> Iterator[str]:
    """Names with more than one canonical name in passages of a language."""
    from sinoner.quality.synonyms import key

    entries = [entry for entry in found if entry.section in (BOTH, lang)]
    heads: dict[str, _Name] = {}
    for entry in entries:
        first = heads.setdefault(key(entry.name), entry)
        if first is not entry and (first.name != entry.name or first.section == entry.section):
            yield (
                f"{where}:{entry.line}: {entry.name!r} is already a canonical name in line {first.line};"
                " merge their variants"
            )
    owners: dict[str, tuple[str, _Name]] = {}
    for entry in entries:
        for variant in entry.variants:
            same = key(variant.name)
            head = heads.get(same)
            if head is not None and key(head.name) != key(entry.name):
                yield (
                    f"{where}:{variant.line}: {variant.name!r} is a variant of {entry.name!r} and a canonical name in"
                    f" line {head.line}; keep one"
                )
            owner, first = owners.setdefault(same, (entry.name, variant))
            if key(owner) != key(entry.name):
                yield (
                    f"{where}:{variant.line}: {variant.name!r} is a variant of {entry.name!r} and of {owner!r}"
                    f" (line {first.line}); keep one"
                )


# writing ---------------------------------------------------------------------------------------------------------


def extended(text: str, merges: Sequence[Merge], where: str) -> str:
    """The text of a types.yaml with merges added, each with its reason; the comments and order of the old text are kept.

    Args:
        text: the current text of the file; empty if there is no file.
        merges: none of their variants is in the text.
        where: names it in messages.

    Raises:
        InputError: the text has mistakes.
    """
    found = _names(text, where)
    header, tail = _take_comments(text, found)
    for merge in merges:
        entry = next((e for e in found if e.section == merge.lang and e.name == merge.canonical), None)
        if entry is None:
            entry = _Name(merge.canonical, merge.lang, 0, 0, 0)
            found.append(entry)
        entry.variants.append(_Name(merge.variant, merge.lang, 0, 0, 0, behind=_reason(merge)))
    lines = header or HEADER.splitlines()
    for section in (BOTH, *LANGS, SEPARATE):
        entries = [entry for entry in found if entry.section == section]
        if not entries:
            continue
        if section != BOTH:
            lines.append(f"{section}:")
        indent = "" if section == BOTH else "  "
        for entry in entries:
            lines += [f"{indent}{comment}" for comment in entry.above]
            if section == SEPARATE:
                lines.append(f"{indent}- {_quoted(entry.name)}{_behind(entry)}")
                continue
            lines.append(f"{indent}{_quoted(entry.name)}:{_behind(entry)}")
            for variant in entry.variants:
                lines += [f"{indent}  {comment}" for comment in variant.above]
                lines.append(f"{indent}  - {_quoted(variant.name)}{_behind(variant)}")
    return "\n".join([*lines, *tail]) + "\n"


def _take_comments(text: str, found: Sequence[_Name]) -> tuple[list[str], list[str]]:
    """Attach every comment to the name before or below it; return those before and after all names."""
    names = sorted((n for entry in found for n in (entry, *entry.variants)), key=lambda n: n.start)
    starts = [name.start for name in names]
    for name in names:
        rest = text[name.end :].partition("\n")[0].lstrip(" \t:,]}\"'")
        name.behind = rest.strip() if rest.startswith("#") else ""
    header: list[str] = []
    tail: list[str] = []
    head = re.match(r"(?:[ \t]*(?:#.*)?\r?\n)*", text)
    body = head.end() if head is not None else 0
    for match in _COMMENT_LINE.finditer(text):
        place = bisect_right(starts, match.start())
        comment = match[1].rstrip()
        if match.start() < body:
            header.append(comment)
        elif place < len(names):
            names[place].above.append(comment)
        else:
            tail.append(comment)
    return header, tail


def _reason(merge: Merge) -> str:
    """Why a merge is proposed, as a comment for the reviewer."""
    why = f"cosine {merge.cosine:.2f}" if merge.cosine is not None else merge.by
    comment = f"# {why}, {merge.mentions} {'mention' if merge.mentions == 1 else 'mentions'}"
    examples = [clip(plain, _LONGEST) for e in merge.examples[:_EXAMPLES] if (plain := _plain(e))]
    return f"{comment}: {', '.join(examples)}" if examples else comment


def _plain(text: str) -> str:
    """A text made safe for a YAML comment: one line of printable characters."""
    return " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())


def _behind(name: _Name) -> str:
    return f"  {name.behind}" if name.behind else ""


def _quoted(name: str) -> str:
    """A name as a YAML scalar in one line, quoted if necessary."""
    style = None if name.isprintable() else '"'
    text: str = yaml.safe_dump(name, allow_unicode=True, width=float("inf"), default_style=style)
    return text.removesuffix("\n").removesuffix("\n...")
