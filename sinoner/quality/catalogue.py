"""What every rule of the filter does: a sentence in both languages, an example it keeps and one it acts on.

The examples are tested; ``sinoner rules`` and the documentation show them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from sinoner.records import Lang
from sinoner.settings import RuleName


class Example(NamedTuple):
    """A passage, its mentions as (surface, type), and the texts of earlier passages."""

    text: str
    mentions: tuple[tuple[str, str], ...] = ()
    lang: Lang = "zh"
    before: tuple[str, ...] = ()


class RuleEntry(NamedTuple):
    """A rule: its name, what it examines, its description, an example it keeps unchanged and one it acts on."""

    name: RuleName
    level: Literal["passage", "mention"]
    english: str
    chinese: str
    accepts: Example
    rejects: Example


_NOTICE = "本公司将于下周一召开年度股东大会，届时将公布上一年度的财务报告，并选举新一届董事会成员，请各位股东准时出席。"
_MANY = "一二三四五六七八九十一二三四五六七八九十甲"

CATALOGUE: tuple[RuleEntry, ...] = (
    RuleEntry(
        "too_short",
        "passage",
        "A passage with fewer than filter.min_chars characters, not counting white space, has no context to learn from.",
        "除空白外不足 filter.min_chars 个字符的段落没有可供学习的上下文。",
        Example("他到了北京。"),
        Example("好的。"),
    ),
    RuleEntry(
        "wrong_language",
        "passage",
        "The text is not in the declared language, or at least a fifth of its letters belong to a script used by neither Chinese"
        " nor English.",
        "文本不是所标明的语言，或五分之一以上的字母属于中英文以外的文字。",
        Example("他用 Python 写了一个爬虫程序，跑在 AWS 上。"),
        Example("東京は日本の首都であり、とても大きな都市です。"),
    ),
    RuleEntry(
        "garbled",
        "passage",
        "Broken encodings leave meaningless characters, and a passage made mostly of symbols is not text.",
        "编码损坏留下无意义的字符；绝大部分是符号的内容不是文本。",
        Example("气温降到了零下12℃（体感-18℃）！！"),
        Example("锟斤拷锟斤拷公司发布了新产锟斤拷"),
    ),
    RuleEntry(
        "boilerplate",
        "passage",
        "At least half of the text is web boilerplate: copyright notices, share and read-more links.",
        "一半以上的内容是网页套话：版权声明、分享和“阅读更多”一类的链接。",
        Example("责任编辑：李红。该厂去年生产了三万辆汽车，出口到二十多个国家和地区，销售额同比增长了两成。"),
        Example("点击查看更多精彩内容。版权所有，未经授权不得转载。"),
    ),
    RuleEntry(
        "refusal",
        "passage",
        "The text is a language model's refusal to answer, common in synthetic corpora.",
        "文本是语言模型的拒答，在合成语料中很常见。",
        Example("很抱歉，昨天的航班因大雾取消了。"),
        Example("很抱歉，作为一个人工智能语言模型，我无法提供该信息。"),
    ),
    RuleEntry(
        "personal_data",
        "passage",
        "Mobile numbers, ID-card numbers with a valid check digit, and e-mail addresses are kept and counted, masked, or the"
        " passage is dropped (filter.personal).",
        "手机号、校验位正确的身份证号和邮箱地址：保留并计数、打码，或剔除整段（filter.personal）。",
        Example("订单号 20240112345678901，共 3 件。"),
        Example("请致电 13800138000 联系王经理。"),
    ),
    RuleEntry(
        "duplicate_passage",
        "passage",
        "The same text, ignoring white space, punctuation, case and width, occurs earlier in the corpus.",
        "除空白、标点、大小写和全半角外，相同的文本前面已经出现过。",
        Example(_NOTICE, before=("另一段完全不同的文字，讲的是天气。",)),
        Example("他在北京大学　读书！", before=("他在北京大学读书。",)),
    ),
    RuleEntry(
        "near_duplicate",
        "passage",
        "The Jaccard similarity of character 5-grams with an earlier passage is at least filter.near_duplicate (found by MinHash,"
        " then computed exactly).",
        "与前面某段的字符 5 元组 Jaccard 相似度达到 filter.near_duplicate（由 MinHash 查找，再精确计算）。",
        Example(
            _NOTICE,
            before=(
                _NOTICE[:20] + "但是这次会议讨论的是食堂的装修问题以及停车场的收费标准，与财务没有关系。",
            ),
        ),
        Example(_NOTICE + "谢谢。", before=(_NOTICE,)),
    ),
    RuleEntry(
        "strip_brackets",
        "mention",
        "One pair of brackets or quotation marks around a mention is removed; the mention is dropped only if nothing remains.",
        "去掉包住提及的一对括号或引号；去掉后为空才会剔除。",
        Example("《红楼梦》与《西游记》都是名著。", (("《红楼梦》与《西游记》", "书名"),)),
        Example("他读《红楼梦》。", (("《红楼梦》", "书名"),)),
    ),
    RuleEntry(
        "too_long",
        "mention",
        "A mention of more than filter.max_chars characters (zh) or filter.max_words words (en) is a phrase, not a name.",
        "超过 filter.max_chars 个字符（中文）或 filter.max_words 个词（英文）的提及是短语而非名称。",
        Example("编号" + _MANY[:20] + "。", ((_MANY[:20], "编号"),)),
        Example("编号" + _MANY + "。", ((_MANY, "编号"),)),
    ),
    RuleEntry(
        "stop_type",
        "mention",
        "The type is on the paper's list of uninformative types (filter.stop_types).",
        "类型在论文的无信息类型表中（filter.stop_types）。",
        Example("他在上海。", (("上海", "地点"),)),
        Example("他在上海。", (("上海", "其他"),)),
    ),
    RuleEntry(
        "generic_type",
        "mention",
        "The type is too generic (名词, 概念, 事物, thing, concept …) for a model to learn what to extract.",
        "类型过于宽泛（名词、概念、事物、thing、concept……），模型学不到该找什么。",
        Example("他喝了咖啡。", (("咖啡", "饮品"),)),
        Example("他喝了咖啡。", (("咖啡", "名词"),)),
    ),
    RuleEntry(
        "sentence_type",
        "mention",
        "The type is a sentence or an explanation, not the name of a type.",
        "类型是一个句子或一段解释，而不是类型名称。",
        Example("他喝了咖啡。", (("咖啡", "非酒精饮品"),)),
        Example("他喝了咖啡。", (("咖啡", "一种饮料，常用来提神"),)),
    ),
    RuleEntry(
        "number",
        "mention",
        "A mention made only of digits is not a name, unless its type is numeric (date, amount, code …).",
        "只有数字的提及不是名称，除非其类型属于数值类（日期、金额、代码……）。",
        Example("他1998年出生。", (("1998", "年份"),)),
        Example("他买了12本。", (("12", "物品"),)),
    ),
    RuleEntry(
        "pronoun",
        "mention",
        "A pronoun refers to something named elsewhere and is not a name itself.",
        "代词只指代别处提到的事物，本身不是名称。",
        Example("她叫他山石。", (("他山石", "人名"),)),
        Example("她去了广州。", (("她", "人物"), ("广州", "地点"))),
    ),
    RuleEntry(
        "cut_word",
        "mention",
        "Every occurrence of the mention ends inside a word (jieba), and the passage has a longer mention that contains it.",
        "提及的每一处都在词（jieba）的中间结束，并且段落中有包含它的更长提及。",
        Example("他在北京，后来去了北京大学。", (("北京", "城市"), ("北京大学", "学校"))),
        Example("他在北京大学读书。", (("北京大", "学校"), ("北京大学", "学校"))),
    ),
    RuleEntry(
        "duplicate",
        "mention",
        "The passage repeats a mention with the same surface and type, ignoring case; its offsets go to the one that is kept.",
        "同一段中重复出现的同形同类提及（忽略大小写）；偏移量并入保留的那个。",
        Example("Apple 是公司，apple 是水果。", (("Apple", "公司"), ("apple", "水果"))),
        Example("Apple 和 APPLE 是同一家公司。", (("Apple", "公司"), ("APPLE", "公司"))),
    ),
    RuleEntry(
        "overlap",
        "mention",
        "Nested or crossing mentions: keep all (keep), only the outermost, or only the innermost (filter.overlap).",
        "嵌套或交叉的提及：全部保留（keep），或只留最外层、最内层（filter.overlap）。",
        Example("他在北京，后来去了上海。", (("北京", "城市"), ("上海", "城市"))),
        Example("他在北京大学读书。", (("北京", "城市"), ("北京大学", "学校"))),
    ),
)
