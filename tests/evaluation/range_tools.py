"""The range of every quantity that a scorecard gives an interval of, stated independently of the code under test."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

INF = math.inf
METRICS = {
    "accuracy": (0, 1), "balanced_accuracy": (0, 1), "top_3_accuracy": (0, 1), "top_5_accuracy": (0, 1),
    "micro_f1": (0, 1), "macro_f1": (0, 1), "exact_match": (0, 1), "auroc": (0, 1), "average_precision": (0, 1),
    "log_loss": (0, INF), "rmse": (0, INF), "mae": (0, INF), "r2": (-INF, 1), "score": (-INF, 1),
    "word_accuracy": (-INF, 1), "word_error_rate": (0, INF), "character_error_rate": (0, INF),
    "substitutions": (0, INF), "deletions": (0, INF), "insertions": (0, INF),
}  # fmt: skip
SHARES = {"same", "right_where_wrong", "wrong_where_right", "helped", "hurt", "same_first", "ece", "equivalent"}
CORRELATIONS = {"cosine", "rank"}
OF_MAIN = {"longest", "subsets", "rates", "full", "additive", "test", "validation", "modalities", "student", "baseline"}
DIFFERENCES = {"cost", "shapley", "leave_one_out", "alone", "cooperation", "permutation", "gap", "held_out", "verdict",
               "retention"}  # fmt: skip
SLACK = 1e-9


def intervals(facts: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict]]:
    """Every dict with ``low`` and ``high`` in it, and where it stands."""
    if isinstance(facts, dict):
        if facts.get("low") is not None and "high" in facts:
            yield path, facts
        for key, value in facts.items():
            yield from intervals(value, (*path, str(key)))
    elif isinstance(facts, list):
        for value in facts:
            yield from intervals(value, path)


def allowed(path: tuple[str, ...], main: str) -> tuple[float, float]:
    """The range of what stands at a path of a scorecard. Raises KeyError for a quantity that isn't known here."""
    width = METRICS[main][1] - METRICS[main][0]
    for at in range(len(path) - 1, -1, -1):
        key, before = path[at], path[:at]
        if before and before[-1] == "metrics":
            return METRICS[key.rpartition(":")[2]]
        if key == "brier":
            return 0, 2
        if key == "kl":
            return 0, INF
        if "fidelity" in before and key == "difference":
            return 0, INF if main in ("r2", "score") else 2
        if key == "metric_difference":
            return 0, 2 * width
        if key == "interaction":
            return -2 * width, 2 * width
        if key in SHARES | CORRELATIONS:
            return (0, 1) if key in SHARES else (-1, 1)
        if key in DIFFERENCES or (key == "difference" and "held_out" in before):
            return -width, width
        if key in OF_MAIN:
            return METRICS[main]
    raise KeyError(path)


def outside(card: dict, main: str) -> list[str]:
    """Where an interval reaches beyond the range of its quantity, or doesn't hold the value that it is of."""
    wrong = []
    for path, facts in intervals(card):
        low, high = allowed(path, main)
        value = facts.get("mean", facts.get("difference", facts["low"]))
        if math.isnan(facts["low"]):
            continue
        if not low - SLACK <= facts["low"] <= value + SLACK <= facts["high"] + 2 * SLACK <= high + 3 * SLACK:
            wrong.append(f"{'.'.join(path)}: {value} [{facts['low']}, {facts['high']}], not in [{low}, {high}]")
    return wrong
