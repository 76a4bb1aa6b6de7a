"""More of one of several classes: balanced accuracy, top-k accuracy, and precision, recall and F1 of each class."""

from __future__ import annotations

import numpy as np

from ..types import CLASSES, LABELS, Head
from .metrics import Draws, per_group, ratio

TOP = (3, 5)
MOST = 1000  # classes that are told one by one


def beside(probability: np.ndarray, target: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """(N, C) and (N,) -> metric -> (R + 1,). A class that training never saw (C) has recall 0, and is in no top k."""
    found = {"balanced_accuracy": balanced(probability.argmax(1), target, draws)}
    places, rows = place(probability, target), per_group(np.ones(len(target)), draws) @ draws.weight.T
    for k in TOP:
        if k < probability.shape[1]:
            found[f"top_{k}_accuracy"] = ratio(per_group((places < k).astype(float), draws) @ draws.weight.T, rows)
    return found


def balanced(said: np.ndarray, target: np.ndarray, draws: Draws) -> np.ndarray:
    """(R + 1,): mean recall of the classes that stand in the rows (Brodersen et al. 2010)."""
    _, which = np.unique(target, return_inverse=True)
    classes = int(which.max(initial=-1)) + 1
    if not classes:
        return np.full(len(draws.weight), np.nan)
    true, hits = _by_class(which, np.ones(len(which)), classes, draws), _by_class(which, said == target, classes, draws)
    recall = np.divide(hits, true, out=np.zeros_like(hits), where=true > 0)
    return ratio(recall.sum(0), (true > 0).sum(0).astype(float))


def place(probability: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N,) how many classes a model puts before the true one; of equal ones the first is before the others."""
    known = target < probability.shape[1]
    column = np.where(known, target, 0)
    own = probability[np.arange(len(target)), column][:, None]
    earlier = np.arange(probability.shape[1]) < column[:, None]
    before = ((probability > own) | ((probability == own) & earlier)).sum(1)
    return np.where(known, before, probability.shape[1])


def each(head: Head, answers: list[np.ndarray], target: np.ndarray) -> dict[str, dict[str, float]]:
    """Answers (N, C), one array a seed, of a target of classes or labels -> class -> precision, recall, F1 (means over
    seeds) and support; 0 where there is nothing to divide by."""
    if head.kind not in (CLASSES, LABELS):
        return {}
    true = target > 0 if head.kind == LABELS else target[:, None] == np.arange(head.outputs)
    support = true.sum(0)
    total = np.zeros((3, head.outputs))
    for one in answers:
        said = one > 0.5 if head.kind == LABELS else one.argmax(1)[:, None] == np.arange(head.outputs)
        hits, stated = (said & true).sum(0), said.sum(0)
        total += [_share(hits, stated), _share(hits, support), _share(2 * hits, stated + support)]
    precision, recall, f1 = (total / len(answers)).tolist()
    told = np.sort(np.argsort(-support, kind="stable")[:MOST])
    return {
        head.classes[c]: {"precision": precision[c], "recall": recall[c], "f1": f1[c], "support": int(support[c])}
        for c in told
    }


def _share(hits: np.ndarray, of: np.ndarray) -> np.ndarray:
    return np.divide(hits, of, out=np.zeros(len(hits)), where=of > 0)


def _by_class(which: np.ndarray, values: np.ndarray, classes: int, draws: Draws) -> np.ndarray:
    """(N,) classes and values -> (classes, R + 1) sums in every resample."""
    groups = draws.weight.shape[1]
    sums = np.bincount(which * groups + draws.group, weights=values, minlength=classes * groups)
    return sums.reshape(classes, groups) @ draws.weight.T
