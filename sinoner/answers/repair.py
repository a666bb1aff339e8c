"""Broken lists of mentions → mentions, where only one reading is possible. No mention is altered or made up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sinoner.answers.literals import joined, pieces, unquoted
from sinoner.answers.strict import (
    FIELDS,
    SURFACE_KEYS,
    TYPE_KEYS,
    ByType,
    Mentions,
    Pair,
    parse_by_type,
    parse_mentions,
    without_reasoning,
)

# Longer answers are not repaired: such a text is no list of the mentions of one passage.
_LONGEST = 50_000


def repair_mentions(answer: str) -> Mentions:
    """Read an answer that strict reading finds ``unparsed``: broken JSON, or one mention a line.

    Missing quotes, commas and brackets, full-width punctuation, comments and quotes inside a mention are coped
    with. What could be read in two ways, or is not in the answer letter by letter, is not read at all.

    Returns:
        The pairs with ``repaired`` set, else what strict reading says.
    """
    strict = parse_mentions(answer)
    if strict.reason != "unparsed" or len(answer) > _LONGEST:
        return strict
    text = without_reasoning(answer)
    pairs = _from_lines(text) or _from_broken(text)
    if not pairs or not _said(answer, (word for pair in pairs for word in pair)):
        return strict
    if any(_SCALAR.fullmatch(kind) for _, kind in pairs):
        return strict
    return Mentions(tuple(pairs), None, True)


def repair_by_type(answer: str) -> ByType:
    """Read an answer that strict reading finds ``unparsed``: a broken object from type to list of mentions.

    Copes with what ``repair_mentions`` copes with in brackets; every type must have a list. What reads, but is
    something else, is left alone.

    Returns:
        The surfaces with ``repaired`` set, else what strict reading says.
    """
    strict = parse_by_type(answer)
    if strict.reason != "unparsed" or len(answer) > _LONGEST:
        return strict
    text = without_reasoning(answer)
    tokens = None if any(piece.state == "read" for piece in pieces(text)) else _bracketed(text)
    shape = _shape(tokens or ())
    # Pairs come in twos; in a list nothing tells a letter too many from a mention without its comma.
    members = _members(tokens) if tokens and ":w" not in shape and "ww" not in shape else None
    if not members or not _said(answer, (word for kind, found in members for word in (kind, *found))):
        return strict
    found = joined((kind, list(surfaces)) for kind, surfaces in members)
    return ByType({kind: tuple(dict.fromkeys(surfaces)) for kind, surfaces in found.items()}, None, True)


def _said(answer: str, words: Iterable[str]) -> bool:
    """Whether these are words, and each stands in the answer letter by letter."""
    return all(_sound(word) and word in answer for word in dict.fromkeys(words))


# Two words that were taken for one have syntax between them, or a quote that closes before one that opens; half of a pair
# of quotes is at the edge of a word.
_LEAK = re.compile(
    r"""["'“”‘’＂]\s*["'“”‘’＂:：,，\]}]|[:：,，\[{]\s*["'“”‘’＂]|[\]}]\s*[,，]|[\n\r]|[^\s"]"[^"]*\s"\S
    |\A["'“”‘’＂][^"'“”‘’＂]*\Z|\A[^"'“”‘’＂]*["'“”‘’＂]\Z""",
    re.VERBOSE,
)
_NOTHING = frozenset(("无", "没有", "空", "不存在", "none", "null", "n/a", "na", "nil", "-", "—"))
_SCALAR = re.compile(r"true|false|-?[0-9.]+", re.IGNORECASE)


def _sound(word: str) -> bool:
    return bool(word.strip()) and not _LEAK.search(word) and word.strip().lower() not in _NOTHING


# Left of a colon these name a type or a part of the answer, so that what is right of it is no type.
_LABELS = FIELDS.union(
    ("人名", "人物", "姓名", "地名", "地点", "位置", "组织", "组织名", "组织机构", "机构", "机构名", "公司", "时间", "日期"),
    ("事件", "产品", "数量", "职位", "国家", "城市", "person", "people", "location", "organization", "organisation"),
    ("date", "time", "event", "product", "company", "place", "country", "city", "答案", "结果", "输出", "注意", "说明"),
    ("备注", "抱歉", "总结", "解释", "文本", "分析", "例如", "示例", "note", "answer", "result", "output", "sorry"),
    ("results", "entities", "mentions", "实体列表", "实体类别列表"),
)  # fmt: skip
_LINE = re.compile(
    r"(?P<mark>[-*•·][ \t]+|[•·]|(?P<number>[0-9]{1,3})[.、．)）](?![0-9])[ \t]*)?(?P<rest>.+)"
)
_NAMED = re.compile(
    rf"(?:{'|'.join(SURFACE_KEYS)})[:：]([^:：]+?)[，,；;|]\s*(?:{'|'.join(TYPE_KEYS)})[:：]([^:：]+)",
    re.IGNORECASE,
)
_DASH = r"\s(?:-|–|—|->|→)\s"
_FORMS = (
    re.compile(r"([^:：]+)[:：]([^:：]+)"),
    re.compile(r"([^()（）]+)[(（]([^()（）]+)[)）]"),
    re.compile(rf"((?:(?!{_DASH}).)+){_DASH}((?:(?!{_DASH}).)+)"),
)
# One word without quotes: an enumeration would be several mentions, a sentence is none.
_PLAIN = re.compile(r"""(?!['‘’.\-–—])[^"“”{}\[\]|*`:：()（），,、。！？!?；;\n]{1,64}""")


def _from_lines(text: str) -> list[Pair] | None:
    """The pairs of an answer with one mention a line, or of a table; None when any line is something else."""
    lines = [line.strip() for line in text.split("\n")]
    lines = [line for line in lines if line and not line.startswith("```")]
    if lines and lines[0].endswith((":", "：")):
        lines = lines[1:]
    if len(lines) > 2 and all("|" in line for line in lines):
        return _from_table([[cell.strip() for cell in line.strip("|").split("|")] for line in lines])
    found = [m for line in lines if (m := _LINE.fullmatch(line))]
    numbers = [m["number"] for m in found]
    marked = all(m["mark"] for m in found)
    if any(numbers) and numbers != [str(i + 1) for i in range(len(lines))]:
        return None
    if len(found) < len(lines) or (not marked and any(m["mark"] for m in found)):
        return None
    # One line without a mark may be any sentence, unless it names its fields.
    for form in (_NAMED, *(_FORMS if marked or len(lines) > 1 else ())):
        split = [m.groups() for line in found if (m := form.fullmatch(line["rest"]))]
        if split and len(split) == len(lines):
            return _plain(split, labelled=form is _NAMED)
    return None


def _from_table(rows: list[list[str]]) -> list[Pair] | None:
    head = [cell.lower().replace(" ", "_") for cell in rows[0]]
    left, right = ([i for i, cell in enumerate(head) if cell in keys] for keys in (SURFACE_KEYS, TYPE_KEYS))
    ruled = all(re.fullmatch(":?-+:?", cell) for cell in rows[1])
    if not ruled or len(left) != 1 or len(right) != 1 or any(len(row) != len(head) for row in rows):
        return None
    return _plain([(row[left[0]], row[right[0]]) for row in rows[2:]], labelled=True)


def _plain(split: Sequence[Sequence[str]], labelled: bool) -> list[Pair] | None:
    """Pairs of plain words; None when any is more than that, or when the types seem to stand in front."""
    pairs = [(_unmarked(left), _unmarked(right)) for left, right in split]
    lefts, rights = {left for left, _ in pairs}, {right for _, right in pairs}
    turned = len(lefts) < len(pairs) == len(rights) or any(left.lower() in _LABELS for left in lefts)
    if (turned and not labelled) or not all(_PLAIN.fullmatch(word) for pair in pairs for word in pair):
        return None
    return pairs


def _unmarked(word: str) -> str:
    """A word of a line without the bold type of Markdown."""
    word = word.strip()
    return word[2:-2] if len(word) > 4 and word[:2] == word[-2:] == "**" else word


_MARKS = {
    "[": "[", "［": "[", "{": "{", "｛": "{", "(": "(", "（": "(", "]": "]", "］": "]", "}": "}", "｝": "}",
    ")": ")", "）": ")", ":": ":", "：": ":", ",": ",", "，": ",", "、": ",",
}  # fmt: skip
_SKIPPED = re.compile(r"(?:\s|//[^\n]*|\#[^\n]*|/\*.{0,400}?\*/)+", re.DOTALL)
# A quote closes a string when syntax follows; any other belongs to the mention. Doubled quotes close doubled.
_FOLLOWS = r"(?=\s*(?:[:：,，、\]}［{\[)）］｝]|//|\#|\Z)|\s+[\"“'‘])"
_STRINGS = {
    opener: re.compile(rf"({opener}{{1,2}})(?P<word>[^\n]{{0,200}}?)(?<!\\)(?:{closer}){_FOLLOWS}")
    for opener, closer in (('"', r"\1"), ("'", r"\1"), ("＂", r"\1"), ("“", '[”“"]'), ("‘", "[’‘']"))
}
# An apostrophe stands between letters; any other quote in a bare word is half of a pair.
_BARE = re.compile(
    r"""(?:(?!//)[^\[\]{}()［］｛｝（）,，、:：。！？；!?;"'“”‘’＂\\\n#]|(?<=[A-Za-z])'(?=[A-Za-z])){1,200}"""
)
_GROUPS = frozenset(("", ",", "w,w", "w,w,"))  # what may stand between two brackets of a list of pairs
Token = tuple[str, str]  # a mark and no word, or no mark and a word


def _from_broken(text: str) -> list[Pair] | None:
    """The pairs of broken JSON; None when its words do not come in pairs throughout."""
    tokens = _bracketed(text)
    if not tokens:
        return None
    shape = _shape(tokens)
    if wrapped := re.match(r"\{w:(?=\[[\[(])", shape):  # pairs under a key such as "entities"
        tokens, shape = tokens[wrapped.end() :], shape[wrapped.end() :]
    if ":" in shape:
        members = _members(tokens)
        return None if members is None else _from_members(members)
    # Without a second bracket it is a list of words, not of pairs.
    if shape[1:2] not in ("[", "(") or not set(re.split(r"[\[{(\]})]", shape)) <= _GROUPS:
        return None
    words = [word for mark, word in tokens if not mark]
    return list(zip(words[::2], words[1::2], strict=True))


def _bracketed(text: str) -> list[Token] | None:
    """The marks and words from the first bracket of a text to its last; None when there are none, or unsure ones."""
    opened = re.search(r"[\[{［｛]", text)
    end = max(map(text.rfind, "]}］｝"))
    tokens = _tokens(text[opened.start() : end + 1]) if opened and end > opened.start() else None
    return None if not tokens or any(_LEAK.search(word) for _, word in tokens) else tokens


def _shape(tokens: Iterable[Token]) -> str:
    """The marks, with a w for every word."""
    return "".join(mark or "w" for mark, _ in tokens)


def _tokens(part: str) -> list[Token] | None:
    """The marks and words of broken JSON; None when a string does not end."""
    tokens: list[Token] = []
    at = 0
    while at < len(part):
        if skipped := _SKIPPED.match(part, at):
            at = skipped.end()
        elif mark := _MARKS.get(part[at]):
            tokens.append((mark, ""))
            at += 1
        elif found := _STRINGS.get(part[at], _BARE).match(part, at):
            word = found[0].strip() if found.re is _BARE else unquoted(f'"{found["word"]}"')
            if word is None:
                return None
            tokens.append(("", word))
            at = found.end()
        else:
            return None
    return tokens


def _members(tokens: Sequence[Token]) -> list[tuple[str, list[str]]] | None:
    """The keys and values of objects; brackets and commas between them may be missing, or too many."""
    members: list[tuple[str, list[str]]] = []
    at = 0
    while at < len(tokens):
        mark, key = tokens[at]
        if mark and mark != ":":
            at += 1
            continue
        if (
            mark
            or at + 2 >= len(tokens)
            or tokens[at + 1][0] != ":"
            or (not members and tokens[at - 1][0] != "{")
        ):
            return None
        at += 2
        if not tokens[at][0]:
            members.append((key, [tokens[at][1]]))
        elif tokens[at][0] == "[":
            values: list[str] = []
            while (at := at + 1) < len(tokens) and tokens[at][0] in ("", ","):
                values.extend(tokens[at][1:] if not tokens[at][0] else ())
            if not values and at < len(tokens) and tokens[at][0] in ("{", "[", "("):
                continue  # the list of mentions, under a key such as "entities"
            if at == len(tokens) or tokens[at][0] != "]":
                return None
            members.append((key, values))
        else:
            return None
        at += 1
    return members


def _from_members(members: Sequence[tuple[str, list[str]]]) -> list[Pair] | None:
    """The pairs of keys and values: of the mention and type fields in turn if there are any, else key by key."""
    keys = [key for key, _ in members]
    surface = next((key for key in keys if key in SURFACE_KEYS), None)
    kind = next((key for key in keys if key in TYPE_KEYS), None)
    if surface is None and kind is None:
        if any(key.lower() in _LABELS for key in keys):
            return None
        return [(key, value) for key, values in members for value in values]
    fields = [(key, values) for key, values in members if key in (surface, kind)]
    order = [key for key, _ in fields[:2]]
    if set(order) != {surface, kind} or [key for key, _ in fields] != order * (len(fields) // 2):
        return None
    columns = fields[::2], fields[1::2]
    mentions, kinds = columns if order[0] == surface else columns[::-1]
    if any(len(values) != 1 for _, values in mentions):
        return None
    return [
        (mention[0], value)
        for (_, mention), (_, values) in zip(mentions, kinds, strict=True)
        for value in values
    ]
