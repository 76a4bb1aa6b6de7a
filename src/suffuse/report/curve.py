"""Scores by the share of the labels, as a small table."""

from __future__ import annotations

from ..files import read_json
from ..run import Run
from . import metrics
from .blocks import Block
from .metrics import METRICS


def curve(run: Run) -> Block | None:
    """A line for each share; None where the run has no curve."""
    found = read_json(run.path("scores", "label-curve.json"))
    if not found:
        return None
    metric, rows = found["metric"], []
    for point in found["points"]:
        verdict, needs = point["verdict"], point["baseline_needs"]
        gap, low, high = (metrics.difference(metric, verdict[k]) for k in ("difference", "low", "high"))
        rows.append(
            (
                f"{100 * point['share']:.3g} %",
                f"{point['labels']:,}",
                *(_score(metric, point[who]) for who in ("student", "baseline")),
                f"{gap} [{low}, {high}]",
                verdict["verdict"],
                f"{needs:,}" if needs else "-",
            )
        )
    headings = ("labels", "rows", "student", "labels alone", "difference", "distillation", "labels alone need")
    return Block(f"Label efficiency: {METRICS[metric].name}", headings, rows)


def _score(metric: str, facts: dict) -> str:
    low, high = (metrics.value(metric, facts[end]).removesuffix(" %") for end in ("low", "high"))
    return f"{metrics.value(metric, facts['mean'])}  [{low}, {high}]"
