"""Intervals over seeds and rows: a t interval for the seeds, a bootstrap of rows for what all seeds share.

The score of seed s on the test rows is ``mean + a_s + b + e_s``: ``a_s`` is the randomness of the training, ``b`` the
effect of these rows on every seed, ``e_s`` their effect on this seed alone. Drawing 3 seeds with replacement, as a
plain hierarchical bootstrap does, gives an interval for seeds that is much too narrow: the variance over S seeds is
underestimated by the factor (S - 1) / S, and its own uncertainty is ignored. Instead

    seeds   V_s = var(observed scores of the seeds) / S           covers a and e, with S - 1 degrees of freedom
    rows    V_b = var_boot(mean over seeds) - var_boot(e) / S     e is in V_s already and isn't counted twice
    low     mean - sqrt((t_(S-1) sqrt(V_s))^2 + (mean - low_b)^2)     and high likewise

where [low_b, high_b] is the percentile interval over resampled rows (whole groups), with deviations scaled to V_b and
expanded for few groups (Hesterberg 2015). Joining the two margins by squares is MOVER (Zou & Donner 2008): as wide as
the t interval where seeds alone matter, as the bootstrap where rows alone do, and slightly conservative in between
(docs/evidence.md has the simulation). The interval is never narrower than the bootstrap over rows alone, so seeds that
agree by chance prove nothing. With one seed the interval covers the rows only.

Reported intervals are clipped to the range of the quantity (:data:`RANGES`); verdicts use the ends before clipping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

Range = tuple[float, float]  # the smallest and the largest value that a quantity can take
UNBOUNDED: Range = (-np.inf, np.inf)
SHARE: Range = (0.0, 1.0)
ERROR: Range = (0.0, np.inf)
CORRELATION: Range = (-1.0, 1.0)
SCORE: Range = (-np.inf, 1.0)
RANGES: dict[str, Range] = {  # of every metric that has an interval; a metric without an entry raises KeyError
    **dict.fromkeys(("accuracy", "balanced_accuracy", "top_3_accuracy", "top_5_accuracy", "exact_match"), SHARE),
    **dict.fromkeys(("micro_f1", "macro_f1", "auroc", "average_precision", "ece"), SHARE),
    **dict.fromkeys(("log_loss", "rmse", "mae", "kl"), ERROR),
    **dict.fromkeys(("word_error_rate", "character_error_rate"), ERROR),
    **dict.fromkeys(("substitutions", "deletions", "insertions"), ERROR),  # for each word of the reference
    **dict.fromkeys(("r2", "score", "word_accuracy"), SCORE),
    "brier": (0.0, 2.0),  # of classes; of labels, each a binary question, at most 1
}


@dataclass(frozen=True)
class Size:
    """Sample size behind an interval: test rows, and the groups that they come in."""

    rows: int
    groups: int

    @classmethod
    def of(cls, group: np.ndarray) -> Size:
        """group (N,): equal values mark rows that belong together."""
        return cls(len(group), len(np.unique(group)))


@dataclass(frozen=True)
class Spread:
    """Variance components of the mean over S seeds, estimated from R resamples of the rows."""

    mean: float
    seeds: int  # S
    by_seeds: float  # V_s; 0 where seeds are not a sample
    by_rows: float  # V_b
    residual: float  # variance of e
    deviations: np.ndarray  # (R,) of the mean over seeds, in the resamples of the rows
    scale: float = 1.0  # factor that gives the deviations the variance V_b


def spread(per_seed: Sequence[np.ndarray], fixed: bool = False) -> Spread:
    """S arrays (R + 1,), the first value on the rows themselves -> the variance components of the mean.

    ``fixed``: the statement is about these networks, not about other trainings of the same recipe. Resamples without a
    score (NaN) are left out.
    """
    values = np.stack(list(per_seed))
    mean, seeds = float(values[:, 0].mean()), len(values)
    away = (values[:, 1:] - values[:, :1])[:, np.isfinite(values[:, 1:]).all(0)]
    deviations = away.mean(0)
    if seeds == 1 or fixed or away.shape[1] < 2:
        return Spread(mean, seeds, 0.0, float(deviations.var()) if len(deviations) else 0.0, 0.0, deviations)
    residual, observed = float(away.var(0, ddof=1).mean()), float(deviations.var())
    by_rows = max(observed - residual / seeds, 0.0)
    scale = np.sqrt(by_rows / observed) if observed > 0 else 0.0
    return Spread(mean, seeds, float(values[:, 0].var(ddof=1)) / seeds, by_rows, residual, deviations, float(scale))


def interval(estimate: Spread, confidence: float, size: Size | None = None) -> tuple[float, float]:
    """(low, high) of the mean; NaN where nothing was scored."""
    if not np.isfinite(estimate.mean) or not len(estimate.deviations):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    row_margins = np.array(expanded(estimate.deviations, tail, size))
    margin = float(stdtrit(estimate.seeds - 1, 1 - tail)) * np.sqrt(estimate.by_seeds) if estimate.by_seeds else 0.0
    below, above = np.maximum(np.hypot(margin, estimate.scale * row_margins), row_margins)
    return float(estimate.mean - below), float(estimate.mean + above)


def expanded(deviations: np.ndarray, tail: float, size: Size | None) -> tuple[float, float]:
    """Distances from the mean to the ends of the percentile interval. With G groups they are multiplied by
    t_(G-1) / z and sqrt(G / (G - 1)), the small-sample factors that a plain percentile interval lacks."""
    low, high = np.quantile(deviations, [tail, 1 - tail])
    factor = 1.0
    if size is not None and size.groups > 1:
        factor = float(stdtrit(size.groups - 1, 1 - tail) / ndtri(1 - tail)) * np.sqrt(size.groups / (size.groups - 1))
    return factor * max(-float(low), 0.0), factor * max(float(high), 0.0)


def bounds(metric: str) -> Range:
    """The range of a metric, also of one named ``target:metric``. Raises KeyError for an unknown metric."""
    return RANGES[metric.rpartition(":")[2]]


def difference_bounds(within: Range) -> Range:
    """The range of the difference of two values with the range ``within``."""
    width = within[1] - within[0]
    return -width, width


def clipped(ends: tuple[float, float], within: Range) -> tuple[float, float]:
    """An interval clipped to the range of its quantity; NaN stays NaN."""
    low, high = (float(np.clip(end, *within)) for end in ends)
    return low, high


def summary(per_seed: Sequence[np.ndarray], confidence: float, within: Range, size: Size | None = None) -> dict:
    """S arrays (R + 1,) -> mean, low, high, per_seed. ``within``: the range of the values (:func:`bounds`)."""
    estimate = spread(per_seed)
    low, high = clipped(interval(estimate, confidence, size), within)
    return {"mean": estimate.mean, "low": low, "high": high, "per_seed": [float(v[0]) for v in per_seed]}
