"""One student on every subset of its modalities, beside students that were trained for one modality each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from seeds import seed_folders
from suffuse import Run
from suffuse.answers import activate, main_metric
from suffuse.data import Columns
from suffuse.engine import features
from suffuse.engine.forward import under
from suffuse.model import open_model
from suffuse.probes.intervals import summary
from suffuse.probes.quality import draw
from suffuse.probes.subsets import title
from suffuse.probes.targets import measure
from suffuse.probes.verdict import compare
from suffuse.shapley import listed

RESAMPLES, CONFIDENCE = 2000, 0.95


def anywhere(run: Run, alone: Mapping[str, Run]) -> dict[str, Any]:
    """A run's student on each subset of what it reads, and paired with the student of each modality ``alone``; on the
    test rows that have all of them."""
    columns = Columns.open(run.path("data"))
    names = tuple(run.recipe.student.bare().encoders)
    rows = columns.labelled("test")
    rows = rows[columns.of(names).present[rows].all(1)]
    draws, metric = draw(columns.group[rows], RESAMPLES, CONFIDENCE), main_metric(columns.spec.heads)
    found = {f"any: {name}": said for name, said in answers(run, columns, rows).items()}
    found |= {f"{name} alone": answers(one, columns, rows)[name] for name, one in alone.items()}
    measured = {
        who: [measure(columns.spec, activate(columns.spec.heads, z), columns.target[rows], draws) for z in said]
        for who, said in found.items()
    }
    models = {
        who: {m: summary([one[m] for one in each], CONFIDENCE, draws.size) for m in each[0]}
        for who, each in measured.items()
    }
    pairs = [
        {"who": f"any: {name}", "against": f"{name} alone", "metric": metric}
        | compare(
            *([one[metric] for one in measured[who]] for who in (f"any: {name}", f"{name} alone")),
            CONFIDENCE,
            draws.size,
        )
        for name in alone
    ]
    return {"rows": len(rows), "models": models, "pairs": pairs}


def answers(run: Run, columns: Columns, rows: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Subset in words -> (N, C) of each seed of the student."""
    found: dict[str, list[np.ndarray]] = {}
    for folder in seed_folders(run, "student"):
        model = open_model(folder)
        subsets = listed(len(model.spec.names))[1:]
        seen = features.ready(columns, model, features.place(run))
        for subset, said in zip(subsets, under(model, seen, rows, subsets[:, None]), strict=True):
            found.setdefault(title(model.spec.names, subset), []).append(said)
    return found
