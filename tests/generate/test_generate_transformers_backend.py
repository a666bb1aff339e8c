"""Answers with shared beginnings equal those of ``model.generate`` on each conversation alone."""

from pathlib import Path
from typing import Any

import pytest

from sinoner import models
from sinoner.chat import prompt_text
from sinoner.generate.transformers_backend import LocalGenerator
from sinoner.itset.render import query_conversation
from sinoner.records import HUMAN, Annotation, Conversation, Entity, Passage

NEW_TOKENS = 24
pytestmark = pytest.mark.usefixtures("one_thread")


def passage(id: str, text: str) -> Passage:
    return Passage(id=id, text=text, source="s", lang="zh")


EXAMPLE = Annotation(
    passage=passage("例#0", "小满住在杭州。"),
    entities=(Entity(surface="杭州", type="地点", starts=(4,)),),
    by=HUMAN,
)
LONG = "从前有一座山，山上有一座庙。😀" * 12
CONVERSATIONS = [
    query_conversation(passage(id, text), kind, examples, "sinoner")
    for id, text, kinds, examples in (
        ("a#0", "林晓在上海工作。", ("人名", "地点", "一个名字特别长的类型", "X"), ()),
        ("b#0", LONG, ("人名", "地点"), ()),
        ("b#0", LONG, ("人名", "地点"), (EXAMPLE,)),  # the same passage, but another beginning
        ("c#0", "雨", ("天气",), (EXAMPLE,)),
        ("d#0", "他说“好”\n第二行", ("人名", "人名", "地点"), ()),  # one query twice
        ("a#0", "林晓在上海工作。", ("产品",), ()),  # a group of its own: not beside the others
    )
    for kind in kinds
]


@pytest.fixture(scope="module")
def loaded(tiny_llama: Path, one_thread: None) -> tuple[Any, Any]:
    return models.load(str(tiny_llama), dtype_name="float32", device_name="cpu")


def one_by_one(
    model: Any, tokenizer: Any, conversations: list[Conversation], stops: list[int]
) -> list[list[int]]:
    import torch

    answers = []
    for conversation in conversations:
        prompt = prompt_text(conversation.messages, tokenizer)
        inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        with torch.inference_mode():
            made = model.generate(
                **inputs, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=stops,
                pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        answers.append(made[0, inputs["input_ids"].shape[1] :].tolist())
    return answers


@pytest.fixture(scope="module")
def stopping(loaded: tuple[Any, Any]) -> tuple[Any, Any, list[str]]:
    """The model with a further end token, which its answers reach early, late and never; and its answers."""
    model, tokenizer = loaded
    free = one_by_one(model, tokenizer, CONVERSATIONS, [tokenizer.eos_token_id])
    lengths: dict[int, list[int]] = {
        t: [a.index(t) if t in a else NEW_TOKENS for a in free] for answer in free for t in answer
    }
    stop = max(lengths, key=lambda t: (len(set(lengths[t])), t))
    assert min(lengths[stop]) < 8
    assert max(lengths[stop]) == NEW_TOKENS
    assert len(set(lengths[stop])) >= 3
    stops = [tokenizer.eos_token_id, stop]
    model.generation_config.eos_token_id = stops
    expected = [
        [t for t in answer if t not in stops] for answer in one_by_one(model, tokenizer, CONVERSATIONS, stops)
    ]
    assert len({len(e) for e in expected}) >= 3
    return model, tokenizer, tokenizer.batch_decode(expected, skip_special_tokens=True)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 40])
def test_answers_equal_generate_one_by_one(stopping: tuple[Any, Any, list[str]], batch_size: int) -> None:
    model, tokenizer, expected = stopping
    generator = LocalGenerator(model, tokenizer, batch_size=batch_size, max_new_tokens=NEW_TOKENS)
    assert list(generator(CONVERSATIONS)) == expected
    assert len(set(expected)) > 8  # the answers depend on the prompts


def test_the_order_is_that_of_the_conversations(stopping: tuple[Any, Any, list[str]]) -> None:
    model, tokenizer, expected = stopping
    generator = LocalGenerator(model, tokenizer, batch_size=4, max_new_tokens=NEW_TOKENS)
    order = [7, 0, 3, 12, 1, 9, 4, 2, 11, 5, 10, 6, 8]
    assert sorted(order) == list(range(len(CONVERSATIONS)))
    assert list(generator([CONVERSATIONS[i] for i in order])) == [expected[i] for i in order]


def test_a_single_end_token(tiny_llama: Path) -> None:
    """Without the further end token answers are longer: the generation settings of the model are obeyed."""
    model, tokenizer = models.load(str(tiny_llama), dtype_name="float32", device_name="cpu")
    stops = [tokenizer.eos_token_id]
    made = one_by_one(model, tokenizer, CONVERSATIONS, stops)
    expected = tokenizer.batch_decode(
        [[t for t in a if t not in stops] for a in made], skip_special_tokens=True
    )
    generator = LocalGenerator(model, tokenizer, batch_size=40, max_new_tokens=NEW_TOKENS)
    assert list(generator(CONVERSATIONS)) == expected


def test_never_more_than_the_tokens_allowed(stopping: tuple[Any, Any, list[str]]) -> None:
    model, tokenizer, expected = stopping
    short = list(LocalGenerator(model, tokenizer, batch_size=40, max_new_tokens=1)(CONVERSATIONS))
    for answer, whole in zip(short, expected, strict=True):
        assert (
            len(tokenizer(answer, add_special_tokens=False)["input_ids"]) <= 3
        )  # one byte may show as U+FFFD
        assert whole.startswith(answer) or "\ufffd" in answer


def test_no_conversations(loaded: tuple[Any, Any]) -> None:
    assert list(LocalGenerator(*loaded, batch_size=4, max_new_tokens=4)([])) == []
