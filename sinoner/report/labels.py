"""Labels of the report, in English and Chinese, for the fixed keys in records and manifests."""

from __future__ import annotations

STAGES: dict[str, tuple[str, str]] = {
    "read": ("Read", "读取"),
    "corpus": ("Read", "读取"),
    "chunk": ("Chunk", "切分"),
    "annotate": ("Annotate", "标注"),
    "filter": ("Filter", "过滤"),
    "gold": ("Compare with gold", "与标准标注对比"),
    "verify": ("Verify", "核验"),
    "decontaminate": ("Decontaminate", "去除测试集污染"),
    "split": ("Split", "划分"),
    "retrieve": ("Retrieve examples", "检索示例"),
    "build-it-set": ("Build conversations", "构建对话"),
    "finetune": ("Fine-tune", "微调"),
    "evaluate": ("Evaluate", "评测"),
    "convert": ("Convert", "转换"),
    "publish": ("Publish", "发布"),
    "report": ("Report", "报告"),
}
# What remains after a stage, as shown in the funnel.
LEFT: dict[str, tuple[str, str]] = {
    "chunk": ("cut from the documents", "由文档切分而来"),
    "annotate": ("answered by the annotator", "得到标注结果"),
    "filter": ("kept by the rules", "规则过滤后保留"),
    "gold": ("compared, nothing dropped", "仅作对比，不剔除"),
    "verify": ("confirmed by the judge model", "模型核验后保留"),
    "decontaminate": ("no overlap with a test set", "与测试集没有重合文本"),
    "build-it-set": ("used for training and validation", "用于训练和验证"),
}
UNITS: dict[str, tuple[str, str]] = {
    "line": ("lines", "行"),
    "document": ("documents", "文档"),
    "passage": ("passages", "段落"),
    "entity": ("entities", "实体"),
    "occurrence": ("occurrences", "出现处"),
    "conversation": ("conversations", "对话"),
    "query": ("queries", "查询"),
}
NOTES: dict[str, tuple[str, str]] = {
    "unchanged, skipped": ("unchanged, skipped", "未变化，已跳过"),
    "skipped": ("skipped", "已跳过"),
    "dry run": ("dry run", "试运行，未上传"),
}
LANGUAGES: dict[str, tuple[str, str]] = {"zh": ("Chinese", "中文"), "en": ("English", "英文")}
MODELS: dict[str, tuple[str, str]] = {"base": ("base", "基座"), "tuned": ("tuned", "微调")}
LAYERS: dict[str, tuple[str, str]] = {
    "annotations": ("as annotated", "原始标注"),
    "filtered": ("after filtering", "过滤后"),
    "verified": ("after verification", "核验后"),
}
SCHEMES: dict[str, tuple[str, str]] = {
    "strict": ("strict: same span, same type", "严格：位置与类型都相同"),
    "span": ("span: same span, any type", "位置：位置相同，不计类型"),
    "type": ("type: overlap, same type", "类型：有重叠且类型相同"),
    "relaxed": ("relaxed: overlap; a partial match counts half", "宽松：有重叠，部分重叠计一半"),
}
SCHEMES_SHORT: dict[str, tuple[str, str]] = {
    "strict": ("strict", "严格"),
    "span": ("span", "位置"),
    "type": ("type", "类型"),
    "relaxed": ("relaxed", "宽松"),
}
# Measurements a run may lack, by their key in the report's data, and what produces them.
UNMEASURED: dict[str, tuple[str, str]] = {
    "shape": ("lengths and density", "长度与密度"),
    "agreement": (
        "agreement (annotate with several models or samples, then run sinoner agreement)",
        "一致性（使用多个模型或多次采样，再运行 sinoner agreement）",
    ),
    "gold": ("scores against gold (filter.gold)", "与标准标注的对比（filter.gold）"),
    "decontamination": (
        "overlap with test sets (filter.decontaminate)",
        "与测试集的重合（filter.decontaminate）",
    ),
}
# The histograms: heading and axis label.
SHAPE: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "lengths": (("Passage length", "段落长度"), ("characters", "字符")),
    "mention_lengths": (("Mention length", "提及长度"), ("characters", "字符")),
    "entities": (("Entities per passage", "每段实体数"), ("entities", "实体")),
    "densities": (("Density", "实体密度"), ("entities per 100 characters", "每 100 个字符的实体数")),
}
# The histograms of examples: heading and axis label.
EXAMPLES: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "cosines": (
        ("Similarity of examples", "示例的相似程度"),
        ("cosine similarity of passage and example", "段落与示例的余弦相似度"),
    ),
    "scores": (
        ("BM25 scores of examples", "示例的 BM25 得分"),
        ("BM25 score of passage and example", "段落与示例的 BM25 得分"),
    ),
    "uses": (
        ("Pool usage", "示例池的使用"),
        ("times a passage is used as an example", "一个段落用作示例的次数"),
    ),
}
STRATEGIES: dict[str, tuple[str, str]] = {
    "random": ("uniformly at random", "随机"),
    "nn": ("nearest neighbours", "最近的"),
    "mixed": ("nearest neighbours for some passages, random for the others", "一部分取最近的，其余随机"),
    "nn_bm25": ("nearest neighbours above a BM25 threshold", "最近且 BM25 得分达到阈值的"),
    "diverse_nn": ("random among the nearest", "从最近的之中随机"),
    "diverse_nn_bm25": (
        "random among the nearest, above a BM25 threshold",
        "从最近的之中随机，且 BM25 得分达到阈值",
    ),
    "diverse_nn_bm25_rank": ("highest BM25 scores among the nearest", "最近的之中 BM25 得分最高的"),
    "mmr": ("similar to the passage, dissimilar to each other", "与段落相近而彼此不同的"),
    "type_aware": ("covering the most types", "覆盖类型最多的"),
    "hybrid": ("highest combined rank by similarity and BM25", "综合相似度与 BM25 排名最高的"),
}
# What a rule does when it changes something instead of dropping it.
CHANGES: dict[str, tuple[str, str]] = {
    "strip_brackets": ("Brackets around a mention were removed.", "去掉了提及两端的括号。"),
    "types": ("A type was merged into its canonical name.", "类型并入了规范名称。"),
    "overlap": ("Occurrences that overlap other mentions were removed.", "去掉了与其他提及重叠的出现位置。"),
    "personal_data": (
        "A passage that was kept contains personal data (masked if filter.personal is set to mask).",
        "保留的段落中含有个人信息（filter.personal 设为 mask 时打码）。",
    ),
}
ROLES: dict[str, tuple[str, str]] = {
    "system": ("system", "系统"),
    "user": ("user", "用户"),
    "assistant": ("assistant", "助手"),
}
REASONS: dict[str, tuple[str, str]] = {
    "not_json": ("The line is not valid JSON.", "这一行不是合法的 JSON。"),
    "not_an_object": ("The line is JSON, but not an object.", "这一行是 JSON，但不是对象。"),
    "not_csv": ("The row is not valid CSV.", "这一行不是合法的 CSV。"),
    "no_text": ("The record has no text.", "记录没有文本。"),
    "empty_text": ("The text is empty or contains only white space.", "文本为空或只有空白。"),
    "line_too_long": ("The line is longer than the limit.", "这一行超过长度上限。"),
    "invalid_utf8": ("The bytes are not valid UTF-8.", "字节不是合法的 UTF-8。"),
    "invalid_encoding": ("The bytes are not valid in the given encoding.", "字节与所用编码不符。"),
    "nul_byte": ("The text contains a NUL byte.", "文本中有 NUL 字节。"),
    "invalid_unicode": ("The text contains an unpaired surrogate.", "文本中有不成对的代理字符。"),
    "text_not_string": ("The text is not a string.", "文本不是字符串。"),
    "entity_malformed": ("An entity in the record is malformed.", "记录中的实体格式有误。"),
    "entity_mismatch": (
        "The text at an entity's offsets differs from its surface.",
        "实体偏移量处的文本与实体不一致。",
    ),
    "entity_without_offsets": ("An entity has no offsets.", "实体没有偏移量。"),
    "unbalanced_markup": ("A markup bracket is not closed.", "标注括号没有闭合。"),
    "cut_through": ("A passage ends in the middle of the mention.", "段落边界正好切断了这个提及。"),
    "bad_json": ("The line is not a JSON object.", "这一行不是 JSON 对象。"),
    "bad_row": ("The row is not a JSON object.", "这一条不是 JSON 对象。"),
    "bad_line": ("A line is not a token followed by its tag.", "有一行不是“词元＋标签”。"),
    "bad_tag": ("A tag does not follow any known tagging scheme.", "有标签不符合已知的标注体系。"),
    "bad_lang": ("The language is neither zh nor en.", "语言既不是 zh 也不是 en。"),
    "not_in_text": ("The mention does not occur in the text.", "文本中没有这个提及。"),
    "no_id": ("The row has no id.", "这一条没有编号。"),
    "no_labels": ("The passage has no annotation.", "段落没有标注。"),
    "duplicate_id": ("The id occurs more than once.", "编号重复。"),
    "unknown_type": ("The labels define no type name for the tag.", "标签没有对应的类型名称。"),
    "language_not_supported": ("The annotator does not support this language.", "标注器不支持这种语言。"),
    "empty_answer": ("The model returned an empty answer.", "模型返回了空的回答。"),
    "unparsed": ("The model's answer could not be parsed as a list.", "模型的回答无法解析为列表。"),
    "truncated": ("The answer was truncated.", "回答没有结束就被截断。"),
    "not_in_passage": ("The mention does not occur in the passage.", "段落中没有这个提及。"),
    "ambiguous_mention": (
        "The passage contains several spellings of the mention, none of them exactly as given.",
        "段落中这个提及有多种写法，但没有一种与所给的完全相同。",
    ),
    "no_type": ("The mention has no type.", "提及没有类型。"),
    "repeated": ("The answer lists the same mention twice.", "回答重复给出了同一个提及。"),
    "context_length": ("The request exceeds the model's context length.", "请求超过模型的上下文长度。"),
    "content_filter": ("The provider's content filter blocked it.", "被服务商的内容过滤拦截。"),
    "bad_request": ("The endpoint rejected the request.", "接口拒绝了请求。"),
    "rate_limit": ("Every attempt was rate-limited by the endpoint.", "每次尝试都被接口限流。"),
    "transient": ("The endpoint failed on every attempt.", "每次尝试接口都出错。"),
    "timeout": ("Every attempt timed out.", "每次尝试都超时。"),
    "refused": ("The model refused to answer.", "模型拒绝回答。"),
    "unreachable": ("The endpoint could not be reached.", "无法连接到接口。"),
    "not_asked": ("Not sent to the model yet.", "尚未向模型提问。"),
    "type_not_listed": ("The type is not in the list of types.", "类型不在给定的类型列表中。"),
    "few_votes": ("Too few samples contain the mention.", "给出这个提及的回答太少。"),
    "strip": ("The mention is empty after stripping.", "去除首尾符号后提及没有内容。"),
    "empty_mention": ("The mention is empty after removing its brackets.", "去掉括号后提及没有内容。"),
    "duplicate": ("It repeats an earlier item.", "与已有内容重复。"),
    "too_long": ("The mention is longer than the limit.", "提及超过长度上限。"),
    "stop_type": (
        "The type carries no information (for example “entity” or “other”).",
        "类型没有信息量（如“实体”“其他”）。",
    ),
    "too_short": ("The passage has too few characters.", "段落的字符太少。"),
    "wrong_language": ("The text is not in the declared language.", "文本不是所标明的语言。"),
    "garbled": ("Broken encoding, or hardly any letters.", "编码损坏，或几乎没有文字。"),
    "boilerplate": ("Mostly boilerplate (notices, links).", "大部分是网页套话（声明、链接）。"),
    "refusal": ("A language model's refusal to answer.", "语言模型拒绝回答的文本。"),
    "personal_data": ("It contains personal data.", "含有个人信息。"),
    "duplicate_passage": ("The same text occurs earlier in the corpus.", "相同的文本前面已经出现。"),
    "near_duplicate": ("Nearly the same text occurs earlier in the corpus.", "几乎相同的文本前面已经出现。"),
    "generic_type": ("The type is too generic.", "类型过于宽泛。"),
    "sentence_type": ("The type is a sentence, not a name.", "类型是句子而不是名称。"),
    "number": ("Digits only, but the type is not numeric.", "只有数字，而类型不是数值类。"),
    "pronoun": ("The mention is a pronoun.", "提及是代词。"),
    "cut_word": ("The mention ends inside a word.", "提及在词的中间结束。"),
    "overlap": ("It overlaps a mention that takes precedence.", "与优先保留的提及重叠。"),
    "judged_wrong": ("The judge model says it is not an entity.", "核验模型认为这不是一个实体。"),
    "not_in_run": ("The gold text is not part of the run.", "标准标注的文本不在本次运行中。"),
    "not_annotated": (
        "The gold text is part of the run, but has no annotations.",
        "标准标注的文本在本次运行中，但没有标注结果。",
    ),
    "shared_ngram": ("It shares a long n-gram with a test set.", "与测试集有一长段相同的文本。"),
    "near_test": ("It is nearly the same as a test passage.", "与测试集中的段落几乎相同。"),
    "no_entities": ("The passage has no entities left.", "段落中没有剩下实体。"),
    "no_types": ("There is no type to ask about.", "没有可供提问的类型。"),
    "too_many_tokens": (
        "Not even one query fits within the token limit.",
        "词元（token）上限之内连一次查询也放不下。",
    ),
    "queries_dropped": (
        "Some queries were dropped to stay within the token limit.",
        "为满足词元上限略去了部分查询。",
    ),
}


# How to read Krippendorff's alpha: the customary limits of K. Krippendorff, Content Analysis, 2nd ed. 2004, p. 241.
ALPHA: tuple[tuple[float, tuple[str, str]], ...] = (
    (0.8, ("reliable", "可靠")),
    (0.667, ("sufficient for tentative conclusions only", "只够得出初步结论")),
    (float("-inf"), ("too low to rely on", "过低，不宜依赖")),
)


def alpha(value: float) -> tuple[str, str]:
    """Return the interpretation of a value of Krippendorff's alpha."""
    return next(label for limit, label in ALPHA if value >= limit)


def reason(word: str) -> tuple[str, str] | None:
    """Return the description of a reason, or None if there is none; all ``strip_…`` reasons share one."""
    return REASONS.get(word) or (REASONS["strip"] if word.startswith("strip_") else None)


def stage(name: str) -> tuple[str, str]:
    """Return the label of a stage, in English and Chinese; an unknown name is its own label."""
    return STAGES.get(name.replace("_", "-"), (name, name))
