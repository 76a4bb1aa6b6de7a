"""Temperature scaling: one number per target that makes confidence mean what it says, without changing an answer.

Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks": softmax(z / T), of labels
sigmoid(z / T), where T has the least log loss on rows that the model wasn't trained on. Log loss is convex in 1/T, so
T is where its slope is zero. Targets are smoothed by one row's worth (Platt 1999): a model that is right on every
validation row gets no infinite confidence. An export holds temperatures for each subset of the modalities, since a
model that lost a modality is unsure in another way than one that has all. NumPy alone, for the predictor and the
scores alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .activations import sigmoid, softmax
from .types import CLASSES, LABELS, Head, Spec

SCALED = (CLASSES, LABELS)  # kinds of targets that have a temperature
LOW, HIGH = 0.05, 20.0  # of T
STEPS = 60  # halvings of the interval of log T
NOTHING = "nothing"  # the subset without a modality
Temperatures = Mapping[str, Mapping[str, float]]  # modalities that are present, with a + between them -> target -> T


def fit(spec: Spec, logits: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """(N, C) logits and targets of held-out rows -> target's name -> T; 1.0 of a number or a
    sequence, or without a target."""
    temperatures = {}
    for (head, part), (_, labels) in zip(spec.parts(logits), spec.targets(target), strict=True):
        has_label = head.known(labels) if head.kind != CLASSES else head.known(labels) & (labels < head.outputs)
        usable = head.kind in SCALED and bool(has_label.any())
        temperatures[head.name] = _best(head, part[has_label].astype(np.float64), labels[has_label]) if usable else 1.0
    return temperatures


def scaled(heads: Sequence[Head], logits: np.ndarray, temperatures: Mapping[str, float]) -> np.ndarray:
    """(N, C) logits of all heads -> logits / T, head by head; other kinds, and heads not named, stay as they are."""
    if len(heads) == 1:  # one division: a single record's answer is a matter of microseconds
        only = heads[0]
        return logits if only.kind not in SCALED else logits / temperatures.get(only.name, 1.0)
    divided, at = logits.copy(), 0
    for head in heads:
        if head.kind in SCALED:
            divided[:, at : at + head.outputs] /= temperatures.get(head.name, 1.0)
        at += head.outputs
    return divided


def subset_name(names: Sequence[str], present: Sequence[bool]) -> str:
    """A subset's name: its modalities in the model's order, joined by +."""
    return "+".join(n for n, is_present in zip(names, present, strict=True) if is_present) or NOTHING


def calibrated(
    heads: Sequence[Head], logits: np.ndarray, names: Sequence[str], present: np.ndarray, temperatures: Temperatures
) -> np.ndarray:
    """(B, C) logits of rows with present (B, M) -> logits / T; logits of a subset without temperatures are
    unchanged."""
    if not temperatures:
        return logits
    kept, divided = logits, np.empty_like(logits)
    subsets, which = np.unique(present, axis=0, return_inverse=True)
    for number, subset in enumerate(subsets.tolist()):
        rows = which.reshape(-1) == number
        subset_temperatures = temperatures.get(subset_name(names, subset))
        divided[rows] = scaled(heads, kept[rows], subset_temperatures) if subset_temperatures else kept[rows]
    return divided


def calibrated_row(
    heads: Sequence[Head],
    logits: list[float],
    names: Sequence[str],
    present: Sequence[bool],
    temperatures: Temperatures,
) -> list[float]:
    """One row (C,) of :func:`calibrated`, in plain Python."""
    used = temperatures.get(subset_name(names, present)) if temperatures else None
    if not used:
        return logits
    divided: list[float] = []
    for head in heads:
        part = logits[len(divided) : len(divided) + head.outputs]
        divisor = used.get(head.name, 1.0) if head.kind in SCALED else 1.0
        divided += [z / divisor for z in part]
    return divided


def _best(head: Head, logits: np.ndarray, target: np.ndarray) -> float:
    """T by halving: the slope of the log loss in 1/T grows with 1/T."""
    smooth = 1 / (len(logits) + 2)
    if head.kind == LABELS:
        soft_labels = (1 - smooth) * (target > 0) + smooth / 2
        expected_logit = (soft_labels * logits).sum(1)
    else:
        expected_logit = (1 - smooth) * logits[np.arange(len(logits)), target] + smooth * logits.mean(1)
    likely = sigmoid if head.kind == LABELS else softmax
    low, high = np.log(LOW), np.log(HIGH)
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        slope = ((likely(logits / np.exp(middle)) * logits).sum(1) - expected_logit).mean()
        low, high = (middle, high) if slope > 0 else (low, middle)  # too sure: a higher T
    return float(np.exp(0.5 * (low + high)))
