"""What two processes gain over one, in a training that is long enough to be shared: seconds of a step.

    python benchmarks/processes.py [--steps 12] [--write]

A residual net over made-up pictures of 64 pixels, a GRU, a transformer as fusion, kd and a relation loss. One process
of one thread, one of two threads, and two of one thread each; their turns alternate, and medians of steps are compared.
``--write`` keeps them in ``results/processes.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from result_file import write_result
from suffuse import losses
from suffuse.data.columns import Columns
from suffuse.data.sampler import Sampler
from suffuse.engine.loop import Plan, make_optimizer, train_step
from suffuse.engine.objective import Objective
from suffuse.engine.process_group import current
from suffuse.engine.runtime import seed, settle
from suffuse.engine.workers import run_jobs
from suffuse.model import FusionModel
from suffuse.recipe import Network, Training
from suffuse.registry import settings
from suffuse.types import Field, Head, Spec

HERE = Path(__file__).parent
ROWS, BATCH, WARM, TURNS = 256, 64, 3, 3
WAYS = {"one process, one thread": (1, 1), "one process, two threads": (1, 2), "two processes, one thread each": (2, 1)}


def columns() -> Columns:
    """Made-up rows, each with a picture and a question of its own."""
    random, every = np.random.default_rng(0), np.arange(ROWS)
    fields = (
        Field("picture", "image", {"size": 64, "mean": [0.5] * 3, "std": [0.25] * 3}),
        Field("question", "text", {"vocabulary": 500, "length": 16}),
    )
    entries = {
        "picture": random.integers(0, 256, (ROWS, 64, 64, 3), dtype=np.uint8),
        "question": random.integers(2, 500, (ROWS, 16), dtype=np.int32),
    }
    heads = (Head("answer", "classes", tuple(map(str, range(10)))),)
    spec = Spec(fields, heads, tuple(np.log([0.1] * 10).tolist()))
    split, key = np.zeros(ROWS, dtype=np.int8), every.astype(np.uint64)
    here = np.ones((ROWS, 2), dtype=bool)
    return Columns(spec, entries, np.stack([every, every], 1), here, random.integers(0, 10, ROWS), split, every, key)


def steps(job: dict, tell: Any) -> None:
    """Time some steps; the first process writes how long they took."""
    settle(job["threads"])
    seed(0)
    data = columns()
    encoders = {"picture": {"kind": "residual", "widths": [32, 64, 128]}, "question": {"kind": "gru", "width": 64}}
    model = FusionModel(Network.model_validate({"encoders": encoders, "fusion": {"kind": "transformer"}}), data.spec)
    chosen = {"soft": {"kind": "kd"}, "like": {"kind": "similarity"}}
    objective = Objective(model, {n: settings(losses.TABLE, s) for n, s in chosen.items()}, {"fused": 64}).train()
    training, sampler = Training(batch=BATCH), Sampler(np.arange(ROWS), np.arange(ROWS), BATCH, 0)
    plan = Plan(training, sampler, sampler.steps, lambda *_: (), lambda _: {}, Path(), lambda *_: None)
    taught = {"logits": torch.randn(ROWS, 10), "fused": torch.randn(ROWS, 64)}
    optimizer, order, times = make_optimizer(objective, training), sampler.order(0), []
    for number in range(WARM + job["steps"]):
        picked = order[number % sampler.steps * BATCH :][:BATCH]
        start = time.perf_counter()
        batch = data.batch(picked, split=current().split)
        told = {name: tap.index_select(0, batch.rows) for name, tap in taught.items()}
        train_step(objective, optimizer, plan, (batch, told), number)
        times.append(time.perf_counter() - start)
    if current().first:
        Path(job["out"]).write_text(json.dumps(times[WARM:]))


def main() -> None:
    """All ways, in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--turns", type=int, default=TURNS, help="of each way")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH", ""))))
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(asked.turns):
            for way, (processes, threads) in WAYS.items():
                out = Path(folder, f"{turn}-{processes}-{threads}.json")
                job = {"threads": threads, "steps": asked.steps, "out": str(out)}
                run_jobs("processes:steps", [job], processes, lambda *_: None, processes)
                times[way] += json.loads(out.read_text())
    found: dict[str, Any] = {way: {"median_s": statistics.median(some)} for way, some in times.items()}
    alone = found["one process, one thread"]["median_s"]
    for way, facts in found.items():
        facts["times_as_fast"] = alone / facts["median_s"]
        print(f"{way:<32} {1000 * facts['median_s']:7.1f} ms a step, {facts['times_as_fast']:.2f} times as fast")
    if asked.write:
        facts = {"cores": os.cpu_count(), "torch": torch.__version__, "steps": asked.turns * asked.steps}
        write_result("processes", {**facts, "ways": found})


if __name__ == "__main__":
    main()
