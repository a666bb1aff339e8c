import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import TOKEN, HubServer

from sinoner.errors import EndpointError, InputError, StoppedError
from sinoner.parquet import ROWS
from sinoner.publish import hub
from sinoner.publish.card import CardFacts, dataset_card, model_card
from sinoner.records import HUMAN, Annotation, Annotator, Conversation, Entity, Message, Passage

FACTS = CardFacts(
    name="Quick NER", languages=("zh",), licence="cc-by-4.0", annotators=(Annotator(source="lac"),),
    counts={"train": 3, "validation": 1}, passages=2, entities=3, types=2, top_types=(("地点", 2),), style="sinoner",
    prompt=None, seed=42, sources=("news",), base_model="owner/base", lora={"rank": 2}, scores=(), version="0.1.0",
)  # fmt: skip


def conversation(n: int, examples: tuple[str, ...] = ()) -> Conversation:
    text = f"第{n}段：小明在北京说“你好\n😀”"
    turns = (
        ("user", text),
        ("assistant", "我已读完这段文本。"),
        ("user", '属于"地点"？'),
        ("assistant", '["北京"]'),
    )
    messages = tuple(Message(role=r, content=c, learn=r == "assistant") for r, c in turns)
    return Conversation(
        id=f"c{n}",
        messages=messages,
        first_query=2,
        passage=f"p{n}#0",
        types=("地点", "人名"),
        examples=examples,
    )


def row(c: Conversation) -> dict[str, Any]:
    messages = [{"role": m.role, "content": m.content} for m in c.messages]
    return {
        "id": c.id, "messages": messages, "passage": c.passage, "types": list(c.types), "examples": list(c.examples),
    }  # fmt: skip


TRAIN = [conversation(0, ("p1#0", "p2#0")), conversation(1), conversation(2)]
VALIDATION = [conversation(3)]
ANNOTATIONS = [
    Annotation(
        passage=Passage(id="p0#0", text="😀北京人在北京", source="s", lang="zh"),
        entities=(
            Entity(surface="北京", type="地点", starts=(1, 5)),
            Entity(surface="北京人", type="人", starts=(1,)),
        ),
        by=Annotator(source="lac"),
    ),
    Annotation(passage=Passage(id="p1#0", text="nothing", source="s", lang="en"), entities=(), by=HUMAN),
]
ANNOTATION_ROWS = [
    {
        "id": "p0#0", "text": "😀北京人在北京", "lang": "zh", "by": "lac",
        "entities": [
            {"text": "北京", "type": "地点", "start": 1, "end": 3},
            {"text": "北京人", "type": "人", "start": 1, "end": 4},
            {"text": "北京", "type": "地点", "start": 5, "end": 7},
        ],
    },
    {"id": "p1#0", "text": "nothing", "lang": "en", "by": "human", "entities": []},
]  # fmt: skip


def write(folder: Path, facts: CardFacts = FACTS, validation: list[Conversation] = VALIDATION) -> Path:
    splits = {"train": iter(TRAIN), "validation": iter(validation)}
    hub.write_dataset(folder, splits, iter(ANNOTATIONS), dataset_card(facts, "someone/quick"))
    return folder


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def load(path: Path, home: Path) -> list[dict[str, Any]]:
    from datasets import load_dataset

    return list(load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(home)))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real, tiny adapter as peft saves it, trained from a local folder, with things not to be published."""
    from peft import LoraConfig, get_peft_model
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    base, folder = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("adapter")
    config = LlamaConfig(
        vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(base)
    model = LlamaForCausalLM.from_pretrained(base)
    get_peft_model(model, LoraConfig(r=2, target_modules="all-linear")).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", chat_template="{{ messages }}"
    )
    tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"name_or_path": str(base), "vocab_file": str(base / "vocab.json")}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "training_args.bin").write_bytes(b"pickle")
    assert str(base) in (folder / "adapter_config.json").read_text()
    return folder


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as running:
        yield running
    assert running.unknown == []


def client(script: str, server: HubServer, home: Path, *args: str, **env: str) -> Any:
    """Run the real clients in a process of its own: they read their environment when they are imported."""
    done = subprocess.run(
        [sys.executable, "-c", script, *args],
        env={**os.environ, **server.env(home), **env}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "it/s" not in done.stderr  # bars are for terminals
    return json.loads(done.stdout)


UPLOAD = """
import json, sys
from pathlib import Path
from sinoner.errors import EndpointError
from sinoner.publish.hub import upload
def publish(folder, kind, repo="someone/quick", private=True):
    try:
        return upload(Path(folder), repo, kind, private)
    except EndpointError as error:
        return f"refused: {error}"
"""

ROUND_TRIP = (
    UPLOAD
    + """
from datasets import load_dataset
url = publish(sys.argv[1], "dataset")
both = load_dataset("someone/quick")
full = load_dataset("someone/quick", "annotations")
print(json.dumps([url, {k: list(v) for k, v in both.items()}, {k: list(v) for k, v in full.items()}]))
"""
)


def test_dataset_goes_up_and_comes_back(server: HubServer, tmp_path: Path) -> None:
    url, conversations, annotations = client(
        ROUND_TRIP, server, tmp_path / "home", str(write(tmp_path / "data"))
    )
    assert url == f"{server.url}/datasets/someone/quick"
    assert conversations == {"train": [row(c) for c in TRAIN], "validation": [row(c) for c in VALIDATION]}
    assert annotations == {"full": ANNOTATION_ROWS}
    repo = server.repos["dataset", "someone/quick"]
    assert repo.private
    assert repo.files["README.md"] == (tmp_path / "data/README.md").read_bytes()


AGAIN = UPLOAD + "print(json.dumps([publish(folder, 'dataset') for folder in sys.argv[1:]]))"


def test_uploading_again_replaces_what_is_gone(server: HubServer, tmp_path: Path) -> None:
    first = write(tmp_path / "first")
    second = write(
        tmp_path / "second", FACTS.model_copy(update={"counts": {"train": 3, "validation": 0}}), []
    )
    urls = client(AGAIN, server, tmp_path / "home", str(first), str(first), str(second))
    assert urls == [f"{server.url}/datasets/someone/quick"] * 3
    repo = server.repos["dataset", "someone/quick"]
    assert sorted(repo.files) == files(second)
    assert len(repo.commits) == 3  # the creation and two uploads: the same folder again changes nothing


MODEL = (
    UPLOAD
    + """
from huggingface_hub import hf_hub_download
url = publish(sys.argv[1], "model", private=False)
names = sorted(p.name for p in Path(sys.argv[1]).iterdir())
print(json.dumps([url, {n: Path(hf_hub_download("someone/quick", n)).read_bytes().hex() for n in names}]))
"""
)


def test_model_goes_up_and_comes_back(server: HubServer, tmp_path: Path, adapter: Path) -> None:
    hub.write_model(
        tmp_path / "model", adapter, model_card(FACTS, "someone/data", "someone/quick"), "owner/base"
    )
    url, found = client(MODEL, server, tmp_path / "home", str(tmp_path / "model"))
    assert url == f"{server.url}/someone/quick"
    assert found == {p.name: p.read_bytes().hex() for p in (tmp_path / "model").iterdir()}
    assert sorted(server.repos["model", "someone/quick"].files) == files(tmp_path / "model")
    assert not server.repos["model", "someone/quick"].private


def test_public_repository_is_refused_when_private_is_wanted(server: HubServer, tmp_path: Path) -> None:
    script = UPLOAD + "print(json.dumps([publish(sys.argv[1], 'dataset', private=p) for p in (False, True)]))"
    url, refused = client(script, server, tmp_path / "home", str(write(tmp_path / "data")))
    assert url == f"{server.url}/datasets/someone/quick"
    assert refused.startswith("refused: someone/quick exists and is public: set publish.private=false")


def test_front_matter_the_hub_refuses(server: HubServer, tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    (folder / "README.md").write_text("---\ntags: 3\n---\n# x\n")
    script = UPLOAD + "print(json.dumps(publish(sys.argv[1], 'dataset')))"
    refused = client(script, server, tmp_path / "home", str(folder))
    assert refused.startswith("refused: ")
    assert "front matter of README.md" in refused
    assert server.repos["dataset", "someone/quick"].files == {}


def test_upload_that_breaks_off(server: HubServer, tmp_path: Path) -> None:
    server.storage_refuses = True
    script = UPLOAD + "print(json.dumps(publish(sys.argv[1], 'dataset')))"
    line = client(script, server, tmp_path / "home", str(write(tmp_path / "data")))
    assert line.startswith("refused: the token may not write to someone/quick")
    assert "\n" not in line
    assert server.repos["dataset", "someone/quick"].files == {}


def refusal(folder: Path, repo: str = "someone/quick") -> str:
    with pytest.raises(EndpointError) as caught:
        hub.upload(folder, repo, "dataset", True)
    line = str(caught.value)
    assert "\n" not in line
    assert "hf_" not in line
    assert caught.value.__cause__ is None
    return line


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    return tmp_path


@pytest.fixture
def hub_env(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    for name, value in server.env(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    return server


def test_wrong_token(hub_env: HubServer, readme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_9876543210")
    line = refusal(readme)
    assert line == f"{hub_env.url} does not accept the token (401): run `hf auth login` or set HF_TOKEN"
    assert hub_env.repos == {}


@pytest.mark.parametrize("token", ["hf_bad\x01token", "hf_令牌"])
def test_token_that_is_none(
    token: str, hub_env: HubServer, readme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert "characters that no token has" in refusal(readme)
    assert hub_env.requests == []


def test_no_token(server: HubServer, readme: Path) -> None:
    script = UPLOAD + "print(json.dumps(publish(sys.argv[1], 'dataset')))"
    line = client(script, server, readme / "home", str(readme), HF_TOKEN="")
    assert line == f"refused: no token for {server.url}: run `hf auth login` or set HF_TOKEN"
    assert server.requests == []


def test_foreign_owner(hub_env: HubServer, readme: Path) -> None:
    line = refusal(readme, "somebody-else/quick")
    assert "may not write to somebody-else/quick" in line
    assert "(403)" in line
    assert hub_env.repos == {}


def test_unreachable(readme: Path, hub_env: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert refusal(readme).startswith(f"{address} cannot be reached (ConnectError)")


@pytest.mark.parametrize("name", ["a/b/c", "../x", "some one/x", "名字/x", "a--b", "x\ny", ""])
def test_bad_repository_name(name: str, readme: Path, hub_env: HubServer) -> None:
    assert "is not a repository name: write OWNER/NAME" in refusal(readme, name)
    assert hub_env.requests == []


def test_upload_needs_a_written_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="write it first"):
        hub.upload(tmp_path / "none", "someone/quick", "dataset", True)


def test_dry_run_files_equal_the_conversations(tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    assert files(folder) == [
        "README.md",
        "annotations/full-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
    ]
    cache = tmp_path / "cache"
    assert load(folder / "data/train-00000-of-00001.parquet", cache) == [row(c) for c in TRAIN]
    assert load(folder / "data/validation-00000-of-00001.parquet", cache) == [row(c) for c in VALIDATION]
    assert load(folder / "annotations/full-00000-of-00001.parquet", cache) == ANNOTATION_ROWS


def test_more_rows_than_a_batch_and_the_same_bytes_again(tmp_path: Path) -> None:
    many = [conversation(n) for n in range(2 * ROWS + 1)]
    card = dataset_card(FACTS.model_copy(update={"counts": {"train": len(many)}, "with_annotations": False}))
    for name in ("a", "b"):
        hub.write_dataset(tmp_path / name, {"train": iter(many)}, None, card)
    path = "data/train-00000-of-00001.parquet"
    assert load(tmp_path / "a" / path, tmp_path / "cache") == [row(c) for c in many]
    assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_empty_split_has_no_file(tmp_path: Path) -> None:
    card = dataset_card(
        FACTS.model_copy(update={"counts": {"train": 3, "validation": 0}, "with_annotations": False})
    )
    hub.write_dataset(tmp_path / "data", {"train": TRAIN, "validation": []}, None, card)
    assert files(tmp_path / "data") == ["README.md", "data/train-00000-of-00001.parquet"]


@pytest.mark.parametrize("counts", [{"train": 3}, {"train": 3, "validation": 1, "test": 1}])
def test_card_and_files_must_agree(counts: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="card and files differ"):
        write(tmp_path / "data", FACTS.model_copy(update={"counts": counts}))
    assert list(tmp_path.iterdir()) == []


def test_earlier_folder_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "data")
    write(tmp_path / "data", FACTS.model_copy(update={"counts": {"train": 3}}), [])
    assert "data/validation-00000-of-00001.parquet" not in files(tmp_path / "data")
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StoppedError),
        (PermissionError(errno.EACCES, "Permission denied"), InputError),
        (InputError("bad record"), InputError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_broken_writing_leaves_the_earlier_folder(
    error: BaseException, shown: type[BaseException], tmp_path: Path
) -> None:
    folder = write(tmp_path / "data")
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    assert len(before) == 4

    def breaking() -> Iterator[Conversation]:
        yield from TRAIN
        raise error

    with pytest.raises(shown):
        hub.write_dataset(tmp_path / "data", {"train": breaking()}, None, dataset_card(FACTS))
    assert {name: (tmp_path / "data" / name).read_bytes() for name in files(tmp_path / "data")} == before
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_other_folders_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for name in ("mine", "file"):
        with pytest.raises(InputError, match="is not overwritten"):
            write(tmp_path / name)
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


def test_model_folder_holds_what_loads_and_no_path(tmp_path: Path, adapter: Path) -> None:
    hub.write_model(tmp_path / "model", adapter, model_card(FACTS, None), "owner/base")
    assert files(tmp_path / "model") == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "tokenizer.json",
        "tokenizer_config.json",
    ]  # fmt: skip
    config, before = (
        json.loads((f / "adapter_config.json").read_text()) for f in (tmp_path / "model", adapter)
    )
    assert config == before | {"base_model_name_or_path": "owner/base"}
    tokenizer = json.loads((tmp_path / "model/tokenizer_config.json").read_text())
    assert (tokenizer["name_or_path"], tokenizer["vocab_file"]) == ("owner/base", "vocab.json")
    for name in ("adapter_model.safetensors", "tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / "model" / name).read_bytes() == (adapter / name).read_bytes()
    for name in files(tmp_path / "model"):
        assert str(adapter.parent).encode() not in (tmp_path / "model" / name).read_bytes()


def test_published_adapter_loads(tmp_path: Path, adapter: Path) -> None:
    from peft import PeftConfig, load_peft_weights
    from transformers import AutoTokenizer

    hub.write_model(tmp_path / "model", adapter, model_card(FACTS, None), "owner/base")
    assert PeftConfig.from_pretrained(str(tmp_path / "model")).base_model_name_or_path == "owner/base"
    assert load_peft_weights(str(tmp_path / "model")).keys() == load_peft_weights(str(adapter)).keys()
    assert AutoTokenizer.from_pretrained(str(tmp_path / "model")).chat_template == "{{ messages }}"


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors"])
def test_incomplete_adapter(missing: str, tmp_path: Path, adapter: Path) -> None:
    (tmp_path / "adapter").mkdir()
    for name in {"adapter_config.json", "adapter_model.safetensors"} - {missing}:
        (tmp_path / "adapter" / name).write_bytes((adapter / name).read_bytes())
    with pytest.raises(InputError, match=f"{missing}: no such file"):
        hub.write_model(tmp_path / "model", tmp_path / "adapter", "", "owner/base")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_broken_adapter_config(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    (tmp_path / "adapter_config.json").write_bytes(content)
    with pytest.raises(InputError, match=r"adapter_config\.json: is not a JSON object"):
        hub.write_model(tmp_path / "model", tmp_path, "", "owner/base")
    assert not (tmp_path / "model").exists()


def test_base_model_must_be_a_repository(tmp_path: Path, adapter: Path) -> None:
    with pytest.raises(InputError, match="base model 'base' is not a Hub repository"):
        hub.write_model(tmp_path / "model", adapter, "", "/home/me/base")


def test_the_stand_in_wants_its_token(server: HubServer) -> None:
    import httpx2

    address = f"{server.url}/api/repos/create"
    payload = {"name": "quick", "organization": "someone", "type": "dataset"}
    assert httpx2.post(address, json=payload).status_code == 401
    assert httpx2.post(address, json=payload, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
