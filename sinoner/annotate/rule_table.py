"""The rule table: an annotator for people with a dictionary of their field, of words and regular expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import add

from sinoner.annotate.rule_table_file import Rule, Table
from sinoner.errors import InputError
from sinoner.records import Annotation, Annotator, Entity, Passage
from sinoner.text.edges import inside_grapheme, inside_word, is_letter

BY = Annotator(source="table")
Span = tuple[int, int]
Finder = Callable[[str], tuple[Entity, ...]]


def annotate_by_table(passages: Iterable[Passage], table: Table) -> Iterator[Annotation]:
    """Annotate passages of any language with a rule table.

    Of the places where words and patterns of one type overlap, the one that begins first counts, and of those that
    begin together the longest; places of different types may overlap. A word is compared character by character, and
    one that begins or ends with a letter or digit stands for itself only where no other touches it there.

    Raises:
        InputError: a pattern matched a place without characters (file:line).
    """
    find = finder(table)
    for passage in passages:
        yield Annotation(passage=passage, entities=find(passage.text), by=BY)


def finder(table: Table) -> Finder:
    """A function that finds the entities of a text, in order of appearance; the table is indexed once."""
    words_of = _word_finder(table)

    def find(text: str) -> tuple[Entity, ...]:
        found = words_of(text)
        for rule in table.rules:
            if spans := _matches(rule, text):
                found.setdefault(rule.type, []).extend(spans)
        if not found:
            return ()
        # A span is (begin, -end) so far: the first and of these the longest comes first.
        kept = [(begin, end, kind) for kind, spans in found.items() for begin, end in _apart(spans)]
        kept.sort()
        starts: dict[tuple[str, str], list[int]] = {}
        for begin, end, kind in kept:
            starts.setdefault((text[begin:end], kind), []).append(begin)
        return tuple(Entity(surface=s, type=k, starts=tuple(v)) for (s, k), v in starts.items())

    return find


def _word_finder(table: Table) -> Callable[[str], dict[str, list[Span]]]:
    """A function that finds all places of the words of a table, by type.

    The index goes from the first two characters of a word to the lengths of the words that begin so. A text costs
    one look-up per character, however many words there are.
    """
    types: dict[str, list[str]] = {}
    for term in table.terms:
        types.setdefault(term.word, []).append(term.type)
    lengths: dict[str, set[int]] = {}
    for word in types:
        lengths.setdefault(word[:2], set()).add(len(word))
    singles = frozenset(word for word in types if len(word) == 1)
    heads = {head: tuple(sorted(of_head)) for head, of_head in lengths.items() if len(head) == 2}
    # Words that a letter or digit must not touch, at their beginning or end.
    lettered = frozenset(word for word in types if is_letter(word[0]) or is_letter(word[-1]))

    def find(text: str) -> dict[str, list[Span]]:
        found: dict[str, list[Span]] = {}

        def take(word: str, at: int) -> None:
            end = at + len(word)
            if word in lettered and (inside_word(text, at, mixed=True) or inside_word(text, end, mixed=True)):
                return
            if not inside_grapheme(text, end):
                for kind in types[word]:
                    found.setdefault(kind, []).append((at, -end))

        for at, sizes in enumerate(map(heads.get, map(add, text, text[1:]))):
            if sizes is not None:
                for size in sizes:
                    if (word := text[at : at + size]) in types:
                        take(word, at)
        if singles:
            for at, char in enumerate(text):
                if char in singles:
                    take(char, at)
        return found

    return find


def _matches(rule: Rule, text: str) -> list[Span]:
    """The places of a pattern, without white space around them."""
    group = rule.group
    spans = []
    for match in rule.pattern.finditer(text):
        if match.end() == match.start():
            raise InputError(
                f"{rule.place}: {rule.pattern.pattern!r} matched a place without characters; let it match one at least"
            )
        begin, end = match.span(group)
        mention = text[begin:end] if begin >= 0 else ""
        if trimmed := mention.strip():
            begin += len(mention) - len(mention.lstrip())
            spans.append((begin, -begin - len(trimmed)))
    return spans


def _apart(spans: list[Span]) -> Iterator[Span]:
    """Spans that do not overlap: the first counts, and of those that begin together the longest."""
    free = 0
    for begin, negative in sorted(spans):
        if begin >= free:
            free = -negative
            yield begin, free
