"""Verdicts: whether one recipe is better than another, from the same seeds on the same rows, and what would settle it.

    helps         the interval of the paired difference lies above 0, by a tenth of its reach
    hurts         it lies below 0 so far
    no evidence   else; or there is one seed, and what is said is of the recipes: one training's luck is unknown

An interval that holds the truth in 95 of 100 cases is wrong in 5; a verdict should be wrong in fewer than that, also
where seeds aren't quite normal. So the last tenth is asked for.

The interval is that of :mod:`suffuse.evaluation.intervals`. What would settle a comparison is a power calculation: the
fewest seeds, or rows, with which a difference as large as the one seen is found in 80 of 100 tries. A difference that
was seen is itself uncertain, so the number is a size to plan with, not a promise (Hoenig & Heisey 2001).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import nctdtr, ndtri, stdtrit

from .intervals import Range, Size, Spread, clipped, difference_bounds, interval, spread

HELPS, HURTS, NO_EVIDENCE = "helps", "hurts", "no evidence"
POWER = 0.8
GUARD = 0.1  # of an interval's reach, by which it must be clear of 0
LEAST, MOST = 3, 1000  # seeds that are proposed; and at the most so many times the rows
METHOD = {
    "seeds and rows": "t interval over seeds, bootstrap over groups of rows, margins joined by squares (MOVER)",
    "rows": "bootstrap over groups of rows; nothing is said of other seeds",
}


def compare(
    ours: Sequence[np.ndarray],
    theirs: Sequence[np.ndarray],
    confidence: float,
    within: Range,
    size: Size | None = None,
    fixed: bool = False,
    plan: bool = True,
) -> dict[str, Any]:
    """Paired difference ours - theirs, seed by seed (R + 1,), on the same draws, and the verdict.

    ``within``: the range of both models' values (:func:`suffuse.evaluation.intervals.bounds`); the difference's
    interval ends where the range of a difference does. ``size``: how many rows and groups were drawn from. ``fixed``:
    what is said is of these very networks, as where a network is compared with itself on other inputs; else they stand
    for their recipes. ``plan``: also what would settle it. Raises ValueError where the numbers of seeds differ.
    """
    found = spread([a - b for a, b in zip(ours, theirs, strict=True)], fixed)
    low, high = interval(found, confidence, size)
    verdict = NO_EVIDENCE if found.seeds == 1 and not fixed else said(found.mean, low, high)
    low, high = clipped((low, high), difference_bounds(within))
    return {
        "difference": found.mean,
        "low": low,
        "high": high,
        "verdict": verdict,
        "method": "rows" if fixed or found.seeds == 1 else "seeds and rows",
        "seeds": found.seeds,
        **({"rows": size.rows, "groups": size.groups} if size else {}),
        "settles": settles(found, confidence, size) if plan and verdict == NO_EVIDENCE else None,
    }


def said(mean: float, low: float, high: float) -> str:
    """The verdict of an interval; nan says nothing."""
    if low - GUARD * (mean - low) > 0:
        return HELPS
    return HURTS if high + GUARD * (high - mean) < 0 else NO_EVIDENCE


def settles(found: Spread, confidence: float, size: Size | None) -> dict[str, Any]:
    """What would settle a comparison that shows no evidence: ``seeds``, or ``rows``, alone; where neither alone does,
    both, ``together``. Empty where nothing in reach would. Of one seed: the ``least`` number that says anything."""
    if found.seeds == 1:
        return {"seeds": LEAST, "least": True}
    if found.mean == 0 or not np.isfinite(found.mean):
        return {}
    rows = size.rows if size else 0
    seeds = _first(lambda n: reached(found, confidence, n, 1.0), LEAST, MOST)
    times = _first(lambda f: reached(found, confidence, found.seeds, f / 10), 10, 10 * MOST)
    answer = {"seeds": seeds} if seeds else {}
    if times and rows:
        answer["rows"] = rounded(rows * times / 10)
    if answer or not rows:
        return answer
    grown = _first(lambda f: reached(found, confidence, round(found.seeds * f / 10), f / 10), 10, 10 * MOST)
    if not grown:
        return {}
    return {"seeds": round(found.seeds * grown / 10), "rows": rounded(rows * grown / 10), "together": True}


def reached(found: Spread, confidence: float, seeds: int, times: float) -> bool:
    """Whether so many seeds, and so many times the rows, would find a difference of this size with power 0.8.

    A t test with the degrees of freedom of Satterthwaite (1946), at the critical value of the interval's margin.
    """
    if seeds < 2:
        return False
    variance = found.by_seeds * found.seeds
    by_seeds = (max(variance - found.own, 0.0) + min(found.own, variance) / times) / seeds
    by_rows, tail = found.by_rows / times, (1 - confidence) / 2
    whole = by_seeds + by_rows
    if whole == 0:
        return True
    own, z = found.own / times / seeds, ndtri(1 - tail)
    margin = max(stdtrit(seeds - 1, 1 - tail) ** 2 * by_seeds + z**2 * by_rows, z**2 * (by_rows + own))
    freedom = min(whole**2 / (by_seeds**2 / (seeds - 1)), 1e4) if by_seeds else 1e4
    return bool(1 - nctdtr(freedom, abs(found.mean) / np.sqrt(whole), (1 + GUARD) * np.sqrt(margin / whole)) >= POWER)


def rounded(count: float) -> int:
    """To two digits, upwards: more would pretend to know."""
    unit = 10 ** max(len(str(int(count))) - 2, 0)
    return int(-(-count // unit) * unit)


def _first(enough: Callable[[int], bool], least: int, most: int) -> int | None:
    """The smallest whole number from which on it is enough; None where the largest isn't."""
    if not enough(most):
        return None
    low, high = least, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
