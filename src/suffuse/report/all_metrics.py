"""All that was measured of every model, in tables that are folded away: metrics with intervals, and classes."""

from __future__ import annotations

from typing import Any

from ..run import Run
from ..types import Head
from . import metric_names, score_format, scores_table
from .i18n import t
from .metric_names import METRICS

MOST_CLASSES = 100  # lines of a table of classes
SIDES = ("teacher", "export")


def all_metrics(run: Run) -> list[dict[str, Any]]:
    """A table for the plain names and, where there are several targets, for each: a line per metric."""
    cards = {
        who: card for who, card in scores_table.scores(run).items() if not who.startswith(("student-", "baseline-"))
    }
    names = dict.fromkeys(name for card in cards.values() for name in card["metrics"])
    groups: dict[str, list[str]] = {}
    for name in names:
        target, _, metric = name.rpartition(":")
        if metric in METRICS:
            groups.setdefault(target, []).append(name)
    return [_table(cards, target, some, metric_names.kinds(run)) for target, some in groups.items()]


def _table(cards: dict[str, dict], target: str, names: list[str], heads: list[Head]) -> dict[str, Any]:
    titles = [name.rpartition(":")[2] for name in names]
    pairs = list(zip(titles, names, strict=True))
    heads = [head for head in heads if target in ("", head.name)]
    lines = [
        {
            "who": scores_table.name(who, heads),
            "cells": [_cell(metric, card["metrics"].get(name)) for metric, name in pairs],
        }
        for who, card in cards.items()
    ]
    return {"target": target, "titles": [t(METRICS[m].title) for m in titles], "lines": lines}


def _cell(metric: str, facts: dict | None) -> tuple[str, str]:
    return (metric_names.shown(metric, facts["mean"]), score_format.span(metric, facts)) if facts else ("", "")


def meanings(run: Run) -> list[tuple[str, str]]:
    """What the metrics say that stand in no other table."""
    there = {name.rpartition(":")[2] for card in scores_table.scores(run).values() for name in card["metrics"]}
    return [(t(METRICS[m].title), t(METRICS[m].means)) for m in metric_names.FURTHER if m in there]


def per_class(run: Run) -> list[dict[str, Any]]:
    """For each target of classes or labels: every class, of the teacher and of the exported student."""
    cards = scores_table.scores(run)
    if any(not (cards.get(who) or {}).get("per_class") for who in SIDES):
        return []
    several, made = len(run.recipe.data.targets) > 1, []
    for name in run.recipe.data.targets:
        found = [cards[who]["per_class"] for who in SIDES]
        found = [one.get(name) or {} for one in found] if several else found
        order = sorted(found[0], key=lambda c: -found[0][c]["support"])
        if order:
            lines = [
                {
                    "name": c,
                    "rows": f"{found[0][c]['support']:,}",
                    "parts": [v for one in found for v in _parts(one.get(c))],
                }
                for c in order[:MOST_CLASSES]
            ]
            made.append({"target": name, "lines": lines, "all": len(order)})
    return made


def _parts(facts: dict | None) -> list[str]:
    return [_number(facts.get(key)) if facts else "–" for key in ("precision", "recall", "f1")]


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.2f}"
