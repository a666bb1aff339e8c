"""Throughput of sending passages to an endpoint and storing the answers, compared with other clients. One JSON line per client.

    python benchmarks/annotate.py                                  2,000 requests, 300 ms median, 256 in flight
    python benchmarks/annotate.py --cap 64                         the server allows 64 in flight and refuses the rest
    python benchmarks/annotate.py --clients sinoner --adaptive     starts with 8 in flight and adapts
    python benchmarks/annotate.py --clients sinoner --requests 100000 --median 0     memory

Every client runs in its own process against the same loopback server (``tests/fault_server.py``), so CPU time and memory are
measured separately. ``aiohttp`` is a bare loop that stores nothing: the upper limit. ``openai`` is AsyncOpenAI with a
semaphore. ``curator`` is included when --curator names the Python of an environment with bespokelabs-curator (pip install
bespokelabs-curator); sinoner itself does not need such an environment.

Fields: rps = requests per second of wall time; cpu_ms = CPU time per request while sending; for sinoner also
read_cpu_ms = CPU time of reading back, grounding and writing; rss_mb = peak memory; lost = questions without an answer;
repeated = questions that the server answered twice; ratio = rps relative to ``openai``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
SYSTEM = "你是一个有效的信息抽取系统。"
QUESTION = (
    "给定一段文本，你的任务是抽取所有实体并识别它们的实体类别。"
    '输出应为以下JSON格式：[{"实体1": "实体1的类别"}, ...]。\n文本：'
)
STREETS = 17  # mentions of a passage, as in the answers published with the paper's code


def texts(n: int) -> Iterator[str]:
    """Passages of about 260 characters, all distinct, with mentions that the server finds."""
    for i in range(n):
        streets = "、".join(f"第{i * STREETS + k}街" for k in range(STREETS))
        yield (
            f"王明昨天从上海出发，沿途经过了{streets}，"
            + "晚上他在旅馆里写信，说天气很好，路上的人也很客气。" * 4
        )


def messages(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION + text}]


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def report(args: argparse.Namespace, began: tuple[float, float], got: int, **more: object) -> None:
    wall, used = time.perf_counter() - began[0], cpu() - began[1]
    row = {
        "client": args.client, "requests": args.requests, "wall_s": round(wall, 3), "rps": round(args.requests / wall, 1),
        "cpu_ms": round(used / args.requests * 1e3, 3), "lost": args.requests - got,
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1), **more,
    }  # fmt: skip
    print(json.dumps(row), flush=True)


def run_sinoner(args: argparse.Namespace) -> None:
    from sinoner import disk
    from sinoner.annotate.asking import Asking
    from sinoner.annotate.by_llm import collect, read_back
    from sinoner.llm.client import clients, identity
    from sinoner.llm.costs import account
    from sinoner.llm.ledger import Ledger
    from sinoner.llm.meter import Meter
    from sinoner.llm.service import Service
    from sinoner.records import Annotation, Passage
    from sinoner.settings import AnnotateSettings, LlmSettings

    how = {"start": args.start} if args.adaptive else {"concurrency": args.concurrency}
    llm = LlmSettings(model="m", base_url=args.url, output="text", **how)
    settings = AnnotateSettings()
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        found = clients(llm)
        asking = Asking(settings, llm, identity(llm))

        def passages() -> Iterator[Passage]:
            return (
                Passage(id=f"{i}#0", text=t, source="bench", lang="zh")
                for i, t in enumerate(texts(args.requests))
            )

        service = Service(found, ledger, account(settings, llm, found, []), Meter(total=args.requests))
        began = time.perf_counter(), cpu()
        asking = collect(passages(), asking, service)
        wall, used, got = time.perf_counter() - began[0], cpu() - began[1], 0
        with disk.AtomicFile(Path(folder) / "annotations.jsonl") as file:
            for reading in read_back(passages(), asking, ledger):
                if isinstance(reading.outcome, Annotation):
                    file.record(reading.outcome)
                    got += 1
        rest = cpu() - began[1] - used
    each = 1e3 / args.requests
    report(
        args, began, got, ask_s=round(wall, 3), rps=round(args.requests / wall, 1), cpu_ms=round(used * each, 3),
        read_cpu_ms=round(rest * each, 3),
    )  # fmt: skip


def run_openai(args: argparse.Namespace) -> None:
    import openai

    async def go() -> int:
        got = 0
        slots = asyncio.Semaphore(args.concurrency)
        async with openai.AsyncOpenAI(base_url=args.url) as client:

            async def one(text: str) -> None:
                nonlocal got
                async with slots:
                    try:
                        reply = await client.chat.completions.create(
                            model="m", messages=messages(text), temperature=0
                        )
                        got += reply.choices[0].message.content is not None
                    except openai.APIError:
                        pass

            await asyncio.gather(*(one(text) for text in texts(args.requests)))
        return got

    began = time.perf_counter(), cpu()
    report(args, began, asyncio.run(go()))


def run_aiohttp(args: argparse.Namespace) -> None:
    import aiohttp

    async def go() -> int:
        got = 0
        source = texts(args.requests)
        headers = {"Authorization": "Bearer x", "Content-Type": "application/json"}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

            async def worker() -> None:
                nonlocal got
                for text in source:
                    body = {"model": "m", "messages": messages(text), "temperature": 0}
                    data = json.dumps(body, ensure_ascii=False).encode()
                    while True:
                        async with session.post(f"{args.url}/chat/completions", data=data) as response:
                            raw = await response.read()
                        if response.status != 429:
                            break
                        await asyncio.sleep(float(response.headers["retry-after"]))
                    got += json.loads(raw)["choices"][0]["message"]["content"] is not None

            await asyncio.gather(*(worker() for _ in range(args.concurrency)))
        return got

    began = time.perf_counter(), cpu()
    report(args, began, asyncio.run(go()))


def run_curator(args: argparse.Namespace) -> None:
    os.environ.update(
        TELEMETRY_ENABLED="false", CURATOR_DISABLE_CACHE="1", CURATOR_DISABLE_RICH_DISPLAY="1", HF_HUB_OFFLINE="1",
        LITELLM_LOCAL_MODEL_COST_MAP="True", CURATOR_CACHE_DIR=tempfile.mkdtemp(),
    )  # fmt: skip
    import importlib.util

    litellm = importlib.util.find_spec("litellm")
    assert litellm
    assert litellm.origin
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(litellm.origin).parent / "litellm_core_utils" / "tokenizers")
    from bespokelabs import curator

    class Annotator(curator.LLM):
        return_completions_object = False

        def prompt(self, row: dict[str, str]) -> list[dict[str, str]]:
            return messages(row["text"])

        def parse(self, row: dict[str, str], answer: str) -> dict[str, str]:
            return {"text": row["text"], "answer": answer}

    limits = {
        "base_url": args.url, "max_requests_per_minute": 10_000_000, "max_tokens_per_minute": 1_000_000_000,
        "max_concurrent_requests": args.concurrency, "require_all_responses": False,
    }  # fmt: skip
    annotator = Annotator(model_name="gpt-3.5-turbo-0125", backend="openai", backend_params=limits)
    rows = [{"text": text} for text in texts(args.requests)]
    began = time.perf_counter(), cpu()
    result = annotator(rows, working_dir=tempfile.mkdtemp())
    report(args, began, len(getattr(result, "dataset", result)))


def measure(args: argparse.Namespace) -> None:
    """Run the clients in turns, ``--repeat`` times, resetting the server's counters each time."""
    from fault_server import FaultServer

    rates: dict[str, list[float]] = {}
    models = ["m", "gpt-3.5-turbo-0125"]
    with FaultServer(median=args.median, cap=args.cap, models=models) as server:
        for turn in range(args.repeat):
            for client in args.clients.split(","):
                server.reset()
                python = args.curator if client == "curator" else sys.executable
                if client == "curator" and not args.curator:
                    print("curator: skipped (needs --curator PYTHON)", file=sys.stderr)
                    continue
                words = [
                    python,
                    __file__,
                    "--client",
                    client,
                    "--url",
                    server.url,
                    "--requests",
                    str(args.requests),
                ]
                words += ["--concurrency", str(args.concurrency), "--start", str(args.start)]
                words += ["--adaptive"] if args.adaptive else []
                environ = {**os.environ, **server.env()}
                done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{client}: failed: {done.stderr[-500:]}", file=sys.stderr)
                    continue
                row = json.loads(done.stdout.splitlines()[-1])
                stats = server.stats()
                rates.setdefault(client, []).append(row["rps"])
                row |= {
                    "turn": turn,
                    "refused": stats["r429"],
                    "repeated": stats["repeated"],
                    "peak": stats["peak"],
                }
                if "openai" in rates:
                    row["ratio"] = round(row["rps"] / rates["openai"][-1], 2)
                if "aiohttp" in rates and client != "aiohttp":
                    row["of_limit"] = round(row["rps"] / rates["aiohttp"][-1], 2)
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--clients", default="aiohttp,openai,sinoner,curator", help="clients to run, in this order"
    )
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=256, help="requests in flight")
    parser.add_argument("--median", type=float, default=0.3, help="median latency of the server in seconds")
    parser.add_argument(
        "--cap",
        type=int,
        default=0,
        help="maximum number of requests in flight that the server accepts; 0: no limit",
    )
    parser.add_argument(
        "--adaptive",
        action="store_true",
        help="sinoner adapts the number of requests in flight instead of using --concurrency",
    )
    parser.add_argument(
        "--start", type=int, default=8, help="initial number of requests in flight with --adaptive"
    )
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--curator", default="", help="Python of an environment with bespokelabs-curator")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    ARGS = parser.parse_args()
    known = {"sinoner": run_sinoner, "openai": run_openai, "aiohttp": run_aiohttp, "curator": run_curator}
    known[ARGS.client](ARGS) if ARGS.client else measure(ARGS)
