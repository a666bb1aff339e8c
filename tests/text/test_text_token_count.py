"""Tokens are counted by the fast private function of bpe-openai while it is there, and the same without it."""

from __future__ import annotations

import bpe_openai._bindings
import pytest

from sinoner.text import token_count
from sinoner.text.token_count import counter_of

TEXTS = ["", "王明在上海工作。", "Marie Curie was born in Warsaw.", "𠮷野家 😀 <|endoftext|>", "a" * 500]


@pytest.mark.parametrize("vocabulary", ["o200k_base", "cl100k_base"])
def test_the_private_function_of_bpe_openai_is_still_there(vocabulary: str) -> None:
    assert token_count._private_counter(vocabulary) is not None, (
        "bpe_openai._bindings.tokenizer_for_encoding(...).count_till_limit is gone: counting tokens (chunk, estimate,"
        " cutting texts for an embeddings API) is three times slower until sinoner.text.token_count knows its new name"
    )


class Without:
    """A tokenizer of bpe-openai that has no count up to a limit."""

    def __init__(self, tokenizer: object) -> None:
        self.tokenizer = tokenizer

    def __getattr__(self, name: str) -> object:
        if name == "count_till_limit":
            raise AttributeError(name)
        return getattr(self.tokenizer, name)


@pytest.mark.parametrize("vocabulary", ["o200k_base", "cl100k_base"])
def test_without_it_the_counts_are_the_same(vocabulary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = counter_of(vocabulary)
    found = bpe_openai._bindings.tokenizer_for_encoding
    monkeypatch.setattr(bpe_openai._bindings, "tokenizer_for_encoding", lambda name: Without(found(name)))
    assert token_count._private_counter(vocabulary) is None
    slow = counter_of(vocabulary)
    for text in TEXTS:
        tokens = slow(text, 10**6)
        assert tokens is not None
        assert fast(text, 10**6) == tokens
        for limit in (max(0, tokens - 1), tokens):
            assert fast(text, limit) == slow(text, limit) == (tokens if tokens <= limit else None)
