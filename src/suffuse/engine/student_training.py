"""The trainings of students and labels-only baselines: which ones a recipe asks for; network, losses and rows of each.

The teacher's weights are not opened here: its outputs come from the store. ``distill`` and ``tune`` both set up their
trainings here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import losses
from ..data.columns import Columns
from ..data.sampler import Sampler
from ..data.training_views import Viewer
from ..files import read_json
from ..knowledge import Knowledge
from ..knowledge.fingerprint import expected
from ..knowledge.manifest import read as read_manifest
from ..knowledge.store import Reader
from ..model import FusionModel
from ..model_names import longer_name, with_fraction
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
    """One training."""

    model: str  # its folder: student, baseline, only-MODALITY; -FRACTION where labels are hidden; -xFACTOR if longer
    seed: int
    distilled: bool  # from the teacher; else on labels only
    fraction: float  # of the labels
    only: str | None  # the one modality that a unimodal baseline reads
    epochs: int | None = None  # another budget than the recipe's: of longer and of compute-matched baselines

    @property
    def compared(self) -> bool:
        """Whether it is a student, or a baseline that it is compared with, with the recipe's budget."""
        return self.only is None and self.epochs is None and self.model != "rival"


def prepared(run: Run, job: Job, scratch: Path, tell: Tell) -> tuple[Objective, Plan]:
    """Everything for :func:`suffuse.engine.loop.fit`. ``scratch`` is the folder of the checkpoint."""
    device = settle(1, run.recipe.compute)
    seed(job.seed)
    all_columns = Columns.open(run.path("data"))
    usage = RowUsage.of(all_columns)
    knowledge = open_knowledge(run, all_columns, teacher_seed(run.recipe, job.seed)) if job.distilled else None
    network = network_of(run.recipe, job)
    columns = visible(all_columns, label_budget(all_columns, job.fraction, run.recipe.seed)).of(network.encoders)
    model, columns = build_model(run, network, columns, usage.standardising(columns.rows("train")))
    objective = make_objective(model, losses_of(run, job), knowledge, run.recipe.distill).to(device)
    teacher = open_reader(run, all_columns, objective, knowledge) if knowledge else None
    training = training_of_job(run.recipe.distill, job)
    data = training_data(run, job, training, (columns, usage), teacher)
    plan = make_plan(run, training, data, objective, scratch, tell)
    return objective, dataclasses.replace(
        plan, calibrate=run.recipe.distill.balance_losses is not None and job.distilled
    )


def network_of(recipe: Recipe, job: Job) -> Network:
    """The student, or its part that reads one modality. A baseline may have a dropout of its own."""
    network = recipe.student.only(job.only) if job.only else recipe.student.bare()
    dropout = None if job.distilled or recipe.distill.baseline is None else recipe.distill.baseline.dropout
    return network if dropout is None else network.dropped(dropout)


def training_of(distill: Distill, distilled: bool) -> Training:
    """The training settings of a student, or of its labels-only baseline."""
    if distilled or distill.baseline is None:
        return distill.train
    # :meth:`suffuse.recipe.Recipe.seen` says which entries are augmented
    overrides: dict[str, Any] = {"augment": True} if distill.baseline.augment else {}
    if distill.baseline.epochs != "auto":
        overrides["epochs"] = distill.baseline.epochs
    return distill.baseline.train.applied(distill.train).model_copy(update=overrides)


def training_of_job(distill: Distill, job: Job) -> Training:
    """The training settings of one training. With another number of epochs ``patience`` is as large a share of it; the
    learning rate's schedule follows the number of steps."""
    training = training_of(distill, job.distilled)
    if job.epochs is None:
        return training
    patience = -(-training.patience * job.epochs // training.epochs)
    return training.model_copy(update={"epochs": job.epochs, "patience": patience})


def make_objective(
    model: FusionModel, chosen: dict[str, PartSettings], knowledge: Knowledge | None, distill: Distill
) -> Objective:
    """The student with its losses. ``knowledge``: None for a training on labels only."""
    if knowledge is None:
        training = training_of(distill, False)
        return Objective(model, chosen, {}, mixup=training.mixup, both=training.also_full_input)
    order = knowledge.manifest["fingerprint"]["modalities"]
    return Objective(
        model,
        chosen,
        knowledge.widths(),
        order,
        distill.schedules,
        distill.train.mixup,
        both=distill.train.also_full_input,
    )


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
    labelled = labelled[allowed[labelled]]
    rows = columns.rows("train") if teacher else labelled
    judged = columns.labelled("validation")
    viewer = Viewer.of(training, run.recipe.viewed_modalities(job.distilled), job.seed)
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
        labelled=labelled,
        viewer=viewer,
        target=target,
        reader=teacher,
    )


def teacher_seed(recipe: Recipe, student_seed: int) -> int | None:
    """Seed of the teacher that a student learns from: the first student from the first teacher, and so on; those of a
    search, which are more, from each in turn. None where all learn from one teacher."""
    if recipe.num_teachers == 1:
        return None
    return recipe.seed + (student_seed - recipe.seed - 1) % recipe.num_teachers


def open_knowledge(run: Run, columns: Columns, teacher: int | None = None) -> Knowledge:
    """The store, as the teacher of this seed answered where there are several. Raises SuffuseError where its
    fingerprint isn't that of the run."""
    folder = run.path("knowledge")
    return Knowledge.open(folder, columns, expected(run, columns.spec, read_manifest(folder)["fingerprint"]), teacher)


def open_reader(run: Run, columns: Columns, objective: Objective, knowledge: Knowledge) -> Reader:
    """What reads the store for a student: its views and, with ``targets: seen``, the subsets that it is left with."""
    spec, masked = objective.model.spec, run.recipe.distill.teacher_input == "masked"
    reader = Reader.of(knowledge, columns, (spec.names, objective.needs()), masked)
    return dataclasses.replace(reader, units=(columns.spec.heads, spec.heads))


def losses_of(run: Run, job: Job) -> dict[str, PartSettings]:
    """The recipe's losses of a distilled student; the task loss alone for a baseline."""
    if job.distilled:
        return dict(run.recipe.distill.losses)
    return {"labels": settings(losses.TABLE, {"kind": "task", "label_smoothing": run.recipe.distill.label_smoothing})}


def jobs(run: Run) -> list[Job]:
    """Student and baseline, with all labels and with each smaller share; then each modality alone. The student alone
    where no training row has a label: nothing else has anything to learn from."""
    trainings: list[Job] = []
    labelled = has_labels(run)
    for number in range(run.recipe.distill.num_seeds):
        seed_number = run.recipe.seed + number + 1
        if not labelled:
            trainings.append(Job("student", seed_number, True, 1.0, None))
            continue
        for fraction in (1.0, *run.recipe.fractions):
            trainings.append(Job(with_fraction("student", fraction), seed_number, True, fraction, None))
            trainings.append(Job(with_fraction("baseline", fraction), seed_number, False, fraction, None))
        if run.recipe.distill.unimodal_baselines and len(run.recipe.student.encoders) > 1:
            trainings.extend(
                Job(f"only-{name}", seed_number, False, 1.0, name, _unimodal_epochs(run.recipe.distill))
                for name in run.recipe.alone(run.recipe.student)
            )
        if run.recipe.distill.compute_matched_baseline:
            trainings.append(Job("rival", seed_number, False, 1.0, None))
    return trainings


def has_labels(run: Run) -> bool:
    """Whether any training row has a label. Without one, a recipe lists the classes (``data.tasks.NAME.classes``)."""
    schema: Any = read_json(run.path("data", "schema.json"))
    return not schema or schema["labelled"]["train"] > 0


def longer_jobs(run: Run, fraction: float, factor: int) -> list[Job]:
    """The labels-only baseline of every seed with ``factor`` times the epochs, all else equal."""
    epochs, model = (
        training_of(run.recipe.distill, False).epochs,
        longer_name(with_fraction("baseline", fraction), factor),
    )
    seeds = range(run.recipe.seed + 1, run.recipe.seed + 1 + run.recipe.distill.num_seeds)
    return [Job(model, seed_number, False, fraction, None, factor * epochs) for seed_number in seeds]


def _unimodal_epochs(distill: Distill) -> int | None:
    epochs = distill.unimodal_baselines
    return None if isinstance(epochs, bool) else epochs
