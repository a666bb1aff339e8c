"""The settings of the filter: rules, types, votes, gold and decontamination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from sinoner.settings.recipe_path import PathInRecipe
from sinoner.settings.section import Mark, Section, listed

# Types that say nothing, of the reference filter, with its missing comma mended (paper code, filter step).
STOP_TYPES = (
    "实体", "实体类别", "其他", "无", "无类别", "未定义", "entity_type", "entity type", "entity", "else", "none", "na", "misc",
)  # fmt: skip

RuleName = Literal[
    # passages
    "too_short", "wrong_language", "garbled", "boilerplate", "refusal", "personal_data", "duplicate_passage",
    "near_duplicate",
    # entities
    "strip_brackets", "too_long", "stop_type", "generic_type", "sentence_type", "number", "pronoun", "cut_word",
    "duplicate", "overlap",
]  # fmt: skip
RULE_NAMES: tuple[RuleName, ...] = get_args(RuleName)
Figure = Literal[
    "gold_f1", "gold_precision", "gold_recall", "gold_span_f1", "gold_type_f1", "gold_relaxed_f1"
]


def _switches(value: Any) -> Any:
    """A list of rules means these and no others."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, Sequence):
        unknown = {name: True for name in value if name not in RULE_NAMES}  # told by the validator
        return {name: name in value for name in RULE_NAMES} | unknown
    if isinstance(value, Mapping):
        return dict(value)
    return value


class FilterSettings(Section):
    """What cleans the annotations. Each reject is counted by reason."""

    preset: Literal["reference", "default", "strict"] = Field(
        "default", description="reference (the paper's filter), default, or strict"
    )
    rules: Annotated[dict[RuleName, bool], BeforeValidator(_switches)] = Field(
        {},
        description="switch rules of the preset: {near_duplicate: true, pronoun: false}; a list = exactly these",
    )
    max_chars: int = Field(20, ge=1, description="longest Chinese mention, in characters")
    max_words: int = Field(20, ge=1, description="longest English mention, in words")
    min_chars: int = Field(5, ge=1, description="shortest passage, in characters without white space")
    stop_types: tuple[str, ...] = Field(STOP_TYPES, description="uninformative types")
    overlap: Literal["keep", "outermost", "innermost"] | None = Field(
        None,
        description="nested and crossing mentions: keep, outermost, innermost; none = as the preset says",
    )
    personal: Literal["keep", "mask", "drop"] | None = Field(
        None,
        description="mobile and identity-card numbers, e-mail addresses: keep, mask, or drop the passage;"
        " none = as the preset says",
    )
    near_duplicate: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Jaccard similarity of character 5-grams from which a passage is a near-duplicate",
    )
    types: Annotated[PathInRecipe | None, Mark.BY_CONTENT] = Field(
        None, description="types.yaml that merges types; none = the one in the run folder, if there is one"
    )
    min_votes: int | None = Field(
        None,
        ge=1,
        description="keep entities that at least this many samples of a passage agree on (annotate.samples, llm.more_models)",
    )
    verify: bool = Field(False, description="have an LLM judge every kept entity (yes, no, better type)")
    verify_model: str | None = Field(None, description="model that judges; none = llm.model")
    gold: Annotated[PathInRecipe | None, Mark.BY_CONTENT] = Field(
        None,
        description="hand-labelled texts of the corpus: gold JSONL file or folder to score the annotations with",
    )
    align_types: bool = Field(True, description="compare types with gold through the table of synonyms")
    require: dict[Figure, Annotated[float, Field(ge=0, le=1)]] = Field(
        {}, description="figures below which the run stops before training, 0 to 1: {gold_f1: 0.6}"
    )
    decontaminate: bool = Field(
        True, description="drop passages that share text with the test sets of evaluate.benchmarks"
    )
    test_sets: Annotated[tuple[PathInRecipe, ...], BeforeValidator(listed), Mark.BY_CONTENT] = Field(
        (), description="further gold files or folders that training data must not share text with"
    )

    @field_validator("require")
    @classmethod
    def _gold_to_measure_with(cls, value: dict[Figure, float], info: ValidationInfo) -> dict[Figure, float]:
        if value and not info.data.get("gold"):
            raise ValueError("needs filter.gold, hand-labelled texts of the corpus to measure with")
        return value
