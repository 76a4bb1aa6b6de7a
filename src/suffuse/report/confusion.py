"""Which classes are taken for which, and which labels are found: teacher and exported student on the test rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..types import CLASSES, LABELS
from . import class_matrices
from .class_matrices import counted, shaded
from .i18n import t
from .test_predictions import Told, of_kind

FULLY = 3  # targets that are shown whole; of the others some pairs are listed
FEW_PAIRS = 5
MOST_LABELS = 40
MODELS = {"teacher": "Teacher", "export": "Exported student"}


def confusion(told: Sequence[Told]) -> list[dict]:
    """Of every target of classes: counts, as matrices or as the most confused pairs."""
    return [of_classes(t, whole=n < FULLY) for n, t in enumerate(of_kind(told, CLASSES))]


def of_classes(told: Told, whole: bool) -> dict:
    """One target, on the rows that have it."""
    classes, known = told.head.classes, told.known
    counts = {who: class_matrices.count(told.target[known], told.answer(who)[known], len(classes)) for who in MODELS}
    wrong = {who: int(c.sum() - np.trace(c)) for who, c in counts.items()}
    facts = {"name": told.head.name, "rows": int(known.sum()), "wrong": wrong, "matrices": [], "pairs": []}
    if len(classes) > class_matrices.MOST_CLASSES or not whole:
        most = class_matrices.MOST_PAIRS if whole else FEW_PAIRS
        return facts | {"pairs": class_matrices.pairs(counts["teacher"], counts["export"], classes, most)}
    names = class_matrices.row_names(classes, counts["teacher"])
    parts = {who: c / np.maximum(c.sum(1, keepdims=True), 1) for who, c in counts.items()}
    for who, title in MODELS.items():
        facts["matrices"].append(shaded(t(title), names, classes, parts[who], counted(counts[who])))
    more, says = parts["export"] - parts["teacher"], counted(counts["export"] - counts["teacher"], "+")
    facts["matrices"].append(shaded(t("Exported student less teacher, in points"), names, classes, more, says, "+"))
    return facts


def labels(told: Sequence[Told]) -> list[dict]:
    """Of every target of labels: how each label is found, the most frequent first."""
    return [of_labels(t) for t in of_kind(told, LABELS)]


def of_labels(told: Told) -> dict:
    """One target, on the rows that have it."""
    known, classes = told.known, told.head.classes
    true = told.target[known] > 0
    found = [found_labels(true, told.answer(who)[known]) for who in MODELS]
    support = true.sum(0)
    order = np.argsort(-support, kind="stable")[:MOST_LABELS]
    return {
        "name": told.head.name,
        "rows": int(known.sum()),
        "whole": {who: int(told.right(who).sum()) for who in MODELS},
        "all": len(classes),
        "lines": [
            {"name": classes[c], "rows": int(support[c]), "parts": [_part(float(v[c])) for f in found for v in f]}
            for c in order
        ],
    }


def found_labels(true: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, C) bool twice -> (C,) precision, recall, F1; NaN where there is nothing to divide by."""
    hits, all_said, all_true = (a.sum(0).astype(float) for a in (true & said, said, true))
    with np.errstate(invalid="ignore"):
        return hits / all_said, hits / all_true, 2 * hits / (all_said + all_true)


def _part(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"
