"""Speed of cutting documents, compared with the splitter of the paper's code. Prints one JSON line per method.

    python benchmarks/chunk.py [--data FILE.jsonl ...] [--mb 6] [--limit 256] [--repeat 3]

Compared if installed: the paper's splitter (RecursiveCharacterTextSplitter of langchain, counting with tiktoken) and plain
tokenization as the upper limit: pip install langchain-text-splitters tiktoken. ``ratio`` is relative to the paper's splitter.
"""

import argparse
import gzip
import hashlib
import importlib.util
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sinoner.corpus.chunker import counter, cut
from sinoner.resources import data_root

# Separators of the paper's code, in its order.
SEPARATORS = ["。", "！", "？", "\n\n", "\n", "；", " "]
ENCODING = "o200k_base"


def texts(paths: list[str], megabytes: float) -> list[str]:
    """Documents of about this total size; a corpus that is too small is repeated, cut at another place each time."""
    files = [Path(p) for p in paths] or [data_root() / "data_recipes/quickstart/train.zh.jsonl"]
    base = [json.loads(line)["text"] for f in files for line in f.open(encoding="utf-8")]
    out: list[str] = []
    size = turn = 0
    while size < megabytes * 1e6:
        text = base[len(out) % len(base)][turn:]
        out.append(text)
        size += len(text.encode())
        turn = len(out) // len(base) % 40
    return out


def reference() -> Callable[[str], list[str]] | None:
    """The splitter of the paper's code; its tokenizer file comes from bpe-openai, so nothing is downloaded."""
    if not (importlib.util.find_spec("langchain_text_splitters") and importlib.util.find_spec("tiktoken")):
        return None
    spec = importlib.util.find_spec("bpe_openai")
    assert spec
    assert spec.origin
    packed = Path(spec.origin).parent / "data" / f"{ENCODING}.tiktoken.gz"
    url = f"https://openaipublic.blob.core.windows.net/encodings/{ENCODING}.tiktoken"
    folder = Path(tempfile.mkdtemp())
    (folder / hashlib.sha1(url.encode()).hexdigest()).write_bytes(gzip.decompress(packed.read_bytes()))
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter.from_tiktoken_encoder(
        encoding_name=ENCODING,
        chunk_size=ARGS.limit,
        chunk_overlap=0,
        separators=SEPARATORS,
        keep_separator=True,
    )
    return splitter.split_text


def tokenise() -> Callable[[str], list[str]] | None:
    """Encoding alone, the practical limit of anything that counts with this tokenizer library."""
    if not importlib.util.find_spec("tiktoken"):
        return None
    import tiktoken

    encoding = tiktoken.get_encoding(ENCODING)
    return lambda text: [str(len(encoding.encode_ordinary(text)))]


def measure(name: str, split: Callable[[str], list[str]], documents: list[str]) -> dict[str, object]:
    """Median speed over the repeats, and statistics of the chunks."""
    size = sum(len(d.encode()) for d in documents) / 1e6
    split(documents[0])
    speeds = []
    chunks: list[list[str]] = []
    for _ in range(ARGS.repeat):
        begin = time.perf_counter()
        chunks = [split(d) for d in documents]
        speeds.append(size / (time.perf_counter() - begin))
    row: dict[str, object] = {
        "area": "chunk",
        "method": name,
        "mb": round(size, 2),
        "mb_s": round(statistics.median(speeds), 2),
    }
    if name != "encode_only":
        till = counter(ENCODING)
        tokens = [till(c, 10**9) or 0 for pieces in chunks for c in pieces]
        row |= {
            "chunks": len(tokens),
            "mean_tokens": round(statistics.mean(tokens), 1),
            "max_tokens": max(tokens),
            "over_limit": sum(t > ARGS.limit for t in tokens),
            "rejoins": all("".join(pieces) == d for pieces, d in zip(chunks, documents, strict=True)),
        }
    return row


def main() -> None:
    documents = texts(ARGS.data, ARGS.mb)
    till = counter(ENCODING)
    rows = []
    baseline: float | None = None
    if (split := reference()) is not None:
        rows.append(measure("reference", split, documents))
        baseline = float(str(rows[0]["mb_s"]))
    rows.append(measure("sinoner", lambda text: list(cut(text, till, ARGS.limit)), documents))
    if (encode := tokenise()) is not None:
        rows.append(measure("encode_only", encode, documents))
    for row in rows:
        if baseline:
            row["ratio"] = round(float(str(row["mb_s"])) / baseline, 2)
        print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", nargs="*", default=[])
    parser.add_argument("--mb", type=float, default=6)
    parser.add_argument("--limit", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=3)
    ARGS = parser.parse_args()
    main()
