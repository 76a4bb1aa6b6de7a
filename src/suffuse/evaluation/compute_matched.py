"""The compute-matched baseline (``distill.compute_matched_baseline``): labels only, with the compute of the whole
pipeline.

Distillation costs more than training the student: it includes the trainings of the teacher and its logits for every
row. The compute-matched baseline is the student trained on labels only with all of that compute, as more epochs. The
cost of a pass is counted in operations (:mod:`suffuse.engine.flops`) where the run trained the teacher. What training
another teacher cost is unknown, so only the seconds of its predictions count, and the verdict says so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.columns import Columns
from ..engine import feature_cache, flops
from ..engine.objective import Objective
from ..engine.runtime import device_of
from ..files import read_json
from ..knowledge.manifest import read as read_manifest
from ..model import FusionModel
from ..recipe import Network
from ..run import Run
from .training_time import task_loss, time_step


def compute_budget(run: Run) -> dict[str, Any]:
    """The epochs of the compute-matched baseline and how they come about: ``counted`` in operations or seconds, the
    cost of the ``teacher`` and the ``extraction``, of a ``pass`` of the student, the ``wanted`` epochs, ``epochs``, and
    whether they are ``capped``."""
    columns, own_epochs = Columns.open(run.path("data")), run.recipe.distill.train.epochs
    labelled, batch = columns.labelled("train"), run.recipe.distill.train.batch
    passes = -(-len(columns.rows("train")) // batch)
    if run.recipe.trained:
        model, model_columns = new_network(run, run.recipe.student.bare(), columns)
        labelled_steps = -(-len(labelled) // batch)
        cost = flops.of_pass(model, model_columns, run.recipe.distill.train, labelled) / labelled_steps * passes
        teacher, extraction = teacher_operations(run, columns)
    else:
        cost = step_seconds(run, columns, labelled) * passes
        seconds = (run.stamp("extract") or {}).get("seconds", 0.0)
        teacher, extraction = 0.0, seconds * run.recipe.compute.threads
    wanted = own_epochs + round((teacher + extraction) / cost)
    limit = own_epochs * (run.recipe.distill.compute_matched_baseline or 1)
    return {
        "counted": "operations" if run.recipe.trained else "seconds",
        "teacher": teacher,
        "extraction": extraction,
        "pass": cost,
        "wanted": wanted,
        "epochs": min(wanted, limit),
        "capped": wanted > limit,
    }


def teacher_operations(run: Run, columns: Columns) -> tuple[float, float]:
    """Operations of all trainings of the teacher, and of its logits in the store."""
    teacher = run.recipe.trained
    assert teacher
    model, model_columns = new_network(run, teacher.bare(), columns)
    epoch = flops.of_pass(model, model_columns, teacher.train, columns.labelled("train"))
    seeds = [run.path("teacher")] if teacher.num_seeds == 1 else sorted(run.path("teachers").glob("seed-*"))
    folds, fold_share = sorted(run.path("folds").glob("fold-*")), 1 - 1 / (teacher.folds or 2)
    training = epoch * (_epochs(seeds) + fold_share * _epochs(folds)) + flops.of_frozen(model, columns)
    model, model_columns = new_network(run, teacher.bare(), columns)
    stored = sum(block["rows"] for block in read_manifest(run.path("knowledge"))["blocks"])
    stored *= teacher.num_seeds if teacher.ensemble else 1
    rows = columns.rows("train")
    return training, flops.of_inference(model, model_columns, rows) / max(len(rows), 1) * stored


def new_network(run: Run, network: Network, columns: Columns) -> tuple[FusionModel, Columns]:
    """An initialised network, and the columns as it reads them."""
    columns = columns.of(network.encoders)
    model = FusionModel(network, columns.spec).initialise()
    return model, feature_cache.ready(columns, model, feature_cache.place(run))


def step_seconds(run: Run, columns: Columns, rows: np.ndarray) -> float:
    """Seconds of a step of the student's training, on one thread."""
    model, columns = new_network(run, run.recipe.student.bare(), columns)
    model = model.to(device_of(run.recipe.compute))
    batch = rows[: run.recipe.distill.train.batch]
    names = ("entry", "present", "target", "split", "group", "key")
    columns = replace(columns, **{name: getattr(columns, name)[batch] for name in names})
    return time_step(
        Objective(model, task_loss(), {}).to(model.log_prior.device), columns, run.recipe.distill.train, {}
    )


def _epochs(folders: list[Path]) -> int:
    return sum((read_json(folder / "training.json") or {}).get("epochs", 0) for folder in folders)
