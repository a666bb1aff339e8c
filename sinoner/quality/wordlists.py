"""Word lists and patterns of the rules, Chinese and English. All lists are this project's own."""

from __future__ import annotations

import re

# Types that name no kind of thing. Compared in lower case, without surrounding white space.
GENERIC_TYPES = frozenset((
    "名词", "普通名词", "专有名词", "一般名词", "抽象名词", "名词短语", "动词", "形容词", "副词", "代词",
    "数词", "量词", "介词", "词", "词语", "词汇", "单词", "短语", "词组", "成语", "句子", "文本", "文字",
    "内容", "信息", "概念", "抽象概念", "一般概念", "事物", "物", "东西", "物体", "对象", "客体", "主体",
    "实体名称", "实体类型", "命名实体", "名称", "名字", "类型", "类别", "种类", "分类", "标签", "属性",
    "特征", "特点", "元素", "要素", "方面", "主题", "话题", "关键词", "关键字", "未知", "未知类型",
    "未知类别", "不明", "不确定", "无法确定", "通用", "一般", "其它", "其他类型", "其他类别", "其他实体",
    "杂项", "综合", "noun", "nouns", "common noun", "proper noun", "verb", "adjective", "adverb", "pronoun",
    "word", "words", "phrase", "phrases", "sentence", "text", "content", "information", "concept",
    "concepts", "abstract concept", "thing", "things", "object", "objects", "item", "items", "named entity",
    "entity name", "entities", "name", "names", "type", "types", "category", "class", "label", "tag",
    "attribute", "attributes", "feature", "property", "element", "aspect", "topic", "subject", "keyword",
    "keywords", "term", "terms", "unknown", "undefined", "unspecified", "generic", "general", "other",
    "others", "miscellaneous", "n/a", "something", "null",
))  # fmt: skip

# Mentions that only point at something named elsewhere.
PRONOUNS = frozenset((
    "我", "你", "您", "他", "她", "它", "祂", "我们", "你们", "您们", "他们", "她们", "它们", "咱", "咱们",
    "俺", "俺们", "自己", "自身", "本人", "大家", "人家", "别人", "他人", "谁", "某人", "某某", "其", "之",
    "此", "这", "那", "这里", "那里", "这儿", "那儿", "这个", "那个", "这些", "那些", "此处", "该处", "什么",
    "哪里", "哪个", "前者", "后者", "两者", "双方", "i", "me", "my", "mine", "myself", "you", "your",
    "yours", "yourself", "yourselves", "he", "him", "his", "himself", "she", "her", "hers", "herself", "it",
    "its", "itself", "we", "us", "our", "ours", "ourselves", "they", "them", "their", "theirs", "themselves",
    "this", "that", "these", "those", "here", "there", "who", "whom", "whose", "which", "what", "someone",
    "somebody", "anyone", "anybody", "everyone", "everybody", "one", "ones", "other", "others", "another",
    "both", "each", "such", "former", "latter",
))  # fmt: skip

# A mention of digits alone is fine when its type says that it is a number of some kind.
NUMERIC_TYPE = re.compile(
    r"数|量|时|日|年|月|期|金|额|价|钱|币|费|号|码|编|型|版|率|比|百分|分|电话|手机|账|证|代码|股票|岁|龄|度|重|长|距|温|规格|序|排名|届"
    r"|date|time|year|month|day|number|quantity|count|amount|money|price|cost|percent|rate|ratio|code|phone|id\b|score"
    r"|age|rating|version|model|cardinal|ordinal|rank|size|weight|length|distance|temperature|measure|unit|value|flight"
    r"|route|zip|account|ticker|bus|highway|road",
    re.IGNORECASE,
)
NUMBER = re.compile(
    r"[\s0-9０-９零〇一二三四五六七八九十百千万亿两壹贰叁肆伍陆柒捌玖拾佰仟.,，．、%％‰+＋\-－–—/:：~～*×()（）]+"
)

# What sentences of web pages hold that say nothing about their subject. Compared in lower case.
BOILERPLATE = (
    "版权所有，", "版权所有。", "版权所有 ", "版权所有©", "版权所有：", "版权所有:", "不得转载", "禁止转载",
    "请勿转载", "转载请注明", "责任编辑：", "责任编辑:", "点击查看", "点击阅读", "点击进入", "点击下载", "点击这里",
    "点击关注", "阅读原文", "阅读全文", "阅读更多", "查看更多", "扫描二维码", "下方二维码",
    "长按二维码", "识别二维码", "扫码关注", "关注公众号", "关注微信公众号",
    "分享到微信", "分享到微博", "分享到朋友圈", "上一篇：", "下一篇：", "上一篇:", "下一篇:",
    "返回首页", "返回顶部", "回到顶部", "网站地图", "联系我们", "加入收藏", "设为首页", "登录后查看",
    "登录后评论", "登录后可见", "icp备", "公网安备", "all rights reserved", "terms of use",
    "terms of service", "privacy policy", "cookie policy", "cookie settings", "use cookies", "uses cookies",
    "accept cookies", "accept all cookies", "subscribe to our", "sign up for our", "click here", "read more",
    "share this article", "share on facebook", "share on twitter", "back to top", "skip to content",
    "skip to main content", "log in to continue", "log in to comment", "follow us on",
    "copyright ©", "© 19", "© 20", "©20",
)  # fmt: skip
BOILERPLATE_SHARE = 0.5  # of the passage's characters, in sentences that hold such a phrase

# What broken encodings leave behind: the replacement character, private use, controls, the classic wrong readings of
# GBK and of UTF-8 as Latin-1.
BROKEN = re.compile(
    "[\ufffd\ue000-\uf8ff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]|锟斤拷|烫烫烫|屯屯屯|ï¿½|[ÃÂâåäæçèé][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—˜™š›œ]"
)
BROKEN_SHARE = 0.02  # of the passage's characters
WORD_SHARE = 0.3  # letters, digits and Han characters among those that are no white space: less is no text

# Letters of scripts that neither Chinese nor English uses: kana, Hangul, Cyrillic, Greek, Arabic, Hebrew, Thai, Indic …
FOREIGN = re.compile("[\u0370-\u1cff\u3041-\u30ff\u3130-\u318f\uac00-\ud7af\uff66-\uffdc]+")
FOREIGN_SHARE = 0.2  # of the letters
# Share of Han characters among the letters below which a text said to be Chinese is not, and above which one said to be
# English is not. Far apart, because the language configured for a corpus carries weight.
CHINESE_SHARE, ENGLISH_SHARE = 0.05, 0.5
