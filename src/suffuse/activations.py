"""Logits -> answers, target by target, in NumPy: for the predictor, the scores and the report alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .types import CLASSES, LABELS, NUMBER, TOKENS, Head

# what a kind of target is judged by; higher is better
MAIN = {CLASSES: "accuracy", LABELS: "micro_f1", NUMBER: "r2", TOKENS: "word_accuracy"}
THRESHOLD = 0.5  # a label's probability from which it is said


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, C) -> probabilities."""
    shifted = logits - np.maximum.reduce(logits, 1, keepdims=True)
    np.exp(shifted, out=shifted)
    return np.divide(shifted, np.add.reduce(shifted, 1, keepdims=True), out=shifted)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """(N, C) -> the probability of each label by itself."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def activate(heads: Sequence[Head], logits: np.ndarray) -> np.ndarray:
    """(N, C) logits of all heads -> probabilities of classes, of labels and of each frame's units, numbers in their own
    unit."""
    if len(heads) == 1 and heads[0].kind == CLASSES:
        return softmax(logits)
    outputs, at = [], 0
    for head in heads:
        part = logits[:, at : at + head.outputs]
        if head.kind == NUMBER:
            outputs.append(part * head.std + head.mean)
        elif head.kind == TOKENS:
            outputs.append(softmax(part.reshape(-1, head.frame_outputs)).reshape(part.shape))
        else:
            outputs.append(softmax(part) if head.kind == CLASSES else sigmoid(part))
        at += head.outputs
    return np.concatenate(outputs, axis=1)


def activate_row(heads: Sequence[Head], logits: Sequence[float]) -> list[float]:
    """One row (C,) of :func:`activate`, in plain Python: beside a small network, NumPy's calls would take longer than
    what they compute. Rounded as float64, where ``activate`` keeps the type of its logits."""
    outputs: list[float] = []
    for head in heads:
        part = logits[len(outputs) : len(outputs) + head.outputs]
        if head.kind == NUMBER:
            outputs += [z * head.std + head.mean for z in part]
        elif head.kind == CLASSES:
            largest = max(part)
            powers = [math.exp(z - largest) for z in part]
            total = sum(powers)
            outputs += [power / total for power in powers]
        elif head.kind == TOKENS:
            frames = np.asarray(part, dtype=np.float64).reshape(-1, head.frame_outputs)
            outputs += softmax(frames).ravel().tolist()
        else:
            small = [math.exp(-abs(z)) for z in part]
            outputs += [(1 if z >= 0 else e) / (1 + e) for z, e in zip(part, small, strict=True)]
    return outputs


def in_units(logits: Any, source_heads: Sequence[Head], target_heads: Sequence[Head]) -> Any:
    """Outputs (N, C) of NumPy or torch whose numbers are standardised by ``source_heads`` -> by ``target_heads``."""
    facts = [(a.std / b.std, (a.mean - b.mean) / b.std) if a.kind == NUMBER else (1.0, 0.0)
             for a, b in zip(source_heads, target_heads, strict=True) for _ in range(a.outputs)]  # fmt: skip
    if all(fact == (1.0, 0.0) for fact in facts):
        return logits
    scale, shift = np.array(facts, dtype=np.float32).T
    if isinstance(logits, np.ndarray):
        return logits * scale + shift
    return logits * logits.new_tensor(scale.tolist()) + logits.new_tensor(shift.tolist())


def main_metric(heads: Sequence[Head]) -> str:
    """The metric that a model is selected and compared by: of its kind of target, or the mean over targets."""
    kinds = {head.kind for head in heads}
    return MAIN[heads[0].kind] if len(kinds) == 1 else "score"
