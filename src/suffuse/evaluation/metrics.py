"""Accuracy, macro-F1 and log loss on the rows and on resamples of them.

Groups of rows (all questions of a picture) are drawn with replacement; a difference of two models is taken on the same
draws. What becomes of them: :mod:`suffuse.evaluation.intervals` and :mod:`suffuse.evaluation.verdict`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .intervals import Size

__all__ = ["Draws", "Size", "draw", "macro_f1", "metrics", "per_group", "ratio"]


@dataclass(frozen=True)
class Draws:
    """Resamples: how often each group was drawn."""

    group: np.ndarray  # (N,) int64, 0..G-1
    weight: np.ndarray  # (R + 1, G) float, the first row is the data itself
    confidence: float

    @property
    def size(self) -> Size:
        """Rows and groups that are drawn from."""
        return Size.of(self.group)

    def of(self, where: np.ndarray) -> Draws:
        """The same resamples, of some of the rows: (N,) bool, or their places."""
        return Draws(self.group[where], self.weight, self.confidence)


def draw(group: np.ndarray, resamples: int, confidence: float, seed: int = 0) -> Draws:
    """Draw groups with replacement; the same draws serve every model."""
    _, group = np.unique(group, return_inverse=True)
    count = int(group.max()) + 1
    random = np.random.default_rng(seed)
    weight = random.multinomial(count, np.full(count, 1 / count), size=resamples).astype(float)
    return Draws(group, np.concatenate([np.ones((1, count)), weight]), confidence)


def metrics(probability: np.ndarray, target: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """(N, C) and (N,) -> metric -> (R + 1,). A label that training never saw (C) is always an error."""
    predicted, classes = probability.argmax(1), probability.shape[1]
    right = (predicted == target).astype(float)
    known = target < classes
    loss = np.zeros(len(target))
    loss[known] = -np.log(np.clip(probability[known, target[known]], 1e-12, 1))
    rows = per_group(np.ones_like(right), draws) @ draws.weight.T
    seen = per_group(known.astype(float), draws) @ draws.weight.T
    total = per_group(loss, draws) @ draws.weight.T
    return {
        "accuracy": ratio(per_group(right, draws) @ draws.weight.T, rows),
        "macro_f1": macro_f1(predicted, target, classes, draws),
        "log_loss": ratio(total, seen),
    }


def macro_f1(predicted: np.ndarray, target: np.ndarray, classes: int, draws: Draws) -> np.ndarray:
    """(R + 1,): mean of 2 tp / (predicted + true) over the classes that stand in the rows."""
    total = np.zeros(len(draws.weight))
    counted = np.zeros(len(draws.weight))
    for label in range(classes + 1):
        true, said = target == label, predicted == label
        if not (true.any() or said.any()):
            continue
        hit = per_group((true & said).astype(float), draws) @ draws.weight.T
        both = per_group(true.astype(float) + said, draws) @ draws.weight.T
        total += np.divide(2 * hit, both, out=np.zeros_like(hit), where=both > 0)
        counted += both > 0
    return ratio(total, counted)


def ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Elementwise; nan where there is nothing to score: few rows may all be missing from a resample."""
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def per_group(values: np.ndarray, draws: Draws) -> np.ndarray:
    """(N,) -> (G,) sums."""
    return np.bincount(draws.group, weights=values, minlength=draws.weight.shape[1])
