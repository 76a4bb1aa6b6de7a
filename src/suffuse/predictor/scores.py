"""Metrics of predictions against the labels that the same rows hold, in NumPy alone. They are defined as in
:mod:`suffuse.evaluation.metrics`, without intervals."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Collection, Sequence
from typing import Any, cast

import numpy as np

from ..errors import UsageError
from ..modalities.cell import is_empty
from ..modalities.number_format import PLAIN, is_number
from ..sources.table_format import is_missing
from ..transcripts.cell_text import cell_text
from ..transcripts.error_rates import character_errors, word_errors
from ..types import CLASSES, NUMBER, TOKENS, Head
from .prediction import Prediction
from .record_rows import Record
from .signature import TargetCells

AS_WRITTEN = TargetCells()


def measure(
    head: Head,
    records: Sequence[Record],
    predictions: Sequence[Prediction],
    cells: TargetCells | None,
    missing_values: Collection[str],
) -> dict[str, float]:
    """The metrics of one target. Rows without a label are counted and left out; a class that training never saw is an
    error of the model.

    Raises UsageError where no record has the target's column, or no row has a label.
    """
    if not any(head.name in record for record in records):
        raise UsageError("these rows have no such target", got=f"no column '{head.name}'", expected="rows with labels")
    values = [None if is_missing(v := record.get(head.name), missing_values) else v for record in records]
    truth = [_label(head, value, cells or AS_WRITTEN) for value in values]
    rows = [n for n, label in enumerate(truth) if label is not None]
    counts = {"rows": float(len(rows)), "unlabelled": float(len(truth) - len(rows))}
    if not rows:
        raise UsageError("no row has a label", got=f"{len(truth):,} rows without", expected=f"'{head.name}' in some")
    answers = [predictions[n].answers[head.name] for n in rows]
    if head.kind == NUMBER:
        return counts | _number_metrics(np.array([a.value for a in answers]), np.array([truth[n] for n in rows]))
    if head.kind == TOKENS:
        return counts | _transcript_metrics([str(truth[n]) for n in rows], [str(a.value) for a in answers])
    probability = np.array([[*a.probabilities.values()] for a in answers])
    if head.kind == CLASSES:
        code = {name: position for position, name in enumerate(head.classes)}
        target = np.array([code.get(str(truth[n]), len(code)) for n in rows])
        return counts | {"unseen": float((target == len(code)).sum())} | _class_metrics(probability, target)
    names = [set[str](truth[n]) for n in rows]
    true = np.array([[label in labels for label in head.classes] for labels in names])
    return counts | _label_metrics(probability, true)


def _label(head: Head, value: Any, cells: TargetCells) -> Any:
    """A cell's class, labels or number; None where there is none. Raises UsageError where a number is none."""
    if head.kind == NUMBER:
        if is_empty(value):
            return None
        number = float(value) if is_number(value) else float((cells.format or PLAIN).parse([str(value).strip()])[0])
        if math.isnan(number):
            raise UsageError("a label is no number", where=f"column '{head.name}'", got=f"'{str(value)[:40]}'")
        return number
    if head.kind == TOKENS:
        return cell_text(None if is_empty(value) else value, cells.empty, cells.lowercase)
    if head.kind == CLASSES:
        return cells.empty if is_empty(value) else str(value).strip()
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(json.JSONDecodeError):
            value = json.loads(value)
    if is_empty(value):
        return None if cells.empty is None else []
    is_list = isinstance(value, (list, tuple))
    parts = cast("Sequence[Any]", value) if is_list else str(value).split(cells.separator)
    return [text for part in parts if (text := str(part).strip())]


def _class_metrics(probability: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """(N, C) and (N,), C where a class was never seen -> accuracy, macro-F1, balanced accuracy, log loss."""
    predicted, classes = probability.argmax(1), probability.shape[1]
    known = target < classes
    loss = -np.log(np.clip(probability[known, target[known]], 1e-12, 1))
    f1 = [
        2 * float(((target == c) & (predicted == c)).sum()) / float((target == c).sum() + (predicted == c).sum())
        for c in range(classes + 1)
        if (target == c).any() or (predicted == c).any()
    ]
    recall = [float((predicted[target == c] == c).mean()) for c in np.unique(target)]
    return {
        "accuracy": float((predicted == target).mean()),
        "macro_f1": float(np.mean(f1)),
        "balanced_accuracy": float(np.mean(recall)),
        "log_loss": float(loss.mean()) if len(loss) else math.nan,
    }


def _transcript_metrics(true: list[str], said: list[str]) -> dict[str, float]:
    """References and answers -> word and character error rate, exact match."""
    words, characters = word_errors(true, said), character_errors(true, said)
    return {
        "word_accuracy": 1 - words.rate,
        "word_error_rate": words.rate,
        "character_error_rate": characters.rate,
        "exact_match": float(np.mean([a == b for a, b in zip(true, said, strict=True)])),
    }


def _label_metrics(probability: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """(N, C) twice -> micro-F1, macro-F1 over the labels that occur, log loss, exact match."""
    predicted = probability > 0.5
    hits, both = (predicted & true).sum(0), predicted.sum(0) + true.sum(0)
    f1 = 2 * hits[both > 0] / both[both > 0]
    p = np.clip(np.where(true, probability, 1 - probability), 1e-12, 1)
    return {
        "micro_f1": float(2 * hits.sum() / both.sum()) if both.sum() else 1.0,
        "macro_f1": float(f1.mean()) if len(f1) else 0.0,
        "log_loss": float(-np.log(p).mean()),
        "exact_match": float((predicted == true).all(1).mean()),
    }


def _number_metrics(value: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """(N,) twice, in the unit of the target -> R2, RMSE, MAE."""
    error, variance = value - true, float(true.var())
    square = float((error**2).mean())
    r2 = 1 - square / variance if variance > 0 else math.nan
    return {"r2": r2, "rmse": math.sqrt(square), "mae": float(np.abs(error).mean())}
