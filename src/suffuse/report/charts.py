"""Charts as inline SVG.

Matplotlib draws with placeholder colours that stand for CSS variables, so that one drawing serves light and
dark. Only fixed English words and numbers are drawn; names from the run stand in the legends beside, in HTML.
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
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .formatting import amount, minus
from .i18n import gettext, place

SERIES = 8  # colours for things that have no colour of their own
NAMES = ("ink", "grid", "teacher", "student", "baseline", "export", *(f"series{n}" for n in range(SERIES)))
PAINT = {name: f"#0a0b{number:02x}" for number, name in enumerate(NAMES)}  # placeholders, in no real colour's way
DASHES = {"teacher": (5, 2), "baseline": (1.5, 1.5)}  # lines differ by more than colour
STYLE: dict[Any, Any] = {  # rcParams
    "svg.fonttype": "none",
    "svg.hashsalt": "suffuse",  # the same drawing has the same bytes
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": PAINT["ink"],
    "axes.labelcolor": PAINT["ink"],
    "axes.edgecolor": PAINT["grid"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "grid.color": PAINT["grid"],
    "grid.linewidth": 0.6,
    "xtick.color": PAINT["grid"],
    "ytick.color": PAINT["grid"],
    "xtick.labelcolor": PAINT["ink"],
    "ytick.labelcolor": PAINT["ink"],
}
_drawn: ContextVar[dict[str, str] | None] = ContextVar("drawn", default=None)
PLACES = re.compile(r'\b(?:d|x|y|width|height|transform)="[^"]*"')  # attributes that say where something is
DIGITS = re.compile(r"(\.\d\d)\d+")  # a hundredth of a point is less than can be seen
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Curve:
    """One model's validation score, epoch by epoch: the mean over its seeds, and the lowest and highest."""

    paint: str  # a name of NAMES
    mean: np.ndarray  # (E,)
    low: np.ndarray
    high: np.ndarray


def curves(found: Sequence[Curve], says: str, label: str, key: str, *, percent: bool = True) -> Markup:
    """Validation scores over epochs; ``says`` stands at the axis."""

    def paint(axes: Axes) -> None:
        for curve in found:
            epochs, colour = np.arange(1, len(curve.mean) + 1), PAINT[curve.paint]
            axes.fill_between(epochs, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
            marker = "o" if len(epochs) < 4 else ""
            dashes = DASHES.get(curve.paint, ())
            axes.plot(epochs, curve.mean, color=colour, linewidth=1.8, marker=marker, markersize=4, dashes=dashes)
        axes.set(xlabel="epoch", ylabel=says)
        _epochs(axes, max((len(c.mean) for c in found), default=1))
        if percent:
            _percent(axes)
        else:
            axes.set_ylim(bottom=lowest(found))

    return draw(paint, label, key)


def lowest(found: Sequence[Curve]) -> float | None:
    """Where the axis of a score without a lower bound begins, so that a bad first epoch doesn't flatten the rest."""
    ends = min((float(c.mean[-1]) for c in found), default=0.0)
    below = min(ends, 0.0) - 1
    return below if min((float(c.low.min()) for c in found), default=0.0) < below else None


def shares(terms: np.ndarray, label: str, key: str) -> Markup:
    """(K, E) weighted loss terms -> each one's share of the total, stacked."""

    def paint(axes: Axes) -> None:
        epochs = np.arange(1, terms.shape[1] + 1)
        stacked = terms / np.maximum(terms.sum(0), 1e-12)
        colours = [PAINT[f"series{n % SERIES}"] for n in range(len(terms))]
        if len(epochs) > 1:
            axes.stackplot(epochs, stacked, colors=colours, alpha=0.75, linewidth=0)
        else:  # one epoch has no area
            bottom = np.concatenate([[0.0], stacked[:-1, 0].cumsum()])
            axes.bar(np.ones(len(terms)), stacked[:, 0], 0.4, bottom, color=colours, alpha=0.75)
        axes.set(xlabel="epoch", ylabel="share of the loss", ylim=(0, 1))
        axes.margins(x=0)
        _epochs(axes, len(epochs))
        _percent(axes)

    return draw(paint, label, key)


def reliability(bins: Sequence[dict], paint_name: str, says: tuple[str, str], label: str, key: str) -> Markup:
    """What is stated against the share that comes true; a dot's area says how many rows it holds. ``says`` stands
    at the axes."""

    def paint(axes: Axes) -> None:
        colour, total = PAINT[paint_name], max(1, sum(b["rows"] for b in bins))
        axes.plot([0, 1], [0, 1], color=PAINT["ink"], linewidth=1, dashes=(4, 3), alpha=0.7)
        for number, one in enumerate(bins):
            if one["rows"]:
                centre = (number + 0.5) / len(bins)
                axes.bar(centre, one["accuracy"], 0.94 / len(bins), color=colour, alpha=0.3, linewidth=0)
                area = 12 + 220 * one["rows"] / total
                axes.scatter(
                    one["confidence"], one["accuracy"], area, color=colour, alpha=0.9, linewidth=0, clip_on=False
                )
        axes.set(xlabel=says[0], ylabel=says[1], xlim=(0, 1.04), ylim=(0, 1.06))
        axes.set_xticks(np.linspace(0, 1, 5))
        axes.set_yticks(np.linspace(0, 1, 5))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))

    return draw(paint, label, key, (3.0, 2.7))


def scatter(
    points: tuple[np.ndarray, np.ndarray], ends: tuple[float, float], paint_name: str, label: str, key: str
) -> Markup:
    """True numbers against said ones, on equal axes; those outside stand at the rim."""

    def paint(axes: Axes) -> None:
        true, said = (np.clip(p, *ends) for p in points)
        axes.plot(ends, ends, color=PAINT["ink"], linewidth=1, dashes=(4, 3), alpha=0.7)
        axes.scatter(true, said, 9, color=PAINT[paint_name], alpha=0.55, linewidth=0)
        axes.set(xlabel="true", ylabel="said", xlim=ends, ylim=ends)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(4))
            axis.set_major_formatter(FuncFormatter(lambda v, _: minus(amount(v))))

    return draw(paint, label, key, (3.0, 2.7))


def draw(paint: Callable[[Axes], None], label: str, key: str, size: tuple[float, float] = (4.7, 2.9)) -> Markup:
    """A chart as SVG that stands in the page itself. ``key`` keeps its ids apart from other charts'."""
    drawn = _drawn.get()
    if drawn is None or key not in drawn:
        with matplotlib.rc_context(STYLE):
            figure, file = Figure(figsize=size, layout="constrained"), io.BytesIO()
            paint(figure.subplots())
            figure.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
        svg = file.getvalue().decode("utf-8")
        if drawn is not None:
            drawn[key] = svg
    else:
        svg = drawn[key]
    return inline(svg, label, place() + key)


@contextmanager
def drawn_once() -> Iterator[None]:
    """Within this, a chart is drawn for the first language only: the others change nothing but its words."""
    token = _drawn.set({})
    try:
        yield
    finally:
        _drawn.reset(token)


def inline(svg: str, label: str, key: str) -> Markup:
    """A whole SVG file -> an element of the page: no addresses, own ids, the page's colours and font."""
    body = svg[svg.index("<svg") :]
    box = re.search(r'viewBox="([^"]+)"', body)
    inner = body[body.index(">") + 1 : body.rindex("</svg>")]
    inner = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", inner, flags=re.DOTALL)
    inner = PLACES.sub(lambda m: DIGITS.sub(r"\1", m[0]), inner)
    inner = re.sub(r"\bid=\"", f'id="{key}-', inner)
    inner = re.sub(r'href="#', f'href="#{key}-', inner).replace("url(#", f"url(#{key}-")
    inner = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", inner)
    for name, placeholder in PAINT.items():
        inner = inner.replace(placeholder, f"var(--{name})")
    inner = re.sub(r">([^<>]*[a-z]{2,}[^<>]*)</text>", lambda m: f">{escape(gettext(unescape(m[1])))}</text>", inner)
    view = box.group(1) if box else "0 0 340 210"
    return Markup(f'<svg class="chart" viewBox="{view}" role="img" aria-label="{escape(label)}">{inner}</svg>')


def _epochs(axes: Axes, count: int) -> None:
    if count > 1:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.set(xlim=(0.2, 1.8), xticks=[1])


def _percent(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g} %"))
