"""One student for any subset of the inputs, against students that were trained for one input alone.

All are networks of one recipe, on the same rows and the same teacher's answers. Differences are paired: the same seeds,
the same resamples of groups of test rows; the intervals are those of ``suffuse evaluate``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from suffuse import Run
from suffuse.answers import activate, main_metric
from suffuse.data import Columns
from suffuse.engine import features
from suffuse.model import open_model
from suffuse.probes.intervals import summary
from suffuse.probes.members import Network
from suffuse.probes.quality import draw
from suffuse.probes.subsets import title
from suffuse.probes.targets import measure
from suffuse.probes.verdict import compare
from suffuse.shapley import masks

RESAMPLES, CONFIDENCE = 2000, 0.95
Scores = list[np.ndarray]  # (R + 1,) of each seed: on the rows, and on their resamples


def against_single(whole: Run, single: Mapping[str, Run]) -> dict[str, Any]:
    """``models`` and ``pairs``: the student on every subset, each input's own student, the same on labels alone, and
    the teacher that taught them on all inputs, every seed of it."""
    columns = Columns.open(whole.path("data"))
    rows = columns.labelled("test")
    draws = draw(columns.group[rows], RESAMPLES, CONFIDENCE)
    metric = main_metric(columns.spec.heads)

    def scored(run: Run, who: str) -> dict[str, Scores]:
        """Subset -> the main metric, seed by seed."""
        found: dict[str, Scores] = {}
        own = Columns.open(run.path("data"))
        for folder in sorted(run.path(who).glob("seed-*"), key=lambda f: int(f.name.removeprefix("seed-"))):
            network = Network(folder, own, features.place(run))
            there = masks(len(network.names))[1:]
            kept = np.broadcast_to(there[:, None], (len(there), len(rows), len(network.names)))
            for subset, said in zip(there, network.under(rows, kept), strict=True):
                answers = activate(columns.spec.heads, said)
                score = measure(columns.spec, answers, columns.target[rows], draws)[metric]
                found.setdefault(title(network.names, subset), []).append(score)
        return found

    teacher, student, baseline = (scored(whole, who) for who in ("teachers", "student", "baseline"))
    own = {name: scored(run, "student")[name] for name, run in single.items()}
    all_, full = list(teacher)[-1], list(student)[-1]
    kinds = {"student": student, "baseline": baseline}
    found = {"teacher": teacher[all_], **{f"{who}, {s}": kinds[who][s] for who in kinds for s in student}}
    found |= {f"student of {name} alone": scores for name, scores in own.items()}
    asked = [(f"student, {full}", "teacher"), (f"student, {full}", f"baseline, {full}")]
    asked += [(f"student, {name}", f"student of {name} alone") for name in own]
    sizes = {"teacher": size(whole, "teachers"), f"student, {full}": size(whole, "student")}
    sizes |= {f"student of {name} alone": size(run, "student") for name, run in single.items()}
    return {
        "rows": len(rows),
        "models": {
            who: {"parameters": sizes.get(who, sizes[f"student, {full}"])}
            | {metric: summary(scores, CONFIDENCE, draws.size)}
            for who, scores in found.items()
        },
        "pairs": [
            {"who": a, "against": b, "metric": metric} | compare(found[a], found[b], CONFIDENCE, draws.size)
            for a, b in asked
        ],
    }


def size(run: Run, who: str) -> int:
    """Parameters of a network, frozen ones too."""
    return open_model(next(run.path(who).glob("seed-*"))).size()
