"""Refusals of a model, in its answers and as passages of a corpus that a model wrote."""

from __future__ import annotations

import pytest

from sinoner.answers.refusals import refusal, refuses


@pytest.mark.parametrize(
    "text",
    [
        "很抱歉，作为一个人工智能语言模型，我无法提供该信息。",
        "对不起，我无法回答这个问题。",
        "抱歉，但我不能协助。",
        "作为AI助手，我没有浏览网页的能力。",
        "作为一个大型语言模型，我不会表达观点。",
        "我只是一个AI，不能替您决定。",
        "I'm sorry, but I can't help with that request.",
        "Unfortunately, I am unable to open links.",
        "As an AI language model, I don't have opinions.",
        "I cannot comply with this.",
    ],
)
def test_what_only_a_model_says_is_a_refusal_anywhere(text: str) -> None:
    assert refuses(text)
    assert refusal(text) is not None
    assert text.startswith(refusal(text) or "-")


@pytest.mark.parametrize(
    "text",
    [
        "很遗憾，该内容无法处理。",
        "不好意思，这次不便参与。",
        "Sorry, this cannot be processed.",
        "作为助手，我不能讨论。",
    ],
)
def test_an_apology_is_a_refusal_only_as_an_answer(text: str) -> None:
    assert refuses(text)
    assert refusal(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "很抱歉，昨天的航班因大雾取消了。",
        "对不起，昨天的航班取消了，我只好改乘火车。",
        "有网友说，作为一个人工智能语言模型，它无法回答所有问题。",
        "作为人工智能助手，我没有找到实体。",
        "As an AI, I cannot find any entities.",
        "作为总经理助理，他没有出席会议。",
        "作为AI公司，百度不会放弃搜索。",
        "As a language teacher, I don't have much time.",
        "I cannot believe it.",
        "",
    ],
)
def test_what_is_no_refusal(text: str) -> None:
    assert not refuses(text)
    assert refusal(text) is None
