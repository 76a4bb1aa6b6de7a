"""What the network costs the server, and whether the server holds: throughput side by side, and a soak.

    python benchmarks/serve.py RUN             prints all of it; RUN is a finished run whose table is there
    python benchmarks/serve.py RUN --write     and writes benchmarks/results/serve.json

1. Throughput at 32 clients on loopback (`hey`, a load generator of Debian's packages), each over its own connection:
   the server with its model against the same server with a null model: the same routes, parsing, decoding, batching
   and answers, with the network's run replaced by constants. At least 0.7. Beside it ``bare``, which decodes and
   tokenises nothing either: what HTTP, JSON and base64 leave. Blocks alternate, so that a slower moment falls on all;
   each server is a process of its own, and only one has work at a time. Of each, also the processor time of a request.
2. Soak: 50,000 requests of real rows, a fifth of them malformed in thirty ways, over 32 connections. No answer of 500
   or more, every good request answered with 200, every malformed one with its own 4xx (or, where it isn't HTTP, with a
   closed connection), and flat memory: after a warm-up the resident set grows by less than 1 % to the end. The warm-up:
   the largest batches; then what is free is given back to the system, so that nothing grows into it unseen; then 10,000
   of the requests. Beside it the slope of a line through the tenths from there on.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import ctypes
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from result_file import write_result
from soak import bad, good, mixed, post, send
from suffuse import sources
from suffuse.modalities.cell import Root, content
from suffuse.predictor import Predictor
from suffuse.progress import progress
from suffuse.serving.app import application
from suffuse.serving.limits import Limits
from suffuse.serving.request_schema import MEDIA, model_columns
from suffuse.serving.server_process import Server, listen

HERE = Path(__file__).parent
NAME, CLIENTS, THREADS = "model", 32, 2
WARM, FLAT = 10_000, 0.01  # requests before memory counts; growth from then on that is called flat
SIDES = ("model", "null", "bare")
ROUTE = f"/v1/models/{NAME}/predict"


class Null(Predictor):
    """Constants in the place of the network's run."""

    def logits(self, entries: Any, present: np.ndarray) -> np.ndarray:
        return np.zeros((len(present), sum(head.outputs for head in self.heads)), dtype=np.float32)


class Bare(Null):
    """Nor is any cell read: all of them are absent."""

    def value(self, column: str, record: Any, root: Any) -> Any:
        return None


def serve(side: str, export: Path) -> None:
    """A server of one side, until a signal ends it; its address is its only line."""
    kind = {"model": Predictor, "null": Null, "bare": Bare}[side]
    limits = Limits(grace=0.2)
    listening = listen("127.0.0.1", 0)
    signal.signal(signal.SIGUSR1, lambda *_: ctypes.CDLL(None).malloc_trim(0))
    print(listening.getsockname()[1], flush=True)
    Server(application({NAME: kind.load(export)}, limits, THREADS), limits).run([listening])


@contextlib.contextmanager
def running(side: str, export: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    """Its process, and the port that it listens at."""
    command = [sys.executable, __file__, str(export), "--serve", side]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        process.terminate()
        assert process.wait(60) == 0, "the server didn't end well"


def real_records(run: Path, predictor: Predictor, count: int) -> list[dict[str, Any]]:
    """Raw rows of the run's table as JSON holds them, drawn by chance."""
    from suffuse.run import Run

    data = Run.open(run, (), None).recipe.data
    rows = sources.read(data.source)
    place = Root.of(Path(data.root) if data.root else rows.root, Path(data.allowed_dir) if data.allowed_dir else None)
    known = {c.name: c for c in model_columns(predictor).values() if c.name in rows.table.column_names}
    found = []
    for at in random.Random(0).sample(range(rows.table.num_rows), min(count, rows.table.num_rows)):
        row = rows.table.slice(at, 1).to_pylist()[0]
        cells = {k: row[k] for k in known if row[k] not in (None, "")}
        for name in [n for n in cells if known[n].type in MEDIA]:
            cells[name] = {"base64": base64.b64encode(content(cells[name], place)).decode()}
        found.append(cells)
    return found


def hey(server: tuple[subprocess.Popen, int], body: Path, seconds: float) -> tuple[float, float]:
    """Of one block: requests a second, and milliseconds of the server's processor time for each. All must be 200."""
    process, port = server
    command = ["hey", "-z", f"{seconds}s", "-c", str(CLIENTS), "-m", "POST", "-T", "application/json", "-D", str(body)]
    before = processor(process.pid)
    done = subprocess.run([*command, f"http://127.0.0.1:{port}{ROUTE}"], capture_output=True, text=True, check=True)
    took = processor(process.pid) - before
    statuses = dict(re.findall(r"\[(\d+)\]\s+(\d+) responses", done.stdout))
    assert set(statuses) == {"200"} and "Error distribution" not in done.stdout, done.stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert rate
    return float(rate[1]), 1000 * took / int(statuses["200"])


def throughput(export: Path, record: dict[str, Any], blocks: int, seconds: float) -> dict[str, Any]:
    """Rates, processor times and ratios of alternating blocks; the first round warms up."""
    rounds: list[dict[str, tuple[float, float]]] = []
    with tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as stack:
        servers = {side: stack.enter_context(running(side, export)) for side in SIDES}
        body = Path(work) / "body.json"
        body.write_text(json.dumps({"records": [record]}), encoding="utf-8")
        for number in range(blocks + 1):
            order = SIDES if number % 2 else tuple(reversed(SIDES))
            found = {side: hey(servers[side], body, seconds) for side in order}
            print("  ".join(f"{s} {found[s][0]:6.0f}/s {found[s][1]:.3f} ms" for s in SIDES), flush=True)
            rounds += [found] if number else []
    ratios = [r["model"][0] / r["null"][0] for r in rounds]
    return {
        "ratio": statistics.median(ratios),
        "ratios": [round(r, 3) for r in ratios],
        "ratio_to_bare": statistics.median(r["model"][0] / r["bare"][0] for r in rounds),
        "processor_time_ratio": statistics.median(r["null"][1] / r["model"][1] for r in rounds),
        "per_second": {side: round(statistics.median(r[side][0] for r in rounds)) for side in SIDES},
        "processor_ms": {side: round(statistics.median(r[side][1] for r in rounds), 3) for side in SIDES},
        "clients": CLIENTS,
        "body_bytes": len(json.dumps({"records": [record]})),
    }


def soak(export: Path, records: list[dict[str, Any]], count: int) -> dict[str, Any]:
    """What the answers were, and the server's memory after each tenth of them."""
    predictor = Predictor.load(export)
    media = {c.name for c in model_columns(predictor).values() if c.type in MEDIA}
    infer = f"/v2/models/{NAME}/infer"
    right, wrong = good(records, ROUTE, infer, media), bad(records[0], ROUTE, infer, media)
    requests = mixed(right, wrong, count)
    tenth, held = count // 10, []
    with running("model", export) as (process, port), progress("soak") as tell:

        def note(done: int) -> None:
            tell(done / count, f"{done:,} requests")
            if done % tenth == 0:
                held.append(round(memory(process.pid) / 2**20, 2))

        largest = json.dumps({"records": records[: Limits.batch]}).encode()  # onnxruntime keeps the room that it takes
        large = asyncio.run(send(port, [(post(ROUTE, largest), (200,))] * 4 * CLIENTS, CLIENTS, lambda done: None))
        assert large == {"200": 4 * CLIENTS, "wrong": 0}, large
        process.send_signal(signal.SIGUSR1)
        begun = time.perf_counter()
        found = asyncio.run(send(port, requests, CLIENTS, note))
        seconds = time.perf_counter() - begun
    statuses = {status: n for status, n in sorted(found.items()) if status != "wrong"}
    return {
        "requests": sum(statuses.values()),
        "malformed": count // 5,
        "ways_to_be_malformed": len(wrong),
        "not_answered_as_they_should_be": found["wrong"],
        "of_500_or_more": sum(n for status, n in statuses.items() if int(status) >= 500),
        "statuses": statuses,  # 0: closed without an answer
        "per_second": round(count / seconds),
        "megabytes_after_each_tenth": held,
        **flatness(held, tenth),
    }


def flatness(held: list[float], tenth: int) -> dict[str, Any]:
    """Of memory after each tenth, how it went on after the warm-up. None where too few are left for a line."""
    warm = held[max(-(-WARM // tenth), 1) - 1 :]
    if len(warm) < 3:
        return {"flat": None}
    slope = np.polyfit(np.arange(len(warm)) * tenth / 10_000, warm, 1)[0]
    growth = warm[-1] / warm[0] - 1
    return {
        "megabytes_after_warm_up": warm[0],
        "megabytes_at_the_end": warm[-1],
        "megabytes_per_10_000_requests": round(float(slope), 3),
        "growth": round(growth, 4),
        "flat": growth < FLAT,
    }


def memory(process: int) -> int:
    """Bytes that a process holds (resident set)."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) * 1024


def processor(process: int) -> float:
    """Seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--only", choices=("throughput", "soak"))
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve, asked.run)
        return
    export = asked.run / "export"
    records = real_records(asked.run, Predictor.load(export), 500)
    found: dict[str, Any] = {}
    if asked.only != "soak":
        found["throughput"] = throughput(export, records[0], asked.blocks, asked.seconds)
        print(f"model / null {found['throughput']['ratio']:.3f} (at least 0.7)")
    if asked.only != "throughput":
        found["soak"] = soak(export, records, asked.requests)
    found |= {"threads": THREADS, "cores": os.cpu_count()}
    print(json.dumps(found, indent=1))
    if asked.write:
        write_result("serve", found)


if __name__ == "__main__":
    main()
