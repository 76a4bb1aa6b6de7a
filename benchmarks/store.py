"""What the knowledge store costs: gathering a batch, and extracting, both side by side with the bare thing.

    python benchmarks/store.py             prints all of it
    python benchmarks/store.py --write     and writes benchmarks/results/store.json

1. gathering 64 rows of logits (13 classes) and a 128-d feature, float16, into torch tensors, warm: at most 30
   microseconds; the ratio is to two ``index_select`` on tensors in memory at positions that are known. Beside it: top
   5 of 1,000 classes decoded, and rows that each ask for another subset.
2. ``extract`` (parts, compaction, checks, forecast) on the easy-VQA recipe with its teacher's initial weights, against
   that teacher's forward on the same rows in the same pieces, held in memory as batches: 0.95 or more of its rate.

Both sides alternate in one process, so that a slower moment of the machine falls on both. The share is told by the
clock; by the processor time of the thread that asks the teacher (what the clock says where another core is free for the
thread that writes); and by all processor time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch

from result_file import write_result
from suffuse.data.columns import Columns
from suffuse.engine.runtime import seed, settle
from suffuse.knowledge.chunks import Block
from suffuse.knowledge.logit_encoding import Encoding
from suffuse.knowledge.store import Knowledge
from suffuse.model import FusionModel, save
from suffuse.pipeline import run_stage
from suffuse.progress import quiet
from suffuse.recipe import Network
from suffuse.run import Run
from suffuse.stages.extract import extract
from suffuse.teachers.trained import Trained
from toy import toy_run

HERE = Path(__file__).parent
STORED, TOY_STORED, BATCH, CALLS = 100_000, 1_000, 64, 200
CLOCKS = (time.perf_counter, time.thread_time, time.process_time)
Times = tuple[list[tuple[float, ...]], list[tuple[float, ...]]]


def made(folder: Path, stored: int, classes: int, top_k: int, blocks: int) -> Knowledge:
    """A store of random rows, memory-mapped as an opened one is."""
    random, head = np.random.default_rng(0), SimpleNamespace(kind="classes", outputs=classes)
    encoding = Encoding.of(cast(Any, SimpleNamespace(heads=[head])), "float16", top_k)
    arrays = encoding.encode(random.normal(size=(stored, classes)).astype(np.float32))
    arrays["fused"] = random.normal(size=(stored, 128)).astype(np.float16)
    taps = {}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.concatenate([array] * blocks))
        taps[name] = torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c"))
    starts = {name: [stored * b for b in range(blocks)] for name in taps}
    place = torch.from_numpy(random.permutation(stored))
    offsets = {name: torch.tensor(begin) for name, begin in starts.items()}
    return Knowledge({}, taps, place, encoding, [Block((str(b),)) for b in range(blocks)], starts, offsets)


def gathering(pairs: int, stored: int) -> dict:
    """Microseconds of one gather, and its ratio to the bare one."""
    sizes = {
        "logits and feature": (13, 0, 1),
        "top 5 of 1,000, and feature": (1000, 5, 1),
        "a subset per row": (13, 0, 3),
    }
    return {name: gather(pairs, stored, *size) for name, size in sizes.items()}


def gather(pairs: int, stored: int, classes: int, top_k: int, blocks: int) -> dict:
    """Of one kind of store."""
    with tempfile.TemporaryDirectory() as folder:
        knowledge = made(Path(folder), stored, classes, top_k, blocks)
        random = torch.Generator().manual_seed(0)
        rows = [torch.randint(stored, (BATCH,), generator=random) for _ in range(CALLS)]
        places = [knowledge.place[r] for r in rows]
        memory = [t.clone() for t in knowledge.taps.values()]
        which = torch.randint(blocks, (BATCH,), generator=random)

        def ours() -> None:
            for r in rows:
                if blocks > 1:
                    knowledge.gather_per_row(r, ("logits", "fused"), which)
                else:
                    knowledge.gather(r, ("logits", "fused"))

        def bare() -> None:
            for p in places:
                for tensor in memory:
                    tensor.index_select(0, p)

        ours()
        bare()
        times = alternate(ours, bare, pairs)
        mine, theirs = (statistics.median(t[0] for t in side) / CALLS * 1e6 for side in times)
        ratio = statistics.median(a[0] / b[0] for a, b in zip(*times, strict=True))
        return {"microseconds": round(mine, 1), "bare": round(theirs, 1), "ratio": round(ratio, 2)}


def extracting(pairs: int, folder: Path, toy: bool) -> dict:
    """The bare forward's time over extract's: the share of its rate that is left."""
    recipe = HERE.parent / "recipes" / "easy-vqa.yaml"
    run = toy_run(folder) if toy else Run.open(recipe, ("compute.threads=1",), folder)
    run_stage(run, "prepare")
    settle(1)
    seed(1)
    columns = Columns.open(run.path("data"))
    network = cast(Network, run.recipe.teacher)
    save(FusionModel(network.bare(), columns.of(network.encoders).spec), run.path("teacher"))
    teacher = Trained.open(run, columns, run.path("teacher"))
    rows = np.concatenate([columns.rows("train"), columns.rows("validation")])
    pieces = [r[p] for r in (columns.rows("train"), columns.rows("validation")) for p in teacher.pieces(r, 4096)]
    batches = [teacher.columns.batch(piece) for piece in pieces]

    @torch.inference_mode()
    def bare() -> None:
        for batch in batches:
            teacher.model(batch)

    def anew() -> None:  # the last one's store is taken away off the clock: no extraction has to do that
        shutil.rmtree(run.partial("extract"), ignore_errors=True)
        run.partial("extract").mkdir(parents=True)

    times = alternate(lambda: extract(run), bare, pairs, anew)
    return {
        "rows": len(rows),
        "rate, by the clock": share(times, 0),
        "rate, by the asking thread's processor time": share(times, 1),
        "rate, by all processor time": share(times, 2),
        "seconds": {
            who: round(statistics.median(t[0] for t in times[n]), 2) for n, who in enumerate(("extract", "bare"))
        },
    }


def share(times: Times, clock: int) -> dict:
    """Median of the paired ratios, and all of them."""
    found = [round(b[clock] / a[clock], 3) for a, b in zip(*times, strict=True)]
    return {"median": round(statistics.median(found), 3), "pairs": found}


def alternate(
    a: Callable[[], None], b: Callable[[], None], pairs: int, before: Callable[[], None] | None = None
) -> Times:
    """Seconds of each by all clocks, in turns, the first one changing; ``before`` each, off the clock."""
    times: Times = ([], [])
    for number in range(pairs):
        for which in ((0, 1), (1, 0))[number % 2]:
            if before is not None:
                before()
            start = [clock() for clock in CLOCKS]
            (a, b)[which]()
            times[which].append(tuple(clock() - then for clock, then in zip(CLOCKS, start, strict=True)))
    return times


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20, help="of extractions; ten times as many of gathers")
    parser.add_argument("--toy", action="store_true", help="a small store, a made-up data set: the numbers say nothing")
    parser.add_argument("--write", action="store_true", help="benchmarks/results/store.json")
    arguments = parser.parse_args()
    settle(1)
    quiet.set(True)
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "threads": 1,
            "gathering 64 rows": gathering(10 * arguments.pairs, TOY_STORED if arguments.toy else STORED),
            "extract / bare forward, easy-vqa": extracting(arguments.pairs, Path(folder), arguments.toy),
        }
    print(json.dumps(found, indent=1))
    if arguments.write:
        write_result("store", found)


if __name__ == "__main__":
    main()
