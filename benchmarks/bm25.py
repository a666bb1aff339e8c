"""Speed of BM25 scoring of the candidates of every passage, and of tokenizing. Prints one JSON line per method.

    python benchmarks/bm25.py [--passages 5000] [--queries N] [--candidates 128] [--data FILE.jsonl] [--methods NAME,…]

Methods run in turns, each run in its own process; the figures are medians. All methods score the same tokens (those of jieba,
without the shipped stop words), the same queries (the passages themselves) and the same random candidates:

- ``reference``: the formula of gensim 3.8 in plain Python, word by word (``ratio`` is relative to it);
- ``rank_bm25``: BM25Okapi, if that package is installed: the same formula with numpy over the candidates;
- ``bm25s``: bm25s scores the whole pool, then the candidates are selected (its variant atire, which has another idf);
- ``ours``, ``ours-lucene``: ``Bm25.scores_many``; ``ours-top``: ``Bm25.top``, the best of the whole pool.

``build_s`` is the time for the index, ``score_s`` for the scores, ``cpu_s`` their CPU time, which is the figure to compare on a
busy machine. ``most_off`` is the greatest difference from ``reference`` over 200 queries; the benchmark stops when a method
with the same formula is off by 0.0000005 or more. ``tokens-…`` tokenize all passages: jieba in one process, the cache of the run
folder when it is empty, the same with two workers, and the full cache; their ratio is relative to jieba.

--data takes lines of {"text": …}; long texts are cut into passages of about 260 characters at full stops. Without it, texts are
generated.
"""

import argparse
import json
import math
import random
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from turns import in_turns

METHODS = ("reference", "rank_bm25", "bm25s", "ours", "ours-lucene", "ours-top")
CUTTING = ("tokens-jieba", "tokens-empty", "tokens-workers", "tokens-full")
GLUE = ("，", "、", "的", "在", "和", "是", "了", "与", "，其中", "，并且", "；", "为", "于", "对")
SAMPLE = 200
SAME = ("rank_bm25", "ours")


def made(passages: int) -> Iterator[str]:
    """Texts of about 80 words: long-tailed words from jieba's dictionary with function words and punctuation between them."""
    import jieba

    jieba.setLogLevel(60)
    jieba.initialize()
    r = random.Random(0)
    known = sorted(w for w, n in jieba.dt.FREQ.items() if n > 20 and 2 <= len(w) <= 4)
    r.shuffle(known)
    for _ in range(passages):
        topic = r.randrange(len(known) - 400)
        pieces: list[str] = []
        while len(pieces) < 110:
            near = topic + int(r.paretovariate(0.6)) if r.random() < 0.4 else int(r.paretovariate(0.35))
            pieces.append(known[near % len(known)])
            if r.random() < 0.5:
                pieces.append(r.choice(GLUE))
        yield "".join(pieces) + "。"


def passages_of(path: Path, count: int) -> Iterator[str]:
    given = 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            passage = ""
            for sentence in json.loads(line)["text"].replace("。", "。\0").split("\0"):
                if passage and len(passage) + len(sentence) > 260:
                    yield passage[:520]
                    passage, given = "", given + 1
                    if given == count:
                        return
                passage += sentence
            if len(passage) > 80:
                yield passage[:520]
                given += 1
                if given == count:
                    return


def formula(
    pool: list[list[str]],
) -> Callable[[list[str], int], float]:
    counts = [Counter(words) for words in pool]
    having = Counter(word for words in counts for word in words)
    idf = {w: math.log(len(pool) - n + 0.5) - math.log(n + 0.5) for w, n in having.items()}
    floor = 0.25 * sum(idf.values()) / len(idf)
    idf = {w: floor if i < 0 else i for w, i in idf.items()}
    average = sum(map(len, pool)) / len(pool)
    lengths = [len(words) for words in pool]

    def score(query: list[str], row: int) -> float:
        total, own = 0.0, counts[row]
        for word in query:
            if word not in own:
                continue
            f = own[word]
            total += idf[word] * f * 2.5 / (f + 1.5 * (1 - 0.75 + 0.75 * lengths[row] / average))
        return total

    return score


def scored(method: str, pool: list[list[str]], count: int, candidates: int) -> dict[str, object]:
    import numpy as np
    import scipy.sparse  # noqa: F401  (imported before the time is taken)

    queries = pool[:count]
    rows = np.random.default_rng(0).integers(0, len(pool), (count, candidates))
    begin = time.perf_counter()
    if method == "reference":
        one = formula(pool)
        built = time.perf_counter()
        spent = time.process_time()
        found = np.array([[one(q, r) for r in line] for q, line in zip(queries, rows.tolist(), strict=True)])
    elif method == "rank_bm25":
        from rank_bm25 import BM25Okapi

        okapi = BM25Okapi(pool)
        built = time.perf_counter()
        spent = time.process_time()
        found = np.array([okapi.get_batch_scores(q, r) for q, r in zip(queries, rows.tolist(), strict=True)])
    elif method == "bm25s":
        import bm25s

        begin = time.perf_counter()
        peer = bm25s.BM25(k1=1.5, b=0.75, method="atire")
        peer.index(pool, show_progress=False)
        built = time.perf_counter()
        spent = time.process_time()
        found = np.array([peer.get_scores(q)[r] for q, r in zip(queries, rows, strict=True)])
    else:
        from sinoner.retrieve.bm25 import Bm25

        ours = Bm25(pool, "lucene" if method == "ours-lucene" else "gensim")
        built = time.perf_counter()
        spent = time.process_time()
        if method == "ours-top":
            found = np.empty((0, candidates))
            for _ in ours.top(queries, candidates):
                pass
        else:
            found = ours.scores_many(queries, rows)
    end = time.perf_counter()
    made = {"build_s": built - begin, "seconds": end - built, "cpu": time.process_time() - spent}
    if method not in SAME:
        return made
    one = formula(pool)
    off = max(
        abs(one(queries[i], row) - found[i, j])
        for i in range(min(SAMPLE, count))
        for j, row in enumerate(rows[i].tolist())
    )
    if off >= 5e-7:
        raise SystemExit(f"{method}: scores differ from the formula (by {off})")
    return {**made, "most_off": float(off)}


def cut(method: str, texts: list[str], folder: Path) -> dict[str, object]:
    import jieba

    from sinoner.engine import InProcess, engine_of
    from sinoner.store.tokenized import Tokens

    jieba.setLogLevel(60)
    jieba.initialize()
    path = folder / "tokens.jsonl"
    if method == "tokens-full":
        Tokens(path, "zh", InProcess()).of(texts)
    begin = time.perf_counter()
    if method == "tokens-jieba":
        tokens = [jieba.lcut(text) for text in texts]
    else:
        tokens = Tokens(path, "zh", engine_of(2 if method == "tokens-workers" else 1)).of(texts)
    seconds = time.perf_counter() - begin
    if [[t for t in x if not t.isspace()] for x in tokens] != [
        [t for t in jieba.lcut(x) if not t.isspace()] for x in texts
    ]:
        raise SystemExit(f"{method}: tokens differ from those of jieba")
    return {"seconds": seconds, "characters": sum(map(len, texts))}


def child(method: str, source: Path, count: int, candidates: int) -> None:
    with source.open(encoding="utf-8") as file:
        texts, pool = json.load(file)
    with tempfile.TemporaryDirectory() as name:
        if method in CUTTING:
            row = cut(method, texts, Path(name))
        else:
            one: dict[str, str] = {}  # one object per word, as the tokens of the run folder are
            pool = [list(map(one.setdefault, words, words)) for words in pool]
            row = scored(method, pool, count, candidates)
    row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(row))


def main() -> None:
    from sinoner.engine import InProcess
    from sinoner.retrieve.tokenize import kept
    from sinoner.store.tokenized import Tokens, stop_words

    methods = [m for m in ARGS.methods.split(",") if m != "rank_bm25" or find_spec("rank_bm25")]
    with tempfile.TemporaryDirectory() as name:
        texts = list(passages_of(ARGS.data, ARGS.passages) if ARGS.data else made(ARGS.passages))
        stops = stop_words("shipped", "zh")
        pool = [kept(tokens, stops) for tokens in Tokens(Path(name) / "t", "zh", InProcess()).of(texts)]
        source = Path(name) / "pool.json"
        source.write_text(json.dumps([texts, pool], ensure_ascii=False), encoding="utf-8")
        count = min(ARGS.queries or len(pool), len(pool))
        words = ["--data", str(source), "--queries", str(count), "--candidates", str(ARGS.candidates)]
        runs = in_turns(__file__, methods, ARGS.repeat, lambda method: words)
        median = {m: statistics.median(x["seconds"] for x in found) for m, found in runs.items()}
        shape = {"passages": len(pool), "words": round(sum(map(len, pool)) / len(pool), 1)}
        for method, found in runs.items():
            row: dict[str, object] = {"area": "bm25", "method": method, **shape}
            if method in CUTTING:
                row["characters_s"] = round(found[0]["characters"] / median[method])
            else:
                row |= {"queries": count, "candidates": ARGS.candidates}
                row["build_s"] = round(statistics.median(x["build_s"] for x in found), 3)
                row["score_s"] = round(median[method], 3)
                row["cpu_s"] = round(statistics.median(x["cpu"] for x in found), 3)
                if "most_off" in found[0]:
                    row["most_off"] = max(x["most_off"] for x in found)
            row["peak_mb"] = round(max(x["peak_mb"] for x in found))
            baseline = median.get("tokens-jieba" if method in CUTTING else "reference", 0.0)
            row["ratio"] = round(baseline / median[method], 2)
            print(json.dumps(row))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passages", type=int, default=5000)
    parser.add_argument("--queries", type=int, default=0, help="default: every passage")
    parser.add_argument("--candidates", type=int, default=128)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--methods", default=",".join(METHODS + CUTTING))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--child")
    ARGS = parser.parse_args()
    if ARGS.child:
        child(ARGS.child, ARGS.data, ARGS.queries, ARGS.candidates)
    else:
        main()
