"""Evenly spaced positions: some rows that stand for all of them, whatever the table is sorted by."""

from __future__ import annotations

import numpy as np


def evenly_spaced(length: int, most: int) -> np.ndarray:
    """Positions (min(length, most),) int64 in ``range(length)``, rising and distinct, the first and the last among
    them; of ``most`` 1 the first alone.

    In whole numbers: a step of ``length // most`` would reach no further than the first ``most * (length // most)``
    positions, which is half of them where ``length`` is just below twice ``most``.
    """
    count = max(min(length, most), 0)
    if count < 2:
        return np.arange(count, dtype=np.int64)
    return np.arange(count, dtype=np.int64) * (length - 1) // (count - 1)
