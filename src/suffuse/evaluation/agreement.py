"""Agreement with the teacher: how often the student predicts what its teacher predicts, and who is right otherwise.

Stanton et al. 2021, "Does Knowledge Distillation Really Work?": agreement and KL divergence, which a student's accuracy
alone doesn't show. A teacher that the run didn't train is compared on the rows that it answers. Shapes: N rows, C
outputs, R resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..activations import THRESHOLD
from ..transcripts.frame_predictions import right_texts, same_texts
from ..types import CLASSES, LABELS, NUMBER, TOKENS, Head
from . import ProbeDocs
from .context import Context, Model
from .intervals import ERROR, SHARE
from .metrics import Draws, mean_with_interval

FIELDS = ("agreement",)
DOCS = ProbeDocs(models="all but the teacher", cost="nothing")
TOLERANCE = 0.1  # standard deviations: numbers this close count as the same prediction
EPSILON = 1e-12
COUNTS = ("both_right", "only_model", "only_teacher", "both_wrong")


def probe(context: Context) -> dict[str, dict]:
    """``agreement`` of every other model with the distilled teacher: one of its seeds, or their ensemble."""
    teacher = context.models.get("ensemble") or context.models.get("teacher")
    if teacher is None:
        return {}
    reference = teacher.predictions(context.spec)[teacher.reference]
    return {
        name: {"agreement": agreement(context, model, reference)}
        for name, model in context.models.items()
        if name not in ("teacher", "ensemble")
    }


def agreement(context: Context, model: Model, teacher: np.ndarray) -> dict[str, Any]:
    """Agreement with the teacher's predictions (N, C); of several targets ``{target: ...}``."""
    spec, by_target = context.spec, {}
    seeds = [spec.parts(predictions) for predictions in model.predictions(spec).values()]
    for n, ((head, part), (_, labels)) in enumerate(
        zip(spec.parts(teacher), spec.targets(context.target), strict=True)
    ):
        known = head.known(labels) & context.teacher_answers
        if known.any():
            own = [seed[n][1][known] for seed in seeds]
            by_target[head.name] = head_agreement(head, own, part[known], labels[known], context.draws.of(known))
    return next(iter(by_target.values()), {}) if len(spec.heads) == 1 else by_target


def head_agreement(
    head: Head, seeds: list[np.ndarray], teacher: np.ndarray, target: np.ndarray, draws: Draws
) -> dict[str, Any]:
    """Agreement on one target. ``seeds``: predictions (N, C), one array per seed; ``teacher``: (N, C)."""
    same = [same_prediction(head, predictions, teacher) for predictions in seeds]
    facts: dict[str, Any] = {"rows": len(target), "same": mean_with_interval(same, draws, SHARE)}
    if head.kind == NUMBER:
        return facts
    facts["kl"] = mean_with_interval([kl_divergence(head, p, teacher) for p in seeds], draws, ERROR)
    teacher_right = is_correct(head, teacher, target)
    right = [is_correct(head, predictions, target) for predictions in seeds]
    facts["right_where_wrong"] = mean_with_interval([r & ~teacher_right for r in right], draws, SHARE)
    facts["wrong_where_right"] = mean_with_interval([~r & teacher_right for r in right], draws, SHARE)
    outcomes = [(r & teacher_right, r & ~teacher_right, ~r & teacher_right, ~r & ~teacher_right) for r in right]
    facts["counts"] = {n: float(np.mean([seed[i].sum() for seed in outcomes])) for i, n in enumerate(COUNTS)}
    if head.kind != TOKENS:
        facts["per_class"] = class_agreement(head, seeds, teacher)
    return facts


def same_prediction(head: Head, predictions: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """(N,): 1 where two predictions are the same; of labels the share of equal decisions."""
    if head.kind == NUMBER:
        return np.abs(predictions[:, 0] - teacher[:, 0]) <= TOLERANCE * head.std
    if head.kind == LABELS:
        return ((predictions > THRESHOLD) == (teacher > THRESHOLD)).mean(1)
    if head.kind == TOKENS:
        return same_texts(head, predictions, teacher)
    return predictions.argmax(1) == teacher.argmax(1)


def kl_divergence(head: Head, predictions: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """(N,) KL(teacher || model) in nats: over classes, or summed over labels or frames."""
    p, q = teacher.astype(np.float64), np.maximum(predictions.astype(np.float64), EPSILON)
    terms = _kl_terms(p, q)
    if head.kind == LABELS:
        terms = terms + _kl_terms(1 - p, np.maximum(1 - predictions.astype(np.float64), EPSILON))
    return np.maximum(terms.sum(1), 0)


def _kl_terms(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.where(p > 0, p * (np.log(np.maximum(p, EPSILON)) - np.log(q)), 0)


def is_correct(head: Head, predictions: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N,) bool; with labels all of them must be right, of a transcript every word."""
    if head.kind == LABELS:
        return ((predictions > THRESHOLD) == (target > 0)).all(1)
    if head.kind == TOKENS:
        return right_texts(head, predictions, target)
    return predictions.argmax(1) == target


def class_agreement(head: Head, seeds: list[np.ndarray], teacher: np.ndarray) -> dict[str, dict]:
    """Class (label) -> the rows for which the teacher predicts it, and the share of them where the model does too."""

    def predicts(predictions: np.ndarray, c: int) -> np.ndarray:
        return predictions.argmax(1) == c if head.kind == CLASSES else predictions[:, c] > THRESHOLD

    table = {}
    for c, name in enumerate(head.classes):
        rows = predicts(teacher, c)
        if rows.any():
            same = [predicts(predictions, c)[rows].mean() for predictions in seeds]
            table[name] = {"rows": int(rows.sum()), "same": float(np.mean(same))}
    return table
