"""Speed, memory and recall of the search for duplicates and for leaked test passages. Prints one JSON object.

    python benchmarks/duplicates.py [--data TEXTS.jsonl] [--passages 20000] [--tests 2000] [--seed 0]

``--data`` has one object per line with a "text"; without it, texts are generated. ``passages_s`` covers normalising and
comparing (not reading and parsing) in one process, with distinct texts. ``bytes_per_passage`` is the memory that stays
allocated per passage after a second pass (tracemalloc), including the passage's id. ``recall`` and ``precision`` are measured
on copies with random edits: the truth is the exact Jaccard similarity of their sets of 5-grams (normalised strings); a copy
counts as similar from 0.8 on. ``bands`` are ranges of that similarity; below 0.8 only false positives can be counted.
"""

import argparse
import gc
import json
import random
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

THRESHOLD = 0.8
BANDS = ((0.7, 0.8), (0.8, 0.85), (0.85, 0.9), (0.9, 1.01))
COPIES = 5000
HAN = "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))
# Character frequencies as in real text: the most frequent one is 1 in 9, and 50 make up half of all characters.
WEIGHTS = [1 / (rank + 1) for rank in range(len(HAN))]


def texts_of(path: Path | None, count: int, r: random.Random) -> list[str]:
    """Distinct texts of about 120 to 320 characters."""
    if path is None:
        return ["".join(r.choices(HAN, WEIGHTS, k=r.randint(120, 320))) for _ in range(count)]
    found: dict[str, None] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            text = json.loads(line)["text"]
            position = 0
            while position < len(text):
                size = r.randint(120, 320)
                piece = text[position : position + size]
                position += size
                if len(piece) >= 60:
                    found[piece] = None
            if len(found) >= count:
                break
    return list(found)[:count]


def passages(texts: list[str]) -> list:
    from sinoner.records import Passage
    from sinoner.text.lang import detect_lang

    return [Passage(id=f"{n}#0", text=t, source="s", lang=detect_lang(t)) for n, t in enumerate(texts)]


def speed(check: Callable[[object], object], items: list) -> tuple[int, int]:
    """Passages per second, and the number of duplicates found."""
    begin = time.perf_counter()
    found = sum(check(item) is not None for item in items)
    return round(len(items) / (time.perf_counter() - begin)), found


def allocated(make: Callable[[], object]) -> int:
    """Bytes that stay allocated by the object that is made."""
    gc.collect()
    tracemalloc.start()
    kept = make()
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return size


def method(name: str, items: list, tests: int) -> dict[str, float]:
    from sinoner.quality.contamination import Decontaminator, TestSet
    from sinoner.quality.duplicates import Duplicates

    warm = Duplicates(THRESHOLD, True)  # so that imports and tables are not counted
    for item in items[:50]:
        warm.check(item)
    if name == "decontaminate":
        sets = [TestSet("t", "", items[:tests])]
        rate, found = speed(Decontaminator(sets, THRESHOLD).check, items[tests:])
        size = allocated(lambda: Decontaminator(sets, THRESHOLD))
        return {"passages_s": rate, "bytes_per_test_passage": round(size / tests), "found": found}
    near = THRESHOLD if name == "exact_and_near" else None
    rate, found = speed(Duplicates(near, True).check, items)

    def filled() -> Duplicates:
        duplicates = Duplicates(near, True)
        for item in items:  # with new id strings, as when passages are read and released
            duplicates.check(replace(item, id=item.id[:-2] + "#0"))
        return duplicates

    size = allocated(filled)
    return {"passages_s": rate, "bytes_per_passage": round(size / (len(items) - found)), "found": found}


def edited(text: str, edits: int, r: random.Random) -> str:
    """Random replacements, deletions and insertions of one to three characters."""
    letters = list(text)
    for _ in range(edits):
        position = r.randrange(len(letters))
        kind = r.randrange(3)
        letters[position : position + (r.randint(1, 3) if kind else 0)] = (
            r.choices(HAN, k=r.randint(1, 3)) if kind < 2 else []
        )
    return "".join(letters)


def quality(texts: list[str], r: random.Random) -> dict[str, object]:
    """Recall and precision on copies of texts that were added before."""
    from sinoner.quality.minhash import NearIndex, band_keys, grams
    from sinoner.text.normal import normal

    originals = [normal(t) for t in texts]
    index = NearIndex(THRESHOLD)
    numbers = []
    for n, text in enumerate(originals):
        if len(of := grams(text)):
            index.add(of, band_keys(of, index.bands))
            numbers.append(n)
    counts = {b: [0, 0, 0, 0] for b in BANDS}  # copies, similar, found, correctly found
    for _ in range(COPIES):
        original = originals[r.randrange(len(originals))]
        copy = edited(original, r.randint(1, max(1, len(original) // 20)), r)
        a, b = ({t[i : i + 5] for i in range(len(t) - 4)} for t in (original, copy))
        true = len(a & b) / len(a | b) if a | b else 0
        band = next((x for x in BANDS if x[0] <= true < x[1]), None)
        of = grams(copy)
        if band is None or not len(of):
            continue
        hit = index.find(of, band_keys(of, index.bands))
        right = False
        if hit is not None:
            other = originals[numbers[hit[0]]]
            c = {other[i : i + 5] for i in range(len(other) - 4)}
            right = len(b & c) / len(b | c) >= THRESHOLD
        counts[band][0] += 1
        counts[band][1] += true >= THRESHOLD
        counts[band][2] += hit is not None
        counts[band][3] += right
    shown = {}
    for (low, high), (copies, similar, found, right) in counts.items():
        shown[f"{low}-{min(high, 1.0)}"] = {
            "copies": copies,
            "found": found,
            "recall": round(right / similar, 4) if similar else None,
            "precision": round(right / found, 4) if found else None,
        }
    return {"bands": shown, "number_and_rows": list(index.bands)}


def child(name: str, texts: list[str], tests: int, seed: int) -> dict[str, object]:
    if name == "quality":
        return quality(texts[:2000], random.Random(seed + 1))
    return dict(method(name, passages(texts), tests))


def main(args: argparse.Namespace) -> None:
    result: dict[str, object] = {"area": "duplicates", "data": args.data.name if args.data else "made"}
    for name in ("exact", "exact_and_near", "decontaminate", "quality"):
        words = [sys.executable, __file__, "--child", name, "--passages", str(args.passages)]
        words += ["--tests", str(args.tests), "--seed", str(args.seed)]
        words += ["--data", str(args.data.resolve())] if args.data else []
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        result |= json.loads(done.stdout)
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--passages", type=int, default=20_000)
    parser.add_argument("--tests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child")
    ARGS = parser.parse_args()
    if ARGS.child:
        made = texts_of(ARGS.data, ARGS.passages, random.Random(ARGS.seed))
        about = {"passages": len(made), "characters": round(sum(map(len, made)) / len(made))}
        print(json.dumps(about | {ARGS.child: child(ARGS.child, made, ARGS.tests, ARGS.seed)}))
    else:
        main(ARGS)
