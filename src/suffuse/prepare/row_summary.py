"""A set of rows in a few numbers, by split: how many rows and groups, and a hash of which rows they are.

Two summaries are equal where the sets are, in whatever order their rows stand.
"""

from __future__ import annotations

import hashlib
from typing import TypedDict

import numpy as np

from .splits import NAMES


class Summary(TypedDict):
    """The rows of a set that are in one split."""

    rows: int
    groups: int
    hash: str  # of their keys, sorted


def summarise(rows: np.ndarray, split: np.ndarray, group: np.ndarray, key: np.ndarray) -> dict[str, Summary]:
    """Split -> summary, of the splits that any of these rows is in. ``rows``: positions, or (N,) bool; ``split``,
    ``group`` and ``key``: (N,) each, of all rows; a key is a hash of a row's id and contents."""
    picked = np.unique(np.flatnonzero(rows) if rows.dtype == bool else rows)
    summaries: dict[str, Summary] = {}
    for code, name in enumerate(NAMES):
        some = picked[split[picked] == code]
        if len(some):
            keys = np.sort(key[some]).astype("<u8")
            digest = hashlib.blake2b(keys.tobytes(), digest_size=16).hexdigest()
            summaries[name] = {"rows": len(some), "groups": len(np.unique(group[some])), "hash": digest}
    return summaries
