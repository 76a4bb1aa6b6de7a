"""teach: prepared columns -> the strong model; on request with several seeds, on each modality alone, and in folds.

A teacher from outside isn't trained: it is opened, frozen, and measured on validation before anything learns from it.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import losses
from ..classical.cross_fitting import cross_fit_members
from ..classical.members import portfolio_members, weighted
from ..data.columns import Columns
from ..data.sampler import Sampler
from ..data.training_views import Viewer
from ..engine import feature_cache, frozen_first
from ..engine.checkpoint import State
from ..engine.inference import logits, score
from ..engine.loop import Plan, fit
from ..engine.objective import Objective
from ..engine.process_group import current
from ..engine.ray_executor import ray_executor
from ..engine.row_usage import RowUsage
from ..engine.runtime import device_of, require_precision, seed, settle
from ..engine.seed_selection import best_seed
from ..engine.training_record import save_trained
from ..engine.training_setup import TrainingData, build_model, make_plan
from ..engine.workers import is_brief, run_jobs
from ..errors import SuffuseError
from ..files import read_array, read_json, write_json
from ..model import FusionModel, open_model
from ..progress import Tell, progress, say
from ..recipe import Network
from ..registry import settings
from ..report.finetuning_choice import finetuning_choice
from ..report.pool_members import leaderboard_table
from ..run import Run
from ..subsample import training_sample
from ..teachers import Teacher, batch_query, portfolio
from ..teachers.ensemble import combine
from ..teachers.factory import open_external, open_network
from ..teachers.leaderboard import LEADERBOARD, leaderboard
from ..teachers.out_of_fold import fold_of
from ..teachers.portfolio import Portfolio
from ..teachers.teacher_seeds import seed_folder
from ..teachers.trained import Trained
from ..types import CLASSES, Head

MEMORISED, SURE = 0.98, 0.05  # main metric and log loss on training rows of a teacher that has memorised them
TRAINED_ON_GAP = 0.01  # by so much better on training rows: an external teacher was trained on them


@dataclass(frozen=True)
class Job:
    """One training: where it goes, its seed, and the one modality that it sees (none: all of the teacher's)."""

    folder: str
    seed: int
    only: str | None
    fold: int | None = None  # the part of the training rows that it doesn't see


def teach(run: Run) -> None:
    """Train on labelled training rows; choose epoch and seed on validation. Writes ``teacher/``, and beside it what
    the recipe asks for: ``teachers/seed-N``, ``teacher-only-NAME/seed-N`` and ``folds/fold-K``. Of a teacher from
    outside ``teacher/training.json`` says what was measured."""
    if run.recipe.trained is None:
        measure_external(run)
        return
    folder, teacher = run.partial("teach"), run.recipe.trained
    wanted = jobs(run)
    left = [j for j in wanted if read_json(folder / j.folder / "training.json") is None]
    device = settle(run.recipe.compute.threads, run.recipe.compute)
    require_precision(device, teacher.train.precision, "teacher.train.precision")
    if left:
        network = teacher.bare()
        if teacher.frozen_first:
            network = frozen_first.candidates(network)[frozen_first.FROZEN]
        feature_cache.foresee(run, network, Columns.open(run.path("data")))
    threads, processes = run.recipe.compute.threads, run.recipe.compute.processes
    with progress("teach") as tell:
        if len(wanted) == 1 and processes == 1 and run.recipe.compute.cluster is None:
            if left:
                train(run, left[0], threads, tell)
        else:
            each = max(threads // processes, 1) if len(wanted) == 1 else 1  # side by side they have one thread each
            orders = [{"run": str(run.folder), "threads": each, **dataclasses.asdict(j)} for j in left]
            little = is_brief(teacher.bare(), Columns.open(run.path("data")), [teacher.train for _ in orders])
            ray = ray_executor(run, "teach", each)
            run_jobs("suffuse.stages.teach:run_job", orders, threads, tell, processes, little, ray)
        facts = finish_seeds(run, tell) if run.recipe.num_teachers > 1 else finish_teacher(run, tell)
    if frozen_first.KEY in facts:
        say(f"notice: {finetuning_choice(facts)}")
    if facts["by_heart"] and not teacher.folds:
        say(f"notice: {_known(facts)}: its answers there say little more than the labels.")
        say("        teacher: {folds: 5} asks networks that didn't see them.")


def finish_teacher(run: Run, tell: Tell) -> dict[str, Any]:
    """Make the best seed the teacher, fit its portfolio where the recipe has one, and score it. Returns the facts of
    ``teacher/training.json``."""
    folder, teacher = run.partial("teach"), run.recipe.trained
    assert teacher
    if teacher.num_seeds > 1:
        copy_best_seed(folder)
    place, members = folder / "teacher", None
    if teacher.portfolio:
        network = open_network(run, Columns.open(run.path("data")), teacher, folder)
        members = fit_portfolio(run, (place, run.recipe.seed), network, tell)
    return score_trained(run, place, members)


def finish_seeds(run: Run, tell: Tell) -> dict[str, Any]:
    """The same where every seed of the student has a teacher of its own: each is scored, and has its own portfolio with
    folds of its own, so that the luck of the folds differs too. The best seed is copied to ``teacher/``."""
    folder, columns = run.partial("teach"), Columns.open(run.path("data"))
    teacher, first = run.recipe.trained, run.recipe.seed
    assert teacher
    for number, seed_number in enumerate(range(first, first + teacher.num_seeds)):
        place = seed_folder(folder, seed_number)
        members = None
        if teacher.portfolio:
            share = number / teacher.num_seeds

            def report(part: float, words: str, share: float = share) -> None:
                tell(share + part / teacher.num_seeds, words)

            members = fit_portfolio(run, (place, seed_number), Trained.open(run, columns, place), report)
        score_trained(run, place, members)
    best = copy_best_seed(folder)
    facts = (read_json(folder / "teacher" / "training.json") or {}) | {"seed": int(best.removeprefix("seed-"))}
    write_json(folder / "teacher" / "training.json", facts)
    return facts


def copy_best_seed(folder: Path) -> str:
    """Copy the best of ``teachers/`` to ``teacher/``. Returns its name."""
    best = best_seed(folder / "teachers")
    shutil.rmtree(folder / "teacher", ignore_errors=True)
    shutil.copytree(folder / "teachers" / best, folder / "teacher")
    return best


def jobs(run: Run) -> list[Job]:
    """The teacher of every seed; then each of its modalities alone; then a network for each fold. Nothing where the
    teacher comes from outside."""
    teacher, first = run.recipe.trained, run.recipe.seed
    if teacher is None:
        return []
    seeds = range(first, first + teacher.num_seeds)
    trainings = [Job("teacher" if teacher.num_seeds == 1 else f"teachers/seed-{s}", s, None) for s in seeds]
    if teacher.unimodal_baselines and len(teacher.encoders) > 1:
        trainings.extend(
            Job(f"teacher-only-{name}/seed-{s}", s, name) for s in seeds for name in run.recipe.alone(teacher)
        )
    trainings.extend(Job(f"folds/fold-{k}", first, None, k) for k in range(teacher.folds or 0))
    return trainings


def measure_external(run: Run) -> None:
    """Score an external teacher on validation rows, and on some training rows. Writes ``teacher/training.json``.

    Raises SuffuseError where it answers no validation row, or changes while it is asked.
    """
    settle(run.recipe.compute.threads, run.recipe.compute)
    columns = Columns.open(run.path("data"))
    with progress("teach") as tell:
        teacher = open_external(run, columns)
        before, where = teacher.fingerprint(), f"teacher, kind {teacher.facts()['kind']}"
        rows = columns.labelled("validation")
        answers = batch_query.logits(teacher, rows, lambda share, words: tell(0.7 * share, f"validation: {words}"))
        silent = np.isnan(answers).any(1)
        if silent.all():
            raise SuffuseError("the teacher answers no validation row", where=where, got=f"{len(rows):,} abstentions")
        facts = {**teacher.facts(), "validation": score(columns.spec, answers, columns.target[rows])}
        facts |= {"rows": len(rows), "abstained": int(silent.sum())}
        training_rows = training_sample(columns.labelled("train"))
        answers = batch_query.logits(
            teacher, training_rows, lambda share, words: tell(0.7 + 0.3 * share, f"training: {words}")
        )
        if not np.isnan(answers).any(1).all():
            facts["training"] = score(columns.spec, answers, columns.target[training_rows])
        if teacher.fingerprint() != before:
            raise SuffuseError("the teacher changed while it was asked", where=where)
        born_again = "network" in facts and facts.pop("network") == run.recipe.student.bare().model_dump(mode="json")
        facts |= {"born_again": born_again, "fingerprint": before}
        facts["by_heart"] = is_memorised(columns.spec.heads, facts.get("training", {}))
        write_json(run.partial("teach") / "teacher" / "training.json", facts)
        metric, value = next(iter(facts["validation"].items()))
        silence = f", says nothing of {silent.sum():,} of {len(rows):,} rows" if silent.any() else ""
        tell(1.0, f"{metric} {value:.4f} on validation{silence}")
    for reason, count in facts.get("reasons", {}).items() if "normalised" in facts else ():
        say(f"          {count:,} of all {facts['questioned']:,} rows left out: {reason}")
    if facts["by_heart"] and facts["training"][metric] - value >= TRAINED_ON_GAP:
        say(f"notice: {_known(facts)}: it has seen them, and its answers there say little more than the labels.")


def fit_portfolio(run: Run, where: tuple[Path, int], network: Teacher, tell: Tell) -> Portfolio:
    """Cross-fit the classical models beside the trained network, and weigh all of them. ``where``: the folder of the
    network, in which ``portfolio/`` is written, and the seed of the folds.

    The weights are chosen on validation rows; where the network has folds of its own, on training rows too.
    """
    teacher, columns = run.recipe.trained, Columns.open(run.path("data"))
    assert teacher and teacher.portfolio
    place = where[0] / portfolio.FOLDER
    if not (place / portfolio.WEIGHTS).exists():
        weigh_portfolio(run, columns, network, (place, where[1]), tell)
    remove_unweighted(place)
    return Portfolio.open(network, columns, place)


def weigh_portfolio(run: Run, columns: Columns, network: Teacher, where: tuple[Path, int], tell: Tell) -> None:
    """Cross-fit the members, and write leaderboard and weights; the weights last, they say that all is there."""
    place, teacher = where[0], run.recipe.trained
    assert teacher and teacher.portfolio
    fold = fold_of(columns, teacher.portfolio.folds, where[1])
    members, skipped = portfolio_members(run.recipe, columns)
    files = cross_fit_members(run, columns, fold, place, members, lambda share, words: tell(0.9 * share, words))
    names = [m.name for n in columns.spec.names for m in members if m.modality == n]
    outputs = {name: read_array(files[name], "r") for name in names}
    rows = columns.labelled("validation")
    if teacher.folds:
        rows = np.concatenate([rows, training_sample(columns.labelled("train"))])
    tell(0.9, "weights of the portfolio")
    weights = portfolio.subset_weights(network, columns, outputs, rows)
    validation = batch_query.logits(network, columns.labelled("validation"))
    seconds = {
        name: (read_json(file.with_suffix(".json")) or {"seconds": None})["seconds"] for name, file in files.items()
    }
    full = weights["+".join(columns.spec.names)]
    entries = leaderboard(columns, validation, outputs, full, seconds, skipped)
    write_json(place / LEADERBOARD, entries)
    for line in leaderboard_table(entries).lines():
        say(line)
    write_json(place / portfolio.WEIGHTS, weights)


def remove_unweighted(place: Path) -> None:
    """Remove the outputs of members that have no weight in any set of modalities, and the keys of all."""
    weights = read_json(place / portfolio.WEIGHTS)
    for file in place.glob("*.npy"):
        if not weighted(weights, file.stem):
            file.unlink()
        file.with_suffix(".json").unlink(missing_ok=True)


def score_trained(run: Run, place: Path, members: Portfolio | None = None) -> dict:
    """Score the trained teacher in ``place`` on training rows too, an ensemble or portfolio also on validation rows.
    Returns the facts that were written."""
    folder, columns = run.partial("teach"), Columns.open(run.path("data"))
    training_rows, facts = training_sample(columns.labelled("train")), read_json(place / "training.json")
    together = run.recipe.trained is not None and run.recipe.trained.ensemble
    places = sorted((folder / "teachers").glob("seed-*")) if together else [place]

    def scored(rows: np.ndarray) -> dict[str, float]:
        answers = batch_query.logits(members, rows) if members else trained_logits(run, columns, places, rows)
        return score(columns.spec, answers, columns.target[rows])

    facts["training"] = scored(training_rows)
    if together:
        facts |= {"ensemble": len(places), "best": facts["validation"]}
        facts["validation"] = scored(columns.labelled("validation"))
    if members:
        facts["portfolio"] = portfolio_facts(place / portfolio.FOLDER)
        facts["validation"] = scored(columns.labelled("validation"))
    facts["by_heart"] = is_memorised(columns.spec.heads, facts["training"])
    write_json(place / "training.json", facts)
    return facts


def portfolio_facts(folder: Path) -> dict[str, Any]:
    """Each member's score on validation rows, and its weights for rows with all modalities."""
    entries = [entry for entry in read_json(folder / LEADERBOARD) or [] if "validation" in entry]
    return {entry["member"]: {key: entry[key] for key in ("validation", "weights")} for entry in entries}


def trained_logits(run: Run, columns: Columns, places: list[Path], rows: np.ndarray) -> np.ndarray:
    """(N, C) logits of a trained network, or of several together."""
    all_logits = []
    for place in places:
        model = open_model(place).to(device_of(run.recipe.compute))
        all_logits.append(logits(model, feature_cache.ready(columns, model, feature_cache.place(run)), rows))
    return all_logits[0] if len(all_logits) == 1 else combine(columns.spec.heads, all_logits, "mean")


def is_memorised(heads: tuple[Head, ...], scores: dict[str, float]) -> bool:
    """Whether scores on training rows are those of a teacher that has memorised them: the main metric at 0.98 or more;
    of classes also a log loss below 0.05."""
    if not scores:
        return False
    classes = all(head.kind == CLASSES for head in heads)
    return next(iter(scores.values())) >= MEMORISED or (classes and scores["log_loss"] < SURE)


def _known(facts: dict) -> str:
    metric, value = next(iter(facts["training"].items()))
    loss, valid = facts["training"]["log_loss"], facts["validation"][metric]
    return f"the teacher has {metric} {value:.4f} on training rows (log loss {loss:.3g}), {valid:.4f} on validation"


def run_job(order: dict, tell: Tell) -> None:
    """One job, in a process of its own."""
    run, threads = Run.open(order.pop("run")), order.pop("threads")
    job = Job(**order)
    train(run, job, threads, lambda share, words: tell(share, f"{job.folder}: {words}"))


def train(run: Run, job: Job, threads: int, tell: Tell) -> None:
    """Fit one network and save it."""
    settle(threads, run.recipe.compute)
    seed(job.seed)
    teacher = run.recipe.trained
    assert teacher
    network, scratch = teacher.bare(), run.partial("teach") / ".work" / job.folder
    network = network.only(job.only) if job.only else network
    if teacher.frozen_first and frozen_first.is_finetuned(network):
        train_frozen_first(run, job, network, scratch, tell)
        return
    trained = fit_network(run, job, network, scratch, tell)
    if current().first:
        save_trained(*trained, run.partial("teach") / job.folder)


def train_frozen_first(run: Run, job: Job, network: Network, scratch: Path, tell: Tell) -> None:
    """Fit the network with frozen encoders, then fine-tune it from there, and save the better one. What is fitted isn't
    fitted again."""
    networks = frozen_first.candidates(network)
    folders = {name: scratch / name / "saved" for name in networks}
    for number, (name, candidate) in enumerate(networks.items()):
        if read_json(folders[name] / "training.json") is None:
            seed(job.seed)
            start = folders[frozen_first.FROZEN] if name == frozen_first.FINETUNED else None
            half = _half(tell, number, name)
            trained = fit_network(run, job, candidate, scratch / name, half, start)
            if current().first:
                save_trained(*trained, folders[name])
        current().broadcast(None)  # the others wait until it is written
    if current().first:
        frozen_first.keep_better(folders, run.partial("teach") / job.folder)


def _half(tell: Tell, number: int, name: str) -> Tell:
    return lambda share, words: tell((number + share) / 2, f"{name}: {words}")


def fit_network(
    run: Run, job: Job, network: Network, scratch: Path, tell: Tell, start: Path | None = None
) -> tuple[FusionModel, State, Plan]:
    """Fit one network of a job. ``start``: the folder of a network whose weights it begins with, to be fine-tuned."""
    teacher = run.recipe.trained
    assert teacher
    columns = Columns.open(run.path("data")).of(network.encoders)
    usage, training = RowUsage.of(columns), teacher.train
    if start and not isinstance(teacher.frozen_first, bool):
        training = training.model_copy(update={"epochs": teacher.frozen_first})
    model, columns = build_model(run, network, columns, usage.standardising(columns.rows("train")))
    if start:
        model.load_state_dict(open_model(start).state_dict())
    task = settings(losses.TABLE, {"kind": "task", "label_smoothing": teacher.label_smoothing})
    objective = Objective(model, {"labels": task}, {}, mixup=training.mixup, both=training.also_full_input)
    objective = objective.to(device_of(run.recipe.compute))
    rows = columns.labelled("train")
    if job.fold is not None and teacher.folds:
        rows = rows[fold_of(columns, teacher.folds, run.recipe.seed)[rows] != job.fold]
        if not len(rows):
            got = f"no labelled row outside of part {job.fold + 1} of {teacher.folds}"
            raise SuffuseError("too few groups of rows for folds", where="teacher.folds", got=got)
    sampler = Sampler(rows, columns.shared()[rows], training.batch, job.seed)
    viewer = Viewer.of(training, run.recipe.modalities, job.seed)
    data = TrainingData(columns, usage, sampler, columns.labelled("validation"), sampler.steps, rows, viewer)
    plan = make_plan(run, training, data, objective, scratch, tell)
    return model, fit(objective, plan), plan
