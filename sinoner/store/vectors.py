"""Vectors of texts, kept in a folder: a second search embeds nothing again, and an interrupted one resumes.

Stored float32 vectors are converted when float16 is requested; never the other way, as float16 has lost digits.

Each combination of model and embedding settings has a folder with ``about.json``, ``vectors.bin`` (row after row) and
``keys.bin`` (for each row 16 bytes of a hash of its text, and a flag: the text was cut). A row is valid when it is complete
in both files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from sinoner import disk
from sinoner.errors import InputError
from sinoner.retrieve.embedder import Encoded

if TYPE_CHECKING:
    from sinoner.retrieve.embedder import Embedder

Numbers = Literal["float32", "float16"]
_HASH = 16
_KEY = _HASH + 1
_VECTORS, _KEYS, _ABOUT = "vectors.bin", "keys.bin", "about.json"
# Texts that are embedded before their vectors are written: little is lost when the run stops.
BLOCK = 512
# Vectors that are converted at a time.
_CONVERTED = 16_384


class VectorStore:
    """The vectors of one embedder in a folder.

    Args:
        folder: contains one folder per embedder and number type.
        embedder: computes the missing vectors.
        numbers: number type of the stored vectors; float16 takes half the space.
        progress: called with the number of texts to embed and the number already embedded.
        block: texts that are embedded before their vectors are written.
        converted: called with the number of float16 vectors that were converted from float32 ones.
    """

    def __init__(
        self,
        folder: Path,
        embedder: Embedder,
        numbers: Numbers = "float32",
        progress: Callable[[int, int], None] = lambda total, done: None,
        block: int = BLOCK,
        converted: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._block = block
        self._embedder = embedder
        self._root = folder
        self._converted = converted
        self._dtype = np.dtype(f"<{'f4' if numbers == 'float32' else 'f2'}")
        self._progress = progress
        self.folder = folder / _folder(embedder, numbers)
        self._rows: dict[bytes, int] = {}
        self._cut: list[bool] = []
        self._dim = 0
        self._open()

    @property
    def name(self) -> str:
        """The name of the embedder."""
        return self._embedder.name

    def encode(self, texts: Sequence[str]) -> Encoded:
        """The vectors of texts, from the folder or computed now; shape ``(len(texts), dim)``.

        Raises:
            InputError: the embedder returns unusable vectors, or vectors of another dimension than the stored ones; or the
                stored ones are damaged.
        """
        keys = [_key(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows}
        if missing:
            self._add(sorted(missing.items(), key=lambda item: (-len(item[1]), item[0])))
        elif not texts:
            return self._embedder.encode([])
        rows = np.array([self._rows[key] for key in keys])
        kept = np.memmap(
            self.folder / _VECTORS, dtype=self._dtype, mode="r", shape=(len(self._cut), self._dim)
        )
        vectors = np.asarray(kept[rows]).astype(np.float32, copy=False)
        lengths = _lengths(vectors)
        if not _near_one(lengths):
            raise self._damaged(self.folder / _VECTORS)
        if self._dtype.itemsize == 2:
            vectors /= lengths[:, None]
        return Encoded(vectors, np.array([self._cut[row] for row in rows], dtype=np.bool_))

    def _add(self, missing: Sequence[tuple[bytes, str]]) -> None:
        """Embed texts and store their vectors, the longest first, so that the texts of a block have similar lengths."""
        if self._dtype.itemsize == 2 and not (missing := self._convert_float32(missing)):
            return
        self._progress(len(missing), 0)
        for low in range(0, len(missing), self._block):
            block = missing[low : low + self._block]
            made = self._embedder.encode([text for _, text in block])
            self._store([key for key, _ in block], made)
            self._progress(len(missing), low + len(block))

    def _convert_float32(self, missing: Sequence[tuple[bytes, str]]) -> list[tuple[bytes, str]]:
        """Store the vectors that the same embedder has as float32; returns the other texts, which have to be embedded."""
        if not (self._root / _folder(self._embedder, "float32") / _ABOUT).exists():
            return list(missing)
        float32_store = VectorStore(self._root, self._embedder)
        existing = [item for item in missing if item[0] in float32_store._rows]
        for low in range(0, len(existing), _CONVERTED):
            block = existing[low : low + _CONVERTED]
            self._store([key for key, _ in block], float32_store.encode([text for _, text in block]))
        if existing:
            self._converted(len(existing))
        return [item for item in missing if item[0] not in float32_store._rows]

    def _store(self, keys: Sequence[bytes], made: Encoded) -> None:
        """Write vectors and flags."""
        self._check(made, len(keys))
        flags = [bool(cut) for cut in made.cut]
        vectors = np.ascontiguousarray(made.vectors, dtype=self._dtype)
        disk.append(self.folder / _VECTORS, vectors.tobytes())
        marks = (key + bytes([cut]) for key, cut in zip(keys, flags, strict=True))
        disk.append(self.folder / _KEYS, b"".join(marks))
        for key, cut in zip(keys, flags, strict=True):
            self._rows[key] = len(self._cut)
            self._cut.append(cut)

    def _check(self, made: Encoded, requested: int) -> None:
        name = self._embedder.name
        if made.vectors.ndim != 2 or len(made.vectors) != requested:
            raise InputError(f"{name}: returned {len(made.vectors)} vectors for {requested} texts")
        if not np.isfinite(made.vectors).all():
            raise InputError(
                f"{name}: returned vectors that are not finite numbers; check the embedding model, or set"
                " retrieve.dtype=float32. The vectors computed before are kept"
            )
        if not _near_one(_lengths(made.vectors)):
            raise InputError(f"{name}: returned vectors that are not of length 1; check the embedding model")
        if self._dim and made.vectors.shape[1] != self._dim:
            raise InputError(
                f"{self.folder}: contains vectors of {self._dim} dimensions, but {name} now returns {made.vectors.shape[1]}:"
                " the model has changed; delete that folder and run again"
            )
        if not self._dim:
            self._dim = made.vectors.shape[1]
            about = {"embedder": name, "identity": self._embedder.identity, "dim": self._dim}
            disk.write_json(self.folder / _ABOUT, {**about, "numbers": self._dtype.name})

    def _open(self) -> None:
        """Read the folder; rows that a killed process left incomplete are cut off, and a file without the other is deleted."""
        about = self.folder / _ABOUT
        with disk.writing(about):
            self.folder.mkdir(parents=True, exist_ok=True)
        vectors, keys = self.folder / _VECTORS, self.folder / _KEYS
        if not (about.exists() and vectors.exists() and keys.exists()):
            for file in (vectors, keys):  # its rows would be taken for those of texts added later
                file.unlink(missing_ok=True)
            return
        try:
            known = json.loads(about.read_text(encoding="utf-8"))
            self._dim = int(known["dim"])
            if self._dim < 1 or known["numbers"] != self._dtype.name:
                raise ValueError
        except (ValueError, KeyError, TypeError, OSError):
            raise self._damaged(about) from None
        size = self._dim * self._dtype.itemsize
        complete = min(vectors.stat().st_size // size, keys.stat().st_size // _KEY)
        with disk.writing(about):
            os.truncate(vectors, complete * size)
            os.truncate(keys, complete * _KEY)
        data = keys.read_bytes()
        for row in range(complete):
            self._rows[data[row * _KEY : row * _KEY + _HASH]] = row
            self._cut.append(bool(data[row * _KEY + _HASH]))

    def _damaged(self, file: Path) -> InputError:
        return InputError(f"{file}: is damaged; delete {self.folder} and run again")


def _folder(embedder: Embedder, numbers: Numbers) -> str:
    """The name of the folder with the vectors of an embedder in this number type."""
    mark = hashlib.sha256(f"{embedder.identity}\n{numbers}".encode()).hexdigest()[:12]
    return f"{embedder.name.partition(':')[0]}-{mark}"


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_HASH]


def _lengths(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths: npt.NDArray[np.float32] = np.sqrt(np.vecdot(vectors, vectors))
    return lengths


def _near_one(lengths: npt.NDArray[np.float32]) -> bool:
    """Whether these can be lengths of unit vectors, possibly stored as float16. Lengths of damaged vectors hardly ever are."""
    return bool((np.abs(lengths - 1) < 0.02).all())
