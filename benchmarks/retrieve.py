"""Speed of finding nearest neighbours. Prints one JSON line per method.

    python benchmarks/retrieve.py [--pool 5000] [--dim 1024] [--k 128] [--methods NAME,…] [--repeat 3] [--loop-queries N]
                                  [--vectors FILE.npy]

The k nearest neighbours of every passage of a pool are searched, as in training. The vectors are random and of length 1
unless a file is given. Methods run in turns, each run in its own process; the figures are medians. ``loop`` is the method of
the paper's code, in plain Python and numpy: one cosine after the other, for every query over the whole pool, then a sort; it
answers --loop-queries of the queries, and its time is scaled linearly. ``faiss`` is one search of a flat index and nothing
else. ``sinoner`` is ``nearest`` with the pool as queries, ``sinoner-others`` the same with queries outside the pool; ``ivf``
and ``hnsw`` are approximate, including the time to build their index. ``recall`` is the share of the true neighbours (float64)
for 200 queries. ``ratio`` is the speed relative to ``faiss``, ``of_loop`` that relative to ``loop``.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from turns import in_turns

METHODS = ("loop", "faiss", "sinoner", "sinoner-others")
CHECKED = 200


def made(pool: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((pool, dim), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def loop(pool: np.ndarray, queries: np.ndarray, k: int, some: int) -> np.ndarray:
    found = []
    for query in queries[:some]:
        cosines = [float(np.dot(row, query) / (np.linalg.norm(row) * np.linalg.norm(query))) for row in pool]
        found.append(sorted(range(len(cosines)), key=cosines.__getitem__, reverse=True)[:k])
    return np.array(found)


def flat(pool: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    import faiss

    index = faiss.IndexFlatIP(pool.shape[1])
    index.add(pool)
    return index.search(queries, k)[1]


def ours(method: str, pool: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    from sinoner.retrieve.nearest import nearest

    kind = method if method in ("ivf", "hnsw") else "exact"
    return nearest(queries, pool, k, kind).rows


def recall(pool: np.ndarray, queries: np.ndarray, found: np.ndarray) -> float:
    rows = np.random.default_rng(1).permutation(len(found))[:CHECKED]
    k = found.shape[1]
    products = queries[rows].astype(np.float64) @ pool.astype(np.float64).T
    border = np.partition(products, len(pool) - k, axis=1)[:, len(pool) - k]
    reached = np.take_along_axis(products, found[rows], axis=1)
    return float((reached >= border[:, None] - 1e-6).mean())


def child(method: str) -> None:
    pool = np.load(ARGS.vectors).astype(np.float32) if ARGS.vectors else made(ARGS.pool, ARGS.dim, 0)
    queries = made(len(pool), pool.shape[1], 1) if method == "sinoner-others" else pool
    if method != "loop":
        import faiss  # noqa: F401
    begin, cpu = time.perf_counter(), time.process_time()
    if method == "loop":
        found = loop(pool, queries, ARGS.k, ARGS.loop_queries)
    elif method == "faiss":
        found = flat(pool, queries, ARGS.k)
    else:
        found = ours(method, pool, queries, ARGS.k)
    scale = len(queries) / len(found)
    seconds, cpu = (time.perf_counter() - begin) * scale, (time.process_time() - cpu) * scale
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = {"pool": len(pool), "dim": pool.shape[1], "seconds": seconds, "cpu_s": cpu, "peak_mb": peak}
    print(json.dumps({**row, "recall": recall(pool, queries, found)}))


def main() -> None:
    results = in_turns(__file__, ARGS.methods.split(","), ARGS.repeat, lambda method: sys.argv[1:])
    medians = {m: statistics.median(r["seconds"] for r in rs) for m, rs in results.items()}
    for method, runs in results.items():
        row = {
            "area": "retrieve", "method": method, "pool": runs[0]["pool"], "dim": runs[0]["dim"], "k": ARGS.k,
            "seconds": round(medians[method], 2), "cpu_s": round(statistics.median(r["cpu_s"] for r in runs), 2),
            "peak_mb": round(max(r["peak_mb"] for r in runs)), "recall": round(min(r["recall"] for r in runs), 5),
        }  # fmt: skip
        for name, base in (("ratio", "faiss"), ("of_loop", "loop")):
            if base in medians:
                row[name] = round(medians[base] / medians[method], 2)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pool", type=int, default=5000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--k", type=int, default=128)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--loop-queries", type=int, default=20)
    parser.add_argument("--child")
    ARGS = parser.parse_args()
    child(ARGS.child) if ARGS.child else main()
