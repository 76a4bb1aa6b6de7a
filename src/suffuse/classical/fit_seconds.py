"""Rough seconds in which the classical models are fitted on one core, from the recipe and the number of rows.

The factors were measured on product photos, titles and attributes (6,202 rows, 28 classes; one core of a server). They
decide in which order models are fitted and what a time budget has room for, never a result.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..recipe import Recipe
from .baselines import MAX_ROWS

NGRAM = 1e-6, 4e-7  # of TF-IDF, for each n-gram of a row; and of its linear model, for each class too
LINEAR = 5e-6  # of a linear model on components, for each row and class
TREES = 0.5, 1.5e-5, 0.15  # of a table's models: once; for each row and class; and for each class
ENTRY = {"image": 2.5e-3, "audio": 4e-3, "sequence": 1e-3}  # to compute the features of an entry


def fit_seconds(recipe: Recipe, entries: Mapping[str, int], rows: int, outputs: int) -> dict[str, float]:
    """Modality -> seconds of one fit on ``rows`` labelled rows of ``outputs`` numbers each."""
    solved = outputs if outputs > 2 else 1
    rows = min(rows, MAX_ROWS)
    return {name: _fit(recipe, name, rows, solved) for name in entries}


def feature_seconds(recipe: Recipe, entries: Mapping[str, int]) -> dict[str, float]:
    """Modality -> seconds in which features that need no fit are computed, of all entries."""
    return {name: count * ENTRY.get(recipe.modalities[name].kind, 0.0) for name, count in entries.items()}


def cross_fit_seconds(
    recipe: Recipe, entries: Mapping[str, int], rows: int, outputs: int, folds: int
) -> dict[str, float]:
    """Modality -> seconds of :func:`suffuse.classical.cross_fitting.cross_fit`."""
    once = feature_seconds(recipe, entries)
    return {n: once[n] + folds * s for n, s in fit_seconds(recipe, entries, rows, outputs).items()}


def _fit(recipe: Recipe, name: str, rows: int, solved: int) -> float:
    settings = recipe.modalities[name]
    if settings.kind == "tabular":
        once, each, of_class = TREES
        return once + each * rows * solved + of_class * solved
    teacher = recipe.trained
    is_frozen = teacher is not None and name in teacher.encoders and bool(teacher.encoders[name].get("frozen"))
    if settings.kind != "text" or is_frozen:
        return LINEAR * rows * solved
    transform, linear = NGRAM
    return rows * getattr(settings, "length", 1) * (transform + linear * solved)
