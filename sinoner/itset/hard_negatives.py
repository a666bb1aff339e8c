"""Hard negative types: types like those of the passage, or of the examples it is shown, but that it does not have.

A type that the data set gives to one of the passage's mentions elsewhere is no negative here, only a label that this
annotation left out; neither is another name of one of its types. All labels together tell which those are.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from random import Random
from typing import NamedTuple

from sinoner.itset.negatives import NegativeSampler
from sinoner.records import Annotation
from sinoner.text.fold import fold

# Two types are taken for names of the same thing when they share this part of the surfaces of the rarer one. At half,
# a surface of the rarer type is as likely as not to carry the other type, too: asking for it would teach a coin toss.
SAME_SHARE = 0.5


class Labels:
    """Which types each mention carries anywhere in a data set.

    A hash of 8 bytes and a small number or two stand for a surface, some 90 bytes of memory. Surfaces and types are
    compared without width, case, white space and kinds of quotes (``text.fold``, level ``spacing``).
    """

    def __init__(self, annotations: Iterable[Annotation] = ()) -> None:
        """Look at annotations.

        Args:
            annotations: those to train on; their order does not matter. More can be added.
        """
        self._keys: list[str] = []  # folded types, by number
        self._numbers: dict[str, int] = {}  # of types as written, and folded
        # A surface of one type has its number, one of several a tuple: nearly all have one.
        self._held: dict[int, int | tuple[int, ...]] = {}
        self._same: array[int] | None = None
        for annotation in annotations:
            self.add(annotation)

    def __len__(self) -> int:
        """How many distinct surfaces it knows."""
        return len(self._held)

    def add(self, annotation: Annotation) -> None:
        """Take in the mentions of one annotation."""
        for entity in annotation.entities:
            number = self._number(entity.type)
            surface = _hashed(entity.surface)
            held = self._held.get(surface)
            if held is None:
                self._held[surface] = number
            elif isinstance(held, tuple):
                if number not in held:
                    self._held[surface] = (*held, number)
            elif held != number:
                self._held[surface] = (held, number)
        self._same = None

    def of(self, surface: str) -> frozenset[str]:
        """All types that a mention carries anywhere, folded; none when it was never seen."""
        held = self._held.get(_hashed(surface), ())
        return frozenset(self._keys[i] for i in ((held,) if isinstance(held, int) else held))

    def same(self, a: str, b: str) -> bool:
        """Whether two types share at least half (``SAME_SHARE``) of the surfaces of the rarer one, or are equal folded."""
        first, second = self._find(a), self._find(b)
        if first is None or second is None:
            return fold(a, "spacing") == fold(b, "spacing")
        if first == second:
            return True
        if self._same is None:
            self._same = self._pairs()
        code = min(first, second) * len(self._keys) + max(first, second)
        at = bisect_left(self._same, code)
        return at < len(self._same) and self._same[at] == code

    def _number(self, type: str) -> int:
        number = self._numbers.get(type)
        if number is None:
            key = fold(type, "spacing")
            number = self._numbers.setdefault(key, len(self._keys))
            if number == len(self._keys):
                self._keys.append(key)
            self._numbers[type] = number
        return number

    def _find(self, type: str) -> int | None:
        number = self._numbers.get(type)
        return self._numbers.get(fold(type, "spacing")) if number is None else number

    def _pairs(self) -> array[int]:
        """The pairs of types that are the same, each as one number, ascending."""
        count = len(self._keys)
        surfaces = [0] * count
        shared_by: dict[int, list[tuple[int, ...]]] = {}
        for held in self._held.values():
            for number in (held,) if isinstance(held, int) else held:
                surfaces[number] += 1
            if isinstance(held, tuple):
                for number in held:
                    shared_by.setdefault(number, []).append(held)
        pairs = array("Q")
        for a in sorted(shared_by):
            shared = Counter(chain.from_iterable(shared_by[a]))
            pairs.extend(
                a * count + b
                for b, n in sorted(shared.items())
                if b > a and n >= SAME_SHARE * min(surfaces[a], surfaces[b])
            )
        return pairs


class Drawn(NamedTuple):
    """The negative types of a passage, and where they came from.

    Attributes:
        types: the types, without repeats.
        hard_similar: how many of them are hard ones by their names.
        hard_examples: how many of them are hard ones out of the examples.
        hard_missing: how many should have been hard but were drawn by frequency, because no hard type was left.
    """

    types: tuple[str, ...]
    hard_similar: int = 0
    hard_examples: int = 0
    hard_missing: int = 0


class HardNegatives:
    """Puts hard negatives in the place of drawn ones.

    The sampler decides how many negatives a passage has and draws them all; each is then replaced, by chance, from a
    random stream of its own. So those that are not replaced stay what they were, and with chance 0 all do.
    """

    def __init__(
        self,
        sampler: NegativeSampler,
        chance: float,
        similar: Mapping[str, Sequence[str]],
        labels: Labels,
        seed: int,
    ) -> None:
        """Get ready for the passages of one language.

        Args:
            sampler: draws by frequency; a type that it cannot draw (misc, or not of this data set) is no hard negative.
            chance: chance of a negative to be a hard one.
            similar: for each type those with the most similar names, most similar first.
            labels: all labels to train on.
            seed: seed of the run.
        """
        self._sampler = sampler
        self._chance = chance
        self._similar = similar
        self._labels = labels
        self._seed = seed

    def draw(self, annotation: Annotation, examples: Sequence[Annotation], random: Random) -> Drawn:
        """The negative types of a passage.

        The two sources have the same chance while both have a type left, and so have the types of a source.

        Args:
            annotation: the passage with its entities.
            examples: the annotations that it is shown; none when it is shown none.
            random: the passage's stream, of which the sampler takes what it would take without hard negatives.
        """
        positives = list(dict.fromkeys(e.type for e in annotation.entities))
        drawn = self._sampler.draw(positives, random)
        if not self._chance or not drawn:
            return Drawn(tuple(drawn))
        own = Random(f"hard:{self._seed}:{annotation.passage.id}")
        hard = [at for at in range(len(drawn)) if own.random() < self._chance]
        if not hard:
            return Drawn(tuple(drawn))
        possible = _Possible(annotation, positives, self._labels)
        sources = (
            list(dict.fromkeys(chain.from_iterable(self._similar.get(p, ()) for p in positives))),
            list(dict.fromkeys(e.type for example in examples for e in example.entities)),
        )
        replaced = [drawn[at] for at in hard]
        taken = set(drawn).difference(replaced)
        counts = [0, 0]
        for at in hard:
            first = own.randrange(2)
            for source in (first, 1 - first):
                found = self._take(sources[source], taken, possible, own)
                if found is not None:
                    drawn[at] = found
                    taken.add(found)
                    counts[source] += 1
                    break
        # Without a hard type left, what was drawn by frequency goes back in, unless it has become a hard one itself.
        again = (type for type in replaced if type not in taken)
        for at in hard[sum(counts) :]:
            drawn[at] = next(again)
        return Drawn(tuple(drawn), counts[0], counts[1], len(hard) - sum(counts))

    def _take(self, types: list[str], taken: set[str], possible: _Possible, random: Random) -> str | None:
        """Take one type out of a list, each that can be a negative with the same chance; None when there is none.

        Those that cannot are thrown away as they are met.
        """
        while types:
            at = random.randrange(len(types))
            types[at], types[-1] = types[-1], types[at]
            type = types.pop()
            if type in self._sampler.types and type not in taken and type not in possible:
                return type
        return None


class _Possible:
    """Tells which types are, or may well be, types of a passage. Asked of few types: most are never looked at."""

    def __init__(self, annotation: Annotation, positives: Sequence[str], labels: Labels) -> None:
        self._positives = positives
        self._labels = labels
        self._carried = frozenset().union(
            *(labels.of(s) for s in dict.fromkeys(e.surface for e in annotation.entities))
        )

    def __contains__(self, type: str) -> bool:
        return fold(type, "spacing") in self._carried or any(
            self._labels.same(type, positive) for positive in self._positives
        )


def _hashed(surface: str) -> int:
    """The same number in every process, which ``hash`` would not be."""
    digest = hashlib.blake2b(fold(surface, "spacing").encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
