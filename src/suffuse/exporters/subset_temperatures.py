"""Fits temperatures for each subset of the modalities (:mod:`suffuse.temperature_scaling`).

A model that lost a modality is unsure in another way than one that has all, so each subset gets its own, fitted on the
labelled validation rows that have all of it, with the other modalities hidden.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import temperature_scaling
from ..data.columns import Columns
from ..temperature_scaling import subset_name
from .parity import Ask

FEWEST = 20  # rows that a subset's temperature is fitted on; with fewer it stays 1


def temperatures(ask: Ask, columns: Columns, rows: np.ndarray, subsets: Sequence[tuple[bool, ...]]) -> dict:
    """Subset -> target -> T. ``ask``: entries and present (B, M) -> logits (B, C). With nothing present T is 1: the
    output is the training prior."""
    by_subset = {}
    for kept in subsets:
        subset_rows = rows[columns.present[rows][:, list(kept)].all(1)]
        if not any(kept) or len(subset_rows) < FEWEST:
            by_subset[subset_name(columns.spec.names, kept)] = {head.name: 1.0 for head in columns.spec.heads}
            continue
        logits = ask(columns, subset_rows, kept)
        fitted = temperature_scaling.fit(columns.spec, logits, columns.target[subset_rows])
        by_subset[subset_name(columns.spec.names, kept)] = {name: round(t, 6) for name, t in fitted.items()}
    return by_subset
