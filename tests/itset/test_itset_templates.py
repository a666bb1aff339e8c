"""Rows of the messages file through the chat templates of Qwen and Llama 3, by a real tokenizer: exact strings."""

from pathlib import Path

import pytest
from tiny_model import byte_tokenizer

from sinoner.itset.export import messages
from sinoner.records import Conversation, Message

DATA = Path(__file__).resolve().parents[1] / "data"


def conversation(system: bool) -> Conversation:
    turns = (Message(role="system", content="系统"),) if system else ()
    turns += (
        Message(role="user", content='文本： “引号"”\n第二行\u2028\t😀𠮷'),
        Message(role="assistant", content='["a\\"b"]', learn=True),
    )
    return Conversation(id="c0", messages=turns, first_query=int(system), passage="p#0", types=("类",))


QWEN = """<|im_start|>system
{system}<|im_end|>
<|im_start|>user
文本： “引号"”
第二行\u2028\t😀𠮷<|im_end|>
<|im_start|>assistant
["a\\"b"]<|im_end|>
"""
LLAMA_SYSTEM = "<|start_header_id|>system<|end_header_id|>\n\n系统<|eot_id|>"
LLAMA = (
    '<|start_header_id|>user<|end_header_id|>\n\n文本： “引号"”\n第二行\u2028\t😀𠮷<|eot_id|>'
    '<|start_header_id|>assistant<|end_header_id|>\n\n["a\\"b"]<|eot_id|>'
)


@pytest.mark.model
@pytest.mark.parametrize(
    ("template", "system", "expected"),
    [
        ("chatml_qwen", False, QWEN.replace("{system}", "You are a helpful assistant.")),
        ("chatml_qwen", True, QWEN.replace("{system}", "系统")),
        ("header_llama3", False, "<|begin_of_text|>" + LLAMA),
        ("header_llama3", True, "<|begin_of_text|>" + LLAMA_SYSTEM + LLAMA),
    ],
)
def test_chat_templates_apply_to_the_messages(
    template: str, system: bool, expected: str, tmp_path: Path
) -> None:
    """As TRL does: rows of the messages file, read by ``datasets``, through a tokenizer's own template."""
    from datasets import load_dataset

    tokenizer = byte_tokenizer((DATA / f"{template}.jinja").read_text(encoding="utf-8"))
    tokenizer.bos_token = "<|begin_of_text|>"
    file = tmp_path / "train.messages.jsonl"
    file.write_bytes(messages(conversation(system)))
    (row,) = load_dataset("json", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    assert tokenizer.apply_chat_template(row["messages"], tokenize=False) == expected
    asked = tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True)
    assert expected.startswith(asked)
    assert expected.removeprefix(asked).startswith('["a\\"b"]')
    ids = tokenizer.apply_chat_template(row["messages"], tokenize=True, return_dict=False)
    assert tokenizer.decode(ids) == expected
