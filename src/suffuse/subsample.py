"""Evenly spaced positions: some rows that stand for all of them, whatever the table is sorted by."""

from __future__ import annotations

import numpy as np

MAX_TRAINING_ROWS = 2_000  # training rows that a model is scored on


def evenly_spaced(length: int, count: int) -> np.ndarray:
    """Positions (min(length, count),) int64 in ``range(length)``, rising and distinct, the first and the last among
    them; of ``count`` 1 the first alone.

    In whole numbers: a step of ``length // count`` would reach no further than the first ``count * (length // count)``
    positions, which is half of them where ``length`` is just below twice ``count``.
    """
    number = max(min(length, count), 0)
    if number < 2:
        return np.arange(number, dtype=np.int64)
    return np.arange(number, dtype=np.int64) * (length - 1) // (number - 1)


def training_sample(rows: np.ndarray) -> np.ndarray:
    """At most MAX_TRAINING_ROWS of these rows, evenly spaced: the sample on which models are scored that were trained
    on them."""
    return rows[evenly_spaced(len(rows), MAX_TRAINING_ROWS)]
