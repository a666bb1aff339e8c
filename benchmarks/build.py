"""Speed of building the instruction-tuning set, from reading to writing. Prints one JSON line per method.

    python benchmarks/build.py [--passages 45000] [--data ANNOTATIONS.jsonl] [--methods NAME,…] [--repeat 3] [--paper-passages N]

Methods run in turns, each run in its own process; the figures are medians. ``cpu_s`` is CPU time, the figure to compare on a busy
machine. ``paper`` is the paper's building step as described there, in plain Python with everything in memory: for each positive
type a negative one by chance, drawn with ``random.sample`` from the counts of all other types, which are listed again for each
passage; one indented JSON list. ``json`` reads, parses and writes the same lines and does nothing else. ``sinoner`` is the stage
build-it-set with its default files and without examples, ``sinoner-examples`` the same with two examples for each passage,
``sinoner-all`` the same as ``sinoner`` with all formats. Those with ``workers`` use one process per CPU; their ``peak_mb`` is the
sum over all processes. ``ratio`` is relative to ``paper``, in wall time.

With --paper-passages, ``paper`` counts the types of all passages but converts and writes only N of them, and the seconds of that
part are scaled linearly (``scaled_from`` reports N; ``peak_mb`` is then that of N passages, which is too low).
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from turns import in_turns

METHODS = (
    "paper",
    "json",
    "sinoner",
    "sinoner-examples",
    "sinoner-all",
    "sinoner-workers",
    "sinoner-examples-workers",
)
NAMES = 60_000
SEED = 42


def make(path: Path, passages: int) -> None:
    """Filtered annotations of an open extraction: 228 characters, 10.6 entities, some 8,000 types with a long tail."""
    from filter import GLUE, HAN, TYPES

    from sinoner import disk
    from sinoner.records import Annotation, Annotator, Entity, Passage
    from sinoner.text.ground import occurrences

    r = random.Random(0)
    names = list(dict.fromkeys("".join(r.choices(HAN, k=r.randint(2, 8))) for _ in range(NAMES)))
    ranks = [int(r.paretovariate(0.37)) for _ in names]
    kinds = [r.choice(TYPES) + (f"{rank}类" if rank > 2 else "") for rank in ranks]
    by = Annotator(source="llm", model="m", prompt="p")
    with path.open("wb") as file:
        for i in range(passages):
            pieces: list[str] = []
            pairs: dict[tuple[str, str], None] = {}
            while sum(map(len, pieces)) < 220:
                n = (r.randrange(NAMES) if r.random() < 0.3 else int(r.paretovariate(0.35))) % len(names)
                pieces += [names[n], r.choice(GLUE), r.choice(GLUE) if r.random() < 0.5 else ""]
                pairs[names[n], kinds[n]] = None
            text = "".join(pieces)
            entities = tuple(Entity(surface=s, type=t, starts=occurrences(text, s)) for s, t in pairs)
            passage = Passage(id=f"{i:06d}#0", text=text, source="made", lang="zh", document=f"{i:06d}")
            file.write(disk.line(Annotation(passage=passage, entities=entities, by=by)))


def neighbours(source: Path, target: Path) -> None:
    """Two random training passages as examples for each passage."""
    from sinoner import disk
    from sinoner.itset.subsets import validation_documents
    from sinoner.records import Neighbours
    from sinoner.settings import ItSetSettings

    passages = [row["passage"] for row in map(json.loads, source.open(encoding="utf-8"))]
    ids = [p["id"] for p in passages]
    held_out = validation_documents((p["document"] for p in passages), ItSetSettings().validation, SEED)
    pool = [p["id"] for p in passages if p["document"] not in held_out]
    r = random.Random(0)
    with target.open("wb") as file:
        for own in ids:
            found = tuple(i for i in r.sample(pool, min(3, len(pool))) if i != own)[:2]
            row = Neighbours(id=own, neighbours=found, cosine=(0.9, 0.8)[: len(found)])
            file.write(disk.line(row))


def paper(source: Path, folder: Path, convert: int) -> dict[str, float]:
    """Returns the seconds of the part that depends on the number of converted passages."""
    rows = [json.loads(line) for line in source.open(encoding="utf-8")]
    frequency: Counter[str] = Counter()
    for row in rows:
        frequency.update(e["type"] for e in row["entities"])
    begin, cpu = time.perf_counter(), time.process_time()
    made = []
    for row in rows[:convert]:
        mentions: dict[str, list[str]] = {}
        for entity in row["entities"]:
            mentions.setdefault(entity["type"], []).append(entity["surface"])
        number = sum(random.random() < 0.5 for _ in mentions)
        others = [t for t in frequency if t not in mentions]
        negatives = random.sample(others, number, counts=[frequency[t] for t in others])
        asked = [*mentions, *negatives]
        random.shuffle(asked)
        turns = [
            {"from": "human", "value": "文本： " + row["passage"]["text"]},
            {"from": "gpt", "value": "我已读完这段文本。"},
        ]
        for kind in asked:
            answer = ", ".join(f'"{surface}"' for surface in mentions.get(kind, []))
            turns.append({"from": "human", "value": f'文本中属于"{kind}"的实体有哪些？'})
            turns.append({"from": "gpt", "value": f"[{answer}]"})
        made.append({"id": row["passage"]["id"], "conversations": turns})
    with (folder / "train.json").open("w", encoding="utf-8") as file:
        json.dump(made, file, ensure_ascii=False, indent=4)
    with (folder / "type2freq.json").open("w", encoding="utf-8") as file:
        json.dump(dict(frequency.most_common()), file, ensure_ascii=False, indent=4)
    return {"grows_s": time.perf_counter() - begin, "grows_cpu_s": time.process_time() - cpu}


def json_only(source: Path, target: Path) -> None:
    with source.open(encoding="utf-8") as read, target.open("w", encoding="utf-8") as write:
        for line in read:
            write.write(json.dumps(json.loads(line), ensure_ascii=False) + "\n")


def stage(folder: Path, method: str) -> dict[str, int]:
    """Split and build as the command line does, on a run folder that contains annotations and neighbours."""
    from sinoner.engine import engine_of
    from sinoner.recipe import build
    from sinoner.run.manifest import Manifest
    from sinoner.run.screen import Screen
    from sinoner.run.stage import Run, perform
    from sinoner.stages.build import BUILD
    from sinoner.stages.split import SPLIT

    settings: dict[str, Any] = {"formats": "all"} if method == "sinoner-all" else {}
    workers = (os.cpu_count() or 1) if method.endswith("-workers") else 1
    recipe = build({"it_set": settings, "out": str(folder), "seed": SEED})
    manifest = Manifest(folder)
    run = Run(folder, recipe, manifest, Screen(), engine=engine_of(workers))
    perform(run, SPLIT)
    perform(run, BUILD)
    entry = manifest.entries["build-it-set"]
    return dict(entry.made)


def child(method: str, source: Path, count: int, convert: int) -> None:
    if method == "make":
        make(source, count)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if method.startswith("sinoner"):
            (folder / "decontaminated.jsonl").symlink_to(source)
            (folder / "neighbours.jsonl").touch()
        if method.startswith("sinoner-examples"):
            (folder / "neighbours.jsonl").unlink()
            (folder / "neighbours.jsonl").symlink_to(source.with_name("neighbours.jsonl"))
        begin, cpu = time.perf_counter(), time.process_time()
        figures: dict[str, float] = {}
        if method == "paper":
            figures = paper(source, folder, convert)
        elif method == "json":
            json_only(source, folder / "out.jsonl")
        else:
            figures = {**stage(folder, method)}
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        if method == "paper":
            more = (count - convert) / convert
            seconds, cpu = seconds + more * figures.pop("grows_s"), cpu + more * figures.pop("grows_cpu_s")
            if more:
                figures["scaled_from"] = convert
        written = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if method.endswith("-workers"):
        figures["workers"] = os.cpu_count() or 1
        helpers = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak += figures["workers"] * helpers.ru_maxrss / 1024
        cpu += helpers.ru_utime + helpers.ru_stime
    print(
        json.dumps(
            {"seconds": seconds, "cpu_s": cpu, "peak_mb": peak, "written_mb": written / 1e6, **figures}
        )
    )


def facts(source: Path) -> dict[str, float]:
    """Statistics of the data."""
    characters = entities = count = 0
    types: set[str] = set()
    for row in map(json.loads, source.open(encoding="utf-8")):
        count += 1
        characters += len(row["passage"]["text"])
        entities += len(row["entities"])
        types.update(e["type"] for e in row["entities"])
    means = {"characters": round(characters / count), "entities": round(entities / count, 1)}
    return {"passages": count, **means, "types": len(types)}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "decontaminated.jsonl"
        words = [sys.executable, __file__, "--data", str(source)]
        if ARGS.data is None:
            # In a separate process, because a process reports at least the peak memory of its parent.
            subprocess.run([*words, "--child", "make", "--passages", str(ARGS.passages)], check=True)
        else:
            source.symlink_to(ARGS.data.resolve())
        subprocess.run([*words, "--child", "neighbours"], check=True)
        printed = subprocess.run([*words, "--child", "facts"], check=True, capture_output=True, text=True)
        data = json.loads(printed.stdout)
        count = data["passages"]
        convert = min(ARGS.paper_passages or count, count)
        of_all = ["--data", str(source), "--passages", str(count), "--paper-passages", str(convert)]
        runs = in_turns(__file__, ARGS.methods.split(","), ARGS.repeat, lambda method: of_all)
        of_paper = [x["seconds"] for x in runs.get("paper", [])]
        for method, found in runs.items():
            seconds = statistics.median(x["seconds"] for x in found)
            row = {"area": "build-it-set", "method": method, **data}
            row |= {
                k: v for k, v in found[0].items() if k not in ("seconds", "cpu_s", "peak_mb", "written_mb")
            }
            row |= {
                "seconds": round(seconds, 2),
                "cpu_s": round(statistics.median(x["cpu_s"] for x in found), 2),
                "passages_s": round(count / seconds),
                "peak_mb": round(max(x["peak_mb"] for x in found)),
                "written_mb": round(found[0]["written_mb"], 1),
            }
            if of_paper:
                row["ratio"] = round(statistics.median(of_paper) / seconds, 2)
            print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passages", type=int, default=45_000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--paper-passages", type=int)
    parser.add_argument("--child")
    ARGS = parser.parse_args()
    if ARGS.child == "facts":
        print(json.dumps(facts(ARGS.data)))
    elif ARGS.child == "neighbours":
        neighbours(ARGS.data, ARGS.data.with_name("neighbours.jsonl"))
    elif ARGS.child:
        child(ARGS.child, ARGS.data, ARGS.passages, ARGS.paper_passages or ARGS.passages)
    else:
        main()
