"""Confusion matrices of classes, and precision and recall of labels: teacher and exported student on the test rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..types import CLASSES, LABELS
from .formatting import percent, short, two_decimals
from .i18n import t
from .stored_predictions import TargetPredictions, of_kind

MAX_MATRIX_CLASSES = 30  # above this a matrix is unreadable; the largest entries are listed
MAX_PAIRS = 20  # of those
MAX_DETAILED = 3  # targets that have matrices; of further ones some pairs are listed
FURTHER_PAIRS = 5
MAX_LABELS = 40
UNSEEN = "(never in training)"
MODELS = {"teacher": "Teacher", "export": "Exported student"}


def confusion(predictions: Sequence[TargetPredictions]) -> list[dict]:
    """For each target of classes: counts, as matrices or as the most confused pairs."""
    targets = of_kind(predictions, CLASSES)
    return [_of_classes(target, detailed=n < MAX_DETAILED) for n, target in enumerate(targets)]


def _of_classes(predictions: TargetPredictions, detailed: bool) -> dict:
    classes, known = predictions.head.classes, predictions.known
    target = predictions.target[known]
    counts = {m: count_matrix(target, predictions.predicted(m)[known], len(classes)) for m in MODELS}
    wrong = {model: int(c.sum() - np.trace(c)) for model, c in counts.items()}
    facts = {"name": predictions.head.name, "rows": int(known.sum()), "wrong": wrong, "matrices": [], "pairs": []}
    if len(classes) > MAX_MATRIX_CLASSES or not detailed:
        limit = MAX_PAIRS if detailed else FURTHER_PAIRS
        return facts | {"pairs": confused_pairs(counts["teacher"], counts["export"], classes, limit)}
    names = row_names(classes, counts["teacher"])
    shares = {model: c / np.maximum(c.sum(1, keepdims=True), 1) for model, c in counts.items()}
    matrices = [
        shaded_matrix(t(title), names, classes, shares[model], _row_counts(counts[model]))
        for model, title in MODELS.items()
    ]
    difference = shares["export"] - shares["teacher"]
    cell_title = _row_counts(counts["export"] - counts["teacher"], "+")
    title = t("Exported student less teacher, in points")
    return facts | {"matrices": [*matrices, shaded_matrix(title, names, classes, difference, cell_title, "+")]}


def count_matrix(target: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) rows by true and predicted class; one more row where a label was never seen in training."""
    rows = classes + int((target == classes).any())
    return np.bincount(target * classes + predicted, minlength=rows * classes).reshape(rows, classes)


def row_names(classes: Sequence[str], counts: np.ndarray) -> list[str]:
    """The true classes of a matrix's rows."""
    return [*classes, t(UNSEEN)][: len(counts)]


def shaded_matrix(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: np.ndarray,
    cell_title: Callable[[int, int], str],
    sign: str = "",
) -> dict:
    """A matrix of shares -> cells with a percentage, a shade and a tooltip."""
    largest = max(float(np.abs(values).max()), 1e-9)
    body = [
        {
            "name": name,
            "cells": [
                {
                    "text": cell_text(values[r, c], sign),
                    "depth": f"{abs(values[r, c]) / largest:.2f}",
                    "tone": "less" if values[r, c] < 0 else "more",
                    "diagonal": r == c,
                    "title": f"{short(name, 30)} → {short(columns[c], 30)}: {cell_title(r, c)}",
                }
                for c in range(len(columns))
            ],
        }
        for r, name in enumerate(rows)
    ]
    return {"title": title, "columns": list(columns), "rows": body}


def cell_text(value: float, sign: str = "") -> str:
    """A share in percent, without the unit; empty for 0, ``<1`` below half a percent."""
    if value == 0:
        return ""
    if abs(value) < 0.005 and not sign:
        return "<1"
    return f"{100 * value:{sign}.{0 if abs(value) >= 0.0095 or not sign else 1}f}".replace("-", "−")


def _row_counts(counts: np.ndarray, sign: str = "") -> Callable[[int, int], str]:
    """The tooltip of a cell."""
    return lambda r, c: t("%(number)s rows", number=f"{counts[r, c]:{sign},}")


def confused_pairs(
    teacher: np.ndarray, student: np.ndarray, classes: Sequence[str], limit: int = MAX_PAIRS
) -> list[dict]:
    """The most frequent mistakes, by the sum over both models."""
    names, both = row_names(classes, teacher), teacher + student
    both = np.where(np.eye(*both.shape, dtype=bool), 0, both)
    order = np.argsort(-both, axis=None, kind="stable")[:limit]
    return [
        {
            "true": names[r],
            "predicted": classes[c],
            "rows": int(teacher[r].sum()),
            "teacher": int(teacher[r, c]),
            "export": int(student[r, c]),
        }
        for r, c in zip(*np.unravel_index(order, both.shape), strict=True)
        if both[r, c]
    ]


def soft_label_matrix(means: np.ndarray, classes: Sequence[str], rows: np.ndarray) -> dict:
    """(C, C) mean soft label by true class. The shade leaves out the diagonal, which would outweigh the rest."""

    def cell_title(r: int, c: int) -> str:
        return t("%(share)s on average, %(rows)s rows", share=percent(means[r, c]), rows=f"{rows[r]:,}")

    matrix = shaded_matrix("", classes, classes, means, cell_title)
    off_diagonal = means[~np.eye(len(classes), dtype=bool) & (rows[:, None] > 0)]
    low, high = (float(off_diagonal.min()), float(off_diagonal.max())) if len(off_diagonal) else (0.0, 0.0)
    for r, row in enumerate(matrix["rows"]):
        for c, cell in enumerate(row["cells"]):
            if r == c:
                cell["depth"] = "0.00"
                continue
            cell["depth"] = f"{max((means[r, c] - low) / max(high - low, 1e-9), 0.0):.2f}"
            cell["text"] = f"{100 * means[r, c]:.1f}" if means[r, c] >= 0.0005 else ""
    return matrix


def labels(predictions: Sequence[TargetPredictions]) -> list[dict]:
    """For each target of labels: precision, recall and F1 of every label, the most frequent first."""
    return [_of_labels(target) for target in of_kind(predictions, LABELS)]


def _of_labels(predictions: TargetPredictions) -> dict:
    known, classes = predictions.known, predictions.head.classes
    true = predictions.target[known] > 0
    scores = [label_scores(true, predictions.predicted(model)[known]) for model in MODELS]
    support = true.sum(0)
    order = np.argsort(-support, kind="stable")[:MAX_LABELS]
    lines = [
        {
            "name": classes[c],
            "rows": int(support[c]),
            "scores": [two_decimals(float(values[c])) for model in scores for values in model],
        }
        for c in order
    ]
    return {
        "name": predictions.head.name,
        "rows": int(known.sum()),
        "all_right": {model: int(predictions.correct(model).sum()) for model in MODELS},
        "all": len(classes),
        "lines": lines,
    }


def label_scores(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, C) bool twice -> (C,) precision, recall, F1; NaN where undefined."""
    hits, num_predicted, num_true = (a.sum(0).astype(float) for a in (true & predicted, predicted, true))
    with np.errstate(invalid="ignore"):
        return hits / num_predicted, hits / num_true, 2 * hits / (num_predicted + num_true)
