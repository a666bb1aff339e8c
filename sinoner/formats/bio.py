"""Token-per-line NER data: BIO, BIOES and BMES tags, token first or tag first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sinoner.formats.labelled_text import Bad, Row, placed, read
from sinoner.records import Lang
from sinoner.text.lang import detect_lang
from sinoner.text.mentions import Claim

# Prefixes of BIO, BIOES (BIOLU) and BMES; the name of the type follows a dash or an underscore.
_TAG = re.compile(r"([BIMESLU])[-_](.+)", re.IGNORECASE)
# A character and its index in its word, as the Weibo corpus writes them; broken characters are kept as they are.
_SEGMENTED = re.compile(r"(\ufffd+|.)([0-9]{1,2})", re.DOTALL)
# Share of the tokens whose index must continue the previous one (the Weibo corpus has one slip in 73,778).
_SEGMENTED_SHARE = 0.9
# Characters read to detect the language of a file.
_SNIFFED_CHARACTERS = 20_000

_Block = list[tuple[int, list[str]]]


def bio(path: Path, lang: Lang | None = None) -> Iterator[Row | Bad]:
    """One token per line, token first and tag last, a blank line between passages.

    Chinese tokens are joined as they are, English ones by a space. ``#`` begins a token, never a comment. The
    index that the Weibo corpus appends to every character is removed.
    """
    return _columns(path, lang, token=0, tag=-1)


def mit(path: Path, lang: Lang | None = None) -> Iterator[Row | Bad]:
    """The layout of the MIT movie and restaurant corpora: tag first, token last, a blank line between passages."""
    return _columns(path, lang, token=-1, tag=0)


def decode(words: Sequence[str], tags: Sequence[str], gap: int) -> list[Claim]:
    """Spans of a tag sequence over words that are joined by ``gap`` characters.

    An inside tag without a span to continue starts a new one, as is usual for noisy data.
    """
    found: list[Claim] = []
    start, end, name = 0, 0, ""
    at = 0
    for word, tag in zip(words, tags, strict=True):
        match = _TAG.fullmatch(tag)
        prefix, own = (match[1].upper(), match[2]) if match else ("O", "")
        if name and (prefix in "OBSU" or own != name):
            found.append(Claim(start, end, name))
            name = ""
        if match:
            start, name = (start, name) if name else (at, own)
            end = at + len(word)
            if prefix in "ESLU":
                found.append(Claim(start, end, name))
                name = ""
        at += len(word) + gap
    if name:
        found.append(Claim(start, end, name))
    return found


def _columns(path: Path, lang: Lang | None, *, token: int, tag: int) -> Iterator[Row | Bad]:
    """Read token-per-line data; columns are separated by tabs, or by spaces in a line without tabs."""
    passages = list(_blocks(path))
    tokens = [[cells[token] for _, cells in block] for block in passages]
    if _is_segmented(tokens):
        lang = lang or "zh"
        tokens = [[_unsegmented(t) for t in block] for block in tokens]
    known = lang or detect_lang("".join(t for block in tokens for t in block)[:_SNIFFED_CHARACTERS])
    glue = "" if known == "zh" else " "
    for block, words in zip(passages, tokens, strict=True):
        where = f"{path}:{block[0][0]}"
        if wrong := _mistake(block, tag):
            yield Bad(where, *wrong)
        else:
            # An empty token was white space.
            words = [word or " " for word in words]
            claims = decode(words, [cells[tag] for _, cells in block], len(glue))
            row = placed(where, glue.join(words), claims)
            yield row._replace(lang=known) if isinstance(row, Row) else row


def _blocks(path: Path) -> Iterator[_Block]:
    """Runs of non-blank lines as (line number, columns); CoNLL's document marks separate them too."""
    block: _Block = []
    for number, raw in enumerate(read(path).split("\n"), 1):
        line = raw.rstrip(" \t\r")
        if line and not line.startswith("-DOCSTART-"):
            block.append((number, line.split("\t") if "\t" in line else re.split(" +", line)))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _mistake(block: _Block, tag: int) -> tuple[str, str] | None:
    """The first line of a passage that is not a token with a tag, as (reason, detail)."""
    for number, cells in block:
        if len(cells) < 2:
            return "bad_line", f"line {number} has one column, expected a token and its tag"
        if cells[tag].upper() != "O" and not _TAG.fullmatch(cells[tag]):
            return "bad_tag", f"line {number}: {cells[tag]!r} is not a BIO, BIOES or BMES tag"
    return None


def _is_segmented(passages: Iterable[Sequence[str]]) -> bool:
    """Whether every token is a character with its index in its word."""
    steps = good = 0
    for passage in passages:
        before = -1
        for token in passage:
            match = _SEGMENTED.fullmatch(token)
            if match is None:
                return False
            index = int(match[2])
            steps += 1
            good += index in (0, before + 1)
            before = index
    return steps > 0 and good >= _SEGMENTED_SHARE * steps


def _unsegmented(token: str) -> str:
    match = _SEGMENTED.fullmatch(token)
    return match[1] if match else token
