"""From the pairs that a model wrote to an annotation whose entities stand in the passage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sinoner.records import Annotation, Entity, Passage, Reject
from sinoner.text.ground import Fold, ground

STAGE = "annotate"
Outcome = tuple[Annotation | Reject, list[Reject]]


def build(
    passage: Passage,
    pairs: Iterable[tuple[str, str]],
    by: str,
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
        The annotation, and a reject of unit ``entity`` for every pair that is not in the passage
        (``not_in_passage``), has no type (``no_type``) or one outside the list (``type_not_listed``), or repeats
        another (``repeated``).
    """
    entities: dict[tuple[str, str], Entity] = {}
    rejects: list[Reject] = []
    for mention, said in pairs:
        kind = writable(said.strip())
        if types and kind:
            listed = types.get(kind.lower())
            found = ground(passage.text, mention, fold) if listed else None
            reason = "type_not_listed" if not listed else "not_in_passage" if found is None else None
            kind = listed or kind
        else:
            found = ground(passage.text, mention, fold)
            reason = "no_type" if not kind else "not_in_passage" if found is None else None
        if found is not None and (found[0], kind) in entities:
            reason = "repeated"
        if reason is not None or found is None:
            detail = writable(f"{mention} ({kind})")
            rejects.append(
                Reject(id=passage.id, stage=STAGE, reason=reason or "", detail=detail, unit="entity")
            )
            continue
        entities[found[0], kind] = Entity(surface=found[0], type=kind, starts=found[1])
    return Annotation(passage=passage, entities=tuple(entities.values()), by=by), rejects


def writable(text: str) -> str:
    """The text with halves of surrogate pairs shown as escapes; they cannot be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
