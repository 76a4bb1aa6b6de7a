"""What distillation and the loop cost, as ratios of paired blocks of steps on the easy-VQA recipe.

    python benchmarks/overhead.py            prints both ratios and writes benchmarks/results/overhead.json

1. a student epoch from the store (kd + task + hint, then validation) against the same epoch on labels alone: at
   most 1.05;
2. a step of fit() (gathering, schedule, clipping, sums) against bare forward + backward + clip + step on batches
   held in memory: at most 1.10. Validation, which the bare side has not, is left out.

Both sides alternate in one process, so that a slower moment of the machine falls on both.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import torch
from torch import nn

from suffuse import losses
from suffuse.data import Columns, Sampler
from suffuse.engine.forward import scorer
from suffuse.engine.loop import Plan, make_optimizer, train_step
from suffuse.engine.objective import Objective
from suffuse.engine.runtime import seed, settle
from suffuse.knowledge import Knowledge
from suffuse.model import FusionModel
from suffuse.parts import settings
from suffuse.pipeline import run_stage
from suffuse.run import Run

HERE = Path(__file__).parent
BLOCK = 15  # steps


class Side:
    """An objective, its optimiser, and one way to do a step."""

    def __init__(self, run: Run, columns: Columns, knowledge: Knowledge | None):
        seed(1)
        model = FusionModel(run.recipe.student, columns.spec)
        chosen = dict(run.recipe.distill.losses) if knowledge else {"labels": settings(losses.TABLE, {"kind": "task"})}
        self.objective = Objective(model, chosen, knowledge.widths() if knowledge else {})
        training, rows = run.recipe.distill.train, columns.rows("train")
        sampler = Sampler(rows, columns.shared()[rows], training.batch, 1)
        needs = self.objective.needs()

        def gather(picked: np.ndarray, number: int) -> tuple:
            batch = columns.batch(picked)
            return batch, knowledge.gather(batch.rows, needs) if knowledge else {}

        self.optimizer = make_optimizer(self.objective, training)
        validate = scorer(columns, columns.labelled("validation"))
        self.plan = Plan(training, sampler, sampler.steps, gather, validate, Path(), lambda *_: None)
        self.order, self.number = sampler.order(0), 0
        self.sums = torch.zeros(len(chosen))

    def rows(self) -> np.ndarray:
        """The next batch's rows."""
        whole = len(self.order) // self.plan.training.batch
        start = self.number % whole * self.plan.training.batch
        self.number += 1
        return self.order[start : start + self.plan.training.batch]

    def ours(self) -> None:
        """One step as fit() does it."""
        self.sums += train_step(self.objective, self.optimizer, self.plan, self.rows(), self.number)[0]

    def epoch(self) -> None:
        """All steps of an epoch as fit() does them, and its validation."""
        for _ in range(self.plan.every):
            self.ours()
        self.plan.validate(self.objective.model)

    def hold(self, count: int) -> None:
        """Put batches into memory for :meth:`bare`."""
        self.held = [self.plan.gather(self.rows(), 0) for _ in range(count)]

    def bare(self) -> None:
        """Forward, backward, clip, step, on a batch that is already there."""
        batch, teacher = self.held[self.number % len(self.held)]
        self.number += 1
        loss, _ = self.objective(batch, teacher)
        loss.backward()
        nn.utils.clip_grad_norm_(self.objective.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def ratio(a: Callable[[], None], b: Callable[[], None], pairs: int, steps: int) -> dict:
    """Median of paired ratios a / b over alternating blocks of calls, with the quartiles."""
    block(a, steps), block(b, steps)
    found = []
    for number in range(pairs):
        first, second = (a, b) if number % 2 else (b, a)
        times = {first: block(first, steps)}
        times[second] = block(second, steps)
        found.append(times[a] / times[b])
    quarter = statistics.quantiles(found, n=4)
    return {"median": round(quarter[1], 4), "quartiles": [round(quarter[0], 4), round(quarter[2], 4)], "pairs": pairs}


def block(step: Callable[[], None], count: int) -> float:
    """Seconds of some calls."""
    start = time.perf_counter()
    for _ in range(count):
        step()
    return time.perf_counter() - start


def main() -> None:
    """Prepare, teach for one epoch and extract; then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=60, help="of blocks of steps; a third as many of epochs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Run.open(HERE.parent / "recipes" / "easy-vqa.yaml", ("teacher.train.epochs=1",), folder)
        for verb in ("prepare", "teach", "extract"):
            run_stage(run, verb)
        settle(1)
        columns = Columns.open(run.path("data"))
        knowledge = Knowledge.open(run.path("knowledge"), columns)
        taught, alone = Side(run, columns, knowledge), Side(run, columns, None)
        from_store = ratio(taught.epoch, alone.epoch, max(2, arguments.pairs // 3), 1)
        loop, bare = Side(run, columns, knowledge), Side(run, columns, knowledge)
        bare.hold(100)
        found = {
            "date": date.today().isoformat(),
            "machine": f"{platform.machine()}, one thread, torch {torch.__version__}",
            "recipe": "easy-vqa, batch 256",
            "student epoch from the store / on labels alone": from_store,
            "step of fit() / bare step": ratio(loop.ours, bare.bare, arguments.pairs, BLOCK),
        }
    print(json.dumps(found, indent=1))
    place = HERE / "results" / "overhead.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
