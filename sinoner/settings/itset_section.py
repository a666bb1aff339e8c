"""The settings of the instruction-tuning set: how conversations look, what is asked, what is written."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from sinoner.settings.section import Section, listed

Style = Literal["sinoner", "rait", "uniner"]
Mode = Literal["passage", "type", "all", "schema"]
# The modes that ask one question for several types; the answer is an object from type to mentions.
OBJECT_MODES: tuple[Mode, ...] = ("all", "schema")
Format = Literal["sharegpt", "messages", "parquet", "gliner", "spans"]
FORMATS: tuple[Format, ...] = ("sharegpt", "messages", "parquet", "gliner", "spans")

# Types that say only that a mention is of no other type.
MISC_TYPES = ("其他", "其它", "杂项", "misc", "miscellaneous", "other", "others")


def _formats(value: Any) -> Any:
    if isinstance(value, str):
        value = [word.strip() for word in value.replace("，", ",").split(",") if word.strip()]
    return FORMATS if value == ["all"] or value == ("all",) else value


def _weights(value: dict[str, float]) -> dict[str, float]:
    if value and not any(value.values()):
        raise ValueError("at least one weight must be above 0")
    return value


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ItSetSettings(Section):
    """How conversations are made."""

    style: Style = Field(
        "sinoner",
        description="sinoner (answers and examples in JSON), rait (the paper's strings to the byte) or uniner"
        " (UniversalNER's strings for English)",
    )
    mode: Mode = Field(
        "passage",
        description="passage (one conversation, a turn per type), type (one conversation per type), all (one question for"
        " all entities, JSON object), schema (one question that names the types, JSON object)",
    )
    validation: float = Field(0.1, ge=0, lt=1, description="share of documents set aside for validation")
    size: int | None = Field(None, ge=1, description="train on a random subset of this many passages")
    mix: Annotated[dict[Literal["zh", "en"], Weight], AfterValidator(_weights)] = Field(
        {},
        description="weights of the languages in training, for example {zh: 2, en: 1}; none = as they come",
    )
    negatives: float = Field(
        0.5, ge=0, le=1, description="probability of adding a negative type per positive type"
    )
    hard: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of negatives that are hard: types like the passage's own, or of its examples",
    )
    hard_neighbours: int = Field(
        10, ge=1, description="number of most similar types that may be hard negatives of a type"
    )
    max_negatives: int | None = Field(None, ge=0, description="maximum number of negative types per passage")
    plain: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of conversations without examples, so that the model also answers without them",
    )
    keep_empty: bool = Field(
        False, description="keep passages without entities as conversations of negative types only"
    )
    misc: Literal["keep", "drop"] = Field(
        "keep", description="types like other or misc: keep, or drop (never asked, never shown in examples)"
    )
    misc_types: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        MISC_TYPES, description="which types those are, upper or lower case"
    )
    max_tokens: int | None = Field(
        None,
        ge=32,
        description="tokens a conversation may have (counted by corpus.tokenizer); examples give way",
    )
    fit: Literal["shorten", "drop"] = Field(
        "shorten",
        description="what happens to an example that does not fit: shorten it if possible, or drop it whole",
    )
    formats: Annotated[tuple[Format, ...], BeforeValidator(_formats)] = Field(
        ("sharegpt", "messages"),
        description="files to write: sharegpt (LLaMA-Factory), messages (OpenAI, TRL), parquet, gliner, spans; or all",
    )
