"""Selection of the student among the candidates of a recipe (``student.candidates``), on validation rows.

1. Networks that exceed ``student.budget`` are made narrower until they fit; those that never fit are left out.
2. Every network is trained for a quarter of the epochs, with a seed of its own. At most ``finalists`` go on, as in
   successive halving (Jamieson & Talwalkar 2016): the student's own, and the best of those that
   :func:`promising` keeps.
3. These are trained in full with the first seeds of the student, and compared pair by pair on the same validation rows
   and seeds. :func:`decide` selects one; its trainings are then the student's.

All trainings read the teacher's stored outputs, as the student's does. Killed, the selection goes on.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..activations import main_metric
from ..data.columns import Columns
from ..engine import feature_cache
from ..engine.inference import logits
from ..engine.loop import fit
from ..engine.process_group import current
from ..engine.ray_executor import ray_executor
from ..engine.student_training import Job, prepared, training_of_job
from ..engine.training_record import save_trained
from ..engine.workers import is_brief, run_jobs
from ..evaluation.metrics import draw
from ..files import read_array, read_json, write_bytes, write_json, write_text
from ..progress import Tell, progress, say
from ..recipe import Network, to_yaml
from ..recipe.student import SELECTION_SEEDS, SELECTION_SHARE
from ..report.student_candidates import BEST, ONLY, SMALLEST, UNLABELLED, UNRIVALLED, selection_sentence
from ..run import SELECTION, Run
from .reruns import LOGITS, RESAMPLES, main_scores, paired_difference
from .student_budget import Candidate, fit_budget

SELECTED_RECIPE = "selected.yaml"  # beside the students: the recipe with the selected network in place of candidates
WORK = ".selection"  # in the stage's working folder: trainings of the candidates
FIRST, FINALS = "first", "finals"  # rounds
FIRST_SEED = 3_000  # added to the recipe's seed: seed of the first round


def select(run: Run, smaller_than: int | None) -> Run:
    """Select the student, once, and take over its trainings; returns the run with it. Writes ``selection.json``.

    ``smaller_than``: parameters of the teacher that the run trained, which no candidate may have.
    Raises UsageError where no network fits the budget.
    """
    place = run.partial("distill")
    if read_json(place / SELECTION) is None:
        columns = Columns.open(run.path("data"))
        fitting, left_out = fit_budget(run, columns, place / WORK / "costs", smaller_than)
        chosen, facts = _selected(run, columns, fitting)
        budget = run.source_recipe.student.budget.model_dump(mode="json")
        unread = [name for name in run.source_recipe.student.encoders if name not in chosen.network.encoders]
        facts = {"selected": chosen.name, **chosen.facts(), "unread": unread, **facts, "budget": budget}
        facts["left_out"] = left_out
        write_json(place / SELECTION, {**facts, "network": chosen.network.model_dump(mode="json")})
        say(f"distill   {selection_sentence(facts)}")
    selected = run.selected()
    _write_recipe(selected)
    facts = read_json(place / SELECTION) or {}
    for folder in sorted((place / WORK / FINALS / facts["selected"]).glob("seed-*")):
        own = place / "student" / folder.name
        own.parent.mkdir(exist_ok=True)
        if not own.exists():
            (folder / LOGITS).unlink(missing_ok=True)
            folder.replace(own)
    shutil.rmtree(place / WORK, ignore_errors=True)
    return selected


def _selected(run: Run, columns: Columns, fitting: Sequence[Candidate]) -> tuple[Candidate, dict[str, Any]]:
    """The selected candidate and the facts of the selection."""
    facts: dict[str, Any] = {"metric": main_metric(columns.spec.heads), "split": "validation"}
    if len(fitting) == 1 or not len(columns.labelled("validation")):
        return fitting[0], {**facts, "rule": ONLY if len(fitting) == 1 else UNLABELLED, "rounds": []}
    for candidate in fitting:
        feature_cache.foresee(run, candidate.network, columns)
    first = _first_round(run, columns, fitting)
    finalists = [fitting[n] for n in promising(fitting, first, run.source_recipe.student.finalists)]
    rounds = [{"share": SELECTION_SHARE, "seeds": 1, "candidates": _compared(fitting, first)}]
    if len(finalists) == 1:
        return finalists[0], {**facts, "rule": UNRIVALLED, "rounds": rounds}
    with progress("select") as tell:
        seeds = range(run.recipe.seed + 1, run.recipe.seed + 1 + min(SELECTION_SEEDS, run.recipe.distill.num_seeds))
        _train(run, [(FINALS, one, Job("student", seed, True, 1.0, None)) for one in finalists for seed in seeds], tell)
        tell(1.0, f"{len(finalists)} candidates, {len(seeds)} seeds")
    scores = validation_scores(run, columns, FINALS, finalists, list(seeds))
    number, best = decide(finalists, scores)
    rounds.append({"share": 1.0, "seeds": len(seeds), "candidates": _compared(finalists, scores)})
    return finalists[number], {**facts, "rule": BEST if number == best else SMALLEST, "rounds": rounds}


def _compared(candidates: Sequence[Candidate], scores: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Each candidate with its score, and the difference to the best one with its standard error."""
    best = max(range(len(scores)), key=lambda n: float(scores[n][:, 0].mean()))
    gaps = [paired_difference(score, scores[best]) for score in scores]
    return [
        {**candidate.facts(), "score": float(score[:, 0].mean()), "to_best": gap, "standard_error": error}
        for candidate, score, (gap, error) in zip(candidates, scores, gaps, strict=True)
    ]


def _first_round(run: Run, columns: Columns, fitting: Sequence[Candidate]) -> list[np.ndarray]:
    """Scores (1, R + 1) of each candidate on validation after a short training."""
    epochs = max(round(SELECTION_SHARE * run.recipe.distill.train.epochs), 1)
    job = Job("student", run.recipe.seed + FIRST_SEED, True, 1.0, None, epochs)
    with progress("select") as tell:
        _train(run, [(FIRST, candidate, job) for candidate in fitting], tell)
        tell(1.0, f"{len(fitting)} candidates, {epochs} epochs")
    return validation_scores(run, columns, FIRST, fitting, [job.seed])


def promising(candidates: Sequence[Candidate], scores: Sequence[np.ndarray], limit: int) -> list[int]:
    """Positions of at most ``limit`` finalists, in order: the first candidate, and the best of the others that aren't
    worse than it by more than one standard error; of those that read fewer modalities, that are better."""
    kept: list[tuple[float, int]] = []
    for number in range(1, len(candidates)):
        gain, error = paired_difference(scores[number], scores[0])
        fewer = candidates[number].modalities < candidates[0].modalities
        if (gain > 0) if fewer else (gain >= -error):
            kept.append((-gain, number))
    return sorted([0, *(number for _, number in sorted(kept)[: limit - 1])])


def decide(candidates: Sequence[Candidate], scores: Sequence[np.ndarray]) -> tuple[int, int]:
    """Positions of the selected candidate and of the best one. ``scores``: (S, R + 1) of each, over seeds and resamples
    of rows.

    The smallest candidate within one standard error of the best is selected (Breiman et al. 1984). A candidate that
    reads fewer modalities than others takes part only where it beats each of these by more than one standard error: it
    can't answer rows that have nothing but what it doesn't read.
    """
    means = [float(score[:, 0].mean()) for score in scores]
    most = max(candidate.modalities for candidate in candidates)
    full = [n for n, candidate in enumerate(candidates) if candidate.modalities == most]
    better = [
        number
        for number in range(len(candidates))
        if number not in full and all(_beats(scores[number], scores[other]) for other in full)
    ]
    eligible = better or full
    best = max(eligible, key=lambda n: (means[n], -candidates[n].parameters))
    close = [number for number in eligible if not _beats(scores[best], scores[number])]
    return min(close, key=lambda n: (candidates[n].parameters, -means[n])), best


def _beats(score: np.ndarray, other: np.ndarray) -> bool:
    """Whether a score is above another one by more than one standard error of the difference."""
    gain, error = paired_difference(score, other)
    return gain > error


def _train(run: Run, trainings: Sequence[tuple[str, Candidate, Job]], tell: Tell) -> None:
    """Run these trainings of (round, candidate, job) that aren't done, in parallel; the largest networks first."""
    left = [(r, c, j) for r, c, j in trainings if not (_folder(run, r, c.name, j.seed) / "training.json").exists()]
    left.sort(key=lambda training: -training[1].parameters)
    orders = [
        {
            "run": str(run.folder), "round": name, "name": candidate.name, "seed": job.seed, "epochs": job.epochs,
            "network": candidate.network.model_dump(mode="json"),
        }
        for name, candidate, job in left
    ]  # fmt: skip
    columns, compute = Columns.open(run.path("data")), run.recipe.compute
    brief = all(is_brief(c.network, columns, [training_of_job(run.recipe.distill, j)] * len(left)) for _, c, j in left)
    function, ray = "suffuse.tuning.student_selection:work", ray_executor(run, "distill")
    run_jobs(function, orders, compute.threads, tell, compute.processes, brief, ray)


def work(order: dict[str, Any], tell: Tell) -> None:
    """One training of a candidate, in a process of its own; keeps the model and its logits on validation rows."""
    opened = Run.open(order["run"])
    run = Run(opened.folder, opened.source_recipe.with_student(Network.model_validate(order["network"])))
    name, seed = order["name"], order["seed"]
    job = Job("student", seed, True, 1.0, None, order["epochs"])
    scratch = run.partial("distill") / ".work" / "selection" / order["round"] / name / f"seed-{seed}"
    objective, plan = prepared(run, job, scratch, lambda share, words: tell(share, f"{name} {seed}: {words}"))
    state = fit(objective, plan)
    if not current().first:
        return
    columns, content = Columns.open(run.path("data")), io.BytesIO()
    own = feature_cache.ready(columns, objective.model, feature_cache.place(run)).of(objective.model.spec.names)
    np.save(content, logits(objective.model, own, columns.labelled("validation")))
    place = _folder(run, order["round"], name, seed)
    place.mkdir(parents=True, exist_ok=True)
    write_bytes(place / LOGITS, content.getvalue())
    save_trained(objective.model, state, plan, place)


def validation_scores(
    run: Run, columns: Columns, name: str, candidates: Sequence[Candidate], seeds: Sequence[int]
) -> list[np.ndarray]:
    """The main metric of each candidate in a round, on validation rows as they are: (S, R + 1), the first column on the
    rows themselves, the others on resamples of their groups; the same resamples for all."""
    rows = columns.labelled("validation")
    draws = draw(columns.group[rows], RESAMPLES, 0.95)
    scored: list[np.ndarray] = []
    for candidate in candidates:
        folders = [_folder(run, name, candidate.name, seed) for seed in seeds]
        scored.append(np.stack([main_scores(columns, read_array(f / LOGITS), rows, draws) for f in folders]))
    return scored


def _folder(run: Run, name: str, candidate: str, seed: int) -> Path:
    """Where a training of a candidate is kept."""
    return run.partial("distill") / WORK / name / candidate / f"seed-{seed}"


def _write_recipe(run: Run) -> None:
    """The plain recipe: it makes the same student without a selection."""
    why = selection_sentence(read_json(run.partial("distill") / SELECTION) or {})
    head = f"# The recipe with the selected student in place of candidates: {why}\n"
    write_text(run.partial("distill") / SELECTED_RECIPE, head + to_yaml(run.recipe))
