"""Greedy answers of a transformers model; queries about the same passage share the computation of their prefix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sinoner.chat import prompt_text
from sinoner.records import Conversation

if TYPE_CHECKING:
    import torch


class Generator(Protocol):
    """Anything that answers conversations."""

    def __call__(self, conversations: Sequence[Conversation]) -> Iterator[str]:
        """The answers, in the order of the conversations."""
        ...


class _Group(NamedTuple):
    """Queries with a common prefix: their positions, the prefix, and the suffix of each (never empty)."""

    places: list[int]
    prefix: list[int]
    suffixes: list[list[int]]


class LocalGenerator:
    """Greedy decoding of a transformers model.

    The common prefix of neighbouring conversations (examples and passage) is computed once; the answers are
    those of ``model.generate`` for each conversation alone, up to rounding.
    """

    def __init__(self, model: Any, tokenizer: Any, *, batch_size: int, max_new_tokens: int) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._max_new_tokens = max_new_tokens
        stop = model.generation_config.eos_token_id
        stops = set(stop) if isinstance(stop, list) else {stop}
        self._stops = sorted(s for s in {*stops, tokenizer.eos_token_id} if s is not None)

    def __call__(self, conversations: Sequence[Conversation]) -> Iterator[str]:
        """The answers, in the order of the conversations; none is yielded before all are complete."""
        import torch

        answers = [""] * len(conversations)
        groups = sorted(self._groups(conversations), key=lambda g: (len(g.prefix), g.places))
        with torch.inference_mode():
            for batch in _batches(groups, self._batch_size):
                places = [p for group in batch for p in group.places]
                for place, text in zip(places, self._answer(batch), strict=True):
                    answers[place] = text
        yield from answers

    def _groups(self, conversations: Sequence[Conversation]) -> Iterator[_Group]:
        """Groups of neighbouring conversations about one passage with the same examples, at most a batch each."""
        encoded = [
            self._tokenizer(prompt_text(c.messages, self._tokenizer), add_special_tokens=False)["input_ids"]
            for c in conversations
        ]
        keys = [(c.passage, c.examples) for c in conversations]
        for _, members in groupby(range(len(encoded)), key=lambda i: keys[i]):
            places = list(members)
            for begin in range(0, len(places), self._batch_size):
                part = places[begin : begin + self._batch_size]
                common = _common([encoded[i] for i in part])
                yield _Group(part, encoded[part[0]][:common], [encoded[i][common:] for i in part])

    def _answer(self, groups: Sequence[_Group]) -> list[str]:
        """Process the prefixes, one row per group; then suffixes and answers, one row per query."""
        import torch

        device = self._model.device
        mask, ids = _left_padded([g.prefix for g in groups], device)
        cache = None
        if ids.shape[1]:
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            cache = self._model(
                input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1
            ).past_key_values
        owner = torch.tensor([i for i, g in enumerate(groups) for _ in g.places], device=device)
        if cache is not None:
            cache.batch_select_indices(owner)
        mask = mask[owner]
        own_mask, ids = _left_padded([s for g in groups for s in g.suffixes], device)
        mask = torch.cat([mask, own_mask], dim=1)
        return self._decode(ids, mask, cache)

    def _decode(self, ids: torch.Tensor, mask: torch.Tensor, cache: Any) -> list[str]:
        import torch

        rows = torch.arange(len(ids), device=ids.device)  # which answer each row of the batch belongs to
        written: list[list[int]] = [[] for _ in range(len(ids))]
        stops = torch.tensor(self._stops, device=ids.device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        for _ in range(self._max_new_tokens):
            output = self._model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = output.past_key_values
            token = output.logits[:, -1].argmax(-1)
            going = ~torch.isin(token, stops)
            for row, value, keep in zip(rows.tolist(), token.tolist(), going.tolist(), strict=True):
                if keep:
                    written[row].append(value)
            if not going.any():
                break
            kept = going.nonzero().flatten()
            if len(kept) < len(going):  # finished rows are no longer computed
                cache.batch_select_indices(kept)
                rows, token, mask, positions = rows[kept], token[kept], mask[kept], positions[kept]
            ids = token[:, None]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            positions = positions[:, -1:] + 1
        texts: list[str] = self._tokenizer.batch_decode(written, skip_special_tokens=True)
        return texts


def _batches(groups: Iterable[_Group], size: int) -> Iterator[list[_Group]]:
    """Batches of groups, each of at most ``size`` queries."""
    batch: list[_Group] = []
    for group in groups:
        if batch and sum(len(g.places) for g in batch) + len(group.places) > size:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


def _common(sequences: Sequence[list[int]]) -> int:
    """Length of the common prefix that leaves every sequence at least one token."""
    shortest = min(len(s) for s in sequences) - 1
    first = sequences[0]
    for i in range(shortest):
        if any(s[i] != first[i] for s in sequences):
            return i
    return shortest


def _left_padded(sequences: Sequence[list[int]], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention mask and ids, shape ``(n, longest)``, padded on the left; the padding is masked, so its id does not matter."""
    import torch

    width = max(len(s) for s in sequences)
    ids = torch.tensor([[0] * (width - len(s)) + s for s in sequences], dtype=torch.long, device=device)
    mask = torch.tensor(
        [[0] * (width - len(s)) + [1] * len(s) for s in sequences], dtype=torch.long, device=device
    )
    return mask.reshape(len(sequences), width), ids.reshape(len(sequences), width)
