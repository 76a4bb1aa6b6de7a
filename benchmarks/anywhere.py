"""One student on every subset of its modalities, beside students that were trained for one modality each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pooled import judged
from seeds import seed_folders
from suffuse import Run
from suffuse.activations import activate
from suffuse.data.columns import Columns
from suffuse.engine import feature_cache
from suffuse.engine.inference import subset_logits
from suffuse.evaluation.modality_subsets import subset_title
from suffuse.model import open_model
from suffuse.shapley import listed


def anywhere(run: Run, alone: Mapping[str, Run]) -> dict[str, Any]:
    """A run's student on each subset of what it reads, and paired with the student of each modality ``alone``; on the
    test rows that have all of them."""
    columns = Columns.open(run.path("data"))
    names = tuple(run.recipe.student.bare().encoders)
    rows = columns.labelled("test")
    rows = rows[columns.of(names).present[rows].all(1)]
    said = {f"any: {name}": each for name, each in answers(run, columns, rows).items()}
    said |= {f"{name} alone": answers(one, columns, rows)[name] for name, one in alone.items()}
    asked = [(f"any: {name}", f"{name} alone") for name in alone]
    return {"rows": len(rows), **judged(columns, columns.target[rows], columns.group[rows], said, asked)}


def answers(run: Run, columns: Columns, rows: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Subset in words -> (N, C) of each seed of the student, as probabilities."""
    found: dict[str, list[np.ndarray]] = {}
    for folder in seed_folders(run, "student"):
        model = open_model(folder)
        subsets = listed(len(model.spec.names))[1:]
        seen = feature_cache.ready(columns, model, feature_cache.place(run))
        for subset, said in zip(subsets, subset_logits(model, seen, rows, subsets[:, None]), strict=True):
            found.setdefault(subset_title(model.spec.names, subset), []).append(activate(columns.spec.heads, said))
    return found
