"""One student's training, as a recipe says: its network, its losses, its rows, and what it reads of the store.

The teacher's weights are not opened here. distill trains with it, and so does the search for settings: what a search
tries is what a run then does.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from .. import losses
from ..data.columns import Columns
from ..data.sampler import Sampler
from ..data.training_views import Viewer
from ..knowledge import Knowledge
from ..knowledge.fingerprint import expected
from ..knowledge.manifest import read as read_manifest
from ..knowledge.store import Reader
from ..model import FusionModel
from ..progress import Tell
from ..recipe import Distill, Network, Recipe, Training
from ..registry import PartSettings, settings
from ..run import Run
from .label_budget import label_budget, visible
from .loop import Plan
from .objective import Objective
from .row_usage import RowUsage
from .runtime import seed, settle
from .training_setup import TrainingData, build_model, make_plan


@dataclass(frozen=True)
class Job:
    """One training: who it is, with which seed, share of the labels and modalities; from the teacher or not."""

    who: str
    seed: int
    taught: bool
    fraction: float
    only: str | None  # the one modality that a floor sees
    epochs: int | None = None  # where it has another budget than the recipe's: of the rival alone


def prepared(run: Run, job: Job, scratch: Path, tell: Tell) -> tuple[Objective, Plan]:
    """Everything for :func:`suffuse.engine.loop.fit`; what goes on after a kill stands in ``scratch``."""
    settle(1)
    seed(job.seed)
    whole = Columns.open(run.path("data"))
    usage = RowUsage.of(whole)
    knowledge = open_knowledge(run, whole) if job.taught else None
    network = network_of(run.recipe, job)
    columns = visible(whole, label_budget(whole, job.fraction, run.recipe.seed)).of(network.encoders)
    model, columns = build_model(run, network, columns, usage.standardising(columns.rows("train")))
    objective = make_objective(model, losses_of(run, job), knowledge, run.recipe.distill)
    teacher = open_reader(run, whole, objective, knowledge) if knowledge else None
    training = training_of(run.recipe.distill, job.taught)
    if job.epochs is not None:
        training = training.model_copy(update={"epochs": job.epochs})
    data = training_data(run, job, training, (columns, usage), teacher)
    plan = make_plan(run, training, data, objective, scratch, tell)
    return objective, dataclasses.replace(plan, calibrate=run.recipe.distill.calibrate and job.taught)


def network_of(recipe: Recipe, job: Job) -> Network:
    """The student, or what of it a floor sees; on labels only with the dropout that the recipe gives the baseline."""
    network = recipe.student.only(job.only) if job.only else recipe.student.bare()
    apart = None if job.taught or recipe.distill.baseline is None else recipe.distill.baseline.dropout
    return network if apart is None else network.dropped(apart)


def training_of(how: Distill, taught: bool) -> Training:
    """How the student is trained; on labels only with the settings that the recipe gives the baseline."""
    if taught or how.baseline is None:
        return how.train
    own = {"augment": True} if how.baseline.augment else {}  # :meth:`suffuse.recipe.Recipe.seen` says what it sees
    return how.baseline.train.applied(how.train).model_copy(update=own)


def make_objective(
    model: FusionModel, chosen: dict[str, PartSettings], knowledge: Knowledge | None, how: Distill
) -> Objective:
    """The student with its losses, and what they must know of the teacher."""
    if knowledge is None:
        alone = training_of(how, False)
        return Objective(model, chosen, {}, mixup=alone.mixup, both=alone.whole)
    order = knowledge.manifest["fingerprint"]["modalities"]
    return Objective(model, chosen, knowledge.widths(), order, how.schedules, how.train.mixup, both=how.train.whole)


def training_data(
    run: Run, job: Job, training: Training, data: tuple[Columns, RowUsage], teacher: Reader | None
) -> TrainingData:
    """Which rows, labels and arrays of the teacher a training reads.

    Raises SuffuseError where the store lacks some of them.
    """
    columns, usage = data
    allowed = label_budget(columns, job.fraction, run.recipe.seed)
    target = columns.hidden(allowed)
    labelled = columns.labelled("train")
    rows = columns.rows("train") if teacher else labelled[allowed[labelled]]
    judged = columns.labelled("validation")
    viewer = Viewer.of(training, run.recipe.seen(job.taught), job.seed)
    if teacher:
        teacher.knowledge.require(rows, teacher.needs)
        if viewer and teacher.views:  # the student sees the views that the teacher answered
            viewer = dataclasses.replace(viewer, stored=(run.recipe.seed, teacher.views))
    return TrainingData(
        columns,
        usage,
        Sampler(rows, columns.shared()[rows], training.batch, job.seed),
        validation=judged[allowed[judged]],
        steps_per_epoch=-(-len(columns.rows("train")) // training.batch),
        viewer=viewer,
        target=target,
        reader=teacher,
    )


def open_knowledge(run: Run, columns: Columns) -> Knowledge:
    """The store, refused where anything that decided it is another one now."""
    folder = run.path("knowledge")
    return Knowledge.open(folder, columns, expected(run, columns.spec, read_manifest(folder)["fingerprint"]))


def open_reader(run: Run, columns: Columns, objective: Objective, knowledge: Knowledge) -> Reader:
    """A student's way into the store: its views and, where the recipe asks for them, what it is left with."""
    spec, seen = objective.model.spec, run.recipe.distill.targets == "seen"
    found = Reader.of(knowledge, columns, (spec.names, objective.needs()), seen)
    return dataclasses.replace(found, units=(columns.spec.heads, spec.heads))


def losses_of(run: Run, job: Job) -> dict[str, PartSettings]:
    """The recipe's losses for a distilled student; cross-entropy alone for the baseline."""
    if job.taught:
        return dict(run.recipe.distill.losses)
    return {"labels": settings(losses.TABLE, {"kind": "task", "smoothing": run.recipe.distill.smoothing})}


def jobs(run: Run) -> list[Job]:
    """Student and baseline, with all labels and with each smaller share; then each modality alone."""
    found = []
    for number in range(run.recipe.distill.seeds):
        one = run.recipe.seed + number + 1
        for fraction in (1.0, *run.recipe.fractions):
            suffix = "" if fraction == 1 else f"-{fraction:g}"
            found.append(Job(f"student{suffix}", one, True, fraction, None))
            found.append(Job(f"baseline{suffix}", one, False, fraction, None))
        if run.recipe.distill.floors and len(run.recipe.student.encoders) > 1:
            found.extend(Job(f"only-{name}", one, False, 1.0, name) for name in run.recipe.student.encoders)
        if run.recipe.distill.rival:
            found.append(Job("rival", one, False, 1.0, None))
    return found
