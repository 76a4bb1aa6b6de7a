"""Predictions on the test rows by target, from ``scores/predictions.parquet``, and a row's predictions as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from ..activations import THRESHOLD
from ..evaluation.predictions_file import matrix
from ..files import parsing
from ..run import Run
from ..transcripts.frame_predictions import hypotheses, references, right_texts, text, texts
from ..types import CLASSES, LABELS, NUMBER, TOKENS, Head
from .dataset_view import DatasetView
from .formatting import amount, join_names, minus, percent, rounded, short
from .i18n import t

MODELS = {"teacher": "teacher", "export": "student"}
CAPTION = {CLASSES: "Label", LABELS: "Labels", NUMBER: "True number", TOKENS: "Transcript"}
MAX_LABELS = 6  # of one prediction that are named
TRUE_DIGITS = 6  # stored numbers are exact to about seven


@dataclass(frozen=True)
class TargetPredictions:
    """One target of N test rows: truth and models' outputs. C classes or labels."""

    head: Head
    row: np.ndarray  # (N,) positions in the prepared rows
    target: np.ndarray  # (N,) class, C where training never saw it; (N, C) labels; (N,) number in its own unit
    known: np.ndarray  # (N,) bool, rows that have this target
    outputs: dict[str, np.ndarray]  # model -> (N, C) probabilities, or (N,) numbers

    def predicted(self, model: str) -> np.ndarray:
        """(N,) class, (N, C) bool of labels, (N,) number, or (N,) text."""
        output = self.outputs[model]
        if self.head.kind == NUMBER:
            return output
        if self.head.kind == TOKENS:
            return np.array(texts(self.head, output), dtype=object)
        return output.argmax(1) if self.head.kind == CLASSES else output > THRESHOLD

    def correct(self, model: str) -> np.ndarray:
        """(N,) bool: the class, or every single label, is right; False for numbers."""
        if self.head.kind == NUMBER:
            return np.zeros(len(self.row), dtype=bool)
        if self.head.kind == CLASSES:
            return self.known & (self.predicted(model) == self.target)
        if self.head.kind == TOKENS:
            return self.known & right_texts(self.head, self.outputs[model], self.target)
        return self.known & (self.predicted(model) == (self.target > 0)).all(1)


def read(run: Run, dataset: DatasetView, *models: str) -> list[TargetPredictions]:
    """Every target, with the outputs of those of the models that the file holds."""
    file = run.path("scores", "predictions.parquet")
    with parsing(file):
        stored = [model for model in models if model in pq.read_schema(file).names]
        table = pq.read_table(file, columns=["row", "target", *stored])
    row, spec = np.asarray(table.column("row").combine_chunks()), dataset.columns.spec
    outputs = {model: spec.parts(matrix(table.column(model))) for model in stored}
    predictions = []
    for index, (head, target) in enumerate(spec.targets(np.asarray(dataset.columns.target[row]))):
        number = head.kind == NUMBER
        by_model = {model: parts[index][1][:, 0] if number else parts[index][1] for model, parts in outputs.items()}
        truth = target.astype(float) * head.std + head.mean if number else target
        predictions.append(TargetPredictions(head, row, truth, head.known(target), by_model))
    return predictions


def of_kind(predictions: Sequence[TargetPredictions], kind: str) -> list[TargetPredictions]:
    """The targets of one kind."""
    return [target for target in predictions if target.head.kind == kind]


def describe_row(predictions: TargetPredictions, position: int, source: str = "") -> dict:
    """One target of one row as text: the truth, and each model's prediction. ``source``: the label in the table, where
    this is the only target."""
    head = predictions.head
    unseen = head.kind == CLASSES and predictions.target[position] == len(head.classes)
    return {
        "name": head.name,
        "caption": t(CAPTION[head.kind]),
        "true": true_text(predictions, position, source),
        "note": t("(never in training, so no model can be right)") if unseen else "",
        "predictions": [
            {"model": t(title), **describe_prediction(predictions, model, position)} for model, title in MODELS.items()
        ],
    }


def true_text(predictions: TargetPredictions, position: int, source: str = "") -> str:
    """The row's target; empty where it has none."""
    if not predictions.known[position]:
        return ""
    target, head = predictions.target[position], predictions.head
    if head.kind == NUMBER:
        return minus(amount(float(target), TRUE_DIGITS))
    if head.kind == TOKENS:
        return source or references(head, target[None])[0] or t("nothing")
    if head.kind == LABELS:
        return label_names(head.classes, target > 0)
    return source or (short(head.classes[target]) if target < len(head.classes) else t("another class"))


def describe_prediction(predictions: TargetPredictions, model: str, position: int) -> dict:
    """``text``, ``detail`` (confidence or error) and ``correct``: None where the target is unknown or a number."""
    output, head = predictions.outputs[model][position], predictions.head
    known = bool(predictions.known[position])
    if head.kind == NUMBER:
        error = float(output - predictions.target[position])
        detail = error_text(error, head.std, t("hardly off")) if known else ""
        return {"text": minus(rounded(float(output), head.std)), "detail": detail, "correct": None}
    if head.kind == TOKENS:
        return _describe_transcript(predictions, model, position)
    correct = bool(predictions.correct(model)[position]) if known else None
    if head.kind == LABELS:
        confidence = float(np.maximum(output, 1 - output).min())
        shown = label_names(head.classes, predictions.predicted(model)[position])
    else:
        confidence, shown = float(output.max()), short(head.classes[int(output.argmax())])
    return {"text": shown, "detail": percent(confidence, 1), "correct": correct}


def _describe_transcript(predictions: TargetPredictions, model: str, position: int) -> dict:
    head, output = predictions.head, predictions.outputs[model][position][None]
    said = hypotheses(head, output)[0]
    correct = None
    if predictions.known[position]:
        correct = bool(right_texts(head, output, predictions.target[position][None])[0])
    return {"text": text(head, said) or t("nothing"), "detail": percent(said.confidence, 1), "correct": correct}


def label_names(classes: tuple[str, ...], mask: np.ndarray) -> str:
    """The labels of a mask (C,) bool."""
    return join_names([classes[c] for c in np.flatnonzero(mask)], MAX_LABELS) or t("no label")


def error_text(error: float, std: float, negligible: str) -> str:
    """``2.5 too high``; the text ``negligible`` where the error is 0 to a hundredth of the standard deviation."""
    size = rounded(abs(error), std)
    if size == "0":
        return negligible
    return t("%(size)s too high", size=size) if error > 0 else t("%(size)s too low", size=size)
