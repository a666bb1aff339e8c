"""Few-shot demonstrations: the passages of a small gold file that are most like the one to be labelled."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from sinoner import disk
from sinoner.records import Annotation, Lang

# A longer passage says more and costs more; demonstrations are to be short.
_LONGEST = 400


class Demonstrations:
    """A gold file as an index over pairs of characters (zh) or words (en), weighted by how rare they are.

    Lexical on purpose: it needs no model, answers in well under a millisecond, and a demonstration is chosen for
    every passage of the corpus. Passages of another language or of more than 400 characters are not used.

    Args:
        gold: annotated passages, in file order.
        k: demonstrations per passage.
    """

    def __init__(self, gold: Iterable[Annotation], k: int) -> None:
        self._k = k
        self._gold = [a for a in gold if len(a.passage.text) <= _LONGEST]
        self._postings: dict[tuple[Lang, str], list[int]] = defaultdict(list)
        self._norm: list[float] = []
        for number, annotation in enumerate(self._gold):
            for gram in sorted(_grams(annotation.passage.text, annotation.passage.lang)):
                self._postings[annotation.passage.lang, gram].append(number)
        total = len(self._gold)
        self._idf = {key: math.log(1 + total / len(found)) for key, found in self._postings.items()}
        for annotation in self._gold:
            lang = annotation.passage.lang
            weight = sum(self._idf[lang, g] ** 2 for g in sorted(_grams(annotation.passage.text, lang)))
            self._norm.append(math.sqrt(weight) or 1.0)

    def __len__(self) -> int:
        return len(self._gold)

    @property
    def digest(self) -> str:
        """A short hash of the gold passages and their entities."""
        whole = b"".join(map(disk.line, self._gold)).removesuffix(b"\n")
        return hashlib.sha256(whole).hexdigest()[:8]

    def nearest(self, text: str, lang: Lang) -> Sequence[Annotation]:
        """The demonstrations for a text, the most similar last, beside the question. Never the text itself."""
        scores: Counter[int] = Counter()
        for gram in sorted(_grams(text, lang)):
            for number in self._postings.get((lang, gram), ()):
                scores[number] += self._idf[lang, gram] ** 2  # type: ignore[assignment]
        found = [n for n in scores if self._gold[n].passage.text != text]
        found.sort(key=lambda n: (-scores[n] / self._norm[n], n))
        return [self._gold[n] for n in reversed(found[: self._k])]


def _grams(text: str, lang: Lang) -> set[str]:
    if lang == "en":
        return set(text.lower().split())
    kept = "".join(text.split())
    return {kept[i : i + 2] for i in range(len(kept) - 1)} or {kept}
