"""distill: students from the store alone, and beside each the same network on labels only.

The teacher's weights are not opened here. Every training has the same budget of steps, and the same choice
of its epoch on validation; what a training with few labels may not see, its validation does not see either.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from ..data.columns import Columns
from ..engine import feature_cache
from ..engine.loop import fit
from ..engine.process_group import current
from ..engine.ray_executor import ray_executor
from ..engine.runtime import require_precision, settle
from ..engine.student_training import Job, jobs, longer_jobs, prepared, training_of_job
from ..engine.training_record import save_trained
from ..engine.workers import is_brief, run_jobs
from ..errors import SuffuseError
from ..evaluation.compute_matched import compute_budget
from ..evaluation.convergence import FACTORS, Convergence, longer_trainings
from ..evaluation.convergence import FILE as CONVERGENCE
from ..files import file_facts, read_json, write_json
from ..model import FusionModel
from ..progress import Tell, progress, say
from ..recipe import Network
from ..run import SELECTION, Run
from ..tuning.student_selection import SELECTED_RECIPE, select


def distill(run: Run) -> None:
    """Select the student where there are candidates; train all that the recipe asks for, side by side, and longer
    baselines where a comparison isn't settled. Writes ``student/``, ``baseline/`` and their kin, ``convergence.json``
    and, of a selection, ``selection.json`` and ``selected.yaml``."""
    if run.source_recipe.student.is_selected:
        settle(run.recipe.compute.threads, run.recipe.compute)
        run = select(run, _teacher_size(run))
    _smaller(run)
    wanted = jobs(run)
    left = [j for j in wanted if not done(run, j)]
    device = settle(run.recipe.compute.threads, run.recipe.compute)
    require_precision(device, run.recipe.distill.train.precision, "distill.train.precision")
    if left:
        feature_cache.foresee(run, run.recipe.student, Columns.open(run.path("data")))
        weigh(run)
    with progress("distill") as tell:
        ended = len(wanted) - len(left)

        def train_batch(batch: list[Job]) -> None:
            nonlocal ended
            train(run, batch, lambda share, words: tell((ended + share * len(batch)) / len(wanted), words))
            ended += len(batch)

        first, rest = in_order(left, max(run.recipe.compute.threads // run.recipe.compute.processes, 1))
        train_batch(first)
        judge_teacher(run)
        compared = [job for job in rest if job.compared]
        others = [job for job in rest if not job.compared]
        train_batch(compared)
        convergence = Convergence(run, run.partial("distill"))
        if not _doubted(convergence.assess()):
            train_batch(others)
            others = []
        tell(1.0, f"{len(wanted) - len(others)} trainings")
    wanted += lengthen(run, convergence, others)
    for job in wanted:
        place = run.partial("distill") / job.model / f"seed-{job.seed}"
        for alert in (read_json(place / "training.json") or {}).get("alerts", ()):
            say(f"alert: {job.model}, seed {job.seed}: {alert}")


def lengthen(run: Run, convergence: Convergence, others: list[Job]) -> list[Job]:
    """Train the longer baselines of comparisons that aren't settled, and ``others`` beside them; writes
    ``convergence.json``. Returns the longer trainings.

    What is trained follows from what was trained before, so that it is the same after a kill.
    """
    while True:
        facts = convergence.assess()
        longer = longer_trainings(run, facts)
        new = [job for job in longer if not done(run, job)]
        if not new and not others:
            break
        epochs = ", ".join(str(n) for n in sorted({job.epochs for job in new if job.epochs}))
        say(f"distill   the labels-only baseline may be trained too briefly: again with {epochs} epochs")
        with progress("longer") as tell:
            train(run, new + others, tell)
            tell(1.0, f"{len(new)} trainings of {epochs} epochs")
        others = []
    write_json(run.partial("distill") / CONVERGENCE, facts)
    for model in {job.model for job in _possible_longer(run)} - {job.model for job in longer}:
        shutil.rmtree(run.partial("distill") / model, ignore_errors=True)  # taken over, and not needed any more
    return longer


def _doubted(facts: dict[str, Any]) -> bool:
    """Whether any comparison needs a longer baseline."""
    return any(comparison["next"] for comparison in facts["comparisons"].values())


def keep(run: Run) -> None:
    """Take over, as copies, what was trained before and is asked for again: what is replaced moves away whole."""
    outputs, kept = (run.stamp("distill") or {})["outputs"], 0
    rows = len(Columns.open(run.path("data")).rows("train"))
    for job in [*jobs(run), *_possible_longer(run)]:
        name = f"{job.model}/seed-{job.seed}"
        files = {file: facts for file, facts in outputs.items() if file.startswith(f"{name}/")}
        if not files or not all(_same(run.path(file), facts) for file, facts in files.items()):
            continue
        if job.model != "rival" and not _has_budget(run, job, rows):
            continue
        if not done(run, job):
            copy = run.partial("distill") / ".kept"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(run.path(name), copy)
            (run.partial("distill") / job.model).mkdir(exist_ok=True)
            copy.replace(run.partial("distill") / name)
        kept += 1
    for name in (SELECTION, SELECTED_RECIPE):
        if run.path(name).exists():
            shutil.copy(run.path(name), run.partial("distill") / name)
    rival = run.partial("distill") / "rival.json"  # of times, which differ from one attempt to the next
    if run.recipe.distill.compute_matched_baseline and not rival.exists() and run.path(rival.name).exists():
        shutil.copy(run.path(rival.name), rival)
    if kept:
        say(f"distill   {kept} training{'s are' if kept > 1 else ' is'} as {'they were' if kept > 1 else 'it was'}")


def _possible_longer(run: Run) -> list[Job]:
    """The longer baselines of every length."""
    if not run.recipe.distill.longer_baselines:
        return []
    fractions = (1.0, *run.recipe.fractions)
    return [job for fraction in fractions for factor in FACTORS for job in longer_jobs(run, fraction, factor)]


def _has_budget(run: Run, job: Job, rows: int) -> bool:
    """Whether a finished training of the run had the steps that are asked for now. ``rows``: of the training split."""
    training = training_of_job(run.recipe.distill, job)
    record = read_json(run.path(job.model, f"seed-{job.seed}", "training.json")) or {}
    return record["steps"]["budget"] == training.epochs * -(-rows // training.batch)


def train(run: Run, trainings: list[Job], tell: Tell) -> None:
    """Run these trainings in parallel."""
    orders, compute = [{"run": str(run.folder), **dataclasses.asdict(j)} for j in trainings], run.recipe.compute
    brief, ray = _are_brief(run, trainings), ray_executor(run, "distill")
    run_jobs("suffuse.stages.distill:work", orders, compute.threads, tell, compute.processes, brief, ray)


def _are_brief(run: Run, jobs: list[Job]) -> bool:
    if any(job.model == "rival" for job in jobs):  # it has many epochs
        return False
    trainings = [training_of_job(run.recipe.distill, job) for job in jobs]
    return is_brief(run.recipe.student.bare(), Columns.open(run.path("data")), trainings)


def in_order(pending: list[Job], workers: int) -> tuple[list[Job], list[Job]]:
    """What is trained before any distilling: a student on all labels, if it isn't there yet, and beside it as many
    other students on labels as there are processes; then the rest."""
    labels_only = [job for job in pending if not job.distilled]
    if not any(job.model == "baseline" for job in labels_only) or not any(job.distilled for job in pending):
        return [], pending
    quick = [job for job in labels_only if job.model != "rival"]
    first = sorted(quick, key=lambda job: job.model != "baseline")[:workers]
    return first, [job for job in pending if job not in first]


def done(run: Run, job: Job) -> bool:
    """Whether a training ended."""
    return read_json(run.partial("distill") / job.model / f"seed-{job.seed}" / "training.json") is not None


def judge_teacher(run: Run) -> None:
    """Compare the teacher with the labels-only baseline on validation; report it where the teacher is weaker: it would
    cost time and teach its errors. Writes ``judged.json``.

    Raises SuffuseError where the recipe says so.
    """
    trained = [job for job in jobs(run) if job.model == "baseline" and done(run, job)]
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
    said = f"{metric} {teacher[metric]:.4f} on validation, the labels-only baseline {student[metric]:.4f}"
    if run.recipe.distill.weak_teacher == "stop":
        raise SuffuseError(
            "the teacher is weaker than its student", where="teacher", got=said,
            hint="a better teacher; or distill: {weak_teacher: warn}, to see what it does",
        )  # fmt: skip
    say(f"notice: the teacher is weaker than its student: {said}. Distilling may hurt.")


def weigh(run: Run) -> None:
    """How many epochs the compute-matched baseline gets. Writes ``rival.json``, once: seconds differ
    from one attempt to the next."""
    place = run.partial("distill") / "rival.json"
    if run.recipe.distill.compute_matched_baseline and not place.exists():
        facts = compute_budget(run)
        write_json(place, facts)
        capped = f", capped from {facts['wanted']:,}" if facts["capped"] else ""
        say(f"notice: epochs of the compute-matched baseline: {facts['epochs']:,}{capped}")


def work(order: dict, tell: Tell) -> None:
    """One job, in a process of its own."""
    run, job = Run.open(order.pop("run")), Job(**order)
    if job.model == "rival":  # all are trained alike, but that it has more epochs
        job = dataclasses.replace(job, epochs=(read_json(run.partial("distill") / "rival.json") or {})["epochs"])
    place = run.partial("distill") / job.model / f"seed-{job.seed}"
    scratch = run.partial("distill") / ".work" / job.model / f"seed-{job.seed}"

    def named(share: float, words: str) -> None:
        tell(share, f"{job.model} {job.seed}: {words}")

    objective, plan = prepared(run, job, scratch, named)
    state = fit(objective, plan)
    if current().first:
        save_trained(objective.model, state, plan, place)


def _same(path: Path, facts: list) -> bool:
    return path.is_file() and list(file_facts(path)) == facts


def _smaller(run: Run) -> None:
    """Refuse a student that isn't smaller than the teacher that the run trained for it. One from outside may be of any
    size: a student of the same size is born again."""
    student, teacher = _size(run, run.recipe.student), _teacher_size(run)
    if teacher is not None and student >= teacher:
        raise SuffuseError(
            "the student isn't smaller than its teacher", where="student", got=f"{student:,} parameters",
            expected=f"fewer than {teacher:,}", hint="lower its widths",
        )  # fmt: skip


def _teacher_size(run: Run) -> int | None:
    """Parameters of the teacher that the run trained; None of one from outside."""
    return None if run.recipe.trained is None else _size(run, run.recipe.trained)


def _size(run: Run, network: Network) -> int:
    return FusionModel(network.bare(), Columns.open(run.path("data")).of(network.encoders).spec).size()
