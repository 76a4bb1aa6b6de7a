"""A metric with its interval, in words and as a bar."""

from __future__ import annotations

import math
from collections.abc import Sequence

from . import metric_names
from .formatting import JOIN, minus, percent
from .i18n import t
from .metric_names import METRICS, SHARE

LOWEST = -1.0  # where bars begin at the lowest: a score without a lower bound would leave the others no room
ENDS = ("mean", "low", "high")


def floor_of(measured: Sequence[dict]) -> float:
    """Where the bars of a table begin: a tenth below the lowest."""
    low = min((m["low"] for m in measured if not math.isnan(m["low"])), default=0.0)
    return max(math.floor(low * 10) / 10, LOWEST)


def scale(metric: str, floor: float) -> str:
    """What stands over the bars."""
    if METRICS[metric].form == SHARE:
        return t("%(low)s to %(high)s", low=percent(floor, 0), high="100 %")
    return t("%(low)s to %(high)s", low=minus(f"{floor:g}"), high=1)


def interval(metric: str, confidence: float) -> str:
    """What stands over the intervals."""
    unit = ", %" if METRICS[metric].form == SHARE else ""
    return t("%(percent)s interval", percent=f"{100 * confidence:g} %") + unit


def measured(metric: str, facts: dict, floor: float) -> dict:
    """One cell's texts; no bar where there was nothing to measure."""
    mean, low, high = (metric_names.shown(metric, facts[k]) for k in ENDS)
    unit = f"{JOIN}%"
    known = not any(math.isnan(facts[k]) for k in ENDS)
    return {
        "mean": mean,
        "interval": t("%(low)s to %(high)s", low=low.removesuffix(unit), high=high.removesuffix(unit)),
        "label": f"{mean}, {t('%(low)s to %(high)s', low=low, high=high)}",
        "bar": {k: place(facts[k], floor) for k in ENDS} if known else None,
    }


def place(value: float, floor: float) -> str:
    """Where a value stands between the floor and 1, as a width; what lies below the floor stands at it."""
    share = (value - floor) / (1 - floor) if floor < 1 else 1.0
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"
