"""Annotators by their labels, so that tests can name them briefly."""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from sinoner.records import Annotator, Source

_LLM = re.compile(
    r"(?P<model>.+)@(?P<prompt>[^@+#~]+)(?P<types>\+types)?(?P<domain>\+domain)?(?P<shots>\+shots)?"
    r"(?:#(?P<sample>\d+))?(?P<truncated>~truncated)?"
)


def annotator(word: str) -> Annotator:
    """The annotator of a label: ``human``, ``jieba``, ``m@extract.zh.v1+types#2~truncated``; else a tuned model."""
    if word in ("human", "gold", "jieba", "lac", "table"):
        return Annotator(source=cast("Source", word))
    found = _LLM.fullmatch(word)
    if found is None:
        return Annotator(source="model", model=word)
    prompt = found["prompt"]
    family = re.sub(r"\.(?:zh|en)(?=\.v\d)", "", prompt)
    made = Annotator(
        source="llm",
        model=found["model"],
        prompt=prompt,
        family=family if family != prompt else "",
        types=bool(found["types"]),
        domain=bool(found["domain"]),
        shots=bool(found["shots"]),
        sample=int(found["sample"] or 1) - 1,
        truncated=bool(found["truncated"]),
    )
    assert made.label == word
    return made


def label(row: dict[str, Any]) -> str:
    """The label of the annotator of an annotation row."""
    return msgspec.convert(row["by"], Annotator).label
