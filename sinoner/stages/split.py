"""The stage split: which passages are trained on and which are set aside, decided before anything is retrieved."""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import chain, pairwise
from typing import Literal, NamedTuple, get_args

import msgspec
from msgspec import Struct

from sinoner import disk
from sinoner.errors import InputError
from sinoner.records import Annotation, Lang, Record
from sinoner.run.layout import DECONTAMINATED, PARTS, TRAINED_TYPES
from sinoner.run.screen import Progress
from sinoner.run.stage import Run, Stage
from sinoner.run.tally import Tally

LANGS: tuple[Lang, ...] = get_args(Lang)
Part = Literal["train", "validation", "left_out"]


class Parts(NamedTuple):
    """The passages of a run by id, in file order, with the byte at which each begins in the file.

    Attributes:
        train: what is trained on, and may be an example.
        validation: what is set aside; never an example.
        frequency: mentions of each type in the training passages, by language.
    """

    train: dict[str, int]
    validation: dict[str, int]
    frequency: dict[Lang, Counter[str]]

    def by_name(self) -> tuple[tuple[str, dict[str, int]], ...]:
        """Both, with their names."""
        return (("train", self.train), ("validation", self.validation))

    def annotations(self, run: Run) -> disk.Lookup[Annotation]:
        """The annotations of both, read when they are requested. A context manager."""
        return disk.Lookup(run.folder / DECONTAMINATED, Annotation, {**self.train, **self.validation})


class Placed(Record, frozen=True):
    """A passage with its part, and the byte at which its annotation begins in the file of annotations."""

    id: str
    place: int
    part: Part


class _Of(Struct):
    """A passage without its text."""

    id: str
    lang: Lang
    document: str = ""


class _Named(Struct):
    """An entity without its mentions."""

    type: str


class _Head(Struct):
    """As much of an annotation as the parts are decided by; the rest of the line is not looked at."""

    passage: _Of
    entities: tuple[_Named, ...]


def parts_of(run: Run) -> Parts:
    """The parts of a run, as this stage wrote them.

    Raises:
        InputError: its files are missing or damaged.
    """
    found: dict[Part, dict[str, int]] = {name: {} for name in get_args(Part)}
    for placed in disk.read_records(run.folder / PARTS, Placed):
        found[placed.part][placed.id] = placed.place
    path = run.folder / TRAINED_TYPES
    try:
        counted = msgspec.json.decode(path.read_bytes(), type=dict[Lang, dict[str, int]])
    except (OSError, msgspec.MsgspecError):
        raise InputError(
            f"{path}: is missing or damaged; run sinoner build-it-set {run.folder} --force"
        ) from None
    frequency = {lang: Counter(counted.get(lang, {})) for lang in LANGS}
    return Parts(found["train"], found["validation"], frequency)


def _split(run: Run, tally: Tally, progress: Progress) -> None:
    """Documents are set aside before anything is retrieved, so that no validation passage is ever an example.

    Raises:
        InputError: no annotated passage is left, or none of a language that ``it_set.mix`` requires.
    """
    from sinoner.itset.subsets import mixed, validation_documents

    recipe, path = run.recipe, run.folder / DECONTAMINATED
    places: dict[str, int] = {}
    documents: dict[str, str] = {}  # of each passage; one string for all passages of a document
    known: dict[str, str] = {}
    by_lang: dict[Lang, list[str]] = {lang: [] for lang in LANGS}
    numbers: dict[str, int] = {}  # of the types
    types = array("L")  # of all mentions, one after the other
    ends = array("L")  # of each passage's mentions
    for place, head in disk.read_places(path, _Head):
        places[head.passage.id] = place
        document = head.passage.document or head.passage.id
        documents[head.passage.id] = known.setdefault(document, document)
        by_lang[head.passage.lang].append(head.passage.id)
        types.extend([numbers.setdefault(e.type, len(numbers)) for e in head.entities])
        ends.append(len(types))
        tally.take("passage")
    if not places:
        raise InputError(f"{path}: no annotated passage is left; see {run.folder / 'rejects'}")
    progress(len(places), "")
    held_out = validation_documents(known, recipe.it_set.validation, recipe.seed)
    pool = {lang: [i for i in ids if documents[i] not in held_out] for lang, ids in by_lang.items()}
    made = mixed(pool, recipe.it_set.mix, recipe.it_set.size, recipe.seed)
    counts: Counter[Part] = Counter()
    with disk.AtomicFile(run.folder / PARTS) as file:
        for identifier, place in places.items():
            part: Part = "left_out"
            if documents[identifier] in held_out:
                part = "validation"
            elif identifier in made.chosen:
                part = "train"
            file.record(Placed(identifier, place, part))
            tally.give("passage")
            counts[part] += 1
    of_passage = dict(zip(places, pairwise([0, *ends]), strict=True))
    names = list(numbers)
    frequency = {}
    for lang, ids in pool.items():
        mentions = (types[slice(*of_passage[i])] for i in ids if i in made.chosen)
        frequency[lang] = {names[n]: count for n, count in Counter(chain.from_iterable(mentions)).items()}
    disk.write_json(run.folder / TRAINED_TYPES, frequency, indent=None)
    for lang in made.short:
        run.screen.say(
            f"split: {lang}: fewer passages than it_set.size and it_set.mix ask for, so the set is smaller"
        )
    if counts["left_out"]:
        run.screen.say(
            f"split: {counts['left_out']} passages are left out of training (it_set.size, it_set.mix)"
        )


SPLIT = Stage(
    name="split",
    version=1,
    reads=("it_set.validation", "it_set.size", "it_set.mix", "seed"),
    inputs=lambda run: [run.folder / DECONTAMINATED],
    outputs=(PARTS, TRAINED_TYPES),
    work=_split,
    after="filter",
)
