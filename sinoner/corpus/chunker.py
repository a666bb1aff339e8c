"""Split documents into passages of at most ``max_tokens`` tokens, at sentence boundaries; joined, they are the document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from sinoner.errors import InputError
from sinoner.records import HUMAN, Annotation, Document, Entity, Passage, Reject
from sinoner.settings import CorpusSettings
from sinoner.text.sentences import clauses, sentences
from sinoner.text.token_count import CountUpTo, counter_of

STAGE = "chunk"
_BUNDLED = ("o200k_base", "cl100k_base")
# A token spans at most this many characters in either bundled vocabulary (long runs of one character).
_MAX_TOKEN_CHARS = 128


def counter(tokenizer: str) -> CountUpTo:
    """The token counter of a bundled OpenAI vocabulary or a ``tokenizer.json`` file.

    Raises:
        InputError: the tokenizer is neither of them.
    """
    if tokenizer in _BUNDLED:
        return counter_of(tokenizer)
    path = Path(tokenizer)
    if not path.is_file():
        raise InputError(
            f"corpus.tokenizer: {tokenizer!r} is neither {' nor '.join(_BUNDLED)} nor a tokenizer.json file"
        )
    from tokenizers import Tokenizer

    try:
        loaded = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception
        raise InputError(f"corpus.tokenizer: {path} is not a tokenizer.json ({error})") from None
    loaded.no_truncation()

    def count(text: str, limit: int) -> int | None:
        n = len(loaded.encode(text, add_special_tokens=False).ids)
        return n if n <= limit else None

    return count


def chunk(
    documents: Iterable[Document | Reject], settings: CorpusSettings
) -> Iterator[Passage | Annotation | Reject]:
    """Cut documents into passages; a document with manual annotations yields annotations.

    No passage is longer than ``settings.max_tokens`` tokens, the passages of a document joined are its text,
    and their ids are ``<document id>#<n>``. An annotated occurrence that spans a cut is rejected
    (unit ``entity``).
    """
    till = counter(settings.tokenizer)
    for document in documents:
        if isinstance(document, Reject):
            yield document
        else:
            yield from chunk_document(document, till, settings.max_tokens)


def chunk_document(
    document: Document, till: CountUpTo, limit: int
) -> Iterator[Passage | Annotation | Reject]:
    """The passages (or annotations) of one document."""
    offset = 0
    for n, text in enumerate(cut(document.text, till, limit)):
        passage = Passage(
            id=f"{document.id}#{n}",
            text=text,
            source=document.source,
            lang=document.lang,
            document=document.id,
        )
        if document.entities is None:
            yield passage
        else:
            inside, crossing = _within(document.entities, offset, len(text))
            yield Annotation(passage=passage, entities=inside, by=HUMAN)
            for entity in crossing:
                detail = f"{entity.surface} ({entity.type})"
                yield Reject(id=passage.id, stage=STAGE, reason="cut_through", detail=detail, unit="entity")
        offset += len(text)


def cut(text: str, till: CountUpTo, limit: int) -> Iterator[str]:
    """Cut a text into pieces of at most ``limit`` tokens; joined, they are the text."""
    yield from _pack(sentences(text), till, limit, (clauses, None))


def _pack(
    pieces: list[str], till: CountUpTo, limit: int, finer: tuple[Callable[[str], list[str]] | None, ...]
) -> Iterator[str]:
    """Greedily join pieces while they fit; a piece that does not fit on its own is split further."""
    begin = 0
    per_char = 1.0  # tokens per character of the text so far: an estimate that only saves counting
    while begin < len(pieces):
        end, chars = begin, 0
        while end < len(pieces) and (end == begin or (chars + len(pieces[end])) * per_char <= limit):
            chars += len(pieces[end])
            end += 1
        joined = "".join(pieces[begin:end])
        n = till(joined, limit)
        while n is None and end > begin + 1:
            end -= 1
            joined = "".join(pieces[begin:end])
            n = till(joined, limit)
        if n is None:
            yield from _finer(joined, till, limit, finer)
            begin = end
            continue
        per_char = n / len(joined)
        first, added = end, n
        while end < len(pieces) and (more := till(pieces[end], limit - added)) is not None:
            added += more
            end += 1
        while end > first:  # joined texts may count a few tokens more than their parts
            longer = "".join(pieces[begin:end])
            if till(longer, limit) is not None:
                joined = longer
                break
            end -= 1
        yield joined
        begin = end


def _finer(
    piece: str, till: CountUpTo, limit: int, finer: tuple[Callable[[str], list[str]] | None, ...]
) -> Iterator[str]:
    split, *rest = finer
    if split is not None:
        smaller = split(piece)
        if len(smaller) > 1:
            yield from _pack(smaller, till, limit, tuple(rest))
            return
    yield from _hard(piece, till, limit)


def _hard(text: str, till: CountUpTo, limit: int) -> Iterator[str]:
    """Cut a text without separators between characters, taking the longest prefix that fits each time."""
    begin = 0
    while begin < len(text):
        low, high = 1, min(len(text) - begin, limit * _MAX_TOKEN_CHARS)
        size = min(limit, high)
        while low < high:
            if till(text[begin : begin + size], limit) is None:
                high = max(size - 1, 1)
            else:
                low = size
            size = min((low + high + 1) // 2, 2 * low)
        yield text[begin : begin + low]
        begin += low


def _within(entities: Iterable[Entity], offset: int, length: int) -> tuple[tuple[Entity, ...], list[Entity]]:
    """The entities inside ``[offset, offset + length)`` in passage offsets, and those that extend past its end."""
    inside: list[Entity] = []
    crossing: list[Entity] = []
    for entity in entities:
        size = len(entity.surface)
        begins = [s - offset for s in entity.starts if offset <= s < offset + length]
        whole = tuple(s for s in begins if s + size <= length)
        if whole:
            inside.append(replace(entity, starts=whole))
        crossing.extend(entity for s in begins if s + size > length)
    return tuple(inside), crossing
