"""Folders in the layout of the Hugging Face Hub, and their upload.

A folder is written next to its final path and then renamed, so an incomplete one never has the final name.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import yaml

from sinoner import disk
from sinoner.atomic_folder import AtomicFolder
from sinoner.errors import EndpointError, InputError
from sinoner.parquet import ROWS, conversation_row, conversation_schema
from sinoner.publish import card as cards
from sinoner.publish import markdown as md
from sinoner.records import Annotation, Conversation
from sinoner.text.mentions import mention_rows

Kind = Literal["dataset", "model"]

_LOGIN = "run `hf auth login` or set HF_TOKEN"
_REQUIRED = ("adapter_config.json", "adapter_model.safetensors")
# Nothing else of an adapter folder is published: no optimizer states, no pickles, no generated README.
_OPTIONAL = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
             "vocab.json", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model",
             "chat_template.jinja", "chat_template.json", "generation_config.json")  # fmt: skip


def write_dataset(
    folder: Path,
    splits: Mapping[str, Iterable[Conversation]],
    annotations: Iterable[Annotation] | None,
    card: str,
) -> None:
    """Write the data set: one Parquet file per split, the annotations as a second config, and the card.

    Args:
        folder: target; a data set written there earlier is replaced.
        splits: conversations per split, read once; an empty split gets no file.
        annotations: the labelled passages of all splits.
        card: text of README.md; its configs must name the files that are written.

    Raises:
        InputError: the folder contains something else, or cannot be written.
        StoppedError: the disk is full. The earlier folder is kept.
    """
    with _replacing(folder) as part:
        for split, conversations in splits.items():
            rows = (conversation_row(c) for c in conversations)
            _write_parquet(part / "data", split, rows, _features("conversation"))
        rows = (_annotation_row(a) for a in annotations or ())
        _write_parquet(part / cards.ANNOTATIONS, cards.ANNOTATIONS_SPLIT, rows, _features("annotation"))
        _check_configs(part, card)
        disk.write_text(part / "README.md", card)


def write_model(folder: Path, adapter: Path, card: str, base_model: str) -> None:
    """Write the model: the adapter, its tokenizer and the card.

    Args:
        folder: target; a model written there earlier is replaced.
        adapter: the folder that training saved.
        card: text of README.md.
        base_model: Hub repository of the base model; replaces the path that the adapter was trained from.

    Raises:
        InputError: the adapter is incomplete, ``base_model`` is not the name of a repository, or the
            folder contains something else or cannot be written.
        StoppedError: the disk is full. The earlier folder is kept.
    """
    if md.repo_id(base_model) is None:
        name = md.public(base_model)
        raise InputError(
            f"base model {name!r} is not a Hub repository: name it as OWNER/NAME so that others can load it"
        )
    for name in _REQUIRED:
        if not (adapter / name).is_file():
            raise InputError(f"{adapter / name}: no such file; train the adapter first")
    with _replacing(folder) as part:
        for name in (*_REQUIRED, *_OPTIONAL):
            source = adapter / name
            if name in ("adapter_config.json", "tokenizer_config.json") and source.is_file():
                disk.write_json(part / name, _without_paths(_read_object(source), base_model))
            elif source.is_file():
                shutil.copyfile(source, part / name)
        disk.write_text(part / "README.md", card)


def upload(folder: Path, repo: str, kind: Kind, private: bool) -> str:
    """Create the repository if it is missing, and upload a folder written by this module.

    Files of an earlier upload that are no longer in the folder of the data set are deleted from the repository.

    Args:
        folder: a folder written by ``write_dataset`` or ``write_model``.
        repo: ``OWNER/NAME``; without an owner, the account of the token.
        kind: dataset or model.
        private: whether the repository is private. If so, an existing public repository is refused.

    Returns:
        The address of the repository.

    Raises:
        InputError: the folder does not exist.
        EndpointError: the Hub cannot be used (no token, refused, unreachable, bad name); the message never contains the token.
    """
    if not (folder / "README.md").is_file():
        raise InputError(f"{folder}: is not a published folder; write it first with publish --dry-run")
    if md.repo_id(repo) is None:
        raise EndpointError(
            f"{md.flat(repo)!r} is not a repository name: write OWNER/NAME (letters, digits, - _ .)"
        )
    # The library reads HF_ENDPOINT only when it is imported; a later value is used because it is read here.
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    with _plain_errors(repo, endpoint):
        return _upload(folder, repo, kind, private, endpoint)


def _upload(folder: Path, repo: str, kind: Kind, private: bool, endpoint: str) -> str:
    from huggingface_hub import HfApi, get_token

    token = get_token()
    if not token:
        raise EndpointError(f"no token for {endpoint}: {_LOGIN}")
    if not (token.isascii() and token.isprintable()):
        raise EndpointError(f"the token for {endpoint} contains characters that no token has: {_LOGIN}")
    api = HfApi(endpoint=endpoint, token=token, library_name="sinoner")
    url = api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
    if private and not api.repo_info(url.repo_id, repo_type=kind).private:
        raise EndpointError(
            f"{url.repo_id} exists and is public: set publish.private=false to upload to it, or choose another name"
        )
    ours = [f"{part}/*-?????-of-?????.parquet" for part in ("data", cards.ANNOTATIONS)]
    with _bars_on_terminals():
        api.upload_folder(
            folder_path=folder,
            repo_id=url.repo_id,
            repo_type=kind,
            commit_message="Upload with sinoner",
            delete_patterns=ours if kind == "dataset" else None,
        )
    return str(url)


@contextlib.contextmanager
def _bars_on_terminals() -> Iterator[None]:
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    quiet = not sys.stderr.isatty() and not are_progress_bars_disabled()
    if quiet:
        disable_progress_bars()
    try:
        yield
    finally:
        if quiet:
            enable_progress_bars()


@contextlib.contextmanager
def _plain_errors(repo: str, endpoint: str) -> Iterator[None]:
    """Turn exceptions of the Hub client into one line. Their messages are not repeated: they may contain the token."""
    import httpx2
    from huggingface_hub.errors import DeviceCodeError, HfHubHTTPError, OfflineModeIsEnabled, OIDCError

    try:
        yield
    except (httpx2.HTTPError, OSError, ValueError, RuntimeError, OIDCError, DeviceCodeError) as error:
        # The client wraps exceptions of its upload threads in a RuntimeError.
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        if isinstance(cause, OfflineModeIsEnabled):
            line = "HF_HUB_OFFLINE is set: unset it to upload"
        elif isinstance(cause, HfHubHTTPError):
            line = _status_line(cause.response.status_code, repo, endpoint)
        elif isinstance(cause, (httpx2.HTTPError, ConnectionError, TimeoutError)):
            line = f"{endpoint} cannot be reached ({type(cause).__name__}): check the network and HF_ENDPOINT, then run again"
        elif isinstance(cause, OSError) and cause.filename:
            line = f"{cause.filename}: cannot be read ({type(cause).__name__}): write the folder again"
        elif isinstance(cause, (OIDCError, DeviceCodeError, PermissionError)):
            line = f"{endpoint} does not accept the login ({type(cause).__name__}): {_LOGIN}"
        elif isinstance(cause, ValueError) and "README.md" in str(cause):
            line = (
                f"{endpoint} does not accept the front matter of README.md for {repo}: check publish.licence"
            )
        elif isinstance(cause, (OSError, RuntimeError)):
            line = f"the upload of {repo} to {endpoint} was interrupted ({type(cause).__name__}): run again"
        else:
            raise
        raise EndpointError(line) from None


def _status_line(status: int, repo: str, endpoint: str) -> str:
    if status == 401:
        return f"{endpoint} does not accept the token (401): {_LOGIN}"
    if status == 403:
        return f"the token may not write to {repo} at {endpoint} (403): check the owner, or {_LOGIN} (write access)"
    if status == 404:
        return f"{repo} does not exist at {endpoint} or the token may not read it (404): check the name and the token"
    if status == 429 or status >= 500:
        return f"{endpoint} is overloaded or failing ({status}): run again later"
    return f"{endpoint} refused the upload of {repo} ({status}): check the name and the licence"


def _replacing(folder: Path) -> AtomicFolder:
    """A new folder that replaces ``folder``, which may contain only a folder published earlier."""
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / "README.md").is_file())
    ):
        raise InputError(f"{folder}: is not a published folder and is not overwritten; choose another folder")
    return AtomicFolder(folder)


def _features(kind: Literal["conversation", "annotation"]) -> Any:
    from datasets import Features, List, Value

    string, number = Value("string"), Value("int32")
    if kind == "annotation":
        entity = {"text": string, "type": string, "start": number, "end": number}
        return Features(
            {"id": string, "text": string, "lang": string, "entities": List(entity), "by": string}
        )
    return Features.from_arrow_schema(conversation_schema())


def _annotation_row(annotation: Annotation) -> dict[str, Any]:
    passage = annotation.passage
    return {
        "id": passage.id,
        "text": passage.text,
        "lang": passage.lang,
        "entities": mention_rows(annotation),
        "by": annotation.by.label,
    }


def _write_parquet(folder: Path, split: str, rows: Iterator[dict[str, Any]], features: Any) -> None:
    """Write the rows batch by batch; the schema carries the features for ``datasets``. Without rows, no file is written."""
    import pyarrow.parquet as pq
    from datasets import Dataset

    batch = list(islice(rows, ROWS))
    if not batch:
        return
    folder.mkdir(exist_ok=True)
    with pq.ParquetWriter(folder / f"{split}-00000-of-00001.parquet", features.arrow_schema) as writer:
        while batch:
            writer.write_table(Dataset.from_list(batch, features=features).with_format("arrow")[:])
            batch = list(islice(rows, ROWS))


def _check_configs(folder: Path, card: str) -> None:
    """Check that card and files agree: a card that names missing files would make the whole data set unloadable."""
    configs = yaml.safe_load(card.split("\n---\n", 1)[0].removeprefix("---\n")).get("configs") or []
    named = {
        file for config in configs for data in config["data_files"] for file in folder.glob(data["path"])
    }
    empty = [d["path"] for c in configs for d in c["data_files"] if not any(folder.glob(d["path"]))]
    written = set(folder.rglob("*.parquet"))
    if empty or named != written:
        missing = empty or sorted(str(f.relative_to(folder)) for f in written - named)
        raise ValueError(f"card and files differ: {', '.join(missing)}")


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path}: is not a JSON object; train the adapter again")
    return value


def _without_paths(config: dict[str, Any], base_model: str) -> dict[str, Any]:
    """The configuration with the public name of the base model, and without absolute paths."""

    def clean(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: clean(k, v) for k, v in value.items()}
        if not isinstance(value, str) or not key.endswith(("_or_path", "_path", "_file", "_dir")):
            return value
        return base_model if key.endswith("name_or_path") else md.public(value)

    return {k: clean(k, v) for k, v in config.items()}
