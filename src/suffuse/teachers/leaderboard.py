"""The leaderboard of a teacher's portfolio: each member's score on validation rows, its seconds and its weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..activations import activate
from ..classical.members import Member
from ..data.columns import Columns
from ..engine.inference import score
from ..evaluation.metrics import draw, main_score
from ..opinion_pool import NETWORK

LEADERBOARD = "leaderboard.json"  # beside the weights
RESAMPLES = 200  # of groups of validation rows, for a standard error
BUDGET = "budget"  # why a member was skipped


def leaderboard(
    columns: Columns,
    logits: np.ndarray,
    outputs: Mapping[str, np.ndarray],
    weights: Mapping[str, Mapping[str, float]],
    seconds: Mapping[str, float | None],
    skipped: Sequence[Member],
) -> list[dict[str, Any]]:
    """The network and the classical models, the best first; then the skipped ones with the estimate of their seconds.

    ``logits`` (V, C): the network's, of the labelled validation rows; ``outputs``: of all rows; ``weights``: target ->
    member -> weight, of rows with all modalities. The standard error is that of resampled groups.
    """
    rows = columns.labelled("validation")
    draws = draw(columns.group[rows], RESAMPLES, 0.95)
    listed: list[dict[str, Any]] = []
    for name, values in ((NETWORK, logits), *((name, values[rows]) for name, values in outputs.items())):
        values = np.asarray(values, np.float32)
        answers = activate(columns.spec.heads, values)
        with np.errstate(all="ignore"):  # a resample may lack all rows of a target: its score is NaN
            resampled = main_score(columns.spec, answers, columns.target[rows], draws)[1:]
        resampled = resampled[~np.isnan(resampled)]
        listed.append({
            "member": name,
            "validation": score(columns.spec, values, columns.target[rows]),
            "standard_error": float(resampled.std()) if len(resampled) else None,
            "seconds": seconds.get(name),
            "weights": {target: own[name] for target, own in weights.items()},
        })  # fmt: skip
    listed.sort(key=lambda entry: -next(iter(entry["validation"].values())))
    return listed + [{"member": m.name, "skipped": BUDGET, "estimated_seconds": round(m.seconds, 1)} for m in skipped]
