"""Which labels a training may see, where the recipe gives it a share of them."""

from __future__ import annotations

import numpy as np

from ..data import Columns
from ..errors import SuffuseError


def label_budget(columns: Columns, fraction: float, seed: int) -> np.ndarray:
    """(N,) bool: rows whose label may be seen. Whole groups (all questions of a picture), the same for everybody; those
    of a smaller share are among those of a larger one."""
    allowed = np.ones(len(columns.target), dtype=bool)
    if fraction < 1:
        for split in ("train", "validation"):
            rows = columns.rows(split)
            groups = np.unique(columns.group[rows])
            count = max(1, round(fraction * len(groups)))
            kept = np.random.default_rng([seed, 5]).permutation(groups)[:count]
            allowed[rows] = np.isin(columns.group[rows], kept)
            if not (allowed[rows] & columns.spec.known(columns.target[rows])).any():
                raise SuffuseError(
                    "too few labels are left",
                    where="distill.label_fractions, evaluate.label_curve",
                    got=f"{fraction:g} of {len(groups)} groups",
                )
    return allowed
