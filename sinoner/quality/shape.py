"""How long passages and mentions are, and how densely passages are annotated: counted in bins, in flat memory."""

from __future__ import annotations

from sinoner.bins import Bins
from sinoner.measurements import Shape
from sinoner.records import Annotation


class ShapeCounter:
    """Counts passages one by one."""

    def __init__(self) -> None:
        self._lengths = Bins(0.0, 20.0, 40)  # code points of a passage
        self._mentions = Bins(1.0, 1.0, 30)  # code points of a surface
        self._densities = Bins(0.0, 0.5, 30)  # entities per 100 code points
        self._entities = Bins(0.0, 1.0, 40)  # entities of a passage

    def add(self, annotation: Annotation) -> None:
        """Count one passage."""
        length, n = len(annotation.passage.text), len(annotation.entities)
        self._lengths.add(length)
        self._densities.add(100 * n / length)
        self._entities.add(n)
        for entity in annotation.entities:
            self._mentions.add(len(entity.surface))

    def result(self) -> Shape:
        """The histograms so far."""
        return Shape(
            lengths=self._lengths.histogram(),
            mention_lengths=self._mentions.histogram(),
            densities=self._densities.histogram(),
            entities=self._entities.histogram(),
        )
