"""teach: prepared columns -> the strong model."""

from __future__ import annotations

from .. import losses
from ..data import Columns, Sampler
from ..engine.forward import scorer
from ..engine.loop import Plan, fit
from ..engine.objective import Objective
from ..engine.records import save_trained
from ..engine.runtime import seed, settle
from ..model import FusionModel
from ..parts import settings
from ..progress import Tell, progress
from ..run import Run


def teach(run: Run) -> None:
    """Train the teacher on labelled training rows; choose its epoch on validation. Writes ``teacher/``."""
    recipe, folder = run.recipe, run.partial("teach") / "teacher"
    settle(recipe.compute.threads)
    seed(recipe.seed)
    columns = Columns.open(run.path("data"))
    model = FusionModel(recipe.teacher, columns.spec)
    task = settings(losses.TABLE, {"kind": "task", "smoothing": recipe.teacher.smoothing})
    objective = Objective(model, {"labels": task}, {})
    with progress("teach") as tell:
        state = fit(objective, plan(run, columns, tell))
        save_trained(model, state, folder)


def plan(run: Run, columns: Columns, tell: Tell) -> Plan:
    """All labelled training rows, those of one picture together."""
    training, rows = run.recipe.teacher.train, columns.labelled("train")
    sampler = Sampler(rows, columns.shared()[rows], training.batch, run.recipe.seed)
    return Plan(
        training,
        sampler,
        every=sampler.steps,
        gather=lambda picked: (columns.batch(picked), {}),
        validate=scorer(columns, columns.labelled("validation")),
        folder=run.partial("teach") / ".work",
        tell=tell,
    )
