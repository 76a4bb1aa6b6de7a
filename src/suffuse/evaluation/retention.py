"""Retention: the scores of student and exported files beside those of the teacher that was distilled.

All are scored on the test rows that the teacher answers, so the differences are paired. The teacher is the seed that
was distilled or, where several members are, their joint prediction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..activations import MAIN, main_metric
from ..types import Spec
from .context import Context, Model
from .intervals import bounds
from .metrics import Metrics, measure
from .verdict import compare

STUDENTS = ("student", "export")  # and every other exported form


def retention(context: Context) -> dict[str, dict[str, Any]]:
    """Model -> ``retention``, of student and exported files; empty without a teacher, or where it answers no row."""
    teacher = "ensemble" if "ensemble" in context.models else "teacher"
    answered = context.teacher_answers
    if teacher not in context.models or not answered.any():
        return {}
    model = context.models[teacher]
    reference = _metrics(context, model)[list(model.logits).index(model.reference) if model.reference else 0]
    facts = {"against": teacher, "rows": int(answered.sum()), "of": len(context.rows)}
    return {
        name: {"retention": {**facts, "targets": _targets(context, _metrics(context, student), reference)}}
        for name, student in context.models.items()
        if name in STUDENTS or name.startswith("export-")
    }


def target_metrics(spec: Spec) -> dict[str, str]:
    """Target -> the key of its main metric in a scorecard; with several targets their mean, named "", comes first."""
    if len(spec.heads) == 1:
        return {spec.heads[0].name: main_metric(spec.heads)}
    return {"": main_metric(spec.heads), **{head.name: f"{head.name}:{MAIN[head.kind]}" for head in spec.heads}}


def _metrics(context: Context, model: Model) -> list[Metrics]:
    """Every metric of every seed, on the rows that the teacher answers."""
    answered = context.teacher_answers
    if answered.all():
        return context.metrics[model.name]
    target, draws = context.target[answered], context.draws.of(answered)
    return [measure(context.spec, p[answered], target, draws) for p in model.predictions(context.spec).values()]


def _targets(context: Context, student: list[Metrics], teacher: Metrics) -> list[dict[str, Any]]:
    """An entry for each target: both scores, and their difference with its interval."""
    entries, draws = [], context.draws.of(context.teacher_answers)
    for target, metric in target_metrics(context.spec).items():
        scores = [seed[metric] for seed in student]
        base = [teacher[metric]] * len(scores)
        facts = compare(scores, base, draws.confidence, bounds(metric), draws.size, len(scores) == 1, plan=False)
        entry = {"target": target, "metric": metric.rpartition(":")[2]}
        entry |= {"score": float(np.mean([s[0] for s in scores])), "teacher": float(teacher[metric][0])}
        entries.append(entry | {key: facts[key] for key in ("difference", "low", "high")})
    return entries
