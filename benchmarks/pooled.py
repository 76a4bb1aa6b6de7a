"""Several runs of one recipe, each on its own fold, as one: every row of the table is a test row once.

One small test split says little (houses: 79 rows). Of all folds together the metric is taken over all rows, seed by
seed, and the paired interval over seeds and rows is that of ``suffuse evaluate``. Folds are brought to the classes of
all of them, and to one unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seeds import seed_folders, seed_logits
from suffuse import Run
from suffuse.activations import activate, main_metric
from suffuse.data.columns import Columns
from suffuse.evaluation.intervals import bounds, summary
from suffuse.evaluation.metrics import Draws, draw, measure
from suffuse.evaluation.verdict import compare
from suffuse.types import LABELS, NUMBER, UNLABELLED, Head, Spec

RESAMPLES, CONFIDENCE = 2000, 0.95
Answers = dict[str, list]  # who -> (N, C) of each seed
Folders = Callable[[Run, str], list[Path]]  # where the networks of one of them are


def pooled(
    runs: Sequence[Run], who: Sequence[str], folders: Folders = seed_folders
) -> tuple[Columns, np.ndarray, np.ndarray, Answers]:
    """The first run's columns, with the classes of all runs; targets and groups of all test rows; and what every seed
    of each answers on them."""
    opened = [Columns.open(run.path("data")) for run in runs]
    shared = [common([columns.spec.heads[n] for columns in opened]) for n in range(len(opened[0].spec.heads))]
    spec = replace(opened[0].spec, heads=tuple(shared))
    said: Answers = {name: [] for name in who}
    targets = []
    for run, columns in zip(runs, opened, strict=True):
        rows, heads = columns.labelled("test"), columns.spec.heads
        own = columns.spec.targets(columns.target[rows])
        targets.append(beside([moved(one, head, all_) for (head, one), all_ in zip(own, shared, strict=True)], spec))
        for name in who:
            each = []
            for z in seed_logits(run, columns, rows, name, folders):
                parts = zip(columns.spec.parts(activate(heads, z)), shared, strict=True)
                each.append(np.concatenate([spread(one, head, all_) for (head, one), all_ in parts], axis=1))
            said[name].append(each)
    target = np.concatenate(targets)
    group = np.arange(len(target))  # rows of a group stand in one fold, but groups are numbered anew in each
    found = {name: [np.concatenate(parts) for parts in zip(*each, strict=True)] for name, each in said.items()}
    return replace(opened[0], spec=spec), target, group, found


def common(heads: Sequence[Head]) -> Head:
    """A target of several runs: the classes of all of them (a rare one may be in no training row of some), or the first
    one's unit. Raises ValueError for several labels that aren't the same in all."""
    classes = tuple(dict.fromkeys(name for head in heads for name in head.classes))
    if heads[0].kind == LABELS and any(head.classes != heads[0].classes for head in heads):
        raise ValueError(f"{heads[0].name}: the folds have other labels")
    return replace(heads[0], classes=classes, balance=())


def moved(target: np.ndarray, head: Head, shared: Head) -> np.ndarray:
    """A run's targets in the common classes, or unit; a class that its training never saw stays one."""
    if head.kind == NUMBER:
        return (target * head.std + head.mean - shared.mean) / shared.std
    if head.kind == LABELS:
        return target
    places = np.array([*(shared.classes.index(name) for name in head.classes), len(shared.classes), UNLABELLED])
    return places[target]  # the last of them, -1, is no label


def spread(answers: np.ndarray, head: Head, shared: Head) -> np.ndarray:
    """A run's answers in the common classes, those that it doesn't know at 0, or in the common unit."""
    if head.kind == NUMBER:
        return (answers * head.std + head.mean - shared.mean) / shared.std
    found = np.zeros((len(answers), shared.outputs), answers.dtype)
    found[:, [shared.classes.index(name) for name in head.classes]] = answers
    return found


def beside(parts: Sequence[np.ndarray], spec: Spec) -> np.ndarray:
    """Targets of all heads as a table holds them."""
    return parts[0] if spec.plain else np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def pairs(runs: Sequence[Run], asked: Sequence[tuple[str, str]], folders: Folders = seed_folders) -> dict[str, Any]:
    """For each (ours, theirs): the metrics of both over all rows, and the main metric's paired difference."""
    columns, target, group, said = pooled(runs, list(dict.fromkeys(name for pair in asked for name in pair)), folders)
    return {"rows": len(target), "folds": len(runs), **judged(columns, target, group, said, asked)}


def judged(
    columns: Columns, target: np.ndarray, group: np.ndarray, said: Answers, asked: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Targets and groups of rows, and what was answered -> the metrics of all, and the differences asked for."""
    draws: Draws = draw(group, RESAMPLES, CONFIDENCE)
    metric = main_metric(columns.spec.heads)
    within = bounds(metric)
    found = {name: [measure(columns.spec, one, target, draws) for one in some] for name, some in said.items()}
    models = {
        name: {m: summary([one[m] for one in some], CONFIDENCE, bounds(m), draws.size) for m in some[0]}
        for name, some in found.items()
    }
    compared = [
        {"who": a, "against": b, "metric": metric}
        | compare([one[metric] for one in found[a]], [one[metric] for one in found[b]], CONFIDENCE, within, draws.size)
        for a, b in asked
    ]
    return {"models": models, "pairs": compared}
