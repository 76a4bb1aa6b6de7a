"""Metrics on parts of the test rows: by the value of a source column, and without rows that leaked from other splits;
and paired differences of two models on these parts.

A test row counts as leaked where its contents in all modalities, or a large content of one (a picture, a sound), also
occur in training or validation rows. :mod:`suffuse.prepare.split_leaks` removes such rows from training or keeps them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..data.columns import Columns
from ..types import Spec
from .intervals import bounds, clipped, difference_bounds, interval, spread
from .metrics import Draws, measure, summarise

MAX_VALUES = 20  # values of a column with metrics of their own
REST, EMPTY = "(all others)", "(empty)"


def metrics_by_value(
    spec: Spec, seeds: Sequence[np.ndarray], target: np.ndarray, draws: Draws, cells: Sequence[str | None]
) -> dict[str, dict]:
    """Predictions (N, C), one array per seed, and the column's cells -> value -> rows and metrics; a metric is left out
    where there is nothing to score."""
    slices = {}
    for value, mask in rows_by_value(cells).items():
        selected = draws.of(mask)
        metrics = [measure(spec, predictions[mask], target[mask], selected) for predictions in seeds]
        scored = [{name: m[name] for name, v in metrics[0].items() if np.isfinite(v[0])} for m in metrics]
        slices[value] = {"rows": int(mask.sum()), "metrics": summarise(scored, selected)}
    return slices


def differences_by_value(
    spec: Spec,
    pair: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    target: np.ndarray,
    draws: Draws,
    cells: Sequence[str | None],
) -> dict[str, dict[str, Any]]:
    """Predictions (N, C) of candidate and reference, one array per seed, and the column's cells -> value -> ``rows``
    and the paired ``difference`` of the main metric with ``low`` and ``high``, on the same draws, seed by seed. A value
    without a score is left out. The intervals aren't adjusted for the number of values: each describes its own part.
    """
    differences = {}
    for value, mask in rows_by_value(cells).items():
        selected = draws.of(mask)
        scores = [[measure(spec, p[mask], target[mask], selected) for p in predictions] for predictions in pair]
        metric = next(iter(scores[0][0]))
        estimate = spread([a[metric] - b[metric] for a, b in zip(*scores, strict=True)])
        low, high = clipped(interval(estimate, draws.confidence, selected.size), difference_bounds(bounds(metric)))
        if np.isfinite([estimate.mean, low, high]).all():
            differences[value] = {"rows": int(mask.sum()), "difference": estimate.mean, "low": low, "high": high}
    return differences


def rows_by_value(cells: Sequence[str | None]) -> dict[str, np.ndarray]:
    """(N,) cells -> value -> (N,) bool, the most frequent first; beyond 20 values, the rest together."""
    values = [EMPTY if cell is None else cell for cell in cells]
    kept = [value for value, _ in Counter(values).most_common()]
    if len(kept) > MAX_VALUES:
        kept = kept[: MAX_VALUES - 1]
        values = [value if value in kept else REST for value in values]
        kept.append(REST)
    array = np.array(values, dtype=object)
    return {value: array == value for value in kept}


def leaked_rows(columns: Columns, rows: np.ndarray, names: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """``contents``, and each modality of ``names`` (large contents that prepare found in several splits) -> (N,) bool:
    which of ``rows`` share them with rows of other splits. Without leaked rows there is no entry."""
    reference_rows = np.flatnonzero(np.isin(columns.split, np.unique(columns.split[rows]), invert=True))
    entry = np.where(columns.present, columns.entry, -1)
    masks = {"contents": _occurs_in(entry, rows, reference_rows)}
    for m, name in enumerate(columns.spec.names):
        if name in set(names):
            masks[name] = _occurs_in(entry[:, [m]], rows, reference_rows)
    return {name: mask for name, mask in masks.items() if mask.any()}


def leak_free_metrics(
    columns: Columns, rows: np.ndarray, seeds: Sequence[np.ndarray], draws: Draws, leaked: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Predictions (N, C), one array per seed -> rows and metrics without the leaked rows, and how many leaked."""
    mask = ~np.any(list(leaked.values()), axis=0)
    facts: dict[str, Any] = {"rows": int(mask.sum()), "leaked": {name: int(m.sum()) for name, m in leaked.items()}}
    if mask.any():
        selected, target = draws.of(mask), columns.target[rows][mask]
        metrics = [measure(columns.spec, predictions[mask], target, selected) for predictions in seeds]
        facts["metrics"] = summarise(metrics, selected)
    return facts


def _occurs_in(entry: np.ndarray, rows: np.ndarray, reference_rows: np.ndarray) -> np.ndarray:
    """entry (N, K), -1 where absent -> (len(rows),) bool: whether a row's K entries are those of a reference row. A row
    that lacks one of them is no copy."""
    complete = (entry[rows] >= 0).all(1)
    _, code = np.unique(entry, axis=0, return_inverse=True)
    code = code.reshape(-1)
    return complete & np.isin(code[rows], code[reference_rows])
