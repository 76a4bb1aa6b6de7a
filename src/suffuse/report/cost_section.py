"""Latency and size of models against their scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..run import Run
from . import charts, metric_format, scores_table
from .formatting import kilobytes
from .i18n import t
from .metric_format import METRICS

AXES = {"latency": "milliseconds a row", "size": "kilobytes"}


@dataclass(frozen=True)
class CostPoint:
    """A model in a chart."""

    color: str
    name: str
    cost: float
    metric: str
    score: dict


def cost(run: Run) -> dict[str, Any] | None:
    """Two charts with their legends, and a table; None where fewer than two models have a cost. Models without a score
    (R2 of test rows with a single value) aren't drawn."""
    cards = {model: c for model, c in scores_table.scores(run).items() if scores_table.is_main_model(model)}
    metric, drawn = metric_format.main_metric_of(run), []
    for axis in AXES:
        costs = {
            model: value
            for model, card in cards.items()
            if (value := cost_of(card, axis)) and math.isfinite(card["metrics"][metric]["mean"])
        }
        colors = charts.model_colors(list(costs))
        points = [
            CostPoint(colors[model], scores_table.model_name(model), value, metric, cards[model]["metrics"][metric])
            for model, value in costs.items()
        ]
        drawn += cost_chart(points, axis, f"cost-{axis}")
    if not drawn:
        return None
    details = [
        _details(scores_table.model_name(model), card)
        for model, card in cards.items()
        if card.get("latency") or card.get("memory")
    ]
    return {"charts": drawn, "details": details}


def cost_of(card: dict, axis: str) -> float | None:
    """Milliseconds a row, or kilobytes; None where it wasn't measured."""
    if axis == "latency":
        return (card.get("latency_ms") or {}).get("p50")
    return card["bytes"] / 1000 if card.get("bytes") else None


def cost_chart(points: Sequence[CostPoint], axis: str, key: str) -> list[dict[str, Any]]:
    """A chart: cost to the right, score upwards; empty with fewer than two points."""
    if len(points) < 2:
        return []
    title, legend = t("Time of an answer") if axis == "latency" else t("Size of the file"), []
    for point in points:
        score = metric_format.value_text(point.metric, point.score["mean"])
        size = f"{point.cost:.3f} ms" if axis == "latency" else kilobytes(round(1000 * point.cost))
        legend.append(
            charts.legend_entry(point.color, point.name, t("%(first)s, %(second)s", first=score, second=size))
        )
    series = [charts.make_series(point.color, [point.cost], [point.score]) for point in points]
    metric = points[0].metric
    labels, percent = (AXES[axis], METRICS[metric].name), metric_format.is_share(metric)
    chart = charts.point_chart(series, labels, charts.describe(title, legend), key, percent=percent)
    return [{"title": title, "chart": chart, "legend": legend}]


def _details(name: str, card: dict) -> dict[str, Any]:
    """Batches, the first prediction, memory and multiplications of one model."""
    latency, memory = card.get("latency", {}), card.get("memory", {})
    batches, cold_start = latency.get("batches", {}), latency.get("cold_start_ms", {})
    single = batches.get("1", {})
    return {
        "name": name,
        "percentiles": " / ".join(f"{single[p]:.3f}" for p in ("p50", "p95", "p99")) if single else "",
        "rates": [f"{batches[n]['rows_per_second']:,.0f}" if n in batches else "" for n in ("1", "8", "64")],
        "cold_start": f"{cold_start['process']:,.0f} ms" if cold_start.get("process") is not None else "",
        "memory": kilobytes(memory["model_bytes"]) if memory.get("model_bytes") is not None else "",
        "macs": f"{card['macs']['per_row']:,}" if card.get("macs", {}).get("per_row") is not None else "",
    }
