"""How far several annotators of the same passages agree: entity F1 by pair and type, and alpha on characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from sinoner.measurements import Agreement, PairAgreement, TypeAgreement
from sinoner.records import Annotation, Lang, Record

Decision = tuple[int, int, str]  # start and end (half-open, code points), and the type
Decisions = dict[Decision, None]  # of one annotator on one passage, in the order named
CONTEXT = 30  # code points shown on either side of a disagreement


class Disagreement(Record, frozen=True, kw_only=True):
    """A span on which the annotators disagree.

    Attributes:
        id: the passage.
        start: where the span begins, in code points.
        end: where it ends.
        surface: its text.
        left: the text before it.
        right: the text after it.
        votes: annotator → the types it gave the span, joined by ``|``; empty when it gave none.
    """

    id: str
    start: int
    end: int
    surface: str
    left: str
    right: str
    votes: dict[str, str]


class AgreementCounter:
    """Accumulates passages one by one; memory grows with the number of types only.

    Alpha is Krippendorff's for nominal data with every code point as a unit (K. Krippendorff, Content Analysis): its
    label by an annotator is the type of the longest mention that covers it, the first named of equally long ones, or
    ``none``. Only passages that all annotators annotated are counted.
    """

    def __init__(
        self, annotators: Sequence[str], canonical: Callable[[str, Lang], str] | None = None
    ) -> None:
        """Start with nothing added.

        Args:
            annotators: their names, two or more.
            canonical: maps a type to the name it is compared by.
        """
        self.annotators = tuple(annotators)
        self._canonical = canonical
        self._pairs = list(combinations(range(len(annotators)), 2))
        self._passages = self._left_out = self._characters = self._disagreements = 0
        self._both = [
            [0, 0, 0, 0, 0, 0] for _ in self._pairs
        ]  # (span, type): a, b, shared; spans: a, b, shared
        self._types: dict[str, list[list[int]]] = {}
        self._named: Counter[str] = Counter()
        self._unanimous: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()
        self._agreed = 0  # ordered pairs of annotators that agree, over all code points

    def add(self, annotations: Sequence[Annotation | None]) -> list[Disagreement]:
        """Add one passage: each annotator's annotation, in their order; None where there is none.

        Returns:
            The spans on which they disagree, left to right; none when the passage is left out.
        """
        found = [a for a in annotations if a is not None]
        if len(found) < len(self.annotators):
            self._left_out += 1
            return []
        self._passages += 1
        # One language for all: gold may be of another than the run says, and names of types go by language.
        lang = found[0].passage.lang
        spans = [self._spans(a, lang) for a in found]
        everyone = Counter(span for given in spans for span in given)
        self._count_pairs(spans, everyone)
        self._count_characters(len(found[0].passage.text), spans)
        return list(self._disagreeing(found[0], spans, everyone))

    def _spans(self, annotation: Annotation, lang: Lang) -> Decisions:
        rename = self._canonical
        return {
            (start, start + len(e.surface), rename(e.type, lang) if rename else e.type): None
            for e in annotation.entities
            for start in e.starts
        }

    def _count_pairs(self, spans: Sequence[Decisions], everyone: Counter[Decision]) -> None:
        for span, votes in everyone.items():
            self._named[span[2]] += 1
            self._unanimous[span[2]] += votes == len(spans)
        places = [{span[:2] for span in given} for given in spans]
        for number, (total, (a, b)) in enumerate(zip(self._both, self._pairs, strict=True)):
            shared = spans[a].keys() & spans[b].keys()
            total[0] += len(spans[a])
            total[1] += len(spans[b])
            total[2] += len(shared)
            total[3] += len(places[a])
            total[4] += len(places[b])
            total[5] += len(places[a] & places[b])
            for column, given in enumerate((spans[a], spans[b], shared)):
                for span in given:
                    rows = self._types.get(span[2])
                    if rows is None:
                        rows = self._types[span[2]] = [[0, 0, 0] for _ in self._pairs]
                    rows[number][column] += 1

    def _count_characters(self, length: int, spans: Sequence[Decisions]) -> None:
        self._characters += length
        labels: list[list[str]] = []
        for given in spans:
            row = [""] * length
            # The longest is written last and stays; of equally long ones the first named.
            last_to_first = list(given)[::-1]
            last_to_first.sort(key=lambda span: span[1] - span[0])
            for start, end, kind in last_to_first:
                row[start:end] = [kind] * (end - start)
            labels.append(row)
        for unit, times in Counter(zip(*labels, strict=True)).items():
            for label, n in Counter(unit).items():
                self._labels[label] += n * times
                self._agreed += times * n * (n - 1)

    def _disagreeing(
        self, annotation: Annotation, spans: Sequence[Decisions], everyone: Counter[Decision]
    ) -> Iterator[Disagreement]:
        text = annotation.passage.text
        self._disagreements += sum(votes < len(spans) for votes in everyone.values())
        disputed = sorted({span[:2] for span, votes in everyone.items() if votes < len(spans)})
        for start, end in disputed:
            votes = {
                name: "|".join(kind for s, e, kind in given if (s, e) == (start, end))
                for name, given in zip(self.annotators, spans, strict=True)
            }
            yield Disagreement(
                id=annotation.passage.id,
                start=start,
                end=end,
                surface=text[start:end],
                left=text[max(0, start - CONTEXT) : start],
                right=text[end : end + CONTEXT],
                votes=votes,
            )

    def result(self) -> Agreement:
        """The totals so far."""
        pairs = tuple(
            PairAgreement(
                a=self.annotators[a],
                b=self.annotators[b],
                passages=self._passages,
                f1=_f1(*total[:3]),
                span_f1=_f1(*total[3:]),
            )
            for total, (a, b) in zip(self._both, self._pairs, strict=True)
        )
        types = tuple(
            TypeAgreement(
                type=kind, mentions=mentions, unanimous=self._unanimous[kind], f1=self._mean_f1(kind)
            )
            for kind, mentions in sorted(self._named.items(), key=lambda x: (-x[1], x[0]))
        )
        return Agreement(
            annotators=self.annotators,
            passages=self._passages,
            left_out=self._left_out,
            characters=self._characters,
            pairs=pairs,
            types=types,
            alpha=self.alpha(),
            disagreements=self._disagreements,
        )

    def _mean_f1(self, kind: str) -> float:
        """Over the pairs of which at least one gave the type."""
        scores = [_f1(*row) for row in self._types[kind] if row[0] + row[1]]
        return round(sum(scores) / len(scores), 2)

    def alpha(self) -> float | None:
        """Krippendorff's alpha, or None when all characters carry one and the same label."""
        n = self._labels.total()
        expected = n * n - sum(count * count for count in self._labels.values())
        if not expected:
            return None
        agreed = self._agreed / (len(self.annotators) - 1)
        return round(1 - (n - 1) * (n - agreed) / expected, 4)


def _f1(a: int, b: int, shared: int) -> float:
    """F1 in percent; two annotators that both name nothing agree."""
    return round(200 * shared / (a + b), 2) if a + b else 100.0
