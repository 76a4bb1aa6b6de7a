"""Whether what models state can be trusted: the confidence of classes and labels, the distance of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..run import Run
from ..types import CLASSES, NUMBER, Head
from . import charts, table
from .scored import Told, of_kind
from .words import amount, percent

CALIBRATED = ("teacher", "student", "baseline", "export")
COMPARED = ("teacher", "baseline", "export")  # of the student of several seeds the exported one is shown
DRAWN = 6  # targets of a section that get pictures; of further ones the figures are listed
MOST_POINTS = 400  # in a picture; of more rows evenly spaced ones
CUT = 0.005  # of each end of the numbers may lie outside the picture


def reliability(run: Run, heads: Sequence[Head]) -> list[dict]:
    """Of every target of classes or labels, a diagram for each model that people would rely on."""
    cards = {who: card for who, card in table.scores(run).items() if who in CALIBRATED}
    found = []
    for number, head in enumerate(h for h in heads if h.kind != NUMBER):
        facts = {who: _calibration(card, head, len(heads)) for who, card in cards.items()}
        keys = {who: f"sure{number or ''}-{who}" if number < DRAWN else "" for who in facts}
        made = [_diagram(who, f, head, keys[who]) for who, f in facts.items() if f]
        found.append({"name": head.name, "kind": head.kind, "charts": made, "drawn": number < DRAWN})
    return found


def _calibration(card: dict, head: Head, heads: int) -> dict | None:
    return card.get("calibration") if heads == 1 else card.get("calibrations", {}).get(head.name)


def _diagram(who: str, facts: dict, head: Head, key: str) -> dict:
    name = table.name(who)
    label = f"Reliability of {name}: expected calibration error {percent(facts['ece'])}"
    words = ("stated confidence", "right answers")
    if head.kind != CLASSES:
        words = ("stated probability", "rows with the label")
    chart = charts.reliability(facts["bins"], who, words, label, key) if key else None
    return {"name": name, "chart": chart, "ece": percent(facts["ece"]), "brier": f"{facts['brier']:.4f}"}


def numbers(told: Sequence[Told]) -> list[dict]:
    """Of every number, for each model: said against true, and how far the two lie apart."""
    found = []
    for number, one in enumerate(of_kind(told, NUMBER)):
        true = one.target[one.known]
        said = {who: one.said[who][one.known].astype(float) for who in COMPARED if who in one.said}
        if len(true):
            ends, drawn = span([true, *said.values()]), number < DRAWN
            made = [_scatter(who, true, s, ends, f"number{number}-{who}" if drawn else "") for who, s in said.items()]
            shown = len(some(true)) if drawn else len(true)
            found.append({"name": one.head.name, "rows": len(true), "shown": shown, "charts": made, "drawn": drawn})
    return found


def span(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """What a picture's axes reach over: all numbers but for the last few of each end, and a margin."""
    low = min(float(np.quantile(v, CUT)) for v in values)
    high = max(float(np.quantile(v, 1 - CUT)) for v in values)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def some(values: np.ndarray) -> np.ndarray:
    """Evenly spaced ones, where there are too many for a picture."""
    return values[:: -(-len(values) // MOST_POINTS)]


def _scatter(who: str, true: np.ndarray, said: np.ndarray, ends: tuple[float, float], key: str) -> dict:
    gap, name = said - true, table.name(who)
    half, most = np.quantile(np.abs(gap), [0.5, 0.9])
    mean = float(gap.mean())
    within = {"half": amount(half, 3), "most": amount(most, 3)}
    label = f"{name}: said against true; half within {within['half']}, nine of ten within {within['most']}"
    inside = (true >= ends[0]) & (true <= ends[1]) & (said >= ends[0]) & (said <= ends[1])
    return {
        "name": name,
        "chart": charts.scatter((some(true), some(said)), ends, who, label, key) if key else None,
        **within,
        "bias": f"{amount(abs(mean), 3)} too {'high' if mean > 0 else 'low'}",
        "outside": int((~inside).sum()),
    }
