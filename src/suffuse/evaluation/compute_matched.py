"""The compute-matched baseline (``distill.rival``): labels only, with the compute of the whole pipeline.

Distilling costs more than training the student: the teacher's trainings and its answers to every row. The rival is the
student trained on labels only that gets all of it, as more epochs. What a pass costs is counted
(:mod:`suffuse.engine.flops`) where the run trained the teacher; of a teacher from outside nobody here knows what it
cost to make, so only the seconds in which it was asked count, and the rival's verdict says so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import losses
from ..data.columns import Columns
from ..engine import feature_cache, flops
from ..engine.objective import Objective
from ..files import read_json
from ..knowledge.manifest import read as read_manifest
from ..model import FusionModel
from ..recipe import Network
from ..registry import settings
from ..run import Run
from .training_time import step


def rival(run: Run) -> dict[str, Any]:
    """How many epochs the rival gets, and of what that is made: ``counted`` in operations or seconds, the ``teacher``'s
    and the ``extraction``'s part, what a ``pass`` of the student costs, ``epochs``, and whether they are ``capped``."""
    columns, budget = Columns.open(run.path("data")), run.recipe.distill.train.epochs
    labelled = columns.labelled("train")
    passes = -(-len(columns.rows("train")) // run.recipe.distill.train.batch)
    if run.recipe.trained:
        model, seen = opened(run, run.recipe.student.bare(), columns)
        one = flops.of_pass(model, seen, run.recipe.distill.train, labelled) / steps(run, len(labelled)) * passes
        teacher, extraction = of_teacher(run, columns)
    else:
        one = seconds(run, columns, labelled) * passes
        asked = (run.stamp("extract") or {}).get("seconds", 0.0)
        teacher, extraction = 0.0, asked * run.recipe.compute.threads
    wanted = budget + round((teacher + extraction) / one)
    most = budget * (run.recipe.distill.rival or 1)
    return {
        "counted": "operations" if run.recipe.trained else "seconds",
        "teacher": teacher,
        "extraction": extraction,
        "pass": one,
        "wanted": wanted,
        "epochs": min(wanted, most),
        "capped": wanted > most,
    }


def steps(run: Run, rows: int) -> int:
    """Steps of the student's training in a pass over so many rows."""
    return -(-rows // run.recipe.distill.train.batch)


def of_teacher(run: Run, columns: Columns) -> tuple[float, float]:
    """Operations of all of the teacher's trainings, and of its answers in the store."""
    teacher = run.recipe.trained
    assert teacher
    model, seen = opened(run, teacher.bare(), columns)
    rows = columns.labelled("train")
    one = flops.of_pass(model, seen, teacher.train, rows)
    single = [run.path("teacher")] if teacher.seeds == 1 else sorted(run.path("teachers").glob("seed-*"))
    folds, outside = sorted(run.path("folds").glob("fold-*")), 1 - 1 / (teacher.folds or 2)
    total = one * (_epochs(single) + outside * _epochs(folds)) + flops.of_frozen(model, columns)
    model, seen = opened(run, teacher.bare(), columns)
    answered = sum(block["rows"] for block in read_manifest(run.path("knowledge"))["blocks"])
    answered *= teacher.seeds if teacher.ensemble else 1
    known = columns.rows("train")
    return total, flops.of_inference(model, seen, known) / max(len(known), 1) * answered


def opened(run: Run, network: Network, columns: Columns) -> tuple[FusionModel, Columns]:
    """A new network, and the columns as it reads them."""
    columns = columns.of(network.encoders)
    model = FusionModel(network, columns.spec).initialise()
    return model, feature_cache.ready(columns, model, feature_cache.place(run))


def seconds(run: Run, columns: Columns, rows: np.ndarray) -> float:
    """Seconds of a step of the student's training, on one thread."""
    model, seen = opened(run, run.recipe.student.bare(), columns)
    some = rows[: run.recipe.distill.train.batch]
    names = ("entry", "present", "target", "split", "group", "key")
    seen = replace(seen, **{name: getattr(seen, name)[some] for name in names})
    objective = Objective(model, {"labels": settings(losses.TABLE, {"kind": "task"})}, {})
    return step(objective, seen, run.recipe.distill.train, {})


def _epochs(places: list[Path]) -> int:
    return sum((read_json(place / "training.json") or {}).get("epochs", 0) for place in places)
