"""Scores by the share of the labels, as a small table and as a picture."""

from __future__ import annotations

from typing import Any

from ..files import read_json
from ..run import Run
from . import metric_names, plots, score_format, scores_table
from .i18n import t
from .metric_names import METRICS
from .text_table import Block

SIDES = ("student", "baseline")


def curve(run: Run) -> Block | None:
    """A line for each share; None where the run has no curve."""
    found = read_json(run.path("scores", "label-curve.json"))
    if not found:
        return None
    metric, rows = found["metric"], []
    for point in found["points"]:
        verdict, needs = point["verdict"], point["baseline_needs"]
        gap, low, high = (metric_names.difference(metric, verdict[k]) for k in ("difference", "low", "high"))
        rows.append(
            (
                f"{100 * point['share']:.3g} %",
                f"{point['labels']:,}",
                *(_score(metric, point[who]) for who in SIDES),
                f"{gap} [{low}, {high}]",
                t(verdict["verdict"]),
                f"{needs:,}" if needs else "-",
            )
        )
    headings = (t("share of labels"), t("rows"), t("student"), t("labels only"), t("difference"), t("distillation"),
                t("baseline needs"))  # fmt: skip
    return Block(t("Label efficiency: %(metric)s", metric=t(METRICS[metric].name)), headings, rows)


def drawn(run: Run) -> dict[str, Any] | None:
    """The curve as a picture; None where there are fewer than two shares."""
    found = read_json(run.path("scores", "label-curve.json"))
    if not found or len(found["points"]) < 2:
        return None
    metric, points = found["metric"], sorted(found["points"], key=lambda p: p["share"])
    lines = [plots.line(who, [p["share"] * 100 for p in points], [p[who] for p in points]) for who in SIDES]
    legend = [{"paint": who, "name": scores_table.name(who), "note": _note(metric, points, who)} for who in SIDES]
    label = t("Score by the share of the labels") + ": " + "; ".join(f"{x['name']} {x['note']}" for x in legend)
    says = ("labels, in percent", METRICS[metric].name)
    chart = plots.lines(lines, says, label, "label-curve", log=True, percent_y=score_format.share(metric))
    return {"chart": chart, "legend": legend}


def _note(metric: str, points: list[dict], who: str) -> str:
    first, last = (metric_names.shown(metric, points[at][who]["mean"]) for at in (0, -1))
    return t("%(first)s with the fewest labels, %(last)s with all", first=first, last=last)


def _score(metric: str, facts: dict) -> str:
    low, high = (metric_names.value(metric, facts[end]).removesuffix(" %") for end in ("low", "high"))
    return f"{metric_names.value(metric, facts['mean'])}  [{low}, {high}]"
