"""Missing modalities: the score on every subset of them, and with ever more of them lost by chance.

All forms of one input are lost together (:mod:`suffuse.evaluation.row_inputs`). At a rate r each input of each row is
lost with chance r, but never the last that a row has: the one with the largest number stays. The numbers are hashes of
the row's key (:func:`suffuse.data.training_views.uniform`), so every model loses the same, in any company and any
order, and what is lost at a low rate is lost at a higher one too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..activations import activate, main_metric
from ..data.training_views import uniform
from .context import SEED, Context, Model
from .intervals import bounds, difference_bounds, summary
from .modality_subsets import rows_of, subsets, under
from .row_inputs import grouped, there
from .target_metrics import judged

RATES = tuple(n / 10 for n in range(10))
LOST = 3  # what the numbers are drawn for, beside what views draw


def probe(context: Context) -> dict[str, dict]:
    """``missing`` of every main model that can be asked about subsets."""
    found = {model.who: {"missing": missing(context, model)} for model in context.hidden()}
    others = {m.who: {"not_measured": {"missing": m.hindrance}} for m in context.main() if m.hindrance}
    return found | others


def missing(context: Context, model: Model) -> dict[str, Any]:
    """Scores of one model by subset and by rate, with intervals, and what each subset costs against all."""
    found, where = subsets(context, model), rows_of(context)
    values = {seed: scores(context, said, where) for seed, said in found.logits.items()}
    facts: dict[str, Any] = {}
    metric = main_metric(context.spec.heads)
    within = bounds(metric)
    for number, name in enumerate(found.titles):
        some = [v[number] for v in values.values()]
        cost = summary([v[number] - v[-1] for v in values.values()], context.confidence, difference_bounds(within))
        facts[name] = {
            **summary(some, context.confidence, within),
            "cost": {"difference": cost["mean"], "low": cost["low"], "high": cost["high"]},
        }
    return {
        "metric": metric,
        "rows": len(where),
        "of": len(context.rows),
        "seed": SEED,
        "subsets": facts,
        "rates": rates(context, model, where),
    }


def rates(context: Context, model: Model, where: np.ndarray) -> list[dict]:
    """The score at each rate of loss."""
    rows = context.rows[where]
    present = there(context.columns.present[rows], grouped(context.recipe, context.spec.names)[1])
    kept = np.stack([survivors(context.columns.key[rows], present, rate) for rate in RATES])
    values = {seed: scores(context, said, where) for seed, said in under(context, model, kept).items()}
    found, within = [], bounds(main_metric(context.spec.heads))
    for number, rate in enumerate(RATES):
        lost = 1 - (kept[number] & present).sum() / present.sum()
        some = summary([v[number] for v in values.values()], context.confidence, within)
        found.append({"rate": rate, "missing": float(lost), **some})
    return found


def survivors(keys: np.ndarray, present: np.ndarray, rate: float) -> np.ndarray:
    """Row keys (N,) and what is there (N, M) bool -> what is left (N, M) bool."""
    numbers = np.where(present, uniform((SEED, LOST), keys, present.shape[1]), -1.0)
    last = np.zeros_like(present)
    last[np.arange(len(present)), numbers.argmax(1)] = True
    return present & ((numbers >= rate) | last)


def scores(context: Context, said: np.ndarray, where: np.ndarray) -> list[np.ndarray]:
    """(K, n, C) logits -> the main metric (R + 1,) of each of the K."""
    spec, target, draws = context.spec, context.target[where], context.drawn(where)
    return [judged(spec, activate(spec.heads, one), target, draws) for one in said]
