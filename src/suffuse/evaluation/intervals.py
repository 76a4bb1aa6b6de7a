"""Intervals over seeds and rows: a t interval for the seeds, a bootstrap of rows for what all seeds share.

A score of seed s on the rows at hand is ``mean + a_s + b + e_s``: ``a_s`` is the training's luck, ``b`` what these rows
do to every seed alike, ``e_s`` what they do to this one. Drawing 3 seeds with replacement, as a plain hierarchical
bootstrap does, makes an interval for seeds that is much too narrow (the variance of S values is taken for S / (S - 1)
times what it is, and its uncertainty for nothing). Here instead

    seeds   V_s = var(observed scores of the seeds) / S           holds a and e, known to S - 1 degrees of freedom
    rows    V_b = var_boot(mean over seeds) - var_boot(e) / S     e is in V_s already, so it isn't counted twice
    low     mean - sqrt((t_(S-1) sqrt(V_s))^2 + (mean - low_b)^2)     and high likewise

where [low_b, high_b] is the percentile interval of the resampled rows (whole groups), its deviations scaled to V_b and
expanded for few groups (Hesterberg 2015). Putting the two margins together by squares is MOVER (Zou & Donner 2008): as
wide as the t interval where seeds alone matter, as the bootstrap where rows alone do, and a little wider than nominal
between (docs/evidence.md has the simulation). It is never narrower than the bootstrap of the rows alone: seeds that
agree by chance, more closely than their own rows let them, prove nothing. One seed says nothing of other seeds: then
the interval is of the rows alone.

An interval ends where the quantity's range does (:data:`RANGES`): verdicts rest on the ends before they are clipped.
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
    **dict.fromkeys(("r2", "score"), SCORE),
    "brier": (0.0, 2.0),  # of classes; of labels, each a binary question, at most 1
}


@dataclass(frozen=True)
class Size:
    """What an interval rests on: test rows, and the groups that they come in."""

    rows: int
    groups: int

    @classmethod
    def of(cls, group: np.ndarray) -> Size:
        """group (N,): equal where rows belong together."""
        return cls(len(group), len(np.unique(group)))


@dataclass(frozen=True)
class Spread:
    """What S seeds on R resamples of the rows say of the mean."""

    mean: float
    seeds: int  # S
    by_seeds: float  # V_s; 0 where seeds are not a sample
    by_rows: float  # V_b
    own: float  # variance of e
    deviations: np.ndarray  # (R,) of the mean over seeds, in the resamples of the rows
    scale: float = 1.0  # by which they are V_b's


def spread(per_seed: Sequence[np.ndarray], fixed: bool = False) -> Spread:
    """S arrays (R + 1,), the first value on the rows themselves -> where the mean's variance comes from.

    ``fixed``: what is said is of these very networks, not of others that the same recipe would give. Resamples in which
    there was nothing to score are left out.
    """
    values = np.stack(list(per_seed))
    mean, seeds = float(values[:, 0].mean()), len(values)
    away = (values[:, 1:] - values[:, :1])[:, np.isfinite(values[:, 1:]).all(0)]
    deviations = away.mean(0)
    if seeds == 1 or fixed or away.shape[1] < 2:
        return Spread(mean, seeds, 0.0, float(deviations.var()) if len(deviations) else 0.0, 0.0, deviations)
    own, together = float(away.var(0, ddof=1).mean()), float(deviations.var())
    by_rows = max(together - own / seeds, 0.0)
    scale = np.sqrt(by_rows / together) if together > 0 else 0.0
    return Spread(mean, seeds, float(values[:, 0].var(ddof=1)) / seeds, by_rows, own, deviations, float(scale))


def interval(found: Spread, confidence: float, size: Size | None = None) -> tuple[float, float]:
    """(low, high) of the mean; nan where nothing was scored."""
    if not np.isfinite(found.mean) or not len(found.deviations):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    alone = np.array(expanded(found.deviations, tail, size))
    margin = float(stdtrit(found.seeds - 1, 1 - tail)) * np.sqrt(found.by_seeds) if found.by_seeds else 0.0
    below, above = np.maximum(np.hypot(margin, found.scale * alone), alone)
    return float(found.mean - below), float(found.mean + above)


def expanded(deviations: np.ndarray, tail: float, size: Size | None) -> tuple[float, float]:
    """How far the percentile interval reaches below and above. With G groups it is widened by t_(G-1) / z and
    sqrt(G / (G - 1)), which a plain percentile interval lacks."""
    low, high = np.quantile(deviations, [tail, 1 - tail])
    factor = 1.0
    if size is not None and size.groups > 1:
        factor = float(stdtrit(size.groups - 1, 1 - tail) / ndtri(1 - tail)) * np.sqrt(size.groups / (size.groups - 1))
    return factor * max(-float(low), 0.0), factor * max(float(high), 0.0)


def bounds(metric: str) -> Range:
    """The range of a metric (of one target, too: ``target:metric``). Raises KeyError for a metric that has none."""
    return RANGES[metric.rpartition(":")[2]]


def difference_bounds(within: Range) -> Range:
    """The range of the difference of two values that lie within a range."""
    width = within[1] - within[0]
    return -width, width


def clipped(ends: tuple[float, float], within: Range) -> tuple[float, float]:
    """An interval ends where the quantity's range does. nan stays nan."""
    low, high = (float(np.clip(end, *within)) for end in ends)
    return low, high


def summary(per_seed: Sequence[np.ndarray], confidence: float, within: Range, size: Size | None = None) -> dict:
    """S x (R + 1,) -> mean, low, high, per_seed. ``within``: the range of the values (:func:`bounds`)."""
    found = spread(per_seed)
    low, high = clipped(interval(found, confidence, size), within)
    return {"mean": found.mean, "low": low, "high": high, "per_seed": [float(v[0]) for v in per_seed]}
