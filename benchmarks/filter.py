"""Speed of filtering annotated passages in one process, from reading to writing. Prints one JSON line per method.

    python benchmarks/filter.py [--passages 45000] [--data ANNOTATIONS.jsonl] [--methods NAME,…] [--repeat 3]

Methods run in turns, each run in its own process; the figures are medians. ``paper`` is the paper's filter as described
there, in plain Python with everything in memory; ``json`` reads, parses and writes the same lines and does nothing else. The
others are presets of ``sinoner filter``; ``default-near`` is ``default`` with the search for near-duplicates, which the others
omit. ``ratio`` is relative to ``paper``.
"""

import argparse
import json
import random
import resource
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from turns import in_turns

METHODS = ("paper", "json", "reference", "default", "strict", "default-near")
LATIN = ("iPhone 15", "OPEC+", "GPT-4", "Amazon", "WTO")
HAN = (
    "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"
    "金生丽水玉出昆冈剑号巨阙珠称夜光果珍李柰菜重芥姜"
)
GLUE = (
    "昨日发布了新一代产品，引起了广泛关注，", "位于该省的东南部，", "和", "的负责人在接受采访时表示，", "。据介绍，",
    "宣布将在年内完成对", "举行了新闻发布会，", "，同比增长百分之十二，", "出生于一个普通的工人家庭，", "与",
    "的合作协议正式签署。",
)  # fmt: skip
TYPES = ("人名", "地点", "组织机构", "产品", "时间", "事件", "职位", "公司", "书名", "疾病")


def make(path: Path, passages: int) -> None:
    """Annotated passages like those from an LLM: about 12 entities each, long-tailed types, some noise."""
    from sinoner import disk
    from sinoner.records import Annotation, Annotator, Entity, Passage
    from sinoner.text.ground import occurrences

    r = random.Random(0)
    names = ["".join(r.choices(HAN, k=r.randint(2, 8))) for _ in range(20_000)] + list(LATIN)
    ranks = {name: int(r.paretovariate(0.8)) for name in names}
    kinds = {name: r.choice(TYPES) + (f"{rank}类" if rank > 4 else "") for name, rank in ranks.items()}
    by = Annotator(source="llm", model="m", prompt="p")
    with path.open("wb") as file:
        for i in range(passages):
            pieces: list[str] = []
            pairs: dict[tuple[str, str], None] = {}
            while sum(map(len, pieces)) < 220:
                name = names[min(int(r.paretovariate(0.5)), len(names) - 1)]
                kind = kinds[name]
                chance = r.random()
                if chance < 0.04:
                    kind = r.choice(("其他", "无", "MISC", "名词"))
                elif chance < 0.06:
                    name = f"《{name}》"
                pieces += [name, r.choice(GLUE)]
                pairs[name[:-1] if 0.06 < chance < 0.08 and len(name) > 2 else name, kind] = None
            text = "".join(pieces)
            entities = tuple(Entity(surface=s, type=t, starts=occurrences(text, s)) for s, t in pairs)
            passage = Passage(id=f"{i:06d}#0", text=text, source="made", lang="zh")
            file.write(disk.line(Annotation(passage=passage, entities=entities, by=by)))


def paper(source: Path, target: Path) -> None:
    stops = {
        "实体", "实体类别", "其他", "无", "无类别", "未定义", "entity_type", "entity type", "entity",
        "else", "none", "na", "misc",
    }  # fmt: skip
    rows = [json.loads(line) for line in source.open(encoding="utf-8")]
    mentions: dict[str, list[str]] = {}
    out = []
    for row in rows:
        text, kept = row["passage"]["text"], []
        seen = set()
        for entity in row["entities"]:
            surface, kind = entity["surface"], entity["type"]
            if (surface, kind) in seen or len(surface) > 20 or surface.lower() not in text.lower():
                continue
            seen.add((surface, kind))
            if kind.lower() in stops:
                continue
            if surface[0] + surface[-1] in ("《》", "【】", "[]"):
                surface = surface[1:-1]
            kept.append({**entity, "surface": surface})
            mentions.setdefault(kind.lower(), []).append(surface.lower())
        out.append({**row, "entities": kept})
    Counter({k: len(v) for k, v in mentions.items()}).most_common()
    with target.open("w", encoding="utf-8") as file:
        for row in out:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def json_only(source: Path, target: Path) -> None:
    with source.open(encoding="utf-8") as read, target.open("w", encoding="utf-8") as write:
        for line in read:
            write.write(json.dumps(json.loads(line), ensure_ascii=False) + "\n")


def stage(source: Path, folder: Path, method: str, workers: int, count: int) -> dict[str, object]:
    """The stage as the command line runs it, on a run folder that contains these annotations."""
    from sinoner.engine import engine_of
    from sinoner.recipe import build
    from sinoner.run.manifest import Entry, Manifest
    from sinoner.run.screen import Screen
    from sinoner.run.stage import Run, perform
    from sinoner.stages.filter import FILTER

    preset, _, near = method.partition("-")
    rules = {} if near else {"near_duplicate": False}
    recipe = build({"filter": {"preset": preset, "rules": rules}, "out": str(folder)})
    (folder / "annotations.jsonl").symlink_to(source)
    manifest = Manifest(folder)
    counts = {"passage": {"in": count, "out": count, "rejected": 0}}
    manifest.add("annotate", Entry.model_validate({**EMPTY, "counts": counts}))
    perform(Run(folder, recipe, manifest, Screen(), engine=engine_of(workers)), FILTER)
    entry = manifest.entries["filter"]
    return {"kept": entry.counts["entity"].out, "passages_kept": entry.counts["passage"].out}


EMPTY = {
    "fingerprint": "", "version": "", "stage_version": 1, "inputs": {}, "settings": {}, "made": {}, "reasons": {}, "seconds": 0.0,
    "outputs": {},
}  # fmt: skip


def child(method: str, source: Path, workers: int, count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if method not in ("paper", "json"):
            pass
        if method.startswith(("default", "strict")):
            import jieba

            jieba.setLogLevel(60)
            jieba.initialize()
        begin = time.perf_counter()
        made: dict[str, object] = {}
        if method in ("paper", "json"):
            (paper if method == "paper" else json_only)(source, folder / "out.jsonl")
        else:
            made = stage(source, folder, method, workers, count)
        seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak, **made}))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        source = ARGS.data or Path(name) / "annotations.jsonl"
        if ARGS.data is None:
            make(source, ARGS.passages)
        count = sum(1 for _ in source.open("rb"))
        words = ["--data", str(source.resolve()), "--workers", str(ARGS.workers), "--passages", str(count)]
        runs = in_turns(__file__, ARGS.methods.split(","), ARGS.repeat, lambda method: words)
        baseline = statistics.median(x["seconds"] for x in runs.get("paper", [{"seconds": 0.0}]))
        for method, found in runs.items():
            seconds = statistics.median(x["seconds"] for x in found)
            row = {"area": "filter", "method": method, "passages": count, "workers": ARGS.workers}
            row |= {k: v for k, v in found[0].items() if k not in ("seconds", "peak_mb")}
            row |= {
                "passages_s": round(count / seconds),
                "peak_mb": round(max(x["peak_mb"] for x in found)),
                "ratio": round(baseline / seconds, 2),
            }
            print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passages", type=int, default=45_000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--child")
    ARGS = parser.parse_args()
    if ARGS.child:
        child(ARGS.child, ARGS.data, ARGS.workers, ARGS.passages)
    else:
        main()
