"""Some test rows with both models' predictions, chosen by a stated rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..types import NUMBER
from .dataset_view import DatasetView
from .i18n import t
from .stored_predictions import TargetPredictions, describe_row

GROUP_SIZE = 6  # rows
MAX_TARGETS = 8  # of a row
SEED = 0


def examples(dataset: DatasetView, predictions: Sequence[TargetPredictions]) -> list[dict]:
    """Groups of rows: the models disagree, the student is wrong, drawn at random. Each row is shown once."""
    rows, used = len(predictions[0].row), set[int]()
    rule = t("further rows, drawn by chance with the fixed seed %(seed)s", seed=SEED)
    random_order = np.random.default_rng(SEED).permutation(rows)
    return [
        {
            "title": title,
            "rule": rule,
            "all": len(order),
            "rows": [_describe(dataset, predictions, position) for position in _take(order, used)],
        }
        for title, rule, order in [*rules(predictions), (t("Any rows"), rule, random_order)]
    ]


def rules(predictions: Sequence[TargetPredictions]) -> list[tuple[str, str, np.ndarray]]:
    """(title, rule, positions in order): rows where the models disagree, and where the student is wrong. With numbers
    alone: rows whose predictions differ most, and rows with the largest errors."""
    named = [target for target in predictions if target.head.kind != NUMBER]
    if not named:
        return _rules_for_numbers(predictions)
    differ = np.stack([_differ(target) for target in named]).any(0)
    wrong = np.stack([target.known & ~target.correct("export") for target in named]).any(0)
    where = t(" in any target") if len(named) == len(predictions) else t(" in a target of classes or labels")
    where = "" if len(predictions) == 1 else where
    return [
        (
            t("They disagree"),
            t("the first test rows to which the two models give different answers%(where)s", where=where),
            np.flatnonzero(differ),
        ),
        (
            t("The student is wrong"),
            t("the first further rows that the exported student gets wrong%(where)s", where=where),
            np.flatnonzero(wrong),
        ),
    ]


def _rules_for_numbers(predictions: Sequence[TargetPredictions]) -> list[tuple[str, str, np.ndarray]]:
    difference = np.stack([_distance(p, p.outputs["teacher"], p.outputs["export"]) for p in predictions]).sum(0)
    error = np.stack([_distance(p, p.target, p.outputs["export"]) for p in predictions]).sum(0)
    return [
        (
            t("They differ most"),
            t("the test rows in which the two models' numbers lie furthest apart"),
            _descending(difference),
        ),
        (
            t("The student is furthest off"),
            t("the further rows with the exported student's largest errors"),
            _descending(error),
        ),
    ]


def _distance(predictions: TargetPredictions, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) distance in standard deviations; 0 where it is undefined."""
    return np.nan_to_num(np.abs(a - b) / predictions.head.std)


def _descending(values: np.ndarray) -> np.ndarray:
    """Positions of the positive values, the largest first."""
    order = np.argsort(-values, kind="stable")
    return order[values[order] > 0]


def _differ(predictions: TargetPredictions) -> np.ndarray:
    """(N,) bool: teacher and student predict differently."""
    different = predictions.predicted("teacher") != predictions.predicted("export")
    return different if different.ndim == 1 else different.any(1)


def _take(order: Iterable[int], used: set[int]) -> list[int]:
    """The first unused positions; adds them to ``used``."""
    positions = []
    for position in order:
        if len(positions) == GROUP_SIZE:
            break
        if int(position) not in used:
            positions.append(int(position))
    used.update(positions)
    return positions


def _describe(dataset: DatasetView, predictions: Sequence[TargetPredictions], position: int) -> dict:
    row = int(predictions[0].row[position])
    source = dataset.label(row) if len(predictions) == 1 else ""
    return {
        "id": dataset.id(row),
        "cells": dataset.cells(row),
        "targets": [describe_row(target, position, source) for target in predictions[:MAX_TARGETS]],
        "further": max(0, len(predictions) - MAX_TARGETS),
    }
