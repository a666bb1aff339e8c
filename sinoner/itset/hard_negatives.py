"""Hard negative types: absent types with names similar to those of the passage's types, or types of its examples.

A type that a mention of the passage carries elsewhere in the data set is not a negative: this annotation probably left it
out. Neither is a synonym of one of the passage's types. Both are found from all labels of the data set.
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

# Two types are considered synonyms when they share at least this part of the surfaces of the rarer one. From half on, a
# surface of the rarer type is as likely as not to carry the other type too, so the right answer would be a coin toss.
SAME_SHARE = 0.5


class Labels:
    """The types that each surface carries anywhere in a data set.

    A surface is stored as a hash of 8 bytes with the numbers of its types, some 90 bytes of memory. Comparisons of surfaces
    and types ignore width, case, white space and kinds of quotes (``text.fold``, level ``spacing``).
    """

    def __init__(self, annotations: Iterable[Annotation] = ()) -> None:
        """Collect the labels of annotations.

        Args:
            annotations: the training annotations, in any order; ``add`` takes more.
        """
        self._keys: list[str] = []  # folded types, by number
        self._numbers: dict[str, int] = {}  # numbers of types, as written and folded
        # The number of its type for a surface with one type (nearly all), else a tuple of numbers.
        self._types_of: dict[int, int | tuple[int, ...]] = {}
        self._same: array[int] | None = None
        for annotation in annotations:
            self.add(annotation)

    def __len__(self) -> int:
        """The number of distinct surfaces."""
        return len(self._types_of)

    def add(self, annotation: Annotation) -> None:
        """Add the mentions of one annotation."""
        for entity in annotation.entities:
            number = self._number(entity.type)
            surface = _hashed(entity.surface)
            known = self._types_of.get(surface)
            if known is None:
                self._types_of[surface] = number
            elif isinstance(known, tuple):
                if number not in known:
                    self._types_of[surface] = (*known, number)
            elif known != number:
                self._types_of[surface] = (known, number)
        self._same = None

    def of(self, surface: str) -> frozenset[str]:
        """All types that a surface carries anywhere, folded; empty when it is unknown."""
        known = self._types_of.get(_hashed(surface), ())
        return frozenset(self._keys[i] for i in ((known,) if isinstance(known, int) else known))

    def same(self, a: str, b: str) -> bool:
        """Whether two types are equal when folded, or share at least ``SAME_SHARE`` of the surfaces of the rarer one."""
        first, second = self._find(a), self._find(b)
        if first is None or second is None:
            return fold(a, "spacing") == fold(b, "spacing")
        if first == second:
            return True
        if self._same is None:
            self._same = self._pairs()
        code = min(first, second) * len(self._keys) + max(first, second)
        position = bisect_left(self._same, code)
        return position < len(self._same) and self._same[position] == code

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
        """The pairs of synonymous types, each encoded as one number, ascending."""
        count = len(self._keys)
        surfaces = [0] * count
        shared_by: dict[int, list[tuple[int, ...]]] = {}
        for known in self._types_of.values():
            for number in (known,) if isinstance(known, int) else known:
                surfaces[number] += 1
            if isinstance(known, tuple):
                for number in known:
                    shared_by.setdefault(number, []).append(known)
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
    """The negative types of a passage, and their sources.

    Attributes:
        types: the types, without repeats.
        hard_similar: how many are hard because their names are similar.
        hard_examples: how many are hard because they come from the examples.
        hard_missing: how many should be hard but were drawn by frequency, because no hard type was left.
    """

    types: tuple[str, ...]
    hard_similar: int = 0
    hard_examples: int = 0
    hard_missing: int = 0


class HardNegatives:
    """Replaces some of the drawn negatives by hard ones.

    The sampler decides how many negatives a passage has and draws them all. A separate random stream then chooses those that
    are replaced, so the others are the same as without hard negatives, and with chance 0 all are.
    """

    def __init__(
        self,
        sampler: NegativeSampler,
        chance: float,
        similar: Mapping[str, Sequence[str]],
        labels: Labels,
        seed: int,
    ) -> None:
        """Prepare for the passages of one language.

        Args:
            sampler: draws by frequency; a type that it cannot draw (misc, or not in this data set) is never a hard negative.
            chance: chance that a negative is replaced by a hard one.
            similar: for each type, the types with similar names, most similar first.
            labels: all training labels.
            seed: seed of the run.
        """
        self._sampler = sampler
        self._chance = chance
        self._similar = similar
        self._labels = labels
        self._seed = seed

    def draw(self, annotation: Annotation, examples: Sequence[Annotation], random: Random) -> Drawn:
        """The negative types of a passage.

        Both sources have the same chance while both have a type left, and so do all types within a source.

        Args:
            annotation: the passage with its entities.
            examples: the annotations shown with it; may be empty.
            random: the passage's stream; only the sampler draws from it, exactly as without hard negatives.
        """
        positives = list(dict.fromkeys(e.type for e in annotation.entities))
        drawn = self._sampler.draw(positives, random)
        if not self._chance or not drawn:
            return Drawn(tuple(drawn))
        stream = Random(f"hard:{self._seed}:{annotation.passage.id}")
        hard = [position for position in range(len(drawn)) if stream.random() < self._chance]
        if not hard:
            return Drawn(tuple(drawn))
        possible = _Possible(annotation, positives, self._labels)
        sources = (
            list(dict.fromkeys(chain.from_iterable(self._similar.get(p, ()) for p in positives))),
            list(dict.fromkeys(e.type for example in examples for e in example.entities)),
        )
        replaced = [drawn[position] for position in hard]
        taken = set(drawn).difference(replaced)
        counts = [0, 0]
        for position in hard:
            first = stream.randrange(2)
            for source in (first, 1 - first):
                found = self._take(sources[source], taken, possible, stream)
                if found is not None:
                    drawn[position] = found
                    taken.add(found)
                    counts[source] += 1
                    break
        # When no hard type is left, the types drawn by frequency are put back, except those now present as hard ones.
        again = (type for type in replaced if type not in taken)
        for position in hard[sum(counts) :]:
            drawn[position] = next(again)
        return Drawn(tuple(drawn), counts[0], counts[1], len(hard) - sum(counts))

    def _take(self, types: list[str], taken: set[str], possible: _Possible, random: Random) -> str | None:
        """Remove and return a random type that can be a negative, all with the same chance; None when there is none.

        Types that cannot be negatives are removed on the way.
        """
        while types:
            position = random.randrange(len(types))
            types[position], types[-1] = types[-1], types[position]
            type = types.pop()
            if type in self._sampler.types and type not in taken and type not in possible:
                return type
        return None


class _Possible:
    """The types that a passage has or may have; evaluated lazily, because few types are ever tested."""

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
    """A hash that is the same in every process, unlike that of ``hash``."""
    digest = hashlib.blake2b(fold(surface, "spacing").encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
