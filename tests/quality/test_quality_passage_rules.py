"""Passage rules: what is worth labelling and what is not."""

from __future__ import annotations

import pytest

from sinoner.quality.passage_rules import PASSAGE_RULES
from sinoner.records import Passage
from sinoner.settings import FilterSettings

NEWS = "新华社北京10月8日电，中国国家统计局公布，前三季度国内生产总值同比增长5.2%，其中第三产业增长6.0%。"
REJECTED = [
    ("too_short", "好 的 。", "zh"),
    ("too_short", " a b c ", "en"),
    ("wrong_language", "This passage is said to be Chinese.", "zh"),
    ("wrong_language", "这一段据说是英文。", "en"),
    ("wrong_language", "Москва является столицей России.", "en"),
    ("wrong_language", "대한민국의 수도는 서울이다. 人口密集", "zh"),
    ("garbled", "ä¸\u00adå\u009b½ç»\u008fæµ\u008eå\u008f\u0091å±\u0095", "en"),
    ("garbled", "公司\ufffd\ufffd发布\ufffd新品", "zh"),
    ("garbled", "★☆★☆★☆【】——！！！～～～※※※※※※哈", "zh"),
    ("boilerplate", "Copyright © 2020 Example. All rights reserved. Terms of use.", "en"),
    ("boilerplate", "请扫描二维码关注我们。返回首页", "zh"),
    ("refusal", "I'm sorry, but I can't help with that request.", "en"),
    ("refusal", "As an AI language model, I cannot browse the internet.", "en"),
    ("refusal", "对不起，我无法回答这个问题。", "zh"),
]
ACCEPTED = [
    *((rule, NEWS, "zh") for rule in PASSAGE_RULES),
    *(
        (rule, "The U.S. company said on Monday it had sold 1,200 cars (up 3%).", "en")
        for rule in PASSAGE_RULES
    ),
    ("too_short", "他在北京。", "zh"),
    ("wrong_language", "12345 67890", "zh"),
    ("wrong_language", "α粒子和β射线的性质不同，γ射线穿透力最强。", "zh"),
    ("garbled", "今天好开心啊！！！[哈哈][哈哈]👨‍👩‍👧", "zh"),
    ("garbled", "他喝了一杯 café au lait，naïve 地笑了。", "zh"),
    (
        "boilerplate",
        "记者从发布会获悉，该公司去年卖出三万辆汽车，同比增长两成，出口二十多个国家。责任编辑：王明",
        "zh",
    ),
    ("boilerplate", "孩之宝是这款游戏在北美的版权所有者。", "zh"),
    ("wrong_language", "参考文献：MhairiGM, Smith J. Seizures 新生儿惊厥的治疗. Lancet 2001", "zh"),
    ("refusal", "对不起，昨天的航班取消了，我只好改乘火车。", "zh"),
    ("refusal", "有网友说，作为一个人工智能语言模型，它无法回答所有问题。", "zh"),
]


@pytest.mark.parametrize(("rule", "text", "lang"), REJECTED)
def test_rejected(rule: str, text: str, lang: str) -> None:
    said = PASSAGE_RULES[rule](Passage(id="d#0", text=text, source="s", lang=lang), FilterSettings())
    assert said


@pytest.mark.parametrize(("rule", "text", "lang"), ACCEPTED)
def test_accepted(rule: str, text: str, lang: str) -> None:
    assert PASSAGE_RULES[rule](Passage(id="d#0", text=text, source="s", lang=lang), FilterSettings()) is None


def test_the_shortest_passage_is_a_setting() -> None:
    passage = Passage(id="d#0", text="他在北京。", source="s", lang="zh")
    assert PASSAGE_RULES["too_short"](passage, FilterSettings(min_chars=5)) is None
    assert PASSAGE_RULES["too_short"](passage, FilterSettings(min_chars=6)) == "5 characters"
