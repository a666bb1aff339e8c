"""Cutting texts into tokens, and texts into batches."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinoner.retrieve.token_batches import batches, limit, tokens


@given(st.lists(st.integers(0, 600)), st.integers(1, 70), st.integers(1, 5000))
def test_every_text_is_in_one_batch_that_keeps_the_limits(lengths: list[int], rows: int, budget: int) -> None:
    groups = batches(lengths, rows, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    flat = [lengths[i] for group in groups for i in group]
    assert flat == sorted(flat, reverse=True)
    for group in groups:
        assert 1 <= len(group) <= rows
        assert len(group) == 1 or len(group) * lengths[group[0]] <= budget


class Slow:
    """A tokenizer written in Python, as some models bring."""

    is_fast = False
    pad_token_id = 0

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __call__(self, *args: object, **kwargs: object) -> object:
        return self._inner(*args, **kwargs)  # type: ignore[operator]


@pytest.mark.parametrize("fast", [True, False])
def test_tokens_are_those_of_the_tokenizer(tiny_bert: Path, fast: bool) -> None:
    from transformers import AutoTokenizer

    tokenizer, other = AutoTokenizer.from_pretrained(tiny_bert), AutoTokenizer.from_pretrained(tiny_bert)
    texts = ["今天", "天" * 6, "天" * 7, "", "天" * 300]
    found = tokens(tokenizer if fast else Slow(other), texts, 8)
    assert found.cut.tolist() == [False, False, True, False, True]
    expected = other(texts, truncation=True, max_length=8)["input_ids"]
    assert [row.tolist() for row in found.ids] == expected
    assert found.ids[0].dtype == np.int32
    assert tokens(tokenizer if fast else Slow(other), [], 8).cut.shape == (0,)


def test_a_model_has_only_so_many_places(tiny_bert: Path) -> None:
    from transformers import AutoTokenizer, BertConfig, XLMRobertaConfig

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    config = BertConfig(max_position_embeddings=100)
    assert limit(tokenizer, config, 512) == 100
    assert limit(tokenizer, config, 64) == 64
    assert (
        limit(tokenizer, BertConfig(max_position_embeddings=1000), 512) == tokenizer.model_max_length == 128
    )
    assert limit(tokenizer, XLMRobertaConfig(max_position_embeddings=102, pad_token_id=1), 512) == 100
