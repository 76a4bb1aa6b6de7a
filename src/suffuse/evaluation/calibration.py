"""Calibration: does a confidence of 0.9 mean that nine of ten answers are right?

Expected calibration error (Guo et al. 2017) over equal-width bins, and the Brier score (Brier 1950). Labels are each a
question of their own: their stated probability against how often rows have them, all labels taken together. A number
comes with no confidence.

Both are of all seeds' answers taken together. Their intervals are those of every other value (same resamples, and the
seeds' own spread): each seed's ECE in a resample, less what taking them together takes off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..types import CLASSES, NUMBER, Head, Spec
from .intervals import SHARE, bounds, summary
from .metrics import Draws, per_group, ratio

BINS = 10


def with_intervals(spec: Spec, seeds: Sequence[np.ndarray], target: np.ndarray, draws: Draws) -> dict[str, Any]:
    """:func:`calibrate` of all seeds' answers (N, C) together, each with ``intervals`` of its ECE and Brier score."""
    found = calibrate(spec, np.concatenate(list(seeds)), np.concatenate([target] * len(seeds)))
    parts = [spec.parts(said) for said in seeds]
    for at, (head, wanted) in enumerate(spec.targets(target)):
        facts = found.get("calibration") if len(spec.heads) == 1 else found["calibrations"].get(head.name)
        if facts:
            known = head.known(wanted)
            some = draws.of(known)
            facts["intervals"] = intervals(head, [seed[at][1][known] for seed in parts], wanted[known], some)
    return found


def intervals(head: Head, seeds: Sequence[np.ndarray], target: np.ndarray, draws: Draws) -> dict[str, dict[str, float]]:
    """One target's answers (N, C) of each seed -> ``ece`` and ``brier``: where the interval begins and ends."""
    gaps, squares = zip(*(_resampled(head, said, target, draws) for said in seeds), strict=True)
    questions = 1 if head.kind == CLASSES else target.shape[1]
    rows = questions * (per_group(np.ones(len(target)), draws) @ draws.weight.T)
    each = [ratio(np.abs(gap).sum(1), rows) for gap in gaps]
    together = ratio(np.abs(np.mean(gaps, axis=0)).sum(1), rows)
    less = together - np.mean(each, axis=0)
    values = {"ece": [one + less for one in each], "brier": [ratio(one, rows) for one in squares]}
    ranges = {"ece": bounds("ece"), "brier": bounds("brier") if head.kind == CLASSES else SHARE}
    made = {name: summary(some, draws.confidence, ranges[name], draws.size) for name, some in values.items()}
    return {name: {"low": one["low"], "high": one["high"]} for name, one in made.items()}


def _resampled(head: Head, said: np.ndarray, target: np.ndarray, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Of one seed, summed over the rows of every resample: stated less what came true, by bin (R + 1, bins), and the
    squared distance (R + 1,)."""
    if head.kind == CLASSES:
        stated, came, square = _classes(said, target)
    else:
        stated, came = said, target > 0
        square = ((said - came) ** 2).sum(1)
    which = np.minimum((stated * BINS).astype(int), BINS - 1).reshape(len(said), -1)
    gap = (stated - came).reshape(len(said), -1)
    bins = [per_group(np.where(which == b, gap, 0).sum(1), draws) for b in range(BINS)]
    return draws.weight @ np.stack(bins, 1), draws.weight @ per_group(square, draws)


def calibrate(spec: Spec, answers: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Answers (N, C), as :func:`suffuse.activations.activate` gives them, and targets -> ``calibration`` of the only
    target, or ``calibrations`` by target; on the rows that have it, and nothing of numbers."""
    found = {}
    for (head, part), (_, wanted) in zip(spec.parts(answers), spec.targets(target), strict=True):
        known = head.known(wanted)
        if head.kind != NUMBER and known.any():
            measure = calibration if head.kind == CLASSES else of_labels
            found[head.name] = measure(part[known], wanted[known])
    if len(spec.heads) > 1:
        return {"calibrations": found}
    return {"calibration": next(iter(found.values()))} if found else {}


def calibration(probability: np.ndarray, target: np.ndarray) -> dict:
    """(N, C) and (N,) -> ece, brier, and per bin: rows, mean confidence, accuracy."""
    confidence, right, square = _classes(probability, target)
    return {**binned(confidence, right), "brier": float(square.mean())}


def _classes(probability: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) each: confidence, whether it is right, and the squared distance from the truth."""
    wanted = np.zeros_like(probability)
    known = target < probability.shape[1]
    wanted[np.flatnonzero(known), target[known]] = 1
    return probability.max(1), probability.argmax(1) == target, ((probability - wanted) ** 2).sum(1)


def of_labels(probability: np.ndarray, target: np.ndarray) -> dict:
    """(N, C) twice -> the same of every row's every label: ``accuracy`` is the share of them that is there."""
    stated, there = probability.ravel(), target.ravel() > 0
    return {**binned(stated, there), "brier": float(((stated - there) ** 2).mean())}


def binned(stated: np.ndarray, came: np.ndarray) -> dict:
    """(N,) probabilities and (N,) bool, what came true -> ece, and the bins."""
    which = np.minimum((stated * BINS).astype(int), BINS - 1)
    rows = np.bincount(which, minlength=BINS)
    sure = np.bincount(which, weights=stated, minlength=BINS) / np.maximum(rows, 1)
    hit = np.bincount(which, weights=came, minlength=BINS) / np.maximum(rows, 1)
    return {
        "ece": float((rows * np.abs(sure - hit)).sum() / rows.sum()),
        "bins": [
            {"rows": int(r), "confidence": float(c), "accuracy": float(h)}
            for r, c, h in zip(rows, sure, hit, strict=True)
        ],
    }
