"""How well scores put what is true before what isn't: area under the ROC curve, and average precision.

AUROC (Hanley and McNeil 1982): the chance that a row of the class gets a higher score than one that isn't; equal
scores count a half. Average precision: the sum over thresholds of precision times the recall gained. One class
against the rest, and the mean over classes (labels) that some rows have and some don't. Both equal scikit-learn's.
Intervals are from the first 200 resamples: a weight per row and resample is sorted along.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import CLASSES, NUMBER, Head
from .context import Context
from .intervals import bounds, summary
from .metrics import Draws

DRAWN = 200  # resamples
EXACT = 2**20  # rows of which weights, and their sums, are exact in float32
MOST = 50  # classes; of more there are no intervals


def probe(context: Context) -> dict[str, dict]:
    """``metrics`` of every main model, of the targets that aren't numbers."""
    found = {}
    for model in context.main():
        context.tell(0.0, f"{model.who}: ranking")
        measured = [ranked(context, said) for said in model.answers(context.spec).values()]
        if measured[0]:
            found[model.who] = {"metrics": {m: _told(context, m, [f[m] for f in measured]) for m in measured[0]}}
    return found


def ranked(context: Context, answers: np.ndarray) -> dict[str, np.ndarray]:
    """Answers (N, C) to the test rows -> metric -> (R + 1,), or (1,) of many classes. Of several targets each one's
    own, and the means."""
    spec, each = context.spec, {}
    for (head, part), (_, wanted) in zip(spec.parts(answers), spec.targets(context.target), strict=True):
        known = head.known(wanted)
        if head.kind != NUMBER and known.any():
            measured = of_head(head, part[known], wanted[known], context.drawn(known))
            each |= {head.name: measured} if measured else {}
    if len(spec.heads) == 1:
        return next(iter(each.values()), {})
    names = ("auroc", "average_precision") if each else ()
    least = min((len(v) for one in each.values() for v in one.values()), default=0)
    means = {n: np.mean([one[n][:least] for one in each.values()], axis=0) for n in names}
    return means | {f"{head}:{n}": v for head, one in each.items() for n, v in one.items()}


def of_head(head: Head, answers: np.ndarray, target: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """One target's ``auroc`` and ``average_precision``; nothing where no class has both rows of it and others."""
    true = target[:, None] == np.arange(head.outputs) if head.kind == CLASSES else target > 0
    drawn = draws.weight[: 1 + (DRAWN if head.outputs <= MOST else 0)]
    weight = np.ascontiguousarray(drawn.T, dtype=np.float32 if len(target) < EXACT else np.float64)[draws.group]
    both = [curves(answers[:, c], true[:, c], weight) for c in range(head.outputs) if 0 < true[:, c].sum() < len(true)]
    if not both:
        return {}
    values = np.array(both)  # (classes, 2, R + 1); a class may be missing from a resample
    known = np.isfinite(values)
    means = np.where(known, values, 0).sum(0) / np.maximum(known.sum(0), 1)
    means = np.where(known.any(0), means, np.nan)
    return {"auroc": means[0], "average_precision": means[1]}


def curves(score: np.ndarray, true: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) scores, (N,) bool and weights (N, R) -> AUROC (R,) and average precision (R,); NaN without both kinds.

    Weights are counts, so sums are exact. Only where a row of the class stands is there anything to add.
    """
    order = np.argsort(-score, kind="stable")
    falling, hit = -score[order], np.flatnonzero(true[order])
    weight = weight[order]
    total = np.concatenate([np.zeros_like(weight[:1]), weight.cumsum(0)])  # [i]: of the first i rows
    first, starts = np.unique(np.searchsorted(falling, falling[hit], "left"), return_index=True)  # of equal scores
    last = np.searchsorted(falling, falling[hit][starts], "right")
    hits = np.add.reduceat(weight[hit], starts, axis=0).astype(np.float64)
    found, said = hits.cumsum(0), total[last].astype(np.float64)
    positive, negative = found[-1], total[-1] - found[-1]
    missed, before = said - found, total[first] - (found - hits)  # rows of no such class, up to here and before
    precision = np.divide(found, said, out=np.zeros_like(found), where=said > 0)
    pairs = (hits * (negative - 0.5 * (missed + before))).sum(0)
    return _ratio(pairs, positive * negative), _ratio((hits * precision).sum(0), positive)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _told(context: Context, metric: str, seeds: list[np.ndarray]) -> dict[str, Any]:
    """With an interval; of many classes without one."""
    if len(seeds[0]) > 1:
        return summary(seeds, context.confidence, bounds(metric))
    values = [float(v[0]) for v in seeds]
    return {"mean": float(np.mean(values)), "low": None, "high": None, "per_seed": values}
