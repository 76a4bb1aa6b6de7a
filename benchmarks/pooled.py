"""Several runs of one recipe, each on its own fold, as one: every row of the table is a test row once.

One small test split says little (houses: 79 rows). Of all folds together the metric is taken over all rows, seed by
seed, and the paired interval over seeds and rows is that of ``suffuse evaluate``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seeds import seed_logits
from suffuse import Run
from suffuse.answers import activate, main_metric
from suffuse.data import Columns
from suffuse.probes.intervals import summary
from suffuse.probes.quality import Draws, draw
from suffuse.probes.targets import measure
from suffuse.probes.verdict import compare

RESAMPLES, CONFIDENCE = 2000, 0.95
Answers = dict[str, list[np.ndarray]]  # who -> (N, C) of each seed


def pooled(runs: Sequence[Run], who: Sequence[str]) -> tuple[Columns, np.ndarray, np.ndarray, Answers]:
    """The first run's columns; targets and groups of all test rows; and what every seed of each answers on them."""
    opened = [Columns.open(run.path("data")) for run in runs]
    rows = [columns.labelled("test") for columns in opened]
    target = np.concatenate([columns.target[some] for columns, some in zip(opened, rows, strict=True)])
    group = np.arange(len(target))  # rows of a group stand in one fold, but groups are numbered anew in each
    said: Answers = {}
    for name in who:
        each = []
        for run, columns, some in zip(runs, opened, rows, strict=True):
            each.append([activate(columns.spec.heads, z) for z in seed_logits(run, columns, some, name)])
        said[name] = [np.concatenate(parts) for parts in zip(*each, strict=True)]
    return opened[0], target, group, said


def pairs(runs: Sequence[Run], asked: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """For each (ours, theirs): the metrics of both over all rows, and the main metric's paired difference."""
    columns, target, group, said = pooled(runs, list(dict.fromkeys(name for pair in asked for name in pair)))
    return {"rows": len(target), "folds": len(runs), **judged(columns, target, group, said, asked)}


def judged(
    columns: Columns, target: np.ndarray, group: np.ndarray, said: Answers, asked: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Targets and groups of rows, and what was answered -> the metrics of all, and the differences asked for."""
    draws: Draws = draw(group, RESAMPLES, CONFIDENCE)
    metric = main_metric(columns.spec.heads)
    found = {name: [measure(columns.spec, one, target, draws) for one in some] for name, some in said.items()}
    models = {
        name: {m: summary([one[m] for one in some], CONFIDENCE, draws.size) for m in some[0]}
        for name, some in found.items()
    }
    compared = [
        {"who": a, "against": b, "metric": metric}
        | compare([one[metric] for one in found[a]], [one[metric] for one in found[b]], CONFIDENCE, draws.size)
        for a, b in asked
    ]
    return {"models": models, "pairs": compared}
