"""Running methods of a benchmark in turns, each run in its own process."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence


def in_turns(
    script: str, methods: Iterable[str], repeat: int, words: Callable[[str], Sequence[str]]
) -> dict[str, list[dict[str, float]]]:
    """Run ``script --child METHOD`` for every method, ``repeat`` times in turns; the last line that each prints has its figures.

    Args:
        script: the benchmark.
        methods: the methods to measure.
        repeat: number of turns.
        words: further arguments for a method.
    """
    runs: dict[str, list[dict[str, float]]] = {method: [] for method in methods}
    for _ in range(repeat):
        for method, found in runs.items():
            command = [sys.executable, script, "--child", method, *words(method)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                sys.exit(f"{script}: {method} failed")
            found.append(json.loads(done.stdout.splitlines()[-1]))
    return runs
