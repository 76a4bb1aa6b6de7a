"""Calibration: does a confidence of 0.9 mean that nine of ten answers are right?

Expected calibration error (Guo et al. 2017) over equal-width bins, and the Brier score (Brier 1950). Labels are each a
question of their own: their stated probability against how often rows have them, all labels taken together. A number
comes with no confidence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import CLASSES, NUMBER, Spec

BINS = 10


def calibrate(spec: Spec, answers: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Answers (N, C), as :func:`suffuse.answers.activate` gives them, and targets -> ``calibration`` of the only
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
    confidence, right = probability.max(1), probability.argmax(1) == target
    wanted = np.zeros_like(probability)
    known = target < probability.shape[1]
    wanted[np.flatnonzero(known), target[known]] = 1
    return {**binned(confidence, right), "brier": float(((probability - wanted) ** 2).sum(1).mean())}


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
