"""Proposing types of a run to merge: by the table of synonyms, by spelling, by embeddings of names and mentions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sinoner.measurements import TypeCount
from sinoner.quality import wordlists
from sinoner.quality.entity_rules import is_sentence
from sinoner.quality.synonyms import TypeMap, key, table
from sinoner.quality.types import EXAMPLES
from sinoner.records import Facts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Encode = Callable[[Sequence[str]], Any]
MOST = 2000  # types per language that are compared by their embeddings: the most frequent ones
# How near two types must be, as a share of the mean distance between unlike types, and what their mentions count
# against their names. Chosen on names drawn from the table for the gold mentions of 16 benchmarks and on the open types
# of Pile-NER, with multilingual-e5-small. One text of name and mentions tells less (docs, quality).
NEAR = 0.6
_OF_MENTIONS = 0.4
_LONGEST = 30  # code points of a mention that stand for its type
_NEVER = 1e9  # distance between two names that are known to differ: no average brings it under a threshold


class Merge(Facts):
    """A proposal to replace the name of one type with that of another.

    Attributes:
        lang: language of the passages.
        variant: its current name.
        canonical: its proposed name.
        by: ``table`` (the shipped synonyms), ``spelling`` (case, width, spaces, hyphens), ``cosine`` (embeddings).
        cosine: similarity of the two, when that is the reason.
        mentions: of the variant.
        examples: some of its surfaces.
    """

    lang: str
    variant: str
    canonical: str
    by: Literal["table", "spelling", "cosine"]
    cosine: float | None = None
    mentions: int
    examples: tuple[str, ...] = ()


class Proposals(Facts):
    """What ``propose`` found, and the cosine distance that it used, if it compared embeddings."""

    merges: tuple[Merge, ...] = ()
    threshold: float | None = None


@dataclass
class _Group:
    """Types that have one name already. A fixed name was given by a person or by the table."""

    name: str
    fixed: bool
    members: list[TypeCount] = field(default_factory=list)

    @property
    def mentions(self) -> int:
        return sum(member.mentions for member in self.members)

    def examples(self) -> str:
        """Some mentions, in one text."""
        members = sorted(self.members, key=lambda m: (-m.mentions, m.type))
        examples = dict.fromkeys(e[:_LONGEST] for m in members for e in m.examples)
        return ", ".join(list(examples)[:EXAMPLES])


def is_uninformative(type: str, stop_types: Iterable[str]) -> bool:
    """Whether a type names no kind of thing, so that nothing is merged with it; the filter has rules for such types."""
    said = type.strip().casefold()
    stops = {stop.strip().casefold() for stop in stop_types}
    return not key(type) or said in stops or said in wordlists.GENERIC_TYPES or is_sentence(type)


def propose(
    counts: Sequence[TypeCount],
    lang: str,
    known: TypeMap,
    *,
    given: Mapping[str, str] | None = None,
    apart: Iterable[str] = (),
    stop_types: Iterable[str] = (),
    encode: Encode | None = None,
    threshold: float | None = None,
) -> Proposals:
    """Merges for the types of one language that are not merged yet.

    Args:
        counts: the types of the run, as annotated.
        lang: their language; others are left out.
        known: the synonyms to go by.
        given: manual decisions: canonical name by name, canonical names standing for themselves.
        apart: types that take no part.
        stop_types: uninformative types, which take no part either.
        encode: texts → vectors of length 1, shape ``(len(texts), dim)``; None = no comparison by embeddings.
        threshold: cosine distance up to which types are merged, on average between the members of two groups: of their
            names (0.6) and of some of their mentions (0.4). None = ``NEAR`` of the mean distance between the names of
            the table's types, which makes it a matter of the embedder.

    Returns:
        The merges, by the mentions of the canonical name's types and then the variant's. No variant stands in two of
        them, and no canonical name is a variant.
    """
    decided = {key(name): canonical for name, canonical in (given or {}).items()}
    alone = {key(name) for name in apart}
    stops = tuple(stop_types)
    groups: dict[str, _Group] = {}
    merges: list[Merge] = []
    for count in sorted(counts, key=lambda c: (-c.mentions, c.type)):
        same = key(count.type)
        if count.lang != lang or (
            same not in decided and (same in alone or is_uninformative(count.type, stops))
        ):
            continue
        name = decided.get(same)
        if name is None and (found := known.find(count.type, lang)) is not None and key(found) not in alone:
            name = decided.get(key(found), found)
            if name != count.type:
                merges.append(_merge(count, name, "table"))
        group = groups.get(key(name or count.type))
        if group is None:
            groups[key(name or count.type)] = group = _Group(name or count.type, name is not None)
        elif name is None and count.type != group.name:
            merges.append(_merge(count, group.name, "spelling"))
        group.members.append(count)
    frequent = sorted(groups.values(), key=lambda g: (-g.mentions, g.name))[:MOST]
    if encode is None or len(frequent) < 2 or all(group.fixed for group in frequent):
        threshold = None
    else:
        if threshold is None:
            threshold = NEAR * _usual_distance(lang, encode)
        merges = _by_meaning(frequent, merges, encode, threshold)
    totals = {group.name: group.mentions for group in groups.values()}
    merges.sort(key=lambda m: (-totals[m.canonical], m.canonical, -m.mentions, m.variant))
    return Proposals(merges=tuple(merges), threshold=threshold)


def _merge(
    count: TypeCount,
    canonical: str,
    by: Literal["table", "spelling", "cosine"],
    cosine: float | None = None,
) -> Merge:
    return Merge(
        lang=count.lang,
        variant=count.type,
        canonical=canonical,
        by=by,
        cosine=cosine,
        mentions=count.mentions,
        examples=count.examples,
    )


def _by_meaning(
    frequent: Sequence[_Group], merges: list[Merge], encode: Encode, threshold: float
) -> list[Merge]:
    """The merges so far, and those of groups whose embeddings are near each other."""
    import numpy as np

    names, mentions = encode([g.name for g in frequent]), encode([g.examples() for g in frequent])
    vectors = np.hstack([names * (1 - _OF_MENTIONS) ** 0.5, mentions * _OF_MENTIONS**0.5])
    renamed: dict[str, str] = {}
    found: list[Merge] = []
    for members in _clusters(vectors, [group.fixed for group in frequent], threshold):
        head = next((i for i in members if frequent[i].fixed), members[0])  # members: the most frequent first
        for i in members:
            if i == head:
                continue
            group, canonical = frequent[i], frequent[head].name
            renamed[group.name] = canonical
            cosine = round(float(vectors[i] @ vectors[head]), 3)
            found += [_merge(m, canonical, "cosine", cosine) for m in group.members if m.type == group.name]
    merges = [
        m.model_copy(update={"canonical": renamed[m.canonical]}) if m.canonical in renamed else m
        for m in merges
    ]
    return merges + found


def _usual_distance(lang: str, encode: Encode) -> float:
    """The mean cosine distance between the names of the table's types: how far apart unlike types are."""
    vectors = encode([entry.zh if lang == "zh" else entry.en for entry in table().values()])
    n = len(vectors)
    return float((n * n - (vectors.sum(axis=0) ** 2).sum()) / (n * (n - 1)))  # of pairs of unit vectors


def _clusters(vectors: npt.NDArray[np.float32], fixed: Sequence[bool], threshold: float) -> list[list[int]]:
    """Places of vectors that belong together, by average linkage; never two fixed ones in one cluster."""
    import numpy as np
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distances = np.clip(1.0 - vectors.astype(np.float64) @ vectors.astype(np.float64).T, 0.0, None)
    of_fixed = np.flatnonzero(np.asarray(fixed))
    distances[np.ix_(of_fixed, of_fixed)] = _NEVER
    np.fill_diagonal(distances, 0.0)
    labels = fcluster(linkage(squareform(distances, checks=False), "average"), threshold, "distance")
    clusters: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        clusters.setdefault(int(label), []).append(place)
    return [members for members in clusters.values() if len(members) > 1]
