"""Annotating texts from Python: with an endpoint, an embedded annotator or a table."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sinoner.errors import InputError
from sinoner.records import Annotation, Lang, Passage, Reject

if TYPE_CHECKING:
    from sinoner.settings import Recipe

STAGE = "annotate"
Item = str | Passage | Annotation | Reject
# What came of each passage, in their order: its annotation or reject first.
Outcomes = Iterator[Sequence[Annotation | Reject]]
# The options that each annotator reads.
_READ_BY = {
    "llm": {"model", "base_url", "api_key", "types", "ledger", "max_cost", "new_run", "retry_failed"},
    "table": {"table"},
    "jieba": set[str](),
    "lac": set[str](),
}


def annotate_texts(
    texts: Iterable[Item],
    *,
    by: Literal["llm", "jieba", "lac", "table"] = "llm",
    model: str | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    types: Sequence[str] | Mapping[str, str] | None = None,
    table: str | Path | None = None,
    lang: Lang | None = None,
    max_cost: str | None = None,
    ledger: str | Path | None = None,
    new_run: bool = False,
    retry_failed: bool = False,
    settings: Mapping[str, object] | None = None,
) -> Iterator[Annotation | Reject]:
    """Annotate texts with an LLM, an embedded annotator, or a table of words and patterns.

    The order of the input is kept, and nothing is dropped: each text or passage gives an ``Annotation``, or a ``Reject``
    with the reason why there is none. Annotations and rejects in the input, as ``chunk`` yields them, are passed on.

    With an LLM, requests start when the first item is requested. They run in a thread of their own, so this works in a
    notebook; all texts are held in memory. Ctrl-C waits for the requests in flight.

    Args:
        texts: texts, or what ``chunk`` yields.
        by: ``llm`` (an OpenAI-compatible endpoint), ``jieba`` or ``lac`` (Chinese, embedded), or ``table``.
        model: name of the model at the endpoint.
        base_url: address of the endpoint, for example ``http://localhost:8000/v1``; None is OpenAI.
        api_key: the key; None reads it from the environment variable ``OPENAI_API_KEY``.
        types: the types to annotate, or types with their definitions; None lets the LLM choose.
        table: file of words and patterns by type, or ``zh`` for the shipped one.
        lang: language of the texts given as ``str``; None detects it for each.
        max_cost: money that the requests may cost, including those in the ledger, for example ``"20CNY"``.
        ledger: SQLite file that keeps every answer: the same call again sends only requests without an answer. It may
            be the ``ledger.sqlite`` of a run folder. None keeps answers in a temporary folder, which is deleted after
            success.
        new_run: send requests although the ledger was filled under other settings.
        retry_failed: send the requests of texts that failed in an earlier call again.
        settings: any other setting of the sections ``annotate`` and ``llm``, by its name in a recipe, for example
            ``{"llm.concurrency": 32, "annotate.domain": "medicine"}``.

    Yields:
        An ``Annotation`` or a ``Reject`` for each item. An LLM's mentions that are not in the text follow their
        annotation as rejects with unit ``entity``.

    Raises:
        InputError: an option or a setting cannot be used.
        EndpointError: the endpoint cannot be used at all (address, key, model, balance).
        StoppedError: too many failures, no answer for too long, or ``max_cost`` is reached; the ledger keeps the answers.
        MissingExtraError: the annotator's library is not installed.

    Example:
        >>> from sinoner import annotate_texts
        >>> for item in annotate_texts(["张伟在北京。", "Anna lives in Oslo."], by="jieba"):
        ...     print(item)  # doctest: +ELLIPSIS
        Annotation(passage=Passage(id='text:0', text='张伟在北京。', source='text', lang='zh'...), entities=(...), by=...)
        Reject(id='text:1', stage='annotate', reason='language_not_supported', detail='jieba reads Chinese only', ...)

        With an LLM:

        >>> answers = annotate_texts(
        ...     ["张伟在北京大学教书。"], by="llm", model="m", base_url="http://localhost:8000/v1", api_key="none",
        ...     types=["人名", "组织机构"], ledger="answers.sqlite",
        ... )
        >>> [(entity.surface, entity.type, entity.starts) for entity in next(answers).entities]
        [('张伟', '人名', (0,)), ('北京大学', '组织机构', (3,))]
    """
    from sinoner.api.call_settings import recipe_from

    if isinstance(texts, str):
        raise InputError("annotate_texts: texts is one text; give a list: annotate_texts([text])")
    options = {
        "model": model, "base_url": base_url, "api_key": api_key, "types": types, "table": table,
        "max_cost": max_cost, "ledger": ledger, "new_run": new_run, "retry_failed": retry_failed,
    }  # fmt: skip
    _check_options(by, [name for name, value in options.items() if value not in (None, False)])
    keys = {
        "model": "llm.model",
        "base_url": "llm.base_url",
        "types": "annotate.types",
        "max_cost": "annotate.max_cost",
    }
    given = {key: options[name] for name, key in keys.items()}
    given |= {"annotate.by": by, "annotate.table": None if table is None else str(table)}
    recipe = recipe_from("annotate_texts", given, settings, ("annotate", "llm"))
    annotate = _annotator(recipe, api_key, ledger, new_run, retry_failed)
    items = _numbered(texts, lang, keep_human=recipe.annotate.keep_human)
    return _in_order(items, annotate)


def _check_options(by: str, given: Sequence[str]) -> None:
    """Raises InputError for an option that the annotator does not read: it would have no effect."""
    if by not in _READ_BY:
        raise InputError(f"annotate_texts: by={by!r}: known: {', '.join(_READ_BY)}")
    for name in given:
        if name not in _READ_BY[by]:
            readers = " or ".join(repr(other) for other, names in _READ_BY.items() if name in names)
            raise InputError(
                f"annotate_texts: {name} has no effect with by={by!r}; use by={readers}, or leave it out"
            )


def _annotator(
    recipe: Recipe, api_key: str | None, ledger: str | Path | None, new_run: bool, retry_failed: bool
) -> Callable[[Iterable[Passage]], Outcomes]:
    """The function that annotates passages; mistakes that can be seen before the first passage are raised here."""
    by = recipe.annotate.by
    if by == "llm":
        from sinoner.api.endpoint_annotator import EndpointAnnotator

        path = None if ledger is None else Path(ledger).expanduser()
        return EndpointAnnotator(recipe, api_key, path, new_run=new_run, retry_failed=retry_failed)
    if by == "table":
        from sinoner.annotate.rule_table import annotate_by_table
        from sinoner.stages.rule_tables import table_of

        rules = table_of(recipe.annotate)
        return lambda passages: ((one,) for one in annotate_by_table(passages, rules))
    from sinoner.annotate.offline import annotate_offline

    stage = partial(annotate_offline, name=by)
    return lambda passages: ((one,) for one in stage(passages))


def _numbered(
    texts: Iterable[Item], lang: Lang | None, *, keep_human: bool
) -> Iterator[Passage | Annotation | Reject]:
    """The items with each text as a passage, or as a reject where it cannot be one."""
    from sinoner.corpus.fields import FieldError, read_text
    from sinoner.text.lang import detect_lang

    for number, item in enumerate(texts):
        if isinstance(item, str):
            identifier = f"text:{number}"
            try:
                text = read_text(item)
            except FieldError as error:
                yield Reject(id=identifier, stage=STAGE, reason=error.reason, detail=str(error))
            else:
                yield Passage(id=identifier, text=text, source="text", lang=lang or detect_lang(text))
        elif isinstance(item, Annotation) and not keep_human:
            yield item.passage
        elif isinstance(item, Passage | Annotation | Reject):
            yield item
        else:
            raise TypeError(
                f"annotate_texts: item {number} is a {type(item).__name__}, not a str or a Passage;"
                " cut documents into passages with chunk() first"
            )


def _in_order(
    items: Iterable[Passage | Annotation | Reject], annotate: Callable[[Iterable[Passage]], Outcomes]
) -> Iterator[Annotation | Reject]:
    """Annotate the passages among the items, and pass the others on in their places."""
    waiting: deque[Annotation | Reject | None] = deque()  # None: a passage that is being annotated

    def passages() -> Iterator[Passage]:
        for item in items:
            if isinstance(item, Passage):
                waiting.append(None)
                yield item
            else:
                waiting.append(item)

    for outcomes in annotate(passages()):
        while (before := waiting.popleft()) is not None:
            yield before
        yield from outcomes
    for item in waiting:
        assert item is not None, "a passage without an outcome"
        yield item
