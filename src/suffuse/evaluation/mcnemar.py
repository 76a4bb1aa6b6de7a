"""McNemar's test (1947) on the rows of one seed: which rows does only one of two models get right?

Of the ``gained + lost`` rows on which they differ, as many should be gained as lost if the models are equally good. The
exact test is binomial; mid-p counts half of what is as likely as the observed counts and so errs less on the safe side
(Fagerland, Lydersen & Laake 2013). Where rows come in groups (all questions of a picture) rows aren't independent, and
the groups' rates are tested instead (Durkalski et al. 2003, "Analysis of clustered matched-pair data"): of K groups,
group k with n_k rows, b_k of them gained and c_k lost,

    chi^2 = (sum_k (b_k - c_k) / n_k)^2 / sum_k ((b_k - c_k) / n_k)^2      one degree of freedom

so that a large group counts no more than a small one. It is of two trained networks, not of two recipes: what a verdict
says rests on seeds too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import bdtr, chdtrc

from ..types import CLASSES, Spec


def right(spec: Spec, answers: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Answers (N, C) and targets (N,) -> (N,) bool; None where rows aren't simply right or wrong: labels, numbers,
    several targets."""
    if len(spec.heads) != 1 or spec.heads[0].kind != CLASSES:
        return None
    return answers.argmax(1) == target


def mcnemar(ours: np.ndarray, theirs: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    """(N,) bool twice, and groups (N,) -> gained, lost, p (exact), p_mid, and with groups p_groups."""
    gap = ours.astype(int) - theirs.astype(int)
    gained, lost = int((gap > 0).sum()), int((gap < 0).sum())
    facts = {"gained": gained, "lost": lost, "p": exact(gained, lost), "p_mid": mid(gained, lost)}
    _, which = np.unique(group, return_inverse=True)
    if which.max(initial=0) + 1 < len(gap):
        rates = np.bincount(which, weights=gap) / np.bincount(which)
        square = float((rates**2).sum())
        facts["p_groups"] = float(chdtrc(1, rates.sum() ** 2 / square)) if square else 1.0
    return facts


def exact(gained: int, lost: int) -> float:
    """Two-sided p of a fair coin; 1 where the models never differ."""
    return min(1.0, 2 * _at_most(min(gained, lost), gained + lost))


def mid(gained: int, lost: int) -> float:
    """The same, with half of the probability of what is as likely as the observed counts."""
    fewer, both = min(gained, lost), gained + lost
    if not both:
        return 1.0
    here = _at_most(fewer, both) - _at_most(fewer - 1, both)
    return 1 - here / 2 if gained == lost else 2 * _at_most(fewer, both) - here


def _at_most(count: int, tosses: int) -> float:
    """Probability of at most so many heads of a fair coin."""
    return float(bdtr(count, tosses, 0.5)) if count >= 0 else 0.0
