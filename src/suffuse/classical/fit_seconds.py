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
# Of a table's models, by kind: once; for each row; for each row and class; for each class
TABLE = {
    "boosting": (0.1, 5e-5, 1.2e-5, 0.15),
    "trees": (0.3, 8e-4, 2e-6, 0.0),
    "linear": (0.02, 1e-5, 2e-6, 0.0),
    "kernel": (0.03, 3e-4, 5e-6, 0.0),
}
MEAN_OF = ("boosting", "trees", "linear")  # the baseline of a table
ENTRY = {"image": 2.5e-3, "audio": 4e-3, "sequence": 1e-3}  # to compute the features of an entry


def fit_seconds(recipe: Recipe, entries: Mapping[str, int], rows: int, outputs: int) -> dict[str, float]:
    """Modality -> seconds of one fit of its baseline on ``rows`` labelled rows of ``outputs`` numbers each."""
    solved = outputs if outputs > 2 else 1
    rows = min(rows, MAX_ROWS)
    return {name: _fit(recipe, name, rows, solved) for name in entries}


def feature_seconds(recipe: Recipe, entries: Mapping[str, int]) -> dict[str, float]:
    """Modality -> seconds in which features that need no fit are computed, of all entries."""
    return {name: count * ENTRY.get(recipe.modalities[name].kind, 0.0) for name, count in entries.items()}


def cross_fit_seconds(
    recipe: Recipe, entries: Mapping[str, int], rows: int, outputs: int, folds: int
) -> dict[str, float]:
    """Modality -> seconds of :func:`suffuse.classical.cross_fitting.cross_fit` of its baseline."""
    once = feature_seconds(recipe, entries)
    return {n: once[n] + folds * s for n, s in fit_seconds(recipe, entries, rows, outputs).items()}


def portfolio_seconds(recipe: Recipe, entries: Mapping[str, int], rows: int, outputs: int) -> dict[str, float]:
    """Modality -> seconds of its members in the teacher's portfolio, in all folds; none of them is skipped."""
    teacher = recipe.trained
    assert teacher and teacher.portfolio
    once, folds, seconds = feature_seconds(recipe, entries), teacher.portfolio.folds, {}
    for name in entries:
        is_table = recipe.modalities[name].kind == "tabular"
        fits = [
            member_seconds(recipe, name, kind, rows, outputs)
            for kind in (teacher.portfolio.table_kinds if is_table else ("linear",))
        ]
        limit = teacher.portfolio.seconds
        seconds[name] = once[name] + folds * (min(fits) if limit == 0 else sum(fits))
    return seconds


def member_seconds(recipe: Recipe, name: str, kind: str, rows: int, outputs: int) -> float:
    """Seconds of one fit of a modality's model of this kind."""
    solved, rows = outputs if outputs > 2 else 1, min(rows, MAX_ROWS)
    if recipe.modalities[name].kind != "tabular":
        return _fit(recipe, name, rows, solved)
    once, each, each_class, of_class = TABLE[kind]
    return once + each * rows + each_class * rows * solved + of_class * solved


def _fit(recipe: Recipe, name: str, rows: int, solved: int) -> float:
    settings = recipe.modalities[name]
    if settings.kind == "tabular":
        return sum(member_seconds(recipe, name, kind, rows, solved) for kind in MEAN_OF)
    teacher = recipe.trained
    is_frozen = teacher is not None and name in teacher.encoders and bool(teacher.encoders[name].get("frozen"))
    if settings.kind != "text" or is_frozen:
        return LINEAR * rows * solved
    transform, linear = NGRAM
    return rows * getattr(settings, "length", 1) * (transform + linear * solved)
