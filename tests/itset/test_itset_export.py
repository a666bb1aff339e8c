"""ShareGPT, LLaMA-Factory's index, OpenAI messages: read by the real readers."""

import json
from pathlib import Path

import conversation_rows as plain
from hypothesis import given
from hypothesis import strategies as st

from sinoner import disk
from sinoner.itset.export import dataset_info, messages, sharegpt
from sinoner.itset.writers import frame
from sinoner.records import Conversation, Message


def sharegpt_file(conversations: list[Conversation]) -> bytes:
    """A ShareGPT file as the stage writes it."""
    file = frame("sharegpt")
    return b"".join([*(file.add(sharegpt(c)) for c in conversations), file.end()])


def conversation(n: int = 0, system: bool = False) -> Conversation:
    turns = (Message(role="system", content="系统"),) if system else ()
    turns += (
        Message(role="user", content='文本： “引号"”\n第二行\u2028\t😀𠮷'),
        Message(role="assistant", content='["a\\"b"]', learn=True),
    )
    return Conversation(id=f"c{n}", messages=turns, first_query=int(system), passage="p#0", types=("类",))


# What JSON escapes, what only looks as if, and what is longer than one UTF-16 unit.
ODD = "".join(map(chr, range(0x21))) + '"\\/\x7f\x80\x85\xa0\u2028\u2029\ufeff\ufffd\uffff😀𠮷👨\u200d👩'
TURN = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant"]),
    content=st.text() | st.text(ODD),
    learn=st.booleans(),
)
CONVERSATION = st.builds(
    Conversation,
    id=st.text() | st.text(ODD),
    messages=st.lists(TURN, min_size=1, max_size=4).map(tuple),
    first_query=st.just(0),
    passage=st.text(),
    types=st.lists(st.text(ODD), max_size=3).map(tuple),
    examples=st.lists(st.text(ODD), max_size=2).map(tuple),
)


@given(st.lists(CONVERSATION, max_size=4))
def test_the_bytes_are_those_of_json(conversations: list[Conversation]) -> None:
    for conversation in conversations:
        row = json.dumps(plain.messages(conversation), ensure_ascii=False, separators=(",", ":"))
        assert messages(conversation) == row.encode() + b"\n"
        assert messages(conversation).count(b"\n") == 1
    rows = [plain.sharegpt(c) for c in conversations]
    assert sharegpt_file(conversations) == json.dumps(rows, ensure_ascii=False, indent=4).encode()


def test_sharegpt_turns() -> None:
    assert json.loads(sharegpt(conversation(system=True))) == {
        "id": "c0",
        "conversations": [
            {"from": "system", "value": "系统"},
            {"from": "human", "value": '文本： “引号"”\n第二行\u2028\t😀𠮷'},
            {"from": "gpt", "value": '["a\\"b"]'},
        ],
    }


def test_messages_turns() -> None:
    assert json.loads(messages(conversation())) == {
        "id": "c0",
        "messages": [
            {"role": "user", "content": '文本： “引号"”\n第二行\u2028\t😀𠮷'},
            {"role": "assistant", "content": '["a\\"b"]'},
        ],
    }


def test_dataset_info() -> None:
    """The keys and the values of the ``sharegpt`` format in LLaMA-Factory's data/README.md."""
    info = dataset_info("sky", [("train", "train.json"), ("validation", "validation.json")])
    assert list(info) == ["sky", "sky_validation"]
    assert info["sky_validation"]["file_name"] == "validation.json"
    documented = {
        "file_name": "train.json",
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
        "tags": {
            "role_tag": "from",
            "content_tag": "value",
            "user_tag": "human",
            "assistant_tag": "gpt",
            "system_tag": "system",
        },
    }
    assert info["sky"] == documented


def test_the_index_leads_to_alternating_turns(tmp_path: Path) -> None:
    """Read as LLaMA-Factory reads: index, file, columns, tags; user on odd places, assistant on even ones."""
    disk.write_json(tmp_path / "dataset_info.json", dataset_info("x", [("train", "train.json")]))
    (tmp_path / "train.json").write_bytes(sharegpt_file([conversation(i) for i in range(3)]))
    entry = json.loads((tmp_path / "dataset_info.json").read_text(encoding="utf-8"))["x"]
    rows = json.loads((tmp_path / entry["file_name"]).read_text(encoding="utf-8"))
    tags = entry["tags"]
    for row in rows:
        turns = row[entry["columns"]["messages"]]
        assert len(turns) % 2 == 0
        assert {t[tags["role_tag"]] for t in turns[::2]} == {tags["user_tag"]}
        assert {t[tags["role_tag"]] for t in turns[1::2]} == {tags["assistant_tag"]}
        assert all(isinstance(t[tags["content_tag"]], str) for t in turns)


def test_datasets_loads_the_files(tmp_path: Path) -> None:
    from datasets import load_dataset

    conversations = [conversation(i, system=i == 1) for i in range(3)]
    shared, lines = tmp_path / "train.json", tmp_path / "train.messages.jsonl"
    shared.write_bytes(sharegpt_file(conversations))
    lines.write_bytes(b"".join(map(messages, conversations)))
    cache = str(tmp_path / "cache")
    loaded = load_dataset("json", data_files=str(shared), split="train", cache_dir=cache)
    assert list(loaded) == [plain.sharegpt(c) for c in conversations]
    loaded = load_dataset("json", data_files=str(lines), split="train", cache_dir=cache)
    assert list(loaded) == [plain.messages(c) for c in conversations]
