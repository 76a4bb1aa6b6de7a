"""Late fusion: for each target the weighted mean of the modalities' outputs, with weights chosen on validation rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..activations import softmax
from ..registry import optional
from ..types import CLASSES, LABELS, Head, Spec

EVENNESS = 0.01  # pull towards equal weights, in units of the loss: few validation rows say little


def fusion_weights(spec: Spec, outputs: Sequence[np.ndarray], target: np.ndarray) -> np.ndarray:
    """(H, M) weights of M modalities for each of H targets, from their outputs (N, C) on validation rows.

    They are softmax(v), where v minimises the log loss (numbers: the mean squared error in standard deviations) plus
    EVENNESS times the mean of v^2. Without a row that has the target they are equal.
    """
    stacked = np.stack(outputs).astype(np.float64)
    weights = []
    for (head, parts), (_, values) in zip(_parts(spec, stacked), spec.targets(target), strict=True):
        known = np.asarray(head.known(values)) & (head.kind != CLASSES or values < parts.shape[2])
        weights.append(_weights(head, parts[:, known], np.asarray(values)[known]))
    return np.stack(weights)


def fuse(spec: Spec, weights: np.ndarray, outputs: Sequence[np.ndarray]) -> np.ndarray:
    """(N, C) float32: M outputs (N, C), weighted for each target."""
    stacked = np.stack(outputs).astype(np.float64)
    parts = [np.tensordot(w, part, 1) for w, (_, part) in zip(weights, _parts(spec, stacked), strict=True)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _parts(spec: Spec, stacked: np.ndarray) -> list[tuple[Head, np.ndarray]]:
    """(M, N, C) -> per target (M, N, C_h)."""
    ends = np.cumsum([0, *(head.outputs for head in spec.heads)])
    return [(head, stacked[:, :, a:b]) for head, a, b in zip(spec.heads, ends[:-1], ends[1:], strict=True)]


def _weights(head: Head, parts: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(M,) of one target; parts (M, N, C_h)."""
    start = np.zeros(len(parts))
    if not len(target) or len(parts) == 1:
        return softmax(start[None])[0]

    def objective(v: np.ndarray) -> float:
        fused = np.tensordot(softmax(v[None])[0], parts, 1)
        return _loss(head, fused, target) + EVENNESS * float(np.mean(v**2))

    found = optional("scipy.optimize", "train").minimize(objective, start, method="Nelder-Mead")
    return softmax(found.x[None])[0]


def _loss(head: Head, fused: np.ndarray, target: np.ndarray) -> float:
    if head.kind == CLASSES:
        shifted = fused - fused.max(1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        return -float(log_probabilities[np.arange(len(target)), target.astype(np.int64)].mean())
    if head.kind == LABELS:
        known = target >= 0
        signed = np.where(target > 0, fused, -fused)
        return float(np.logaddexp(0, -signed)[known].mean())
    return float(np.mean((fused[:, 0] - target) ** 2))
