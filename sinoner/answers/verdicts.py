"""Parsing model text into verdicts on numbered items, or the reason it cannot be parsed. Only explicit verdicts count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from sinoner.answers.literals import Open, pieces, whole_value
from sinoner.answers.refusals import refuses
from sinoner.answers.strict import LISTED, TYPE_KEYS, without_reasoning

Word = Literal["yes", "no", "retype"]


class Verdict(NamedTuple):
    """The verdict on one item; ``type`` is the better type of ``retype``, empty when none was given."""

    n: int
    word: Word
    type: str = ""


class Verdicts(NamedTuple):
    """The verdicts of an answer by number, each number once, and the reason there are none, or not all."""

    verdicts: tuple[Verdict, ...]
    reason: str | None = None


def parse_verdicts(answer: str, count: int) -> Verdicts:
    """Read verdicts: a list of ``{"n": …, "verdict": …, "type": …}``, under a name or bare, or verdicts by number.

    Numbers may be strings, verdicts may be words for yes and no in English or Chinese. A number outside the list, an
    unknown word, and a number with two different verdicts are left out.

    Args:
        answer: the whole text of a model's answer.
        count: how many items the question has; they are numbered from 1.

    Returns:
        The verdicts. Reasons: ``empty_answer``, ``unparsed`` (no verdict, or a broken list of them), ``truncated`` (a
        list that never ends), ``refused``. With the middle two there may be verdicts all the same.
    """
    text = without_reasoning(answer)
    if not text:
        return Verdicts((), "empty_answer")
    found = _verdicts(whole_value(text))
    reason = None
    if not found:
        found, reason = _from_pieces(text)
    agreed = tuple(_agreed(found, count))
    if agreed or reason is not None:
        return Verdicts(agreed, reason)
    return Verdicts((), "refused" if refuses(text) else "unparsed")


def _from_pieces(text: str) -> tuple[list[Verdict], str | None]:
    """The verdicts of all that reads in a text, and what is wrong with the rest."""
    found: list[Verdict] = []
    reason = None
    for piece in pieces(text):
        if piece.state == "read":
            found.extend(_verdicts(piece.value))
        elif piece.state == "cut":
            return [*found, *_before_the_cut(piece.value)], "truncated"
        elif LISTED.match(text, piece.start):
            reason = reason or ("truncated" if piece.state == "endless" else "unparsed")
    return found, reason


def _agreed(found: Iterable[Verdict], count: int) -> list[Verdict]:
    """One verdict per number that there is; a number on which the answer contradicts itself has none."""
    by_number: dict[int, set[Verdict]] = {}
    for verdict in found:
        if 1 <= verdict.n <= count:
            by_number.setdefault(verdict.n, set()).add(verdict)
    return [verdicts.pop() for _, verdicts in sorted(by_number.items()) if len(verdicts) == 1]


# Maximum nesting depth of verdicts in an answer.
_DEPTH = 4


def _verdicts(value: Any, depth: int = _DEPTH) -> list[Verdict]:
    """The verdicts of a parsed value, at any position in it."""
    if not depth:
        return []
    if isinstance(value, list):
        return [verdict for item in value for verdict in _verdicts(item, depth - 1)]
    if not isinstance(value, dict):
        return []
    fields = _folded(value)
    own = next((n for key in _NUMBER_KEYS if (n := _number(fields.get(key))) is not None), None)
    if own is not None and not _SAYS.isdisjoint(fields):
        return _said(own, fields)
    found: list[Verdict] = []
    for key, inner in value.items():
        number = _number(key)
        if number is None:
            found.extend(_verdicts(inner, depth - 1))
        else:
            found.extend(_said(number, _folded(inner) if isinstance(inner, dict) else {"verdict": inner}))
    return found


def _before_the_cut(stack: Sequence[Open]) -> list[Verdict]:
    """The verdicts that are complete in what is open at the end of a text."""
    found: list[Verdict] = []
    for level in stack:
        if level.closer != "}":
            found.extend(_verdicts(level.items))
            continue
        members = dict(zip(level.items[::2], level.items[1::2], strict=False))
        if _FIELDS.isdisjoint(_folded(members)):  # else a verdict that is cut in the middle
            found.extend(_verdicts(members))
    return found


_NUMBER_KEYS = ("n", "number", "no", "id", "index", "编号", "序号")
_VERDICT_KEYS = (
    "verdict",
    "judgment",
    "judgement",
    "decision",
    "answer",
    "result",
    "判断",
    "结论",
    "结果",
    "判定",
)
_BETTER_KEYS = ("better_type", "better type", "new_type", "新类别", "更合适的类别", *TYPE_KEYS)
_SAYS = frozenset(_VERDICT_KEYS)
_FIELDS = frozenset((*_NUMBER_KEYS, *_VERDICT_KEYS, *_BETTER_KEYS))


def _folded(fields: dict[Any, Any]) -> dict[str, Any]:
    return {key.strip().lower(): value for key, value in fields.items() if isinstance(key, str)}


_NUMBER = re.compile(r"[#(（\[]?\s*([0-9]{1,9})\s*[.．、:：)）\]]?")


def _number(value: Any) -> int | None:
    """A number, or the text of one; a truth value is none."""
    if isinstance(value, str):
        found = _NUMBER.fullmatch(value.strip())
        return int(found[1]) if found else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


_YES = (
    "yes",
    "y",
    "true",
    "correct",
    "right",
    "keep",
    "ok",
    "是",
    "是的",
    "对",
    "对的",
    "正确",
    "保留",
    "合适",
)
_NO = (
    "no", "n", "false", "wrong", "incorrect", "remove", "delete", "drop", "reject",
    "否", "不", "不是", "不对", "错", "错的", "错误", "不正确", "删除", "去掉", "剔除",
)  # fmt: skip
_RETYPE = (
    "retype",
    "retyped",
    "relabel",
    "change type",
    "wrong type",
    "改类别",
    "更改类别",
    "类别错误",
    "类别不对",
)
_WORDS: dict[str, Word] = {
    **dict.fromkeys(_YES, "yes"),
    **dict.fromkeys(_NO, "no"),
    **dict.fromkeys(_RETYPE, "retype"),
}
_RETYPE_TO = re.compile(r"(?:retype(?:\s*[:：→]|\s+(?:to|as)\s)|改为|改成)\s*(\S.*)", re.IGNORECASE)
_EDGES = " \t\r\n\"'“”‘’「」。.!！"


def _said(number: int, fields: dict[str, Any]) -> list[Verdict]:
    """The verdict that fields express on a number, if any."""
    said = next((fields[key] for key in _VERDICT_KEYS if key in fields), None)
    if isinstance(said, bool):
        return [Verdict(number, "yes" if said else "no")]
    if not isinstance(said, str):
        return []
    word = _WORDS.get(said.strip(_EDGES).lower())
    better = next((t for key in _BETTER_KEYS if isinstance(t := fields.get(key), str) and t.strip()), "")
    if word is None and (found := _RETYPE_TO.fullmatch(said.strip(_EDGES))):
        word, better = "retype", found[1]
    if word is None:
        return []
    return [Verdict(number, word, better.strip(_EDGES) if word == "retype" else "")]
