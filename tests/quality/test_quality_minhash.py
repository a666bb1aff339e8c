"""5-grams and their Jaccard similarity against sets of strings; the index against comparing everything."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.quality.minhash import (
    GRAM,
    PERMUTATIONS,
    Bands,
    NearIndex,
    _Chains,
    band_keys,
    bands_for,
    grams,
    similarity,
)

HAN = "".join(map(chr, range(0x4E00, 0x4E00 + 2000)))


def pieces(text: str) -> set[str]:
    return {text[i : i + GRAM] for i in range(len(text) - GRAM + 1)}


def jaccard(a: str, b: str) -> float:
    x, y = pieces(a), pieces(b)
    return len(x & y) / len(x | y) if x | y else 0.0


def edited(text: str, edits: int, r: random.Random) -> str:
    letters = list(text)
    for _ in range(edits):
        at = r.randrange(len(letters))
        letters[at : at + r.randint(0, 1)] = r.choices(HAN, k=r.randint(0, 1))
    return "".join(letters)


def find(index: NearIndex, text: str) -> tuple[int, float] | None:
    of = grams(text)
    return index.find(of, band_keys(of, index.bands))


def add(index: NearIndex, text: str) -> None:
    of = grams(text)
    index.add(of, band_keys(of, index.bands))


@given(st.text(alphabet="ab中文𠮷", max_size=40))
def test_grams_are_the_distinct_5_grams(text: str) -> None:
    found = grams(text)
    assert len(found) == len(pieces(text))
    assert all(a < b for a, b in pairwise(found.tolist()))


@given(st.text(alphabet="ab中文𠮷", max_size=40), st.text(alphabet="ab中文𠮷", max_size=40))
def test_similarity_is_the_jaccard_similarity_of_sets_of_strings(a: str, b: str) -> None:
    if pieces(a) or pieces(b):
        assert similarity(grams(a), grams(b)) == pytest.approx(jaccard(a, b))


@given(
    st.text(alphabet=HAN[:300], min_size=20, max_size=120),
    st.integers(0, 8),
    st.randoms(use_true_random=False),
)
def test_similarity_of_edited_texts(text: str, edits: int, r: random.Random) -> None:
    other = edited(text, edits, r)
    assert similarity(grams(text), grams(other)) == pytest.approx(jaccard(text, other))


@pytest.mark.parametrize("text", ["", "a", "四个汉字"])
def test_a_text_shorter_than_a_5_gram_has_none(text: str) -> None:
    assert len(grams(text)) == 0


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_fit_the_signature_and_find_99_of_100(threshold: float) -> None:
    bands = bands_for(threshold)
    assert bands.number * bands.rows <= PERMUTATIONS
    assert bands.recall(threshold) >= 0.99
    wider = Bands(PERMUTATIONS // (bands.rows + 1), bands.rows + 1)
    assert wider.recall(threshold) < 0.99 or bands.rows == 32


def test_recall_of_bands_is_the_chance_of_one_equal_band() -> None:
    r = random.Random(4)
    bands = Bands(5, 3)
    met = sum(any(all(r.random() < 0.6 for _ in range(3)) for _ in range(5)) for _ in range(20_000))
    assert bands.recall(0.6) == pytest.approx(met / 20_000, abs=0.015)


def test_keys_are_the_same_every_time_and_differ_between_bands() -> None:
    of = grams("他在北京大学读书，后来去了上海。")
    bands = bands_for(0.8)
    keys = band_keys(of, bands).tolist()
    assert keys == band_keys(of, bands).tolist()
    assert len(set(keys)) == bands.number
    assert not set(keys) & set(band_keys(grams("今天的天气很好，适合散步和游泳。"), bands).tolist())


@pytest.mark.parametrize("threshold", [0.7, 0.8, 0.9])
def test_the_index_finds_what_comparing_everything_finds(threshold: float) -> None:
    r = random.Random(11)
    originals = ["".join(r.choices(HAN, k=r.randint(40, 200))) for _ in range(150)]
    index = NearIndex(threshold)
    for text in originals:
        add(index, text)
    assert len(index) == len(originals)
    sets = [pieces(text) for text in originals]
    expected = found = 0
    for text in originals:
        for _ in range(4):
            copy = edited(text, r.randint(0, max(1, len(text) // 16)), r)
            mine = pieces(copy)
            true = [n for n, s in enumerate(sets) if len(mine & s) >= threshold * len(mine | s)]
            hit = find(index, copy)
            expected += bool(true)
            if hit is not None:  # what is reported is exact
                found += 1
                assert hit[0] == true[0]
                assert hit[1] == pytest.approx(jaccard(copy, originals[hit[0]]))
    assert 150 < expected < 600
    assert found >= 0.99 * expected


def test_the_first_of_several_similar_texts_is_told() -> None:
    index = NearIndex(0.8)
    text = HAN[:100]
    for other in ("".join(reversed(text)), text, text + "。"):
        add(index, other)
    hit = find(index, text)
    assert hit is not None
    assert hit == (1, 1.0)


def test_less_similar_than_the_threshold_is_not_found() -> None:
    index = NearIndex(0.8)
    add(index, HAN[:100])
    below, above = HAN[:88] + HAN[500:512], HAN[:92] + HAN[500:508]
    assert jaccard(HAN[:100], below) < 0.8 <= jaccard(HAN[:100], above)
    assert find(index, below) is None
    assert find(index, above) is not None


@pytest.mark.parametrize("size", [10, 1024, 1025, 5000])
def test_chains_against_a_dictionary_also_after_they_have_grown(size: int) -> None:
    draw = np.random.default_rng(size)
    chains, expected = _Chains(3), [defaultdict[int, list[int]](list) for _ in range(3)]
    for number in range(size):
        keys = draw.integers(0, 1500, 3, dtype=np.uint32) << np.uint32(number % 3)
        chains.put(keys)
        for band, key in enumerate(keys.tolist()):
            expected[band][key].append(number)
    for _ in range(300):
        asked = draw.integers(0, 1500, 3, dtype=np.uint32)
        counts = Counter(n for band, key in enumerate(asked.tolist()) for n in expected[band][key])
        assert dict(chains.under(asked)) == counts


def test_texts_from_one_template_take_time_in_proportion_and_their_copies_are_found() -> None:
    r = random.Random(5)
    template = HAN[:150]
    texts = [template + "".join(r.choices(HAN[150:], k=70)) for _ in range(600)]
    index = NearIndex(0.8)
    seconds = []
    for part in (texts[:300], texts[300:]):
        begin = time.process_time()
        for text in part:
            of = grams(text)
            keys = band_keys(of, index.bands)
            assert index.find(of, keys) is None
            index.add(of, keys)
        seconds.append(time.process_time() - begin)
    assert len(index) == 600
    copies = [text[:-3] + HAN[0] * 3 for text in texts]
    found = sum(find(index, copy) is not None for copy in copies)
    assert found >= 0.98 * len(copies)
    assert seconds[1] < 6 * seconds[0]
