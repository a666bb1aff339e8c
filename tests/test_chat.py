"""Token ids and loss mask against an independent ChatML encoder, token by token."""

from collections.abc import Sequence
from typing import Any

import pytest
import tiny_model
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sinoner.chat import IGNORE, SYSTEM, encode, prompt_text
from sinoner.errors import InputError
from sinoner.records import Conversation, Message

TOKENIZER = tiny_model.byte_tokenizer()
SPECIAL = {t: TOKENIZER.convert_tokens_to_ids(t) for t in (tiny_model.START, tiny_model.END)}


def byte_ids(text: str) -> list[int]:
    """One token for every byte, by the byte-to-character table of GPT-2, written out."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    characters = {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}
    order = {c: i for i, c in enumerate(sorted(characters.values()))}
    return [order[characters[b]] for b in text.encode()]


def chatml(messages: Sequence[Message], system: str = SYSTEM) -> tuple[list[int], list[int]]:
    """ChatML by hand: a turn is start, role, newline, content, end, newline; of a learned turn content and end count."""
    turns = list(messages)
    if turns[0].role != "system":
        turns.insert(0, Message(role="system", content=system))
    ids: list[int] = []
    labels: list[int] = []
    for turn in turns:
        head = [SPECIAL[tiny_model.START], *byte_ids(f"{turn.role}\n")]
        body = [*byte_ids(turn.content), SPECIAL[tiny_model.END]]
        ids += [*head, *body, *byte_ids("\n")]
        labels += [*[IGNORE] * len(head), *(body if turn.learn else [IGNORE] * len(body)), IGNORE]
    return ids, labels


def conversation(*answers: str, opening: bool = True, learn: bool = True) -> Conversation:
    messages: list[Message] = []
    if opening:
        messages += [
            Message(role="user", content="文本： 他说“好😀”\n第二行"),
            Message(role="assistant", content="我已读完这段文本。", learn=learn),
        ]
    for i, answer in enumerate(answers):
        messages += [
            Message(role="user", content=f'文本中属于"类{i}"的实体有哪些？'),
            Message(role="assistant", content=answer, learn=learn),
        ]
    types = tuple(f"类{i}" for i in range(len(answers)))
    return Conversation(id="c", messages=tuple(messages), first_query=2 * opening, passage="p#0", types=types)


CONTENT = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="<"), max_size=12)
TURN = st.tuples(CONTENT, CONTENT, st.booleans())


@given(st.lists(TURN, min_size=1, max_size=5), CONTENT | st.none())
def test_every_token_and_every_label(turns: list[tuple[str, str, bool]], system: str | None) -> None:
    messages = [] if system is None else [Message(role="system", content=system)]
    for asked, told, learn in turns:
        messages += [
            Message(role="user", content=asked),
            Message(role="assistant", content=told, learn=learn),
        ]
    made = encode(
        Conversation(id="c", messages=tuple(messages), first_query=0, passage="p", types=("t",) * len(turns)),
        TOKENIZER,
        10**6,
    )
    assert made is not None
    ids, labels = chatml(messages)
    assert made.ids == ids
    assert made.labels == labels
    assert made.dropped == 0


def test_only_what_is_to_be_learned_counts() -> None:
    about = conversation('["甲"]', "[]")
    made = encode(about, TOKENIZER, 10**6)
    assert made is not None
    learned = TOKENIZER.decode([label for label in made.labels if label != IGNORE])
    assert learned == '我已读完这段文本。<|im_end|>["甲"]<|im_end|>[]<|im_end|>'
    half = (*about.messages[:-1], replace(about.messages[-1], learn=False))
    made = encode(replace(about, messages=half), TOKENIZER, 10**6)
    assert made is not None
    learned = TOKENIZER.decode([label for label in made.labels if label != IGNORE])
    assert learned == '我已读完这段文本。<|im_end|>["甲"]<|im_end|>'
    made = encode(conversation('["甲"]', learn=False), TOKENIZER, 10**6)
    assert made is not None
    assert set(made.labels) == {IGNORE}


def test_the_system_turn() -> None:
    own = conversation("[]")
    text = TOKENIZER.decode(encode(own, TOKENIZER, 10**6).ids)  # type: ignore[union-attr]
    assert text.startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n")
    text = TOKENIZER.decode(encode(own, TOKENIZER, 10**6, "别的").ids)  # type: ignore[union-attr]
    assert text.startswith("<|im_start|>system\n别的<|im_end|>\n")
    with_own = replace(own, messages=(Message(role="system", content="自带"), *own.messages))
    text = TOKENIZER.decode(encode(with_own, TOKENIZER, 10**6).ids)  # type: ignore[union-attr]
    assert text.startswith("<|im_start|>system\n自带<|im_end|>\n")
    assert text.count("<|im_start|>system") == 1


@pytest.mark.parametrize("examples", [True, False])
def test_whole_queries_are_dropped_from_the_end(examples: bool) -> None:
    whole = conversation('["甲"]', '["乙乙乙乙"]', "[]")
    if examples:
        shown = (Message(role="user", content="例子"), Message(role="assistant", content="读完", learn=True))
        whole = replace(whole, messages=(*shown, *whole.messages), first_query=4, examples=("e",))
    lengths = [len(chatml(whole.messages[: len(whole.messages) - 2 * dropped])[0]) for dropped in range(3)]
    for cutoff in range(lengths[2] - 2, lengths[0] + 2):
        made = encode(whole, TOKENIZER, cutoff)
        fitting = [d for d, n in enumerate(lengths) if n <= cutoff]
        if not fitting:
            assert made is None
            continue
        assert made is not None
        assert made.dropped == fitting[0]
        kept = whole.messages[: len(whole.messages) - 2 * made.dropped]
        assert (made.ids, made.labels) == chatml(kept)


def test_one_question_for_several_types_is_dropped_as_one() -> None:
    """What is left must not be the acknowledgements alone."""
    whole = conversation('{"甲": [], "乙": ["b"], "丙": []}')
    whole = replace(whole, types=("甲", "乙", "丙"))
    size = len(chatml(whole.messages)[0])
    made = encode(whole, TOKENIZER, size)
    assert made is not None
    assert (made.ids, made.labels) == chatml(whole.messages)
    assert encode(whole, TOKENIZER, size - 1) is None


def test_the_prompt_is_what_precedes_the_answer() -> None:
    about = conversation('["甲"]')
    asked = prompt_text(about.messages[:-1], TOKENIZER)
    assert TOKENIZER(asked, add_special_tokens=False)["input_ids"] == [
        *chatml(about.messages[:-1])[0],
        SPECIAL[tiny_model.START],
        *byte_ids("assistant\n"),
    ]
    made = encode(about, TOKENIZER, 10**6)
    assert made is not None
    assert TOKENIZER.decode(made.ids).startswith(asked)


REWRITES = {
    "forgets old answers": tiny_model.CHATML.replace(
        "m['content'] +", "(m['content'] if loop.last or m['role'] != 'assistant' else '…') +"
    ),
    "counts the turns": "{{ messages | length }}" + tiny_model.CHATML,
    "prompts otherwise": tiny_model.CHATML.replace(
        "assistant\\n' }}{% endif", "assistant\\n<think>' }}{% endif"
    ),
}


@pytest.mark.parametrize("template", REWRITES.values(), ids=REWRITES.keys())
def test_a_template_that_rewrites_earlier_turns(template: str) -> None:
    assert template != tiny_model.CHATML
    with pytest.raises(InputError, match="changes earlier turns"):
        encode(conversation("[]", '["甲"]'), tiny_model.byte_tokenizer(template), 10**6)


def test_a_template_with_an_empty_thought_before_the_last_answer() -> None:
    """As Qwen3 does: the thought stands in the prompt and in the last turn, not in the turns before it."""
    thought = "<think>\\n\\n</think>\\n\\n"
    template = tiny_model.CHATML.replace(
        "m['content'] +", f"('{thought}' if loop.last and m['role'] == 'assistant' else '') + m['content'] +"
    ).replace("assistant\\n' }}{% endif", f"assistant\\n{thought}' }}}}{{% endif")
    assert template.count("think") == 4
    tokenizer: Any = tiny_model.byte_tokenizer(template)
    about = conversation("[]", '["甲"]')
    made = encode(about, tokenizer, 10**6)
    assert made is not None
    learned = [i for i, label in zip(made.ids, made.labels, strict=True) if label != IGNORE]
    assert tokenizer.decode(learned) == '我已读完这段文本。<|im_end|>[]<|im_end|>["甲"]<|im_end|>'
    assert tokenizer.decode(made.ids).startswith(prompt_text(about.messages[:-1], tokenizer))


def test_another_template() -> None:
    """Llama-2 like: no newline after the end token, a space before the answer, which belongs to the prompt."""
    template = (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ ' ' + m['content'] + '<|im_end|>' }}"
        "{% else %}{{ '[' + m['role'] + '] ' + m['content'] + ' [/]' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ ' ' }}{% endif %}"
    )
    tokenizer: Any = tiny_model.byte_tokenizer(template)
    made = encode(conversation('["甲"]', opening=False), tokenizer, 10**6)
    assert made is not None
    asked = f'[system] {SYSTEM} [/][user] 文本中属于"类0"的实体有哪些？ [/] '
    told = [*byte_ids('["甲"]'), SPECIAL[tiny_model.END]]
    assert made.ids == [*byte_ids(asked), *told]
    assert made.labels == [*[IGNORE] * len(byte_ids(asked)), *told]
