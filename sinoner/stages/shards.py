"""Shards of the stage build-it-set: some passages become the bytes of their conversations, here or in another process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sinoner import disk
from sinoner.clip import clip
from sinoner.counted import Counted
from sinoner.engine import SHARD
from sinoner.errors import InputError
from sinoner.itset.conversations import Built, build
from sinoner.itset.hard_negatives import HardNegatives
from sinoner.itset.writers import Piece, piece
from sinoner.records import Annotation, Lang, Reject
from sinoner.settings import ItSetSettings

if TYPE_CHECKING:
    from sinoner.itset.token_budget import Count


class Order(NamedTuple):
    """A passage to build conversations of; bytes, as they are cheap to send and mostly come from a file.

    Attributes:
        part: train or validation.
        line: the annotation.
        examples: the annotations it is shown, the best first.
    """

    part: str
    line: bytes
    examples: tuple[bytes, ...]


class Made(NamedTuple):
    """What became of the passages of a shard.

    Attributes:
        passages: how many have conversations.
        rejects: the others.
        counts: what was made, by its word.
        pieces: bytes of the files, by part.
    """

    passages: int
    rejects: tuple[Reject, ...]
    counts: Counter[Counted]
    pieces: dict[str, Piece]


class Shards:
    """Builds orders, shard by shard; a stage of ``engine.run``."""

    def __init__(
        self,
        source: Path,
        negatives: Mapping[Lang, HardNegatives],
        settings: ItSetSettings,
        seed: int,
        tokenizer: str,
    ) -> None:
        """Get ready.

        Args:
            source: the file that the annotations come from, for messages.
            negatives: draws negative types, by language.
            settings: style, mode, negatives, budget, formats.
            seed: seed of the run.
            tokenizer: what counts tokens when there is a budget.
        """
        self._source = source
        self._negatives = negatives
        self._settings = settings
        self._seed = seed
        self._tokenizer = tokenizer

    def __call__(self, orders: Iterable[Order]) -> Iterator[Made]:
        """Build.

        Raises:
            InputError: a line is no annotation.
        """
        waiting, count = iter(orders), self._counter()
        while shard := list(islice(waiting, SHARD)):
            yield self._made(shard, count)

    def _made(self, shard: list[Order], count: Count | None) -> Made:
        passages = ((self._read(o.line), [self._read(e) for e in o.examples]) for o in shard)
        made = build(passages, self._negatives, self._settings, self._seed, count)
        rejects: list[Reject] = []
        parts: dict[str, list[Built]] = {}
        counts: Counter[Counted] = Counter()
        for order, item in zip(shard, made, strict=True):
            if isinstance(item, Reject):
                rejects.append(item)
            else:
                parts.setdefault(order.part, []).append(item)
                _count(counts, item)
        pieces = {part: piece(built, self._settings.formats) for part, built in parts.items()}
        counts["occurrence_not_in_gliner"] = sum(p.left_out for p in pieces.values())
        return Made(len(shard) - len(rejects), tuple(rejects), counts, pieces)

    def _read(self, line: bytes) -> Annotation:
        try:
            return disk.parse(line, Annotation)
        except ValueError as error:
            raise InputError(
                f"{self._source}: not an Annotation record: {error}: {clip(repr(line), 80)}"
            ) from None

    def _counter(self) -> Count | None:
        if self._settings.max_tokens is None:
            return None
        from sinoner.corpus.chunker import counter
        from sinoner.itset.token_budget import remembering

        till = counter(self._tokenizer)
        # No text has more tokens than bytes, so the limit is never met.
        return remembering(lambda text: till(text, 4 * len(text) + 1) or 0)


def _count(counts: Counter[Counted], built: Built) -> None:
    counts["conversation"] += len(built.conversations)
    counts["negative_type"] += len(built.negatives.types)
    counts["hard_negative_type"] += built.negatives.hard_similar + built.negatives.hard_examples
    counts["shown_example"] += len(built.fitted.examples)
    counts["shortened_example"] += built.fitted.shortened
    counts["dropped_example"] += built.fitted.dropped
    counts["too_long_conversation"] += len(built.conversations) if built.fitted.over else 0
