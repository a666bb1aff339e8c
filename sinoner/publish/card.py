"""Cards of the published data set and model: YAML front matter for the Hub, and a Markdown body.

Foreign text is escaped before it enters the Markdown; of a path on this machine only the last part is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from sinoner.measurements import Score
from sinoner.publish import markdown as md
from sinoner.records import Annotator, Facts, Lang

PAPER = "https://arxiv.org/abs/2406.17305"
PAPER_TITLE = "Retrieval Augmented Instruction Tuning for Open NER with Large Language Models"
ANNOTATIONS = "annotations"  # the second config of a data set, and its folder
ANNOTATIONS_SPLIT = "full"  # its only split; contains the passages of every split, so it is not called train

_TAGS = ("named-entity-recognition", "open-ner", "instruction-tuning")
_LANGUAGES = {"zh": ("Chinese", "中文"), "en": ("English", "英文")}
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
          (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**12, "1B<n<1T"))  # fmt: skip


class CardFacts(Facts):
    """The facts on the cards.

    Attributes:
        name: title of the data set or model.
        languages: languages of the passages.
        licence: licence of the data set or model, as an identifier of the Hub.
        annotators: the annotators, those with most annotations first.
        counts: conversations per split.
        passages: annotated passages.
        entities: entities in these passages.
        types: number of distinct types.
        top_types: the most frequent types with their number of entities, in order.
        style: style of the conversations.
        prompt: construction prompt; None unless an LLM annotated.
        seed: seed of every random choice.
        sources: origins of the passages.
        base_model: model that was fine-tuned.
        lora: fine-tuning settings.
        scores: scores of the models, in order.
        version: version of sinoner.
        with_annotations: whether the data set includes the annotations as a second config.
    """

    name: str
    languages: tuple[Lang, ...]
    licence: str
    annotators: tuple[Annotator, ...]
    counts: Mapping[str, int]
    passages: int
    entities: int
    types: int
    top_types: tuple[tuple[str, int], ...]
    style: str
    prompt: str | None
    seed: int
    sources: tuple[str, ...]
    base_model: str | None
    lora: Mapping[str, str | int | float | bool | None]
    scores: tuple[Score, ...]
    version: str
    with_annotations: bool = True


def dataset_card(facts: CardFacts, repo: str | None = None) -> str:
    """Render the card of the data set.

    Args:
        facts: the facts to render.
        repo: Hub repository for the loading code; a placeholder when None.

    Returns:
        Markdown with YAML front matter. Its configs name the splits that have conversations, and the
        annotations if any.
    """
    total = sum(facts.counts.values())
    body = [
        f"# {md.text(md.public(facts.name))}",
        f"Instruction-tuning data for open named entity recognition in {_languages(facts, 0)}: {total:,} conversations "
        f"made from {facts.passages:,} passages with {facts.entities:,} entities of {facts.types:,} types. "
        "A conversation shows a passage and asks for its entities, one type after another; "
        "the answer to a type that does not occur is an empty list.",
        "## How it was made",
        _how(facts),
        "## Contents",
        md.table(("Split", "Conversations"), ((md.text(k), f"{n:,}") for k, n in facts.counts.items())),
        _types(facts),
        _columns(facts),
        "## Scores",
        _scores(facts.scores, "Models that were fine-tuned on this data, and their base models."),
        "## Limits",
        md.bullets(_limits(facts)),
        "## Loading",
        _dataset_code(facts, md.repo_id(repo) or "OWNER/NAME"),
        "## Credit",
        _credit(facts),
        "## 中文说明",
        f"本数据集用于开放命名实体识别的指令微调（{_languages(facts, 1)}），共 {total:,} 条对话，"
        f"来自 {facts.passages:,} 个段落，含 {facts.entities:,} 个实体、{facts.types:,} 种类型。{_labels_zh(facts)}"
        f"方法出自 RA-IT（[arXiv 2406.17305]({PAPER})）。",
    ]
    return _front(_dataset_meta(facts, total)) + "\n\n".join(part for part in body if part) + "\n"


def model_card(facts: CardFacts, dataset_repo: str | None, repo: str | None = None) -> str:
    """Render the card of the model (a LoRA adapter).

    Args:
        facts: the facts to render.
        dataset_repo: Hub repository of the training data, if it is published.
        repo: Hub repository of the model for the loading code; a placeholder when None.

    Returns:
        Markdown with YAML front matter, the scores of the tuned model as ``model-index``.
    """
    base = md.code(facts.base_model) if facts.base_model else "an unnamed base model"
    data = md.repo_id(dataset_repo)
    train = facts.counts.get("train", 0)
    tuned_on = f" Data: [{md.text(data)}](https://huggingface.co/datasets/{data})." if data else ""
    body = [
        f"# {md.text(md.public(facts.name))}",
        f"A LoRA adapter for {base} that finds the entities of any named type in {_languages(facts, 0)} text.",
        "## How it was made",
        f"Fine-tuned on {train:,} conversations that were made from {facts.passages:,} passages with "
        f"{facts.entities:,} entities of {facts.types:,} types.{tuned_on}",
        _how(facts),
        md.table(
            ("Setting", "Value"), ((md.text(k), md.text(md.public(str(v)))) for k, v in facts.lora.items())
        )
        if facts.lora
        else "",
        "## Scores",
        _scores(facts.scores, "The base model and the fine-tuned one, if both were scored."),
        "## Limits",
        md.bullets((*_limits(facts), "The licence of the base model applies as well.")),
        "## Loading",
        _model_code(facts, md.repo_id(repo) or "OWNER/NAME", data or "OWNER/DATASET"),
        "## Credit",
        _credit(facts),
        "## 中文说明",
        f"本模型是 {base} 的 LoRA 适配器，用于开放命名实体识别（{_languages(facts, 1)}），"
        f"在 {train:,} 条对话上微调。{_labels_zh(facts)}方法出自 RA-IT（[arXiv 2406.17305]({PAPER})）。",
    ]
    return _front(_model_meta(facts, data)) + "\n\n".join(part for part in body if part) + "\n"


def _front(meta: Mapping[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(dict(meta), allow_unicode=True, sort_keys=False, width=10**6)}---\n\n"


def _dataset_meta(facts: CardFacts, total: int) -> dict[str, Any]:
    splits = [{"split": k, "path": f"data/{k}-*"} for k, n in facts.counts.items() if n > 0]
    configs: list[dict[str, Any]] = [{"config_name": "default", "data_files": splits}] if splits else []
    if facts.with_annotations and facts.passages > 0:
        files = [{"split": ANNOTATIONS_SPLIT, "path": f"{ANNOTATIONS}/{ANNOTATIONS_SPLIT}-*"}]
        configs.append({"config_name": ANNOTATIONS, "data_files": files})
    creators = {"other" if by.source == "human" else "machine-generated" for by in facts.annotators}
    return {
        **_common_meta(facts),
        "pretty_name": md.public(facts.name),
        "annotations_creators": sorted(creators) or ["no-annotation"],
        "size_categories": [next((name for limit, name in _SIZES if total < limit), "n>1T")],
        "task_categories": ["token-classification", "text-generation"],
        "tags": [*_TAGS, "sinoner"],
        "configs": configs,
    }


def _model_meta(facts: CardFacts, dataset_repo: str | None) -> dict[str, Any]:
    meta = _common_meta(facts)
    if base := md.repo_id(facts.base_model):
        meta["base_model"] = base
    if dataset_repo:
        meta["datasets"] = [dataset_repo]
    meta |= {"library_name": "peft", "pipeline_tag": "text-generation", "tags": [*_TAGS, "lora", "sinoner"]}
    results = [_result(score) for score in facts.scores if score.model != "base"]
    if results:
        meta["model-index"] = [{"name": md.public(facts.name), "results": results}]
    return meta


def _common_meta(facts: CardFacts) -> dict[str, Any]:
    return {"language": list(facts.languages), "license": md.flat(facts.licence)}


def _result(score: Score) -> dict[str, Any]:
    name = md.public(score.benchmark)
    values = {
        "micro-F1 (%)": ("f1", score.f1),
        "micro-precision (%)": ("precision", score.precision),
        "micro-recall (%)": ("recall", score.recall),
        "strict span micro-F1 (%)": ("f1", score.strict_f1),
        "strict span micro-precision (%)": ("precision", score.strict_precision),
        "strict span micro-recall (%)": ("recall", score.strict_recall),
    }
    return {
        "task": {"type": "token-classification", "name": "Open named entity recognition"},
        "dataset": {
            "type": name,
            "name": name,
            "config": f"{score.lang}, {'with' if score.examples else 'without'} examples",
            "split": "test",
        },
        "metrics": [{"type": kind, "name": title, "value": value} for title, (kind, value) in values.items()],
    }


def _how(facts: CardFacts) -> str:
    points = (
        [f"Passages: {md.listed([md.text(md.public(s)) for s in facts.sources])}."] if facts.sources else []
    )
    points.append(_labels(facts))
    if facts.prompt:
        points.append(f"Construction prompt: {md.code(facts.prompt)}.")
    points.append(
        f"Conversations: style {md.code(facts.style)}, seed {facts.seed}; training and validation data were separated "
        "before any example was retrieved."
    )
    points.append(f"Tool: sinoner {md.text(facts.version)}.")
    return md.bullets(points)


def _labels(facts: CardFacts) -> str:
    machines = [_annotator(a) for a in facts.annotators if a.source != "human"]
    if not machines:
        by_hand = "Labels: human annotations (`human`) from the corpus."
        return by_hand if facts.annotators else "Labels: none are recorded."
    tail = "; they were not checked individually."
    if any(a.source == "human" for a in facts.annotators):
        tail = "; only the passages marked `human` have human annotations, from the corpus."
    return f"Labels: produced by {md.listed(machines)}, not by humans{tail}"


def _annotator(by: Annotator) -> str:
    llm = f"the language model {md.code(by.model)} (prompt {md.code(by.asked_with)})"
    return llm if by.source == "llm" else md.code(by.label)


def _labels_zh(facts: CardFacts) -> str:
    machines = [_annotator_zh(a) for a in facts.annotators if a.source != "human"]
    if not machines:
        return "标注为人工标注。" if facts.annotators else ""
    people = (
        "，只有标为 `human` 的段落是人工标注" if any(a.source == "human" for a in facts.annotators) else ""
    )
    return f"标注由 {'、'.join(machines)} 自动产生，并非人工标注{people}。"


def _annotator_zh(by: Annotator) -> str:
    return f"语言模型 {md.code(by.model)}" if by.source == "llm" else md.code(by.label)


def _types(facts: CardFacts) -> str:
    if not facts.top_types:
        return ""
    rows = ((md.text(kind), f"{n:,}") for kind, n in facts.top_types)
    return f"The most frequent of {facts.types:,} types:\n\n" + md.table(("Type", "Entities"), rows)


def _columns(facts: CardFacts) -> str:
    text = (
        "Columns: `id`; `messages` (a list of `role` and `content`); `passage`, the id of the passage; "
        "`types`, the types asked about; `examples`, the ids of the passages shown as examples."
    )
    if not (facts.with_annotations and facts.passages > 0):
        return text
    return (
        f"{text} The config `{ANNOTATIONS}` contains the labelled passages of all splits: `id`, `text`, `lang`, "
        "`entities` (a list of `text`, `type`, `start`, `end`; offsets count Unicode code points, "
        "`end` is exclusive) and `by`, the annotator."
    )


def _scores(scores: Sequence[Score], lead: str) -> str:
    if not scores:
        return "Not evaluated."
    head = ("Benchmark", "Language", "Model", "Examples", "Passages", "Queries", "Unparsed", "P", "R", "F1", "F1 95 %",
            "Strict P", "Strict R", "Strict F1")  # fmt: skip
    rows = (
        (
            md.text(md.public(s.benchmark)), md.text(s.lang), md.text(md.public(s.model)), "yes" if s.examples else "no",
            f"{s.passages:,}", f"{s.queries:,}", f"{s.unparsed:,}",
            f"{s.precision:.2f}", f"{s.recall:.2f}", f"{s.f1:.2f}",
            "–" if s.low is None or s.high is None else f"{s.low:.2f} – {s.high:.2f}",
            f"{s.strict_precision:.2f}", f"{s.strict_recall:.2f}", f"{s.strict_f1:.2f}",
        )
        for s in scores
    )  # fmt: skip
    note = (
        "In percent, micro-averaged over all (passage, type) queries. P, R and F1 compare normalised strings per query "
        "(the metric of UniversalNER); the strict ones compare spans with exact offsets, without normalisation."
    )
    return f"{lead} {note}\n\n{md.table(head, rows)}"


def _limits(facts: CardFacts) -> tuple[str, ...]:
    machine = any(a.source != "human" for a in facts.annotators)
    labels = "Automatic labels miss entities and have wrong boundaries and types; models learn these errors."
    return (
        *((labels,) if machine else ()),
        "When an annotator returns no offsets, every occurrence of a mention in its passage is labelled.",
        "Types are free text: two names may have the same meaning, and one name may have several.",
        "The rights in the texts remain with their sources. Do not use this to make decisions about people.",
    )


def _credit(facts: CardFacts) -> str:
    return (
        f"The method is RA-IT: *{PAPER_TITLE}*, [arXiv 2406.17305]({PAPER}). "
        f"This was made independently with sinoner {md.text(facts.version)}; it is not a release by the authors of the paper."
    )


def _dataset_code(facts: CardFacts, repo: str) -> str:
    lines = ["```python", "from datasets import load_dataset", ""]
    if any(facts.counts.values()):
        lines.append(f'conversations = load_dataset("{repo}")')
    if facts.with_annotations and facts.passages > 0:
        lines.append(f'annotations = load_dataset("{repo}", "{ANNOTATIONS}", split="{ANNOTATIONS_SPLIT}")')
    return "\n".join([*lines, "```"])


def _model_code(facts: CardFacts, repo: str, dataset: str) -> str:
    split = "validation" if facts.counts.get("validation") else "train"
    return f"""```python
from datasets import load_dataset
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("{repo}")
tokenizer = AutoTokenizer.from_pretrained("{repo}")

# the turns of a conversation up to its last question; write your own in the same form
messages = load_dataset("{dataset}", split="{split}")[0]["messages"][:-1]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
answer = model.generate(**inputs, max_new_tokens=1024, do_sample=False)
print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
```"""


def _languages(facts: CardFacts, which: int) -> str:
    names = [_LANGUAGES[lang][which] for lang in facts.languages]
    return ("、" if which else " and ").join(names) or ("未注明语言" if which else "an unnamed language")
