"""Ranking metrics: area under the ROC curve, and average precision.

AUROC (Hanley and McNeil 1982): the probability that a row of the class gets a higher score than a row of no such class;
ties count half. Average precision: the sum over thresholds of precision times the gain in recall. One class against the
rest, then the mean over classes (labels) that some rows have and some don't. Both equal scikit-learn's. Intervals use
the first 200 resamples, because a weight per row and resample has to be sorted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import CLASSES, LABELS, Head
from . import ProbeDocs
from .context import Context
from .intervals import bounds, summary
from .metrics import Draws, Metrics

FIELDS = ("metrics",)
DOCS = ProbeDocs(models="main", cost="a sort per class", fields="`metrics.auroc`, `metrics.average_precision`")
RESAMPLES = 200
EXACT_ROWS = 2**20  # below, sums of weights are exact in float32
MAX_CLASSES = 50  # with more classes there are no intervals


def probe(context: Context) -> dict[str, dict]:
    """``metrics`` of every main model, for targets that aren't numbers."""
    cards = {}
    for model in context.main_models():
        context.tell(0.0, f"{model.name}: ranking")
        seeds = [ranking_metrics(context, predictions) for predictions in model.predictions(context.spec).values()]
        if seeds[0]:
            cards[model.name] = {"metrics": {m: _summary(context, m, [s[m] for s in seeds]) for m in seeds[0]}}
    return cards


def ranking_metrics(context: Context, predictions: np.ndarray) -> Metrics:
    """Predictions (N, C) on the test rows -> metric -> (R + 1,), or (1,) with many classes. With several targets those
    of each target, and their means."""
    spec, by_target = context.spec, {}
    for (head, part), (_, labels) in zip(spec.parts(predictions), spec.targets(context.target), strict=True):
        known = head.known(labels)
        if head.kind in (CLASSES, LABELS) and known.any():
            metrics = head_ranking(head, part[known], labels[known], context.draws.of(known))
            by_target |= {head.name: metrics} if metrics else {}
    if len(spec.heads) == 1:
        return next(iter(by_target.values()), {})
    names = ("auroc", "average_precision") if by_target else ()
    length = min((len(values) for metrics in by_target.values() for values in metrics.values()), default=0)
    means = {n: np.mean([metrics[n][:length] for metrics in by_target.values()], axis=0) for n in names}
    return means | {f"{name}:{n}": values for name, metrics in by_target.items() for n, values in metrics.items()}


def head_ranking(head: Head, predictions: np.ndarray, target: np.ndarray, draws: Draws) -> Metrics:
    """One target's ``auroc`` and ``average_precision``; empty where no class has both positive and negative rows."""
    true = target[:, None] == np.arange(head.outputs) if head.kind == CLASSES else target > 0
    group_weight = draws.weight[: 1 + (RESAMPLES if head.outputs <= MAX_CLASSES else 0)]
    dtype = np.float32 if len(target) < EXACT_ROWS else np.float64
    weight = np.ascontiguousarray(group_weight.T, dtype=dtype)[draws.group]
    classes = [c for c in range(head.outputs) if 0 < true[:, c].sum() < len(true)]
    if not classes:
        return {}
    values = np.array([curve_areas(predictions[:, c], true[:, c], weight) for c in classes])  # (classes, 2, R + 1)
    known = np.isfinite(values)  # a class may be missing from a resample
    means = np.where(known, values, 0).sum(0) / np.maximum(known.sum(0), 1)
    means = np.where(known.any(0), means, np.nan)
    return {"auroc": means[0], "average_precision": means[1]}


def curve_areas(score: np.ndarray, true: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) scores, (N,) bool and weights (N, R) -> AUROC (R,) and average precision (R,); NaN without both kinds.

    Weights are counts, so sums are exact. Only thresholds at rows of the class add anything.
    """
    order = np.argsort(-score, kind="stable")
    falling, positions = -score[order], np.flatnonzero(true[order])
    weight = weight[order]
    total = np.concatenate([np.zeros_like(weight[:1]), weight.cumsum(0)])  # [i]: of the first i rows
    first, starts = np.unique(np.searchsorted(falling, falling[positions], "left"), return_index=True)  # of ties
    last = np.searchsorted(falling, falling[positions][starts], "right")
    hits = np.add.reduceat(weight[positions], starts, axis=0).astype(np.float64)
    true_positive, predicted = hits.cumsum(0), total[last].astype(np.float64)
    positive, negative = true_positive[-1], total[-1] - true_positive[-1]
    false_positive, false_before = predicted - true_positive, total[first] - (true_positive - hits)
    precision = np.divide(true_positive, predicted, out=np.zeros_like(true_positive), where=predicted > 0)
    pairs = (hits * (negative - 0.5 * (false_positive + false_before))).sum(0)
    return _ratio(pairs, positive * negative), _ratio((hits * precision).sum(0), positive)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _summary(context: Context, metric: str, seeds: list[np.ndarray]) -> dict[str, Any]:
    """With an interval; without one where there are no resamples."""
    if len(seeds[0]) > 1:
        return summary(seeds, context.confidence, bounds(metric))
    values = [float(v[0]) for v in seeds]
    return {"mean": float(np.mean(values)), "low": None, "high": None, "per_seed": values}
