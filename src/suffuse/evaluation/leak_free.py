"""Scores on the test rows that nothing else in the table gives away.

A test row is left out where its contents in all modalities, or a large content of one (a picture, a sound), stand in
training or validation rows. :mod:`suffuse.prepare.split_leaks` says what is left out of training and what stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..data.columns import Columns
from .intervals import bounds, summary
from .metrics import Draws
from .target_metrics import measure


def leaked(columns: Columns, rows: np.ndarray, names: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """``contents``, and by name the modalities that prepare found to be large and shared (``names``) -> (N,) bool:
    which of ``rows`` share them with rows of other splits; nothing where none does."""
    others = np.flatnonzero(np.isin(columns.split, np.unique(columns.split[rows]), invert=True))
    entry = np.where(columns.present, columns.entry, -1)
    found = {"contents": _stands_in(entry, rows, others)}
    for place, name in enumerate(columns.spec.names):
        if name in set(names):
            found[name] = _stands_in(entry[:, [place]], rows, others)
    return {name: mask for name, mask in found.items() if mask.any()}


def clean(
    columns: Columns, rows: np.ndarray, answers: Sequence[np.ndarray], draws: Draws, found: dict[str, np.ndarray]
) -> dict[str, Any]:
    """A model's answers (N, C), one array a seed -> rows and metrics without what is leaked, and how many rows are."""
    mask = ~np.any(list(found.values()), axis=0)
    facts: dict[str, Any] = {"rows": int(mask.sum()), "leaked": {name: int(one.sum()) for name, one in found.items()}}
    if not mask.any():
        return facts
    some, target = draws.of(mask), columns.target[rows][mask]
    measured = [measure(columns.spec, a[mask], target, some) for a in answers]
    facts["metrics"] = {
        metric: summary([m[metric] for m in measured], draws.confidence, bounds(metric), some.size)
        for metric in measured[0]
    }
    return facts


def _stands_in(entry: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """entry (N, K), -1 where absent -> (len(rows),) bool: whether a row's K entries are those of one of the others. A
    row that lacks one of them is no copy."""
    there = (entry[rows] >= 0).all(1)
    _, code = np.unique(entry, axis=0, return_inverse=True)
    code = code.reshape(-1)
    return there & np.isin(code[rows], code[others])
