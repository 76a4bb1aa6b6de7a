"""Calibration before and after a temperature, and on every subset of the modalities."""

from __future__ import annotations

from typing import Any

from ..run import Run
from ..types import CLASSES, NUMBER
from . import charts, metric_names, score_format, scores_table
from .formatting import percent
from .i18n import t

DRAWN = ("teacher", "student", "baseline", "export")  # whose reliability is drawn again
MOST_DRAWN = 2  # targets with pictures
KEYS = ("ece", "brier", "log_loss")


def scaled(run: Run) -> dict[str, Any] | None:
    """None where no temperature was fitted."""
    found = score_format.of(scores_table.scores(run), "temperature")
    if not found:
        return None
    kinds = {head.name: head.kind for head in metric_names.kinds(run) if head.kind != NUMBER}
    return {
        "targets": [_target(found, name, kind, n) for n, (name, kind) in enumerate(kinds.items())],
        "fitted": next((f["fitted_on"] for f in found.values() if f.get("fitted_on")), None),
    }


def _target(found: dict[str, dict], name: str, kind: str, number: int) -> dict[str, Any]:
    there = {who: facts["targets"][name] for who, facts in found.items() if name in facts["targets"]}
    pictures = [_pictures(who, there[who], kind, number) for who in DRAWN if who in there and number < MOST_DRAWN]
    return {
        "name": name,
        "lines": [_line(who, facts) for who, facts in there.items()],
        "charts": [chart for some in pictures for chart in some],
        "models": [scores_table.name(who) for who in found if who in there],
        "subsets": subsets(found, name),
    }


def _line(who: str, facts: dict) -> dict[str, Any]:
    heat = facts.get("temperature")
    said = [heat] if isinstance(heat, (int, float)) else list(heat or ())
    return {
        "who": scores_table.name(who),
        "temperature": ", ".join(f"{one:.2f}" for one in said),
        "pairs": [(_value(facts["before"], key, False), _value(facts["after"], key, True)) for key in KEYS],
    }


def _value(facts: dict, key: str, interval: bool) -> str:
    if interval and key in ("ece", "brier"):
        return score_format.calibrated(facts, key)
    return percent(facts[key]) if key == "ece" else f"{facts[key]:.4f}"


def _pictures(who: str, facts: dict, kind: str, number: int) -> list[dict[str, Any]]:
    says = ("stated confidence", "right answers") if kind == CLASSES else ("stated probability", "rows with the label")
    after = facts["after"]
    if not after.get("bins"):
        return []
    title, ece = t("%(name)s, with its temperature", name=scores_table.name(who)), percent(after["ece"])
    label = t("Reliability of %(name)s: expected calibration error %(ece)s", name=title, ece=ece)
    chart = charts.reliability(after["bins"], who, says, label, f"heat{number}-{who}")
    return [{"title": title, "chart": chart, "ece": score_format.calibrated(after, "ece")}]


def subsets(found: dict[str, dict], name: str) -> list[dict[str, Any]]:
    """For each subset of modalities every model's ECE, before and after; shaded by how large it is after."""
    each = {who: facts.get("subsets") or {} for who, facts in found.items() if name in facts["targets"]}
    names = sorted(
        dict.fromkeys(s for some in each.values() for s in some), key=lambda s: -(s.count("+") + (s != "nothing"))
    )
    ends = [e[s][name]["after"]["ece"] for e in each.values() for s in e if name in e[s]]
    most = max(ends, default=0.0)
    return [
        {"name": score_format.subset(s), "cells": [_cell(some.get(s, {}).get(name), most) for some in each.values()]}
        for s in names
    ]


def _cell(facts: dict | None, most: float) -> dict[str, str]:
    if not facts:
        return {"before": "", "after": "", "span": "", "depth": "0"}
    before, after = (percent(facts[when]["ece"], 1) for when in ("before", "after"))
    span, depth = score_format.spread(facts["after"], "ece", 1), facts["after"]["ece"] / max(most, 1e-9)
    return {"before": before, "after": after, "span": span, "depth": f"{depth:.2f}"}
