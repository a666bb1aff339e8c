"""From the pairs that a model wrote to an annotation whose entities stand in the passage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sinoner.records import Annotation, Annotator, Entity, Passage, Reject
from sinoner.text.ground import Fold, Grounded, ground

STAGE = "annotate"
Outcome = tuple[Annotation | Reject, list[Reject]]


def build(
    passage: Passage,
    pairs: Iterable[tuple[str, str]],
    by: Annotator,
    fold: Fold = "folded",
    types: Mapping[str, str] | None = None,
) -> Outcome:
    """Ground (mention, type) pairs in a passage.

    Args:
        passage: where the mentions should be.
        pairs: as the model wrote them.
        by: who annotated.
        fold: what a mention may differ in.
        types: closed list: type, in lower case → its name; None for open types.

    Returns:
        The annotation, and a reject of unit ``entity`` for every pair that has no type (``no_type``) or one outside
        the list (``type_not_listed``), is not in the passage (``not_in_passage``) or there in several ways of writing
        (``ambiguous_mention``), or repeats another (``repeated``).
    """
    entities: dict[tuple[str, str], Entity] = {}
    rejects: list[Reject] = []
    for mention, said in pairs:
        kind = writable(said.strip())
        found: Grounded | str
        if not kind:
            found = "no_type"
        elif types and kind.lower() not in types:
            found = "type_not_listed"
        else:
            kind = types[kind.lower()] if types else kind
            found = ground(passage.text, mention, fold)
        if isinstance(found, Grounded) and (found.surface, kind) in entities:
            found = "repeated"
        if isinstance(found, str):
            detail = writable(f"{mention} ({kind})")
            rejects.append(Reject(id=passage.id, stage=STAGE, reason=found, detail=detail, unit="entity"))
        else:
            entities[found.surface, kind] = Entity(surface=found.surface, type=kind, starts=found.starts)
    return Annotation(passage=passage, entities=tuple(entities.values()), by=by), rejects


def writable(text: str) -> str:
    """The text with halves of surrogate pairs shown as escapes; they cannot be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
