"""Charts of what was measured: lines with bands, and points with intervals. Drawn as :mod:`charts` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .charts import DASHES, PAINT, draw
from .formatting import amount, minus

PAINTS = {"teacher": "teacher", "student": "student", "baseline": "baseline", "export": "export",
          "export-int8": "series4"}  # fmt: skip
OTHERS = ("series3", "series0", "series6", "series7", "series2")


@dataclass(frozen=True)
class Line:
    """Values with intervals at some places. ``paint`` is a name of the page's colours."""

    paint: str
    x: np.ndarray  # (P,)
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def line(paint: str, places: Sequence[float], values: Sequence[dict]) -> Line:
    """VALUEs of a scorecard at some places; an end that wasn't measured is the mean."""
    mean = np.array([v["mean"] for v in values], dtype=float)
    low, high = (np.array([v[end] for v in values], dtype=float) for end in ("low", "high"))
    low, high = (np.where(np.isnan(end), mean, end) for end in (low, high))
    return Line(paint, np.asarray(places, dtype=float), mean, low, high)


def paints(models: Sequence[str]) -> dict[str, str]:
    """A colour for each model: its own, or one of those that are left."""
    left = iter(OTHERS * len(models))
    return {who: PAINTS[who] if who in PAINTS else next(left) for who in models}


def lines(found: Sequence[Line], says: tuple[str, str], label: str, key: str, **how: bool) -> Markup:
    """Lines with their intervals as bands; ``says`` stands at the axes. ``percent``: what an axis is in (``x``, ``y``);
    ``log``: the axis to the right is logarithmic."""

    def paint(axes: Axes) -> None:
        for one in found:
            colour, dashes = PAINT[one.paint], DASHES.get(one.paint, ())
            axes.fill_between(one.x, one.low, one.high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(one.x, one.mean, color=colour, linewidth=1.8, marker="o", markersize=3.5, dashes=dashes)
        axes.set(xlabel=says[0], ylabel=says[1])
        if how.get("log"):
            _logarithmic(axes)
        elif not how.get("percent_x"):
            axes.set_xticks(sorted({float(x) for one in found for x in one.x}))
        _in_percent(axes.yaxis, how.get("percent_y", False))
        if how.get("percent_x"):
            _in_percent(axes.xaxis, True)

    return draw(paint, label, key, (4.7, 2.9))


def points(found: Sequence[Line], says: tuple[str, str], label: str, key: str, *, percent: bool) -> Markup:
    """One point each, with its interval upwards and downwards; the axis to the right is logarithmic."""

    def paint(axes: Axes) -> None:
        for one in found:
            axes.vlines(one.x, one.low, one.high, color=PAINT[one.paint], linewidth=1.6, alpha=0.6)
            axes.scatter(one.x, one.mean, 52, color=PAINT[one.paint], linewidth=0, zorder=3)
        axes.set(xlabel=says[0], ylabel=says[1])
        axes.margins(0.12)
        _logarithmic(axes)
        _in_percent(axes.yaxis, percent)

    return draw(paint, label, key, (4.7, 2.9))


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if high / low > 30 else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: amount(v)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _in_percent(axis: Any, percent: bool) -> None:
    shown = (lambda v, _: f"{100 * v:.4g} %") if percent else (lambda v, _: minus(amount(v)))
    axis.set_major_formatter(FuncFormatter(shown))
