"""How models do where modalities are missing: every subset as a heat map, and rates of loss as curves."""

from __future__ import annotations

from typing import Any

from ..run import Run
from . import metric_names, plots, score_format, scores_table
from .i18n import t
from .metric_names import METRICS


def subsets(run: Run) -> dict[str, Any] | None:
    """None where no model that reads several modalities was measured."""
    found = score_format.of(scores_table.scores(run), "missing")
    if not any(len(card["subsets"]) > 2 for card in found.values()):
        return None
    first = next(iter(found.values()))
    return {
        "metric": t(METRICS[first["metric"]].title),
        "on": score_format.on(first),
        "models": [scores_table.name(who) for who in found],
        "rows": heat(found),
        **rates(found),
    }


def heat(found: dict[str, dict]) -> list[dict[str, Any]]:
    """A line for each subset, the largest first; a cell's shade goes from the lowest score to the highest."""
    names = dict.fromkeys(name for card in found.values() for name in card["subsets"])
    order = sorted(names, key=lambda name: -(0 if name == "nothing" else name.count("+") + 1))
    means = [one["mean"] for card in found.values() for one in card["subsets"].values()]
    low, high = min(means), max(means)
    return [
        {"name": score_format.subset(name), "cells": [_cell(card, name, low, high) for card in found.values()]}
        for name in order
    ]


def _cell(card: dict, name: str, low: float, high: float) -> dict[str, str]:
    one, metric = card["subsets"].get(name), card["metric"]
    if one is None:
        return {"text": "", "span": "", "depth": "0", "title": t("reads other modalities")}
    lost = one.get("cost", {}).get("difference")
    title = t("%(gap)s from everything", gap=score_format.gap(metric, lost)) if lost is not None else ""
    depth = f"{(one['mean'] - low) / max(high - low, 1e-9):.2f}"
    return {
        "text": metric_names.shown(metric, one["mean"]),
        "span": score_format.span(metric, one),
        "depth": depth,
        "title": title,
    }


def rates(found: dict[str, dict]) -> dict[str, Any]:
    """The curve over rates of loss, and what it ends at."""
    there = {who: card for who, card in found.items() if len(card.get("rates", ())) > 1}
    if not there:
        return {"chart": None, "legend": []}
    colours, metric = plots.paints(list(there)), next(iter(there.values()))["metric"]
    curves = [plots.line(colours[w], [r["rate"] for r in c["rates"]], c["rates"]) for w, c in there.items()]
    legend = [
        {"paint": colours[who], "name": scores_table.name(who), "note": _ends(metric, card)}
        for who, card in there.items()
    ]
    label = t("Score by the share of modalities lost") + ": " + "; ".join(f"{x['name']} {x['note']}" for x in legend)
    percent = score_format.share(metric)
    says = ("chance of losing each modality", METRICS[metric].name)
    return {
        "chart": plots.lines(curves, says, label, "missing-rates", percent_x=True, percent_y=percent),
        "legend": legend,
    }


def _ends(metric: str, card: dict) -> str:
    first, last = card["rates"][0], card["rates"][-1]
    return t(
        "%(first)s with nothing lost, %(last)s at %(rate)s",
        first=metric_names.shown(metric, first["mean"]),
        last=metric_names.shown(metric, last["mean"]),
        rate=f"{100 * last['rate']:g}\u00a0%",
    )
