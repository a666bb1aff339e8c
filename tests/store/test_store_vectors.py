"""Vectors in the run folder: kept, found again, gone on with after a stop."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinoner.errors import InputError
from sinoner.retrieve.embedder import Encoded
from sinoner.store.vectors import VectorStore


class Letters:
    """An embedder that counts letters, and remembers what it was asked."""

    name = "letters:small"

    def __init__(self, dim: int = 24, stop_after: int | None = None, identity: str = "letters 1") -> None:
        self.asked: list[str] = []
        self.identity = identity
        self._dim, self._stop_after = dim, stop_after

    def encode(self, texts: Sequence[str]) -> Encoded:
        if self._stop_after is not None and len(self.asked) >= self._stop_after:
            raise KeyboardInterrupt
        self.asked.extend(texts)
        vectors = np.zeros((len(texts), self._dim), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row, [ord(c) % self._dim for c in text]] += 1
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return Encoded(vectors, np.array([len(t) > 10 for t in texts], dtype=np.bool_))


TEXTS = [f"文本{'甲乙丙丁戊'[i % 5] * (i % 13 + 1)}{i}" for i in range(40)]


def test_what_was_embedded_is_not_embedded_again(tmp_path: Path) -> None:
    first, second = Letters(), Letters()
    made = VectorStore(tmp_path, first).encode(TEXTS)
    again = VectorStore(tmp_path, second).encode([*TEXTS[5:10], "新的", TEXTS[0]])
    assert sorted(first.asked) == sorted(TEXTS)
    assert second.asked == ["新的"]
    assert (again.vectors[:5] == made.vectors[5:10]).all()
    assert (again.vectors[6] == made.vectors[0]).all()
    assert again.cut.tolist() == [len(t) > 10 for t in [*TEXTS[5:10], "新的", TEXTS[0]]]


def test_equal_texts_are_embedded_once(tmp_path: Path) -> None:
    embedder = Letters()
    made = VectorStore(tmp_path, embedder).encode(["同", "异", "同", "同"])
    assert sorted(embedder.asked) == ["同", "异"]
    assert (made.vectors[[0, 0]] == made.vectors[[2, 3]]).all()


def test_long_texts_first_and_the_order_of_the_texts_kept(tmp_path: Path) -> None:
    embedder = Letters()
    made = VectorStore(tmp_path, embedder).encode(TEXTS)
    assert [len(t) for t in embedder.asked] == sorted(map(len, TEXTS), reverse=True)
    assert (made.vectors == Letters().encode(TEXTS).vectors).all()


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    stopped, second = Letters(stop_after=10), Letters()
    with pytest.raises(KeyboardInterrupt):
        VectorStore(tmp_path, stopped, block=4).encode(TEXTS)
    made = VectorStore(tmp_path, second, block=4).encode(TEXTS)
    assert len(stopped.asked) == 12
    assert sorted(stopped.asked + second.asked) == sorted(TEXTS)
    assert (made.vectors == Letters().encode(TEXTS).vectors).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_files_cut_off_anywhere(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A kill may leave either file short; what is whole in both is used, the rest made anew."""
    folder = tmp_path_factory.mktemp("vectors")
    store = VectorStore(folder, Letters())
    store.encode(TEXTS)
    for name in ("vectors.bin", "keys.bin"):
        file = store.folder / name
        size = file.stat().st_size
        with file.open("r+b") as handle:
            handle.truncate(data.draw(st.integers(0, size)))
    embedder = Letters()
    made = VectorStore(folder, embedder).encode(TEXTS)
    assert (made.vectors == Letters().encode(TEXTS).vectors).all()
    assert made.cut.tolist() == [len(t) > 10 for t in TEXTS]
    assert VectorStore(folder, Letters(stop_after=0)).encode(TEXTS).vectors.shape == (40, 24)


def test_another_model_or_number_type_has_a_folder_of_its_own(tmp_path: Path) -> None:
    VectorStore(tmp_path, Letters()).encode(TEXTS[3:])
    other, half = Letters(identity="letters 2"), Letters()
    VectorStore(tmp_path, other).encode(TEXTS[:3])
    VectorStore(tmp_path, half, "float16").encode(TEXTS[:3])
    assert len(other.asked) == len(half.asked) == 3
    assert len(list(tmp_path.iterdir())) == 3


def test_float16_is_half_the_size_and_nearly_the_same(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, Letters(), "float16")
    made = store.encode(TEXTS)
    assert (store.folder / "vectors.bin").stat().st_size == 40 * 24 * 2
    np.testing.assert_allclose(made.vectors, Letters().encode(TEXTS).vectors, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-6)


def test_float16_is_made_of_the_float32_that_is_there(tmp_path: Path) -> None:
    """Bit for bit what embedding anew gives, without asking the embedder; and it is said."""
    VectorStore(tmp_path / "a", Letters()).encode(TEXTS)
    said: list[int] = []
    store = VectorStore(tmp_path / "a", Letters(stop_after=0), "float16", converted=said.append)
    made = store.encode(TEXTS)
    anew = VectorStore(tmp_path / "b", Letters(), "float16")
    other = anew.encode(TEXTS)
    assert said == [40]
    assert (made.vectors == other.vectors).all()
    assert (made.cut == other.cut).all()
    assert any(made.cut)
    kept = [sorted((s.folder / "vectors.bin").read_bytes()) for s in (store, anew)]
    assert kept[0] == kept[1]
    assert (
        VectorStore(tmp_path / "a", Letters(stop_after=0), "float16", converted=said.append)
        .encode(TEXTS)
        .vectors
        == made.vectors
    ).all()
    assert said == [40]  # kept now, as any other


def test_only_what_float32_lacks_is_embedded(tmp_path: Path) -> None:
    VectorStore(tmp_path, Letters()).encode(TEXTS[:30])
    embedder, said = Letters(), list[int]()
    made = VectorStore(tmp_path, embedder, "float16", converted=said.append).encode(TEXTS)
    assert sorted(embedder.asked) == sorted(TEXTS[30:])
    assert said == [30]
    np.testing.assert_allclose(made.vectors, Letters().encode(TEXTS).vectors, atol=1e-3)


def test_float32_is_never_made_of_float16_nor_of_another_embedder(tmp_path: Path) -> None:
    VectorStore(tmp_path, Letters(), "float16").encode(TEXTS)
    embedder, said = Letters(), list[int]()
    made = VectorStore(tmp_path, embedder, converted=said.append).encode(TEXTS)
    assert sorted(embedder.asked) == sorted(TEXTS)
    assert (made.vectors == Letters().encode(TEXTS).vectors).all()
    other = Letters(identity="letters 2")
    VectorStore(tmp_path, other, "float16", converted=said.append).encode(TEXTS)
    assert sorted(other.asked) == sorted(TEXTS)
    assert said == []


def test_float32_that_is_damaged_is_not_taken(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, Letters())
    store.encode(TEXTS)
    with (store.folder / "vectors.bin").open("r+b") as file:
        file.write(b"\xff" * 24 * 4)
    with pytest.raises(InputError, match=r"vectors\.bin: is damaged; delete") as caught:
        VectorStore(tmp_path, Letters(), "float16").encode(TEXTS)
    assert str(store.folder) in str(caught.value)


def test_no_texts(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, Letters())
    assert store.encode([]).vectors.shape == (0, 24)
    store.encode(TEXTS[:2])
    assert store.encode([]).vectors.shape == (0, 24)


def test_a_model_that_changed_its_dimensions(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, Letters())
    store.encode(TEXTS[:3])
    changed = VectorStore(tmp_path, Letters(dim=30))
    with pytest.raises(
        InputError, match=r"contains vectors of 24 dimensions, but letters:small now returns 30"
    ) as caught:
        changed.encode(TEXTS)
    assert str(store.folder) in str(caught.value)
    assert (
        len(VectorStore(tmp_path, Letters(stop_after=0)).encode(TEXTS[:3]).vectors) == 3
    )  # nothing was lost


class Broken(Letters):
    def encode(self, texts: Sequence[str]) -> Encoded:
        made = super().encode(texts)
        if "坏" in texts:
            made.vectors[texts.index("坏")] = np.nan
        return made


def test_vectors_that_are_not_finite_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not finite numbers") as caught:
        VectorStore(tmp_path, Broken(), block=8).encode([*TEXTS, "坏"])
    assert "\n" not in str(caught.value)
    second = Letters()
    made = VectorStore(tmp_path, second).encode([*TEXTS, "坏"])
    assert np.isfinite(made.vectors).all()
    assert len(second.asked) <= 8 + 1  # the blocks before are kept


def test_a_damaged_description(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, Letters())
    store.encode(TEXTS[:3])
    (store.folder / "about.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="is damaged; delete"):
        VectorStore(tmp_path, Letters())


@pytest.mark.parametrize("name", ["vectors.bin", "keys.bin", "about.json"])
def test_a_file_that_is_gone(name: str, tmp_path: Path) -> None:
    """The rows of one file alone, as of a run killed after its very first write, are not taken for others."""
    store = VectorStore(tmp_path, Letters())
    store.encode(TEXTS[:20])
    (store.folder / name).unlink()
    embedder = Letters()
    made = VectorStore(tmp_path, embedder).encode(TEXTS[10:])
    assert sorted(embedder.asked) == sorted(TEXTS[10:])
    assert (made.vectors == Letters().encode(TEXTS[10:]).vectors).all()
    assert (VectorStore(tmp_path, Letters(stop_after=0)).encode(TEXTS[10:]).vectors == made.vectors).all()


@pytest.mark.parametrize("told", [{"dim": 0}, {"dim": -24}, {"numbers": "float16"}])
def test_a_description_that_cannot_be(told: dict[str, Any], tmp_path: Path) -> None:
    store = VectorStore(tmp_path, Letters())
    store.encode(TEXTS[:3])
    about = json.loads((store.folder / "about.json").read_text(encoding="utf-8"))
    (store.folder / "about.json").write_text(json.dumps({**about, **told}), encoding="utf-8")
    with pytest.raises(InputError, match=r"about\.json: is damaged; delete"):
        VectorStore(tmp_path, Letters())


@pytest.mark.parametrize("bytes_", [b"\0", b"\xff"])
def test_vectors_that_the_disk_has_lost(bytes_: bytes, tmp_path: Path) -> None:
    store = VectorStore(tmp_path, Letters())
    store.encode(TEXTS)
    with (store.folder / "vectors.bin").open("r+b") as file:
        file.seek(24 * 4 * 7)
        file.write(bytes_ * 24 * 4)
    with pytest.raises(InputError, match=r"vectors\.bin: is damaged; delete"):
        VectorStore(tmp_path, Letters()).encode(TEXTS)


def test_a_wrong_dimension_is_not_believed(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, Letters())
    store.encode(TEXTS)
    about = (store.folder / "about.json").read_text(encoding="utf-8")
    (store.folder / "about.json").write_text(about.replace("24", "12"), encoding="utf-8")
    with pytest.raises(InputError, match=r"vectors\.bin: is damaged; delete"):
        VectorStore(tmp_path, Letters()).encode(TEXTS)


class Long(Letters):
    def encode(self, texts: Sequence[str]) -> Encoded:
        made = super().encode(texts)
        return made._replace(vectors=2 * made.vectors)


def test_vectors_of_another_length_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="letters:small: returned vectors that are not of length 1"):
        VectorStore(tmp_path, Long()).encode(TEXTS)
    assert len(VectorStore(tmp_path, Letters()).encode(TEXTS).vectors) == 40


def test_it_says_what_it_does(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    VectorStore(
        tmp_path, Letters(), progress=lambda total, done: told.append((total, done)), block=16
    ).encode(TEXTS)
    assert told == [(40, 0), (40, 16), (40, 32), (40, 40)]


def test_the_folder_says_what_is_in_it(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, Letters())
    store.encode(TEXTS[:3])
    about = json.loads((store.folder / "about.json").read_text(encoding="utf-8"))
    assert about == {"embedder": "letters:small", "identity": "letters 1", "dim": 24, "numbers": "float32"}
