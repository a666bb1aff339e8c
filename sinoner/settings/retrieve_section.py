"""The settings of retrieval: who embeds, where is searched, and which of the found become examples."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from sinoner.settings.llm_section import KeyName, Url
from sinoner.settings.recipe_path import ModelPath, PoolPath, StopWordsPath
from sinoner.settings.section import Mark, Section, listed

Strategy = Literal[
    "none",
    "nn",
    "random",
    "nn_bm25",
    "diverse_nn",
    "diverse_nn_bm25",
    "diverse_nn_bm25_rank",
    "mixed",
    "mmr",
    "type_aware",
    "hybrid",
]

# The models that stand behind model_zh and model_en when they are not set.
MODELS: dict[str, tuple[str, str]] = {
    "bge": ("BAAI/bge-large-zh-v1.5", "BAAI/bge-large-en-v1.5"),
    "sentence-transformers": ("thenlper/gte-large-zh", "thenlper/gte-large"),  # those of the paper
    "e5-mini": ("multilingual-e5-small-q4", "multilingual-e5-small-q4"),
    "openai": ("text-embedding-3-small", "text-embedding-3-small"),
}


class RetrieveSettings(Section):
    """How examples are found."""

    strategy: Strategy = Field(
        "nn",
        description="none, nn (nearest), random, nn_bm25, diverse_nn, diverse_nn_bm25, diverse_nn_bm25_rank, mixed (as the"
        " paper), mmr (near, but unlike each other), type_aware (covers the types asked), hybrid (dense and BM25 ranks)",
    )
    k: int = Field(2, ge=0, description="examples per passage")
    candidates: int = Field(
        128,
        ge=1,
        description="number of nearest passages that strategies other than none, nn and random select from",
    )
    threshold: float = Field(20.0, description="*_bm25: minimum BM25 score of an example")
    nn_share: float = Field(
        0.8, ge=0, le=1, description="mixed: share of passages that get nn, the others random"
    )
    relevance: float = Field(
        0.7,
        ge=0,
        le=1,
        description="mmr: weight of similarity to the passage; the rest is dissimilarity to the examples already selected",
    )
    same_document: bool = Field(
        True,
        description="whether passages of the same document may be examples, as in the paper; a query of later use comes from"
        " a new document, and false trains on such examples only",
    )
    pools: Annotated[tuple[PoolPath, ...], BeforeValidator(listed), Mark.BY_CONTENT] = Field(
        ("train",),
        description="where examples come from: train (this run's training passages), a gold file or folder, the name of a"
        " benchmark, or another run folder",
    )
    pool_size: int | None = Field(
        None, ge=1, description="examples may come from a sample of this many passages of each pool but train"
    )
    pool_seed: int = Field(42, ge=0, description="seed of that sample")
    embedder: Literal["bge", "sentence-transformers", "e5-mini", "openai"] = Field(
        "bge",
        description="bge (FlagEmbedding), sentence-transformers, e5-mini (bundled model, offline), openai (embeddings API)",
    )
    model_zh: ModelPath | None = Field(
        None,
        description="hub id, folder or API name for Chinese; default BAAI/bge-large-zh-v1.5, thenlper/gte-large-zh,"
        " text-embedding-3-small",
    )
    model_en: ModelPath | None = Field(None, description="the same for English")
    pooling: Literal["auto", "cls", "mean"] = Field(
        "auto",
        description="bge, sentence-transformers: what stands for a text; auto = as the model says, else cls",
    )
    query_instruction: str = Field(
        "",
        description="written before passages that look for examples, as some models want; passages found have none",
    )
    max_length: int = Field(
        512, ge=8, description="maximum number of tokens embedded per text; truncated texts are counted"
    )
    batch_size: Annotated[int, Mark.ONLY_HOW] = Field(64, ge=1, description="texts per embedding batch")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="numbers the model computes in; auto = bfloat16 where the device has it"
    )
    devices: Annotated[tuple[str, ...], BeforeValidator(listed), Mark.ONLY_HOW] = Field(
        (),
        description="devices that embed, for example [cuda:0, cuda:1]; default: all GPUs, else the CPU",
    )
    vectors: Literal["float32", "float16"] = Field(
        "float32",
        description="numbers of the kept vectors; float16 halves the file, cosines are then good to 3 decimals",
    )
    base_url: Url = Field(None, description="openai: endpoint of the embeddings; default llm.base_url")
    api_key_env: Annotated[KeyName | None, Mark.ONLY_HOW] = Field(
        None, description="openai: environment variable with its key; default llm.api_key_env"
    )
    index: Literal["auto", "exact", "ivf", "hnsw"] = Field(
        "auto",
        description="search: exact, or approximate with its recall measured; auto = exact up to exact_up_to",
    )
    exact_up_to: int = Field(
        200_000, ge=1, description="passages of a pool up to which auto searches exactly"
    )
    bm25: Literal["gensim", "lucene"] = Field(
        "gensim",
        description="BM25 formula: that of the paper's code, or Lucene's (on another scale: adjust threshold)",
    )
    stop_words: Annotated[StopWordsPath, Mark.BY_CONTENT] = Field(
        "shipped", description="stop words of BM25: shipped, none, or a file with one word per line"
    )

    def model(self, lang: Literal["zh", "en"]) -> str:
        """The embedding model of a language."""
        own = self.model_zh if lang == "zh" else self.model_en
        return own or MODELS[self.embedder][0 if lang == "zh" else 1]
