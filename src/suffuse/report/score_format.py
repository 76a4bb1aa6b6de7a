"""Which models a probe measured, and values of scorecards in words."""

from __future__ import annotations

import math
from typing import Any

from . import metric_names
from .formatting import JOIN, count, minus, percent
from .i18n import t
from .metric_names import METRICS, SHARE

MAIN = ("teacher", "student", "baseline", "export")


def of(cards: dict[str, dict], field: str) -> dict[str, Any]:
    """Who -> what a probe found, of those that it measured: the teacher first, the exported forms last."""
    return {who: card[field] for who, card in cards.items() if card.get(field)}


def span(metric: str, facts: dict) -> str:
    """``90.1 to 92.3``, nothing where there is no interval."""
    if any(facts.get(end) is None or math.isnan(facts[end]) for end in ("low", "high")):
        return ""
    low, high = (metric_names.shown(metric, facts[end]).removesuffix(f"{JOIN}%") for end in ("low", "high"))
    return t("%(low)s to %(high)s", low=low, high=high)


def calibrated(facts: dict, key: str) -> str:
    """``1.23 % (1.10 to 1.40)``: an ECE or Brier score with its interval, where there is one."""
    said, ends = percent(facts[key]) if key == "ece" else f"{facts[key]:.4f}", spread(facts, key)
    return f"{said} ({ends})" if ends else said


def spread(facts: dict, key: str, places: int = 2) -> str:
    """``1.10 to 1.40``, where an ECE (so many decimals of a percent) or Brier score has an interval; else nothing."""
    ends = (facts.get("intervals") or {}).get(key)
    if ends is None or math.isnan(ends["low"]):
        return ""
    both = (ends[end] for end in ("low", "high"))
    low, high = (percent(v, places).removesuffix(f"{JOIN}%") if key == "ece" else f"{v:.4f}" for v in both)
    return t("%(low)s to %(high)s", low=low, high=high)


def gap(metric: str, number: float) -> str:
    """A difference with its sign and unit."""
    return minus(metric_names.difference(metric, number)) + metric_names.points(metric)


def share(metric: str) -> bool:
    """Whether a metric is in percent."""
    return METRICS[metric].form == SHARE


def on(card: dict) -> str:
    """On how many rows something was measured."""
    whole = count(card.get("of", card["rows"]), "test row")
    if card["rows"] == card.get("of", card["rows"]):
        return whole
    return t("%(some)s of %(all)s", some=f"{card['rows']:,}", all=whole)


def subset(name: str) -> str:
    """A subset of modalities as people read it."""
    return t("nothing: what training rows are like") if name == "nothing" else name.replace("+", " + ")
