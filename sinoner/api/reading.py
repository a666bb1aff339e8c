"""Reading a corpus, cutting it into passages, and finding mentions in a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sinoner.records import Annotation, Document, Lang, Passage, Reject

if TYPE_CHECKING:
    from sinoner.text.ground import Fold, Grounded, Ungrounded


def read_corpus(
    path: str | Path | Iterable[str | Path],
    *,
    text_field: str = "text",
    lang: Lang | None = None,
    encoding: str = "auto",
    limit: int | None = None,
) -> Iterator[Document | Reject]:
    r"""Read documents one at a time from files, folders or datasets of the Hugging Face Hub.

    Args:
        path: one source or several, in order: a file (``.jsonl``, ``.json``, ``.csv``, ``.tsv``, ``.parquet``,
            ``.txt``, each also ``.gz`` or ``.zst``), a folder of such files, or ``hf://datasets/OWNER/NAME[@SPLIT]``.
        text_field: name of the field or column that holds the text.
        lang: language of all texts; None takes the ``lang`` of a record, else detects it for each text.
        encoding: name of a codec; ``auto`` is UTF-8, or GB18030 or UTF-16 where the bytes fit only those.
        limit: read at most this many documents.

    Yields:
        A ``Document`` for each record with a text; a ``Reject`` (with file and line in ``detail``) for each record
        that cannot be used.

    Raises:
        InputError: when the first item is requested: a source is missing or unreadable. Later: no record has the text
            field, or the corpus holds no document.

    Example:
        >>> from pathlib import Path
        >>> from sinoner import read_corpus
        >>> _ = Path("news.jsonl").write_text('{"text": "张伟在北京大学教书。"}\n{"title": "?"}\n', encoding="utf-8")
        >>> for item in read_corpus("news.jsonl"):
        ...     print(type(item).__name__, item.id)
        Document news:1
        Reject news.jsonl:2
    """
    from sinoner.api.call_settings import recipe_from
    from sinoner.corpus.read import read

    several = [path] if isinstance(path, str | Path) else list(path)
    options = {
        "corpus.sources": [str(p) for p in several],
        "corpus.text_field": text_field,
        "corpus.lang": lang,
        "corpus.encoding": encoding,
        "corpus.limit": limit,
    }
    return read(recipe_from("read_corpus", options, None, ("corpus",)).corpus)


def chunk(
    documents: Iterable[Document | Reject], *, max_tokens: int = 256, tokenizer: str = "o200k_base"
) -> Iterator[Passage | Annotation | Reject]:
    """Cut documents into passages between sentences; the passages of a document rejoin to its text.

    Args:
        documents: what ``read_corpus`` yields, or documents of your own.
        max_tokens: tokens that a passage may have.
        tokenizer: what counts them: ``o200k_base``, ``cl100k_base``, or the path of a ``tokenizer.json``.

    Yields:
        A ``Passage`` for each chunk, or an ``Annotation`` where the document has hand-made entities. A ``Reject`` of
        the input is passed on; a hand-made entity that a cut goes through becomes one.

    Raises:
        InputError: ``tokenizer`` or ``max_tokens`` cannot be used.

    Example:
        >>> from sinoner import Document, chunk
        >>> document = Document(id="a", text="张伟在北京。李娜在上海。", source="news", lang="zh")
        >>> [passage.text for passage in chunk([document], max_tokens=8)]
        ['张伟在北京。', '李娜在上海。']
    """
    from sinoner.api.call_settings import recipe_from
    from sinoner.corpus.chunker import chunk as chunked

    options = {"corpus.max_tokens": max_tokens, "corpus.tokenizer": tokenizer}
    return chunked(documents, recipe_from("chunk", options, None, ("corpus",)).corpus)


def ground(text: str, mention: str, *, mode: Fold = "folded") -> Grounded | Ungrounded:
    """Find a mention in a text, and keep the characters of the text.

    Args:
        text: the text.
        mention: the mention as an LLM or a person wrote it.
        mode: how the text may differ from the mention: ``folded`` in width, case, white space, quotes, dashes and
            script (traditional or simplified); ``case`` in case only.

    Returns:
        ``Grounded(surface, starts)``: the mention as the text writes it, and the code-point offsets of its
        occurrences. If it cannot be found, the reason: ``"not_in_passage"``, or ``"ambiguous_mention"`` when the text
        writes it in several ways and ``mention`` is none of them.

    Example:
        >>> from sinoner import ground
        >>> ground("林晓在ＡＣＭＥ公司，ＡＣＭＥ公司在上海。", "acme公司")
        Grounded(surface='ＡＣＭＥ公司', starts=(3, 10))
        >>> ground("林晓在上海。", "北京")
        'not_in_passage'
    """
    from sinoner.text import ground as grounding

    return grounding.ground(text, mention, mode)
