"""How long passages and mentions are, and how densely passages are annotated: counted in bins, in flat memory."""

from __future__ import annotations

from sinoner.measurements import Histogram, Shape
from sinoner.records import Annotation

# Bins: width and number. What lies above the last bin counts in it.
_LENGTHS = (20.0, 40)  # code points of a passage
_MENTIONS = (1.0, 30)  # code points of a surface
_DENSITIES = (0.5, 30)  # entities per 100 code points
_ENTITIES = (1.0, 40)  # entities of a passage


class ShapeCounter:
    """Counts passages one by one."""

    def __init__(self) -> None:
        self._lengths = [0] * _LENGTHS[1]
        self._mentions = [0] * (_MENTIONS[1] + 1)
        self._densities = [0] * _DENSITIES[1]
        self._entities = [0] * _ENTITIES[1]

    def add(self, annotation: Annotation) -> None:
        """Count one passage."""
        length, n = len(annotation.passage.text), len(annotation.entities)
        self._lengths[min(int(length / _LENGTHS[0]), _LENGTHS[1] - 1)] += 1
        self._densities[min(int(100 * n / length / _DENSITIES[0]), _DENSITIES[1] - 1)] += 1
        self._entities[min(n, _ENTITIES[1] - 1)] += 1
        mentions, most = self._mentions, _MENTIONS[1]
        for entity in annotation.entities:
            size = len(entity.surface)
            mentions[size if size < most else most] += 1

    def result(self) -> Shape:
        """The histograms so far."""
        return Shape(
            lengths=Histogram(width=_LENGTHS[0], counts=tuple(self._lengths)),
            mention_lengths=Histogram(low=1.0, width=_MENTIONS[0], counts=tuple(self._mentions[1:])),
            densities=Histogram(width=_DENSITIES[0], counts=tuple(self._densities)),
            entities=Histogram(width=_ENTITIES[0], counts=tuple(self._entities)),
        )
