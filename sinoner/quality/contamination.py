"""Training passages that share text with a test set: found, reported and left out before retrieval and training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sinoner.clip import clip
from sinoner.measurements import Decontamination, Leak
from sinoner.quality.minhash import NearIndex, band_keys, grams
from sinoner.quality.ngrams import Sieve, of_characters, of_words
from sinoner.records import Passage, Reject
from sinoner.text.fold import HAN_CHAR
from sinoner.text.normal import normal, normal_words

if TYPE_CHECKING:
    from sinoner.quality.ngrams import Hashes

STAGE = "decontaminate"
CHARACTERS = 13  # n-gram of Chinese test passages, in normal form
WORDS = 8  # n-gram of English ones
_SHOWN = 60  # longest shared piece that a reject quotes, in code points
Units = TypeVar("Units", str, list[str])
Place = tuple[int, int]  # number of the test set, number of the passage in it


class TestSet(NamedTuple):
    """A test set: its name, the SHA-256 of its file, and its passages."""

    name: str
    digest: str
    passages: Sequence[Passage]


class Hit(NamedTuple):
    """What a passage shares with a test passage: the piece in normal form, or how similar they are."""

    place: Place
    shared: str
    near: bool


class Found(NamedTuple):
    """What a passage shares with test sets: one hit per test set, in their order, and all test passages it touches."""

    hits: tuple[Hit, ...]
    touched: frozenset[int]


NOTHING = Found((), frozenset())


class Decontaminator:
    """Looks passages up in an index of the test sets; memory grows with the test sets only (28 bytes an n-gram).

    A passage is hit when it shares a character 13-gram, mostly Han characters, with a Chinese test passage, or a word
    8-gram with an English one, both in normal form; when it is, in normal form, the whole of a test passage; or when it is
    a near-duplicate of one. Each test passage is searched for by the n-gram of its own language, whatever the language of
    the training passage.

    A 13-gram with few Han characters is often one long word (aminophylline) or the beginning of a link: it does not count.
    A test passage shorter than an n-gram is often a date, a title or a byline: it counts only as
    the whole of a passage, not within one.
    """

    def __init__(self, tests: Sequence[TestSet], threshold: float) -> None:
        """Index the test sets.

        Args:
            tests: the test sets that training data must not share text with.
            threshold: Jaccard similarity of character 5-grams from which a passage is a near-duplicate.
        """
        self.tests = tests
        self._places: list[Place] = []
        self._whole: dict[str, list[int]] = {}
        self._near = NearIndex(threshold)
        self._near_numbers: list[int] = []
        self._checked = self._dropped = 0
        self._by_gram: Counter[int] = Counter()
        self._by_near: Counter[int] = Counter()
        self._touched: set[int] = set()
        characters: list[Hashes] = []
        words: list[Hashes] = []
        for test_number, test in enumerate(tests):
            for at, passage in enumerate(test.passages):
                self._places.append((test_number, at))
                form = normal(passage.text)
                self._add_whole(form, len(self._places) - 1)
                is_chinese = passage.lang == "zh"
                characters.append(_chinese(form if is_chinese else ""))
                words.append(of_words([] if is_chinese else normal_words(passage.text), WORDS))
        self._characters = _Index(characters)
        self._words = _Index(words)
        self._sieve = Sieve(self._near.all_grams())

    def _add_whole(self, form: str, number: int) -> None:
        if not form:
            return
        self._whole.setdefault(form, []).append(number)
        if len(found := grams(form)):
            self._near.add(found, band_keys(found, self._near.bands))
            self._near_numbers.append(number)

    def find(self, passage: Passage) -> Found:
        """What the passage shares with the test sets. Nothing is counted, so several processes may search."""
        form = normal(passage.text)
        found: dict[int, Hit] = {}
        touched: set[int] = set()

        def take(number: int, shared: str) -> None:
            """Keep the first hit of every test set; a piece that is not shared after all (equal hashes) is empty."""
            if shared:
                touched.add(number)
                place = self._places[number]
                found.setdefault(place[0], Hit(place, shared, near=False))

        for number in self._whole.get(form, ()):
            take(number, form)
        if self._characters:
            for at, number in self._characters.meeting(of_characters(form, CHARACTERS)):
                test_form = normal(self._passage(number).text)
                take(number, _common(form, at, test_form, CHARACTERS))
        if self._words:
            words = normal_words(passage.text)
            for at, number in self._words.meeting(of_words(words, WORDS)):
                test_words = normal_words(self._passage(number).text)
                take(number, " ".join(_common(words, at, test_words, WORDS)))
        if not found and form and (near := self._nearly(form)) is not None:
            number, similarity = near
            touched.add(number)
            place = self._places[number]
            found[place[0]] = Hit(place, f"similarity {similarity:.2f}", near=True)
        return Found(tuple(found[test] for test in sorted(found)), frozenset(touched))

    def _passage(self, number: int) -> Passage:
        test, at = self._places[number]
        return self.tests[test].passages[at]

    def _nearly(self, form: str) -> tuple[int, float] | None:
        """The test passage of which a text in normal form is a near-duplicate, and how similar they are."""
        of = grams(form)
        # Texts of Jaccard similarity t share at least t of the grams of each.
        if not len(of) or self._sieve.may_hold(of).sum() < self._near.threshold * len(of):
            return None
        near = self._near.find(of, band_keys(of, self._near.bands))
        if near is None:
            return None
        return self._near_numbers[near[0]], near[1]

    def check(self, passage: Passage) -> Reject | None:
        """Why a passage is dropped (``shared_ngram`` or ``near_test``), or None; it is counted in both cases."""
        return self.book(passage.id, self.find(passage))

    def book(self, identifier: str, found: Found) -> Reject | None:
        """Count the hits of a passage; return why it is dropped, or None."""
        self._checked += 1
        self._touched |= found.touched
        hits = found.hits
        if not hits:
            return None
        self._dropped += 1
        for hit in hits:
            (self._by_near if hit.near else self._by_gram)[hit.place[0]] += 1
        first = hits[0]
        test = self.tests[first.place[0]]
        shared = clip(first.shared, _SHOWN)
        return Reject(
            id=identifier,
            stage=STAGE,
            reason="near_test" if first.near else "shared_ngram",
            detail=f"{test.name} {test.passages[first.place[1]].id}: {shared}",
        )

    def result(self) -> Decontamination:
        """What was dropped so far, against which test set; a passage counts for every one that it was hit by."""
        touched = Counter(self._places[number][0] for number in self._touched)
        return Decontamination(
            checked=self._checked,
            dropped=self._dropped,
            leaks=tuple(
                Leak(
                    benchmark=test.name,
                    digest=test.digest,
                    passages=len(test.passages),
                    shared_ngram=self._by_gram[number],
                    near_duplicate=self._by_near[number],
                    touched=touched[number],
                )
                for number, test in enumerate(self.tests)
            ),
        )


class _Index:
    """The n-grams of test passages, by number of the passage: sorted hashes, the numbers beside them, and a sieve."""

    def __init__(self, by_number: Sequence[Hashes]) -> None:
        import numpy as np

        distinct = [np.unique(hashes) for hashes in by_number]
        hashes = np.concatenate(distinct) if distinct else np.empty(0, np.uint64)
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        self._numbers = np.repeat(np.arange(len(distinct), dtype=np.uint32), [len(d) for d in distinct])[
            order
        ]
        self._sieve = Sieve(self._hashes)

    def __bool__(self) -> bool:
        return len(self._hashes) > 0

    def meeting(self, hashes: Hashes) -> Iterator[tuple[int, int]]:
        """Passages that hold one of the hashes: the position of the first of them, and the number, in this order."""
        import numpy as np

        at = np.flatnonzero(self._sieve.may_hold(hashes))
        begins = np.searchsorted(self._hashes, hashes[at], "left")
        ends = np.searchsorted(self._hashes, hashes[at], "right")
        known: set[int] = set()
        for i in np.flatnonzero(begins < ends).tolist():
            for number in self._numbers[begins[i] : ends[i]].tolist():
                if number not in known:
                    known.add(number)
                    yield int(at[i]), number


def _chinese(form: str) -> Hashes:
    """The character n-grams of which more than half are Han characters."""
    import numpy as np

    hashes = of_characters(form, CHARACTERS)
    is_han = np.fromiter((HAN_CHAR.match(char) is not None for char in form), np.int64, len(form))
    sums = np.concatenate(([0], np.cumsum(is_han)))
    return hashes[2 * (sums[CHARACTERS:] - sums[:-CHARACTERS])[: len(hashes)] > CHARACTERS]


def _common(mine: Units, at: int, other: Units, n: int) -> Units:
    """The longest piece from ``at`` on that the other text holds as well, at least ``n`` units; else an empty one."""
    piece = mine[at : at + n]
    for there in range(len(other) - n + 1):
        if other[there : there + n] == piece:
            end = n
            while at + end < len(mine) and there + end < len(other) and mine[at + end] == other[there + end]:
                end += 1
            return mine[at : at + end]
    return mine[:0]
