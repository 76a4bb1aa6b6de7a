"""Whether what models state can be trusted: the confidence of classes and labels, the distance of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..run import Run
from ..subsample import evenly_spaced
from ..types import CLASSES, NUMBER, Head
from . import charts, score_format, scores_table
from .formatting import percent, rounded
from .i18n import t
from .test_predictions import Told, of_kind

CALIBRATED = ("teacher", "student", "baseline", "export")
COMPARED = ("teacher", "baseline", "export")  # of the student of several seeds the exported one is shown
DRAWN = 6  # targets of a section that get pictures; of further ones the figures are listed
MOST_POINTS = 400  # in a picture; of more rows evenly spaced ones
CUT = 0.005  # of each end of the numbers may lie outside the picture


def reliability(run: Run, heads: Sequence[Head]) -> list[dict]:
    """Of every target of classes or labels, a diagram for each model that people would rely on."""
    cards = {who: card for who, card in scores_table.scores(run).items() if who in CALIBRATED}
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
    name = scores_table.name(who)
    label = t("Reliability of %(name)s: expected calibration error %(ece)s", name=name, ece=percent(facts["ece"]))
    words = ("stated confidence", "right answers")
    if head.kind != CLASSES:
        words = ("stated probability", "rows with the label")
    chart = charts.reliability(facts["bins"], who, words, label, key) if key else None
    return {"name": name, "chart": chart, **{key: score_format.calibrated(facts, key) for key in ("ece", "brier")}}


def numbers(told: Sequence[Told]) -> list[dict]:
    """Of every number that some row has, for each model: said against true, and how far the two lie apart."""
    there = [t for t in of_kind(told, NUMBER) if t.known.any()]
    return [_number(one, number if number < DRAWN else None) for number, one in enumerate(there)]


def _number(told: Told, number: int | None) -> dict:
    """One target; drawn where it has a number."""
    true = told.target[told.known]
    said = {who: told.said[who][told.known].astype(float) for who in COMPARED if who in told.said}
    ends, drawn = span([true, *said.values()]), number is not None
    keys = {who: f"number{number}-{who}" if drawn else "" for who in said}
    return {
        "name": told.head.name,
        "rows": len(true),
        "shown": len(some(true)) if drawn else len(true),
        "charts": [_scatter(who, told.head, (true, s), ends, keys[who]) for who, s in said.items()],
        "drawn": drawn,
    }


def span(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """What a picture's axes reach over: all numbers but for the last few of each end, and a margin."""
    low = min(float(np.quantile(v, CUT)) for v in values)
    high = max(float(np.quantile(v, 1 - CUT)) for v in values)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def some(values: np.ndarray) -> np.ndarray:
    """Evenly spaced ones, where there are too many for a picture."""
    return values[evenly_spaced(len(values), MOST_POINTS)]


def _scatter(who: str, head: Head, values: tuple[np.ndarray, np.ndarray], ends: tuple[float, float], key: str) -> dict:
    true, said = values
    gap, name = said - true, scores_table.name(who)
    half, most = (rounded(float(q), head.std) for q in np.quantile(np.abs(gap), [0.5, 0.9]))
    mean = float(gap.mean())
    bias = rounded(abs(mean), head.std)
    inside = (true >= ends[0]) & (true <= ends[1]) & (said >= ends[0]) & (said <= ends[1])
    label = t(
        "%(name)s: said against true; half within %(half)s, nine of ten within %(most)s",
        name=name,
        half=half,
        most=most,
    )
    return {
        "name": name,
        "chart": charts.scatter((some(true), some(said)), ends, who, label, key) if key else None,
        "half": half,
        "most": most,
        "bias": _bias(bias, mean > 0),
        "outside": int((~inside).sum()),
    }


def _bias(size: str, high: bool) -> str:
    if size == "0":
        return t("neither too high nor too low")
    return t("%(size)s too high", size=size) if high else t("%(size)s too low", size=size)
