"""teach: prepared columns -> the strong model; on request with several seeds, and on each modality alone."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

from .. import losses
from ..data import Columns, Sampler
from ..engine import features
from ..engine.forward import scorer
from ..engine.loop import Plan, fit
from ..engine.objective import Objective
from ..engine.pool import run_jobs
from ..engine.records import best_seed, save_trained
from ..engine.runtime import seed, settle
from ..files import read_json
from ..model import FusionModel
from ..parts import settings
from ..progress import Tell, progress
from ..run import Run
from ..views import Viewer


@dataclass(frozen=True)
class Job:
    """One training: where it goes, its seed, and the one modality that it sees (none: all of the teacher's)."""

    folder: str
    seed: int
    only: str | None


def teach(run: Run) -> None:
    """Train on labelled training rows; choose epoch and seed on validation. Writes ``teacher/``, and beside it what
    the recipe asks for: ``teachers/seed-N`` and ``teacher-only-NAME/seed-N``."""
    folder = run.partial("teach")
    wanted = jobs(run)
    left = [j for j in wanted if read_json(folder / j.folder / "training.json") is None]
    settle(run.recipe.compute.threads)
    if left:
        features.foresee(run, run.recipe.teacher.bare(), Columns.open(run.path("data")))
    with progress("teach") as tell:
        if len(wanted) == 1:
            if left:
                train(run, left[0], run.recipe.compute.threads, tell)
        else:
            orders = [{"run": str(run.folder), **dataclasses.asdict(j)} for j in left]
            run_jobs("suffuse.stages.teach:work", orders, run.recipe.compute.threads, tell)
        if run.recipe.teacher.seeds > 1:
            shutil.rmtree(folder / "teacher", ignore_errors=True)
            shutil.copytree(folder / "teachers" / best_seed(folder / "teachers"), folder / "teacher")


def jobs(run: Run) -> list[Job]:
    """The teacher of every seed; then each of its modalities alone."""
    teacher, first = run.recipe.teacher, run.recipe.seed
    seeds = range(first, first + teacher.seeds)
    found = [Job("teacher" if teacher.seeds == 1 else f"teachers/seed-{s}", s, None) for s in seeds]
    if teacher.floors and len(teacher.encoders) > 1:
        found.extend(Job(f"teacher-only-{name}/seed-{s}", s, name) for s in seeds for name in teacher.encoders)
    return found


def work(order: dict, tell: Tell) -> None:
    """One job, in a process of its own."""
    run, job = Run.open(order.pop("run")), Job(**order)
    train(run, job, 1, lambda share, words: tell(share, f"{job.folder}: {words}"))


def train(run: Run, job: Job, threads: int, tell: Tell) -> None:
    """Fit one network and save it."""
    settle(threads)
    seed(job.seed)
    network = run.recipe.teacher.bare()
    network = network.only(job.only) if job.only else network
    columns = Columns.open(run.path("data")).of(network.encoders)
    model = FusionModel(network, columns.spec).initialise()
    columns = features.ready(columns, model, features.place(run))
    model.standardise(columns, columns.rows("train"))
    task = settings(losses.TABLE, {"kind": "task", "smoothing": run.recipe.teacher.smoothing})
    objective = Objective(model, {"labels": task}, {}, mixup=run.recipe.teacher.train.mixup)
    scratch = run.partial("teach") / ".work" / job.folder
    save_trained(model, fit(objective, plan(run, columns, job.seed, scratch, tell)), run.partial("teach") / job.folder)


def plan(run: Run, columns: Columns, number: int, scratch: Path, tell: Tell) -> Plan:
    """All labelled training rows, those of one picture together."""
    training, rows = run.recipe.teacher.train, columns.labelled("train")
    sampler = Sampler(rows, columns.shared()[rows], training.batch, number)
    viewer = Viewer.of(training, run.recipe.modalities, number)
    return Plan(
        training,
        sampler,
        every=sampler.steps,
        gather=lambda picked, turn: (columns.batch(picked, None, (viewer, turn) if viewer else None), {}),
        validate=scorer(columns, columns.labelled("validation")),
        folder=scratch,
        tell=tell,
    )
