"""Verdicts: whether one recipe is better than another, from the same seeds on the same rows, and what would settle it.

    helps         the interval of the paired difference lies above 0, by a tenth of its half-width
    hurts         it lies as far below 0
    no evidence   otherwise; also with a single seed when recipes are compared, for its training may have been lucky

An interval that covers the truth in 95 of 100 cases is wrong in 5. The margin of a tenth keeps the error rate of a
verdict below that, also where seeds aren't quite normal.

The interval is that of :mod:`suffuse.evaluation.intervals`. What would settle a comparison is a power calculation: the
fewest seeds, or rows, with which a difference as large as the observed one is detected in 80 of 100 tries. An observed
difference is itself uncertain, so the number is a size to plan with, not a promise (Hoenig & Heisey 2001).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import nctdtr, ndtri, stdtrit

from .intervals import Range, Size, Spread, clipped, difference_bounds, expanded, interval, spread

HELPS, HURTS, NO_EVIDENCE = "helps", "hurts", "no evidence"
POWER = 0.8
LEAST_EXPONENT, BISECTIONS = -30.0, 40  # of p-values: 10 to the power of the exponent; smaller ones are 0
GUARD = 0.1  # share of an interval's half-width by which it must be clear of 0
MIN_SEEDS, MAX_SEEDS = 3, 1000  # that are proposed; the rows are multiplied by MAX_SEEDS at most
METHOD = {
    "seeds and rows": "t interval over seeds, bootstrap over groups of rows, margins joined by squares (MOVER)",
    "rows": "bootstrap over groups of rows; nothing is said of other seeds",
}


def compare(
    candidate: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    confidence: float,
    within: Range,
    size: Size | None = None,
    fixed: bool = False,
    plan: bool = True,
) -> dict[str, Any]:
    """Paired difference candidate - reference, seed by seed (R + 1,), on the same draws, and the verdict.

    ``within``: the range of both models' values (:func:`suffuse.evaluation.intervals.bounds`). ``size``: how many rows
    and groups were drawn from. ``fixed``: the statement is about these networks, as where a network is compared with
    itself on other inputs; otherwise they stand for their recipes. ``plan``: also compute what would settle it. Raises
    ValueError where the numbers of seeds differ.
    """
    estimate = spread([a - b for a, b in zip(candidate, reference, strict=True)], fixed)
    low, high = interval(estimate, confidence, size)
    verdict = NO_EVIDENCE if estimate.seeds == 1 and not fixed else verdict_of(estimate.mean, low, high)
    low, high = clipped((low, high), difference_bounds(within))
    tested = estimate.seeds > 1 or fixed
    return {
        "difference": estimate.mean,
        "low": low,
        "high": high,
        "verdict": verdict,
        "p": p_value(estimate, confidence, size) if tested else None,
        "method": "rows" if fixed or estimate.seeds == 1 else "seeds and rows",
        "seeds": estimate.seeds,
        **({"rows": size.rows, "groups": size.groups} if size else {}),
        "settles": required_size(estimate, confidence, size) if plan and verdict == NO_EVIDENCE else None,
    }


def verdict_of(mean: float, low: float, high: float) -> str:
    """The verdict for an interval; NaN is no evidence."""
    if low - GUARD * (mean - low) > 0:
        return HELPS
    return HURTS if high + GUARD * (high - mean) < 0 else NO_EVIDENCE


def p_value(estimate: Spread, confidence: float, size: Size | None) -> float | None:
    """The p-value that goes with interval and verdict: the smallest alpha at which the interval of confidence 1 - alpha
    is clear of 0 by the margin of a verdict. It is 1 - ``confidence`` or less exactly where there is a verdict.

    The margin of the rows is that of the percentiles at ``confidence``, and grows with alpha as Student's t of the
    groups does: resamples are too few for the tails. None where nothing was scored.
    """
    if not np.isfinite(estimate.mean) or not len(estimate.deviations):
        return None
    reference, effect = (1 - confidence) / 2, abs(estimate.mean)
    rows = expanded(estimate.deviations, reference, size)[0 if estimate.mean > 0 else 1]

    def quantile(tail: float) -> float:
        return -float(stdtrit(size.groups - 1, tail) if size is not None and size.groups > 1 else ndtri(tail))

    def is_clear(exponent: float) -> bool:
        tail = 10.0**exponent / 2
        seeds = -float(stdtrit(estimate.seeds - 1, tail)) * np.sqrt(estimate.by_seeds) if estimate.by_seeds else 0.0
        margin = rows * quantile(tail) / quantile(reference)
        return bool(effect > (1 + GUARD) * max(np.hypot(seeds, estimate.scale * margin), margin))

    low, high = LEAST_EXPONENT, 0.0
    if effect == 0 or is_clear(low):
        return 0.0 if effect else 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_clear(middle) else (middle, high)
    return 10.0**high


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values of a family, adjusted so that the chance of any false rejection is at most alpha where those of alpha or
    less are rejected (Holm 1979). A comparison without a p-value counts, and has none."""
    order = sorted(range(len(p_values)), key=lambda n: _or_one(p_values[n]))
    adjusted, highest = list(p_values), 0.0
    for rank, n in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * _or_one(p_values[n])))
        adjusted[n] = None if p_values[n] is None else highest
    return adjusted


def _or_one(p: float | None) -> float:
    return 1.0 if p is None else p


def required_size(estimate: Spread, confidence: float, size: Size | None) -> dict[str, Any]:
    """What would settle a comparison without evidence: ``seeds`` or ``rows`` alone; where neither alone does, both
    ``together``. Empty where nothing in reach would. With one seed: the ``least`` number that allows a verdict."""
    if estimate.seeds == 1:
        return {"seeds": MIN_SEEDS, "least": True}
    if estimate.mean == 0 or not np.isfinite(estimate.mean):
        return {}
    rows = size.rows if size else 0
    seeds = _smallest(lambda n: has_power(estimate, confidence, n, 1.0), MIN_SEEDS, MAX_SEEDS)
    tenths = _smallest(lambda f: has_power(estimate, confidence, estimate.seeds, f / 10), 10, 10 * MAX_SEEDS)
    plan = {"seeds": seeds} if seeds else {}
    if tenths and rows:
        plan["rows"] = round_up(rows * tenths / 10)
    if plan or not rows:
        return plan
    count = estimate.seeds
    both = _smallest(lambda f: has_power(estimate, confidence, round(count * f / 10), f / 10), 10, 10 * MAX_SEEDS)
    return {"seeds": round(count * both / 10), "rows": round_up(rows * both / 10), "together": True} if both else {}


def has_power(estimate: Spread, confidence: float, seeds: int, times: float) -> bool:
    """Whether ``seeds`` seeds and ``times`` times the rows would detect a difference of this size with power 0.8.

    A t test with the degrees of freedom of Satterthwaite (1946), at the critical value of the interval's margin.
    """
    if seeds < 2:
        return False
    variance = estimate.by_seeds * estimate.seeds
    by_seeds = (max(variance - estimate.residual, 0.0) + min(estimate.residual, variance) / times) / seeds
    by_rows, tail = estimate.by_rows / times, (1 - confidence) / 2
    total = by_seeds + by_rows
    if total == 0:
        return True
    residual, z = estimate.residual / times / seeds, ndtri(1 - tail)
    margin = max(stdtrit(seeds - 1, 1 - tail) ** 2 * by_seeds + z**2 * by_rows, z**2 * (by_rows + residual))
    freedom = min(total**2 / (by_seeds**2 / (seeds - 1)), 1e4) if by_seeds else 1e4
    effect, critical = abs(estimate.mean) / np.sqrt(total), (1 + GUARD) * np.sqrt(margin / total)
    return bool(1 - nctdtr(freedom, effect, critical) >= POWER)


def round_up(count: float) -> int:
    """To two significant digits, upwards."""
    unit = 10 ** max(len(str(int(count))) - 2, 0)
    return int(-(-count // unit) * unit)


def _smallest(enough: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest integer from ``low`` to ``high`` that is enough, by bisection; None where ``high`` isn't."""
    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
