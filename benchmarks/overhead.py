"""What distillation and the training loop cost on the easy-VQA recipe, as ratios of paired, alternating turns.

    python benchmarks/overhead.py [--write] [--seconds 60] [--toy]

step    a batch of the student's training (gathering, the store, every loss, the optimiser's step) against one of the
        same student's on labels alone
epoch   the student's ``fit()`` of one epoch, with its validation, against that on labels alone: at most 1.05
fit     ``fit()`` of one epoch without validation against bare forward + backward + clip + step, as many times, on
        batches held in memory: at most 1.10

Both sides come from :func:`suffuse.engine.student_training.prepared`, as in ``distill``, and alternate in one process,
so that a slower moment of the machine falls on both. All pairs are written, not the median alone. ``--seconds`` is the
time for each comparison; ``--toy`` runs on a made-up data set in seconds; ``--write`` keeps the numbers in
``results/overhead.json``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from result_file import write_result
from suffuse.engine.loop import fit, make_optimizer, train_step
from suffuse.engine.student_training import Job, prepared
from suffuse.pipeline import run_stage
from suffuse.progress import quiet
from suffuse.run import Run
from toy import toy_run

HERE = Path(__file__).parent
BLOCK = 15  # steps of a turn
HELD = 100  # batches in memory at the most
FEWEST, MOST = 3, 200  # pairs of a comparison, whatever the time
LIMITS = {"epoch": 1.05, "fit": 1.10}
NOTHING = {"accuracy": 0.0, "log_loss": 0.0}  # in place of a validation


class Side:
    """One training as ``distill`` sets it up, and ways to do a part of it."""

    def __init__(self, run: Run, taught: bool, scratch: Path):
        self.scratch = scratch
        job = Job("student" if taught else "baseline", 1, taught, 1.0, None)
        self.objective, plan = prepared(run, job, scratch / "prepared", lambda *_: None)
        self.plan = dataclasses.replace(plan, training=plan.training.model_copy(update={"epochs": 1, "patience": 0}))
        self.optimizer = make_optimizer(self.objective, self.plan.training)
        self.order, self.number = self.plan.sampler.order(0), 0
        self.sums = torch.zeros(len(self.objective.names))
        self.held: list[tuple] = []

    def gathered(self) -> tuple:
        """The next batch, with what its losses need of the teacher."""
        batch, whole = self.plan.training.batch, max(len(self.order) // self.plan.training.batch, 1)
        start = self.number % whole * batch
        return self.plan.gather(self.order[start : start + batch], 0)

    def step(self) -> None:
        """A batch as fit() does it."""
        self.objective.train()
        number = self.number % self.plan.every
        self.sums += train_step(self.objective, self.optimizer, self.plan, self.gathered(), number)[0]
        self.number += 1

    def epoch(self) -> None:
        """fit() of one epoch, with its validation."""
        self._fit(self.plan)

    def unvalidated(self) -> None:
        """fit() of one epoch, whose validation costs nothing."""
        self._fit(dataclasses.replace(self.plan, validate=lambda model: NOTHING))

    def _fit(self, plan: Any) -> None:
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            fit(self.objective, dataclasses.replace(plan, folder=Path(folder), note=None))

    def bare_epoch(self) -> None:
        """As many times forward, backward, clip and step as fit() of one epoch has, on batches in memory."""
        if not self.held:
            for _ in range(min(HELD, self.plan.every)):
                self.held.append(self.gathered())
                self.number += 1
        self.objective.train()
        for number in range(self.plan.every):
            loss, _ = self.objective(*self.held[number % len(self.held)])
            loss.backward()
            nn.utils.clip_grad_norm_(self.objective.parameters(), self.plan.training.clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


def ratio(a: Callable[[], None], b: Callable[[], None], seconds: float, calls: int = 1) -> dict[str, Any]:
    """Paired ratios a / b over alternating turns of so many calls, for about so long: their median and quartiles, and
    all of them."""
    turn(a, calls)
    turn(b, calls)
    found: list[float] = []
    start = time.perf_counter()
    while len(found) < FEWEST or (len(found) < MOST and time.perf_counter() - start < seconds):
        first, second = (a, b) if len(found) % 2 else (b, a)
        times = {first: turn(first, calls)}
        times[second] = turn(second, calls)
        found.append(times[a] / times[b])
    quarters = [round(q, 4) for q in statistics.quantiles(found, n=4)]
    return {"median": quarters[1], "quartiles": quarters[::2], "pairs": [round(one, 4) for one in found]}


def turn(call: Callable[[], None], count: int) -> float:
    """Seconds of some calls."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - start


def compared(run: Run, folder: Path, seconds: float) -> dict[str, Any]:
    """All three comparisons."""
    places = [folder / name for name in ("student", "baseline", "loop", "bare")]
    for place in places:
        place.mkdir()
    student, baseline, loop, bare = (Side(run, place.name != "baseline", place) for place in places)
    return {
        "step, student / labels alone": ratio(student.step, baseline.step, seconds, BLOCK),
        "epoch, student / labels alone": ratio(student.epoch, baseline.epoch, seconds),
        "fit, student / bare loop": ratio(loop.unvalidated, bare.bare_epoch, seconds),
    }


def main() -> None:
    """Prepare, teach for one epoch and extract; then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each of the three comparisons")
    parser.add_argument("--toy", action="store_true", help="a made-up data set: the numbers say nothing")
    parser.add_argument("--write", action="store_true", help="benchmarks/results/overhead.json")
    asked = parser.parse_args()
    quiet.set(True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        one_epoch = ("teacher.train.epochs=1",)
        recipe = HERE.parent / "recipes" / "easy-vqa.yaml"
        run = toy_run(place) if asked.toy else Run.open(recipe, one_epoch, place / "run")
        for verb in ("prepare", "teach", "extract"):
            run_stage(run, verb)
        found = compared(run, place, asked.seconds)
    facts = {"recipe": "toy" if asked.toy else "easy-vqa", "threads": 1, **found}
    print(json.dumps(facts, indent=1))
    for name, facts_of in found.items():
        limit = LIMITS.get(name.partition(",")[0])
        print(f"{name}: {facts_of['median']:.3f}" + (f" (at most {limit})" if limit else ""))
    if asked.write:
        write_result("overhead", facts)


if __name__ == "__main__":
    main()
