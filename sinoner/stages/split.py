"""Which passages are trained on and which are set aside, decided before anything is retrieved."""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import chain
from typing import NamedTuple

from msgspec import Struct

from sinoner import disk
from sinoner.errors import InputError
from sinoner.records import Annotation, Lang
from sinoner.run.layout import DECONTAMINATED
from sinoner.run.stage import Run

LANGS: tuple[Lang, ...] = ("zh", "en")
# Settings of it_set that decide the parts.
SPLIT_KEYS = {"validation", "size", "mix"}


class Parts(NamedTuple):
    """The passages of a run by id, in file order, with the byte at which each stands in the file.

    Attributes:
        train: what is trained on, and may be an example.
        validation: what is set aside; never an example.
        left: passages left out of training for ``it_set.size`` or ``it_set.mix``.
        short: languages of which there are fewer passages than size and mix ask for.
        frequency: mentions of each type in the training passages, by language.
    """

    train: dict[str, int]
    validation: dict[str, int]
    left: int
    short: tuple[Lang, ...]
    frequency: dict[Lang, Counter[str]]

    def by_name(self) -> tuple[tuple[str, dict[str, int]], ...]:
        """Both, with their names."""
        return (("train", self.train), ("validation", self.validation))

    def annotations(self, run: Run) -> disk.Lookup[Annotation]:
        """The annotations of both, read when they are asked for. A context manager."""
        return disk.Lookup(run.folder / DECONTAMINATED, Annotation, {**self.train, **self.validation})


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


def split(run: Run) -> Parts:
    """Decide the parts of a run.

    Documents are set aside before anything is retrieved, so that no validation passage is ever an example.

    Raises:
        InputError: no annotated passage is left, or none of a language that ``it_set.mix`` wants.
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
    if not places:
        raise InputError(f"{path}: no annotated passage is left; see {run.folder / 'rejects'}")
    held_out = validation_documents(known, recipe.it_set.validation, recipe.seed)
    validation = {i: place for i, place in places.items() if documents[i] in held_out}
    pool = {lang: [i for i in ids if i not in validation] for lang, ids in by_lang.items()}
    made = mixed(pool, recipe.it_set.mix, recipe.it_set.size, recipe.seed)
    train = {i: place for i, place in places.items() if i in made.chosen}
    left = len(places) - len(validation) - len(train)
    mentions = {
        i: types[begin:end] for i, begin, end in zip(places, [0, *ends], ends, strict=False) if i in train
    }
    names = list(numbers)
    frequency = {
        lang: Counter(
            {
                names[n]: count
                for n, count in Counter(chain.from_iterable(mentions[i] for i in ids if i in train)).items()
            }
        )
        for lang, ids in pool.items()
    }
    return Parts(train, validation, left, made.short, frequency)
