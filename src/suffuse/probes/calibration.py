"""Calibration: does a confidence of 0.9 mean that nine of ten answers are right?

Expected calibration error (Guo et al. 2017) over equal-width bins, and the Brier score (Brier 1950).
"""

from __future__ import annotations

import numpy as np

BINS = 10


def calibration(probability: np.ndarray, target: np.ndarray) -> dict:
    """(N, C) and (N,) -> ece, brier, and per bin: rows, mean confidence, accuracy."""
    confidence, right = probability.max(1), probability.argmax(1) == target
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = np.bincount(which, minlength=BINS)
    sure = np.bincount(which, weights=confidence, minlength=BINS) / np.maximum(rows, 1)
    hit = np.bincount(which, weights=right, minlength=BINS) / np.maximum(rows, 1)
    wanted = np.zeros_like(probability)
    known = target < probability.shape[1]
    wanted[np.flatnonzero(known), target[known]] = 1
    return {
        "ece": float((rows * np.abs(sure - hit)).sum() / rows.sum()),
        "brier": float(((probability - wanted) ** 2).sum(1).mean()),
        "bins": [
            {"rows": int(r), "confidence": float(c), "accuracy": float(h)}
            for r, c, h in zip(rows, sure, hit, strict=True)
        ],
    }
