"""Single rows as an exported file is fed with them where it is deployed: one after the other, without padding."""

from __future__ import annotations

import numpy as np

from ..data.columns import Columns
from ..files import read_json
from ..predictor import SIGNATURE
from .context import Model


def feed(columns: Columns, row: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Entries (1, ...) of each modality, and present (1, M)."""
    entries = {}
    for m, name in enumerate(columns.spec.names):
        one = columns.entries[name][columns.entry[row, m]][None]  # sound and sequences come without padding
        if columns.spec.fields[m].kind == "text":  # as a single question comes: no padding
            one = one[:, : max(1, int((one != 0).sum()))]
        entries[name] = np.ascontiguousarray(one)
    return entries, columns.present[row : row + 1]


def feeds(columns: Columns, model: Model, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of an exported model's inputs, flat by name and number, as :mod:`suffuse.evaluation.memory` reads them."""
    assert model.folder is not None
    signature = read_json(model.folder / SIGNATURE) or {}
    seen, found = columns.of([one["name"] for one in signature["modalities"]]), {}
    for number, row in enumerate(rows):
        entries, present = feed(seen, int(row))
        found |= {f"{number} {name}": array for name, array in {**entries, " present": present}.items()}
    return found
