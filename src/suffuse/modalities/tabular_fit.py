"""A column's kind, and what it takes to encode it, from its training cells."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import numpy as np

from ..errors import SuffuseError
from .number_format import PLAIN
from .number_inference import best_format
from .value_parsing import PARTS, as_dates, as_numbers, day_comes_first

FEW = 20  # different whole numbers up to which they are codes
SURE = 0.99  # of a column's training cells must be of a kind
MOST = 0.5  # of a column's cells must be of the kind that the recipe gives
INTERVALS = 32  # between quantiles, of as many values each
DIGITS = 4  # of a standardised quantile after the point: quantiles go into every export
Kind = Literal["number", "category", "date"]


def fit_column(name: str, settings: Any, cells: list[str]) -> dict:
    """One column's statistics, from its training cells that aren't empty. ``settings``: of the tabular modality.

    Raises SuffuseError where the recipe gives its kind, and fewer than half of the cells are of that kind.
    """
    if name in settings.types or name in settings.numbers:
        kind, why = settings.types.get(name, "number"), "the recipe says so"
        _check_kind(name, settings, kind, cells)
    else:
        kind, why = _guess(cells, settings)
    if kind == "category":
        return {"name": name, "type": kind, "why": why, **_fit_category(settings, cells)}
    if kind == "date":
        return {"name": name, "type": kind, "why": why, **_fit_date(settings, cells)}
    form = settings.numbers.get(name, PLAIN)
    facts = {} if form == PLAIN else {"format": form.model_dump()}
    return {"name": name, "type": kind, "why": why, **facts, **_scale(form.parse(cells)[:, None], settings.clip)}


def _check_kind(name: str, settings: Any, kind: Kind, cells: list[str]) -> None:
    """Raise SuffuseError where most of the cells aren't of the kind that the recipe gives."""
    if kind == "category" or not cells:
        return
    form = settings.numbers.get(name, PLAIN)
    values = form.parse(cells) if kind == "number" else as_dates(cells, _day_first(settings, cells))[:, 0]
    read = ~np.isnan(values)
    if read.mean() >= MOST:
        return
    example, column = cells[int(np.flatnonzero(~read)[0])], name if name.isidentifier() else f"'{name}'"
    hint = f"types: {{{column}: category}}, or without it, training cells decide"
    if kind == "number" and (better := best_format(cells)).share > MOST:
        keys = ", ".join(f"{key}: '{value}'" for key, value in better.format.short().items())
        hint = f"numbers: {{{column}: {{{keys}}}}} reads {100 * better.share:.0f} % of them"
    raise SuffuseError(
        f"most cells of this column are no {kind}s",
        where=f"column '{name}'",
        got=f"{int(read.sum()):,} of {len(cells):,} training cells that are; e.g. '{example[:40]}' isn't",
        expected=f"at least half, as the recipe calls it a {kind}" + (f" ({form})" if kind == "number" else ""),
        hint=hint,
    )


def _day_first(settings: Any, cells: list[str]) -> bool | None:
    return day_comes_first(cells) if settings.day_first is None else settings.day_first


def _guess(cells: list[str], settings: Any) -> tuple[Kind, str]:
    """What a column is, by its training cells that aren't empty.

    A number where 99 % read as one, and they have fractions, or more than 20 values, or hardly repeat: a few whole
    numbers that repeat (0 and 1, 1 to 5) are codes. A date where 99 % read as one. Else a category.
    """
    values = as_numbers(cells)
    share = float(np.mean(~np.isnan(values))) if cells else 0.0
    if share >= SURE:
        known = values[~np.isnan(values)]
        distinct = len(np.unique(known))
        if distinct > FEW or 2 * distinct > len(known) or (known % 1 != 0).any():
            return "number", f"{100 * share:.4g} % of its training cells are numbers, {distinct:,} different ones"
        return "category", f"only {distinct} different whole numbers: codes"
    order = _day_first(settings, cells)
    share = float(np.mean(~np.isnan(as_dates(cells, order)[:, 0]))) if cells else 0.0
    if share >= SURE:
        return "date", f"{100 * share:.4g} % of its training cells are dates"
    return "category", "its training cells are neither numbers nor dates" if cells else "empty in training"


def _fit_date(settings: Any, cells: list[str]) -> dict:
    order = _day_first(settings, cells)
    return {"day_first": order, "parts": list(PARTS), **_scale(as_dates(cells, order), settings.clip)}


def _fit_category(settings: Any, cells: list[str]) -> dict:
    counts = sorted(Counter(cells).items(), key=lambda pair: (-pair[1], pair[0]))
    return {"names": [name for name, count in counts if count >= settings.least][: settings.max_categories]}


def _scale(values: np.ndarray, clip: float) -> dict:
    """(N, P) with NaN -> for each of P: bounds; mean, deviation and standardised quantiles within them.

    Bounds that would leave nothing but one value are not drawn: a rare 1 among zeros is no outlier. Nor are they
    for a date's sines and cosines.
    """
    facts: dict[str, list] = {"low": [], "high": [], "mean": [], "std": [], "quantiles": []}
    steps = np.linspace(0, 1, INTERVALS + 1)
    for place in range(values.shape[1]):
        known = values[~np.isnan(values[:, place]), place]
        known = known if len(known) else np.zeros(1)
        low, high = float(known.min()), float(known.max())
        if place == 0 and clip:
            inner = np.quantile(known, [clip, 1 - clip], method="inverted_cdf").tolist()
            low, high = inner if inner[0] < inner[1] else (low, high)
        size = max(abs(low), abs(high)) or 1.0  # of numbers near the largest there is, no sum overflows
        scaled = np.clip(known, low, high) / size
        mean, deviation = float(scaled.mean()) * size, float(scaled.std()) * size
        if deviation <= 1e-9 * size:  # nothing but rounding
            deviation = size if high > low else 1.0
        quantiles = np.quantile(np.clip(known, low, high), steps, method="inverted_cdf")
        # one by one: numpy 1 warns of an overflow in the unused lanes of a vector where the divisor is tiny
        standardised = [quantile / deviation - mean / deviation for quantile in quantiles.tolist()]
        quantiles = np.round(standardised, DIGITS).tolist()
        for key, value in zip(facts, (low, high, mean, deviation, quantiles), strict=True):
            facts[key].append(value)
    return facts
