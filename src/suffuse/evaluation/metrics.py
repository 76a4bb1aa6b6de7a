"""Metrics of every kind of target, on the rows themselves and on bootstrap resamples of them.

classes  accuracy, macro-F1, log loss, balanced accuracy, top-k accuracy
labels   micro-F1 and macro-F1 at probability 1/2, log loss, exact match
number   R2, RMSE and MAE in the unit of the target
tokens   word accuracy, word error rate and its parts, character error rate, exact match

Groups of rows (all questions about a picture) are drawn with replacement, and every model is scored on the same draws.
Shapes: N rows, C classes, G groups, R resamples. A metric is an array (R + 1,) whose first value is that of the rows
themselves. Intervals: :mod:`suffuse.evaluation.intervals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..activations import MAIN, THRESHOLD, main_metric
from ..types import CLASSES, LABELS, TOKENS, Head, Spec
from .intervals import Range, Size, bounds, summary
from .transcript_metrics import transcript_metrics

TOP_K = (3, 5)
MAX_CLASSES = 1000  # classes with metrics of their own
Metrics = dict[str, np.ndarray]  # metric -> (R + 1,)


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

    def of(self, rows: np.ndarray) -> Draws:
        """The same resamples, restricted to some of the rows: an (N,) bool mask, or positions."""
        return Draws(self.group[rows], self.weight, self.confidence)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(N,) -> (R + 1,): the sum over the rows of every resample."""
        return per_group(values.astype(float), self) @ self.weight.T

    def means(self, values: np.ndarray) -> np.ndarray:
        """(N,) -> (R + 1,): the mean over the rows of every resample."""
        return ratio(self.sums(values), self.sums(np.ones(len(values))))


def draw(group: np.ndarray, resamples: int, confidence: float, seed: int = 0) -> Draws:
    """Draw groups with replacement; the same draws serve every model."""
    _, group = np.unique(group, return_inverse=True)
    count = int(group.max()) + 1
    random = np.random.default_rng(seed)
    weight = random.multinomial(count, np.full(count, 1 / count), size=resamples).astype(float)
    return Draws(group, np.concatenate([np.ones((1, count)), weight]), confidence)


def per_group(values: np.ndarray, draws: Draws) -> np.ndarray:
    """(N,) -> (G,) sums."""
    return np.bincount(draws.group, weights=values, minlength=draws.weight.shape[1])


def ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Elementwise quotient; NaN where ``count`` is 0: a resample may lack all rows with a label."""
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def measure(spec: Spec, predictions: np.ndarray, target: np.ndarray, draws: Draws) -> Metrics:
    """Predictions (N, C), as :func:`suffuse.activations.activate` gives them, and targets -> metric -> (R + 1,).

    The main metric comes first. With several targets a metric of one target is named ``target:metric``, and the plain
    names are means over the targets that have it.
    """
    by_target: dict[str, Metrics] = {}
    for (head, part), (_, labels) in zip(spec.parts(predictions), spec.targets(target), strict=True):
        known = head.known(labels)
        by_target[head.name] = head_metrics(head, part[known], labels[known], draws.of(known))
    if len(by_target) == 1:
        return next(iter(by_target.values()))
    kinds, main = {head.name: head.kind for head in spec.heads}, main_metric(spec.heads)
    score = np.mean([metrics[MAIN[kinds[name]]] for name, metrics in by_target.items()], axis=0)
    names = dict.fromkeys(metric for metrics in by_target.values() for metric in metrics)
    means = {n: np.mean([metrics[n] for metrics in by_target.values() if n in metrics], axis=0) for n in names}
    named = {f"{name}:{metric}": values for name, metrics in by_target.items() for metric, values in metrics.items()}
    return {main: score, **{name: values for name, values in means.items() if name != main}, **named}


def main_score(spec: Spec, predictions: np.ndarray, target: np.ndarray, draws: Draws) -> np.ndarray:
    """The main metric alone (R + 1,), with the same bits as :func:`measure` gives."""
    scores = []
    for (head, part), (_, labels) in zip(spec.parts(predictions), spec.targets(target), strict=True):
        known = head.known(labels)
        if head.kind == CLASSES:
            scores.append(draws.of(known).means(part[known].argmax(1) == labels[known]))
        else:
            scores.append(head_metrics(head, part[known], labels[known], draws.of(known))[MAIN[head.kind]])
    return scores[0] if len(scores) == 1 else np.mean(scores, axis=0)


def summarise(seeds: Sequence[Metrics], draws: Draws) -> dict[str, dict]:
    """The metrics of every seed -> metric -> mean over the seeds, interval, and the value of each seed."""
    size = draws.size
    return {
        metric: summary([metrics[metric] for metrics in seeds], draws.confidence, bounds(metric), size)
        for metric in seeds[0]
    }


def mean_with_interval(seeds: Sequence[np.ndarray], draws: Draws, within: Range) -> dict:
    """Values of the rows (N,), one array per seed -> their mean with its interval."""
    return summary([draws.means(values) for values in seeds], draws.confidence, within)


def head_metrics(head: Head, predictions: np.ndarray, target: np.ndarray, draws: Draws) -> Metrics:
    """The metrics of one target, on rows that all have it."""
    if head.kind == CLASSES:
        return class_metrics(predictions, target, draws) | ranked_class_metrics(predictions, target, draws)
    if head.kind == LABELS:
        return label_metrics(predictions, target, draws)
    if head.kind == TOKENS:
        return transcript_metrics(head, predictions, target, draws)
    return number_metrics(predictions[:, 0], target, head, draws)


def class_metrics(probability: np.ndarray, target: np.ndarray, draws: Draws) -> Metrics:
    """(N, C) and (N,) -> accuracy, macro-F1, log loss. A class that training never saw (C) is always an error."""
    predicted, classes = probability.argmax(1), probability.shape[1]
    known = target < classes
    loss = np.zeros(len(target))
    loss[known] = -np.log(np.clip(probability[known, target[known]], 1e-12, 1))
    return {
        "accuracy": draws.means(predicted == target),
        "macro_f1": macro_f1(predicted, target, classes, draws),
        "log_loss": ratio(draws.sums(loss), draws.sums(known)),
    }


def macro_f1(predicted: np.ndarray, target: np.ndarray, classes: int, draws: Draws) -> np.ndarray:
    """(R + 1,): mean of 2 tp / (predicted + true) over the classes that occur in the rows."""
    total, counted = np.zeros(len(draws.weight)), np.zeros(len(draws.weight))
    for label in range(classes + 1):
        true, positive = target == label, predicted == label
        if true.any() or positive.any():
            hits, both = draws.sums(true & positive), draws.sums(true.astype(float) + positive)
            total += np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
            counted += both > 0
    return ratio(total, counted)


def ranked_class_metrics(probability: np.ndarray, target: np.ndarray, draws: Draws) -> Metrics:
    """(N, C) and (N,) -> balanced and top-k accuracy. A class that training never saw (C) has recall 0, and is in no
    top k."""
    ranks = true_class_rank(probability, target)
    top = {f"top_{k}_accuracy": draws.means(ranks < k) for k in TOP_K if k < probability.shape[1]}
    return {"balanced_accuracy": balanced_accuracy(probability.argmax(1), target, draws), **top}


def balanced_accuracy(predicted: np.ndarray, target: np.ndarray, draws: Draws) -> np.ndarray:
    """(R + 1,): mean recall of the classes that occur in the rows (Brodersen et al. 2010)."""
    _, index = np.unique(target, return_inverse=True)
    classes, groups = int(index.max(initial=-1)) + 1, draws.weight.shape[1]
    if not classes:
        return np.full(len(draws.weight), np.nan)

    def sums_by_class(values: np.ndarray) -> np.ndarray:
        """(N,) -> (classes, R + 1)."""
        sums = np.bincount(index * groups + draws.group, weights=values, minlength=classes * groups)
        return sums.reshape(classes, groups) @ draws.weight.T

    true, hits = sums_by_class(np.ones(len(index))), sums_by_class(predicted == target)
    recall = np.divide(hits, true, out=np.zeros_like(hits), where=true > 0)
    return ratio(recall.sum(0), (true > 0).sum(0).astype(float))


def true_class_rank(probability: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N,) how many classes a model ranks before the true one; ties are broken by the order of the classes."""
    known = target < probability.shape[1]
    column = np.where(known, target, 0)
    true = probability[np.arange(len(target)), column][:, None]
    earlier = np.arange(probability.shape[1]) < column[:, None]
    rank = ((probability > true) | ((probability == true) & earlier)).sum(1)
    return np.where(known, rank, probability.shape[1])


def label_metrics(probability: np.ndarray, target: np.ndarray, draws: Draws) -> Metrics:
    """(N, C) twice -> micro-F1, macro-F1 over the labels that occur, mean binary log loss, exact match."""
    predicted, true = probability > THRESHOLD, target > 0
    hits = np.stack([draws.sums(predicted[:, c] & true[:, c]) for c in range(predicted.shape[1])])
    both = np.stack([draws.sums(predicted[:, c].astype(float) + true[:, c]) for c in range(predicted.shape[1])])
    f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    p = np.clip(np.where(true, probability, 1 - probability).astype(float), 1e-12, 1)
    ones = np.ones(len(draws.weight))
    return {
        "micro_f1": np.divide(2 * hits.sum(0), both.sum(0), out=ones, where=both.sum(0) > 0),
        "macro_f1": f1.sum(0) / np.maximum((both > 0).sum(0), 1),
        "log_loss": draws.means(-np.log(p).mean(1)),
        "exact_match": draws.means((predicted == true).all(1)),
    }


def number_metrics(value: np.ndarray, target: np.ndarray, head: Head, draws: Draws) -> Metrics:
    """(N,) in the unit of the target and (N,) standardised -> R2, RMSE, MAE."""
    true = target.astype(float) * head.std + head.mean
    error = value.astype(float) - true
    square, mean = draws.means(error**2), draws.means(true - head.mean)
    variance = draws.means((true - head.mean) ** 2) - mean**2
    return {
        "r2": 1 - np.divide(square, variance, out=np.full_like(square, np.nan), where=variance > 0),
        "rmse": np.sqrt(square),
        "mae": draws.means(np.abs(error)),
    }


def per_class_metrics(head: Head, seeds: list[np.ndarray], target: np.ndarray) -> dict[str, dict[str, float]]:
    """Predictions (N, C), one array per seed, of a target of classes or labels -> class -> precision, recall, F1 (means
    over the seeds) and support; 0 where there is nothing to divide by. Empty for a number."""
    if head.kind not in (CLASSES, LABELS):
        return {}
    true = target > 0 if head.kind == LABELS else target[:, None] == np.arange(head.outputs)
    support = true.sum(0)
    total = np.zeros((3, head.outputs))
    for probability in seeds:
        if head.kind == LABELS:
            predicted = probability > THRESHOLD
        else:
            predicted = probability.argmax(1)[:, None] == np.arange(head.outputs)
        hits, positive = (predicted & true).sum(0), predicted.sum(0)
        pairs = ((hits, positive), (hits, support), (2 * hits, positive + support))
        total += [np.divide(a, b, out=np.zeros(len(a)), where=b > 0) for a, b in pairs]
    precision, recall, f1 = (total / len(seeds)).tolist()
    largest = np.sort(np.argsort(-support, kind="stable")[:MAX_CLASSES])
    return {
        head.classes[c]: {"precision": precision[c], "recall": recall[c], "f1": f1[c], "support": int(support[c])}
        for c in largest
    }
