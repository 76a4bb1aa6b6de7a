"""distill: students from the store alone, and beside each the same student on labels alone.

The teacher's weights are not opened here. Every training has the same budget of steps, and the same choice
of its epoch on validation; what a training with few labels may not see, its validation does not see either.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import losses
from ..data import Columns, Sampler
from ..engine import features
from ..engine.forward import scorer
from ..engine.labels import label_budget
from ..engine.loop import Plan, fit
from ..engine.objective import Objective
from ..engine.pool import run_jobs
from ..engine.records import save_trained
from ..engine.runtime import seed, settle
from ..errors import SuffuseError
from ..files import read_json, write_json
from ..knowledge import Knowledge
from ..knowledge.fingerprint import expected
from ..knowledge.manifest import read as read_manifest
from ..knowledge.reader import Reader
from ..model import FusionModel
from ..parts import PartSettings, settings
from ..probes.rival import rival
from ..progress import Tell, progress, say
from ..recipe import Distill, Training
from ..run import Run
from ..views import Viewer


@dataclass(frozen=True)
class Job:
    """One training: who it is, with which seed, share of the labels and modalities; from the teacher or not."""

    who: str
    seed: int
    taught: bool
    fraction: float
    only: str | None  # the one modality that a floor sees


def distill(run: Run) -> None:
    """Train all that the recipe asks for, side by side. Writes ``student/``, ``baseline/`` and their kin."""
    _smaller(run)
    wanted = jobs(run)
    left = [j for j in wanted if not done(run, j)]
    if left:
        settle(run.recipe.compute.threads)
        features.foresee(run, run.recipe.student, Columns.open(run.path("data")))
        weigh(run)
    with progress("distill") as tell:

        def tell_all(share: float, words: str) -> None:
            tell((len(wanted) - len(left) * (1 - share)) / len(wanted), words)

        first, rest = in_order(left, run.recipe.compute.threads)
        share = len(first) / max(len(left), 1)
        train(run, first, lambda done, words: tell_all(share * done, words))
        judge_teacher(run)
        train(run, rest, lambda done, words: tell_all(share + (1 - share) * done, words))
        tell(1.0, f"{len(wanted)} trainings")
    for job in wanted:
        place = run.partial("distill") / job.who / f"seed-{job.seed}"
        for alert in (read_json(place / "training.json") or {}).get("alerts", ()):
            say(f"alert: {job.who}, seed {job.seed}: {alert}")


def train(run: Run, some: list[Job], tell: Tell) -> None:
    """Some trainings, side by side."""
    orders = [{"run": str(run.folder), **dataclasses.asdict(j)} for j in some]
    run_jobs("suffuse.stages.distill:work", orders, run.recipe.compute.threads, tell)


def in_order(left: list[Job], workers: int) -> tuple[list[Job], list[Job]]:
    """What is trained before any distilling: a student on all labels, if it isn't there yet, and beside it as many
    other students on labels as there are processes; then the rest."""
    untaught = [job for job in left if not job.taught]
    if not any(job.who == "baseline" for job in untaught) or not any(job.taught for job in left):
        return [], left
    quick = [job for job in untaught if job.who != "rival"]
    first = sorted(quick, key=lambda job: job.who != "baseline")[:workers]
    return first, [job for job in left if job not in first]


def done(run: Run, job: Job) -> bool:
    """Whether a training ended."""
    return read_json(run.partial("distill") / job.who / f"seed-{job.seed}" / "training.json") is not None


def judge_teacher(run: Run) -> None:
    """Compare the teacher with a student on labels alone, on validation; say it where the teacher is weaker: it would
    cost time and teach its errors. Writes ``judged.json``.

    Raises SuffuseError where the recipe says so.
    """
    trained = [job for job in jobs(run) if job.who == "baseline" and done(run, job)]
    teacher = (read_json(run.path("teacher", "training.json")) or {}).get("validation")
    if not trained or not teacher:  # a store alone: nobody measured its teacher here
        return
    place = run.partial("distill") / "baseline" / f"seed-{trained[0].seed}" / "training.json"
    student = (read_json(place) or {})["validation"]
    metric = next(iter(teacher))
    weak = teacher[metric] < student[metric]
    facts = {"metric": metric, "teacher": teacher[metric], "label_only": student[metric], "weak": weak}
    write_json(run.partial("distill") / "judged.json", facts)
    if not weak:
        return
    said = f"{metric} {teacher[metric]:.4f} on validation, the student on labels alone {student[metric]:.4f}"
    if run.recipe.distill.weak_teacher == "stop":
        raise SuffuseError(
            "the teacher is weaker than its student", where="teacher", got=said,
            hint="a better teacher; or distill: {weak_teacher: warn}, to see what it does",
        )  # fmt: skip
    say(f"notice: the teacher is weaker than its student: {said}. Distilling may hurt.")


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


def weigh(run: Run) -> None:
    """How many epochs labels alone get for the compute of the whole way. Writes ``rival.json``, once: seconds differ
    from one attempt to the next."""
    place = run.partial("distill") / "rival.json"
    if run.recipe.distill.rival and not place.exists():
        facts = rival(run)
        write_json(place, facts)
        capped = f", capped from {facts['wanted']:,}" if facts["capped"] else ""
        say(f"notice: labels alone get the whole way's compute: {facts['epochs']:,} epochs{capped}")


def budget(run: Run, job: Job) -> Training:
    """How a job is trained: all alike, but that the rival has more epochs."""
    training = run.recipe.distill.train
    if job.who != "rival":
        return training
    epochs = (read_json(run.partial("distill") / "rival.json") or {})["epochs"]
    return training.model_copy(update={"epochs": epochs})


def work(order: dict, tell: Tell) -> None:
    """One job, in a process of its own."""
    run, job = Run.open(order.pop("run")), Job(**order)
    settle(1)
    seed(job.seed)
    whole = Columns.open(run.path("data"))
    knowledge = open_knowledge(run, whole) if job.taught else None
    network = run.recipe.student.only(job.only) if job.only else run.recipe.student.bare()
    columns = whole.of(network.encoders)
    model = FusionModel(network, columns.spec).initialise()
    columns = features.ready(columns, model, features.place(run))
    model.standardise(columns, columns.rows("train"))
    objective = make_objective(model, chosen_losses(run, job), knowledge, run.recipe.distill)
    place = run.partial("distill") / job.who / f"seed-{job.seed}"
    scratch = run.partial("distill") / ".work" / job.who / f"seed-{job.seed}"

    def named(share: float, words: str) -> None:
        tell(share, f"{job.who} {job.seed}: {words}")

    told = reader(run, whole, objective, knowledge) if knowledge else None
    plan = make_plan(run, job, columns, (objective, told), (scratch, named))
    save_trained(model, fit(objective, plan), place)


def make_objective(
    model: FusionModel, chosen: dict[str, PartSettings], knowledge: Knowledge | None, how: Distill
) -> Objective:
    """The student with its losses, and what they must know of the teacher."""
    if knowledge is None:
        return Objective(model, chosen, {}, mixup=how.train.mixup)
    order = knowledge.manifest["fingerprint"]["modalities"]
    return Objective(model, chosen, knowledge.widths(), order, how.schedules, how.train.mixup)


def make_plan(
    run: Run, job: Job, columns: Columns, what: tuple[Objective, Reader | None], where: tuple[Path, Tell]
) -> Plan:
    """Which rows, which labels, which of the teacher's arrays."""
    objective, told = what
    training = budget(run, job)
    allowed = label_budget(columns, job.fraction, run.recipe.seed)
    target = columns.hidden(allowed)
    labelled = columns.labelled("train")
    rows = columns.rows("train") if told else labelled[allowed[labelled]]
    judged = columns.labelled("validation")
    if told:
        told.knowledge.require(rows, told.needs)

    viewer = Viewer.of(training, run.recipe.modalities, job.seed)
    if viewer and told and told.views:
        viewer = dataclasses.replace(viewer, stored=(run.recipe.seed, told.views))  # it sees what the teacher saw

    def gather(picked: np.ndarray, turn: int) -> tuple:
        batch = columns.batch(picked, target, (viewer, turn) if viewer else None, objective.whole)
        return batch, told.gather(batch, turn) if told else {}

    return Plan(
        training,
        Sampler(rows, columns.shared()[rows], training.batch, job.seed),
        every=-(-len(columns.rows("train")) // training.batch),
        gather=gather,
        validate=scorer(columns, judged[allowed[judged]]),
        folder=where[0],
        tell=where[1],
        calibrate=run.recipe.distill.calibrate and job.taught,
    )


def open_knowledge(run: Run, columns: Columns) -> Knowledge:
    """The store, refused where anything that decided it is another one now."""
    folder = run.path("knowledge")
    return Knowledge.open(folder, columns, expected(run, columns.spec, read_manifest(folder)["fingerprint"]))


def reader(run: Run, columns: Columns, objective: Objective, knowledge: Knowledge) -> Reader:
    """A student's way into the store: its views and, where the recipe asks for them, what it is left with."""
    names, seen = objective.model.spec.names, run.recipe.distill.targets == "seen"
    return Reader.of(knowledge, columns, (names, objective.needs()), seen)


def chosen_losses(run: Run, job: Job) -> dict[str, PartSettings]:
    """The recipe's losses for a student that is taught; cross-entropy alone for one that isn't."""
    if job.taught:
        return dict(run.recipe.distill.losses)
    return {"labels": settings(losses.TABLE, {"kind": "task", "smoothing": run.recipe.distill.smoothing})}


def _smaller(run: Run) -> None:
    """Refuse a student that isn't smaller than the teacher that the run trained for it. One from outside may be of any
    size: a student of the same size is born again."""
    if run.recipe.trained is None:
        return
    columns = Columns.open(run.path("data"))
    sizes = {
        who: FusionModel(network.bare(), columns.of(network.encoders).spec).size()
        for who, network in run.recipe.networks.items()
    }
    if sizes["student"] >= sizes["teacher"]:
        raise SuffuseError(
            "the student isn't smaller than its teacher", where="student", got=f"{sizes['student']:,} parameters",
            expected=f"fewer than {sizes['teacher']:,}", hint="lower its widths",
        )  # fmt: skip
