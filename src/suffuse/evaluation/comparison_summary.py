"""What an evaluation says beyond single models: verdicts, the label curve, and scores without leaked rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..activations import main_metric
from ..data.columns import Columns
from ..engine.label_budget import label_budget
from ..files import read_json
from ..run import Run
from .comparisons import comparisons
from .label_curve import label_curve
from .leak_free import clean, leaked
from .metrics import Draws
from .target_metrics import Measured


@dataclass(frozen=True)
class Protocol:
    """``files``: name in ``scores/`` -> content; ``cards``: who -> what joins its scorecard."""

    files: dict[str, Any]
    cards: dict[str, dict[str, Any]]


def protocol(
    run: Run,
    columns: Columns,
    rows: np.ndarray,
    draws: Draws,
    measured: Mapping[str, Sequence[Measured]],
    answers: Mapping[str, Sequence[np.ndarray]],
) -> Protocol:
    """rows (N,) of test; ``measured``: who -> of each seed its metrics in every resample; ``answers``: who -> of each
    seed (N, C), as :func:`suffuse.activations.activate` gives them."""
    spec, target, metric = columns.spec, columns.target[rows], main_metric(columns.spec.heads)
    files: dict[str, Any] = {"comparisons": comparisons(measured, answers, (spec, target), metric, draws)}
    if run.recipe.evaluate.label_curve:
        files["label-curve"] = label_curve(measured, labels(run, columns), metric, draws)
    known = (read_json(run.path("data", "leaks.json")) or {}).get("kept", {})
    shared = leaked(columns, rows, known)
    cards = {who: {"clean": clean(columns, rows, some, draws, shared)} for who, some in answers.items() if shared}
    return Protocol(files, cards)


def labels(run: Run, columns: Columns) -> dict[float, int]:
    """Share of the labels -> labelled training rows that a student with so many sees."""
    rows, seed = columns.labelled("train"), run.recipe.seed
    return {share: int(label_budget(columns, share, seed)[rows].sum()) for share in (*run.recipe.fractions, 1.0)}
