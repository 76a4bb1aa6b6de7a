"""Late fusion: for each target a weighted sum of the members' outputs. The weights are chosen on rows that no member
was fitted on.

z = z_0 + sum_m w_m (z_m - z_0) with w_m >= 0: z_m are the outputs of member m (log-probabilities of classes, log-odds
of labels, numbers), z_0 is the training prior. This is a logarithmic opinion pool (Genest & Zidek 1986). With all
w_m = 1 it is Bayes' rule for modalities that are independent given the class; smaller weights soften, larger ones
sharpen. A member that doesn't know a row has z_m = z_0 and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .activations import sigmoid, softmax
from .registry import optional
from .types import CLASSES, LABELS, NUMBER, Head, Spec

NETWORK = "network"  # name of a trained network among members that are modalities; no modality may have it
JOINT = "all modalities"  # name of a joint head among heads of modalities; no modality's name has a space
DEVIATION = 0.3  # of the normal prior of a weight around 1 / M: few rows say little, many say all
TIED, TOTAL = 0.6, 0.05  # of numbers from the same inputs: M times a weight's deviation, and the deviation of their sum


def pool_weights(
    spec: Spec, outputs: Sequence[np.ndarray], target: np.ndarray, same_inputs: bool = False
) -> np.ndarray:
    """(H, M) weights of M members for each of H targets, from their outputs (N, C).

    They are the most probable ones (maximum a posteriori) under a normal prior around 1 / M with the standard deviation
    DEVIATION: they minimise the mean log loss plus |w - 1 / M|^2 / (2 N DEVIATION^2). Numbers have normal errors, whose
    variance is that of equal weights. Without a row that has the target the weights are equal.

    ``same_inputs``: all members read the same modality. Their numbers are then estimates of one number, so of numbers
    the prior is narrower, TIED / M around 1 / M, and the sum of the weights is 1 but for TOTAL.
    """
    relative = np.stack(outputs).astype(np.float64) - np.asarray(spec.log_prior)
    priors = _parts(spec, np.asarray(spec.log_prior)[None, None])
    weights = []
    for (head, parts), (_, prior), (_, values) in zip(
        _parts(spec, relative), priors, spec.targets(target), strict=True
    ):
        known = np.asarray(head.known(values)) & (head.kind != CLASSES or values < parts.shape[2])
        weights.append(_weights(head, prior[0], parts[:, known], np.asarray(values)[known], same_inputs))
    return np.stack(weights)


def pool(spec: Spec, weights: np.ndarray, outputs: Sequence[np.ndarray]) -> np.ndarray:
    """(N, C) float32: M outputs (N, C), weighted for each target."""
    prior = np.asarray(spec.log_prior)
    relative = np.stack(outputs).astype(np.float64) - prior
    parts = [np.tensordot(w, part, 1) for w, (_, part) in zip(weights, _parts(spec, relative), strict=True)]
    return (prior + np.concatenate(parts, axis=1)).astype(np.float32)


def _parts(spec: Spec, stacked: np.ndarray) -> list[tuple[Head, np.ndarray]]:
    """(M, N, C) -> per target (M, N, C_h)."""
    ends = np.cumsum([0, *(head.outputs for head in spec.heads)])
    return [(head, stacked[:, :, a:b]) for head, a, b in zip(spec.heads, ends[:-1], ends[1:], strict=True)]


def _weights(head: Head, prior: np.ndarray, parts: np.ndarray, target: np.ndarray, same_inputs: bool) -> np.ndarray:
    """(M,) of one target; prior (1, C_h), parts (M, N, C_h)."""
    even = np.full(len(parts), 1 / len(parts))
    if not len(target):
        return even

    is_tied = same_inputs and head.kind == NUMBER
    scale = 1 / (2 * len(target))
    if head.kind == NUMBER:  # of the mean squared error: twice the variance times the log loss, but for a constant
        scale *= 2 * _loss(head, prior + np.tensordot(even, parts, 1), target)[0]
    strength = scale / (TIED / len(even) if is_tied else DEVIATION) ** 2
    tie = scale / TOTAL**2 if is_tied else 0.0

    def objective(w: np.ndarray) -> tuple[float, np.ndarray]:
        loss, slope = _loss(head, prior + np.tensordot(w, parts, 1), target)
        away = w - even
        penalty = strength * float((away**2).sum()) + tie * float(away.sum()) ** 2
        return loss + penalty, np.tensordot(parts, slope, 2) + 2 * strength * away + 2 * tie * away.sum()

    optimize = optional("scipy.optimize", "train")
    return optimize.minimize(objective, even, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(even)).x


def _loss(head: Head, fused: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean loss, and its slope at every output (N, C_h)."""
    if head.kind == CLASSES:
        p, rows, classes = softmax(fused), np.arange(len(target)), target.astype(np.int64)
        slope = p.copy()
        slope[rows, classes] -= 1
        return -float(np.log(np.maximum(p[rows, classes], 1e-300)).mean()), slope / len(target)
    if head.kind == LABELS:
        known = target >= 0
        loss = np.logaddexp(0, np.where(target > 0, -fused, fused))
        return float(loss[known].mean()), np.where(known, sigmoid(fused) - (target > 0), 0) / known.sum()
    error = fused[:, 0] - target
    return float(np.mean(error**2)), (2 * error / len(target))[:, None]
