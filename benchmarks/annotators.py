"""Results of filter, agreement and gold for the embedded annotators on gold texts, with the gold hidden. Prints Markdown.

    python benchmarks/annotators.py FOLDER [--sets boson:test,msra:test] [--out DIR] [--corpora FILE,…]

FOLDER contains one folder per set with ``<split>.jsonl`` and ``labels.json``, as made by ``sinoner benchmarks fetch``. All
figures come from the command line: ``sinoner annotate``, ``filter``, ``evaluate --annotations``, ``agreement``. ``--corpora`` are
texts without gold (JSONL with a field ``text``), for which there are results of filter and agreement only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ANNOTATORS = ("jieba", "lac", "table")


def sinoner(*words: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "sinoner", *words, "--json"], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def annotated(source: Path, folder: Path) -> dict[str, dict]:
    """A filtered run per annotator; labels in the texts are ignored."""
    runs = {}
    for name in ANNOTATORS:
        how = ["--table", "zh"] if name == "table" else ["--by", name]
        out = folder / name
        sinoner("annotate", str(source), *how, "--out", str(out), "annotate.keep_human=false")
        runs[name] = sinoner("filter", str(out))["stages"]["filter"]["counts"]
    return runs


def rejected(folder: Path) -> str:
    reasons = json.loads((folder / "manifest.json").read_text())["stages"]["filter"]["reasons"]
    return (
        ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items(), key=lambda x: -x[1])[:4])
        or "nothing"
    )


def gold_rows(name: str, source: Path, folder: Path, runs: dict[str, dict]) -> list[str]:
    rows = []
    for annotator in ANNOTATORS:
        found = sinoner("evaluate", "--annotations", str(folder / annotator), "--gold", str(source))["scores"]
        for scored in found:
            by = {s["scheme"]: s for s in scored["scores"]}
            strict = by["strict"]
            interval = f"{strict['low']:.1f}–{strict['high']:.1f}"
            entities = runs[annotator]["entity"]
            n = entities["in"] if scored["layer"] == "annotations" else entities["out"]
            rows.append(
                f"| {name} | {annotator} | {scored['layer']} | {scored['scored']} | {n:,} |"
                f" {strict['precision']:.1f} | {strict['recall']:.1f} | {strict['f1']:.1f} ({interval}) |"
                f" {by['span']['f1']:.1f} | {by['type']['f1']:.1f} | {by['relaxed']['f1']:.1f} |"
            )
    return rows


def main() -> None:
    base = Path(ARGS.out or tempfile.mkdtemp())
    sets = [tuple(word.split(":")) for word in ARGS.sets.split(",") if word]
    gold, filtered, agreement = [], [], []
    sources = [(name, Path(ARGS.folder) / name / f"{split}.jsonl", True) for name, split in sets]
    sources += [(Path(f).parent.name, Path(f), False) for f in ARGS.corpora.split(",") if f]
    for name, source, has_gold in sources:
        folder = base / name
        runs = annotated(source, folder)
        for annotator in ANNOTATORS:
            passages, entities = runs[annotator]["passage"], runs[annotator]["entity"]
            filtered.append(
                f"| {name} | {annotator} | {passages['in']:,} → {passages['out']:,} |"
                f" {entities['in']:,} → {entities['out']:,} | {rejected(folder / annotator)} |"
            )
        if has_gold:
            gold += gold_rows(name, source, folder, runs)
        given = [str(folder / a) for a in ANNOTATORS] + ([str(source)] if has_gold else [])
        found = sinoner("agreement", *given, "--align-types", "--out", str(folder / "agreement"))
        short = dict(zip(found["annotators"], [*ANNOTATORS, "gold"], strict=False))
        pairs = ", ".join(f"{short[p['a']]}–{short[p['b']]} {p['f1']:.1f}" for p in found["pairs"])
        agreement.append(f"| {name} | {found['passages']:,} | {pairs} | {found['alpha']:.3f} |")
        print(f"{name} done", file=sys.stderr)
    print("| set | annotator | passages | entities | dropped most |\n|---|---|---|---|---|")
    print("\n".join(filtered))
    print(
        "\n| set | annotator | layer | scored | entities | P | R | strict F1 (95 %) | span | type | relaxed |"
    )
    print("|---|---|---|---:|---:|---:|---:|---|---:|---:|---:|\n" + "\n".join(gold))
    print("\n| set | passages | pairwise strict F1 | alpha |\n|---|---:|---|---:|\n" + "\n".join(agreement))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--sets", default="boson:test,msra:test,weibo:test,cluener:dev")
    parser.add_argument("--corpora", default="")
    parser.add_argument("--out")
    ARGS = parser.parse_args()
    main()
