"""What the teacher's soft labels hold beyond the hard labels, read from the knowledge store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.columns import SPLITS
from ..files import read_array
from ..knowledge.teacher_logits import stored_logits
from ..losses import load_loss
from ..registry import is_loaded
from ..run import Run
from ..subsample import evenly_spaced
from ..types import CLASSES, Head
from .confusion import MAX_MATRIX_CLASSES, soft_label_matrix
from .dataset_view import DatasetView
from .formatting import short

MAX_LOGITS = 20_000_000  # that are read; of a larger store, evenly spaced rows
CHUNK = 2_000_000  # logits at a time
NUM_EXAMPLES = 6
EXAMPLES_PER_CLASS = 2
MAX_LISTED = 30


@dataclass(frozen=True)
class SoftLabels:
    """Soft labels of one target on R rows of the store; C classes."""

    index: np.ndarray  # (R,) position in the store
    label: np.ndarray  # (R,)
    entropy: np.ndarray  # (R,) bits
    predicted: np.ndarray  # (R,)
    means: np.ndarray  # (C, C) mean soft label by true class
    rows: np.ndarray  # (C,) rows of each true class

    @property
    def known(self) -> np.ndarray:
        """(R,) bool, rows with a label of a known class."""
        return (self.label >= 0) & (self.label < len(self.rows))


def soft_labels(run: Run, dataset: DatasetView) -> dict | None:
    """Of the first target of classes: entropy, the mean soft label of every class, and rows with the softest labels.
    None where no target is of classes."""
    spec = dataset.columns.spec
    first = next((index for index, head in enumerate(spec.heads) if head.kind == CLASSES), None)
    if first is None:
        return None
    head, logits = spec.parts(stored_logits(run.path("knowledge"), spec))[first]
    labels = spec.targets(read_array(run.path("knowledge", "label.npy"), "r"))[first][1]
    temperature = soft_label_temperature(run)
    soft = read_soft_labels(logits, labels, temperature)
    correct = soft.known & (soft.predicted == soft.label)
    bits, matrix = float(soft.entropy.mean()), len(head.classes) <= MAX_MATRIX_CLASSES
    return {
        "target": head.name if len(spec.heads) > 1 else "",
        "temperature": f"{temperature:g}",
        "rows": len(soft.index),
        "all_rows": len(labels),
        "bits": bits,
        "perplexity": 2**bits,
        "max_bits": float(np.log2(logits.shape[1])),
        "labelled": int(soft.known.sum()),
        "differs": int((soft.known & ~correct).sum()),
        "examples": _examples(run, dataset, (head, soft, correct), logits, temperature),
        "matrix": soft_label_matrix(soft.means, head.classes, soft.rows) if matrix else None,
        "list": [] if matrix else softest_classes(soft, head.classes),
    }


def soft_label_temperature(run: Run) -> float:
    """Of the recipe's first loss on soft labels that has one; 1 where none has."""
    known = [loss for loss in run.recipe.distill.losses.values() if is_loaded(loss)]
    losses = [loss for loss in known if CLASSES in load_loss(loss.kind).HEADS]
    temperatures = (loss.get("temperature") for loss in losses)
    return next((float(temperature) for temperature in temperatures if temperature), 1.0)


def soften(logits: np.ndarray, temperature: float) -> np.ndarray:
    """(R, C) float16 logits -> softmax at a temperature, float32."""
    scaled = logits.astype(np.float32) / temperature
    exponentials = np.exp(scaled - scaled.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def read_soft_labels(logits: np.ndarray, labels: np.ndarray, temperature: float) -> SoftLabels:
    """One pass over the store, a chunk at a time."""
    count, classes = logits.shape
    index = evenly_spaced(count, max(MAX_LOGITS // classes, 1))
    index = index[~np.isnan(logits[index, 0])]  # rows with a prediction of the teacher
    label = labels[index].astype(np.int64)
    entropy, predicted = np.zeros(len(index)), np.zeros(len(index), dtype=np.int64)
    sums = np.zeros((classes, classes))
    step = max(1, CHUNK // classes)
    for start in range(0, len(index), step):
        chunk = slice(start, start + step)
        soft = soften(logits[index[chunk]], temperature)
        entropy[chunk] = -(soft * np.log2(np.maximum(soft, 1e-30))).sum(1)
        predicted[chunk] = soft.argmax(1)
        order = np.argsort(label[chunk], kind="stable")
        values, first = np.unique(label[chunk][order], return_index=True)
        by_label, known = np.add.reduceat(soft[order], first, axis=0), (values >= 0) & (values < classes)
        sums[values[known]] += by_label[known]
    rows = np.bincount(label[(label >= 0) & (label < classes)], minlength=classes)
    return SoftLabels(index, label, entropy, predicted, sums / np.maximum(rows, 1)[:, None], rows)


def softest_classes(soft: SoftLabels, classes: Sequence[str]) -> list[dict]:
    """The classes with the softest labels, and the two classes closest to each."""
    own = np.diag(soft.means)
    lines = []
    for c in [c for c in np.argsort(own, kind="stable") if soft.rows[c]][:MAX_LISTED]:
        closest = [k for k in np.argsort(-soft.means[c], kind="stable") if k != c][:2]
        near = [{"name": classes[k], "share": float(soft.means[c, k])} for k in closest]
        lines.append({"name": classes[c], "rows": int(soft.rows[c]), "own": float(own[c]), "near": near})
    return lines


def _examples(
    run: Run,
    dataset: DatasetView,
    target: tuple[Head, SoftLabels, np.ndarray],
    logits: np.ndarray,
    temperature: float,
) -> list[dict]:
    """Training rows that the teacher gets right and is least sure of: highest entropy first, few of a class."""
    head, soft, correct = target
    keys = read_array(run.path("knowledge", "key.npy"), "r")
    by_class, examples, candidates = Counter[int](), [], np.flatnonzero(correct)
    for r in candidates[np.argsort(-soft.entropy[candidates], kind="stable")]:
        label = int(soft.label[r])
        if by_class[label] >= EXAMPLES_PER_CLASS:
            continue
        rows = np.flatnonzero(dataset.columns.key == keys[soft.index[r]])
        row = int(rows[0]) if len(rows) else -1
        if row < 0 or SPLITS[dataset.columns.split[row]] != "train":
            continue
        by_class[label] += 1
        probabilities = soften(logits[soft.index[r]][None], temperature)[0]
        likeliest = np.argsort(-probabilities, kind="stable")[:3]
        examples.append(
            {
                "id": dataset.id(row),
                "label": short(head.classes[label]) if len(dataset.columns.spec.heads) > 1 else dataset.label(row),
                "cells": dataset.cells(row),
                "bars": [{"name": head.classes[c], "share": float(probabilities[c])} for c in likeliest],
            }
        )
        if len(examples) == NUM_EXAMPLES:
            break
    return examples
