"""Texts as token ids, tokenized once for any library; and their grouping into batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ids = npt.NDArray[np.int32]


class Tokens(NamedTuple):
    """Texts as token ids with the special ones.

    Attributes:
        ids: one array per text.
        cut: shape ``(n,)``: whether the text was longer than the limit.
    """

    ids: list[Ids]
    cut: npt.NDArray[np.bool_]


def tokens(tokenizer: Any, texts: Sequence[str], limit: int) -> Tokens:
    """Token ids of the texts, at most ``limit`` each, special tokens included.

    Args:
        tokenizer: a tokenizer of transformers, used for nothing else, because its settings are changed.
        texts: the texts.
        limit: maximum number of tokens of a text.
    """
    import numpy as np

    nothing = [tokenizer.pad_token_id or 0]  # stands for a text without tokens
    if tokenizer.is_fast:  # its Rust part uses all cores and reports which texts it cut
        backend = tokenizer.backend_tokenizer
        backend.no_padding()
        backend.enable_truncation(limit)
        encodings = backend.encode_batch_fast(list(texts))
        ids = [np.asarray(e.ids or nothing, dtype=np.int32) for e in encodings]
        return Tokens(ids, np.fromiter((bool(e.overflowing) for e in encodings), np.bool_, len(ids)))
    if not texts:
        return Tokens([], np.zeros(0, np.bool_))
    whole = tokenizer(list(texts), verbose=False)["input_ids"]
    cut = np.fromiter((len(row) > limit for row in whole), np.bool_, len(whole))
    for row in np.flatnonzero(cut).tolist():
        whole[row] = tokenizer(texts[row], truncation=True, max_length=limit)["input_ids"]
    return Tokens([np.asarray(row or nothing, dtype=np.int32) for row in whole], cut)


def limit(tokenizer: Any, config: Any, requested: int) -> int:
    """The maximum number of tokens of a text: the requested one, limited by the positions of the model."""
    places = getattr(config, "max_position_embeddings", None) or requested
    if config.model_type in ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "xmod"):
        places -= (config.pad_token_id or 0) + 1  # positions begin after that of the padding
    return max(1, int(min(requested, places, tokenizer.model_max_length)))


def batches(lengths: Sequence[int], rows: int, budget: int) -> list[list[int]]:
    """The texts in groups of similar length, the longest first.

    Args:
        lengths: number of tokens of each text.
        rows: maximum number of texts in a group.
        budget: maximum number of tokens in a group, including padding; a longer text is a group of its own.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    groups: list[list[int]] = []
    while order:
        size = min(rows, max(1, budget // max(1, lengths[order[0]])))
        groups.append(order[:size])
        order = order[size:]
    return groups


class Pretokenised:
    """Replaces a tokenizer when the texts are already tokenized: it accepts token ids in place of texts.

    FlagEmbedding cuts texts itself and does not report what it cut off. It calls its tokenizer twice, to cut and to pad:
    the first call finds the work done, the second is passed on.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, ids: Sequence[Ids], **_: Any) -> dict[str, list[list[int]]]:
        """The ids in the form that a tokenizer returns."""
        rows = [row.tolist() for row in ids]
        return {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}

    def pad(self, *args: Any, **kwargs: Any) -> Any:
        """Like that of the tokenizer."""
        return self._tokenizer.pad(*args, **kwargs)
