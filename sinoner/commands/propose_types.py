"""Proposing merges of types: the types of a run are compared, and what may mean the same goes into its types.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from sinoner import disk
from sinoner.errors import InputError, SinonerError, StoppedError
from sinoner.measurements import TypeCount, TypeInventory
from sinoner.quality import types_file as types_yaml
from sinoner.quality.types_file import LANGS, TypesFile
from sinoner.records import Annotation, Facts, Lang
from sinoner.run.folder import locked
from sinoner.run.layout import ANNOTATIONS, QUALITY, TYPES
from sinoner.run.manifest import Manifest
from sinoner.run.screen import Screen
from sinoner.run.stage import Run
from sinoner.stages.type_merges import read_types, types_file

if TYPE_CHECKING:
    from sinoner.quality.proposals import Encode, Merge
    from sinoner.quality.types import TypeMap
    from sinoner.settings import Recipe

# What was ever proposed for the run, so that what a person took out does not come back.
PROPOSED = f"{QUALITY}/proposed_types.json"
_UNSTABLE = 5  # types shown that share most of their surfaces with others
_OFTEN = 10  # mentions from which that is worth showing


class Proposed(Facts):
    """What was ever proposed: per language, variants by canonical name."""

    names: dict[str, dict[str, tuple[str, ...]]] = Field(default_factory=dict)


class LangMerges(Facts):
    """The types of one language before and after the merges of types.yaml.

    Attributes:
        lang: the language.
        before: types as annotated.
        after: types after merging.
        by_table: merges proposed now because the shipped table of synonyms knows them.
        by_spelling: because only case, width, spaces or hyphens differ.
        by_cosine: because their embeddings are near.
        threshold: cosine distance that counted as near; None when nothing was compared.
        kept: variants that types.yaml named before.
        singletons: types with one mention, after merging.
        unstable: frequent types that share most of their surfaces with others, after merging.
    """

    lang: str
    before: int
    after: int
    by_table: int = 0
    by_spelling: int = 0
    by_cosine: int = 0
    threshold: float | None = None
    kept: int = 0
    singletons: int = 0
    unstable: tuple[TypeCount, ...] = ()


class MergeReport(Facts):
    """What ``propose`` did.

    Attributes:
        file: the types.yaml it wrote.
        langs: per language.
        unused: the file that the filter reads instead, when ``filter.types`` names another one.
    """

    file: str
    langs: tuple[LangMerges, ...]
    unused: str | None = None


def propose(
    folder: Path,
    recipe: Recipe,
    *,
    threshold: float | None = None,
    embed: bool = True,
    force: bool = False,
    screen: Screen | None = None,
) -> MergeReport:
    """Write the run's types.yaml: what a person left in it, and proposals for the types it does not cover.

    Args:
        folder: the run folder.
        recipe: its settings; ``retrieve`` says which embedder compares types.
        threshold: cosine distance up to which types are merged; None = as the embedder's distances suggest.
        embed: compare embeddings; without, only the table of synonyms and the spelling count.
        force: start over, whatever a person wrote.
        screen: where an embeddings API tells its progress and cost; None = nowhere.

    Raises:
        InputError: there are no annotations yet, types.yaml has mistakes, or the embedder cannot be used.
        StoppedError: an embeddings API has no budget left, or failed too often; what it answered is kept.
    """
    annotations, target = folder / ANNOTATIONS, folder / TYPES
    if not annotations.exists():
        raise InputError(f"{annotations}: not there yet; run sinoner annotate {folder} first")
    with locked(folder):
        kept = types_yaml.read(target) if target.is_file() and not force else TypesFile()
        past = _proposed(folder / PROPOSED) if target.is_file() and not force else Proposed()
        inventory = _inventory(annotations)
        langs = [lang for lang in LANGS if inventory.before.get(lang)]
        run = Run(folder, recipe, Manifest(folder), screen or Screen(quiet=True))
        found = {lang: _proposals(run, inventory, lang, kept, past, threshold, embed) for lang in langs}
        merges = [merge for of_lang, _ in found.values() for merge in of_lang]
        text = disk.read_text(target, f"{target}: no such file") if target.is_file() and not force else ""
        written = types_yaml.extended(text, merges, where=str(target))
        disk.write_text(target, written)
        disk.write_json(folder / PROPOSED, _with(past, merges).model_dump(mode="json"))
        after = _inventory(annotations, read_types(target))
    rows = tuple(
        _row(lang, inventory, after, kept, merges=found[lang][0], threshold=found[lang][1]) for lang in langs
    )
    used = types_file(folder, recipe)
    other = str(used) if used is not None and used.resolve() != target.resolve() else None
    return MergeReport(file=str(target), langs=rows, unused=other)


def as_text(report: MergeReport, folder: Path) -> str:
    """A report as lines for people."""
    lines = [f"{'':<4}{'types':>14}{'table':>8}{'spelling':>10}{'cosine':>8}{'kept':>7}{'once':>7}"]
    for row in report.langs:
        change = f"{row.before} → {row.after}"
        lines.append(
            f"{row.lang:<4}{change:>14}{row.by_table:>8}{row.by_spelling:>10}{row.by_cosine:>8}{row.kept:>7}"
            f"{row.singletons:>7}"
        )
    for row in report.langs:
        if row.threshold is not None:
            lines.append(f"{row.lang}: merged up to a cosine distance of {row.threshold:.3f} (--threshold)")
        for count in row.unstable:
            lines.append(
                f"{row.lang}: {count.type}: {count.unstable:.0%} of its surfaces carry another type, too:"
                f" {', '.join(count.others)}"
            )
    lines.append(f"{report.file}: edit it as you like, then sinoner filter {folder} applies it")
    if report.unused:
        lines.append(f"filter.types={report.unused} is what the filter reads instead")
    return "\n".join(lines)


def _proposals(
    run: Run,
    inventory: TypeInventory,
    lang: Lang,
    kept: TypesFile,
    past: Proposed,
    threshold: float | None,
    embed: bool,
) -> tuple[tuple[Merge, ...], float | None]:
    from sinoner.quality.proposals import propose as merges_of
    from sinoner.quality.types import synonyms

    given = kept.canonical_names(lang)
    with _encoder(run, lang) as encode:
        proposals = merges_of(
            inventory.types,
            lang,
            synonyms(),
            given=given,
            apart=[*kept.separate, *_taken_out(past, lang, given)],
            stop_types=run.recipe.filter.stop_types,
            encode=encode if embed else None,
            threshold=threshold,
        )
    return proposals.merges, proposals.threshold


def _taken_out(past: Proposed, lang: str, given: dict[str, str]) -> Iterator[str]:
    """Variants that were proposed once and stand nowhere in the file any more."""
    from sinoner.quality.synonyms import key

    there = {key(name) for name in given}
    for variants in past.names.get(lang, {}).values():
        yield from (name for name in variants if key(name) not in there)


@contextmanager
def _encoder(run: Run, lang: Lang) -> Iterator[Encode]:
    """An encoder that loads its model, or opens the ledger of an API, when it is first used."""
    from sinoner.stages.run_embedder import embedder_of

    encode: Any = None
    with ExitStack() as opened:

        def first_loaded(texts: Sequence[str]) -> Any:
            nonlocal encode
            try:
                if encode is None:
                    encode = opened.enter_context(embedder_of(run, lang, stage="types")).encode
                return encode(texts).vectors
            except StoppedError:  # says itself how to go on
                raise
            except SinonerError as error:
                raise InputError(
                    f"{error}; or give --no-embed to go by the table of synonyms alone"
                ) from None

        yield first_loaded


def _inventory(path: Path, names: TypeMap | None = None) -> TypeInventory:
    from sinoner.quality.types import Inventory

    inventory = Inventory()
    for annotation in disk.read_records(path, Annotation):
        inventory.add(annotation if names is None else names.apply(annotation))
    return inventory.result()


def _row(
    lang: str,
    before: TypeInventory,
    after: TypeInventory,
    kept: TypesFile,
    *,
    merges: tuple[Merge, ...],
    threshold: float | None,
) -> LangMerges:
    by = [merge.by for merge in merges]
    shaky = [
        count for count in after.types if count.lang == lang and count.mentions >= _OFTEN and count.unstable
    ]
    shaky.sort(key=lambda c: (-(c.unstable or 0.0), -c.mentions, c.type))
    return LangMerges(
        lang=lang,
        before=before.before[lang],
        after=after.after[lang],
        by_table=by.count("table"),
        by_spelling=by.count("spelling"),
        by_cosine=by.count("cosine"),
        threshold=threshold,
        kept=sum(name != canonical for name, canonical in kept.canonical_names(lang).items()),
        singletons=after.singletons[lang],
        unstable=tuple(shaky[:_UNSTABLE]),
    )


def _proposed(path: Path) -> Proposed:
    try:
        return Proposed.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Proposed()
    except ValidationError:
        raise InputError(
            f"{path}: cannot be read; delete it, and proposals that were taken out of {TYPES} may come back"
        ) from None


def _with(past: Proposed, merges: Sequence[Merge]) -> Proposed:
    names = {lang: dict(of_lang) for lang, of_lang in past.names.items()}
    for merge in merges:
        of_lang = names.setdefault(merge.lang, {})
        of_lang[merge.canonical] = (*of_lang.get(merge.canonical, ()), merge.variant)
    return Proposed(names=names)
