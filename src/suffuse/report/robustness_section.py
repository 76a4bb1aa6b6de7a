"""Scores where modalities are missing or damaged, and on a group that training never saw."""

from __future__ import annotations

from typing import Any

from ..run import Run
from . import charts, metric_format, scores_table
from .formatting import TextTable, percent, short
from .i18n import t
from .metric_format import METRICS, difference_text, interval_text, subset_size, value_text
from .scores_table import model_name

MAX_SUBSETS = 8  # columns in the terminal
TERMINAL_RATES = (0.3, 0.5)  # rates of loss in the terminal


def subsets(run: Run) -> dict[str, Any] | None:
    """Scores on subsets of the modalities, and by rate of loss; None where no model reads several modalities."""
    results = metric_format.probe_results(scores_table.scores(run), "missing")
    if not any(len(card["subsets"]) > 2 for card in results.values()):
        return None
    first = next(iter(results.values()))
    rates = {model: card for model, card in results.items() if len(card.get("rates", ())) > 1}
    return {
        "metric": t(METRICS[first["metric"]].title),
        "rows_text": metric_format.rows_text(first),
        "models": [model_name(model) for model in results],
        "rows": heat_map(results),
        **(_rate_chart(rates) if rates else {"chart": None, "legend": []}),
    }


def heat_map(results: dict[str, dict]) -> list[dict[str, Any]]:
    """A row for each subset, the largest first; the shade goes from the lowest score to the highest."""
    names = dict.fromkeys(name for card in results.values() for name in card["subsets"])
    means = [facts["mean"] for card in results.values() for facts in card["subsets"].values()]
    low, high = min(means), max(means)
    return [
        {
            "name": metric_format.subset_name(name),
            "cells": [_heat_cell(card["metric"], card["subsets"].get(name), low, high) for card in results.values()],
        }
        for name in sorted(names, key=lambda name: -subset_size(name))
    ]


def _heat_cell(metric: str, facts: dict | None, low: float, high: float) -> dict[str, str]:
    if facts is None:
        return {"text": "", "interval": "", "depth": "0", "title": t("reads other modalities")}
    lost = facts.get("cost", {}).get("difference")
    return {
        "text": value_text(metric, facts["mean"]),
        "interval": interval_text(metric, facts),
        "depth": f"{(facts['mean'] - low) / max(high - low, 1e-9):.2f}",
        "title": t("%(gap)s from everything", gap=difference_text(metric, lost)) if lost is not None else "",
    }


def _rate_chart(results: dict[str, dict]) -> dict[str, Any]:
    """Scores by the rate of lost modalities."""
    metric, notes = next(iter(results.values()))["metric"], {}
    for model, card in results.items():
        first, last = (value_text(metric, card["rates"][at]["mean"]) for at in (0, -1))
        rate = f"{100 * card['rates'][-1]['rate']:g}\u00a0%"
        notes[model] = t("%(first)s with nothing lost, %(last)s at %(rate)s", first=first, last=last, rate=rate)
    steps = {model: card["rates"] for model, card in results.items()}
    title, axis = t("Score by the share of modalities lost"), ("rate", "chance of losing each modality")
    return _chart(steps, notes, metric, axis, title, "missing-rates", percent_x=True)


def robustness(run: Run) -> dict[str, Any] | None:
    """Scores by severity of damage to each modality, and on a held-out group; None where nothing was measured."""
    results = metric_format.probe_results(scores_table.scores(run), "robustness")
    if not results:
        return None
    first = next(iter(results.values()))
    names = dict.fromkeys(name for card in results.values() for name in card.get("modalities") or ())
    held_out = {model: card for model, card in results.items() if card.get("held_out")}
    return {
        "rows_text": metric_format.rows_text(first) if "rows" in first else "",
        "charts": [_damage_chart(results, name, number) for number, name in enumerate(names)],
        "held_out": [_held_out_line(model, card["metric"], card["held_out"]) for model, card in held_out.items()],
        "group": next((card["held_out"] for card in held_out.values()), None),
    }


def _damage_chart(results: dict[str, dict], modality: str, number: int) -> dict[str, Any]:
    """One modality: a line for each model that reads it."""
    results = {model: card for model, card in results.items() if (card.get("modalities") or {}).get(modality)}
    metric, notes = next(iter(results.values()))["metric"], {}
    steps = {model: card["modalities"][modality] for model, card in results.items()}
    for model, card in results.items():
        last, retained = steps[model][-1], (card.get("retained") or {}).get(modality)
        score = value_text(metric, last["mean"])
        text = t("%(score)s at severity %(severity)s", score=score, severity=last["severity"])
        if retained is not None:
            text = t("%(score)s; %(retained)s kept", score=text, retained=percent(retained, 0))
        notes[model] = text
    title = t("Score by severity of damage to %(name)s", name=modality)
    return {
        "title": short(modality),
        **_chart(steps, notes, metric, ("severity", "severity"), title, f"damage{number}"),
    }


def _chart(
    steps: dict[str, list[dict]],
    notes: dict[str, str],
    metric: str,
    axis: tuple[str, str],
    title: str,
    key: str,
    **options: bool,
) -> dict[str, Any]:
    """Lines over a key of each step, by model, and their legend. ``axis``: that key, and the axis label."""
    colors, (x, x_label) = charts.model_colors(list(steps)), axis
    lines = [charts.make_series(colors[model], [step[x] for step in values], values) for model, values in steps.items()]
    legend = [charts.legend_entry(colors[model], model_name(model), note) for model, note in notes.items()]
    label, percents = charts.describe(title, legend), metric_format.is_share(metric)
    chart = charts.line_chart(lines, (x_label, METRICS[metric].name), label, key, percent_y=percents, **options)
    return {"chart": chart, "legend": legend}


def _held_out_line(model: str, metric: str, facts: dict) -> dict[str, str]:
    return {
        "model": model_name(model),
        **{split: value_text(metric, facts[split]["mean"]) for split in ("test", "validation")},
        "difference": difference_text(metric, facts["difference"]["mean"]),
        "interval": interval_text(metric, facts["difference"]),
    }


def subsets_table(run: Run) -> TextTable | None:
    """For the terminal: a row for each model, its scores on subsets of the modalities and at two rates of loss."""
    results = metric_format.probe_results(scores_table.scores(run), "missing")
    results = {model: card for model, card in results.items() if len(card["subsets"]) > 2}
    if not results:
        return None
    first = max(results.values(), key=lambda card: len(card["subsets"]))
    names = terminal_subsets(list(first["subsets"]))
    rows = []
    for model, card in results.items():
        facts = [card["subsets"].get(name) for name in names]
        facts += [step for step in card["rates"] if step["rate"] in TERMINAL_RATES]
        values = (metric_format.ascii_value(card["metric"], f["mean"]) if f else "" for f in facts)
        rows.append((model_name(model), *values))
    metric, number = t(METRICS[first["metric"]].title), metric_format.rows_text(first)
    lost = (t("%(rate)s lost", rate=f"{100 * rate:g} %") for rate in TERMINAL_RATES)
    title = t("%(metric)s with modalities missing (%(rows)s)", metric=metric, rows=number)
    return TextTable(title, (t("model"), *names, *lost), rows)


def terminal_subsets(names: list[str]) -> list[str]:
    """All subsets, the largest first; of many: the full one, those that lack one modality, and the empty one."""
    order = sorted(names, key=lambda name: -subset_size(name))
    if len(order) <= MAX_SUBSETS:
        return order
    largest = subset_size(order[0])
    return [name for name in order if subset_size(name) >= largest - 1 or not subset_size(name)]
