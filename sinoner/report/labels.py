"""The report's plain words, English and Chinese, for the fixed words that records and manifests carry."""

from __future__ import annotations

STAGES: dict[str, tuple[str, str]] = {
    "read": ("Read", "读取"),
    "corpus": ("Read", "读取"),
    "chunk": ("Chunk", "分段"),
    "annotate": ("Annotate", "标注"),
    "filter": ("Filter", "过滤"),
    "gold": ("Compare with gold", "与标准标注对比"),
    "verify": ("Verify", "核验"),
    "decontaminate": ("Decontaminate", "去除测试集污染"),
    "retrieve": ("Retrieve examples", "检索示例"),
    "build-it-set": ("Build conversations", "构建对话"),
    "finetune": ("Fine-tune", "微调"),
    "evaluate": ("Evaluate", "评测"),
    "convert": ("Convert", "转换"),
    "publish": ("Publish", "发布"),
    "report": ("Report", "报告"),
}
# What is left after a stage, as the funnel says it.
LEFT: dict[str, tuple[str, str]] = {
    "chunk": ("cut from the documents", "由文档切分而来"),
    "annotate": ("with an answer of the annotator", "得到标注结果"),
    "filter": ("left by the rules", "规则过滤后保留"),
    "gold": ("compared, nothing dropped", "仅作对比，不剔除"),
    "verify": ("upheld by the judge", "模型核验后保留"),
    "decontaminate": ("that share no text with a test set", "与测试集没有重合文本"),
    "build-it-set": ("chosen for training and validation", "用于训练和验证"),
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
    "filtered": ("after the filter", "过滤后"),
    "verified": ("after the judge", "核验后"),
}
SCHEMES: dict[str, tuple[str, str]] = {
    "strict": ("strict: same span, same type", "严格：位置与类型都相同"),
    "span": ("span: same span, any type", "位置：位置相同，不计类型"),
    "type": ("type: overlap, same type", "类型：有重叠且类型相同"),
    "relaxed": ("relaxed: overlap, half counts", "宽松：有重叠，部分重叠计一半"),
}
SCHEMES_SHORT: dict[str, tuple[str, str]] = {
    "strict": ("strict", "严格"),
    "span": ("span", "位置"),
    "type": ("type", "类型"),
    "relaxed": ("relaxed", "宽松"),
}
# What a run may lack, by its name in the report's data, and what makes it.
UNMEASURED: dict[str, tuple[str, str]] = {
    "shape": ("lengths and density", "长度与密度"),
    "agreement": (
        "agreement (several models or samples of one, then sinoner agreement)",
        "一致性（使用多个模型或多次采样，再运行 sinoner agreement）",
    ),
    "gold": ("scores against gold (filter.gold)", "与标准标注的对比（filter.gold）"),
    "decontamination": (
        "overlap with test sets (filter.decontaminate)",
        "与测试集的重合（filter.decontaminate）",
    ),
}
# The histograms: heading, and what stands under the axis.
SHAPE: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "lengths": (("Passage length", "段落长度"), ("characters", "字符")),
    "mention_lengths": (("Mention length", "提及长度"), ("characters", "字符")),
    "entities": (("Entities per passage", "每段实体数"), ("entities", "实体")),
    "densities": (("Density", "实体密度"), ("entities per 100 characters", "每 100 个字符的实体数")),
}
# The histograms of examples: heading, and what stands under the axis.
EXAMPLES: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "cosines": (
        ("Nearness of examples", "示例的相近程度"),
        ("cosine of passage and example", "段落与示例的余弦值"),
    ),
    "scores": (
        ("BM25 of examples", "示例的 BM25"),
        ("BM25 score of passage and example", "段落与示例的 BM25 得分"),
    ),
    "uses": (
        ("Use of the pool", "池中段落的使用"),
        ("times a passage is an example", "一个段落当示例的次数"),
    ),
}
STRATEGIES: dict[str, tuple[str, str]] = {
    "random": ("at random", "随机"),
    "nn": ("the nearest", "最近的"),
    "mixed": ("the nearest for some, at random for the others", "一部分取最近的，其余随机"),
    "nn_bm25": ("the nearest above a BM25 score", "最近且 BM25 得分达到阈值的"),
    "diverse_nn": ("at random among the nearest", "从最近的之中随机"),
    "diverse_nn_bm25": (
        "at random among the nearest, above a BM25 score",
        "从最近的之中随机，且 BM25 得分达到阈值",
    ),
    "diverse_nn_bm25_rank": ("the best by BM25 among the nearest", "最近的之中 BM25 得分最高的"),
    "mmr": ("near, and unlike each other", "相近而彼此不同的"),
    "type_aware": ("those that show most types", "覆盖类型最多的"),
    "hybrid": ("the best by nearness and BM25 together", "综合相近程度和 BM25 最好的"),
}
# What a rule does when it changes something instead of dropping it.
CHANGES: dict[str, tuple[str, str]] = {
    "strip_brackets": ("Brackets around a mention were removed.", "去掉了提及两端的括号。"),
    "types": ("A type was merged into its canonical name.", "类型并入了规范名称。"),
    "overlap": ("A mention lost the places that overlap with others.", "提及去掉了与其他提及重叠的位置。"),
    "personal_data": (
        "Personal data was found in a passage that was kept (masked where filter.personal says so).",
        "保留的段落中发现个人信息（按 filter.personal 的设置打码）。",
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
    "empty_text": ("The text is empty or only white space.", "文本为空或只有空白。"),
    "line_too_long": ("The line is longer than the limit.", "这一行超过长度上限。"),
    "invalid_utf8": ("The bytes are not valid UTF-8.", "字节不是合法的 UTF-8。"),
    "invalid_encoding": ("The bytes do not fit the encoding.", "字节与所用编码不符。"),
    "nul_byte": ("The text holds a NUL byte.", "文本中有 NUL 字节。"),
    "invalid_unicode": ("The text holds half a surrogate pair.", "文本中有半个代理对字符。"),
    "text_not_string": ("The text is not a string.", "文本不是字符串。"),
    "entity_malformed": ("An entity of the record is malformed.", "记录中的实体格式有误。"),
    "entity_mismatch": ("An entity's offsets hold other characters.", "实体偏移量处是别的字符。"),
    "entity_without_offsets": ("An entity has no offsets.", "实体没有偏移量。"),
    "unbalanced_markup": ("A mark-up bracket is not closed.", "标注括号没有闭合。"),
    "cut_through": ("A passage ends in the middle of the mention.", "分段处正好切断了这个提及。"),
    "bad_json": ("The line is not a JSON object.", "这一行不是 JSON 对象。"),
    "bad_row": ("The row is not a JSON object.", "这一条不是 JSON 对象。"),
    "bad_line": ("A line is not a token with its tag.", "有一行不是“词元＋标签”。"),
    "bad_tag": ("A tag follows no known scheme.", "有标签不符合已知的标注体系。"),
    "bad_lang": ("The language is neither zh nor en.", "语言既不是 zh 也不是 en。"),
    "bad_mention": ("The mention has no type or is malformed.", "提及没有类型或格式有误。"),
    "bad_offset": ("The offsets are no range in the text.", "偏移量不是文本中的有效区间。"),
    "offset_mismatch": ("Other characters stand at the offsets.", "偏移量处是别的字符。"),
    "not_in_text": ("The mention does not occur in the text.", "文本中没有这个提及。"),
    "no_id": ("The row has no id.", "这一条没有编号。"),
    "no_labels": ("The passage has no annotation.", "段落没有标注。"),
    "duplicate_id": ("The id stands twice.", "编号重复。"),
    "unknown_type": ("The tag has no name among the labels.", "标签没有对应的类型名称。"),
    "language_not_supported": ("The annotator does not know this language.", "标注器不支持这种语言。"),
    "empty_answer": ("The model answered nothing.", "模型没有给出回答。"),
    "unparsed": ("The model's answer could not be read as a list.", "模型的回答无法解析为列表。"),
    "truncated": ("The answer was cut off before its end.", "回答没有结束就被截断。"),
    "not_in_passage": ("The mention does not occur in the passage.", "段落中没有这个提及。"),
    "ambiguous_mention": (
        "The passage writes the mention in several ways, and in none of them exactly as given.",
        "段落中这个提及有多种写法，但没有一种与所给的完全相同。",
    ),
    "no_type": ("The mention came without a type.", "提及没有类型。"),
    "repeated": ("The answer names the same mention twice.", "回答重复给出了同一个提及。"),
    "context_length": ("The request is longer than the model can read.", "请求超过模型的上下文长度。"),
    "content_filter": ("The provider's content filter stopped it.", "被服务商的内容过滤拦截。"),
    "bad_request": ("The endpoint refused the request.", "接口拒绝了请求。"),
    "rate_limit": ("The endpoint kept asking to slow down.", "接口一直要求降低频率。"),
    "transient": ("The endpoint failed at every attempt.", "每次尝试接口都出错。"),
    "timeout": ("The endpoint took too long at every attempt.", "每次尝试接口都超时。"),
    "refused": ("The model would not answer.", "模型拒绝回答。"),
    "unreachable": ("Nobody answered at the address.", "接口地址无人应答。"),
    "not_asked": ("Nobody was asked about it yet.", "尚未向模型提问。"),
    "type_not_listed": ("The type is not in the list of types.", "类型不在给定的类型列表中。"),
    "few_votes": ("Too few samples agree on the mention.", "认同这个提及的回答太少。"),
    "strip": ("Nothing is left once the mention is stripped.", "去除首尾符号后提及没有内容。"),
    "empty_mention": ("Nothing is left once the brackets are removed.", "去掉括号后提及没有内容。"),
    "duplicate": ("The same thing was already there.", "与已有内容重复。"),
    "too_long": ("The mention is longer than the limit.", "提及超过长度上限。"),
    "stop_type": (
        "The type says nothing (such as “entity” or “other”).",
        "类型没有信息量（如“实体”“其他”）。",
    ),
    "too_short": ("The passage has too few characters.", "段落的字符太少。"),
    "wrong_language": ("The text is not in its language.", "文本不是所标明的语言。"),
    "garbled": ("Broken encoding, or hardly any letters.", "编码损坏，或几乎没有文字。"),
    "boilerplate": ("Mostly page furniture (notices, links).", "大部分是网页套话（声明、链接）。"),
    "refusal": ("A language model's refusal to answer.", "语言模型拒绝回答的文本。"),
    "personal_data": ("It holds personal data.", "含有个人信息。"),
    "duplicate_passage": ("The same text stood earlier.", "相同的文本前面已经出现。"),
    "near_duplicate": ("Nearly the same text stood earlier.", "几乎相同的文本前面已经出现。"),
    "generic_type": ("The type is a word for anything.", "类型是泛指一切的词。"),
    "sentence_type": ("The type is a sentence, not a name.", "类型是句子而不是名称。"),
    "number": ("Digits alone, of a type that is no number.", "只有数字，而类型不是数。"),
    "pronoun": ("The mention is a pronoun.", "提及是代词。"),
    "cut_word": ("The mention ends inside a word.", "提及在词的中间结束。"),
    "overlap": ("It overlaps a mention that was preferred.", "与优先保留的提及重叠。"),
    "judged_wrong": ("The judge says that it is no entity.", "核验模型认为这不是一个实体。"),
    "not_in_run": ("The gold text does not stand in the run.", "标准标注的文本不在本次运行中。"),
    "not_annotated": (
        "The gold text stands in the run, but has no annotations.",
        "标准标注的文本在本次运行中，但没有标注结果。",
    ),
    "shared_ngram": ("It shares a long piece of text with a test set.", "与测试集有一长段相同的文本。"),
    "near_test": ("It is nearly the same as a test passage.", "与测试集中的段落几乎相同。"),
    "no_entities": ("No entity is left in the passage.", "段落中没有剩下实体。"),
    "no_types": ("There is no type to ask for.", "没有可供提问的类型。"),
    "too_many_tokens": (
        "Not even one query fits into the token limit.",
        "一次查询也放不进词元（token）上限。",
    ),
    "queries_dropped": (
        "Some queries were left out to fit the token limit.",
        "为满足词元上限略去了部分查询。",
    ),
}


# How to read Krippendorff's alpha: the customary limits of K. Krippendorff, Content Analysis, 2nd ed. 2004, p. 241.
ALPHA: tuple[tuple[float, tuple[str, str]], ...] = (
    (0.8, ("reliable", "可靠")),
    (0.667, ("good enough for tentative conclusions only", "只够得出初步结论")),
    (float("-inf"), ("too low to rely on", "过低，不宜依赖")),
)


def alpha(value: float) -> tuple[str, str]:
    """What a value of Krippendorff's alpha means."""
    return next(said for least, said in ALPHA if value >= least)


def reason(word: str) -> tuple[str, str] | None:
    """The plain words for a reason, or None when nobody wrote any; ``strip_…`` words share one."""
    return REASONS.get(word) or (REASONS["strip"] if word.startswith("strip_") else None)


def stage(name: str) -> tuple[str, str]:
    """The label of a stage, in English and Chinese; an unknown name is its own label."""
    return STAGES.get(name.replace("_", "-"), (name, name))
