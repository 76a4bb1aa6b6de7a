"""Missing modalities: the score on every subset of the inputs, and at increasing rates of randomly dropped inputs.

All forms of an input are dropped together (:mod:`suffuse.evaluation.modality_subsets`). At rate r each input of each
row is dropped with probability r, but never the last one of a row: the one with the largest random number stays. The
random numbers are hashes of the row's key (:func:`suffuse.data.training_views.uniform`), so every model loses the same
inputs, whatever the other rows, and what is dropped at a low rate is dropped at every higher one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..activations import activate, main_metric
from ..data.training_views import uniform
from . import ProbeDocs
from .context import SEED, Context, Model
from .intervals import bounds, difference_bounds, summary
from .metrics import main_score
from .modality_subsets import group_inputs, masked_logits, present_inputs, subset_logits, subset_rows

FIELDS = ("missing",)
DOCS = ProbeDocs(models="main", cost="one pass for all subsets together; for an exported form one pass per subset")
RATES = tuple(n / 10 for n in range(10))
DROP_STREAM = 3  # separates these random numbers from those of training views


def probe(context: Context) -> dict[str, dict]:
    """``missing`` of every main model that can be run on subsets."""
    fields = {model.name: {"missing": missing(context, model)} for model in context.maskable_models()}
    return fields | context.limitations("missing")


def missing(context: Context, model: Model) -> dict[str, Any]:
    """Scores of one model by subset and by rate, with intervals, and what each subset costs against all inputs."""
    subsets, rows = subset_logits(context, model), subset_rows(context)
    scores = [subset_scores(context, logits, rows) for logits in subsets.logits.values()]
    metric = main_metric(context.spec.heads)
    within, by_subset = bounds(metric), {}
    for n, title in enumerate(subsets.titles):
        cost = summary([seed[n] - seed[-1] for seed in scores], context.confidence, difference_bounds(within))
        by_subset[title] = {
            **summary([seed[n] for seed in scores], context.confidence, within),
            "cost": {"difference": cost["mean"], "low": cost["low"], "high": cost["high"]},
        }
    return {
        "metric": metric,
        "rows": len(rows),
        "of": len(context.rows),
        "seed": SEED,
        "subsets": by_subset,
        "rates": scores_by_rate(context, model, rows),
    }


def scores_by_rate(context: Context, model: Model, positions: np.ndarray) -> list[dict]:
    """The score at each rate, and the share of inputs that is missing then."""
    rows = context.rows[positions]
    present = present_inputs(context.columns.present[rows], group_inputs(context.recipe, context.spec.names)[1])
    kept = np.stack([drop_inputs(context.columns.key[rows], present, rate) for rate in RATES])
    by_seed = [subset_scores(context, z, positions) for z in masked_logits(context, model, kept).values()]
    table, within = [], bounds(main_metric(context.spec.heads))
    for n, rate in enumerate(RATES):
        share = 1 - (kept[n] & present).sum() / present.sum()
        score = summary([seed[n] for seed in by_seed], context.confidence, within)
        table.append({"rate": rate, "missing": float(share), **score})
    return table


def drop_inputs(keys: np.ndarray, present: np.ndarray, rate: float) -> np.ndarray:
    """Row keys (N,) and the inputs of each row (N, I) bool -> the inputs that are left (N, I) bool."""
    numbers = np.where(present, uniform((SEED, DROP_STREAM), keys, present.shape[1]), -1.0)
    last = np.zeros_like(present)
    last[np.arange(len(present)), numbers.argmax(1)] = True
    return present & ((numbers >= rate) | last)


def subset_scores(context: Context, logits: np.ndarray, positions: np.ndarray) -> list[np.ndarray]:
    """(K, n, C) logits -> the main metric (R + 1,) of each of the K."""
    spec, target, draws = context.spec, context.target[positions], context.draws.of(positions)
    return [main_score(spec, activate(spec.heads, z), target, draws) for z in logits]
