"""Calibration of models: reliability diagrams, temperatures, and the errors of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..run import Run
from ..subsample import evenly_spaced
from ..types import CLASSES, LABELS, NUMBER, Head
from . import charts, metric_format, scores_table
from .formatting import percent, rounded
from .i18n import t
from .metric_format import calibration_text, subset_name, subset_size
from .scores_table import model_name
from .stored_predictions import TargetPredictions, error_text, of_kind

CALIBRATED_MODELS = ("teacher", "student", "baseline", "export")
SCATTER_MODELS = ("teacher", "baseline", "export")  # of a student of several seeds the exported one is shown
MAX_CHARTS = 6  # targets that have charts; of further ones the numbers are listed
MAX_TEMPERATURE_CHARTS = 2  # the same, of the section on temperatures
MAX_POINTS = 400  # in a scatter chart; evenly spaced among more rows
CUT = 0.005  # of the numbers at each end may lie outside the chart
CALIBRATION_METRICS = ("ece", "brier", "log_loss")


def reliability(run: Run, heads: Sequence[Head]) -> list[dict]:
    """For each target of classes or labels a diagram for each model."""
    cards = {model: card for model, card in scores_table.scores(run).items() if model in CALIBRATED_MODELS}
    sections = []
    for number, head in enumerate(h for h in heads if h.kind in (CLASSES, LABELS)):
        drawn, diagrams = number < MAX_CHARTS, []
        for model, card in cards.items():
            single = len(heads) == 1
            facts = card.get("calibration") if single else card.get("calibrations", {}).get(head.name)
            if facts:
                key = f"sure{number or ''}-{model}"
                chart = _diagram(facts, model, model_name(model), head.kind, key) if drawn else None
                values = {metric: calibration_text(facts, metric) for metric in ("ece", "brier")}
                diagrams.append({"name": model_name(model), "chart": chart, **values})
        sections.append({"name": head.name, "kind": head.kind, "charts": diagrams, "drawn": drawn})
    return sections


def _diagram(facts: dict, model: str, title: str, kind: str, key: str) -> Any:
    axes = ("stated confidence", "right answers") if kind == CLASSES else ("stated probability", "rows with the label")
    label = t("Reliability of %(name)s: expected calibration error %(ece)s", name=title, ece=percent(facts["ece"]))
    return charts.reliability_chart(facts["bins"], model, axes, label, key)


def temperatures(run: Run) -> dict[str, Any] | None:
    """Calibration before and after temperature scaling, also on subsets of the modalities; None where no temperature
    was fitted."""
    results = metric_format.probe_results(scores_table.scores(run), "temperature")
    if not results:
        return None
    heads = [head for head in metric_format.target_kinds(run) if head.kind in (CLASSES, LABELS)]
    return {
        "targets": [_temperature_table(results, head, number) for number, head in enumerate(heads)],
        "fitted": next((facts["fitted_on"] for facts in results.values() if facts.get("fitted_on")), None),
    }


def _temperature_table(results: dict[str, dict], head: Head, number: int) -> dict[str, Any]:
    by_model = {model: facts["targets"][head.name] for model, facts in results.items() if head.name in facts["targets"]}
    diagrams = []
    for model in CALIBRATED_MODELS if number < MAX_TEMPERATURE_CHARTS else ():
        after = by_model.get(model, {}).get("after", {})
        if after.get("bins"):
            title = t("%(name)s, with its temperature", name=model_name(model))
            chart = _diagram(after, model, title, head.kind, f"heat{number}-{model}")
            diagrams.append({"title": title, "chart": chart, "ece": calibration_text(after, "ece")})
    return {
        "name": head.name,
        "lines": [_temperature_line(model, facts) for model, facts in by_model.items()],
        "charts": diagrams,
        "models": [model_name(model) for model in by_model],
        "subsets": _subset_table({model: results[model].get("subsets") or {} for model in by_model}, head.name),
    }


def _temperature_line(model: str, facts: dict) -> dict[str, Any]:
    temperature = facts.get("temperature")
    by_seed = [temperature] if isinstance(temperature, (int, float)) else list(temperature or ())

    def value(when: str, metric: str) -> str:
        if when == "after" and metric in ("ece", "brier"):
            return calibration_text(facts[when], metric)
        return percent(facts[when][metric]) if metric == "ece" else f"{facts[when][metric]:.4f}"

    return {
        "model": model_name(model),
        "temperature": ", ".join(f"{value:.2f}" for value in by_seed),
        "pairs": [(value("before", metric), value("after", metric)) for metric in CALIBRATION_METRICS],
    }


def _subset_table(by_model: dict[str, dict], target: str) -> list[dict[str, Any]]:
    """For each subset of modalities every model's ECE before and after; the shade is the ECE after."""
    names = dict.fromkeys(subset for subsets in by_model.values() for subset in subsets)
    order = sorted(names, key=lambda subset: -subset_size(subset))
    facts = [subsets.get(subset, {}).get(target) for subsets in by_model.values() for subset in order]
    largest = max((f["after"]["ece"] for f in facts if f), default=0.0)
    return [
        {
            "name": subset_name(subset),
            "cells": [_subset_cell(subsets.get(subset, {}).get(target), largest) for subsets in by_model.values()],
        }
        for subset in order
    ]


def _subset_cell(facts: dict | None, largest: float) -> dict[str, str]:
    if not facts:
        return {"before": "", "after": "", "interval": "", "depth": "0"}
    before, after = (percent(facts[when]["ece"], 1) for when in ("before", "after"))
    interval, depth = (
        metric_format.calibration_interval(facts["after"], "ece", 1),
        facts["after"]["ece"] / max(largest, 1e-9),
    )
    return {"before": before, "after": after, "interval": interval, "depth": f"{depth:.2f}"}


def numbers(predictions: Sequence[TargetPredictions]) -> list[dict]:
    """For each numeric target and model: predicted against true, and the size of the errors."""
    known = [target for target in of_kind(predictions, NUMBER) if target.known.any()]
    return [_number(target, f"number{n}" if n < MAX_CHARTS else "") for n, target in enumerate(known)]


def _number(predictions: TargetPredictions, key: str) -> dict:
    """One target; an empty key: without charts."""
    true = predictions.target[predictions.known]
    by_model = {
        model: predictions.outputs[model][predictions.known].astype(float)
        for model in SCATTER_MODELS
        if model in predictions.outputs
    }
    limits = axis_limits([true, *by_model.values()])
    return {
        "name": predictions.head.name,
        "rows": len(true),
        "shown": len(subsample(true)) if key else len(true),
        "charts": [
            _scatter(model, predictions.head, (true, predicted), limits, key and f"{key}-{model}")
            for model, predicted in by_model.items()
        ],
        "drawn": bool(key),
    }


def axis_limits(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """The range of a chart's axes: all numbers but the CUT at each end, and a margin."""
    low = min(float(np.quantile(v, CUT)) for v in values)
    high = max(float(np.quantile(v, 1 - CUT)) for v in values)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def subsample(values: np.ndarray) -> np.ndarray:
    """At most MAX_POINTS of the values, evenly spaced."""
    return values[evenly_spaced(len(values), MAX_POINTS)]


def _scatter(
    model: str, head: Head, points: tuple[np.ndarray, np.ndarray], limits: tuple[float, float], key: str
) -> dict:
    (true, predicted), name = points, model_name(model)
    error = predicted - true
    half, most = (rounded(float(q), head.std) for q in np.quantile(np.abs(error), [0.5, 0.9]))
    low, high = limits
    inside = (true >= low) & (true <= high) & (predicted >= low) & (predicted <= high)
    label = t(
        "%(name)s: said against true; half within %(half)s, nine of ten within %(most)s",
        name=name,
        half=half,
        most=most,
    )
    shown = (subsample(true), subsample(predicted))
    return {
        "name": name,
        "chart": charts.scatter_chart(shown, limits, model, label, key) if key else None,
        "half": half,
        "most": most,
        "bias": error_text(float(error.mean()), head.std, t("neither too high nor too low")),
        "outside": int((~inside).sum()),
    }
