"""How well the annotations of a run match hand-made gold of the same texts, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from sinoner import disk, resources
from sinoner.clip import clip
from sinoner.errors import InputError
from sinoner.measurements import GoldScores
from sinoner.records import Annotation, Passage, Reject
from sinoner.run.layout import ANNOTATIONS, FILTERED, PASSAGES, VERIFIED
from sinoner.run.layout import GOLD as GOLD_FILE
from sinoner.score.places import Places, claims, locate, texts
from sinoner.settings import FilterSettings

if TYPE_CHECKING:
    from sinoner.formats.gold_files import Gold
    from sinoner.score.spans import Canonical

STAGE = "gold"
Layer = Literal["annotations", "filtered", "verified"]
LAYERS: dict[Layer, str] = {"annotations": ANNOTATIONS, "filtered": FILTERED, "verified": VERIFIED}
_SHOWN_CHARS = 24  # of a text, in messages


class Compared(NamedTuple):
    """What a comparison with gold found.

    Attributes:
        scores: one per layer, in the order of the flow.
        rejects: the gold passages that the last layer could not be scored on.
        notes: what a person should know before trusting the figures, one line each.
    """

    scores: tuple[GoldScores, ...]
    rejects: tuple[Reject, ...]
    notes: tuple[str, ...]


def load(name: str) -> Gold:
    """The gold of a recipe: a file, a folder, or a benchmark that was fetched.

    Raises:
        InputError: it is not there, or is not gold (path:line).
    """
    from sinoner.formats.benchmarks import load_gold

    return load_gold(name, cache=resources.cache_root())


def table(settings: FilterSettings) -> Canonical | None:
    """The names that types are compared by, or None when they are compared as written."""
    if not settings.align_types:
        return None
    from sinoner.quality.types import synonyms

    return synonyms().canonical


def score_layers(
    given: Path,
    gold: Gold,
    canonical: Canonical | None,
    resamples: int,
    seed: int,
    *,
    verify: bool = True,
) -> Compared:
    """Score every layer of annotations that exists against gold.

    A gold text is found when it is a passage of the run or a whole document of it; the mentions of the chunks are
    then shifted into the document, so a gold mention that a cut goes through still counts as one to be found.

    Args:
        given: a run folder, or a JSON lines file of annotations.
        gold: the hand-made annotations; they alone are held in memory, with what was annotated on their texts.
        canonical: the name that types are compared by; None compares them as written.
        resamples: bootstrap resamples of the gold passages; 0 = no interval.
        seed: seed of the bootstrap.
        verify: whether what the judge left (``verified.jsonl``) belongs to the run.

    Raises:
        InputError: there are no annotations, or no gold text stands in the run.
    """
    files = _layers(given, verify)
    passages = partial(_passages, given)
    places = locate(gold.annotations, passages())
    wanted = texts(gold.annotations)
    if not places.chunks:
        raise InputError(_nothing_found(given, gold, next(passages(), None)))
    scored = [
        _score(name, gold, wanted.values(), places, path, canonical, resamples, seed)
        for name, path in files.items()
    ]
    notes = dict.fromkeys(note for one in scored for note in one.notes)
    if again := len(gold.annotations) - len(wanted):
        notes[f"{again} texts of {gold.name} stand in it once more; the first of each counts"] = None
    if places.repeated:
        notes[
            f"{len(places.repeated)} gold texts stand in the run several times; the first of each counts"
        ] = None
    return Compared(tuple(one.scores for one in scored), scored[-1].rejects, tuple(notes))


def _layers(given: Path, verify: bool) -> dict[Layer, Path]:
    """The files to score, by layer."""
    if not given.is_dir():
        by_file = {file: layer for layer, file in LAYERS.items()}
        layer: Layer = by_file.get(given.name, "annotations")
        return {layer: given}
    files = {
        name: given / file
        for name, file in LAYERS.items()
        if (given / file).exists() and (verify or name != "verified")
    }
    if not files:
        raise InputError(f"{given}: holds no {ANNOTATIONS}; give a run folder that was annotated, or a file")
    return files


def _passages(given: Path) -> Iterator[Passage]:
    if given.is_dir():
        return disk.read_records(given / PASSAGES, Passage)
    return (a.passage for a in disk.read_records(given, Annotation))


def _nothing_found(given: Path, gold: Gold, first: Passage | None) -> str:
    if first is None:
        return f"{given}: holds no passage"
    return (
        f"none of the {len(gold.annotations)} texts of {gold.name} is a passage or a whole document of {given}: gold"
        f" begins with “{_beginning(gold.annotations[0].passage.text)}”, the run with “{_beginning(first.text)}”;"
        " annotate the texts that were labelled by hand as well"
    )


def _beginning(text: str) -> str:
    return clip(" ".join(text[: 4 * _SHOWN_CHARS].split()), _SHOWN_CHARS)


class _Scored(NamedTuple):
    scores: GoldScores
    rejects: tuple[Reject, ...]
    notes: tuple[str, ...]


def _score(
    layer: Layer,
    gold: Gold,
    numbers: Iterable[int],
    places: Places,
    path: Path,
    canonical: Canonical | None,
    resamples: int,
    seed: int,
) -> _Scored:
    from sinoner.score.spans import SpanCounts, spans

    found = claims(places, disk.read_records(path, Annotation))
    counts = SpanCounts(canonical)
    rejects: list[Reject] = []
    partly = missing = by_hand = 0
    for number in numbers:
        annotation = gold.annotations[number]
        if number not in found:
            known = number in places.chunks
            missing += not known
            reason = "not_annotated" if known else "not_in_run"
            detail = _beginning(annotation.passage.text)
            rejects.append(Reject(id=annotation.passage.id, stage=STAGE, reason=reason, detail=detail))
            continue
        said = found[number]
        mentions = spans(annotation.entities)
        if len(said.parts) < places.chunks[number]:
            partly += 1
            mentions = [
                m for m in mentions if any(m.start < end and m.end > begin for begin, end in said.parts)
            ]
        by_hand += any(a.by.source == "human" for a in said.annotations)
        counts.add(mentions, said.mentions, annotation.passage.lang)
    passages = len(texts(gold.annotations))
    scores = GoldScores(
        layer=layer,
        gold=gold.name,
        digest=gold.digest,
        passages=passages,
        scored=passages - len(rejects),
        missing=missing,
        dropped=len(rejects) - missing,
        partly=partly,
        aligned=canonical is not None,
        scores=counts.scores(resamples, seed),
        types=counts.types(),
    )
    notes = [
        f"the table of synonyms takes {' and '.join(names)} of gold for one type (filter.align_types=false does not)"
        for names in counts.merged()
    ]
    if by_hand:
        notes.append(
            f"{by_hand} of the {scores.scored} scored passages carry hand-made labels that came with the corpus: they"
            " say nothing about the annotator; annotate.keep_human=false has it label them too"
        )
    return _Scored(scores, tuple(rejects), tuple(notes))


def summary_line(scores: GoldScores) -> str:
    """The scores of a layer in one line."""
    figures = ", ".join(f"{s.scheme} {s.f1:.2f}{bounds(s.low, s.high)}" for s in scores.scores)
    rest = [
        f"{n} {what}"
        for n, what in ((scores.missing, "not in the run"), (scores.dropped, "without annotations"))
        if n
    ]
    more = f" ({', '.join(rest)})" if rest else ""
    return f"{scores.layer}: F1 {figures}; {scores.scored} of {scores.passages} gold passages scored{more}"


def bounds(low: float | None, high: float | None) -> str:
    """An interval in brackets, or nothing where there is none."""
    return "" if low is None or high is None else f" [{low:.1f}–{high:.1f}]"


def rows(scores: tuple[GoldScores, ...]) -> dict[str, object]:
    """The scores as JSON, as ``quality/gold.json`` has them."""
    return {"gold": scores[0].gold, "scores": [s.model_dump(mode="json") for s in scores]}


def write(folder: Path, scores: tuple[GoldScores, ...]) -> None:
    """Keep the scores in a run folder."""
    disk.write_json(folder / GOLD_FILE, rows(scores))
