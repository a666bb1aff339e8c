"""The stage evaluate: models against gold, with and without retrieved examples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from sinoner import disk, resources
from sinoner.errors import InputError
from sinoner.measurements import Examples, ExampleUse, Score
from sinoner.records import Annotation, Lang, Prediction
from sinoner.retrieve.select import Entry
from sinoner.run.layout import ADAPTER, CONTAMINATION, DECONTAMINATED, PARTS, SHOWN, SUMMARY
from sinoner.run.preflight import mistakes
from sinoner.run.screen import Progress
from sinoner.run.stage import Options, Reads, Run, Stage
from sinoner.run.tally import Tally
from sinoner.settings import Recipe, RetrieveSettings
from sinoner.settings.itset_section import OBJECT_MODES, Mode
from sinoner.stages import pools as sources
from sinoner.stages import retrieve
from sinoner.stages.decontaminate import unchecked
from sinoner.stages.pools import OWN, Pools
from sinoner.stages.retrieve import entry, serve
from sinoner.stages.split import LANGS, parts_of

if TYPE_CHECKING:
    from sinoner.formats.gold_files import Gold

_SHOWN = 5  # types that a line names
NO_BENCHMARK = "no benchmark: give --benchmark PATH (a gold JSONL file or folder) or set evaluate.benchmarks"


def _gold_paths(run: Run) -> list[Path]:
    examples = [run.folder / DECONTAMINATED, run.folder / PARTS]
    paths = examples if any(run.recipe.evaluate.examples) else []
    if "tuned" in run.recipe.evaluate.models:
        paths.append(run.folder / ADAPTER)
    if (compared := run.folder / CONTAMINATION).exists():  # the summary says which benchmarks were compared
        paths.append(compared)
    if any(run.recipe.evaluate.examples):
        paths += sources.files(retrieval(run.recipe))
        paths += sources.test_files(run.recipe, retrieval(run.recipe))
    return paths + [p for b in run.recipe.evaluate.benchmarks if (p := Path(b)).exists()]


def _evaluate(run: Run, tally: Tally, progress: Progress) -> None:
    from sinoner.formats.benchmarks import load_gold

    settings = run.recipe.evaluate
    golds = [load_gold(b, cache=resources.cache_root()) for b in settings.benchmarks]
    names = [g.name for g in golds]
    if len(set(names)) < len(names):
        raise InputError(
            f"evaluate.benchmarks: two are called {max(names, key=names.count)!r}; rename a folder"
        )
    strangers = unchecked(run.folder, {g.name: g.digest for g in golds})
    if strangers:
        run.screen.say(
            f"evaluate: the training data was not compared with {', '.join(strangers)}: scores may be too good;"
            " name it in evaluate.benchmarks or filter.test_sets, build the data again and train on it"
        )
    samples = [_sample(g.annotations, settings.limit, run.recipe.seed) for g in golds]
    one = asking(run.recipe) in OBJECT_MODES
    per_setting = sum(len(s) * (1 if one else len(g.types)) for s, g in zip(samples, golds, strict=True))
    (run.folder / SHOWN).unlink(missing_ok=True)  # of other examples, or of none this time
    examples = _examples(run, golds, samples, progress) if any(settings.examples) else [{} for _ in samples]
    progress(
        per_setting * len(settings.models) * len(settings.examples), "", 0
    )  # no longer texts, but queries
    scores: list[Score] = []
    for model in settings.models:
        generator = _generator(run, model)
        for gold, sample, found in zip(golds, samples, examples, strict=True):
            for with_examples in settings.examples:
                shown = found if with_examples else {}
                scores.append(_score(run, tally, generator, model, with_examples, gold, sample, shown))
        del generator
    scores.sort(key=lambda s: (names.index(s.benchmark), s.model, s.examples))
    from sinoner.score.score_record import markdown

    details = {
        g.name: {"sha256": g.digest, "passages": len(s), "decontaminated": g.name not in strangers}
        for g, s in zip(golds, samples, strict=True)
    }
    rows = [s.model_dump(mode="json") for s in scores]
    disk.write_json(run.folder / SUMMARY, {"mode": asking(run.recipe), "benchmarks": details, "scores": rows})
    disk.write_text(run.folder / "eval/summary.md", markdown(scores))


def _sample(annotations: Sequence[Annotation], limit: int | None, seed: int) -> list[Annotation]:
    if limit is None or limit >= len(annotations):
        return list(annotations)
    chosen = sorted(Random(seed).sample(range(len(annotations)), limit))
    return [annotations[i] for i in chosen]


def _examples(
    run: Run, golds: Sequence[Gold], samples: Sequence[Sequence[Annotation]], progress: Progress
) -> list[dict[str, list[Annotation]]]:
    """The retrieved examples of every gold passage, from the pools, in its language; what they are is kept.

    All benchmarks of a language are looked up together, so that its pool is embedded once.
    """
    settings = retrieval(run.recipe)
    parts = parts_of(run)
    queries: dict[Lang, list[Entry]] = {lang: [] for lang in LANGS}
    asked: dict[Lang, list[tuple[int, str]]] = {lang: [] for lang in LANGS}  # benchmark and passage of each
    for n, (gold, sample) in enumerate(zip(golds, samples, strict=True)):
        for annotation in sample:  # the types asked are known; those of its entities are not
            passage = annotation.passage
            # Benchmarks may share ids of passages, and the random choices of a query depend on its own.
            queries[passage.lang].append(Entry(f"{n}/{passage.id}", passage.text, gold.types))
            asked[passage.lang].append((n, passage.id))
    found: dict[tuple[int, str], list[Annotation]] = {}
    told: list[ExampleUse] = []
    with Pools(run, parts, settings) as pools:
        own: dict[Lang, list[Entry]] = {lang: [] for lang in LANGS}
        for annotation in (pools[i] for i in parts.train) if OWN in settings.pools else ():
            if sources.serves(annotation, run.recipe.it_set):
                own[annotation.passage.lang].append(entry(annotation))
        for lang in filter(queries.get, LANGS):
            served = serve(
                run, lang, queries[lang], [*own[lang], *map(entry, pools.of(lang))], settings, progress
            )
            for query, x in zip(asked[lang], served.neighbours, strict=True):
                found[query] = [pools[i] for i in x.neighbours]
            for n, gold in enumerate(golds):
                if mine := [i for i, (benchmark, _) in enumerate(asked[lang]) if benchmark == n]:
                    told.append(served.use_of(gold.name, mine))
    if settings.strategy != "none":
        names = [g.name for g in golds]
        told.sort(key=lambda use: names.index(use.benchmark))
        disk.write_json(run.folder / SHOWN, Examples(languages=tuple(told)).model_dump(mode="json"))
    return [{a.passage.id: found[n, a.passage.id] for a in s} for n, s in enumerate(samples)]


def retrieval(recipe: Recipe) -> RetrieveSettings:
    """How examples are found when evaluating."""
    own = {"strategy": recipe.evaluate.strategy, "pools": recipe.evaluate.pools}
    return recipe.retrieve.model_copy(update={k: v for k, v in own.items() if v is not None})


def asking(recipe: Recipe) -> Mode:
    """How models are asked when evaluating: as they were trained, unless set otherwise."""
    return recipe.evaluate.mode or recipe.it_set.mode


def _generator(run: Run, model: str) -> Any:
    from sinoner import models
    from sinoner.generate.transformers_backend import LocalGenerator
    from sinoner.itset.predictions import answer_limit

    recipe = run.recipe
    if recipe.train.base is None:
        raise InputError(
            "train.base is not set: give --base MODEL, the model to score before and after tuning"
        )
    adapter = run.folder / ADAPTER if model == "tuned" else None
    loaded, tokenizer = models.load(
        recipe.train.base,
        adapter=adapter,
        dtype_name=recipe.train.dtype,
        device_name=recipe.train.device,
        setting="train.base",
    )
    return LocalGenerator(
        loaded,
        tokenizer,
        batch_size=recipe.evaluate.batch_size,
        max_new_tokens=answer_limit(asking(recipe), recipe.evaluate.max_new_tokens),
    )


def _score(
    run: Run,
    tally: Tally,
    generator: Any,
    model: str,
    with_examples: bool,
    gold: Any,
    sample: Sequence[Annotation],
    examples: dict[str, list[Annotation]],
) -> Score:
    from sinoner.itset.predictions import predictions
    from sinoner.itset.render import query_conversations
    from sinoner.score.score_record import score

    style, mode = run.recipe.it_set.style, asking(run.recipe)
    queries = [
        query
        for a in sample
        for query in query_conversations(a.passage, gold.types, examples.get(a.passage.id, []), style, mode)
    ]
    predicted: dict[tuple[str, str], Prediction] = {}
    not_asked: Counter[str] = Counter()
    for query, raw in zip(queries, generator(queries), strict=True):
        found = predictions(query, raw, mode)
        predicted.update(((p.passage, p.type), p) for p in found.predictions)
        not_asked.update(found.not_asked)
        tally.take("query")
        tally.give("query")
    setting = f"{model}-{'examples' if with_examples else 'plain'}"
    _left_out(run, tally, f"{gold.name}, {setting}", not_asked)
    folder = run.folder / "eval" / gold.name / setting
    disk.write_records(folder / "predictions.jsonl", predicted.values())
    result = score(
        sample,
        gold.types,
        predicted,
        benchmark=gold.name,
        model=model,
        examples=with_examples,
        resamples=run.recipe.evaluate.bootstrap,
        seed=run.recipe.seed,
    )
    disk.write_json(folder / "scores.json", result.model_dump(mode="json"))
    return result


def _left_out(run: Run, tally: Tally, where: str, not_asked: Counter[str]) -> None:
    """Tell which types were named that the benchmark does not have; their mentions are not scored."""
    if not not_asked:
        return
    tally.make("answered_type_not_asked", not_asked.total())
    shown = sorted(not_asked.items(), key=lambda x: (-x[1], x[0]))[:_SHOWN]
    more = ", …" if len(not_asked) > _SHOWN else ""
    run.screen.say(
        f"evaluate: {where}: answers name types that were not requested; these are excluded from the scores:"
        f" {', '.join(f'{kind} {n}' for kind, n in shown)}{more}"
    )


def scores(folder: Path) -> tuple[Score, ...]:
    """The scores of a run, if it was evaluated."""
    path = folder / SUMMARY
    if not path.exists():
        return ()
    return tuple(Score.model_validate(s) for s in json.loads(path.read_text(encoding="utf-8"))["scores"])


def _reads(recipe: Recipe) -> Reads:
    own = recipe.model_copy(update={"retrieve": retrieval(recipe)})
    shown = retrieve.reads(own) if any(recipe.evaluate.examples) else ()
    return ("evaluate", "train.base", "train.dtype", "it_set.style", "it_set.mode", "seed", *shown)


def _preflight(recipe: Recipe, options: Options) -> Iterator[str]:
    from sinoner.formats.benchmarks import load_gold

    if recipe.evaluate.benchmarks and any(recipe.evaluate.examples):
        yield from retrieve.preflight(recipe, retrieval(recipe))
    cache = resources.cache_root()
    yield from mistakes(*(partial(load_gold, b, cache=cache) for b in recipe.evaluate.benchmarks))


EVALUATE = Stage(
    name="evaluate",
    version=1,
    reads=_reads,
    inputs=_gold_paths,
    outputs=(SUMMARY, SHOWN),
    work=_evaluate,
    after="finetune",
    wanted=lambda recipe: bool(recipe.evaluate.benchmarks),
    required=NO_BENCHMARK,
    preflight=_preflight,
)
