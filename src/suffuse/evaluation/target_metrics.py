"""Metrics of every kind of target, with intervals; of several targets each, and their mean.

Labels: micro- and macro-F1 at probability 1/2, log loss. Numbers: R2, RMSE and MAE in the target's own unit. The main
metric (:func:`suffuse.activations.main_metric`) comes first.
"""

from __future__ import annotations

import numpy as np

from ..activations import MAIN, THRESHOLD, main_metric
from ..types import CLASSES, LABELS, Head, Spec
from .class_metrics import beside
from .metrics import Draws, metrics, per_group, ratio

Measured = dict[str, np.ndarray]  # metric -> (R + 1,)


def measure(spec: Spec, answers: np.ndarray, target: np.ndarray, draws: Draws) -> Measured:
    """Answers (N, C), as :func:`suffuse.activations.activate` gives them, and targets -> metric -> (R + 1,).

    With several targets a metric of one is called ``target:metric``; the plain names are means over those that have it.
    """
    found: dict[str, Measured] = {}
    for (head, part), (_, wanted) in zip(spec.parts(answers), spec.targets(target), strict=True):
        known = head.known(wanted)
        some = draws.of(known)
        found[head.name] = one(head, part[known], wanted[known], some)
    if len(found) == 1:
        return next(iter(found.values()))
    kinds = {head.name: head.kind for head in spec.heads}
    main = np.mean([m[MAIN[kinds[name]]] for name, m in found.items()], axis=0)
    names = dict.fromkeys(n for m in found.values() for n in m)
    means = {n: np.mean([m[n] for m in found.values() if n in m], axis=0) for n in names}
    each = {f"{name}:{n}": values for name, m in found.items() for n, values in m.items()}
    return {main_metric(spec.heads): main, **{n: v for n, v in means.items() if n != main_metric(spec.heads)}, **each}


def judged(spec: Spec, answers: np.ndarray, target: np.ndarray, draws: Draws) -> np.ndarray:
    """The main metric alone (R + 1,), the same bits as :func:`measure` gives."""
    found = []
    for (head, part), (_, wanted) in zip(spec.parts(answers), spec.targets(target), strict=True):
        known = head.known(wanted)
        some = draws.of(known)
        if head.kind == CLASSES:
            right = (part[known].argmax(1) == wanted[known]).astype(float)
            found.append(ratio(_total(right, some), _total(np.ones_like(right), some)))
        else:
            found.append(one(head, part[known], wanted[known], some)[MAIN[head.kind]])
    return found[0] if len(found) == 1 else np.mean(found, axis=0)


def one(head: Head, answers: np.ndarray, target: np.ndarray, draws: Draws) -> Measured:
    """One target's metrics, on the rows that have it."""
    if head.kind == CLASSES:
        return metrics(answers, target, draws) | beside(answers, target, draws)
    return of_labels(answers, target, draws) if head.kind == LABELS else of_number(answers[:, 0], target, head, draws)


def of_labels(probability: np.ndarray, target: np.ndarray, draws: Draws) -> Measured:
    """(N, C) twice -> micro-F1, macro-F1 over labels that stand somewhere, mean binary log loss."""
    said, true = probability > THRESHOLD, target > 0
    hits = np.stack([_total(said[:, c] & true[:, c], draws) for c in range(said.shape[1])])
    both = np.stack([_total(said[:, c].astype(float) + true[:, c], draws) for c in range(said.shape[1])])
    each = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    rows = _total(np.ones(len(said)), draws)
    p = np.clip(np.where(true, probability, 1 - probability).astype(float), 1e-12, 1)
    return {
        "micro_f1": np.divide(2 * hits.sum(0), both.sum(0), out=np.ones_like(rows), where=both.sum(0) > 0),
        "macro_f1": each.sum(0) / np.maximum((both > 0).sum(0), 1),
        "log_loss": ratio(_total(-np.log(p).mean(1), draws), rows),
        "exact_match": ratio(_total((said == true).all(1), draws), rows),
    }


def of_number(value: np.ndarray, target: np.ndarray, head: Head, draws: Draws) -> Measured:
    """(N,) in the target's unit and (N,) standardised -> R2, RMSE, MAE."""
    true = target.astype(float) * head.std + head.mean
    gap, rows = value.astype(float) - true, _total(np.ones(len(true)), draws)
    square, mean = ratio(_total(gap**2, draws), rows), ratio(_total(true - head.mean, draws), rows)
    spread = ratio(_total((true - head.mean) ** 2, draws), rows) - mean**2
    return {
        "r2": 1 - np.divide(square, spread, out=np.full_like(square, np.nan), where=spread > 0),
        "rmse": np.sqrt(square),
        "mae": ratio(_total(np.abs(gap), draws), rows),
    }


def _total(values: np.ndarray, draws: Draws) -> np.ndarray:
    """(N,) -> (R + 1,): the sum in every resample."""
    return per_group(values.astype(float), draws) @ draws.weight.T
