"""The one definition of every setting: frozen pydantic sections with their defaults and their help."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from sinoner.settings.filter_section import RULE_NAMES, STOP_TYPES, FilterSettings, RuleName
from sinoner.settings.itset_section import ItSetSettings, Mode
from sinoner.settings.llm_section import EndpointSettings, LlmSettings
from sinoner.settings.recipe_path import (
    ModelPath,
    PathInRecipe,
    PoolPath,
    PromptPath,
    TablePath,
    TokenizerPath,
)
from sinoner.settings.retrieve_section import RetrieveSettings, Strategy
from sinoner.settings.section import Mark, Section, listed, named

__all__ = [
    "RULE_NAMES",
    "SECTIONS",
    "STOP_TYPES",
    "AnnotateSettings",
    "CorpusSettings",
    "EndpointSettings",
    "EvaluateSettings",
    "FilterSettings",
    "ItSetSettings",
    "LlmSettings",
    "PublishSettings",
    "Recipe",
    "RetrieveSettings",
    "RuleName",
    "Section",
    "Source",
    "TrainSettings",
]


class Source(Section):
    """One input of the corpus."""

    path: Annotated[PathInRecipe, Mark.BY_CONTENT] = Field(
        description="file, folder or hf://datasets/OWNER/NAME (jsonl, json, csv, parquet, txt; .gz, .zst)"
    )
    lang: Literal["auto", "zh", "en"] = Field(
        "auto", description="language of the texts; auto decides per text"
    )


def _sources(value: Any) -> Any:
    several = listed(value)
    if not isinstance(several, Sequence):
        return several
    return [{"path": x} if isinstance(x, str) else x for x in several]


class CorpusSettings(Section):
    """What is read and how it is cut into passages."""

    sources: Annotated[tuple[Source, ...], BeforeValidator(_sources)] = Field(
        (), description="the inputs, in order"
    )
    lang: Literal["auto", "zh", "en"] = Field(
        "auto", description="language of the sources that do not name one"
    )
    text_field: str = Field("text", description="name of the field (or CSV column) that holds the text")
    encoding: str = Field(
        "auto", description="auto = UTF-8, else GB18030 or UTF-16 when that fits; or a codec name"
    )
    limit: int | None = Field(None, ge=1, description="read at most this many documents")
    tokenizer: TokenizerPath = Field(
        "o200k_base", description="tokenizer that counts: o200k_base, cl100k_base, or a tokenizer.json path"
    )
    max_tokens: int = Field(256, ge=8, description="maximum number of tokens in a passage")
    max_line_mb: int = Field(64, ge=1, description="longer input lines are rejected")


class AnnotateSettings(Section):
    """Who labels the passages."""

    by: Literal["llm", "jieba", "lac", "table"] = Field(
        "llm", description="llm, or an embedded annotator: jieba, lac (Chinese), table (annotate.table)"
    )
    table: Annotated[TablePath | None, Mark.BY_CONTENT] = Field(
        None,
        description="table: words and patterns by type (.yaml), or word and type per line (.tsv, .csv); zh = the"
        " shipped one",
    )
    mode: Annotated[Literal["online", "batch"], Mark.ONLY_HOW] = Field(
        "online", description="online, or batch (OpenAI Files and Batches: cheaper, within a day)"
    )
    prompt: Annotated[PromptPath, Mark.BY_CONTENT] = Field(
        "extract", description="construction prompt: name of a prompt in prompts/, or a YAML file"
    )
    types: Annotated[dict[str, str], BeforeValidator(named)] = Field(
        {}, description="closed list of types, as a list or as type: definition; default: open"
    )
    domain: str | None = Field(None, description="subject of the texts, as a hint to the model")
    demonstrations: Annotated[PathInRecipe | None, Mark.BY_CONTENT] = Field(
        None, description="small gold JSONL file; its passages nearest to each text become few-shot examples"
    )
    shots: int = Field(3, ge=1, description="demonstrations per passage")
    samples: int = Field(
        1, ge=1, description="answers per passage and model, for agreement (needs llm.temperature > 0)"
    )
    reasks: int = Field(2, ge=0, le=2, description="how often an unreadable answer is requested again")
    keep_truncated: bool = Field(
        False, description="keep the readable part of an answer that was truncated twice (marked in by)"
    )
    grounding: Literal["folded", "case"] = Field(
        "folded",
        description="what a mention may differ in: width, case, white space, quotes, dashes, traditional characters;"
        " or (case) case only, as the paper",
    )
    keep_human: bool = Field(True, description="keep annotations that come with the corpus")
    max_cost: Annotated[str | None, Mark.ONLY_HOW] = Field(
        None, coerce_numbers_to_str=True, description="maximum cost of the run, for example 20CNY or 5USD"
    )
    max_tokens: Annotated[int | None, Mark.ONLY_HOW] = Field(
        None, ge=1, description="maximum number of tokens, prompts and answers together"
    )
    max_failure_rate: Annotated[float, Mark.ONLY_HOW] = Field(
        0.2, ge=0, le=1, description="stop the run above this share of failures among the last 200 passages"
    )
    batch_requests: Annotated[int, Mark.ONLY_HOW] = Field(
        50_000, ge=1, description="batch: requests per batch"
    )
    batch_mb: Annotated[int, Mark.ONLY_HOW] = Field(190, ge=1, description="batch: megabytes per batch")
    batch_poll: Annotated[float, Mark.ONLY_HOW] = Field(
        30.0, gt=0, description="batch: seconds between status requests"
    )


class TrainSettings(Section):
    """LoRA fine-tuning. The defaults are the paper's."""

    base: ModelPath | None = Field(
        None, description="base model: hub id, folder, or smollm2 (bundled model, offline)"
    )
    rank: int = Field(8, ge=1, description="LoRA rank, on all linear layers")
    alpha: int = Field(16, ge=1, description="LoRA alpha")
    dropout: float = Field(0.0, ge=0, lt=1, description="LoRA dropout")
    lr: float = Field(5e-5, gt=0, description="peak learning rate")
    epochs: float = Field(3.0, gt=0, description="number of epochs")
    batch_size: int = Field(8, ge=1, description="conversations per step")
    micro_batch_size: int = Field(
        2, ge=1, description="conversations per forward pass (gradient accumulation)"
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="share of steps used for warm-up")
    cutoff: int = Field(
        2048,
        ge=32,
        description="maximum number of tokens in a conversation; whole queries are dropped to fit",
    )
    max_conversations: int | None = Field(None, ge=1, description="train on at most this many conversations")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="data type of the weights during training"
    )
    device: Annotated[str, Mark.ONLY_HOW] = Field("auto", description="auto, cpu, cuda, cuda:0 …")


class EvaluateSettings(Section):
    """How models are scored."""

    benchmarks: Annotated[tuple[PathInRecipe, ...], BeforeValidator(listed), Mark.BY_CONTENT] = Field(
        (), description="gold files or folders, or names of data_recipes/benchmarks"
    )
    models: tuple[Literal["base", "tuned"], ...] = Field(("base", "tuned"), description="models to score")
    examples: tuple[bool, ...] = Field((False, True), description="score without and with retrieved examples")
    mode: Mode | None = Field(
        None,
        description="how models are asked: passage or type (a query per type), all or schema (one per passage);"
        " default it_set.mode",
    )
    strategy: Strategy | None = Field(
        None, description="how examples are found when evaluating; default retrieve.strategy"
    )
    pools: Annotated[tuple[PoolPath, ...] | None, BeforeValidator(listed), Mark.BY_CONTENT] = Field(
        None, description="where they come from; default retrieve.pools"
    )
    limit: int | None = Field(None, ge=1, description="passages per benchmark, sampled by the seed")
    batch_size: Annotated[int, Mark.ONLY_HOW] = Field(16, ge=1, description="queries per forward pass")
    max_new_tokens: int = Field(
        256,
        ge=1,
        description="tokens the answer for one type may have; an object (modes all and schema) may have four times as many",
    )
    bootstrap: int = Field(1000, ge=0, description="resamples for the 95 % interval; 0 = none")


class PublishSettings(Section):
    """What goes to the Hugging Face Hub."""

    dataset_repo: str | None = Field(None, description="dataset repository, OWNER/NAME")
    model_repo: str | None = Field(None, description="model repository, OWNER/NAME")
    private: Annotated[bool, Mark.ONLY_HOW] = Field(True, description="create the repositories as private")
    licence: str = Field("other", description="licence identifier of the dataset, for its card")


class Recipe(Section):
    """Everything that defines a run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9._-]+$", description="name of the run")
    out: Annotated[str | None, Mark.ONLY_HOW] = Field(None, description="run folder; default runs/<name>")
    seed: int = Field(42, ge=0, description="seed of every random choice")
    workers: Annotated[int, Mark.ONLY_HOW] = Field(
        1, ge=1, description="number of worker processes; the results are identical for any number"
    )
    corpus: CorpusSettings = CorpusSettings()
    llm: LlmSettings = LlmSettings()
    annotate: AnnotateSettings = AnnotateSettings()
    filter: FilterSettings = FilterSettings()
    retrieve: RetrieveSettings = RetrieveSettings()
    it_set: ItSetSettings = ItSetSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    publish: PublishSettings = PublishSettings()

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.out or f"runs/{self.name}")


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Recipe.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
