"""Which trainings are not worth finishing: the median rule (Golovin et al. 2017, "Google Vizier"), for several goals.

Optuna's own pruners take one goal only, and compare by epoch. Here trainings differ in length, and each has a schedule
over all of it, so they are compared at equal shares of their training. A small student that learns more slowly than
the large ones is what a search for small ones looks for: it is compared with those that cost no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

Curve = Sequence[Sequence[float]]  # (share of the training done, best score so far), in order

RUNGS = (0.3, 0.5, 0.7, 0.85)  # shares at which a training is judged; before the first it is too early
FEWEST = 4  # others that must have come as far


def reached(curve: Curve, share: float) -> float | None:
    """The best score after this share of a training; None where it hasn't come so far."""
    if not curve or curve[-1][0] < share - 1e-9:
        return None
    scores = [score for done, score in curve if done <= share + 1e-9]
    return max(scores) if scores else None


def behind(mine: Curve, size: int, others: Sequence[tuple[Curve, int]]) -> str:
    """Why a training of so many parameters may stop now; empty where it goes on. ``others``: curves and sizes."""
    if not mine:
        return ""
    passed = [rung for rung in RUNGS if mine[-1][0] >= rung]
    before = mine[-2][0] if len(mine) > 1 else 0.0
    if not passed or before >= passed[-1]:  # judged once at each rung
        return ""
    share, own = mine[-1][0], max(score for _, score in mine)
    scores = [reached(curve, share) for curve, other in others if other <= size]
    known = [score for score in scores if score is not None]
    if len(known) < FEWEST or own >= median(known):
        return ""
    return f"at {share:.0%} of its training {own:.4f}, the median of {len(known)} others is {median(known):.4f}"
