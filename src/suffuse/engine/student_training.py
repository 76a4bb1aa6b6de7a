"""One student's training, as a recipe says: its network, its losses, its rows, and what it reads of the store.

The teacher's weights are not opened here. distill trains with it, and so does the search for settings: what a search
tries is what a run then does.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import losses
from ..data.columns import Columns, Sampler
from ..data.training_views import Viewer
from ..knowledge import Knowledge
from ..knowledge.fingerprint import expected
from ..knowledge.manifest import read as read_manifest
from ..knowledge.training_reader import Reader
from ..model import FusionModel
from ..progress import Tell
from ..recipe import Distill, Network, Recipe, Training
from ..registry import PartSettings, settings
from ..run import Run
from . import feature_cache
from .inference import scorer
from .label_budget import label_budget, visible
from .loop import Plan
from .objective import Objective
from .process_group import current
from .row_usage import RowUsage
from .runtime import seed, settle
from .tensorboard import follower

Where = tuple[Path, Tell]  # the folder of the checkpoint; who is told of the progress


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
    model = FusionModel(network, columns.spec).initialise()
    columns = feature_cache.ready(columns, model, feature_cache.place(run))
    model.standardise(columns, usage.standardising(columns.rows("train")))
    objective = make_objective(model, chosen_losses(run, job), knowledge, run.recipe.distill)
    told = reader(run, whole, objective, knowledge) if knowledge else None
    return objective, make_plan(run, job, (columns, usage), (objective, told), (scratch, tell))


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


def make_plan(
    run: Run, job: Job, data: tuple[Columns, RowUsage], what: tuple[Objective, Reader | None], where: Where
) -> Plan:
    """Which rows, which labels, which of the teacher's arrays."""
    (columns, usage), (objective, told) = data, what
    training = training_of(run.recipe.distill, job.taught)
    if job.epochs is not None:
        training = training.model_copy(update={"epochs": job.epochs})
    allowed = label_budget(columns, job.fraction, run.recipe.seed)
    target = columns.hidden(allowed)
    labelled = columns.labelled("train")
    rows = columns.rows("train") if told else labelled[allowed[labelled]]
    judged = columns.labelled("validation")
    if told:
        told.knowledge.require(rows, told.needs)

    recorded, viewer = usage.training(columns), Viewer.of(training, run.recipe.viewed_modalities(job.taught), job.seed)
    if viewer and told and told.views:
        viewer = dataclasses.replace(viewer, stored=(run.recipe.seed, told.views))  # it sees what the teacher saw

    def gather(picked: np.ndarray, turn: int) -> tuple:
        view = (viewer, turn) if viewer else None
        batch = recorded.batch(picked, target, view, objective.whole, current().split)
        return batch, told.gather(batch, turn) if told else {}

    return Plan(
        training,
        Sampler(rows, columns.shared()[rows], training.batch, job.seed),
        every=-(-len(columns.rows("train")) // training.batch),
        gather=gather,
        validate=scorer(usage.validation(columns), judged[allowed[judged]], training),
        folder=where[0],
        tell=where[1],
        calibrate=run.recipe.distill.calibrate and job.taught,
        note=follower(run, where[0]),
        usage=usage,
        labels=lambda picked: columns.counts(picked, target),
    )


def open_knowledge(run: Run, columns: Columns) -> Knowledge:
    """The store, refused where anything that decided it is another one now."""
    folder = run.path("knowledge")
    return Knowledge.open(folder, columns, expected(run, columns.spec, read_manifest(folder)["fingerprint"]))


def reader(run: Run, columns: Columns, objective: Objective, knowledge: Knowledge) -> Reader:
    """A student's way into the store: its views and, where the recipe asks for them, what it is left with."""
    spec, seen = objective.model.spec, run.recipe.distill.targets == "seen"
    found = Reader.of(knowledge, columns, (spec.names, objective.needs()), seen)
    return dataclasses.replace(found, units=(columns.spec.heads, spec.heads))


def chosen_losses(run: Run, job: Job) -> dict[str, PartSettings]:
    """The recipe's losses for a distilled student; cross-entropy alone for the baseline."""
    if job.taught:
        return dict(run.recipe.distill.losses)
    return {"labels": settings(losses.TABLE, {"kind": "task", "smoothing": run.recipe.distill.smoothing})}
