"""What an embedder is: texts → vectors of length 1, whose inner product is their similarity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]


class Encoded(NamedTuple):
    """Texts as vectors.

    Attributes:
        vectors: shape ``(n, dim)``, float32, each row of length 1.
        cut: shape ``(n,)``: whether the text was longer than ``retrieve.max_length`` tokens, so that its end was not embedded.
    """

    vectors: Vectors
    cut: npt.NDArray[np.bool_]


class Embedder(Protocol):
    """Anything that turns texts into vectors."""

    @property
    def name(self) -> str:
        """The name with the model, for messages and the manifest: ``bge:BAAI/bge-large-zh-v1.5``."""
        ...

    @property
    def identity(self) -> str:
        """Everything besides the text that a vector depends on; embedders with the same identity are interchangeable."""
        ...

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Vectors of the texts, in their order; without texts, shape ``(0, dim)``.

        Raises:
            InputError: the model cannot be loaded, or returns vectors that are not finite numbers.
        """
        ...
