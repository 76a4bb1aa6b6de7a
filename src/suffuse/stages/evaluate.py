"""evaluate: every model on the test rows, once; scores with intervals, and the verdicts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .. import evaluation_log
from ..data.columns import Columns
from ..engine import inference
from ..engine.runtime import settle
from ..evaluation import ablations, metrics
from ..evaluation.context import Context, Model
from ..evaluation.models import classical_models, load_models
from ..evaluation.predictions_file import write_predictions
from ..evaluation.readiness import best_classical, judge
from ..evaluation.retention import retention
from ..evaluation.scorecard import merge_fields, run_probes, scorecard, seed_metrics, summarise_comparisons
from ..files import parsing, read_json, write_json
from ..integrity import LOG, require
from ..progress import Tell, progress, say
from ..recipe.stage_settings import PROBES
from ..run import Run
from ..teachers import batch_query
from ..teachers.batch_query import ProbeTeacher
from ..teachers.ensemble import combine
from ..teachers.factory import open_teacher, open_teachers
from ..types import Head, Spec

READINESS = "readiness.json"  # in scores/


def evaluate(run: Run) -> None:
    """Write ``scores/``: a file per model, the comparisons, and every model's predictions on every test row; and
    ``test_evaluations.json``, which counts the evaluations."""
    settle(run.recipe.compute.threads, run.recipe.compute)
    columns, folder = Columns.open(run.path("data")), run.partial("evaluate") / "scores"
    rows = columns.labelled("test")
    with progress("evaluate") as tell:
        teacher = None if run.recipe.trained else outside(run, columns, tell)
        classical, facts_of_classical = classical_models(
            run, columns, rows, lambda share, words: tell(0.2 * share, words)
        )
        context = looked(run, columns, rows, teacher, lambda share, words: tell(0.2 + 0.15 * share, words), classical)
        context = replace(context, classical=best_classical(facts_of_classical))
        cells = values(run, rows)
        cards = {who: scorecard(run, context, model, cells) for who, model in context.models.items()}
        compared = summarise_comparisons(run, context, cells)
        for who, facts in probed(context, lambda share, words: tell(0.35 + 0.6 * share, words)).items():
            cards[who] = merge_fields(cards[who], facts)
        for who, facts in [*facts_of_classical.items(), *retention(context).items()]:
            cards[who] = merge_fields(cards[who], facts)
        if teacher is not None:
            cards["teacher"] |= abstentions(columns.spec, teacher.outputs["test"], context.target)
        for who, facts in cards.items():
            write_json(folder / f"{who}.json", facts | compared.fields.get(who, {}))
        for name, content in compared.files.items():
            write_json(folder / f"{name}.json", content)
        write_json(folder / READINESS, judge(cards, columns.spec.heads, run.recipe.goal))
        write_predictions(folder / "predictions.parquet", context)
        evaluation_log.add(run.folder, folder.parent)  # last: what was killed before showed nobody a score
        tell(1.0, f"{len(rows):,} test rows")


def judge_again(run: Run) -> None:
    """Keep every score, and judge them by the goal that the recipe has now. No test row is evaluated for it."""
    require(run.folder, "evaluate")
    folder = run.partial("evaluate") / "scores"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run.path("scores"), folder)
    shutil.copy(run.path(LOG), folder.parent / LOG)
    names = (run.stamp("evaluate") or {"outputs": {}})["outputs"]
    files = [Path(name) for name in names if Path(name).parent.name == "scores" and Path(name).suffix == ".json"]
    cards = {file.stem: read_json(run.path(str(file))) for file in files if file.name != READINESS}
    heads = [Head(name, run.recipe.data.task(name).kind) for name in run.recipe.data.targets]
    write_json(folder / READINESS, judge(cards, heads, run.recipe.goal))
    say("evaluate  scores as they were, judged by the new goal")


def looked(
    run: Run,
    columns: Columns,
    rows: np.ndarray,
    teacher: ProbeTeacher | None,
    tell: Tell,
    classical: Mapping[str, Model] | None = None,
) -> Context:
    """Every model's outputs on the test rows, and its metrics in every resample."""
    asked = run.recipe.evaluate
    draws = metrics.draw(columns.group[rows], asked.resamples, asked.confidence)
    models = {**load_models(run, columns, rows, teacher, tell), **(classical or {})}
    models = with_ensemble(run, columns, rows, models)
    context = Context(run.recipe, columns, rows, draws, models)
    if teacher is not None:
        context = replace(context, abstained=np.isnan(teacher.outputs["test"]).any(1))
    tell(1.0, "intervals")
    return replace(context, metrics={who: seed_metrics(context, model) for who, model in models.items()})


def with_ensemble(run: Run, columns: Columns, rows: np.ndarray, models: dict[str, Model]) -> dict[str, Model]:
    """The models, and where several members are distilled (all of the teacher's seeds, or a portfolio), their common
    answer; it isn't probed further."""
    teacher = run.recipe.trained
    if teacher is None or not (teacher.ensemble or teacher.portfolio):
        return models
    if teacher.ensemble and not teacher.portfolio:
        logits = combine(columns.spec.heads, list(models["teacher"].logits.values()), "mean")
        return {**models, "ensemble": Model("ensemble", {"": logits})}
    members = open_teachers(run, columns).members
    answers = {"" if seed is None else f"seed-{seed}": batch_query.logits(t, rows) for seed, t in members.items()}
    return {**models, "ensemble": Model("ensemble", dict(sorted(answers.items())))}


def probed(context: Context, tell: Tell) -> dict[str, dict[str, Any]]:
    """Who -> what controls and probes found."""
    asked, found = context.recipe.evaluate, {}
    if asked.controls:
        tell(0.0, "controls")
        found = ablations.probe(context)
    others = run_probes(replace(context, tell=tell), PROBES if asked.probes == "all" else asked.probes)
    return {who: merge_fields(found.get(who, {}), others[who]) for who in context.models}


def outside(run: Run, columns: Columns, tell: Tell) -> ProbeTeacher:
    """The teacher that the run didn't train."""
    on_subsets = run.recipe.extract.subsets != "full"
    teacher = ProbeTeacher(open_teacher(run, columns), columns, run.path("knowledge"), on_subsets)
    return replace(teacher, tell=lambda share, words: tell(0.0, f"teacher: {words}"))


def abstentions(spec: Spec, logits: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """On how many rows a teacher from outside said nothing, and its score on the others."""
    silent = np.isnan(logits).any(1)
    scores = inference.score(spec, logits[~silent], target[~silent]) if not silent.all() else {}
    return {"abstained": int(silent.sum()), "answered": scores}


def values(run: Run, rows: np.ndarray) -> dict[str, list[str | None]]:
    """The cells of these rows in every column that scores are told apart by."""
    wanted = [f"by {name}" for name in run.recipe.evaluate.slice_by]
    if not wanted:
        return {}
    with parsing(run.path("data", "rows.parquet")):
        table = pq.read_table(run.path("data", "rows.parquet"), columns=wanted).take(pa.array(rows))
    return {name.removeprefix("by "): table[name].to_pylist() for name in wanted}
