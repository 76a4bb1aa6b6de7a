"""Charts as inline SVG.

Matplotlib draws with placeholder colours that stand for CSS variables, so that one drawing serves light and dark mode.
Only fixed English words and numbers are drawn; names from the run are in the legends next to the charts, in HTML.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from html import unescape
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from .formatting import amount, minus
from .i18n import gettext, id_prefix, t

NUM_SERIES = 8  # colours for things without a colour of their own
COLORS = ("ink", "grid", "teacher", "student", "baseline", "export", *(f"series{n}" for n in range(NUM_SERIES)))
PLACEHOLDERS = {name: f"#0a0b{number:02x}" for number, name in enumerate(COLORS)}  # colours that no chart uses
MODEL_COLORS = {"teacher": "teacher", "student": "student", "baseline": "baseline", "export": "export",
                "export-int8": "series4"}  # fmt: skip
FURTHER_COLORS = ("series3", "series0", "series6", "series7", "series2")
DASHES = {"teacher": (5, 2), "baseline": (1.5, 1.5)}  # lines differ by more than colour
WIDE, SMALL = (4.7, 2.9), (3.0, 2.7)  # inches
STYLE: dict[Any, Any] = {  # rcParams
    "svg.fonttype": "none",
    "svg.hashsalt": "suffuse",  # the same drawing has the same bytes
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": PLACEHOLDERS["ink"],
    "axes.labelcolor": PLACEHOLDERS["ink"],
    "axes.edgecolor": PLACEHOLDERS["grid"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "grid.color": PLACEHOLDERS["grid"],
    "grid.linewidth": 0.6,
    "xtick.color": PLACEHOLDERS["grid"],
    "ytick.color": PLACEHOLDERS["grid"],
    "xtick.labelcolor": PLACEHOLDERS["ink"],
    "ytick.labelcolor": PLACEHOLDERS["ink"],
}
_drawings: ContextVar[dict[str, str] | None] = ContextVar("drawings", default=None)
COORDINATES = re.compile(r'\b(?:d|x|y|width|height|transform)="[^"]*"')
DIGITS = re.compile(r"(\.\d\d)\d+")  # finer than a hundredth of a point is invisible
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Series:
    """P values with intervals. ``color`` is one of COLORS."""

    color: str
    x: np.ndarray  # (P,)
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def make_series(color: str, x: Sequence[float], values: Sequence[dict]) -> Series:
    """From ``mean``, ``low`` and ``high`` of a scorecard; an end that is undefined becomes the mean."""
    mean = np.array([v["mean"] for v in values], dtype=float)
    low, high = (np.array([v[end] for v in values], dtype=float) for end in ("low", "high"))
    low, high = (np.where(np.isnan(end), mean, end) for end in (low, high))
    return Series(color, np.asarray(x, dtype=float), mean, low, high)


def model_colors(models: Sequence[str]) -> dict[str, str]:
    """A colour for each model: its own, or one of the further ones."""
    further = iter(FURTHER_COLORS * len(models))
    return {model: MODEL_COLORS[model] if model in MODEL_COLORS else next(further) for model in models}


def legend_entry(color: str, name: str, note: str) -> dict[str, str]:
    """One line of a legend."""
    return {"color": color, "name": name, "note": note}


def describe(title: str, legend: Sequence[dict[str, str]]) -> str:
    """A chart's text for screen readers: its title and its legend."""
    return title + t(": ") + t("; ").join(f"{entry['name']} {entry['note']}" for entry in legend)


def epoch_chart(curves: Sequence[Series], y_label: str, label: str, key: str, *, percent: bool = True) -> Markup:
    """Validation scores by epoch."""

    def paint(axes: Axes) -> None:
        for curve in curves:
            marker = "o" if len(curve.x) < 4 else ""
            _band(axes, curve, alpha=0.18, marker=marker, markersize=4)
        axes.set(xlabel="epoch", ylabel=y_label)
        _epoch_axis(axes, max((len(c.mean) for c in curves), default=1))
        if percent:
            _number_format(axes.yaxis, percent=True)
        else:
            axes.set_ylim(bottom=axis_start(curves))

    return draw(paint, label, key)


def axis_start(curves: Sequence[Series]) -> float | None:
    """Where the axis of an unbounded score begins, so that a bad first epoch doesn't flatten the rest; None: below all
    values."""
    last = min((float(c.mean[-1]) for c in curves), default=0.0)
    start = min(last, 0.0) - 1
    return start if min((float(c.low.min()) for c in curves), default=0.0) < start else None


def loss_share_chart(terms: np.ndarray, label: str, key: str) -> Markup:
    """(K, E) weighted loss terms -> each one's share of the total, stacked."""

    def paint(axes: Axes) -> None:
        epochs = np.arange(1, terms.shape[1] + 1)
        stacked = terms / np.maximum(terms.sum(0), 1e-12)
        colors = [PLACEHOLDERS[f"series{n % NUM_SERIES}"] for n in range(len(terms))]
        if len(epochs) > 1:
            axes.stackplot(epochs, stacked, colors=colors, alpha=0.75, linewidth=0)
        else:  # one epoch has no area
            bottom = np.concatenate([[0.0], stacked[:-1, 0].cumsum()])
            axes.bar(np.ones(len(terms)), stacked[:, 0], 0.4, bottom, color=colors, alpha=0.75)
        axes.set(xlabel="epoch", ylabel="share of the loss", ylim=(0, 1))
        axes.margins(x=0)
        _epoch_axis(axes, len(epochs))
        _number_format(axes.yaxis, percent=True)

    return draw(paint, label, key)


def line_chart(series: Sequence[Series], axis_labels: tuple[str, str], label: str, key: str, **options: bool) -> Markup:
    """Lines with their intervals as bands. Options: ``percent_x``, ``percent_y``: the axis is in percent; ``log``: the
    x axis is logarithmic."""

    def paint(axes: Axes) -> None:
        for line in series:
            _band(axes, line, alpha=0.15, marker="o", markersize=3.5)
        axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
        if options.get("log"):
            _logarithmic(axes)
        elif not options.get("percent_x"):
            axes.set_xticks(sorted({float(x) for line in series for x in line.x}))
        _number_format(axes.yaxis, percent=options.get("percent_y", False))
        if options.get("percent_x"):
            _number_format(axes.xaxis, percent=True)

    return draw(paint, label, key)


def point_chart(
    points: Sequence[Series], axis_labels: tuple[str, str], label: str, key: str, *, percent: bool
) -> Markup:
    """One point each with its interval; the x axis is logarithmic."""

    def paint(axes: Axes) -> None:
        for point in points:
            color = PLACEHOLDERS[point.color]
            axes.vlines(point.x, point.low, point.high, color=color, linewidth=1.6, alpha=0.6)
            axes.scatter(point.x, point.mean, 52, color=color, linewidth=0, zorder=3)
        axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
        axes.margins(0.12)
        _logarithmic(axes)
        _number_format(axes.yaxis, percent=percent)

    return draw(paint, label, key)


def reliability_chart(bins: Sequence[dict], color: str, axis_labels: tuple[str, str], label: str, key: str) -> Markup:
    """Stated confidence against accuracy; a dot's area is the number of rows of its bin."""

    def paint(axes: Axes) -> None:
        total = max(1, sum(b["rows"] for b in bins))
        _diagonal(axes, (0, 1))
        for number, b in enumerate(bins):
            if b["rows"]:
                center, area = (number + 0.5) / len(bins), 12 + 220 * b["rows"] / total
                style = {"color": PLACEHOLDERS[color], "linewidth": 0}
                axes.bar(center, b["accuracy"], 0.94 / len(bins), alpha=0.3, **style)
                axes.scatter(b["confidence"], b["accuracy"], area, alpha=0.9, clip_on=False, **style)
        axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1], xlim=(0, 1.04), ylim=(0, 1.06))
        axes.set_xticks(np.linspace(0, 1, 5))
        axes.set_yticks(np.linspace(0, 1, 5))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))

    return draw(paint, label, key, SMALL)


def scatter_chart(
    points: tuple[np.ndarray, np.ndarray], limits: tuple[float, float], color: str, label: str, key: str
) -> Markup:
    """True numbers against predicted ones, on equal axes; points outside the limits are drawn at the border."""

    def paint(axes: Axes) -> None:
        true, predicted = (np.clip(p, *limits) for p in points)
        _diagonal(axes, limits)
        axes.scatter(true, predicted, 9, color=PLACEHOLDERS[color], alpha=0.55, linewidth=0)
        axes.set(xlabel="true", ylabel="said", xlim=limits, ylim=limits)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(4))
            _number_format(axis)

    return draw(paint, label, key, SMALL)


def draw(paint: Callable[[Axes], None], label: str, key: str, size: tuple[float, float] = WIDE) -> Markup:
    """A chart as an SVG element of the page. ``key`` prefixes its ids, which must differ between charts."""
    drawings = _drawings.get()
    svg = drawings.get(key) if drawings else None
    if svg is None:
        with matplotlib.rc_context(STYLE):
            figure, file = Figure(figsize=size, layout="constrained"), io.BytesIO()
            paint(figure.subplots())
            figure.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
        svg = file.getvalue().decode("utf-8")
        if drawings is not None:
            drawings[key] = svg
    return inline_svg(svg, label, id_prefix() + key)


@contextmanager
def cache_drawings() -> Iterator[None]:
    """Inside the block a chart is drawn for the first language only: the others change nothing but its words."""
    token = _drawings.set({})
    try:
        yield
    finally:
        _drawings.reset(token)


def inline_svg(svg: str, label: str, key: str) -> Markup:
    """An SVG file -> an element of the page: no addresses, ids of its own, the page's colours and font."""
    body = svg[svg.index("<svg") :]
    box = re.search(r'viewBox="([^"]+)"', body)
    inner = body[body.index(">") + 1 : body.rindex("</svg>")]
    inner = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", inner, flags=re.DOTALL)
    inner = COORDINATES.sub(lambda m: DIGITS.sub(r"\1", m[0]), inner)
    inner = re.sub(r"\bid=\"", f'id="{key}-', inner)
    inner = re.sub(r'href="#', f'href="#{key}-', inner).replace("url(#", f"url(#{key}-")
    inner = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", inner)
    for name, placeholder in PLACEHOLDERS.items():
        inner = inner.replace(placeholder, f"var(--{name})")
    inner = re.sub(r">([^<>]*[a-z]{2,}[^<>]*)</text>", lambda m: f">{escape(gettext(unescape(m[1])))}</text>", inner)
    view = box.group(1) if box else "0 0 340 210"
    return Markup(f'<svg class="chart" viewBox="{view}" role="img" aria-label="{escape(label)}">{inner}</svg>')


def _band(axes: Axes, series: Series, alpha: float, marker: str, markersize: float) -> None:
    color, dashes = PLACEHOLDERS[series.color], DASHES.get(series.color, ())
    axes.fill_between(series.x, series.low, series.high, color=color, alpha=alpha, linewidth=0)
    style: dict[str, Any] = {"linewidth": 1.8, "marker": marker, "markersize": markersize, "dashes": dashes}
    axes.plot(series.x, series.mean, color=color, **style)


def _diagonal(axes: Axes, ends: tuple[float, float]) -> None:
    axes.plot(ends, ends, color=PLACEHOLDERS["ink"], linewidth=1, dashes=(4, 3), alpha=0.7)


def _epoch_axis(axes: Axes, epochs: int) -> None:
    if epochs > 1:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.set(xlim=(0.2, 1.8), xticks=[1])


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if high / low > 30 else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: amount(v)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _number_format(axis: Any, percent: bool = False) -> None:
    text = (lambda v, _: f"{100 * v:.4g} %") if percent else (lambda v, _: minus(amount(v)))
    axis.set_major_formatter(FuncFormatter(text))
