"""Contribution of each modality by model: Shapley values as bars, interactions, and their fidelity to the teacher's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..run import Run
from . import charts, metric_format, scores_table
from .formatting import TextTable, minus, percent
from .i18n import t
from .metric_format import METRICS, ascii_difference, difference_text, interval_text, range_text
from .scores_table import model_name

MAX_PAIRS = 6


def contribution(run: Run) -> dict[str, Any] | None:
    """None where no model reads several modalities."""
    results = _shapley_results(run)
    if not any(len(card["shapley"]) > 1 for card in results.values()):
        return None
    first = next(iter(results.values()))
    return {
        "metric": t(METRICS[first["metric"]].title),
        "rows_text": metric_format.rows_text(first),
        "bars": bars(results),
        "pairs": _pairs(results),
        "changed": _changed_rows(results),
        "fidelity": [_fidelity(model, card["fidelity"]) for model, card in results.items() if card.get("fidelity")],
        "emap": {
            model_name(model): _difference_cell(card["metric"], card["emap"]["gap"])
            for model, card in results.items()
            if card.get("emap")
        },
        "gates": _gates(results),
    }


def _shapley_results(run: Run) -> dict[str, dict]:
    results = metric_format.probe_results(scores_table.scores(run), "contribution")
    return {model: card for model, card in results.items() if card.get("shapley")}


def bars(results: dict[str, dict], name: Callable[[str], str] = model_name) -> list[dict[str, Any]]:
    """For each modality a bar of each model that reads it; all share one scale, which contains 0."""
    modalities = dict.fromkeys(modality for card in results.values() for modality in card["shapley"])
    values = [facts for card in results.values() for facts in card["shapley"].values()]
    low = min(0.0, *(v["low"] for v in values))
    high = max(0.0, *(v["high"] for v in values))
    scale, colors = (low, max(high - low, 1e-9)), charts.model_colors(list(results))
    return [
        {
            "name": modality,
            "rows": [
                {"model": name(model), "color": colors[model], **bar(card["metric"], card["shapley"][modality], scale)}
                for model, card in results.items()
                if modality in card["shapley"]
            ],
        }
        for modality in modalities
    ]


def bar(metric: str, facts: dict, scale: tuple[float, float]) -> dict[str, str]:
    """A bar from 0 to the mean, and its interval, in percent of the scale (lowest, width)."""

    def position(value: float) -> float:
        return 100 * min(max((value - scale[0]) / scale[1], 0.0), 1.0)

    start, end = sorted((position(0.0), position(facts["mean"])))
    low, high = position(facts["low"]), position(facts["high"])
    return {
        "left": f"{start:.2f}%",
        "width": f"{end - start:.2f}%",
        "zero": f"{position(0.0):.2f}%",
        "low": f"{low:.2f}%",
        "reach": f"{high - low:.2f}%",
        "value": difference_text(metric, facts["mean"]),
        "interval": interval_text(metric, facts),
    }


def _pairs(results: dict[str, dict]) -> dict[str, Any]:
    """The score of all modalities beyond the best single one, and the interaction of each pair."""
    pairs = list(dict.fromkeys(pair for card in results.values() for pair in card.get("interaction") or ()))[:MAX_PAIRS]
    rows = [
        {
            "model": model_name(model),
            "beyond": _difference_cell(card["metric"], card.get("cooperation")),
            "cells": [_difference_cell(card["metric"], (card.get("interaction") or {}).get(pair)) for pair in pairs],
        }
        for model, card in results.items()
    ]
    return {"names": [metric_format.subset_name(pair) for pair in pairs], "rows": rows}


def _changed_rows(results: dict[str, dict]) -> dict[str, Any] | None:
    """Shares of rows that a modality turns right, and wrong; None where right and wrong aren't measured."""

    def cells(card: dict, modality: str) -> list[dict[str, str]]:
        return [_share_cell(card[kind].get(modality)) for kind in ("helped", "hurt")]

    return _by_modality(results, "helped", cells)


def _gates(results: dict[str, dict]) -> dict[str, Any] | None:
    """The fusion's mean weights, and each modality's share of the Shapley values."""

    def cells(card: dict, modality: str) -> list[str]:
        shares = (card["gates"].get(modality), shapley_share(card, modality))
        return ["" if share is None else percent(share, 0) for share in shares]

    return _by_modality(results, "gates", cells)


def _by_modality(results: dict[str, dict], key: str, cells: Callable[[dict, str], list]) -> dict[str, Any] | None:
    """A row for each model that has ``key``, cells for each modality."""
    results = {model: card for model, card in results.items() if card.get(key)}
    if not results:
        return None
    names = list(dict.fromkeys(name for card in results.values() for name in card[key]))
    rows = [{"model": model_name(m), "cells": [cells(card, name) for name in names]} for m, card in results.items()]
    return {"names": names, "rows": rows}


def shapley_share(card: dict, modality: str) -> float | None:
    """A modality's share of the sum of absolute Shapley values."""
    total = sum(abs(facts["mean"]) for facts in card["shapley"].values())
    return abs(card["shapley"][modality]["mean"]) / total if total and modality in card["shapley"] else None


def _fidelity(model: str, facts: dict) -> dict[str, Any]:
    numbers = {key: _number_cell(facts.get(key)) for key in ("cosine", "rank", "difference")}
    return {"model": model_name(model), **numbers, "same_first": _share_cell(facts.get("same_first"))}


def _difference_cell(metric: str, facts: dict | None) -> dict[str, str]:
    if not facts:
        return {"text": "", "interval": ""}
    return {"text": difference_text(metric, facts["mean"]), "interval": interval_text(metric, facts)}


def _share_cell(facts: dict | None) -> dict[str, str]:
    """``12.3 %``, and ``11.0 to 13.5``."""
    if not facts:
        return {"text": "", "interval": ""}
    low, high = (f"{100 * facts[end]:.1f}" for end in ("low", "high"))
    return {"text": percent(facts["mean"], 1), "interval": range_text(low, high)}


def _number_cell(facts: dict | None) -> dict[str, str]:
    """``0.912``, and ``0.900 to 0.921``."""
    if not facts:
        return {"text": "", "interval": ""}
    mean, low, high = (minus(f"{facts[key]:.3f}") for key in ("mean", "low", "high"))
    return {"text": mean, "interval": range_text(low, high)}


def contribution_table(run: Run) -> TextTable | None:
    """For the terminal: a row for each model, the Shapley value of each modality, the score of all beyond the best
    single one, and the similarity to its teacher's values."""
    results = _shapley_results(run)
    if not results:
        return None
    names = list(max((card["shapley"] for card in results.values()), key=len))
    first, rows = next(iter(results.values())), []
    for model, card in results.items():
        shapley = (card["shapley"].get(name) for name in names)
        values = [ascii_difference(card["metric"], f["mean"]) if f else "" for f in (*shapley, card["cooperation"])]
        cosine = card.get("fidelity", {}).get("cosine")
        rows.append((model_name(model), *values, f"{cosine['mean']:.2f}" if cosine else ""))
    metric, number = t(METRICS[first["metric"]].name), metric_format.rows_text(first)
    title = t("What each modality contributes: Shapley values of %(metric)s (%(rows)s)", metric=metric, rows=number)
    similarity = t("as its teacher") if any(row[-1] for row in rows) else ""
    return TextTable(title, (t("model"), *names, t("beyond the best one"), similarity), rows)
